"""Workers that are lost, late, numerous, or stopped (F2, F12, P5, P6)."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import (
    AsyncLog,
    AsyncWorker,
    Finalizer,
    InvalidArgument,
    Log,
    Message,
    RetryableError,
    RetryPolicy,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.engine.owner import is_gone, this_process
from eventlog.session.tasks.commands import ClaimTask, CompleteStep
from eventlog.session.tasks.events import OwnerData, TokenUsage
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import execute
from eventlog.testing.jumping import JumpingTime

ELSEWHERE = OwnerData(host="elsewhere", boot="", pid=1, started="")
LEASE_SECONDS = 300

Summarize = Callable[[SummaryRequest], Awaitable[Summary]]


async def summarize(request: SummaryRequest) -> Summary:
    return Summary(
        overview=f"overview of {request.archive_id}",
        abstract=f"abstract of {request.archive_id}",
        usage={"prompt_tokens": 10, "completion_tokens": 5},
    )


def failing(*errors: BaseException) -> Summarize:
    """Return a summariser that raises these errors one after the other, then succeeds."""
    left = list(errors)

    async def fail(request: SummaryRequest) -> Summary:
        if left:
            raise left.pop(0)
        return await summarize(request)

    return fail


def committed(log: Log, name: str = "s", *texts: str) -> Session:
    """Return a session with one archive to finalise."""
    session = log.session(name, create=True)
    session.extend([Message.user(text) for text in texts or ("hello",)])
    session.commit()
    return session


def run_once(log: Log, summarizer: Any = summarize, **options: Any) -> int:
    options.setdefault("draw", lambda: 1.0)
    return Worker(log, Finalizer(summarizer), **options).run_once()


def claim(log: Log, *, owner: OwnerData = ELSEWHERE, name: str = "s") -> tuple[str, int]:
    """Claim the open task of a session as a worker that is never heard of again."""
    (task,) = [task for task in log.tasks(name) if task.status in ("pending", "running")]
    command = ClaimTask(task.task_id, "lost", owner, LEASE_SECONDS * 1_000_000, 3)
    fence: int = execute(log, name, command).fence
    return task.task_id, fence


def events(log: Log, type_: str, name: str = "s") -> list[Any]:
    return [entry.event for entry in log.read(name) if entry.type == type_]


# ---- lost owners ------------------------------------------------------------------------------


def test_what_a_lost_worker_paid_for_is_not_paid_twice(log: Log, clock: FakeClock) -> None:
    """F5: the step's output is read back."""
    session = committed(log)
    task_id, fence = claim(log)
    output = {"overview": "paid for", "abstract": "once", "covers": [1]}
    usage = TokenUsage(prompt_tokens=100)
    execute(log, "s", CompleteStep(task_id, fence, "summary", output, usage))
    clock.advance(LEASE_SECONDS)

    assert run_once(log, failing(AssertionError("called again"))) == 1

    assert session.archive("archive_001").overview == "paid for"
    assert session.meta.llm_token_usage["total_tokens"] == 100
    (task,) = log.tasks("s")
    assert task.attempts == 2
    assert (task.result or {})["token_usage"]["prompt_tokens"] == 100


def test_a_worker_takes_over_when_the_lease_of_a_lost_one_ends(log: Log, clock: FakeClock) -> None:
    committed(log)
    claim(log)

    assert run_once(log) == 0
    clock.advance(LEASE_SECONDS)
    assert run_once(log) == 1

    (expired,) = events(log, "lease_expired")
    assert expired.error == "worker lost"


