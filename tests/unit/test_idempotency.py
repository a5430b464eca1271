"""A command that is repeated has its first outcome (L2, L3, L4, P8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import eventlog
from eventlog import (
    DuplicateEvent,
    Event,
    IllegalTransition,
    Indeterminate,
    InvalidArgument,
    Log,
    Message,
    Session,
    StoreUnavailable,
    VersionConflict,
)
from eventlog.identifiers import derived_id
from eventlog.session.events import SessionCreated
from eventlog.stores.memory import MemoryStore


class Noted(Event, type="acme.noted_down"):
    """An event of a user's own."""

    text: str


Call = Callable[[Session, str], Any]

KEYED: dict[str, tuple[Call, Call]] = {
    "append": (
        lambda session, key: session.append({"role": "user", "parts": []}, idempotency_key=key),
        lambda session, key: session.append({"role": "system", "parts": []}, idempotency_key=key),
    ),
    "extend": (
        lambda session, key: session.extend([Message.user("a")] * 2, idempotency_key=key),
        lambda session, key: session.extend([Message.user("b")] * 2, idempotency_key=key),
    ),
    "used": (
        lambda session, key: session.used(["memory://1"], idempotency_key=key),
        lambda session, key: session.used(["memory://2"], idempotency_key=key),
    ),
    "commit": (
        lambda session, key: session.commit(idempotency_key=key),
        lambda session, key: session.commit(1, idempotency_key=key),
    ),
    "queue_task": (
        lambda session, key: session.queue_task("acme.index", idempotency_key=key),
        lambda session, key: session.queue_task("acme.other", idempotency_key=key),
    ),
    "record": (
        lambda session, key: session.record(Noted(text="a"), Noted(text="b"), idempotency_key=key),
        lambda session, key: session.record(Noted(text="a"), Noted(text="c"), idempotency_key=key),
    ),
}
"""By command: a call, and one with the same key and other content."""

each_keyed = pytest.mark.parametrize(("call", "other"), KEYED.values(), ids=KEYED)


@pytest.fixture
def session(log: Log) -> Session:
    opened = log.session("s", create=True)
    opened.append(Message.user("first", id="first"))
    return opened


# ---- keys -------------------------------------------------------------------------------------


@each_keyed
def test_the_same_key_gives_the_first_outcome(session: Session, call: Call, other: Call) -> None:
    """L3: looked up in the store, so whoever repeats it and whatever happened since."""
    first = call(session, "k")
    version = session.version
    session.append(Message.user("later"))

    again = call(session, "k")

    assert comparable(again) == comparable(first)
    assert session.refresh().total_message_count == _messages(session)
    assert session.version == version + 1


@each_keyed
def test_the_same_key_is_known_to_other_processes(
    session: Session, rival: Log, call: Call, other: Call
) -> None:
    first = call(session, "k")

    again = call(rival.session("s"), "k")

    assert comparable(again) == comparable(first)
    assert rival.store.head("s").version == session.version


@each_keyed
def test_the_same_key_with_other_content_is_a_duplicate(
    session: Session, call: Call, other: Call
) -> None:
    call(session, "k")
    version = session.version

    with pytest.raises(DuplicateEvent, match="used before"):
        other(session, "k")

    assert session.version == version


@each_keyed
def test_another_key_is_another_command(session: Session, call: Call, other: Call) -> None:
    call(session, "k")
    version = session.version
    session.append(Message.user("more"))

    call(session, "l")

    assert session.version > version + 1


@each_keyed
def test_a_key_names_the_first_command_of_a_session_too(log: Log, call: Call, other: Call) -> None:
    """M1: the creation recorded before it does not get into its way."""
    session = log.session("new", create=True)
    first = call(session, "k")
    if session.version == 0:
        assert first.status == "skipped"  # There is nothing to commit yet, so nothing was recorded.
        return

    assert comparable(call(session, "k")) == comparable(first)
    assert [entry.type for entry in log.read("new")].count("session_created") == 1


def test_a_key_of_another_kind_of_command_is_a_duplicate(session: Session) -> None:
    session.used(["memory://1"], idempotency_key="k")

    for call in (KEYED["commit"][0], KEYED["queue_task"][0], KEYED["record"][0]):
        with pytest.raises(DuplicateEvent):
            call(session, "k")


def test_a_key_belongs_to_its_session(log: Log, session: Session) -> None:
    first = session.queue_task("acme.index", idempotency_key="k")

    assert log.session("t", create=True).queue_task("acme.index", idempotency_key="k") != first


def test_a_repeated_commit_returns_its_task_although_nothing_is_left_to_commit(
    session: Session,
) -> None:
    """L4: not ``skipped``."""
    first = session.commit(idempotency_key="k")

    assert session.commit(idempotency_key="k") == first
    assert session.commit().status == "skipped"


def test_a_key_is_known_after_the_session_was_closed(session: Session) -> None:
    first = session.commit(idempotency_key="k")
    session.close()

    assert session.commit(idempotency_key="k") == first


