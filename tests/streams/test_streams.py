"""Messages that are written in chunks: by the methods that a producer calls one by one (M7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import (
    DuplicateEvent,
    InvalidArgument,
    InvalidMessage,
    LeaseLost,
    Log,
    Message,
    Session,
    SessionClosed,
    ToolOutputPolicy,
    Worker,
)
from eventlog.engine.owner import this_process
from eventlog.stores.memory import MemoryStore
from eventlog.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CALL = Message.call("search", {"q": 1}, tool_id="c1")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite", "files"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    places = {
        "memory": "memory:",
        "sqlite": f"sqlite:///{tmp_path}/log.db",
        "files": f"files:///{tmp_path}/log",
    }
    return places[request.param]


@pytest.fixture
def log(url: str, clock: FakeClock) -> Iterator[Log]:
    with eventlog.open(url, clock=clock) as opened:
        yield opened


@pytest.fixture
def session(log: Log) -> Session:
    session = log.session("s", create=True)
    session.append(Message.user("hi", id="m-1"))
    return session


def texts(session: Session) -> list[str]:
    return [message.text for message in session.tail()]


def types(log: Log) -> list[str]:
    return [recorded.type for recorded in log.read("s")]


def begun(session: Session, *chunks: Any, message_id: str = "m-2") -> int:
    """Begin a message and append chunks; return its fence."""
    fence = session.begin_message(message_id=message_id).fence
    for number, chunk in enumerate(chunks, 1):
        session.append_chunk(message_id, fence, number, chunk)
    return fence


def test_a_message_has_one_id_from_its_beginning_to_its_end(session: Session) -> None:
    fence = begun(session, "one ", "two")

    streaming = session.tail()[-1]
    ended = session.end_message("m-2", fence)

    assert streaming.id == ended.id == "m-2"
    assert streaming.text == ended.text == "one two"
    assert streaming.model_extra == {"streaming": True}
    assert ended.model_extra == {}
    assert session.tail()[-1] == ended


def test_while_it_is_written_it_is_last_in_the_tail_and_nowhere_else(
    session: Session, tmp_path: Path
) -> None:
    begun(session, "later")
    begun(session, "latest", message_id="m-3")
    session.append(Message.user("meanwhile"))
    session.attach_folder(tmp_path / "folder")

    assert texts(session) == ["hi", "meanwhile", "later", "latest"]
    assert [message.text for message in session.tail(last=1)] == ["latest"]
    assert [message.text for message in session.tail(last=3)] == ["meanwhile", "later", "latest"]
    assert [message.text for message in session.context().messages] == ["hi", "meanwhile"]
    assert [message.text for message in session.history()] == ["hi", "meanwhile"]
    assert session.meta.message_count == 2
    written = (tmp_path / "folder/messages.jsonl").read_text()
    assert "later" not in written
    assert session.commit().archived == 2
    assert texts(session) == ["later", "latest"]


def test_its_version_is_that_of_its_end(session: Session, log: Log) -> None:
    """So the order of messages never changes."""
    fence = begun(session, "a")
    session.append(Message.user("b"))
    session.end_message("m-2", fence)

    assert texts(session) == ["hi", "b", "a"]
    assert types(log)[-2:] == ["message_ended", "message_appended"]
    assert log.verify("s") == []


def test_a_given_message_takes_the_place_of_its_chunks(session: Session) -> None:
    fence = begun(session, "draf")

    ended = session.end_message("m-2", fence, Message.assistant("draft", model="x"))

    assert (ended.id, ended.text, ended.model_extra) == ("m-2", "draft", {"model": "x"})


def test_the_end_under_another_id_is_refused(session: Session) -> None:
    fence = begun(session, "a")
    with pytest.raises(InvalidMessage, match="has the id 'm-9'"):
        session.end_message("m-2", fence, Message.assistant("a", id="m-9"))


def test_whatever_is_repeated_changes_nothing(session: Session) -> None:
    """P8, after a lost answer: each returns what it returned first."""
    first = session.begin_message(idempotency_key="k", fields={"model": "x"})
    assert session.begin_message(idempotency_key="k", fields={"model": "x"}) == first
    for _ in range(2):
        session.append_chunk(*first[:2], 1, "a")
    session.append_chunk(*first[:2], 2, [CALL])
    session.append_chunk(*first[:2], 1, "a")
    session.record_tool_result(first.message_id, "c1", "found")
    session.record_tool_result(first.message_id, "c1", "found")
    ended = session.end_message(*first[:2])
    version = session.version

    assert session.end_message(*first[:2]) == ended
    session.append_chunk(*first[:2], 2, [CALL])
    session.record_tool_result(first.message_id, "c1", "found")
    assert session.version == version
    assert ended.tools[0].tool_output == "found"


def test_a_number_that_was_used_for_another_chunk_is_refused(session: Session) -> None:
    fence = begun(session, "a")
    with pytest.raises(DuplicateEvent):
        session.append_chunk("m-2", fence, 1, "b")
    with pytest.raises(InvalidArgument, match="append chunk 2 next"):
        session.append_chunk("m-2", fence, 3, "c")


def test_an_id_is_taken_from_the_beginning_on(session: Session) -> None:
    fence = begun(session, "a")

    with pytest.raises(DuplicateEvent, match="is being written"):
        session.append(Message.user("mine", id="m-2"))
    with pytest.raises(DuplicateEvent, match="is being written"):
        session.begin_message(message_id="m-2")
    with pytest.raises(DuplicateEvent, match="was recorded before"):
        session.begin_message(message_id="m-1")
    session.end_message("m-2", fence)
    with pytest.raises(DuplicateEvent, match="was recorded before"):
        session.begin_message(message_id="m-2")


def test_who_has_not_the_fence_cannot_write(session: Session) -> None:
    fence = begun(session, "a")

    attempts: list[Callable[[], object]] = [
        lambda: session.append_chunk("m-2", fence - 1, 2, "b"),
        lambda: session.end_message("m-2", fence + 1, Message.assistant("b")),
        lambda: session.interrupt_message("m-2", fence + 1),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLost) as lost:
            attempt()
        assert (lost.value.task_id, lost.value.of) == ("m-2", "message")
    assert texts(session) == ["hi", "a"]


# ---- results ----------------------------------------------------------------------------------


def test_a_result_that_comes_while_it_is_written_is_in_the_call_at_the_end(
    session: Session, log: Log
) -> None:
    fence = begun(session, [CALL])
    session.record_tool_result("m-2", "c1", "running", status="running")
    session.record_tool_result("m-2", "c1", "found", duration_ms=5.0)
    session.append_chunk("m-2", fence, 2, "done")
    session.end_message("m-2", fence)

    (call,) = session.tail()[-1].tools
    assert (call.tool_output, call.tool_status, call.duration_ms) == ("found", "completed", 5.0)
    assert session.context().estimated_tokens == session.meta.pending_tokens
    assert session.commit().archived == 2
    assert log.verify("s") == []


def test_a_result_for_a_call_that_has_not_arrived_is_refused(session: Session) -> None:
    begun(session, [CALL])
    with pytest.raises(InvalidMessage, match="no call 'c9' so far"):
        session.record_tool_result("m-2", "c9", "x")
    with pytest.raises(InvalidMessage, match="occurrences are 0 to 0"):
        session.record_tool_result("m-2", "c1", "x", occurrence=1)


def test_calls_with_one_id_are_answered_in_turn(session: Session) -> None:
    fence = begun(session, [CALL, CALL])
    session.record_tool_result("m-2", "c1", "one")
    session.record_tool_result("m-2", "c1", "one")
    session.record_tool_result("m-2", "c1", "two")
    ended = session.end_message("m-2", fence)

    assert [call.tool_output for call in ended.tools] == ["one", "two"]


def test_a_large_output_is_kept_beside_the_log(log: Log) -> None:
    policy = ToolOutputPolicy(
        inline_characters=1_000, message_characters=1_500, preview_characters=500
    )
    session = log.session("large", create=True, tool_output=policy)
    fence = session.begin_message(message_id="m-2").fence
    run = {"type": "tool", "tool_id": "own", "tool_status": "completed", "tool_output": "y" * 1_200}
    session.append_chunk("m-2", fence, 1, [CALL, run])
    session.record_tool_result("m-2", "c1", "x" * 1_001)
    session.end_message("m-2", fence)

    assert session.tool_output("m-2", "c1").text == "x" * 1_001
    assert session.tool_output("m-2", "own").text == "y" * 1_200
    chunk = next(each for each in log.read("large") if each.type == "chunk_appended")
    assert b"y" * 1_000 not in chunk.record.data
    assert log.verify("large") == []


# ---- interrupted ------------------------------------------------------------------------------


def interrupted(session: Session) -> list[Message]:
    return [each for each in session.tail() if (each.model_extra or {}).get("interrupted")]


def test_a_producer_interrupts_its_message(session: Session) -> None:
    fence = begun(session, "half ", [CALL])

    message = session.interrupt_message("m-2", fence)

    assert message is not None
    assert session.interrupt_message("m-2", fence) is not None
    (found,) = interrupted(session)
    assert (found.id, found.text) == ("m-2", "half ")
    (call,) = found.tools
    assert (call.tool_status, call.tool_output) == ("error", "interrupted")
    assert call.model_extra == {"interrupted": True}


def test_a_real_result_replaces_that_of_an_interruption(session: Session) -> None:
    fence = begun(session, [CALL])
    session.interrupt_message("m-2", fence)
    assert len(session.context().messages) == 2

    session.record_tool_result("m-2", "c1", "late but real")

    (call,) = session.tail()[-1].tools
    assert (call.tool_output, call.tool_status) == ("late but real", "completed")
    assert not call.model_extra


def test_a_message_of_which_nothing_arrived_leaves_none(session: Session) -> None:
    fence = begun(session)

    assert session.interrupt_message("m-2", fence) is None
    assert texts(session) == ["hi"]
    assert session.streams() == ()


@pytest.mark.parametrize("seconds", [61, 3_600])
def test_the_next_command_ends_a_message_whose_lease_has_ended(
    session: Session, clock: FakeClock, log: Log, seconds: float
) -> None:
    """Before its own events, so that the order is that in which things happened."""
    fence = begun(session, "half")
    clock.advance(seconds)

    session.append(Message.user("next"))

    assert texts(session) == ["hi", "half", "next"]
    assert [message.id for message in interrupted(session)] == ["m-2"]
    with pytest.raises(LeaseLost):
        session.append_chunk("m-2", fence, 2, "late")
    with pytest.raises(LeaseLost):
        session.end_message("m-2", fence)
    assert log.verify("s") == []


@pytest.mark.parametrize(
    "command",
    [
        lambda session: session.extend([Message.user("x"), Message.user("y")]),
        lambda session: session.commit(),
        lambda session: session.used(["viking://a"]),
        lambda session: session.begin_message(message_id="m-5"),
        lambda session: session.record_tool_result("m-2", "c1", "real"),
    ],
)
def test_any_command_does(session: Session, clock: FakeClock, log: Log, command: Any) -> None:
    begun(session, "half", [CALL])
    clock.advance(61)

    command(session)

    assert types(log).count("message_interrupted") == 1
    assert "m-2" in [message.id for message in session.history()]
    assert log.verify("s") == []


def test_each_chunk_renews_the_lease(session: Session, clock: FakeClock) -> None:
    fence = begun(session)
    for number in range(1, 5):
        clock.advance(50)
        session.append_chunk("m-2", fence, number, "x")
        session.append(Message.user(str(number)))

    assert session.end_message("m-2", fence).text == "xxxx"


def test_a_late_producer_that_nobody_has_ended_goes_on(session: Session, clock: FakeClock) -> None:
    fence = begun(session, "a")
    clock.advance(3_600)

    session.append_chunk("m-2", fence, 2, "b")
    assert session.end_message("m-2", fence).text == "ab"


def test_a_reader_ends_nothing(session: Session, clock: FakeClock, log: Log) -> None:
    begun(session, "half")
    clock.advance(3_600)
    version = session.version

    session.tail()
    session.context()
    session.history()
    session.refresh()
    list(log.read("s"))
    assert session.streams()[0].message_id == "m-2"
    assert log.session("s").version == version


def test_a_worker_ends_it(session: Session, clock: FakeClock, log: Log) -> None:
    begun(session, "half")
    Worker(log).run_once()
    assert session.streams()

    clock.advance(125)
    Worker(log).run_once()

    assert [message.id for message in interrupted(session)] == ["m-2"]
    assert log.verify("s") == []


def test_a_jump_of_the_clock_ends_no_message(session: Session, clock: FakeClock) -> None:
    fence = begun(session, "a")
    clock.jump(3_600)
    session.append(Message.user("meanwhile"))

    session.append_chunk("m-2", fence, 2, "b")

    assert session.end_message("m-2", fence).text == "ab"


def test_a_message_whose_process_is_proven_dead_is_ended_at_once(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eventlog.engine.streams import arguments as stream_arguments

    dead = {**this_process(), "started": "1"}
    with eventlog.open("memory:", clock=clock) as log:
        session = log.session("s", create=True)
        with monkeypatch.context() as patched:
            patched.setattr(stream_arguments, "this_process", lambda store: dead)
            begun(session, "half")
        session.append(Message.user("next"))

        assert texts(session) == ["half", "next"]


def test_of_two_that_recover_at_once_one_does(clock: FakeClock) -> None:
    """Two logs on one store, as two processes are: the other's state is from before the message."""
    store = MemoryStore()
    first = Log(store, clock=clock)
    second = Log(store, clock=clock)
    one = first.session("s", create=True)
    one.append(Message.user("hi"))
    other = second.session("s")
    begun(one, "half", [CALL])
    clock.advance(61)

    other.append(Message.user("from the other"))
    one.append(Message.user("from here"))

    assert texts(one) == ["hi", "half", "from the other", "from here"]
    kinds = [record.type for record in store.read("s")]
    assert kinds.count("message_interrupted") == 1
    assert first.verify("s") == second.verify("s") == []


