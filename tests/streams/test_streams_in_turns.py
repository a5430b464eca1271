# ruff: noqa: PT012 - a block is what is cut
"""Messages that are streamed in turns: fence, lease, steps by name, and every end (M7, T1 to T5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import InvalidArgument, LeaseLost, Log, Message, Session, TurnOpen
from eventlog.codec import records_to_come
from eventlog.session_face import core_of as core_behind
from eventlog.stores.memory import MemoryStore
from eventlog.testing import FakeClock
from eventlog.testing.inside import core_of, engine_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(clock: FakeClock) -> Iterator[Log]:
    with Log(MemoryStore(), clock=clock) as opened:
        yield opened


@pytest.fixture
def rival(log: Log, clock: FakeClock) -> Iterator[Log]:
    """Another log on the same store, as another process has it."""
    with Log(engine_of(log).store.inner, clock=clock) as opened:
        yield opened


@pytest.fixture
def session(log: Log) -> Session:
    session = log.session("s", create=True)
    session.append(Message.user("hi", id="before"))
    return session


def types(session: Session, after: int) -> list[str]:
    """Return the types of the events after a version."""
    records = records_of(session)
    return [record.type for record in records if record.version > after]


def records_of(session: Session) -> list[Any]:
    return list(core_behind(session).store.read(session.id))


def begin(session: Session, **options: Any) -> Any:
    """Begin a turn, and a message with a call in it, as a process does that dies then."""
    turn = session.turn("t", **options)
    turn.__enter__()
    out = turn.stream("answer", message_id="a", background=False, chunk_bytes=1)
    out.__enter__()
    out.write("half")
    out.call("look", {}, tool_id="c")
    turn._run.release()  # pyright: ignore[reportPrivateUsage]
    return turn, out


def exact(log: Log, session: Session) -> None:
    """Assert that nothing is open, and that the session verifies."""
    session.refresh()
    state = core_of(log, session.id).state
    assert not state.streams
    assert not state.window.pending
    assert log.verify(session.id) == []


# ---- what belongs to the turn -------------------------------------------------------------------


def test_a_stream_begun_in_a_turn_belongs_to_it(log: Log, session: Session) -> None:
    with session.turn("t"), session.stream(background=False) as by_context:
        by_context.write("one")
        assert session.streams()[0].lease_until is None
    with session.turn("u") as turn, turn.stream(background=False) as by_handle:
        by_handle.write("two")
    events = [each for each in log.read("s") if each.metadata.turn]

    begun = {("message_begun", "t"), ("chunk_appended", "t"), ("message_ended", "t")}
    assert begun < {(each.type, each.metadata.turn) for each in events}
    said = [
        (each.event.message["id"], each.metadata.turn, each.metadata.attempt)  # type: ignore[attr-defined]
        for each in events
        if each.type == "message_appended"
    ]
    assert said == [(by_context.id, "t", 1), (by_handle.id, "u", 1)]
    exact(log, session)


def test_the_lease_of_the_turn_stands_in_for_that_of_the_stream(
    clock: FakeClock, session: Session, rival: Log
) -> None:
    turn, out = begin(session)
    for _ in range(3):
        clock.advance(50)
        turn._run.renew()  # pyright: ignore[reportPrivateUsage]
        rival.session("s").append(Message.user("meanwhile"))
    assert [stream.message_id for stream in session.streams()] == ["a"]
    out.write(" and half")
    assert out.end().text == "half\n and half"
    turn.end()


@pytest.mark.parametrize("ends", ["write", "end", "interrupt_message", "end_message"])
def test_a_late_owner_gets_lease_lost(
    clock: FakeClock, session: Session, rival: Log, ends: str
) -> None:
    _, out = begin(session)
    clock.advance(61)
    with rival.session("s").turn("t"):
        late: dict[str, Callable[[], object]] = {
            "write": lambda: (out.write("!"), out.flush()),
            "end": out.end,
            "interrupt_message": lambda: session.interrupt_message("a", out.fence),
            "end_message": lambda: session.end_message("a", out.fence),
        }
        with pytest.raises(LeaseLost):
            late[ends]()
    assert rival.session("s").tail()[-1].id == "before"


def test_recovery_waits_for_the_lease_of_the_turn(
    log: Log, clock: FakeClock, session: Session, rival: Log
) -> None:
    begin(session)
    other = rival.session("s")
    other.append(Message.user("early", id="early"))
    assert other.streams()
    clock.advance(61)
    other.append(Message.user("late", id="late"))

    assert [message.id for message in other.tail()] == ["before", "early", "a", "late"]
    assert (other.tail()[2].model_extra or {})["interrupted"] is True
    with other.turn("t"):
        assert [message.id for message in other.tail()] == ["before", "early", "late"]
    exact(log, session)


def test_a_worker_recovers_a_stream_of_a_turn(log: Log, clock: FakeClock, session: Session) -> None:
    begin(session)
    engine_of(log).interrupt_lost_streams()
    assert session.streams()
    clock.advance(61)
    engine_of(log).interrupt_lost_streams()

    assert not session.streams()
    exact(log, session)


# ---- names --------------------------------------------------------------------------------------


def test_the_end_of_a_named_stream_records_the_step_and_the_message_in_one_append(
    session: Session,
) -> None:
    with session.turn("t") as turn, turn.stream("answer", background=False) as out:
        out.write("Hello")
        version = session.version
        out.end()
        assert types(session, version) == [
            "chunk_appended", "turn_step_completed", "message_ended", "message_appended",
        ]  # fmt: skip
    step = next(each for each in records_of(session) if each.type == "turn_step_completed")
    assert records_to_come(step) == 2  # In the same append.


def test_steps_and_streams_share_their_names(session: Session) -> None:
    with session.turn("t") as turn:
        turn.step("one", lambda: 1)
        with pytest.raises(InvalidArgument, match="'one' was used"), turn.stream("one"):
            pass
        with session.stream("two", background=False) as out:
            out.write("x")
        with pytest.raises(InvalidArgument, match="'two' was used"):
            turn.step("two", lambda: 1)
        with pytest.raises(InvalidArgument, match="'two' was used"), session.stream("two"):
            pass


def test_an_interrupted_stream_frees_its_name(session: Session) -> None:
    with session.turn("t") as turn:
        with pytest.raises(ValueError, match="cut"), turn.stream("a", background=False) as out:
            out.write("half")
            raise ValueError("cut")
        with turn.stream("a", background=False) as out:
            out.write("whole")
    assert [message.text for message in session.tail()] == ["hi", "half", "whole"]


@pytest.mark.parametrize("message_id", [None, "a"])
def test_a_finished_stream_is_read_back_at_its_place(
    log: Log, session: Session, message_id: str | None
) -> None:
    with pytest.raises(ValueError, match="crash"), session.turn("t", resume=True) as turn:
        with turn.stream("answer", message_id=message_id, background=False) as first:
            first.write("Hello")
        raise ValueError("crash")
    for _ in range(2):  # Another attempt fails in between; the step is still there.
        with pytest.raises(ValueError, match="crash"), session.turn("t", resume=True) as turn:
            session.append(Message.user("input", id="input"))
            with session.stream("answer", message_id=message_id) as again:
                assert again.done
                assert again.message.text == "Hello"
                assert again.id == first.id
                with pytest.raises(InvalidArgument, match="finished"):
                    again.write("more")
            raise ValueError("crash")

    assert [message.id for message in session.tail()] == ["before", "input", first.id]
    exact(log, session)


def test_without_resume_and_with_other_arguments_it_runs_again(log: Log, session: Session) -> None:
    for role, resume in (("assistant", False), ("assistant", False), ("system", True)):
        with pytest.raises(ValueError, match="crash"), session.turn("t", resume=resume) as turn:
            with turn.stream("answer", role=role, message_id="a", background=False) as out:  # type: ignore[arg-type]
                assert not out.done
                out.write(role)
            raise ValueError("crash")
    assert [message.text for message in session.tail()] == ["hi", "system"]
    exact(log, session)


def test_an_id_of_the_loops_own_may_stream_again_and_again(
    log: Log, clock: FakeClock, session: Session
) -> None:
    """Ids of the message, of its end, and of the results of its calls follow from the id."""
    for _ in range(3):
        turn, out = begin(session, resume=True)
        session.record_tool_result("a", "c", "found")
        clock.advance(61)
    turn, out = begin(session, resume=True)
    session.record_tool_result("a", "c", "found")
    assert out.end().tools[0].tool_output == "found"
    turn.end()
    assert [message.id for message in session.tail()] == ["before", "a"]
    exact(log, session)


# ---- ends ---------------------------------------------------------------------------------------


def test_a_turn_begun_again_records_what_arrived_and_withdraws_it_in_one_append(
    log: Log, clock: FakeClock, session: Session, rival: Log
) -> None:
    _, out = begin(session)
    out.flush()
    clock.advance(61)
    version = session.version
    with rival.session("s").turn("t"):
        assert types(session, version)[:5] == [
            "message_interrupted", "message_appended", "tool_result_recorded",
            "messages_withdrawn", "turn_begun",
        ]  # fmt: skip
        assert [message.id for message in rival.session("s").tail()] == ["before"]
    history = session.history(withdrawn=True)
    assert [message.text for message in history] == ["hi", "half"]
    exact(log, session)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit()])
@pytest.mark.parametrize("on_error", ["keep", "withdraw"])
def test_an_end_by_an_exception_ends_the_stream(
    log: Log, session: Session, error: BaseException, on_error: str
) -> None:
    turn, _ = begin(session, on_error=on_error)
    version = session.version
    turn.__exit__(type(error), error, None)

    kept = ["message_interrupted", "message_appended", "tool_result_recorded"]
    how = "turn_failed" if isinstance(error, ValueError) else "turn_cancelled"
    gone = [] if on_error == "keep" else ["messages_withdrawn"]
    assert types(session, version) == [*kept, *gone, how]
    exact(log, session)


@pytest.mark.parametrize("how", ["close", "delete", "abandon", "another", "commit"])
def test_every_end_that_others_bring_ends_the_stream(
    log: Log, clock: FakeClock, session: Session, how: str
) -> None:
    begin(session)
    version = session.version
    if how not in ("close", "delete"):
        clock.advance(700)
    if how == "close":
        session.close()
    elif how == "delete":
        session.delete()
    elif how == "abandon":
        assert engine_of(log).abandon_stale_turns() == 1
    elif how == "commit":
        session.commit()
    else:
        with session.turn("other"):
            pass

    ends = [type_ for type_ in types(session, version) if "renewed" not in type_]
    assert ends[:4] == [
        "message_interrupted", "message_appended", "tool_result_recorded", "turn_abandoned",
    ]  # fmt: skip
    exact(log, session)


def test_completing_a_turn_ends_what_it_still_writes(log: Log, session: Session) -> None:
    turn, out = begin(session)
    turn.end("done")
    with pytest.raises(LeaseLost):
        out.end()
    assert (session.tail()[-1].model_extra or {})["interrupted"] is True
    exact(log, session)


def test_a_commit_takes_nothing_of_a_stream_in_a_turn(
    clock: FakeClock, session: Session, rival: Log
) -> None:
    begin(session)
    other = rival.session("s")
    assert other.commit().archived == 1
    other.append(Message.user("x"))
    assert other.commit().reason == "turn_open"
    clock.advance(61)
    assert other.commit().reason == "turn_open"  # What arrived is a message now, and the turn's.
    assert [message.id for message in other.tail()][-1] == "a"


def test_a_stream_of_others_passes_the_turn_by(session: Session, rival: Log) -> None:
    other = rival.session("s")
    with other.stream(background=False) as out:
        with session.turn("t") as turn:
            out.write("x")
            with pytest.raises(TurnOpen):
                session.turn("u").__enter__()
            turn.end()
        out.write("y")
    assert session.tail()[-1].text == "xy"


def test_the_asynchronous_face_does_the_same() -> None:
    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            for done in (False, True):
                with pytest.raises(ValueError, match="crash"):
                    async with session.turn("t", resume=True) as turn:
                        async with session.stream("one") as out:
                            assert out.done is done
                            if not out.done:
                                await out.write("Hello")
                        with pytest.raises(InvalidArgument, match="'one' was used"):
                            async with turn.stream("one"):
                                pass
                        raise ValueError("crash")
            assert [message.text for message in await session.tail()] == ["Hello"]
            with pytest.raises(asyncio.CancelledError):
                async with session.turn("u") as turn, turn.stream("two") as out:
                    await out.write("half")
                    await out.call("look", {})
                    raise asyncio.CancelledError
            last = (await session.tail())[-1]
            assert (last.model_extra or {})["interrupted"] is True
            assert last.tools[0].tool_output == "interrupted"
            assert not await session.streams()

    asyncio.run(main())
