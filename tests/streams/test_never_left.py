"""Streams whose block is entered and never left: what they wrote is stored by whatever ends them (M7, T5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import eventlog
from eventlog import AsyncMessageStream, LeaseLost, Log, Message, MessageStream, Session
from eventlog.errors import StoreUnavailable
from eventlog.session_face import core_of
from eventlog.stores.memory import MemoryStore
from eventlog.testing.inside import engine_of

HOURS = 36_000.0
"""A window that does not end while a test runs."""


@pytest.fixture
def log() -> Iterator[Log]:
    with eventlog.open("memory:") as opened:
        yield opened


@pytest.fixture
def session(log: Log) -> Session:
    session = log.session("s", create=True)
    session.append(Message.user("question"))
    return session


def writing(
    session: Session, name: str | None = "answer", *, background: bool = True
) -> MessageStream:
    """Write to a stream whose block nobody leaves, and whose window does not end."""
    out = session.stream(name, window_seconds=HOURS, background=background)
    out.__enter__()
    out.write("all but ")
    out.flush()
    out.write("the last window")
    return out


def last_of(session: Session) -> tuple[str, bool]:
    """Return the text of the last message, and whether it is marked as interrupted."""
    message = session.history(withdrawn=True)[-1]
    return message.text, bool((message.model_extra or {}).get("interrupted"))


def complete(session: Session, turn: eventlog.Turn) -> None:
    turn.end("done")


def fail(session: Session, turn: eventlog.Turn) -> None:
    turn.fail("no")


def cancel(session: Session, turn: eventlog.Turn) -> None:
    turn.fail("no", cancelled=True)


def close(session: Session, turn: eventlog.Turn) -> None:
    session.close()


def delete(session: Session, turn: eventlog.Turn) -> None:
    session.delete()


ENDS = [complete, fail, cancel, close, delete]


@pytest.mark.parametrize("name", ["answer", None], ids=["named", "unnamed"])
@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_turn_loses_nothing_of_its_streams(
    log: Log, session: Session, end: Callable[[Session, eventlog.Turn], None], name: str | None
) -> None:
    with session.turn("t") as turn:
        out = writing(session, name)
        end(session, turn)
        with pytest.raises(LeaseLost):
            out.end()

    assert last_of(session) == ("all but the last window", True)
    assert log.verify("s") == []


def test_leaving_the_block_of_the_turn_is_such_an_end(log: Log, session: Session) -> None:
    def work() -> None:
        with session.turn("t"):
            writing(session, background=False)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        work()
    assert last_of(session) == ("all but the last window", True)


def test_a_message_of_a_turn_that_is_withdrawn_is_whole_in_the_audit(session: Session) -> None:
    with session.turn("t", on_error="withdraw") as turn:
        writing(session)
        turn.fail("no")

    assert [message.text for message in session.tail()] == ["question"]
    assert last_of(session) == ("all but the last window", True)


def test_an_interrupted_stream_is_no_finished_step(session: Session) -> None:
    """A later attempt writes it anew, whatever of it was stored."""
    with session.turn("t") as turn:
        writing(session)
        turn.fail("no")
    with session.turn("t", resume=True), session.stream("answer") as out:
        assert not out.done
        out.write("whole")
    assert [message.text for message in session.tail()] == ["question", "whole"]


@pytest.mark.parametrize("verb", ["close", "delete"])
def test_the_end_of_a_session_loses_nothing_of_streams_outside_of_turns(
    session: Session, verb: str
) -> None:
    writing(session, None)
    getattr(session, verb)()
    assert last_of(session) == ("all but the last window", True)


def test_the_asynchronous_twin_does_the_same() -> None:
    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            async with session.turn("t") as turn:
                out: AsyncMessageStream = session.stream("answer", window_seconds=HOURS)
                await out.__aenter__()
                await out.write("all of it")
                await turn.end()
            message = (await session.tail())[-1]
            assert (message.text, message.model_extra) == ("all of it", {"interrupted": True})

    asyncio.run(main())


class Refusing(MemoryStore):
    """Refuses chunks while it ``refuses``."""

    refuses = False

    def append(self, batch: Any) -> Any:
        types = {record.type for append in batch for record in append.records}
        if self.refuses and "chunk_appended" in types:
            raise StoreUnavailable("away for a moment")
        return super().append(batch)


def test_a_rest_that_cannot_be_stored_holds_up_no_end() -> None:
    store = Refusing()
    with Log(store) as log:
        session = log.session("s", create=True)
        with session.turn("t") as turn:
            writing(session)
            store.refuses = True
            turn.end()

        assert [each.state for each in session.turns()] == ["completed"]
        assert last_of(session) == ("all but ", True)


def test_nobody_attends_to_a_stream_any_more_that_others_have_ended(
    log: Log, session: Session
) -> None:
    """Otherwise the thread would look a thousand times a second whether its lease is to be renewed."""
    pump = engine_of(log).pump
    with session.turn("t") as turn:
        out = writing(session)
        thread = pump._thread  # pyright: ignore[reportPrivateUsage]
        assert thread is not None
        turn.end()
    out.write("late")
    with pytest.raises(LeaseLost):
        out.flush()
    while thread.is_alive():
        pump.ring()
        thread.join(0.001)

    assert not core_of(session).writers
    with pytest.raises(LeaseLost):
        out.write("later")