def test_one_key_twice_in_one_batch_is_one_command(log_url: str) -> None:
    """P8: also where the repetition does not wait for the answer."""

    async def main() -> list[Any]:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            await session.append(Message.user("a"))
            commits = (session.commit(idempotency_key="k") for _ in range(5))
            tasks = (session.queue_task("acme.x", idempotency_key="l") for _ in range(5))
            return [*await asyncio.gather(*commits), *await asyncio.gather(*tasks)]

    results = asyncio.run(main())

    assert len(set(results[:5])) == len(set(results[5:])) == 1


def comparable(result: Any) -> Any:
    """Return a result without the times of messages, which a repetition draws anew."""
    if isinstance(result, Message):
        return result.model_dump(exclude={"created_at"})
    if isinstance(result, tuple) and not hasattr(result, "_fields"):
        return [comparable(entry) for entry in result]
    return result


def _messages(session: Session) -> int:
    return len(session.history())


# ---- messages ---------------------------------------------------------------------------------


def test_a_message_id_is_its_key(session: Session) -> None:
    """M3: the same content again is the same message; other content is refused."""
    message = session.append(Message.user("hello", id="m"))
    version = session.version

    assert session.append(message) == message
    assert session.append({"id": "m", "role": "user", "parts": message.parts}).id == "m"
    assert session.version == version
    for other in (Message.user("bye", id="m"), Message.assistant("hello", id="m")):
        with pytest.raises(DuplicateEvent, match="other content"):
            session.append(other)
    assert [message.text for message in session.tail()] == ["first", "hello"]


def test_a_refusal_names_the_message_that_is_another_one(session: Session) -> None:
    """M3: in a batch of which all ids are known, and beside an application's event, too."""
    session.extend([Message.user("a", id="a"), Message.user("b", id="b")])
    session.record(Noted(text="x"), Message.user("c", id="c"), idempotency_key="k")
    at = session.version

    with pytest.raises(DuplicateEvent, match=f"message 'b' was used before .* {at - 2};"):
        session.extend([Message.user("a", id="a"), Message.user("other", id="b")])
    with pytest.raises(DuplicateEvent, match=f"message 'c' was used before .* {at};"):
        session.record(Message.user("other", id="c"))
    session.append({"id": "d", "role": "assistant", "parts": [CALL]})
    session.record_tool_result("d", "t", "1")
    with pytest.raises(DuplicateEvent, match="result of call 't' of message 'd' was used"):
        session.record_tool_result("d", "t", "2")
    assert session.version == at + 2


CALL = {"type": "tool", "tool_id": "t", "tool_name": "f", "tool_status": "running"}


def test_a_message_id_and_a_key_are_one_too_many(session: Session) -> None:
    with pytest.raises(InvalidArgument, match="leave out one of the two"):
        session.append(Message.user("a", id="m"), idempotency_key="k")
    with pytest.raises(InvalidArgument, match="leave out one of the two"):
        session.extend([Message.user("a", id="m")], idempotency_key="k")


def test_a_batch_that_is_stored_in_part_is_a_duplicate(session: Session) -> None:
    """L3: partial overlap."""
    session.append(Message.user("a", id="a"))
    version = session.version

    batch = [Message.user("a", id="a"), Message.user("b", id="b")]
    named = r"1 of 2 events are stored already \(message 'a' at version \d+\)"
    with pytest.raises(DuplicateEvent, match=named):
        session.extend(batch)
    session.append(batch[1])
    session.extend(batch)
    with pytest.raises(DuplicateEvent, match=r"in another order .*'a' at .*'b' at "):
        session.extend(batch[::-1])

    assert session.version == version + 1


def test_a_message_is_known_after_it_was_archived_and_the_session_closed(
    session: Session, rival: Log
) -> None:
    message = session.append(Message.user("hello", id="m"))
    session.commit()
    session.close()

    assert session.append(message) == message
    assert rival.session("s").append(message) == message


def test_a_message_may_have_the_id_of_a_word_of_the_library(log: Log) -> None:
    session = log.session("s", create=True)
    for name in ("session_created", "s", "commit_prepared"):
        session.append(Message.user(name, id=name))

    assert [message.id for message in session.tail()] == ["session_created", "s", "commit_prepared"]
    assert log.verify("s") == []


def test_the_same_message_from_many_threads_is_stored_once(log_url: str) -> None:
    with eventlog.open(log_url) as log, ThreadPoolExecutor(8) as pool:
        session = log.session("s", create=True)
        message = Message.user("hello", id="m")

        results = list(pool.map(lambda _: session.append(message), range(40)))

        assert results == [message] * 40
        assert log.store.head("s").version == 2


# ---- expected versions ------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [0, 1, 3, 99])
def test_an_expected_version_is_an_equality(session: Session, expected: int) -> None:
    """L2."""
    with pytest.raises(VersionConflict) as caught:
        session.record(Noted(text="a"), expected=expected)

    error = caught.value
    assert (error.stream, error.expected, error.actual) == ("s", expected, 2)
    assert str(error) == (
        f"session 's' is at version 2, expected {expected}; reload and decide again"
    )
    assert session.record(Noted(text="a"), expected=2)[0].version == 3