@pytest.mark.parametrize("verb", ["close", "delete"])
def test_the_end_of_a_session_ends_its_messages(session: Session, log: Log, verb: str) -> None:
    fence = begun(session, "half")

    getattr(session, verb)()

    assert [message.id for message in interrupted(session)] == ["m-2"]
    with pytest.raises((LeaseLost, SessionClosed)):
        session.append_chunk("m-2", fence, 2, "late")
    assert log.verify("s") == []


# ---- elsewhere --------------------------------------------------------------------------------


def test_a_session_is_opened_again_in_the_middle(url: str, clock: FakeClock) -> None:
    """From the records and from a snapshot: the state has what was begun."""
    if url == "memory:":
        pytest.skip("it is gone when it is closed")
    with eventlog.open(url, clock=clock) as log:
        session = log.session("s", create=True)
        session.extend([Message.user(str(number)) for number in range(300)])
        fence = begun(session, "a", [CALL])
        session.record_tool_result("m-2", "c1", "kept")
    with eventlog.open(url, clock=clock) as log:
        session = log.session("s")
        session.append_chunk("m-2", fence, 3, "b")
        ended = session.end_message("m-2", fence)

        assert (ended.text, ended.tools[0].tool_output) == ("a\nb", "kept")
        assert log.verify("s") == []


def test_the_past_shows_what_was_being_written(session: Session) -> None:
    fence = begun(session, "a")
    version = session.version
    session.append_chunk("m-2", fence, 2, "b")
    session.end_message("m-2", fence)

    assert [message.text for message in session.at(version=version).tail()] == ["hi", "a"]
    assert [message.text for message in session.at(version=version + 1).tail()] == ["hi", "ab"]


def test_a_fork_in_the_middle_can_be_ended(session: Session, clock: FakeClock) -> None:
    fence = begun(session, "a")
    fork = session.fork("other")

    assert [message.text for message in fork.tail()] == ["hi", "a"]
    clock.advance(61)
    fork.append(Message.user("next"))
    assert [message.text for message in fork.tail()] == ["hi", "a", "next"]
    session.append_chunk("m-2", fence, 2, "b")


def test_writing_leaves_the_time_of_the_last_change_alone(
    session: Session, clock: FakeClock
) -> None:
    before = session.meta.updated_at
    clock.advance(1)
    fence = begun(session, "a")
    assert session.meta.updated_at == before
    session.end_message("m-2", fence)
    assert session.meta.updated_at > before
