"""Commits beside an open turn, and how a turn ends (T4, T5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eventlog import (
    AutoCommitPolicy,
    LeaseLost,
    Log,
    MessageWithdrawn,
    Session,
    SessionClosed,
    TurnClosed,
    TurnOpen,
    Worker,
)
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import core_of, engine_of
from tests.turns.attempts import (
    Killed,
    calling,
    check,
    killed,
    raised,
    states,
    tail,
    user,
)


def test_a_commit_takes_nothing_of_an_open_turn_whoever_wrote_it(
    log: Log, rival: Log, session: Session
) -> None:
    session.extend([user("a"), user("b")])
    with session.turn("t1") as turn:
        turn.append(user("q"))
        rival.session("s").append(user("other"))
        assert session.commit().archived == 2
        assert session.commit().reason == "turn_open"
        assert rival.session("s").commit(keep_recent=1).reason == "turn_open"
        assert session.commit(keep_recent=9).reason == "all_within_keep_window"
    assert tail(session) == ["q", "other"]
    assert session.commit().archived == 2
    check(log, session)


def test_automatic_commits_count_only_what_could_be_taken(log: Log, clock: FakeClock) -> None:
    policy = AutoCommitPolicy(messages=3, idle_seconds=60.0)
    session = log.session("auto", create=True, auto_commit=policy)
    with session.turn("t1"):
        session.extend([user(f"m{number}") for number in range(5)])
        assert session.meta.commit_count == 0
        clock.advance(120)
        assert engine_of(log).commit_idle() == ()
    session.append(user("more"))
    assert session.meta.commit_count == 1
    check(log, session)


def test_a_completed_turn_never_runs_again(session: Session) -> None:
    with session.turn("t1") as turn:
        turn.append(user("q"))
        turn.end({"answer": 42})
        turn.end({"answer": 42})
        assert turn.result == {"answer": 42}
        with pytest.raises(LeaseLost):
            turn.append(user("late"))
    with session.turn("t1") as turn:
        assert (turn.done, turn.result, turn.attempt) == (True, {"answer": 42}, 1)
        session.append(user("outside"))
    with session.turn("t2"):
        pass
    with session.turn("t2") as turn:
        assert (turn.done, turn.result) == (True, None)
    assert tail(session) == ["q", "outside"]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ValueError("no"), "failed"),
        (KeyboardInterrupt(), "cancelled"),
        (SystemExit(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
def test_a_turn_ends_as_its_block_is_left(
    log: Log, session: Session, error: BaseException, state: str
) -> None:
    with raised(type(error)), session.turn("t1") as turn:
        turn.append(calling("c", "x"))
        raise error

    assert states(session) == {"t1": state}
    part = session.tail()[0].parts[0].model_dump()
    assert (part["tool_status"], part["tool_output"], part["interrupted"]) == (
        "error",
        "interrupted",
        True,
    )
    session.record_tool_result("c", "x", "late but real")
    part = session.tail()[0].parts[0].model_dump()
    assert (part["tool_status"], part["tool_output"]) == ("completed", "late but real")
    assert "interrupted" not in part
    with session.turn("t1") as turn:
        assert (turn.attempt, tail(session)) == (2, [])
    check(log, session)


def test_a_turn_can_withdraw_what_it_added_when_it_fails(log: Log, session: Session) -> None:
    session.append(user("a"))
    with raised(ValueError, match="no"), session.turn("t1", on_error="withdraw") as turn:
        turn.extend([user("q"), calling("c", "x")])
        raise ValueError("no")

    assert tail(session) == ["a"]
    assert session.turns()[0].error == "ValueError: no"
    with pytest.raises(MessageWithdrawn):
        session.append(user("q"))
    check(log, session)


def test_a_failed_turn_of_which_a_commit_took_part_takes_a_new_id(
    log: Log, session: Session
) -> None:
    with raised(ValueError, match="no"), session.turn("t1") as turn:
        turn.extend([user("q"), user("r")])
        raise ValueError("no")
    session.commit(keep_recent=1)

    with pytest.raises(TurnClosed) as caught, session.turn("t1"):
        pass
    assert (caught.value.turn_id, caught.value.state) == ("t1", "failed")
    with session.turn("t2"):
        pass
    assert tail(session) == ["r"]
    check(log, session)


def test_a_stale_turn_holds_until_it_is_abandoned(
    log: Log, rival: Log, session: Session, clock: FakeClock
) -> None:
    with raised(Killed), session.turn("t1", stale_seconds=100.0) as turn:
        turn.append(user("q"))
        killed(turn)
    clock.advance(159)
    with pytest.raises(TurnOpen), session.turn("t2"):
        pass
    assert session.commit().reason == "turn_open"
    clock.advance(1)
    with session.turn("t2"):
        assert states(session) == {"t1": "abandoned", "t2": "open"}
    assert tail(session) == ["q"]
    check(log, session)


@pytest.mark.parametrize("on_error", ["keep", "withdraw"])
@pytest.mark.parametrize("by", ["commit", "worker", "turn"])
def test_a_stale_turn_is_abandoned_by_whoever_comes(
    log: Log, session: Session, clock: FakeClock, by: str, on_error: Any
) -> None:
    session.append(user("a"))
    with raised(Killed), session.turn("t1", on_error=on_error) as turn:
        turn.extend([user("q"), calling("c", "x")])
        killed(turn)
    clock.advance(661)

    if by == "commit":
        archived = session.commit().archived
        assert archived == (3 if on_error == "keep" else 1)
    elif by == "worker":
        Worker(log).run_once()
    else:
        with session.turn("t2"):
            pass
    assert states(session)["t1"] == "abandoned"
    said = [message.id for message in session.history()]
    assert said == (["a", "q", "c"] if on_error == "keep" else ["a"])
    assert not core_of(log, "s").state.window.pending
    check(log, session)


@pytest.mark.parametrize("end", ["close", "delete"])
def test_the_end_of_a_session_ends_its_turn(
    log: Log, rival: Log, session: Session, end: str
) -> None:
    with session.turn("t1") as turn:
        turn.append(calling("c", "x"))
        version = session.version
        getattr(rival.session("s"), end)()
        with pytest.raises((SessionClosed, LeaseLost)):
            turn.append(user("late"))
    types = [recorded.type for recorded in log.read("s", after=version)]
    assert types[:2] == ["tool_result_recorded", "turn_abandoned"]
    assert states(session) == {"t1": "abandoned"}
    check(log, session)


@pytest.mark.parametrize("end", ["close", "delete"])
def test_the_end_of_a_session_withdraws_what_its_turn_was_to_withdraw(
    log: Log, rival: Log, session: Session, end: str
) -> None:
    session.append(user("a"))
    with session.turn("t1", on_error="withdraw") as turn:
        turn.extend([user("q"), calling("c", "x")])
        rival.session("s").append(user("other"))
        out = turn.stream(message_id="half")
        out.__enter__()
        out.write("half")
        out.flush()
        version = session.version
        getattr(rival.session("s"), end)()
        with pytest.raises((SessionClosed, LeaseLost)):
            out.end()

    assert states(session) == {"t1": "abandoned"}
    types = [recorded.type for recorded in log.read("s", after=version)]
    assert types.index("messages_withdrawn") < types.index("turn_abandoned")
    assert [message.id for message in session.history()] == ["a", "other"]
    audit = [message.id for message in session.history(withdrawn=True)]
    assert audit == ["a", "q", "c", "other", "half"]
    check(log, session)
