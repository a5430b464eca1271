"""A session for the tests of turns, and a log that another process has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eventlog import Log, Session
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import engine_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def log(clock: FakeClock) -> Iterator[Log]:
    """A log in memory: what turns are follows from the events alone."""
    with Log(MemoryStore(), clock=clock) as opened:
        yield opened


@pytest.fixture
def rival(log: Log, clock: FakeClock) -> Iterator[Log]:
    """Another log on the same store, as another process has it."""
    with Log(engine_of(log).store.inner, clock=clock) as opened:
        yield opened


@pytest.fixture
def session(log: Log) -> Session:
    return log.session("s", create=True)
