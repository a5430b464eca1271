"""Why a message was interrupted is recorded as its cause, not as what followed from it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import Log, Message, Session
from eventlog.engine.owner import this_process
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable


def reason(session: Session) -> str:
    """Return the one reason for which a message of the session was interrupted."""
    (found,) = session.timeline(types=["message_interrupted"])
    event: Any = found.event
    return str(event.reason)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def session(clock: FakeClock) -> Session:
    return Log(MemoryStore(), clock=clock).session("s", create=True)


def test_an_error_of_the_producer_is_named_without_its_secrets(session: Session) -> None:
    with suppress(ConnectionError), session.stream() as out:
        out.write("half")
        raise ConnectionError("refused: api_key=sk-abcdefghijklmnop")
    assert reason(session) == "its producer: ConnectionError: refused: api_key=[redacted]"


def test_a_cancellation_is_named(clock: FakeClock) -> None:
    asyncio.run(be_cancelled(clock))


async def be_cancelled(clock: FakeClock) -> None:
    async with eventlog.open_async("memory:", clock=clock) as log:
        session = await log.session("s", create=True)
        with suppress(asyncio.CancelledError):
            async with session.stream() as out:
                await out.write("half")
                raise asyncio.CancelledError
        (found,) = await session.timeline(types=["message_interrupted"])
        event: Any = found.event
        assert event.reason == "its producer: CancelledError"


def test_a_producer_that_ends_it_says_no_more(session: Session) -> None:
    with session.stream() as out:
        out.write("half")
        out.interrupt()
    assert reason(session) == "its producer ended it"


def test_a_lease_that_lapsed_is_told_from_a_process_that_ended(
    session: Session, clock: FakeClock
) -> None:
    session.append_chunk("m", session.begin_message(message_id="m").fence, 1, "half")
    clock.advance(61)
    session.append(Message.user("next"))
    assert reason(session) == "its lease lapsed and was not renewed"


def test_a_process_that_ended_is_named(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    from eventlog.engine.streams import arguments as stream_arguments

    dead = {**this_process(), "started": "1"}
    with eventlog.open("memory:", clock=clock) as log:
        session = log.session("s", create=True)
        with monkeypatch.context() as patched:
            patched.setattr(stream_arguments, "this_process", lambda store: dead)
            session.append_chunk("m", session.begin_message(message_id="m").fence, 1, "half")
        session.append(Message.user("next"))
        assert reason(session) == "the process of its producer has ended"


def fail(session: Session) -> None:
    with suppress(ValueError), session.turn("t") as turn:
        turn.append_chunk("m", turn.begin_message(message_id="m").fence, 1, "half")
        raise ValueError("no seat left")


def complete(session: Session) -> None:
    with session.turn("t") as turn:
        turn.append_chunk("m", turn.begin_message(message_id="m").fence, 1, "half")


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (fail, "its turn failed: ValueError: no seat left"),
        (complete, "its turn completed before it"),
    ],
)
def test_the_end_of_its_turn_is_named(
    session: Session, do: Callable[[Session], None], said: str
) -> None:
    do(session)
    assert reason(session) == said


def test_a_turn_that_is_begun_again_says_what_became_of_the_attempt_before(
    session: Session, clock: FakeClock
) -> None:
    begun = session.begin_turn("t", holder="a client")
    begun.append_chunk("m", begun.begin_message(message_id="m").fence, 1, "half")
    clock.advance(61)
    with session.turn("t"):
        pass
    assert reason(session) == "the lease of its turn lapsed and was not renewed"
