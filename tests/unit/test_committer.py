"""Group commit: shared transactions, separate answers, and how it ends (L7, L15)."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import eventlog
from eventlog import (
    AsyncLog,
    DuplicateEvent,
    EventLogError,
    Indeterminate,
    Log,
    LogClosed,
    Message,
    StoreUnavailable,
)
from eventlog.records import Append, Appended
from eventlog.stores.memory import MemoryStore
from eventlog.testing.inside import engine_of


class Counting(MemoryStore):
    """Counts its transactions; holds the first one until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.entered, self.released = threading.Event(), threading.Event()
        if not held:
            self.released.set()

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        self.entered.set()
        assert self.released.wait(60)
        self.batches.append(len(batch))
        return super().append(batch)


def session_of(log: Log, name: str = "s") -> eventlog.Session:
    return log.session(name, create=True)


async def opened(store: MemoryStore) -> AsyncLog:
    return AsyncLog(Log(store))


def test_concurrent_tasks_share_transactions() -> None:
    """L7: while one batch is being written the next one gathers; there is no timer."""

    async def main() -> list[int]:
        store = Counting(held=True)
        log = await opened(store)
        sessions = [await log.session(f"s{number}", create=True) for number in range(50)]
        appends = [asyncio.ensure_future(session.append(Message.user("a"))) for session in sessions]
        await asyncio.to_thread(store.entered.wait, 60)
        for append in appends:
            assert not append.done()
        store.released.set()
        await asyncio.gather(*appends)
        await log.close()
        return store.batches

    batches = asyncio.run(main())

    assert sum(batches) == 50
    assert len(batches) <= 2


