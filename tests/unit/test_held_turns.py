"""Turns that are held by a fence alone, as clients and other processes hold them (T1 to T5, R9)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import eventlog
from eventlog import (
    AsyncLog,
    InvalidArgument,
    LeaseLost,
    Log,
    Message,
    RecordedStep,
    Session,
    TurnOpen,
    step_digest,
)
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import engine_of


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
    return log.session("s", create=True)


def ids(session: Session) -> list[str]:
    session.refresh()
    return [message.id for message in session.tail()]


def user(id_: str) -> Message:
    return Message.user(id_, id=id_)


def test_a_turn_goes_on_elsewhere_by_its_fence(session: Session, rival: Log) -> None:
    begun = session.begin_turn("t", lease_seconds=30)
    begun.append(user("a"))
    session.append(user("not the turn's"))

    elsewhere = rival.session("s").held_turn(begun.fence)
    elsewhere.append(user("b"))
    elsewhere.end({"answer": 42})

    assert (elsewhere.turn_id, elsewhere.attempt, begun.attempt) == ("t", 1, 1)
    (turn,) = session.turns("t")
    assert (turn.state, turn.result) == ("completed", {"answer": 42})
    assert session.turns("u") == ()
    turns = [entry.metadata.turn for entry in rival.read("s") if entry.type == "message_appended"]
    assert turns == ["t", None, "t"]
    again = session.begin_turn("t")
    assert (again.done, again.result, again.fence, again.lease_until) == (
        True,
        {"answer": 42},
        0,
        "",
    )


def test_only_its_holder_renews_a_turn(session: Session, rival: Log, clock: FakeClock) -> None:
    begun = session.begin_turn("t", lease_seconds=30, holder="a client")
    held = rival.session("s").held_turn(begun.fence)
    assert held.lease_until == begun.lease_until
    clock.advance(20)
    assert held.renew(30) > begun.lease_until
    clock.advance(20)
    with pytest.raises(TurnOpen, match="a client"):
        session.begin_turn("t")
    clock.advance(20)
    assert session.begin_turn("t", lease_seconds=30).attempt == 2
    with pytest.raises(LeaseLost):
        held.renew()
    with pytest.raises(LeaseLost):
        held.append(user("late"))
    with pytest.raises(LeaseLost):
        held.end()


def test_the_end_of_the_process_that_began_it_is_no_proof_that_a_held_turn_is_lost(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.begin_turn("t", holder="a client")
    monkeypatch.setattr("eventlog.engine.owner._started", lambda pid: None)
    with pytest.raises(TurnOpen):
        session.begin_turn("t")
    assert session.turns()[0].owner == "a client"


def test_a_beginning_that_is_repeated_with_its_key_returns_the_same_attempt(
    session: Session, rival: Log
) -> None:
    """P8: its answer was lost."""
    session.append(user("a"))
    first = session.begin_turn("t", idempotency_key="k", holder="ada")
    again = rival.session("s").begin_turn("t", idempotency_key="k", holder="ada")
    assert (again.fence, again.attempt, again.lease_until) == (
        first.fence,
        first.attempt,
        first.lease_until,
    )
    with pytest.raises(eventlog.DuplicateEvent):
        session.begin_turn("t", lease_seconds=5, idempotency_key="k")
    with pytest.raises(TurnOpen):
        session.begin_turn("t")


def test_steps_are_recorded_once_and_read_back_with_their_messages(
    session: Session, rival: Log, clock: FakeClock
) -> None:
    digest = step_digest("deploy", top=3)
    first = session.begin_turn("t", resume=True)
    assert first.recorded_step("search", digest) is None
    assert first.resume_step("search", digest) is None
    said = [user("a"), user("b")]
    assert first.record_step("search", ["hit"], digest=digest, messages=said) == ["hit"]
    version = session.version
    assert first.record_step("search", ["hit"], digest=digest, messages=said) == ["hit"]
    others: list[dict[str, Any]] = [{"digest": "x"}, {"messages": ()}, {"output": ["miss"]}]
    for other in others:
        step: dict[str, Any] = {"output": ["hit"], "digest": digest, "messages": said, **other}
        with pytest.raises(InvalidArgument, match="used before"):
            first.record_step("search", **step)
    held = rival.session("s").held_turn(first.fence)
    expected = RecordedStep("search", ["hit"], held.tail())
    assert held.recorded_step("search", digest) == held.resume_step("search", digest) == expected
    assert (held.version, ids(session)) == (version, ["a", "b"])

    clock.advance(61)
    second = session.begin_turn("t", resume=True)
    assert ids(session) == []
    assert second.recorded_step("search", digest) == expected
    assert second.recorded_step("search", "another") is None
    assert ids(session) == []
    assert second.resume_step("search", digest) == expected
    version = session.refresh() and session.version
    assert rival.session("s").held_turn(second.fence).resume_step("search", digest) == expected
    session.refresh()
    assert (session.version, ids(session)) == (version, ["a", "b"])
    calls: list[int] = []
    assert second.step("search", lambda *_, **__: calls.append(1), "deploy", top=3) == ["hit"]
    assert calls == []


def test_a_message_in_chunks_can_be_a_step_of_a_held_turn(
    session: Session, rival: Log, clock: FakeClock
) -> None:
    turn = session.begin_turn("t", resume=True)
    begun = turn.begin_message(message_id="m")
    turn.append_chunk("m", begun.fence, 1, "Hello")
    held = rival.session("s").held_turn(turn.fence)
    message = held.end_message("m", begun.fence, step="answer")
    assert held.end_message("m", begun.fence, step="answer") == message
    clock.advance(61)
    again = rival.session("s").begin_turn("t", resume=True)
    found = again.resume_step("answer")
    assert found is not None
    assert ([each.text for each in found.messages], ids(session)) == (["Hello"], ["m"])


def test_a_held_turn_that_fails_leaves_what_its_beginning_says(session: Session) -> None:
    turn = session.begin_turn("t", on_error="withdraw")
    turn.append(user("a"))
    held = session.held_turn(turn.fence)
    held.fail("the model is away")
    held.fail("the model is away")
    assert (session.turns("t")[0].state, ids(session)) == ("failed", [])
    cancelled = session.begin_turn("u")
    cancelled.append(user("b"))
    cancelled.fail(KeyboardInterrupt(), cancelled=True)
    assert (session.turns("u")[0].state, ids(session)) == ("cancelled", ["b"])


def test_what_is_no_beginning_of_a_turn_is_no_fence(session: Session) -> None:
    session.append(user("a"))
    for fence in (1, 2, 99):
        with pytest.raises(InvalidArgument, match="no beginning of a turn"):
            session.held_turn(fence)
    with pytest.raises(InvalidArgument):
        session.held_turn(0)
    turn = session.begin_turn("t")
    with pytest.raises(InvalidArgument, match="has begun"), turn:
        pass
    with pytest.raises(InvalidArgument):
        turn.record_step("", 1)
    with pytest.raises(InvalidArgument):
        turn.renew(0)


def test_an_answer_that_was_kept_waiting_begins_once_the_other_turn_ended(log: Log) -> None:
    async def main() -> list[int]:
        log_ = AsyncLog(log)
        session = await log_.session("s", create=True)
        first = await session.begin_turn("t")
        waiting = asyncio.ensure_future(session.begin_turn("u", wait_seconds=60))
        await asyncio.sleep(0)
        held = await session.held_turn(first.fence)
        assert await held.record_step("a", 1) == 1
        assert await held.resume_step("a") == RecordedStep("a", 1, ())
        assert await held.renew() >= first.lease_until
        await held.end()
        second = await waiting
        await second.fail("no")
        return [first.fence, second.fence]

    first, second = asyncio.run(main())
    assert 0 < first < second


def test_a_producer_that_is_no_process_is_lost_with_its_lease_alone(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = session.begin_message(message_id="m", holder="a client")
    monkeypatch.setattr("eventlog.engine.owner._started", lambda pid: None)
    session.append(user("a"))
    session.append_chunk("m", begun.fence, 1, "x")
    assert session.end_message("m", begun.fence).text == "x"
