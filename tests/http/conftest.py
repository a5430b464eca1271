"""Fixtures: the API of a new log, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventlog import Log
from eventlog.http import Limits
from eventlog.stores.memory import MemoryStore
from eventlog.testing import FakeClock
from tests.http.api import Api, Loop


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def make_api(loop: Loop) -> Iterator[Callable[..., Api]]:
    """Make the API of a new log, with limits."""
    logs: list[Log] = []

    def make(**limits: Any) -> Api:
        clock = FakeClock()
        log = Log(MemoryStore(), clock=clock)
        logs.append(log)
        return Api(log, clock, loop, Limits(**limits))

    yield make
    for log in logs:
        log.close()


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