class Announcing(deque[Any]):
    """A queue that tells how many were put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Semaphore(0)

    def append(self, entry: Any) -> None:
        super().append(entry)
        self.arrived.release()


def test_threads_that_wait_share_transactions() -> None:
    store, queue = Counting(held=True), Announcing()
    with Log(store) as log, ThreadPoolExecutor(20) as pool:
        engine_of(log)._committer._queue = queue
        first = pool.submit(session_of(log).append, Message.user("first"))
        assert store.entered.wait(60)
        rest = [pool.submit(session_of(log, f"s{n}").append, Message.user("a")) for n in range(19)]
        assert all(queue.arrived.acquire(timeout=60) for _ in rest)
        store.released.set()
        for future in [first, *rest]:
            future.result(timeout=60)

    assert store.batches == [1, 19]


def test_a_lone_caller_writes_by_itself() -> None:
    """L7: in its own thread if nobody else is writing, the main one too; G7: it holds Ctrl-C meanwhile."""
    threads: list[str] = []

    class Named(MemoryStore):
        def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
            threads.append(threading.current_thread().name)
            return super().append(batch)

    with Log(Named()) as log, ThreadPoolExecutor(1, "caller") as pool:
        pool.submit(session_of(log).append, Message.user("a")).result(timeout=60)
        pool.submit(session_of(log).commit).result(timeout=60)
        session_of(log).append(Message.user("b"))

    assert threads == ["caller_0", "caller_0", "MainThread"]


def test_a_batch_is_answered_one_by_one() -> None:
    """L7: a bad one fails alone and harms no other."""

    async def main() -> list[Any]:
        log = await opened(MemoryStore())
        session = await log.session("s", create=True)
        await session.append(Message.user("taken", id="m"))
        return list(
            await asyncio.gather(
                session.append(Message.user("before")),
                session.append(Message.user("other content", id="m")),
                session.append(Message.user("after")),
                session.commit(keep_recent=1),
                session.append(Message.user("last")),
                return_exceptions=True,
            )
        )

    before, bad, after, commit, last = asyncio.run(main())

    assert (before.text, after.text, last.text) == ("before", "after", "last")
    assert isinstance(bad, DuplicateEvent)
    assert commit.status == "accepted"


def test_commands_of_one_batch_see_each_other() -> None:
    """Each is decided on the state that those before it leave."""

    async def main() -> tuple[Any, list[str]]:
        log = await opened(MemoryStore())
        session = await log.session("s", create=True)
        answers = await asyncio.gather(
            session.append(Message.user("a")),
            session.append(Message.user("b")),
            session.commit(keep_recent=1),
            session.append(Message.user("c")),
            session.commit(),
            session.close(),
            session.append(Message.user("too late")),
            return_exceptions=True,
        )
        return answers, [message.text for message in await session.tail()]

    answers, tail = asyncio.run(main())

    assert (answers[2].archived, answers[4].archived) == (1, 2)
    assert isinstance(answers[6], eventlog.SessionClosed)
    assert tail == []


def test_what_ended_in_the_same_batch_is_known_as_it_ended() -> None:
    """F9: of what is ended only the index tells, and it is stored with the batch."""

    async def main() -> tuple[Any, list[str]]:
        log = await opened(MemoryStore())
        session = await log.session("s", create=True)
        answers = await asyncio.gather(
            session.append(Message.user("a")),
            session.commit(),
            session.abandon("archive_001"),
            session.abandon("archive_001"),
            session.retry("archive_001"),
            return_exceptions=True,
        )
        return answers, [archive.state for archive in await session.archives()]

    answers, states = asyncio.run(main())

    assert answers[2:4] == [None, None]
    assert isinstance(answers[4], eventlog.IllegalTransition)
    assert states == ["abandoned"]


def test_a_store_that_cannot_answer_tells_all_of_the_batch() -> None:
    """Nothing of it was stored; the next batch may be."""

    class Once(MemoryStore):
        trouble = True

        def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
            if self.trouble:
                raise StoreUnavailable("locked")
            return super().append(batch)

    async def main() -> tuple[list[Any], list[str]]:
        store = Once()
        log = await opened(store)
        session = await log.session("s", create=True)
        refused = await asyncio.gather(
            *(session.append(Message.user(str(number))) for number in range(5)),
            return_exceptions=True,
        )
        store.trouble = False
        await session.append(Message.user("after"))
        return refused, [message.text for message in await session.tail()]

    refused, tail = asyncio.run(main())

    assert [type(error) for error in refused] == [StoreUnavailable] * 5
    assert tail == ["after"]


def test_a_defect_of_a_store_reaches_the_caller_and_the_log_goes_on() -> None:
    class Broken(MemoryStore):
        broken = True

        def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
            if self.broken:
                raise ZeroDivisionError("a defect")
            return super().append(batch)

    store = Broken()
    with Log(store) as log:
        session = session_of(log)
        with pytest.raises(ZeroDivisionError, match="a defect"):
            session.append(Message.user("a"))
        store.broken = False
        session.append(Message.user("b"))

        assert [message.text for message in session.tail()] == ["b"]


def test_an_interrupt_is_the_writing_callers_alone() -> None:
    """Who waited for it learns that the outcome is unknown; the log goes on."""

    class Interrupted(Counting):
        interrupt = True

        def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
            answers = super().append(batch)
            if self.interrupt:
                self.interrupt = False
                raise KeyboardInterrupt
            return answers

    store = Interrupted()
    with Log(store) as log:
        session = session_of(log)
        with pytest.raises(KeyboardInterrupt):
            session.append(Message.user("a", id="a"))

        assert session.append(Message.user("a", id="a")).id == "a"
        session.append(Message.user("b", id="b"))
        assert [message.id for message in session.tail()] == ["a", "b"]


def test_an_outcome_that_stays_unknown_is_not_asked_for_for_ever() -> None:
    """L4: an append that is never stored is given up, and reported as not stored."""

    class Doubtful(MemoryStore):
        asked = 0

        def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
            self.asked += 1
            assert self.asked < 1_000, "asked for ever"
            raise Indeterminate("the disk says no")

    store = Doubtful()
    with Log(store) as log, pytest.raises(StoreUnavailable, match="nothing was stored"):
        session_of(log).append(Message.user("a"))


def test_what_is_queued_is_answered_before_a_log_closes() -> None:
    """L15: ``close`` drains."""

    async def main() -> list[Any]:
        store = Counting(held=True)
        log = await opened(store)
        sessions = [await log.session(f"s{number}", create=True) for number in range(10)]
        appends = [asyncio.ensure_future(session.append(Message.user("a"))) for session in sessions]
        await asyncio.to_thread(store.entered.wait, 60)
        closing = asyncio.ensure_future(log.close())
        await asyncio.sleep(0)
        store.released.set()
        await closing
        with pytest.raises(LogClosed):
            await sessions[0].append(Message.user("late"))
        return list(await asyncio.gather(*appends))

    assert [message.text for message in asyncio.run(main())] == ["a"] * 10


def test_a_loop_that_is_gone_is_not_told() -> None:
    """L15: its command is completed and folded all the same."""
    store = Counting(held=True)
    log = Log(store)

    async def leave() -> None:
        session = await AsyncLog(log).session("s", create=True)
        append = asyncio.ensure_future(session.append(Message.user("a", id="a")))
        await asyncio.to_thread(store.entered.wait, 60)
        append.cancel()

    asyncio.run(leave())
    store.released.set()
    log.close()

    assert [message.id for message in Log(store).session("s").tail()] == ["a"]