def test_a_session_that_must_be_new_is_new_once(log: Log, rival: Log) -> None:
    mine, theirs = log.session("s", create=True), rival.session("s", create=True)

    (recorded,) = mine.record(Noted(text="a"), expected=0)

    assert recorded.version == 2
    with pytest.raises(VersionConflict):
        theirs.record(Noted(text="b"), expected=0)


def test_what_another_process_recorded_is_reckoned_with(session: Session, rival: Log) -> None:
    rival.session("s").append(Message.user("theirs"))

    with pytest.raises(VersionConflict) as caught:
        session.record(Noted(text="a"), expected=2)
    assert caught.value.actual == 3
    session.record(Noted(text="a"), expected=3)


def test_a_keyed_repetition_needs_no_version(session: Session) -> None:
    """L3: the id check comes before the version check."""
    first = session.record(Noted(text="a"), expected=2, idempotency_key="k")

    assert session.record(Noted(text="a"), expected=2, idempotency_key="k") == first


def test_recorded_events_tell_where_they_stand(session: Session, log: Log) -> None:
    recorded = session.record(Noted(text="a"), Noted(text="b"))

    assert list(log.read("s", after=2)) == list(recorded)
    assert [entry.version for entry in recorded] == [3, 4]
    assert recorded[-1].position == log.position()


def test_only_events_of_ones_own_are_recorded(session: Session) -> None:
    """P7: the library's own are decided by its commands."""
    with pytest.raises(IllegalTransition, match="'session_created' is not possible"):
        session.record(Noted(text="a"), SessionCreated())
    with pytest.raises(InvalidArgument, match="no event to record"):
        session.record()
    assert session.version == 2


# ---- answers that were lost -------------------------------------------------------------------


class Doubtful(MemoryStore):
    """A store whose next appends raise before or after they were stored."""

    def __init__(self) -> None:
        super().__init__()
        self.troubles: list[tuple[str, Exception]] = []

    def append(self, batch: Any) -> Any:
        if not self.troubles:
            return super().append(batch)
        when, error = self.troubles.pop(0)
        if when == "after":
            super().append(batch)
        raise error


LOST = Indeterminate("the connection was cut")
COMMANDS: dict[str, Callable[[Session], Any]] = {
    "append": lambda session: session.append(Message.user("a", id="a")),
    "commit": lambda session: session.commit(),
    "used": lambda session: session.used(["memory://1"]),
    "queue_task": lambda session: session.queue_task("acme.index"),
    "record": lambda session: session.record(Noted(text="a"), Noted(text="b")),
    "close": lambda session: session.close(),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_lost_answer_is_looked_up_and_nothing_is_doubled(
    when: str, times: int, command: str
) -> None:
    """L4: the ids are looked up before the command is decided again."""
    store, twin = Doubtful(), MemoryStore()
    sessions = [Log(kept).session("s", create=True) for kept in (store, twin)]
    for session in sessions:
        session.append(Message.user("first", id="first"))
    store.troubles = [(when, LOST)] * (times if when == "before" else 1)

    results = [COMMANDS[command](session) for session in sessions]

    types = [[record.type for record in kept.read("s")] for kept in (store, twin)]
    assert types[0] == types[1]
    assert type(results[0]) is type(results[1])
    if command == "commit":
        assert results[0].status == "accepted"
        assert results[0].task_id == next(Log(store).tasks("s")).task_id


def test_an_outcome_that_cannot_be_looked_up_is_told_with_the_ids() -> None:
    """L4: repeating it with the same ids is safe."""

    class Gone(Doubtful):
        def find(self, stream: str, ids: Any) -> Any:
            raise StoreUnavailable("gone")

    store = Gone()
    session = Log(store).session("s", create=True)
    store.troubles = [("after", LOST)]

    with pytest.raises(Indeterminate, match="repeat the call: it is idempotent") as caught:
        session.append(Message.user("a", id="a"))

    assert derived_id("s", "a") in caught.value.event_ids
    later = Log(_copy_of(store)).session("s")
    assert later.append(Message.user("a", id="a")).id == "a"
    assert [message.id for message in later.tail()] == ["a"]


def _copy_of(store: MemoryStore) -> MemoryStore:
    from copy import deepcopy

    return deepcopy(store)


def test_an_append_that_was_not_stored_is_told_so() -> None:
    """``StoreUnavailable``: nothing was stored; the same call may succeed later."""
    store = Doubtful()
    session = Log(store).session("s", create=True)
    store.troubles = [("before", StoreUnavailable("locked"))]

    with pytest.raises(StoreUnavailable, match="locked"):
        session.append(Message.user("a", id="a"))

    assert session.append(Message.user("a", id="a")).id == "a"
    assert [message.id for message in session.tail()] == ["a"]
