"""Restarts: how soon, how many in a row, how many within a window, and what counts as progress (R1)."""

from __future__ import annotations

from typing import cast

import pytest

from eventlog import InvalidArgument, LeaseLost, Log, Message, RestartPolicy, Session
from eventlog.session.commands import AppendMessages
from eventlog.session.runs.events import RunCrashed
from eventlog.session.turns.commands import CompleteTurnStep
from eventlog.session.turns.state import TurnFence
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import core_of, engine_of
from tests.runs.driving import check, run_of, settle, start, types


def finish_step(log: Log, run_id: str, attempt: int, name: str) -> None:
    fence = TurnFence(run_id, attempt)
    step = CompleteTurnStep(fence, name, "", 1, None, AppendMessages((), (), ()))
    engine_of(log).execute(core_of(log, "s"), step, fence=fence)


def append(log: Log, run_id: str, attempt: int, id_: str) -> None:
    from eventlog.engine import arguments

    fence = TurnFence(run_id, attempt)
    core = core_of(log, "s")
    message = Message.assistant("said", id=id_)
    command = arguments.append(core, len, [message], None, fence)
    engine_of(log).execute(core, command, fence=fence)


def test_restarts_follow_after_1_2_and_4_seconds_then_the_run_has_failed(
    log: Log, session: Session, clock: FakeClock
) -> None:
    run_id = session.enqueue(Message.user("x"))
    assert start(log, run_id).attempt == 1
    for attempt, delay in ((2, 1), (3, 2), (4, 4)):
        assert settle(log, run_id, "crashed") == "backing_off"
        clock.advance(delay - 0.001)
        assert start(log, run_id).attempt == 0
        clock.advance(0.001)
        assert start(log, run_id).attempt == attempt
    assert settle(log, run_id, "crashed") == "failed"

    view = run_of(log, run_id)
    assert (view.state, view.attempt, view.restarts) == ("failed", 4, 3)
    assert view.error == "it broke (after 3 restarts without progress)"
    clock.advance(3_600)
    assert start(log, run_id).attempt == 0
    check(log)


def test_a_step_that_no_earlier_attempt_finished_is_progress(
    log: Log, session: Session, clock: FakeClock
) -> None:
    run_id = session.enqueue(Message.user("x"))
    start(log, run_id)
    for attempt in range(1, 6):
        finish_step(log, run_id, attempt, f"step {attempt}")
        assert settle(log, run_id, "crashed") == "backing_off"
        clock.advance(1)  # The first delay each time.
        assert start(log, run_id).attempt == attempt + 1
    check(log)


@pytest.mark.parametrize("what", ["message", "the same step"])
def test_what_an_attempt_repeats_is_no_progress(
    log: Log, session: Session, clock: FakeClock, what: str
) -> None:
    run_id = session.enqueue(Message.user("x"))
    start(log, run_id)
    finish_step(log, run_id, 1, "a")
    for attempt in range(1, 5):
        if what == "message":
            append(log, run_id, attempt, "said")
        elif attempt > 1:
            finish_step(log, run_id, attempt, "a")
        state = settle(log, run_id, "crashed")
        clock.advance(4)
        start(log, run_id)
    assert state == "failed"
    check(log)


def test_a_run_that_crashes_right_after_each_success_is_stopped_by_the_window(
    log: Log, session: Session, clock: FakeClock
) -> None:
    run_id = session.enqueue(Message.user("x"))
    attempt, state = start(log, run_id).attempt, ""
    while attempt:
        finish_step(log, run_id, attempt, f"step {attempt}")
        state = settle(log, run_id, "crashed") or ""
        clock.advance(1)
        attempt = start(log, run_id).attempt

    view = run_of(log, run_id)
    assert (state, view.state, view.attempt, view.restarts) == ("failed", "failed", 11, 10)
    assert view.error == "it broke (after 10 restarts within 600 s)"


def test_a_window_passes(log: Log, session: Session, clock: FakeClock) -> None:
    policy = RestartPolicy(window=(2, 10.0))
    run_id = session.enqueue(Message.user("x"))
    start(log, run_id)
    for attempt in range(1, 8):
        finish_step(log, run_id, attempt, f"step {attempt}")
        assert settle(log, run_id, "crashed", policy=policy) == "backing_off"
        clock.advance(10)
        assert start(log, run_id).attempt == attempt + 1


