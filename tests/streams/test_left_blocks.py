"""However the block of a turn or of a stream is left, neither stays open in a process that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

import pytest

import eventlog
from eventlog import AsyncSession, Log, Message, TurnOpen
from eventlog.errors import LeaseLost
from eventlog.stores.memory import MemoryStore

Result = TypeVar("Result")

TEXTS = ["question", "the answer", "thanks"]


class Cancelled(Generic[Result]):
    """Awaits something, and has the running task cancelled at the ``at``-th place where it waits; or
    there and wherever it waits afterwards, as some libraries do."""

    def __init__(self, work: Coroutine[Any, Any, Result], at: int, *, again: bool) -> None:
        self._work, self._at, self._again = work, at, again
        self.places = 0

    def __await__(self) -> Generator[Any, Any, Result]:
        waiting = self._work.__await__()
        task = asyncio.current_task()
        assert task is not None
        go_on: Callable[[], Any] = partial(next, waiting)
        while True:
            try:
                future = go_on()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            self.places += 1
            if self.places == self._at or (self._again and self.places > self._at):
                task.cancel()
            try:
                value = yield future
                go_on = partial(waiting.send, value)
            except BaseException as error:  # noqa: BLE001 - passed on
                go_on = partial(waiting.throw, error)


async def answer(session: AsyncSession) -> None:
    """Do a turn with a stream, a step, and a message after them."""
    async with session.turn("t", resume=True) as turn:
        if turn.done:
            return
        await session.append(Message.user(TEXTS[0]))
        async with session.stream("answer") as out:
            if not out.done:
                await out.write("the ")
                await out.flush()
                await out.write("answer")
        await turn.step("thank", str, "thanks", messages=lambda text: [Message.user(text)])


async def talk(session: AsyncSession) -> None:
    """Do a stream outside of any turn."""
    async with session.stream() as out:
        await out.write("the ")
        await out.flush()
        await out.write("answer")


async def cancelled_at(
    at: int, work: Callable[[AsyncSession], Coroutine[Any, Any, None]], *, again: bool
) -> bool:
    """Cancel the work at a place, look at what is left, and do it again; return whether there was one."""
    async with eventlog.open_async("memory:") as log:
        session = await log.session("s", create=True)
        await session.ensure_created()
        trial = Cancelled(work(session), at, again=again)

        async def run() -> None:
            await trial

        task = asyncio.create_task(run())
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()
        assert [turn.state for turn in await session.turns() if turn.state == "open"] == []
        assert await session.streams() == ()
        other = await log.session("s")
        await other.append(Message.user("of somebody else"))
        await work(session)
        said = [message for message in await session.tail() if message.text in TEXTS]
        whole = [message for message in said if not (message.model_extra or {}).get("interrupted")]
        texts = [message.text for message in whole]
        assert texts == (TEXTS if work is answer else [TEXTS[1]] * len(texts))
        assert await log.verify("s") == []
        return trial.places >= at


@pytest.mark.parametrize("again", [False, True], ids=["once", "at every wait from then on"])
@pytest.mark.parametrize("work", [answer, talk], ids=["turn", "stream"])
def test_a_task_that_is_cancelled_wherever_it_waits_leaves_no_turn_and_no_stream_open(
    work: Callable[[AsyncSession], Coroutine[Any, Any, None]], again: bool
) -> None:
    """T5, M7: an owner that is alive would hold up the session for a whole lease."""
    for at in count(1):
        if not asyncio.run(cancelled_at(at, work, again=again)):
            break
    assert at > 4


class Slow(MemoryStore):
    """Calls a function once, in the middle of the append of an event of one type."""

    def __init__(self, type: str, strike: Callable[[], object]) -> None:
        super().__init__()
        self._type, self._strike, self._struck = type, strike, False

    def append(self, batch: Any) -> Any:
        stored = super().append(batch)
        types = [record.type for append in batch for record in append.records]
        if self._type in types and not self._struck:
            self._struck = True
            self._strike()
        return stored


@pytest.mark.parametrize(
    ("type", "states"),
    [
        ("turn_begun", ["cancelled"]),
        ("message_begun", ["cancelled"]),
        ("message_ended", ["cancelled"]),
        ("turn_completed", ["completed"]),
    ],
)
def test_a_task_that_is_cancelled_while_its_command_is_stored_ends_what_it_began(
    type: str, states: list[str]
) -> None:
    """L15: the command was stored, and its task will never hear of it."""

    async def main() -> None:
        loop, tasks = asyncio.get_running_loop(), list[asyncio.Task[None]]()
        stored = asyncio.Event()

        def strike() -> None:
            loop.call_soon_threadsafe(tasks[0].cancel)
            loop.call_soon_threadsafe(stored.set)

        async with eventlog.AsyncLog(Log(Slow(type, strike))) as log:
            session = await log.session("s", create=True)
            tasks.append(asyncio.create_task(answer(session)))
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            await stored.wait()
            assert [turn.state for turn in await session.turns()] == states
            assert await session.streams() == ()

    asyncio.run(main())


async def half_read(words: AsyncGenerator[str]) -> None:
    """Leave a generator half-read, as a viewer that goes away does; asyncio closes it elsewhere."""
    async for _ in words:
        break


async def _words(session: AsyncSession) -> AsyncGenerator[str]:
    async with session.turn("t"):
        await session.append(Message.user("question"))
        async with session.stream() as out:
            for word in ("the ", "answer"):
                await out.write(word)
                yield word


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    while not await holds():  # noqa: ASYNC110 - what ends is another task of this loop
        await asyncio.sleep(0)


def test_who_leaves_a_generator_with_a_turn_half_read_is_not_in_the_turn_any_more() -> None:
    """R3: its block was left in another context than the one in which it was entered."""

    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            await half_read(_words(session))
            await _until(lambda: _are(session, ["cancelled"]))
            await session.append(Message.user("the next question"))
            async with session.turn("u") as turn:
                assert turn.attempt == 1
            assert (await session.tail())[-1].text == "the next question"

    asyncio.run(main())


async def _are(session: AsyncSession, states: list[str]) -> bool:
    return [turn.state for turn in await session.turns()] == states


def test_a_task_that_was_started_in_a_block_has_lost_the_turn_after_its_end() -> None:
    """T1: it is part of the turn wherever the block was left."""

    async def main() -> None:
        async with eventlog.open_async("memory:") as log:
            session = await log.session("s", create=True)
            left = asyncio.Event()

            async def late() -> None:
                await left.wait()
                with pytest.raises(LeaseLost):
                    await session.append(Message.user("late"))

            async with session.turn("t"):
                task = asyncio.create_task(late())
            left.set()
            await task
            await session.append(Message.user("not late"))

    asyncio.run(main())


def test_a_plain_generator_that_is_dropped_ends_its_turn_and_its_stream() -> None:
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)

        def words() -> Generator[str]:
            with session.turn("t"), session.stream() as out:
                for word in ("the ", "answer"):
                    out.write(word)
                    yield word

        read = words()
        next(read)
        with pytest.raises(TurnOpen):
            session.turn("u").__enter__()
        del read
        assert [turn.state for turn in session.turns()] == ["cancelled"]
        assert session.tail()[-1].text == "the "
        session.append(Message.user("next"))


def test_a_store_that_fails_at_the_end_of_a_turn_leaves_it_failed_not_open() -> None:
    class Failing(MemoryStore):
        refuses = False

        def append(self, batch: Any) -> Any:
            types = [record.type for append in batch for record in append.records]
            if "turn_completed" in types:
                raise eventlog.StoreUnavailable("away for a moment")
            return super().append(batch)

    with Log(Failing()) as log:
        session = log.session("s", create=True)
        with pytest.raises(eventlog.StoreUnavailable), session.turn("t"):
            session.append(Message.user("question"))
        assert [turn.state for turn in session.turns()] == ["failed"]


class Full(MemoryStore):
    """A store on a disk that is full from the ``full_from``-th append on, until somebody frees it."""

    def __init__(self, full_from: int) -> None:
        super().__init__()
        self.appends = 0
        self.full_from = full_from

    def append(self, batch: Any) -> Any:
        self.appends += 1
        if self.appends >= self.full_from:
            raise eventlog.StoreUnavailable("no space is left")
        return super().append(batch)

    def free(self) -> None:
        self.full_from = 1 << 60


@pytest.mark.parametrize("twin", ["Session", "AsyncSession"])
def test_a_turn_goes_on_at_once_when_the_disk_has_space_again(twin: str) -> None:
    """Nothing executes a turn whose block was left, so its own process waits for no lease."""

    def answer_plainly(log: Log) -> None:
        session = log.session("s", create=True)
        with session.turn("t", resume=True) as turn:
            if turn.done:
                return
            session.append(Message.user(TEXTS[0]))
            with session.stream("answer") as out:
                if not out.done:
                    out.write("the ")
                    out.flush()
                    out.write("answer")
            turn.step("thank", str, "thanks", messages=lambda text: [Message.user(text)])

    async def in_asyncio(store: Full) -> list[str | None]:
        async with eventlog.AsyncLog(Log(store)) as log:
            session = await log.session("s", create=True)
            with pytest.raises(eventlog.StoreUnavailable):
                await answer(session)
            store.free()
            await answer(session)
            return [message.text for message in await session.tail()]

    def plainly(store: Full) -> list[str | None]:
        with Log(store) as log:
            with pytest.raises(eventlog.StoreUnavailable):
                answer_plainly(log)
            store.free()
            answer_plainly(log)
            return [message.text for message in log.session("s").tail()]

    for full_from in count(1):
        store = Full(full_from)
        try:
            tail = asyncio.run(in_asyncio(store)) if twin == "AsyncSession" else plainly(store)
        except pytest.fail.Exception:
            break  # All was stored before.
        assert tail == TEXTS
    assert full_from > 5


def test_another_process_waits_for_the_lease_of_a_turn_that_could_not_be_ended() -> None:
    """It does not know that the block was left, and the owner lives."""
    store = Full(2)
    with Log(store) as log, Log(store) as rival:
        session = log.session("s", create=True)
        with pytest.raises(eventlog.StoreUnavailable), session.turn("t"):
            session.append(Message.user("question"))
        store.free()
        with pytest.raises(TurnOpen), rival.session("s").turn("t"):
            pass
        with session.turn("t") as turn:
            assert turn.attempt == 2
