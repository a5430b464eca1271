"""The worker: what it does with due tasks, and what becomes of attempts that go wrong (F1 to F12)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import eventlog
from eventlog import (
    AsyncLog,
    AsyncWorker,
    EffectRequest,
    Extraction,
    Finalizer,
    InvalidArgument,
    Log,
    Message,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    Session,
    Skills,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.tasks.commands import ClaimTask, CompleteStep
from eventlog.tasks.events import AttemptFailed, OwnerData, TokenUsage
from eventlog.tasks.owner import this_process
from eventlog.testing.clock import FakeClock

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
    fence: int = log.execute(log.core(name), command).fence
    return task.task_id, fence


def events(log: Log, type_: str, name: str = "s") -> list[Any]:
    return [entry.event for entry in log.read(name) if entry.type == type_]


# ---- one attempt ------------------------------------------------------------------------------


def test_an_archive_is_finalised_and_its_result_told(log: Log) -> None:
    """P4, F10."""
    session = committed(log)
    assert session.context().latest_archive_overview == ""

    assert run_once(log) == 1

    (task,) = log.tasks("s")
    assert (task.state, task.attempts, task.error, task.worker) == ("completed", 1, None, None)
    assert task.result is not None
    assert task.result["abstract"] == "abstract of archive_001"
    cost = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert task.result["token_usage"] == task.result["session_token_usage"] == cost
    assert session.context().latest_archive_overview == "overview of archive_001"
    assert run_once(log) == 0


def test_an_archive_is_finalised_without_any_model(log: Log) -> None:
    """F6: a deterministic summariser ships as default."""
    session = committed(log, "s", "How do I deploy to production?")

    assert Worker(log).run_once() == 1

    assert "deploy" in session.archive("archive_001").overview


def test_callables_are_plain_or_asynchronous_functions_or_objects(log: Log) -> None:
    class Summarizer:
        async def __call__(self, request: SummaryRequest) -> Summary:
            return await summarize(request)

    def plain(request: SummaryRequest) -> Summary:
        assert threading.current_thread() is not threading.main_thread()
        return asyncio.run(_awaited(summarize(request)))

    def late(request: SummaryRequest) -> Awaitable[Summary]:
        return summarize(request)

    for number, summarizer in enumerate([Summarizer(), plain, late]):
        committed(log, f"s{number}")
        assert run_once(log, summarizer) == 1


async def _awaited(summary: Awaitable[Summary]) -> Summary:
    return await summary


def test_a_summariser_is_handed_the_archive_and_what_came_before(log: Log) -> None:
    """F6."""
    seen: list[SummaryRequest] = []

    async def look(request: SummaryRequest) -> Summary:
        seen.append(request)
        if request.archive_id == "archive_002":
            raise NonRetryableError("no")
        return await summarize(request)

    session = log.session("s", create=True, failed_archives="skip")
    for number in (1, 2, 3):
        session.append(Message.user(f"m{number}"))
        session.commit()

    run_once(log, look)

    described = [
        (
            request.session_id,
            request.archive_id,
            [message.text for message in request.messages],
            request.previous_overview,
            [message.text for message in request.uncovered],
            request.attempt,
        )
        for request in seen
    ]
    assert described == [
        ("s", "archive_001", ["m1"], "", [], 1),
        ("s", "archive_002", ["m2"], "overview of archive_001", [], 1),
        ("s", "archive_003", ["m3"], "overview of archive_001", ["m2"], 1),
    ]
    assert [event.covers for event in events(log, "archive_finalized")] == [[1], [2, 3]]


def test_a_failed_archive_beyond_the_budget_is_handed_over_as_a_digest(log: Log) -> None:
    """F6: one oversized archive cannot make every later one too long; it stays visible."""
    uncovered: list[Message] = []

    async def look(request: SummaryRequest) -> Summary:
        if request.archive_id == "archive_001":
            raise NonRetryableError("prompt too long")
        uncovered.extend(request.uncovered)
        return await summarize(request)

    session = log.session("s", create=True, failed_archives="skip")
    session.append(Message.user("The deadline is Friday. " + "x" * 400))
    session.commit()
    session.append(Message.user("second"))
    session.commit()

    Worker(log, Finalizer(look, uncovered_budget=50)).run_once()

    (digest,) = uncovered
    assert digest.text.startswith("Digest of archive_001, which failed:")
    assert events(log, "archive_finalized")[0].covers == [2]
    assert [message.text[:12] for message in session.context().messages] == ["The deadline"]


# ---- attempts ---------------------------------------------------------------------------------


def test_a_transient_error_is_tried_again_after_the_delay_that_was_drawn(
    log: Log, clock: FakeClock
) -> None:
    """F3: and the delay is in the event, so that a replay draws nothing."""
    committed(log)
    summarizer = failing(RetryableError("503"), RetryableError("503"))
    policy = RetryPolicy(attempts=3, base_seconds=2.0)

    def work() -> int:
        return run_once(log, summarizer, retry=policy, draw=lambda: 0.5)

    start = clock.now
    assert (work(), work()) == (0, 0)
    clock.advance(0.999999)
    assert work() == 0
    clock.advance(0.000001)
    assert work() == 0
    clock.advance(2)
    assert work() == 1

    failed: list[AttemptFailed] = events(log, "attempt_failed")
    assert [event.next_run_at - start for event in failed] == [1_000_000, 3_000_000]
    assert [event.attempt for event in events(log, "task_claimed")] == [1, 2, 3]
    (task,) = log.tasks("s")
    assert (task.state, task.attempts, task.error) == ("completed", 3, None)


def test_attempts_end_when_they_are_used_up(log: Log, clock: FakeClock) -> None:
    """P6."""
    session = committed(log)
    errors = [RetryableError(f"failure {number}") for number in (1, 2, 3, 4)]
    summarizer = failing(*errors)
    for _ in range(6):
        run_once(log, summarizer)
        clock.advance(60)

    (task,) = log.tasks("s")
    assert (task.state, task.attempts) == ("terminal_failed", 3)
    assert task.error == "RetryableError: failure 3"
    assert [message.text for message in session.context().messages] == ["hello"]
    assert session.retry("archive_001") == "accepted"
    assert run_once(log, summarizer) == 0
    clock.advance(60)
    assert run_once(log, summarizer) == 1


@pytest.mark.parametrize(
    "error",
    [
        NonRetryableError("no"),
        RuntimeError("Prompt is too long"),
        ValueError("invalid payload"),
    ],
    ids=repr,
)
def test_a_fatal_error_ends_it_at_once(log: Log, error: Exception) -> None:
    """F4: nothing lost, no further cost."""
    session = committed(log)

    run_once(log, failing(error))

    (task,) = log.tasks("s")
    assert (task.state, task.attempts) == ("terminal_failed", 1)
    assert task.error == f"{type(error).__name__}: {error}"
    assert len(session.context().messages) == 1


def test_the_classifier_can_be_replaced(log: Log, clock: FakeClock) -> None:
    committed(log)

    run_once(log, failing(ValueError("worth it")), classifier=lambda error: "transient")

    assert [task.state for task in log.tasks("s")] == ["retry"]


@pytest.mark.parametrize("overview", ["", "  \n"])
def test_an_empty_overview_is_a_failure(log: Log, overview: str) -> None:
    """F6."""
    committed(log)

    run_once(log, lambda request: Summary(overview=overview, abstract="x"))

    (task,) = log.tasks("s")
    assert (task.state, task.error) == (
        "retry",
        "EmptySummary: the summarizer returned no overview",
    )


@pytest.mark.parametrize("answer", [None, "a text", {"overview": "x"}])
def test_an_answer_that_is_no_summary_is_a_failure(log: Log, answer: Any) -> None:
    committed(log)

    run_once(log, lambda request: answer)

    assert [task.state for task in log.tasks("s")] == ["retry"]


def test_an_attempt_that_hangs_ends_after_its_time(log: Log) -> None:
    """F2: and its work is cancelled."""
    ended: list[str] = []

    async def hang(request: SummaryRequest) -> Summary:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        raise AssertionError

    committed(log)

    run_once(log, hang, attempt_timeout=0.01)

    (task,) = log.tasks("s")
    assert (task.state, task.attempts) == ("retry", 1)
    assert task.error == "TimeoutError: the attempt took longer than 0.01 s"
    assert ended == ["cancelled"]


def test_a_timeout_of_the_summarisers_own_is_told_as_such(log: Log) -> None:
    committed(log)

    run_once(log, failing(TimeoutError("the model did not answer")))

    assert [task.error for task in log.tasks("s")] == ["TimeoutError: the model did not answer"]


def test_a_summariser_that_cancels_itself_has_failed(log: Log) -> None:
    """F2: a failure, not a release: it counts."""
    committed(log)

    run_once(log, failing(asyncio.CancelledError()))

    (task,) = log.tasks("s")
    assert (task.state, task.attempts) == ("retry", 1)
    assert task.error == "RuntimeError: the callable cancelled itself"


def test_secrets_do_not_reach_the_log(log: Log) -> None:
    """F11."""
    committed(log)

    run_once(log, failing(RetryableError("401 for key sk-abcdefgh12345678")))

    assert not [entry for entry in log.read("s") if b"abcdefgh" in entry.record.data]


# ---- lost owners ------------------------------------------------------------------------------


def test_what_a_lost_worker_paid_for_is_not_paid_twice(log: Log, clock: FakeClock) -> None:
    """F5: the step's output is read back."""
    session = committed(log)
    task_id, fence = claim(log)
    output = {"overview": "paid for", "abstract": "once", "covers": [1]}
    usage = TokenUsage(prompt_tokens=100)
    log.execute(log.core("s"), CompleteStep(task_id, fence, "summary", output, usage))
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
    process.wait(timeout=60)
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


