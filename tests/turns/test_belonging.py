"""What belongs to a turn, and what is left of an attempt that is begun again (T1)."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from eventlog import (
    Log,
    Message,
    Session,
)
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import core_of
from tests.turns.attempts import (
    Killed,
    calling,
    check,
    killed,
    marks_of,
    raised,
    states,
    tail,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_a_turn_is_completed_when_its_block_is_left(log: Log, session: Session) -> None:
    with session.turn("t1") as turn:
        assert (turn.turn_id, turn.attempt, turn.done) == ("t1", 1, False)
        session.append(user("q"))
        turn.append(Message.assistant("a", id="a"))

    assert tail(session) == ["q", "a"]
    assert states(session) == {"t1": "completed"}
    marks = [recorded.metadata.turn for recorded in log.read("s")]
    assert marks == [None, None, "t1", "t1", "t1"]
    check(log, session)


def test_begun_again_a_turn_withdraws_what_its_unfinished_attempt_added(
    log: Log, rival: Log, session: Session, clock: FakeClock
) -> None:
    session.append(user("before"))
    with raised(Killed), session.turn("t1") as turn:
        turn.append(user("q"))
        turn.append(calling("c", "x"))
        rival.session("s").append(user("other"))
        rival.session("s").append({"role": "tool", "tool_call_id": "x", "content": "1", "id": "r"})
        turn.record_tool_result("c", "x", "2")
        killed(turn)
    assert tail(session) == ["before", "q", "c", "other", "r"]
    clock.advance(61)

    with session.turn("t1") as turn:
        assert turn.attempt == 2
        assert tail(session) == ["before", "other"]
        session.append(user("q"))
        turn.append(Message.assistant("again", id="c"))
        turn.append(user("q"))  # The id is its key, as ever.

    assert tail(session) == ["before", "other", "q", "c"]
    assert [message.id for message in session.history()] == tail(session)
    check(log, session)


def test_a_turn_that_starts_anew_without_withdrawing_is_found(
    session: Session, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canary: the loop's input would be there twice."""
    monkeypatch.setattr("eventlog.session.turns.commands.plan_withdrawal", lambda *_, **__: None)
    for _ in range(2):
        with raised(Killed), session.turn("t1") as turn:
            turn.append(Message.user("drawn id"))
            killed(turn)
        clock.advance(61)

    assert len(session.tail()) == 2


def test_results_that_an_attempt_recorded_for_earlier_calls_are_withdrawn_too(
    log: Log, session: Session, clock: FakeClock
) -> None:
    session.append(calling("c", "x"))
    with raised(Killed), session.turn("t1") as turn:
        turn.record_tool_result("c", "x", "first")
        killed(turn)
    clock.advance(61)

    with session.turn("t1") as turn:
        assert session.tail()[0].parts[0].model_dump()["tool_status"] == "pending"
        session.record_tool_result("c", "x", "second")
        session.record_tool_result("c", "x", "second")

    assert session.tail()[0].parts[0].model_dump()["tool_output"] == "second"
    assert session.commit().archived == 1
    assert session.history()[0].parts[0].model_dump()["tool_output"] == "second"
    check(log, session)


def test_a_bare_thread_uses_the_handle_and_a_task_inherits_the_turn(session: Session) -> None:
    with session.turn("t1") as turn:
        plain = threading.Thread(target=session.append, args=(user("plain"),))
        bound = threading.Thread(target=turn.append, args=(user("bound"),))
        for thread in (plain, bound):
            thread.start()
            thread.join()

        async def inside() -> None:
            await asyncio.to_thread(session.append, user("inherited"))

        asyncio.run(inside())

    marks = marks_of(session.timeline(types=["message_appended"]))
    assert marks == {"plain": None, "bound": "t1", "inherited": "t1"}


def test_a_streamed_message_belongs_to_the_turn(
    log: Log, session: Session, clock: FakeClock
) -> None:
    def attempt(*, dies: bool) -> None:
        with session.turn("t1") as turn:
            turn.append(user("q"))
            with session.stream(message_id="a", background=False) as out:
                out.write("an answer")
            assert session.message("a").message.text == "an answer"
            if dies:
                killed(turn)

    with raised(Killed):
        attempt(dies=True)
    clock.advance(61)
    attempt(dies=False)

    assert tail(session) == ["q", "a"]
    assert marks_of(session.timeline(types=["message_appended"]))["a"] == "t1"
    check(log, session)


@pytest.mark.parametrize("times", [1, 2])
def test_what_an_attempt_was_still_writing_is_interrupted_and_withdrawn(
    log: Log, session: Session, clock: FakeClock, times: int
) -> None:
    """T1, M7: the audit has what a viewer saw."""
    part = {"type": "tool", "tool_id": "x", "tool_name": "t", "tool_status": "pending"}
    for _ in range(times):
        with raised(Killed), session.turn("t1") as turn:
            turn.append(user("q"))
            out = turn.stream(message_id="a", background=False).__enter__()
            out.write("half an ans")
            out.add(part)
            killed(turn)
        clock.advance(61)

    with session.turn("t1") as turn:
        assert tail(session) == []
        turn.append(user("q"))
        with session.stream(message_id="a", background=False) as again:
            again.write("whole")

    assert [message.text for message in session.history()] == ["q", "whole"]
    seen = [each for each in session.history(withdrawn=True) if each.id == "a"]
    assert [each.text for each in seen] == ["half an ans"] * times + ["whole"]
    assert not core_of(log, "s").state.window.pending
    assert not core_of(log, "s").state.streams
    check(log, session)


def loop_of_an_agent(session: Session, turns: Sequence[str], die_after: int) -> None:
    """Run turns of an agent, each with a call and its result, and die after some commands."""
    done = 0

    def alive(turn: Any) -> None:
        nonlocal done
        done += 1
        if done >= die_after:
            killed(turn)

    for name in turns:
        with session.turn(name, resume=True) as turn:
            if turn.done:
                continue
            turn.append(Message.user(f"input of {name}"))
            alive(turn)
            turn.append(calling(f"call-{name}", "t"))
            alive(turn)
            output = turn.step("tool", lambda name=name: f"output of {name}")
            alive(turn)
            turn.record_tool_result(f"call-{name}", "t", output)
            alive(turn)
            turn.append(Message.assistant(f"answer of {name}"))
            alive(turn)


@pytest.mark.parametrize("die_after", range(1, 12))
def test_a_loop_that_dies_anywhere_doubles_no_input_and_orphans_no_call(
    log: Log, session: Session, clock: FakeClock, die_after: int
) -> None:
    for _ in range(30):
        try:
            loop_of_an_agent(session, ["t1", "t2", "t3"], die_after)
        except Killed:
            clock.advance(61)
            if die_after < 6:
                die_after += 1
        else:
            break
    texts = [message.text for message in session.tail() if message.text]
    assert texts == [
        text for name in ("t1", "t2", "t3") for text in (f"input of {name}", f"answer of {name}")
    ]
    assert not core_of(log, "s").state.window.pending
    check(log, session)
