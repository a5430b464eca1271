"""The library's own tests of sessions, with a client and a real socket between them and the log (R9).

Both twins, on SQLite and PostgreSQL. The suite runs a share of them, each in one of the four ways; the
nightly profile all, in every way.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast
from zlib import crc32

import pytest

import eventlog
from eventlog import Log, Message, Session
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from tests.http.api import Loop
from tests.http.remote import RemoteLog, Served
from tests.shares import NIGHTLY
from tests.unit import (
    test_commit,
    test_context,
    test_idempotency,
    test_pairs,
    test_session,
    test_tool_results,
    test_withdrawing,
)

MODULES: Final = (
    test_commit,
    test_context,
    test_idempotency,
    test_pairs,
    test_session,
    test_tool_results,
    test_withdrawing,
)

CANNOT: Final[dict[str, str]] = {}
"""Tests that cannot run so, each with the reason."""

WAYS: Final = [(twin, store) for twin in ("plain", "twin") for store in ("sqlite", "postgres")]

SHARE: Final = 4
"""Of how many tests the suite runs one."""


def library_tests(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the tests of a module that take a log or a session, by name."""
    for name, test in vars(module).items():
        taken = getattr(getattr(test, "__code__", None), "co_varnames", ())
        arguments = taken[: test.__code__.co_argcount] if taken else ()
        if name.startswith("test_") and {"log", "session"} & {*arguments}:
            yield name, test


def ways_of(name: str) -> list[tuple[str, str]]:
    """Return the ways in which a test runs here."""
    number = crc32(name.encode())
    if NIGHTLY:
        return WAYS
    return [WAYS[number // SHARE % len(WAYS)]] if number % SHARE == 0 else []


for each in MODULES:
    globals().update(
        {
            name: types.FunctionType(
                test.__code__, test.__globals__, name, test.__defaults__, test.__closure__
            )
            for name, test in library_tests(each)
            if name not in CANNOT and ways_of(name)
        }
    )
    for name, test in library_tests(each):
        if name in globals():
            globals()[name].__dict__.update(test.__dict__)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "over" in metafunc.fixturenames:
        ways = ways_of(metafunc.function.__name__)
        metafunc.parametrize("over", ways, indirect=True, ids=["-".join(way) for way in ways])


def test_what_cannot_run_here_is_among_the_tests() -> None:
    known = {name for module in MODULES for name, _ in library_tests(module)}
    assert {*CANNOT} <= known
    assert len(CANNOT) < len(known) / 2


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def over(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The twin and the store."""
    return cast("tuple[str, str]", request.param)


@pytest.fixture
def log_url(
    over: tuple[str, str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    monkeypatch.chdir(tmp_path)
    if over[1] == "sqlite":
        return f"sqlite:///{tmp_path / 'log.db'}"
    monkeypatch.delattr("eventlog.stores.postgres.store.PostgresStore.now")
    schema: Callable[[str, object], str] = request.getfixturevalue("postgres_schema")
    return schema(request.getfixturevalue("newest_postgres"), tmp_path)


@pytest.fixture
def log(
    log_url: str, over: tuple[str, str], loop: Loop, clock: FakeClock, ids: NumberedIds
) -> Iterator[Log]:
    """An empty log behind a server."""
    with eventlog.open(log_url, clock=clock, ids=ids) as local:
        served = Served(loop, local)
        remote = RemoteLog(served, loop, is_twin=over[0] == "twin")
        yield cast("Log", remote)
        remote.close()
        served.close()


@pytest.fixture
def session(request: pytest.FixtureRequest, log: Log) -> Session:
    """As the fixture of the test's own module."""
    session = log.session("s", create=True)
    if request.function.__globals__["__name__"] == test_idempotency.__name__:
        session.append(Message.user("first", id="first"))
    return session