def test_a_worker_that_lost_its_lease_stops_working(log: Log, rival: Log) -> None:
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

    assert run_once(log, hang, lease_seconds=0.03) == 0

    assert ended == ["cancelled"]
    assert [task.state for task in log.tasks("s")] == ["abandoned"]


def test_a_lease_is_renewed_while_the_work_goes_on(log: Log) -> None:
    """F2: at a third of it; the summariser waits until it sees two renewals of its own."""

    async def wait_for_renewals(request: SummaryRequest) -> Summary:
        following = AsyncLog(log).follow(types=["lease_renewed"])
        renewals = [(await anext(following)).event for _ in range(2)]
        await following.aclose()  # type: ignore[attr-defined]
        assert len(renewals) == 2
        return await summarize(request)

    session = committed(log)
    before = session.meta.updated_at

    assert run_once(log, wait_for_renewals, lease_seconds=0.03) == 1

    assert len(events(log, "lease_renewed")) >= 2
    assert session.refresh().updated_at == before


# ---- follow-ups -------------------------------------------------------------------------------


def test_memories_skills_and_effects_follow_as_tasks_of_their_own(log: Log) -> None:
    """F5, F8, F10."""
    requests: list[EffectRequest] = []

    def notify(request: EffectRequest) -> None:
        requests.append(request)

    async def remember(request: SummaryRequest) -> Extraction:
        return Extraction(
            memories={"preferences": 2, "facts": 1},
            diff={"added": ["tea"]},
            usage={"prompt_tokens": 7},
        )

    def learn(request: SummaryRequest) -> Skills:
        return Skills(uris=("skill://1", "skill://2"), usage={"completion_tokens": 3})

    session = committed(log)
    finalizer = Finalizer(summarize, remember, learn, (notify,))

    assert Worker(log, finalizer).run_once() == 4

    tasks = {task.kind: task for task in log.tasks("s")}
    assert {task.state for task in tasks.values()} == {"completed"}
    assert tasks["memories"].result == {
        "memories_extracted": {"preferences": 2, "facts": 1},
        "memory_diff": {"added": ["tea"]},
    }
    assert tasks["skills"].result == {
        "session_skills_extracted": 2,
        "session_skill_uris": ["skill://1", "skill://2"],
    }
    assert tasks["side_effect:notify"].result == {"active_count_updated": True}
    assert {task.archive_id for task in tasks.values()} == {"archive_001"}
    (request,) = requests
    assert request.overview == "overview of archive_001"
    assert request.idempotency_key == tasks["side_effect:notify"].task_id
    meta = session.refresh()
    assert meta.memories_extracted == {"preferences": 2, "facts": 1, "total": 3}
    assert meta.llm_token_usage["total_tokens"] == 15 + 7 + 3


