"""The context manager in which a message is written: windows, buffers, ends, viewers (M7)."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import InvalidArgument, LeaseLost, Log, Message, Session, StoreUnavailable
from eventlog.session.streams.coalescing import ChunkBuffer
from eventlog.session.streams.content import text_part
from eventlog.stores.memory import MemoryStore
from eventlog.testing import FakeClock, FaultyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(clock: FakeClock) -> Iterator[Log]:
    with eventlog.open("memory:", clock=clock) as opened:
        yield opened


@pytest.fixture
def session(log: Log) -> Session:
    session = log.session("s", create=True)
    session.append(Message.user("hi", id="m-1"))
    return session


def chunks(log: Log) -> list[str]:
    """Return the texts of the chunks."""
    return [
        "".join(part.get("text", "*") for part in recorded.event.parts)  # type: ignore[attr-defined]
        for recorded in log.read("s")
        if recorded.type == "chunk_appended"
    ]


# ---- what is a chunk ---------------------------------------------------------------------------


def test_a_chunk_is_due_by_time_and_by_size() -> None:
    buffer = ChunkBuffer(window=300_000, limit=10)
    assert not buffer.is_due(0)
    buffer.add_text("one", "text", 299_999)
    assert buffer.due_at == 300_000
    assert not buffer.is_due(299_999)
    assert buffer.is_due(300_000)
    assert buffer.take() == [text_part("one")]

    buffer.add_text("123456789", "text", 300_000)
    assert not buffer.is_due(300_000)
    buffer.add_text("€", "text", 300_001)
    assert buffer.is_due(300_001)
    assert buffer.take() == [text_part("123456789€")]


def test_what_is_written_is_stored_by_windows(session: Session, clock: FakeClock, log: Log) -> None:
    with session.stream("answer", background=False) as out:
        for number in range(10):
            out.write(f"{number} ")
            clock.advance(0.1)

    assert chunks(log) == ["0 1 2 3 ", "4 5 6 ", "7 8 9 "]
    assert out.message.text == "0 1 2 3 4 5 6 7 8 9 "
    assert session.tail()[-1] == out.message


def test_what_is_written_is_stored_when_it_is_long(session: Session, log: Log) -> None:
    with session.stream(background=False, chunk_bytes=4) as out:
        for word in ("ab", "cd", "efgh", "i"):
            out.write(word)

    assert chunks(log) == ["abcd", "efgh", "i"]


def test_a_call_is_stored_at_once(session: Session, log: Log) -> None:
    with session.stream(background=False) as out:
        out.write("let me look")
        call = out.call("search", {"q": 1})
        assert chunks(log) == ["let me look*"]
        session.record_tool_result(out.id, call.tool_id, "found")
        out.write("here")

    assert [part.type for part in out.message.parts] == ["text", "tool", "text"]
    assert out.message.tools[0].tool_output == "found"


def test_thoughts_and_texts_are_parts_of_their_own(session: Session) -> None:
    with session.stream(background=False) as out:
        for token in ("I ", "think"):
            out.write(token, type="reasoning")
        out.write("so")
        out.add({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}})

    parts = [part.model_dump(exclude_unset=True) for part in out.message.parts]
    assert parts[:2] == [{"type": "reasoning", "text": "I think"}, {"type": "text", "text": "so"}]


def test_the_thread_of_the_log_stores_what_is_due(session: Session, log: Log) -> None:
    with session.stream(chunk_bytes=4) as out:
        out.write("abcd")
        updates = session.follow_message(out.id)
        assert next(updates).text == "abcd"  # It waits until the chunk is there.
        out.write("efgh")
        assert next(updates).text == "efgh"

    last = next(updates)
    assert (last.ended, last.message) == ("ended", out.message)
    assert list(updates) == []


# ---- how it ends -------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_leaving_by_an_exception_records_what_was_written(
    session: Session, error: type[BaseException]
) -> None:
    def produce() -> None:
        with session.stream() as out:
            out.write("half a ")
            out.write("sentence")
            raise error

    with pytest.raises(error):
        produce()

    message = session.tail()[-1]
    assert (message.text, message.model_extra) == ("half a sentence", {"interrupted": True})
    assert session.streams() == ()


def test_closing_the_log_records_what_was_written() -> None:
    store = MemoryStore()
    store.close = lambda: None  # type: ignore[method-assign]
    log = Log(store)
    out = log.session("s", create=True).stream()
    out.__enter__()
    out.write("half")
    log.close()

    (message,) = Log(store).session("s").tail()
    assert (message.text, message.model_extra) == ("half", {"interrupted": True})


def test_it_may_be_ended_inside_of_the_block(session: Session) -> None:
    with session.stream() as out:
        out.write("draft")
        with pytest.raises(InvalidArgument, match="still being written"):
            _ = out.message
        ended = out.end(Message.assistant("final"))
        with pytest.raises(InvalidArgument, match="has ended"):
            out.write("more")

    assert out.message == ended == session.tail()[-1]
    assert (ended.id, ended.text) == (out.id, "final")


def test_a_producer_that_lost_its_lease_is_told(session: Session, clock: FakeClock) -> None:
    def produce() -> None:
        with session.stream(background=False) as out:
            out.write("half")
            out.flush()
            clock.advance(61)
            session.append(Message.user("next"))
            out.write("late")

    with pytest.raises(LeaseLost):
        produce()

    assert [message.text for message in session.tail()] == ["hi", "half", "next"]


def test_an_interruption_that_fails_hides_no_error(session: Session, clock: FakeClock) -> None:
    def produce() -> None:
        with session.stream(background=False) as out:
            out.write("half")
            out.flush()
            clock.advance(61)
            session.append(Message.user("next"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        produce()


# ---- a slow disk -------------------------------------------------------------------------------


class Gate(FaultyStore):
    """A store that stops in `append` until it is let go, or that refuses."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()
        self.refuses = False

    def append(self, batch: Sequence[Any]) -> list[Any]:
        if self.refuses:
            raise StoreUnavailable("the disk is full")
        self.reached.set()
        assert self.open.wait(60)
        return super().append(batch)


