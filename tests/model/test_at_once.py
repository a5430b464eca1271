"""Many tasks and threads on one session at once: nothing is lost, doubled or out of order (L7)."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from eventlog import AsyncLog, AsyncSession, Log, Message, VersionConflict
from eventlog.stores.memory import MemoryStore
from eventlog.stores.sqlite import SQLiteStore
from eventlog.testing.crashing import Crash, CrashingStore, Steps
from eventlog.testing.model.laws import check_laws

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from hypothesis import settings

    from eventlog.errors import EventLogError
    from eventlog.records import Append, Appended
    from eventlog.store import Store

CHAT = "chat"
Todo: TypeAlias = "tuple[str, int]"
Work: TypeAlias = "Callable[[AsyncSession], Coroutine[Any, Any, None]]"

todos = st.tuples(
    st.sampled_from(["append", "append", "extend", "commit", "used"]), st.integers(0, 3)
)
plans = st.lists(st.lists(todos, max_size=6), min_size=8, max_size=8)


def _message(task: int, number: int) -> Message:
    return Message.user(f"{number}", id=f"task{task}-{number}")


async def _carry_out(
    session: AsyncSession, task: int, plan: Sequence[Todo], done: list[str]
) -> None:
    """Do what a task has planned, one thing after another; note what was acknowledged."""
    number = 0
    for what, count in plan:
        match what:
            case "append" | "extend":
                size = 1 if what == "append" else count
                messages = [_message(task, number + place) for place in range(size)]
                number += size
                if what == "append":
                    await session.append(messages[0])
                else:
                    await session.extend(messages)
                done += [message.id for message in messages]
            case "commit":
                await session.commit(count)
            case _:
                await session.used(["memory://1"])


def _by_task(store: Store) -> dict[int, list[str]]:
    """Return the ids of the stored messages by the task that appended them, in order."""
    found: dict[int, list[str]] = {}
    log = Log(store)
    if log.exists(CHAT):
        for message in log.session(CHAT).history():
            found.setdefault(int(message.id[4]), []).append(message.id)
    return found


async def _with_session(log: Log, work: Work) -> None:
    await work(await AsyncLog(log).session(CHAT, create=True))


def _run(store: Store, work: Work) -> None:
    """Give a session of an asynchronous log to ``work``; leave the store open."""
    asyncio.run(_with_session(Log(store), work))


def test_tasks_on_one_session_keep_the_order_of_each(
    examples: Callable[[int], settings], programs: Counter[str]
) -> None:
    """Whatever 8 tasks append, commit and use at once."""

    @examples(20)
    @given(plans=plans)
    def check(plans: list[list[Todo]]) -> None:
        store = MemoryStore()
        done: list[list[str]] = [[] for _ in plans]

        async def work(session: AsyncSession) -> None:
            await asyncio.gather(
                *(_carry_out(session, task, plan, done[task]) for task, plan in enumerate(plans))
            )

        _run(store, work)
        found = _by_task(store)
        assert [found.get(task, []) for task in range(len(plans))] == done
        check_laws(store)
        programs["programs of 8 tasks at once"] += 1

    check()


def test_what_tasks_were_told_survives_a_power_failure_at_any_step(
    examples: Callable[[int], settings], programs: Counter[str]
) -> None:
    """P1: all that was acknowledged is there, and at most one thing per task beside it."""

    @examples(20)
    @given(plans=plans, step=st.integers(1, 40))
    def check(plans: list[list[Todo]], step: int) -> None:
        store, steps = MemoryStore(), Steps()
        done: list[list[str]] = [[] for _ in plans]

        async def work(session: AsyncSession) -> None:
            steps.fail(steps.count + step)
            await asyncio.gather(
                *(_carry_out(session, task, plan, done[task]) for task, plan in enumerate(plans)),
                return_exceptions=True,
            )

        _run(CrashingStore(store, steps), work)
        found = _by_task(store)
        for task, acknowledged in enumerate(done):
            stored = found.get(task, [])
            assert stored[: len(acknowledged)] == acknowledged
            assert len(stored) - len(acknowledged) <= 3
        if found:
            check_laws(store)
        programs["power failures with 8 tasks at once"] += len(steps.struck)

    check()


class CountingStore(MemoryStore):
    """A store that counts appends, and those that it refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.conflicts = 0

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        answers = super().append(batch)
        self.asked += len(answers)
        self.conflicts += sum(isinstance(answer, VersionConflict) for answer in answers)
        return answers


def test_64_tasks_on_one_session_do_not_fight() -> None:
    """Each append is decided once, on the state that those before it leave."""
    store = CountingStore()

    async def work(session: AsyncSession) -> None:
        async def append(task: int) -> None:
            for number in range(8):
                await session.append(Message.user("x", id=f"{task}-{number}"))

        await asyncio.gather(*(append(task) for task in range(64)))

    _run(store, work)
    assert (store.asked, store.conflicts) == (512, 0)
    assert len(Log(store).session(CHAT).history()) == 512
    check_laws(store)