def test_an_attempt_counts_when_it_begins(log: Log, session: Session, clock: FakeClock) -> None:
    """Or a run that kills its process would never be counted."""
    run_id = session.enqueue(Message.user("x"))
    start(log, run_id)
    settle(log, run_id, "crashed")
    clock.advance(1)
    start(log, run_id)

    assert run_of(log, run_id).restarts == 1


def test_a_release_counts_for_nothing(log: Log, session: Session) -> None:
    run_id = session.enqueue(Message.user("x"))
    for _ in range(20):
        assert start(log, run_id).is_begun
        assert settle(log, run_id, "released") == "idle"
    assert run_of(log, run_id).restarts == 0
    check(log)


def test_a_service_is_waited_for_longer_if_it_says_so(
    log: Log, session: Session, clock: FakeClock
) -> None:
    run_id = session.enqueue(Message.user("x"))
    start(log, run_id)
    settle(log, run_id, "crashed", least_delay=30_000_000)
    clock.advance(29)
    assert start(log, run_id).attempt == 0
    clock.advance(1)
    assert start(log, run_id).attempt == 2


def test_a_late_attempt_writes_nothing_while_its_run_waits(log: Log, session: Session) -> None:
    """R3: the turn stays open meanwhile, and the attempt was settled."""
    run_id = session.enqueue(Message.user("x"))
    start(log, run_id)
    settle(log, run_id, "crashed")
    before = session.version

    with pytest.raises(LeaseLost, match="backing_off"):
        append(log, run_id, 1, "late")
    with pytest.raises(LeaseLost, match="backing_off"):
        finish_step(log, run_id, 1, "late")
    assert session.version == before


def test_an_attempt_is_settled_once(log: Log, session: Session) -> None:
    run_id = session.enqueue(Message.user("x"))
    start(log, run_id)
    before = session.version
    assert settle(log, run_id, "crashed", attempt=1) == "backing_off"
    assert settle(log, run_id, "crashed", attempt=1) is None
    assert settle(log, run_id, "lost") is None
    assert types(log, after=before) == ["run_crashed"]


def test_what_an_attempt_left_open_is_settled_in_the_same_append(
    log: Log, session: Session, clock: FakeClock
) -> None:
    """R4: interrupted messages, then open calls, then the run."""
    run_id = session.enqueue(Message.user("x"))
    start(log, run_id)
    from eventlog.engine import arguments

    call = {"type": "tool", "tool_id": "t1", "tool_name": "look", "tool_status": "pending"}
    fence, core, engine = TurnFence(run_id, 1), core_of(log, "s"), engine_of(log)
    message = Message.model_validate({"role": "assistant", "parts": [call], "id": "calls"})
    engine.execute(core, arguments.append(core, len, [message], None, fence), fence=fence)
    turn = session.turn(run_id)._run
    turn.attempt = 1
    turn.bind()
    begun = session.begin_message(message_id="m2")
    session.append_chunk("m2", begun.fence, 1, "so fa")
    turn.release()
    before = session.version

    assert settle(log, run_id, "crashed") == "backing_off"

    assert types(log, after=before) == [
        "message_interrupted", "message_appended", "tool_result_recorded", "run_crashed",
    ]  # fmt: skip
    assert session.tail()[-1].text == "so fa"
    assert session.context().to_chat()
    check(log)


def test_a_lost_owner_is_found_by_its_lease(log: Log, session: Session, clock: FakeClock) -> None:
    run_id = session.enqueue(Message.user("x"))
    start(log, run_id)
    assert settle(log, run_id, "lost", "its supervisor was lost") is None
    clock.advance(61)
    assert settle(log, run_id, "lost", "x", expires_leases=False) is None
    assert settle(log, run_id, "lost", "its supervisor was lost") == "backing_off"
    (crashed,) = [cast("RunCrashed", e.event) for e in log.read("s") if e.type == "run_crashed"]
    assert crashed.owner_lost
    check(log)


@pytest.mark.parametrize(
    "fields",
    [
        {"consecutive": -1},
        {"consecutive": 1.5},
        {"delays": ()},
        {"delays": (float("nan"),)},
        {"delays": (-1,)},
        {"delays": 5},
        {"delays": "12"},
        {"delays": {1, 2}},
        {"window": 5},
        {"window": None},
        {"window": (3,)},
        {"window": (101, 1.0)},
        {"window": (3, float("inf"))},
    ],
)
def test_a_policy_out_of_range_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        RestartPolicy(**fields)  # type: ignore[arg-type]
