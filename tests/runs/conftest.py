"""A log in memory with a clock that does not move, and runs driven command by command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from eventlog import Log, Session
from eventlog.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.testing.clock import FakeClock


@pytest.fixture
def log(clock: FakeClock) -> Iterator[Log]:
    """A log in memory: what runs are follows from the events alone."""
    with Log(MemoryStore(), clock=clock) as opened:
        yield opened


@pytest.fixture
def session(log: Log) -> Session:
    return log.session("s", create=True, provider="claude")
