"""Inbound messages: queued, run in order, each once (R5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventlog import (
    DuplicateEvent,
    InvalidArgument,
    Log,
    Message,
    MessageWithdrawn,
    Run,
    Session,
    SessionClosed,
    Supervisor,
)
from eventlog.session.turns.commands import EndTurn
from eventlog.session.turns.state import TurnFence
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import core_of
from tests.runs.driving import LEASE, check, run_of, settle, start, types


def user(id_: str) -> Message:
    return Message.user(id_, id=id_)


def complete(log: Log, run_id: str, attempt: int) -> None:
    fence = TurnFence(run_id, attempt)
    core = core_of(log, "s")
    command = EndTurn(fence, "completed", {"ok": True})
    from eventlog.testing.inside import engine_of

    engine_of(log).execute(core, command, fence=fence)


def test_a_queued_message_is_a_task_and_in_no_tail(log: Log, session: Session) -> None:
    run_id = session.enqueue(user("m1"))

    assert session.tail() == ()
    assert session.meta.message_count == 0
    (task,) = log.tasks(kind="inbound")
    assert (task.task_id, task.state, task.status) == (run_id, "pending", "pending")
    (run,) = log.runs()
    assert (run.run_id, run.message_id, run.state, run.attempt) == (run_id, "m1", "idle", 0)
    check(log)


def test_queuing_again_returns_the_same_run(log: Log, session: Session) -> None:
    run_id = session.enqueue(user("m1"))
    assert session.enqueue(user("m1")) == run_id
    with pytest.raises(DuplicateEvent):
        session.enqueue(Message.user("another", id="m1"))
    keyed = session.enqueue({"role": "user", "content": "x"}, idempotency_key="k")
    assert session.enqueue({"role": "user", "content": "x"}, idempotency_key="k") == keyed
    assert len([*log.runs()]) == 2


def test_what_the_session_has_is_not_queued(log: Log, session: Session) -> None:
    session.append(user("m1"))
    with pytest.raises(DuplicateEvent, match="in the session already"):
        session.enqueue(user("m1"))


def test_what_was_withdrawn_is_not_queued(log: Log, session: Session) -> None:
    """M13."""
    session.append(user("m1"))
    session.withdraw(message_ids=["m1"])
    with pytest.raises(MessageWithdrawn, match="of version 2 was withdrawn at version 3"):
        session.enqueue(user("m1"))

    run_id = session.enqueue(user("m2"))
    start(log, run_id)
    settle(log, run_id, "failed")
    session.withdraw(message_ids=["m2"])
    assert session.enqueue(user("m2")) == run_id  # As a repetition.
    check(log)


def _step_of_another_turn(session: Session, message: Message) -> None:
    with session.turn("another") as turn:
        turn.step("say", lambda: None, messages=[message])


@pytest.mark.parametrize(
    "record",
    [
        lambda session, message: session.append(message),
        lambda session, message: session.append(message, expected=session.version),
        lambda session, message: session.extend([Message.user("x", id="x"), message]),
        lambda session, message: session.record(message),
        lambda session, message: session.replace(after=0, messages=[message]),
        lambda session, message: session.replace(message_ids=["m0"], messages=[message]),
        lambda session, message: session.begin_message(message.role, message_id=message.id),
        lambda session, message: session.stream(message_id=message.id).__enter__(),
        _step_of_another_turn,
    ],
    ids=["append", "expected", "extend", "record", "replace", "edit", "begin", "stream", "step"],
)
@pytest.mark.parametrize("text", ["m1", "something else"])
def test_the_id_of_a_queued_message_is_taken_whatever_the_content(
    log: Log, session: Session, record: Any, text: str
) -> None:
    session.append(user("m0"))
    run_id = session.enqueue(user("m1"))

    with pytest.raises(DuplicateEvent, match=f"message 'm1' is queued, and run {run_id} will"):
        record(session, Message.user(text, id="m1"))

    assert session.enqueue(user("m1")) == run_id
    assert start(log, run_id).attempt == 1
    assert [(each.id, each.text) for each in session.tail()] == [("m0", "m0"), ("m1", "m1")]
    assert session.append(user("m1")).text == "m1"  # As a repetition of the run's own append.
    with pytest.raises(DuplicateEvent, match="id of message 'm1' was used before"):
        session.append(Message.user("something else", id="m1"))
    check(log)


def test_an_id_is_free_again_once_its_run_is_over_without_a_start(
    log: Log, session: Session
) -> None:
    first, second = session.enqueue(user("m1")), session.enqueue(user("m2"))
    settle(log, first, "abandoned")
    session.stop_run(second)
    session.extend([user("m1"), user("m2")])
    assert [message.id for message in session.tail()] == ["m1", "m2"]
    assert core_of(log, "s").state.queued is None
    check(log)


def test_a_failed_run_keeps_the_id_of_the_message_that_it_never_appended(
    log: Log, session: Session
) -> None:
    """It may be queued again."""
    run_id = session.enqueue(user("m1"))
    settle(log, run_id, "failed")
    with pytest.raises(DuplicateEvent, match="is queued"):
        session.append(user("m1"))
    assert session.retry(run_id) == "accepted"
    assert start(log, run_id).attempt == 1
    check(log)


def test_a_run_answers_the_message_that_was_put_in_the_place_of_its_own(
    log: Log, session: Session
) -> None:
    run_id = session.enqueue(user("m1"))
    start(log, run_id)
    settle(log, run_id, "released")
    session.replace(message_ids=["m1"], messages=[Message.user("corrected", id="m1")])

    prompts: list[str] = []

    async def agent(run: Run) -> None:
        prompts.append(run.prompt.text)

    assert asyncio.run(Supervisor(log, agent).run_once()) == 1
    assert prompts == ["corrected"]
    assert [message.text for message in session.tail()] == ["corrected"]
    check(log)


def test_a_message_that_a_fork_has_under_the_id_is_answered_and_not_appended_twice(
    log: Log, session: Session
) -> None:
    session.append(user("m0"))
    session.enqueue(user("m1"))
    forked = session.fork("t", edit={2: Message.user("other", id="m1")})
    prompts: list[str] = []

    async def agent(run: Run) -> None:
        prompts.append(f"{run.session.id} {run.prompt.text}")

    assert asyncio.run(Supervisor(log, agent).run_once()) == 2
    assert sorted(prompts) == ["s m1", "t other"]
    assert [message.text for message in forked.tail()] == ["other"]
    check(log)
    check(log, "t")


def test_an_attempt_begins_run_turn_and_message_in_one_append(log: Log, session: Session) -> None:
    run_id = session.enqueue(user("m1"))
    before = session.version

    started = start(log, run_id)

    assert started.attempt == 1
    assert types(log, after=before) == ["run_started", "turn_begun", "message_appended"]
    times = {recorded.time for recorded in log.read("s", after=before)}
    assert len(times) == 1
    (turn,) = session.turns()
    assert (turn.turn_id, turn.state) == (run_id, "open")
    marked = [recorded.metadata.turn for recorded in log.read("s", after=before)]
    assert marked[-1] == run_id
    assert start(log, run_id).attempt == 0
    check(log)


def test_messages_run_one_after_another_and_a_failed_one_holds_up_no_other(
    log: Log, session: Session
) -> None:
    first, second = session.enqueue(user("m1")), session.enqueue(user("m2"))

    assert start(log, second).attempt == 0
    start(log, first)
    assert start(log, second).attempt == 0
    assert settle(log, first, "failed") == "failed"
    assert start(log, second).attempt == 1
    complete(log, second, 1)

    assert [run.state for run in log.runs("s")] == ["failed", "completed"]
    assert [task.state for task in log.tasks("s")] == ["terminal_failed", "completed"]
    check(log)


def test_a_failed_run_can_be_queued_again(log: Log, session: Session) -> None:
    run_id = session.enqueue(user("m1"))
    start(log, run_id)
    settle(log, run_id, "failed")

    assert session.retry(run_id) == "accepted"
    assert run_of(log, run_id).state == "idle"
    assert start(log, run_id).attempt == 2
    complete(log, run_id, 2)

    assert [message.id for message in session.tail()] == ["m1"]
    assert run_of(log, run_id).state == "completed"
    check(log)


def test_the_end_of_the_turn_completes_run_and_task(log: Log, session: Session) -> None:
    run_id = session.enqueue(user("m1"))
    start(log, run_id)
    before = session.version

    complete(log, run_id, 1)

    assert types(log, after=before) == ["run_completed", "turn_completed"]
    assert log.task(run_id).state == "completed"
    assert core_of(log, "s").state.runs == {}
    assert session.retry(run_id) == "already_completed"
    check(log)


def test_an_attempt_begun_again_appends_its_message_again(log: Log, session: Session) -> None:
    run_id = session.enqueue(user("m1"))
    start(log, run_id)
    assert settle(log, run_id, "released") == "idle"
    before = session.version

    assert start(log, run_id).attempt == 2

    assert types(log, after=before) == [
        "messages_withdrawn", "run_started", "turn_begun", "message_appended",
    ]  # fmt: skip
    assert [message.id for message in session.tail()] == ["m1"]
    assert settle(log, run_id, "released") == "idle"
    assert start(log, run_id).attempt == 3
    assert [message.id for message in session.tail()] == ["m1"]
    check(log)


def test_a_waiting_turn_is_kept_from_commits(log: Log, session: Session) -> None:
    """An attempt that was archived could not be withdrawn when the turn is begun again."""
    run_id = session.enqueue(user("m1"))
    start(log, run_id)
    settle(log, run_id, "released")

    assert session.commit().status == "skipped"
    assert start(log, run_id).attempt == 2
    check(log)


def test_closing_and_deleting_abandon_what_waits(log: Log, session: Session) -> None:
    runs = [session.enqueue(user(f"m{number}")) for number in range(51)]
    start(log, runs[0])
    session.close()

    assert {run.state for run in log.runs("s")} == {"abandoned"}
    assert [*log.tasks("s", state="pending")] == []
    with pytest.raises(SessionClosed):
        session.enqueue(user("late"))
    check(log)

    other = log.session("t", create=True)
    failed = other.enqueue(user("m1"))
    start(log, failed, session="t")
    settle(log, failed, "failed", session="t")
    other.enqueue(user("m2"))
    other.delete()
    assert {run.state for run in log.runs("t")} == {"abandoned"}
    check(log, "t")


def test_an_abandoned_message_is_run_no_more(log: Log, session: Session) -> None:
    first, second = session.enqueue(user("m1")), session.enqueue(user("m2"))
    start(log, first)

    session.abandon(first, reason="not wanted")
    log.abandon(second)

    assert [(run.state, run.error) for run in log.runs("s")] == [
        ("abandoned", "not wanted"),
        ("abandoned", "abandoned"),
    ]
    assert [turn.state for turn in session.turns()] == ["abandoned"]
    check(log)


def test_a_run_that_waits_is_stopped_at_once(log: Log, session: Session) -> None:
    first, second = session.enqueue(user("m1")), session.enqueue(user("m2"))
    assert session.stop_run() is None
    assert session.stop_run(second, reason="changed my mind") == second
    start(log, first)
    settle(log, first, "crashed")
    assert session.stop_run() == first

    assert [run.state for run in log.runs("s")] == ["cancelled", "cancelled"]
    assert [task.state for task in log.tasks("s")] == ["abandoned", "abandoned"]
    assert [turn.state for turn in session.turns()] == ["cancelled"]
    check(log)


def test_a_run_that_is_executed_is_stopped_by_its_owner(
    log: Log, session: Session, clock: FakeClock
) -> None:
    run_id = session.enqueue(user("m1"))
    start(log, run_id)

    assert session.stop_run(reason="enough") == run_id
    assert session.stop_run(reason="enough") == run_id
    view = run_of(log, run_id)
    assert (view.state, view.stop_requested) == ("running", "enough")
    assert settle(log, run_id, "released") == "cancelled"
    assert run_of(log, run_id).error == "enough"
    check(log)

    late = session.enqueue(user("m2"))
    start(log, late)
    clock.advance(LEASE / 1e6 + 1)
    assert session.stop_run() == late
    assert run_of(log, late).state == "cancelled"
    check(log)


def test_arguments_of_the_verbs_are_checked(log: Log, session: Session) -> None:
    with pytest.raises(InvalidArgument):
        session.stop_run("no id")
    with pytest.raises(InvalidArgument):
        session.stop_run(reason="x" * 501)
    with pytest.raises(InvalidArgument):
        [*log.runs(state="eager")]  # type: ignore[arg-type]
    assert [*log.runs("nobody")] == []