def test_a_follow_up_that_fails_for_good_blocks_nothing_and_can_be_run_again(log: Log) -> None:
    """F5, F8: completion is never undone."""
    broken = [True]

    async def remember(request: SummaryRequest) -> Extraction:
        if broken[0]:
            raise NonRetryableError("no memory today")
        return Extraction(memories={"facts": 1})

    session = committed(log)
    finalizer = Finalizer(summarize, remember)
    assert Worker(log, finalizer).run_once() == 1
    (failed,) = log.tasks(kind="memories")
    assert (failed.state, failed.error) == ("terminal_failed", "NonRetryableError: no memory today")
    assert session.context().latest_archive_overview == "overview of archive_001"

    session.append(Message.user("more"))
    assert session.commit().status == "accepted"
    broken[0] = False
    assert log.retry(failed.task_id) == "accepted"
    assert Worker(log, finalizer).run_once() == 3

    assert session.refresh().memories_extracted == {"facts": 2, "total": 2}
    assert {task.state for task in log.tasks("s")} == {"completed"}


def test_follow_ups_wait_for_a_worker_that_can_do_them(log: Log) -> None:
    """L14: another worker, with other callables."""
    committed(log)
    extractor = Finalizer(summarize, memory_extractor=lambda request: Extraction(memories={}))

    queued = log.session("s").queue_task("acme.index")
    assert _only_summary(log, extractor) == 1
    assert run_once(log) == 0
    assert [task.state for task in log.tasks(kind="memories")] == ["pending"]
    assert Worker(log, extractor).run_once() == 1

    assert [task.state for task in log.tasks(kind="memories")] == ["completed"]
    assert log.task(queued).state == "pending"


