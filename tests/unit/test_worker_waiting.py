"""A worker with nothing to do, or without its store, waits and never spins."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from eventlog import (
    AsyncLog,
    AsyncWorker,
    Finalizer,
    Log,
    LogClosed,
    Message,
    RetryableError,
    Session,
    StoreUnavailable,
    Summary,
    SummaryRequest,
    TaskRequest,
    Worker,
)
from eventlog.engine.async_engine import AsyncEngine
from eventlog.engine.core import Core
from eventlog.engine.heartbeat import Heartbeat
from eventlog.records import Position
from eventlog.session.tasks.commands import ClaimTask, FinalizeArchive, ReleaseTask
from eventlog.session.tasks.events import OwnerData
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import engine_of, execute
from eventlog.testing.jumping import JumpingTime
from eventlog.worker.attempt import UNWINDING_SECONDS
from eventlog.worker.batched_reads import BatchedReads
from eventlog.worker.lease_keeper import LeaseKeeper
from eventlog.worker.worker import DECLINED_SECONDS, WAKEUP_SECONDS, WATCH_SECONDS

ELSEWHERE = OwnerData(host="elsewhere", boot="", pid=1, started="")


async def summarize(request: SummaryRequest) -> Summary:
    return Summary(overview="overview", abstract="", usage={"prompt_tokens": 10})


def committed(log: Log, name: str = "s") -> Session:
    session = log.session(name, create=True)
    session.append(Message.user("hello"))
    session.commit()
    return session


class WatchedEngine(AsyncEngine):
    """An engine whose worker is stopped after a few waits; it tells how long each would have been."""

    def __init__(self, log: Log, *, waits: int = 3, news: bool = False) -> None:
        super().__init__(engine_of(log))
        self.left = waits
        self.news = news
        self.waits: list[float] = []
        self.looks: list[float] = []
        self.worker: AsyncWorker | None = None

    async def position(self) -> Position:
        self.looks.append(asyncio.get_running_loop().time())
        return await super().position()

    async def wait(self, after: Position, timeout: float) -> bool:  # noqa: ASYNC109 - as overridden
        self.waits.append(timeout)
        self.left -= 1
        if self.left == 0 and self.worker is not None:
            self.worker.stop()
        return self.news


def face_of(engine: AsyncEngine, log: Log) -> AsyncLog:
    """Return the asynchronous face of a log, on another engine than its own."""
    face = AsyncLog(log)
    face._engine = engine
    return face


def watched(log: Log, **options: Any) -> WatchedEngine:
    """Run a worker for a few waits."""
    watching = WatchedEngine(log, **options)

    async def main() -> None:
        watching.worker = AsyncWorker(face_of(watching, log), Finalizer(summarize))
        async with asyncio.timeout(60):
            await watching.worker.run()

    asyncio.run(main())
    return watching


# ---- waiting ----------------------------------------------------------------------------------


def test_a_worker_without_work_waits_for_news(log: Log) -> None:
    assert watched(log).waits == [WATCH_SECONDS] * 3


def test_a_worker_waits_until_the_next_task_is_due(log: Log, clock: FakeClock) -> None:
    committed(log)

    async def fail(request: SummaryRequest) -> Summary:
        raise RetryableError("503", retry_after=3)

    Worker(log, Finalizer(fail)).run_once()

    assert watched(log).waits == [3.0] * 3


def test_a_due_task_that_cannot_be_claimed_is_left_for_a_second(log: Log, clock: FakeClock) -> None:
    """F12: it is due, and stays so: after a jump of the clock its lease is not to be ended."""
    committed(log)
    (task,) = log.tasks("s")
    execute(log, "s", ClaimTask(task.task_id, "owner", ELSEWHERE, 300_000_000, 3))
    clock.jump(3_600)
    before = log.store.head("s").version

    watching = watched(log, waits=5)

    assert watching.waits == [DECLINED_SECONDS] * 5
    assert log.store.head("s").version == before


def test_tasks_of_other_kinds_wake_nobody(log: Log) -> None:
    log.session("s", create=True).queue_task("acme.index")

    assert watched(log).waits == [WATCH_SECONDS] * 3


def test_news_without_end_cause_few_looks(log: Log, loop_time: JumpingTime) -> None:
    """F12: a busy chat is no reason to look for tasks all the time."""
    looks = watched(log, waits=4, news=True).looks

    between = [later - earlier for earlier, later in pairwise(looks)]
    assert between == pytest.approx([WAKEUP_SECONDS] * 3)


def test_a_task_that_a_rival_takes_first_does_not_end_the_run(log: Log, rival: Log) -> None:
    for number in range(4):
        committed(log, f"s{number}")

    class Slow(AsyncEngine):
        """Its first claim comes too late."""

        late = True

        def core(self, session: str) -> Core:
            if self.late:
                self.late = False
                (task,) = log.tasks(session)
                early = ClaimTask(task.task_id, "rival", ELSEWHERE, 300_000_000, 3)
                execute(rival, session, early)
            return super().core(session)

    worker = AsyncWorker(face_of(Slow(engine_of(log)), log), Finalizer(summarize), concurrency=1)

    assert asyncio.run(worker.run_once()) == 3


# ---- a store that is away ---------------------------------------------------------------------


def test_a_store_that_is_away_is_asked_less_and_less_often(
    log: Log, loop_time: JumpingTime
) -> None:
    looks: list[float] = []

    class Away(AsyncEngine):
        async def position(self) -> Position:
            looks.append(loop_time.now)
            if len(looks) == 9:
                worker.stop()
            raise StoreUnavailable("it is away")

    worker = AsyncWorker(face_of(Away(engine_of(log)), log), draw=lambda: 0.0)

    asyncio.run(worker.run())

    pauses = [later - earlier for earlier, later in pairwise(looks)]
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15, 15]


def test_a_worker_goes_on_when_its_store_is_back(log: Log, loop_time: JumpingTime) -> None:
    committed(log)

    class Hiccup(AsyncEngine):
        looks = 0

        async def position(self) -> Position:
            self.looks += 1
            if self.looks == 1:
                raise StoreUnavailable("it is away")
            return await super().position()

    async def stop(request: SummaryRequest) -> Summary:
        worker.stop(60)
        return await summarize(request)

    worker = AsyncWorker(face_of(Hiccup(engine_of(log)), log), Finalizer(stop), draw=lambda: 0.0)

    asyncio.run(worker.run())

    assert [task.state for task in log.tasks()] == ["completed"]


def refuse(log: Log, monkeypatch: pytest.MonkeyPatch, type_: str, times: int) -> None:
    """Let the store refuse records of a type a number of times."""
    append, left = log.store.append, [times]

    def sometimes(batch: Any) -> Any:
        found = any(record.type == type_ for entry in batch for record in entry.records)
        if found and left[0]:
            left[0] -= 1
            raise StoreUnavailable("no room")
        return append(batch)

    monkeypatch.setattr(log.store, "append", sometimes)


@pytest.mark.parametrize("type_", ["step_completed", "archive_finalized"])
def test_what_was_paid_for_is_not_dropped_when_the_store_is_away(
    log: Log, monkeypatch: pytest.MonkeyPatch, loop_time: JumpingTime, type_: str
) -> None:
    """F5: it is recorded as soon as the store is back."""
    calls: list[str] = []

    async def count(request: SummaryRequest) -> Summary:
        calls.append(request.archive_id)
        return await summarize(request)

    session = committed(log)
    refuse(log, monkeypatch, type_, 2)

    assert Worker(log, Finalizer(count)).run_once() == 1

    assert calls == ["archive_001"]
    assert session.refresh().llm_token_usage["prompt_tokens"] == 10


def test_a_failure_that_cannot_be_recorded_ends_no_worker(
    log: Log, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    """It ends with its lease, and counts."""

    async def fail(request: SummaryRequest) -> Summary:
        if request.session_id == "a":
            raise RetryableError("503")
        return await summarize(request)

    for name in "ab":
        committed(log, name)
    refuse(log, monkeypatch, "attempt_failed", 1)

    assert Worker(log, Finalizer(fail)).run_once() == 1
    clock.advance(300)
    assert Worker(log, Finalizer(summarize)).run_once() == 1

    assert {task.session_id: task.attempts for task in log.tasks()} == {"a": 2, "b": 1}


def test_what_is_being_written_when_a_worker_is_stopped_is_not_dropped(log: Log) -> None:
    """F5, F12: it waits behind another's append, and is stored before the task is given back."""
    append, entered, gate = log.store.append, threading.Event(), threading.Event()

    def held(batch: Any) -> Any:
        entered.set()
        assert gate.wait(60)
        return append(batch)

    class Stopping(AsyncEngine):
        def answer(self, request: Any) -> asyncio.Future[Any]:
            future = super().answer(request)
            self.look(request)
            return future

        async def answered(self, request: Any) -> Any:
            asyncio.get_running_loop().call_soon(self.look, request)  # Once it is queued.
            return await super().answered(request)

        def look(self, request: Any) -> None:
            if isinstance(request._command, FinalizeArchive):
                asyncio.get_running_loop().call_soon(worker.stop, 0)
            elif isinstance(request._command, ReleaseTask):
                gate.set()

    async def hold(request: SummaryRequest) -> Summary:
        log.store.append = held  # type: ignore[method-assign]
        other.start()
        await asyncio.to_thread(entered.wait, 60)
        return await summarize(request)

    committed(log)
    busy = log.session("busy", create=True)
    other = threading.Thread(target=lambda: busy.append(Message.user("hello")))
    worker = AsyncWorker(face_of(Stopping(engine_of(log)), log), Finalizer(hold))

    asyncio.run(worker.run())
    other.join()

    (task,) = log.tasks("s")
    assert task.state == "completed"