def test_two_logs_on_one_file_take_turns(tmp_path: Path) -> None:
    """Two processes' worth of tasks on one session: each finds the other's records and goes on."""
    stores = [SQLiteStore(tmp_path / "log.db", synchronous="off") for _ in range(2)]
    plan: list[Todo] = [("append", 0), ("extend", 3), ("commit", 1)] * 6

    def run(number: int) -> list[list[str]]:
        done: list[list[str]] = [[] for _ in range(4)]

        async def work(session: AsyncSession) -> None:
            tasks = range(number * 4, number * 4 + 4)
            await asyncio.gather(
                *(_carry_out(session, task, plan, done[task % 4]) for task in tasks)
            )

        _run(stores[number], work)
        return done

    with ThreadPoolExecutor(2) as pool:
        done = [told for told_by in pool.map(run, range(2)) for told in told_by]
    found = _by_task(stores[0])
    assert [found[task] for task in range(8)] == done
    check_laws(stores[0])
    for store in stores:
        store.close()


class GatedStore(CrashingStore):
    """A store whose appends wait, once the gate is shut, until it is opened again."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        self.entered.set()
        self.gate.wait()
        return super().append(batch)

    def shut(self) -> None:
        self.entered.clear()
        self.gate.clear()


def test_a_record_is_never_chained_to_one_that_was_refused() -> None:
    """A1, P1: another process wrote as many records as one request of a batch would have.

    So the next request of the batch finds the stream at the version that it expects, with other
    records in it than those it was decided on.
    """
    store = MemoryStore()
    gated = GatedStore(store)

    async def work(session: AsyncSession) -> None:
        await session.append(_message(0, 0))
        gated.shut()
        elsewhere = await AsyncLog(log).session("elsewhere", create=True)
        under_way = asyncio.create_task(elsewhere.append(_message(9, 0)))
        await asyncio.to_thread(gated.entered.wait)
        gathering = [
            asyncio.create_task(session.extend([_message(1, 0), _message(1, 1)])),
            asyncio.create_task(session.append(_message(2, 0))),
        ]
        await asyncio.sleep(0)
        Log(store).session(CHAT).extend([_message(3, 0), _message(3, 1)])
        gated.gate.set()
        await asyncio.gather(under_way, *gathering)

    log = Log(gated)
    asyncio.run(_with_session(log, work))
    check_laws(store)
    assert sum(len(found) for found in _by_task(store).values()) == 6


def test_threads_that_read_never_disturb_those_that_write() -> None:
    store = MemoryStore()
    log = Log(store)
    session = log.session(CHAT, create=True)
    session.append(Message.user("first", id="task9-0"))
    writing = threading.Event()

    def write(task: int) -> None:
        for number in range(50):
            session.append(_message(task, number))
            if number % 10 == task:
                session.commit(keep_recent=2)

    def read() -> int:
        reads = 0
        while not writing.is_set():
            shown = session.context().messages
            assert len({message.id for message in shown}) == len(shown)
            session.refresh()
            reads += 1
        return reads

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(write, task) for task in range(4)]
        for writer in writers:
            writer.result()
        writing.set()
        assert all(reader.result() for reader in readers)
    expected = {task: [_message(task, number).id for number in range(50)] for task in range(4)}
    assert _by_task(store) == {9: ["task9-0"], **expected}
    check_laws(store)


def test_a_task_cancelled_before_its_append_was_taken_stores_nothing(
    examples: Callable[[int], settings],
) -> None:
    """L15: one that is cancelled while its append is written has it stored and folded."""

    @examples(14)
    @given(cancelled=st.lists(st.booleans(), min_size=1, max_size=6))
    def check(cancelled: list[bool]) -> None:
        store = MemoryStore()
        gated = GatedStore(store)

        async def work(session: AsyncSession) -> None:
            gated.shut()
            tasks = [asyncio.create_task(session.append(_message(0, 0)))]
            await asyncio.to_thread(gated.entered.wait)
            tasks.extend(
                asyncio.create_task(session.append(_message(0, number)))
                for number in range(1, len(cancelled))
            )
            await asyncio.sleep(0)
            for task, unwanted in zip(tasks, cancelled, strict=True):
                if unwanted:
                    task.cancel()
            await asyncio.sleep(0)
            gated.gate.set()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for answer, unwanted in zip(answers, cancelled, strict=True):
                assert isinstance(answer, asyncio.CancelledError) is unwanted
            await session.append(_message(0, 9))

        _run(gated, work)
        kept = [0, *(n for n, unwanted in enumerate(cancelled) if n and not unwanted), 9]
        assert _by_task(store)[0] == [_message(0, number).id for number in kept]
        check_laws(store)

    check()


def test_all_tasks_of_a_batch_learn_of_a_power_failure() -> None:
    """Nobody waits for an answer for ever when the writing thread ends."""
    steps = Steps()
    answers: list[object] = []

    async def work(session: AsyncSession) -> None:
        steps.fail(steps.count + 1)
        many = (session.append(_message(0, number)) for number in range(8))
        answers.extend(await asyncio.gather(*many, return_exceptions=True))

    _run(CrashingStore(MemoryStore(), steps), work)
    assert len(answers) == 8
    assert all(isinstance(answer, Crash) for answer in answers)
