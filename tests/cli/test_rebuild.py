"""The index agrees with the events after every kind of command, and can be rebuilt (L14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import (
    CommitBlocked,
    Extraction,
    Finalizer,
    Log,
    Message,
    NonRetryableError,
    RetryPolicy,
    SessionClosed,
    StoreUnavailable,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.audit.index_check import compare_index, rebuild_index, stored_streams
from eventlog.errors import IllegalTransition, InvalidError
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from tests.shares import examples


async def summarize(request: SummaryRequest) -> Summary:
    """Summarise, but fail for good, or the first time, where the messages say so."""
    texts = {message.text for message in request.messages}
    if "poison" in texts:
        raise NonRetryableError("poison")
    if "flaky" in texts and request.attempt == 1:
        raise ConnectionError("at first")
    return Summary(overview="overview", abstract="abstract")


async def remember(request: SummaryRequest) -> Extraction:
    if len(request.messages) > 2:
        raise NonRetryableError("too much to remember")
    return Extraction(memories={"facts": 1})


def work(log: Log) -> None:
    finalizer = Finalizer(summarize, memory_extractor=remember)
    policy = RetryPolicy(attempts=2, base_seconds=0.0)
    Worker(log, finalizer, retry=policy).run_once()


def say(session: str, text: str) -> Callable[[Log], object]:
    return lambda log: log.session(
        session, create=True, workspace="shop", failed_archives="skip"
    ).append(Message.user(text))


COMMANDS: dict[str, Callable[[Log], object]] = {
    "say": say("a", "hello"),
    "say twice": lambda log: [say("a", "one")(log), say("a", "two")(log), say("a", "three")(log)],
    "say poison": say("a", "poison"),
    "say flaky": say("b", "flaky"),
    "commit a": lambda log: log.session("a").commit(),
    "commit some of a": lambda log: log.session("a").commit(keep_recent=1),
    "commit b": lambda log: log.session("b").commit(),
    "work": work,
    "queue": lambda log: log.session("b").queue_task("clitest.index", {"n": 1}),
    "retry": lambda log: log.session("a").retry("archive_001"),
    "abandon": lambda log: log.session("a").abandon("archive_001"),
    "abandon the last": lambda log: log.session("a").abandon("archive_002"),
    "close": lambda log: log.session("b").close(),
    "delete": lambda log: log.session("a").delete(),
}


def carry_out(log: Log, name: str) -> None:
    """Run a command; whether it is refused does not matter here."""
    with suppress(InvalidError, IllegalTransition, SessionClosed, CommitBlocked):
        COMMANDS[name](log)


@examples(20, 2_400)
@given(st.lists(st.sampled_from(sorted(COMMANDS)), max_size=14))
def test_the_index_is_what_a_rebuild_gives_whatever_was_done(names: list[str]) -> None:
    with Log(MemoryStore(), clock=FakeClock(), ids=NumberedIds()) as log:
        for name in names:
            carry_out(log, name)
        assert compare_index(log.store) == []


@pytest.fixture
def busy_log(log: Log) -> Log:
    """A log in which every command was carried out, on each store in turn."""
    for name in (*COMMANDS, "say", "commit a", "work"):
        carry_out(log, name)
    return log


def test_an_index_that_was_lost_is_rebuilt_as_it_was(busy_log: Log) -> None:
    store = busy_log.store
    before = list(store.scan("", "\U0010ffff"))
    assert len(before) > 5
    store.put_index([(key, None) for key, _ in before])
    differences = rebuild_index(store)
    assert [difference.key for difference in differences] == [key for key, _ in before]
    assert list(store.scan("", "\U0010ffff")) == before


def test_differences_tell_what_is_missing_wrong_and_stale(busy_log: Log) -> None:
    store = busy_log.store
    store.put_index([("session/a", None), ("session/b", b"{}"), ("session/ghost", b"{}")])
    found = {difference.key: difference for difference in compare_index(store)}
    assert set(found) == {"session/a", "session/b", "session/ghost"}
    assert found["session/a"].stored is None
    assert found["session/b"].stored == b"{}"
    assert found["session/ghost"].rebuilt is None
    rebuild_index(store)
    assert compare_index(store) == []
    assert list(busy_log.sessions()) == ["a", "b"]


def test_streams_are_found_without_the_index(busy_log: Log) -> None:
    busy_log.store.put_index([("session/a", None), ("session/b", None)])
    assert stored_streams(busy_log.store) == ["a", "b"]


def test_a_log_that_grows_meanwhile_is_refused(
    busy_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the entries of what was appended in between would be taken for stale ones."""
    store = busy_log.store
    scan = store.scan

    def scan_while_another_writes(start: str, end: str) -> Iterator[tuple[str, bytes]]:
        busy_log.session("c", create=True).append(Message.user("meanwhile"))
        return scan(start, end)

    monkeypatch.setattr(store, "scan", scan_while_another_writes)
    with pytest.raises(StoreUnavailable, match="grew"):
        rebuild_index(store)
    monkeypatch.undo()
    assert "c" in eventlog.Log(store).sessions()