def test_a_session_that_is_slow_to_read_keeps_no_other_waiting(log: Log) -> None:
    """F1: even if it was requested first, in the same read as the other."""
    read, finished = log.store.read, threading.Event()

    def slow(stream: str, **options: Any) -> Any:
        if stream == "a" and not finished.is_set():
            assert finished.wait(60)
        return read(stream, **options)

    async def finish(request: SummaryRequest) -> Summary:
        if request.session_id == "b":
            finished.set()
        return await summarize(request)

    for name in "ab":
        committed(log, name)
    log.store.read = slow  # type: ignore[method-assign]

    assert Worker(log, Finalizer(finish)).run_once() == 2


def test_a_worker_whose_log_is_closed_reads_nothing(log: Log) -> None:
    async def main() -> None:
        reading = AsyncEngine(engine_of(log))
        await reading.close()
        await BatchedReads(reading).read(len, "abc")

    with pytest.raises(LogClosed):
        asyncio.run(main())


# ---- callables that do not end ----------------------------------------------------------------


def test_a_plain_callable_that_hangs_keeps_no_worker_from_ending(
    log: Log, loop_time: JumpingTime
) -> None:
    """F2, F12: the attempt ends, the thread is left alone, and its result reaches nobody."""
    may_end, ended = threading.Event(), threading.Event()

    def hang(request: SummaryRequest) -> Summary:
        loop_time.advance(3_600)
        assert may_end.wait(60)
        ended.set()
        return Summary(overview="too late", abstract="")

    committed(log)

    assert Worker(log, Finalizer(hang), attempt_timeout=3_600).run_once() == 0
    assert not ended.is_set()
    may_end.set()
    assert ended.wait(60)

    (task,) = log.tasks("s")
    assert (task.state, task.error) == (
        "retry",
        "TimeoutError: the attempt took longer than 3600 s",
    )