def test_an_owner_that_is_proven_dead_is_not_waited_for(log: Log) -> None:
    """F2: same host and boot, process gone, whatever is left of the lease."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=600)
    dead = this_process()
    dead["pid"] = process.pid
    committed(log)
    claim(log, owner=dead)

    assert run_once(log) == 1


def test_a_process_id_that_was_given_to_another_process_proves_its_owner_dead(log: Log) -> None:
    another = this_process()
    another["started"] = "1"
    committed(log)
    claim(log, owner=another)

    assert run_once(log) == 1


def test_an_owner_that_lives_is_waited_for(log: Log) -> None:
    committed(log)
    claim(log, owner=this_process())

    assert run_once(log) == 0


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        PermissionError(errno.EACCES, "Permission denied"),
        FileNotFoundError(errno.ENOENT, "hidden, although the process lives"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_be_read_of_an_owner_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    owner = this_process()

    def fail(*arguments: object) -> str:
        raise error

    monkeypatch.setattr(Path, "read_text", fail)

    assert not is_gone(owner)
    assert not is_gone({**owner, "pid": 2**70})


def test_a_worker_finds_tasks_whose_attempts_are_used_up_by_crashes(
    log: Log, clock: FakeClock
) -> None:
    """P6: and goes on to what comes behind them."""
    session = committed(log)
    for _ in range(3):
        claim(log)
        clock.advance(LEASE_SECONDS)

    assert run_once(log) == 0

    assert [task.state for task in log.tasks("s")] == ["terminal_failed"]
    assert [archive.error for archive in session.archives()] == ["worker lost"]


def test_of_tasks_lost_with_their_workers_one_at_a_time_is_on_its_last_attempt(
    log: Log, clock: FakeClock
) -> None:
    """P6: the one that ends its process must not take the last attempt of another along."""
    suspects = [f"s{number}" for number in range(4)]
    for name in suspects:
        committed(log, name)
    for name in suspects * 2:
        claim(log, name=name)
        clock.advance(LEASE_SECONDS)
    committed(log, "fresh")
    inside: set[str] = set()
    beside: list[set[str]] = []

    async def note(request: SummaryRequest) -> Summary:
        inside.add(request.session_id)
        beside.append(inside & set(suspects))
        for _ in range(20):  # As many turns in which another could begin.
            await asyncio.to_thread(inside.copy)
        inside.remove(request.session_id)
        return await summarize(request)

    assert run_once(log, note, concurrency=4) == 5
    assert max(len(found) for found in beside) == 1  # The fresh one may run beside any of them.


def test_a_result_that_comes_too_late_is_dropped(log: Log, rival: Log, clock: FakeClock) -> None:
    """P5: the attempt that took over is the one that counts."""

    async def slow(request: SummaryRequest) -> Summary:
        clock.advance(LEASE_SECONDS)
        quick = AsyncWorker(AsyncLog(rival), Finalizer(summarize))
        assert await quick.run_once() == 1
        return Summary(overview="too late", abstract="")

    session = committed(log)

    assert run_once(log, slow) == 0

    assert session.archive("archive_001").overview == "overview of archive_001"
    assert len(events(log, "archive_finalized")) == 1
    assert [task.attempts for task in log.tasks("s")] == [2]


def test_a_worker_that_lost_its_lease_stops_working(
    log: Log, rival: Log, loop_time: JumpingTime
) -> None:
    """F2: the heartbeat finds out, and cancels the work."""
    ended: list[str] = []

    async def hang(request: SummaryRequest) -> Summary:
        rival.session("s").abandon("archive_001", reason="enough")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        raise AssertionError

    committed(log)

    assert run_once(log, hang, lease_seconds=300) == 0

    assert loop_time.now == 100
    assert ended == ["cancelled"]
    assert [task.state for task in log.tasks("s")] == ["abandoned"]


def test_a_lease_is_renewed_while_the_work_goes_on(log: Log, loop_time: JumpingTime) -> None:
    """F2: whenever a third of it is over."""

    async def take_half_an_hour(request: SummaryRequest) -> Summary:
        await asyncio.sleep(1_790)
        return await summarize(request)

    session = committed(log)
    before = session.meta.updated_at

    assert run_once(log, take_half_an_hour, lease_seconds=300, attempt_timeout=3_600) == 1

    assert loop_time.now == 1_790
    assert len(events(log, "lease_renewed")) == 17
    assert session.refresh().updated_at == before


# ---- several at once --------------------------------------------------------------------------


def test_several_sessions_are_worked_on_at_once(log: Log) -> None:
    """F12: all of them are inside before the first one may leave."""
    for number in range(3):
        committed(log, f"s{number}")
    inside = asyncio.Barrier(3)

    async def together(request: SummaryRequest) -> Summary:
        async with asyncio.timeout(60):
            await inside.wait()
        return await summarize(request)

    assert run_once(log, together, concurrency=3) == 3


def test_no_more_are_worked_on_at_once_than_allowed(log: Log) -> None:
    inside, most = 0, 0
    pairs = asyncio.Barrier(2)

    async def count(request: SummaryRequest) -> Summary:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        async with asyncio.timeout(60):
            await pairs.wait()
        inside -= 1
        return await summarize(request)

    for number in range(6):
        committed(log, f"s{number}")

    assert run_once(log, count, concurrency=2) == 6
    assert most == 2


def test_rival_workers_finalise_each_archive_once(log: Log, rival: Log) -> None:
    """P5."""
    for number in range(8):
        session = committed(log, f"s{number}")
        session.append(Message.user("more"))
        session.commit()

    async def main() -> list[int]:
        workers = [
            AsyncWorker(AsyncLog(opened), Finalizer(summarize), name=f"w{number}")
            for number, opened in enumerate([log, rival, log])
        ]
        return list(await asyncio.gather(*(worker.run_once() for worker in workers)))

    assert sum(asyncio.run(main())) == 16

    for number in range(8):
        finalised = events(log, "archive_finalized", f"s{number}")
        assert [event.archive for event in finalised] == [1, 2]
        assert [event.attempt for event in events(log, "task_claimed", f"s{number}")] == [1, 1]


# ---- running and stopping ---------------------------------------------------------------------


@asynccontextmanager
async def running(worker: AsyncWorker) -> AsyncGenerator[asyncio.Task[None]]:
    """Run a worker, and see to its end."""
    task = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(60):
            yield task
            worker.stop(0)
            await task
    finally:
        task.cancel()


def test_a_running_worker_wakes_for_new_tasks(log_url: str) -> None:
    """F12: it finalises what others commit while it waits, and ends when it is stopped."""

    async def main() -> list[str]:
        async with eventlog.open_async(log_url) as log:
            worker = AsyncWorker(log, Finalizer(summarize))
            async with running(worker):
                done = log.follow(types=["archive_finalized"])
                session = await log.session("s", create=True)
                for number in range(3):
                    await session.append(Message.user(f"m{number}"))
                    await session.commit()
                    await anext(done)
            return [archive.state for archive in await session.archives()]

    assert asyncio.run(main()) == ["completed"] * 3


def test_a_running_worker_comes_back_for_a_retry(log_url: str) -> None:
    async def main() -> int:
        async with eventlog.open_async(log_url) as log:
            policy = RetryPolicy(base_seconds=0.001)
            worker = AsyncWorker(log, Finalizer(failing(RetryableError("once"))), retry=policy)
            async with running(worker):
                session = await log.session("s", create=True)
                await session.append(Message.user("a"))
                await session.commit()
                await anext(log.follow(types=["archive_finalized"]))
            return (await session.archives())[0].attempts

    assert asyncio.run(main()) == 2


def test_a_stopped_worker_releases_what_it_cannot_finish(log_url: str) -> None:
    """F12: the attempt does not count."""
    begun = asyncio.Event()

    async def hang(request: SummaryRequest) -> Summary:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> tuple[str, int, str | None]:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            await session.append(Message.user("a"))
            await session.commit()
            async with running(AsyncWorker(log, Finalizer(hang))):
                await begun.wait()
            (archive,) = await session.archives()
            task = await log.task(archive.task_id)
            return task.state, task.attempts, task.worker

    assert asyncio.run(main()) == ("pending", 0, None)


def test_a_stopped_worker_finishes_within_its_grace(log_url: str) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(request: SummaryRequest) -> Summary:
        begun.set()
        await may_end.wait()
        return await summarize(request)

    async def main() -> list[str]:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            for text in "ab":
                await session.append(Message.user(text))
                await session.commit()
            worker = AsyncWorker(log, Finalizer(slow))
            run = asyncio.create_task(worker.run())
            await begun.wait()
            worker.stop(60)
            may_end.set()
            await run
            return [archive.state for archive in await session.archives()]

    assert asyncio.run(main()) == ["completed", "pending"]


def test_a_synchronous_worker_is_stopped_from_another_thread(log: Log) -> None:
    session = committed(log)
    worker = Worker(log, Finalizer(summarize))
    thread = threading.Thread(target=worker.run)
    thread.start()
    for recorded in log.follow(types=["archive_finalized"]):
        assert recorded.stream == "s"
        break

    worker.stop()
    thread.join(timeout=60)

    assert not thread.is_alive()
    assert [archive.state for archive in session.archives()] == ["completed"]


def test_a_worker_that_was_stopped_before_it_ran_does_nothing(log: Log) -> None:
    committed(log)
    worker = Worker(log, Finalizer(summarize))
    worker.stop()

    worker.run()

    assert worker.run_once() == 0
    assert [task.state for task in log.tasks()] == ["pending"]


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": 1.5},
        {"lease_seconds": 0},
        {"lease_seconds": "5"},
        {"lease_seconds": float("inf")},
        {"attempt_timeout": -1},
    ],
)
def test_options_that_make_no_sense_are_refused(log: Log, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=f"{next(iter(options))} is "):
        Worker(log, **options).run_once()
