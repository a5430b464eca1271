"""Steps are recorded once, and read back by a later attempt (T3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from eventlog import (
    InvalidArgument,
    Log,
    Message,
    Session,
)
from eventlog.testing.clock import FakeClock
from tests.turns.attempts import (
    Killed,
    check,
    killed,
    raised,
)

if TYPE_CHECKING:
    from eventlog.session.turns.events import TurnStepCompleted


def test_a_finished_step_is_read_back_and_its_messages_come_again(
    log: Log, session: Session, clock: FakeClock
) -> None:
    calls: list[str] = []

    def ask(question: str) -> dict[str, str]:
        calls.append(question)
        return {"answer": question.upper()}

    def work(turn: Any, *, dies: bool) -> None:
        turn.append(Message.user("drawn"))
        found = turn.step(
            "ask", ask, "why", messages=lambda made: [Message.assistant(made["answer"])]
        )
        assert found == {"answer": "WHY"}
        if dies:
            killed(turn)
        turn.append(Message.assistant("end"))

    for dies in (True, True, False):
        clock.advance(61)
        try:
            with session.turn("t1", resume=True) as turn:
                work(turn, dies=dies)
        except Killed:
            pass

    assert calls == ["why"]
    assert [message.text for message in session.tail()] == ["drawn", "WHY", "end"]
    assert session.turns()[0].attempt == 3
    check(log, session)


def test_without_resume_steps_run_again(session: Session, clock: FakeClock) -> None:
    calls: list[int] = []
    for _ in range(2):
        clock.advance(61)
        with raised(Killed), session.turn("t1") as turn:
            turn.step("s", calls.append, 1)
            killed(turn)
    assert calls == [1, 1]


def test_with_other_arguments_a_step_runs_again(session: Session, clock: FakeClock) -> None:
    outputs: list[int] = []
    for number in (1, 2, 2):
        clock.advance(61)
        with raised(Killed), session.turn("t1", resume=True) as turn:
            outputs.append(turn.step("double", lambda value: value * 2, number))
            killed(turn)
    assert outputs == [2, 4, 4]


def test_a_name_is_used_once_in_an_attempt(session: Session) -> None:
    with session.turn("t1") as turn:
        assert turn.step("s", lambda: 1) == 1
        with pytest.raises(InvalidArgument, match="'s' was used before"):
            turn.step("s", lambda: 2)
        with pytest.raises(ZeroDivisionError):
            turn.step("fails", lambda: 1 / 0)
        assert turn.step("fails", lambda: 3) == 3
        for name in ("", 7, "\ud800"):
            with pytest.raises(InvalidArgument):
                turn.step(name, int)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="cannot be stored"):
            turn.step("object", object)


def test_an_output_is_returned_as_a_later_attempt_reads_it(session: Session) -> None:
    with session.turn("t1") as turn:
        pair: Any = turn.step("tuple", lambda: (1, 2))
        assert pair == [1, 2]
        large = "x" * 100_000
        assert turn.step("large", lambda: large) == large
    stored = session.timeline(types=["turn_step_completed"])
    assert [cast("TurnStepCompleted", each.event).blob is None for each in stored] == [True, False]