def test_an_attempt_ends_in_time_although_its_renewal_hangs(loop_time: JumpingTime) -> None:
    """F2."""
    may_end = threading.Event()

    def hang() -> None:
        loop_time.advance(3_600)
        assert may_end.wait(60)

    async def main() -> None:
        tenure = LeaseKeeper(Heartbeat(0), hang, timeout_seconds=3_600)
        with pytest.raises(asyncio.CancelledError), tenure:
            await asyncio.Event().wait()
        assert str(tenure.verdict) == "the attempt took longer than 3600 s"

    asyncio.run(main())
    may_end.set()
    assert loop_time.now == 3_600


def test_a_callable_that_ignores_its_cancellation_keeps_no_worker(
    log: Log, loop_time: JumpingTime
) -> None:
    ignored: list[str] = []

    async def stubborn(request: SummaryRequest) -> Summary:
        if request.session_id == "a":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ignored.append("cancelled")
            await asyncio.Event().wait()  # Until the loop itself ends.
        return await summarize(request)

    for name in "ab":
        committed(log, name)

    worker = Worker(log, Finalizer(stubborn), attempt_timeout=3_600, concurrency=1)
    assert worker.run_once() == 1
    assert ignored == ["cancelled"]
    assert loop_time.now == 3_600 + UNWINDING_SECONDS
    assert [task.state for task in log.tasks()] == ["retry", "completed"]


def test_more_plain_callables_than_an_executor_has_threads_take_steps(log: Log) -> None:
    """Each waits in its thread for the others, then for its own step."""
    together = threading.Barrier(40)

    def index(request: TaskRequest) -> int:
        together.wait(60)
        number: int = request.step_sync("a", lambda: 1)
        return number

    session = log.session("s", create=True)
    for _ in range(40):
        session.queue_task("acme.index")

    assert Worker(log, Finalizer(kinds={"acme.index": index}), concurrency=40).run_once() == 40


# ---- what is logged ---------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_lost_lease_is_told_as_such_and_is_no_crash(
    log: Log, rival: Log, caplog: pytest.LogCaptureFixture, style: str
) -> None:
    """F2: the late result changes nothing, and the log of the process says ``LeaseLost``."""

    def take_away(request: SummaryRequest) -> Summary:
        rival.session("s").abandon("archive_001", reason="enough")
        return Summary(overview="too late", abstract="")

    async def take_away_later(request: SummaryRequest) -> Summary:
        return take_away(request)

    session = committed(log)
    summarizer: Callable[..., Any] = take_away if style == "plain" else take_away_later

    with caplog.at_level(logging.WARNING, "eventlog"):
        assert Worker(log, Finalizer(summarizer)).run_once() == 0

    (record,) = [entry for entry in caplog.records if entry.message == "lease_lost"]
    fields = vars(record)
    assert fields["error"].startswith("LeaseLost: task ")
    assert (fields["session_id"], fields["attempt"]) == ("s", 1)
    assert [archive.state for archive in session.archives()] == ["abandoned"]