def test_a_slow_disk_does_not_slow_the_producer_until_the_buffer_is_full() -> None:
    gate = Gate(MemoryStore())
    with Log(gate) as log:
        session = log.session("s", create=True)
        with session.stream(chunk_bytes=4, buffer_bytes=100) as out:
            gate.open.clear()
            gate.reached.clear()
            out.write("abcd")
            assert gate.reached.wait(60)  # The thread of the log stores it, and waits.
            for _ in range(25):
                out.write("efgh")  # Returns: 100 bytes wait.
            threading.Timer(0.0, gate.open.set).start()
            out.write("ijkl")  # Waits for the disk.

    assert gate.open.is_set()
    assert out.message.text == "abcd" + "efgh" * 25 + "ijkl"


def test_what_the_store_refuses_is_tried_again(clock: FakeClock) -> None:
    gate = Gate(MemoryStore())
    with Log(gate, clock=clock) as log:
        session = log.session("s", create=True)
        with session.stream(background=False, chunk_bytes=2) as out:
            out.write("ab")
            gate.refuses = True
            with pytest.raises(StoreUnavailable):
                out.write("cd")
            gate.refuses = False
            out.write("ef")
        assert chunks(log) == ["ab", "cd", "ef"]
        assert out.message.text == "abcdef"


def test_a_message_that_says_nothing_for_long_keeps_its_lease(
    session: Session, clock: FakeClock, log: Log
) -> None:
    """Its thread renews it, by a chunk without parts, which viewers do not see."""
    from eventlog.engine.streams.pump import store_due

    with session.stream(background=False) as out:
        out.write("thinking")
        out.flush()
        pump = session._engine.pump
        for _ in range(6):
            clock.advance(21)
            store_due(session._engine, list(pump._writers.values()), pump.now())
            session.append(Message.user("x"))
        out.write(" done")

    assert out.message.text == "thinking done"
    assert [update.text for update in session.follow_message(out.id)] == ["thinking", " done", ""]


# ---- viewers -----------------------------------------------------------------------------------


def test_a_viewer_that_comes_late_gets_what_is_there_and_goes_on(session: Session) -> None:
    with session.stream(background=False, chunk_bytes=1) as out:
        for token in "abc":
            out.write(token)
        viewer = session.follow_message(out.id)
        seen = [next(viewer) for _ in range(3)]
        del viewer  # A viewer that is lost stops nothing.
        for token in "def":
            out.write(token)
        again = session.follow_message(out.id, after=seen[-1].sequence)
        seen += [next(again) for _ in range(3)]

    seen += list(again)
    assert "".join(update.text for update in seen) == "abcdef" == out.message.text
    assert seen[-1].message == out.message
    whole = list(session.follow_message(out.id))
    assert [update.sequence for update in whole] == [1, 2, 3, 4, 5, 6, 6]


def test_a_viewer_of_a_message_that_was_appended_gets_the_message(session: Session) -> None:
    (only,) = session.follow_message("m-1")
    assert (only.ended, only.message) == ("ended", session.tail()[0])
    with pytest.raises(InvalidArgument, match="no message 'm-9'"):
        list(session.follow_message("m-9"))


def test_a_viewer_sees_that_nothing_arrived(session: Session) -> None:
    with session.stream() as out:
        out.interrupt()
    (only,) = session.follow_message(out.id)
    assert (only.ended, only.message) == ("interrupted", None)


# ---- asyncio -----------------------------------------------------------------------------------


def test_the_asynchronous_twin_does_the_same() -> None:
    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            async with session.stream(chunk_bytes=4) as out:
                viewer = asyncio.ensure_future(collect(session.follow_message(out.id)))
                for token in ("abcd", "efgh"):
                    await out.write(token)
                call = await out.call("search", {})
                await out.flush()
                await session.record_tool_result(out.id, call.tool_id, "found")
            seen = await viewer
            assert "".join(update.text for update in seen) == "abcdefgh"
            assert seen[-1].message == out.message == (await session.tail())[-1]
            assert await session.streams() == ()

    asyncio.run(main())


async def collect(updates: Any) -> list[Any]:
    return [update async for update in updates]


def _once(task: asyncio.Task[None]) -> None:
    task.cancel()


def _at_each_await(task: asyncio.Task[None]) -> None:
    """Cancel as anyio does: again and again until the task has ended."""

    def again() -> None:
        if not task.done():
            task.cancel()
            task.get_loop().call_soon(again)

    again()


@pytest.mark.parametrize("cancel", [_once, _at_each_await])
def test_a_cancelled_task_records_what_it_wrote(
    cancel: Callable[[asyncio.Task[None]], None],
) -> None:
    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            written = asyncio.Event()

            async def produce() -> None:
                async with session.stream() as out:
                    await out.write("half")
                    written.set()
                    await asyncio.Event().wait()

            task = asyncio.ensure_future(produce())
            await written.wait()
            cancel(task)
            await asyncio.wait({task})

            assert task.cancelled()
            (message,) = await session.tail()
            assert (message.text, message.model_extra) == ("half", {"interrupted": True})

    asyncio.run(main())
