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

CREATED = "a client's session is recorded at once, by a record of its own"
TEXT = "it looks for the words of the local check; over HTTP the model of the request refuses first"

CANNOT: Final[dict[str, str]] = {
    "test_a_batch_is_one_append": "the time of a message that names none is drawn by the server",
    "test_a_budget_below_zero_is_refused": TEXT,
    "test_a_commit_is_one_atomic_append_that_names_ranges": "a command has a key, which is recorded",
    "test_a_commit_of_nothing_is_skipped_and_recorded_nowhere": CREATED,
    "test_a_log_is_closed_once_and_then_serves_nothing": "closing a client leaves the log open",
    "test_a_result_of_a_call_that_nobody_made_is_refused": TEXT,
    "test_a_session_exists_from_its_first_write_on": CREATED,
    "test_a_session_that_must_be_new_is_new_once": CREATED,
    "test_a_view_of_a_session_prints_what_it_is": "a client's session prints itself as one",
    "test_an_archive_that_does_not_exist_is_not_found": "an empty id makes no path",
    "test_an_unreadable_overview_falls_back_to_the_newest_older_one": "it looks into the log's core",
    "test_keep_recent_is_from_nothing_to_ten_thousand": TEXT,
    "test_nothing_used_is_nothing_recorded": CREATED,
    "test_of_two_that_create_a_session_at_once_the_first_write_counts": CREATED,
    "test_one_mode_of_retention_at_a_time": TEXT,
    "test_other_writers_are_seen_by_every_read": "what a client knows is looked up whenever it is asked",
    "test_reading_by_version_and_in_the_order_of_the_log": "`Client.read` does not read backwards",
    "test_the_last_messages_of_the_tail": TEXT,
    "test_two_messages_of_a_batch_with_one_id_are_refused": CREATED,
    "test_who_did_it_as_part_of_what_is_recorded_beside_the_event": "the server says who the actor is",
}
"""Tests that cannot run so, each with the reason."""

WAYS: Final = [(twin, store) for twin in ("plain", "twin") for store in ("sqlite", "postgres")]

SHARE: Final = 8
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