def _only_summary(log: Log, finalizer: Finalizer) -> int:
    """Run a worker that is stopped when the summary is there."""

    async def main() -> int:
        async def stop(request: SummaryRequest) -> Summary:
            worker.stop(60)
            return await summarize(request)

        stopping = Finalizer(stop, finalizer.memory_extractor)
        worker = AsyncWorker(AsyncLog(log), stopping, concurrency=1)
        return await worker.run_once()

    return asyncio.run(main())


def test_one_extractor_for_each_archive_gets_that_archive(log: Log) -> None:
    seen: list[tuple[str, list[str]]] = []

    async def remember(request: SummaryRequest) -> Extraction:
        seen.append((request.archive_id, [message.text for message in request.messages]))
        return Extraction(memories={})

    session = log.session("s", create=True)
    for number in (1, 2):
        session.append(Message.user(f"m{number}"))
        session.commit()

    Worker(log, Finalizer(summarize, remember)).run_once()

    assert sorted(seen) == [("archive_001", ["m1"]), ("archive_002", ["m2"])]


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
async def running(worker: AsyncWorker) -> AsyncIterator[asyncio.Task[None]]:
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
    """F12: committed by others while it waits; and it ends when it is told to."""

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
    "options", [{"concurrency": 0}, {"lease_seconds": 0}, {"attempt_timeout": -1}]
)
def test_options_that_make_no_sense_are_refused(log: Log, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="are positive"):
        Worker(log, **options).run_once()
