"""One turn is open per session, with a lease and a fence (T2)."""

from __future__ import annotations

import threading

import pytest

from eventlog import (
    LeaseLost,
    Log,
    Session,
    TurnOpen,
)
from eventlog.testing.clock import FakeClock
from tests.turns.attempts import (
    check,
    states,
    tail,
    user,
)


def test_one_turn_is_open_at_a_time(session: Session, rival: Log, clock: FakeClock) -> None:
    with session.turn("t1"):
        clock.advance(7)
        for turn_id in ("t1", "t2"):
            with pytest.raises(TurnOpen) as caught, rival.session("s").turn(turn_id):
                pass
            assert (caught.value.turn_id, caught.value.age_seconds) == ("t1", 7.0)
            assert caught.value.lease_seconds == 53.0
            assert "process" in caught.value.owner
    with rival.session("s").turn("t2") as turn:
        assert turn.attempt == 1
    assert states(session) == {"t1": "completed", "t2": "completed"}


def test_inside_a_turn_another_one_always_raises(session: Session) -> None:
    with session.turn("t1") as turn:
        for again in (session, turn):
            with pytest.raises(TurnOpen, match="inside"), again.turn("t2", wait_seconds=1000):
                pass
    assert states(session) == {"t1": "completed"}


def test_a_second_turn_waits_for_the_end_of_the_first(session: Session, rival: Log) -> None:
    first = session.turn("t1").__enter__()
    began = threading.Event()

    def wait() -> None:
        with rival.session("s").turn("t2", wait_seconds=60) as turn:
            assert turn.attempt == 1
            began.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not began.is_set()
    first.__exit__(None, None, None)
    waiting.join(60)
    assert began.is_set()
    assert states(session) == {"t1": "completed", "t2": "completed"}


def test_a_late_owner_changes_nothing(
    log: Log, rival: Log, session: Session, clock: FakeClock
) -> None:
    session.append(user("a"))
    other = rival.session("s")
    late = session.turn("t1").__enter__()
    late.append(user("q"))
    clock.advance(61)
    with other.turn("t1") as turn:
        turn.append(user("q"))
        for act in (
            lambda: late.append(user("late")),
            lambda: late.append(user("q")),
            lambda: session.append(user("late")),
            lambda: late.extend([user("late")]),
            lambda: late.step("s", lambda: 1),
            late.end,
            lambda: late.withdraw(last=1),
            late._run.renew,
        ):
            with pytest.raises(LeaseLost):
                act()
    with pytest.raises(LeaseLost):
        late.__exit__(None, None, None)
    assert tail(session) == ["a", "q"]
    assert states(session) == {"t1": "completed"}
    assert session.turns()[0].attempt == 2
    check(log, session)


def test_a_renewed_lease_lasts(session: Session, rival: Log, clock: FakeClock) -> None:
    with session.turn("t1") as turn:
        updated = session.meta.updated_at
        for _ in range(5):
            clock.advance(40)
            turn._run.renew()
        with pytest.raises(TurnOpen), rival.session("s").turn("t1"):
            pass
        assert session.meta.updated_at == updated
        assert session.turns()[0].lease_until == "2026-01-01T00:04:20.000000Z"


def test_the_lease_is_renewed_by_a_thread_of_the_log(session: Session) -> None:
    """F2b: the code of the turn, here a busy loop, need not give way."""
    with session.turn("t1", lease_seconds=0.03):
        while not session.timeline(types=["turn_renewed"]):
            pass
    assert states(session) == {"t1": "completed"}


def test_an_owner_that_is_proven_dead_loses_its_turn_at_once(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.turn("t1").__enter__().append(user("q"))
    monkeypatch.setattr("eventlog.engine.turns.is_gone", lambda owner, store: True)
    from eventlog.engine.turn_context import _bound

    _bound.set(())
    with session.turn("t1") as turn:
        assert turn.attempt == 2
        assert tail(session) == []


def test_waiting_is_no_attempt(session: Session, rival: Log) -> None:
    with session.turn("t1"):
        for _ in range(3):
            with pytest.raises(TurnOpen), rival.session("s").turn("t1", wait_seconds=0.01):
                pass
    assert session.turns()[0].attempt == 1
