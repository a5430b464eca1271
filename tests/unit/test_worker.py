"""What a worker does with one task, and with attempts that go wrong (F2 to F6, F10)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from eventlog import (
    Finalizer,
    Log,
    Message,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    Session,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.session.tasks.events import AttemptFailed, OwnerData
from eventlog.testing.clock import FakeClock
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


def test_an_error_that_is_returned_as_an_overview_is_no_summary(log: Log) -> None:
    """F4: some SDKs return it as text; fatal at once, and nothing of it is shown."""
    session = committed(log)

    run_once(log, lambda request: Summary(overview="Prompt is too long", abstract="x"))

    (task,) = log.tasks("s")
    assert (task.state, task.attempts) == ("terminal_failed", 1)
    assert task.error == (
        "UnusableResult: the callable returned an error as text: Prompt is too long"
    )
    assert session.context().latest_archive_overview == ""
    assert len(session.context().messages) == 1


def test_the_classifier_of_results_can_be_replaced(log: Log) -> None:
    committed(log)

    def distrust(result: object) -> Literal["transient"] | None:
        return "transient" if isinstance(result, Summary) and "sorry" in result.overview else None

    run_once(
        log,
        lambda request: Summary(overview="I am sorry", abstract="x"),
        result_classifier=distrust,
    )

    assert [task.state for task in log.tasks("s")] == ["retry"]


def test_a_service_that_wants_to_be_left_alone_is(log: Log, clock: FakeClock) -> None:
    """F4: for longer than the delay that was drawn."""
    committed(log)
    start = clock.now

    run_once(log, failing(RetryableError("429", retry_after=120)))

    (failed,) = events(log, "attempt_failed")
    assert failed.next_run_at - start == 120_000_000


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


def test_an_attempt_that_hangs_ends_after_its_time(log: Log, loop_time: JumpingTime) -> None:
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

    run_once(log, hang, attempt_timeout=3_600)

    (task,) = log.tasks("s")
    assert (task.state, task.attempts) == ("retry", 1)
    assert task.error == "TimeoutError: the attempt took longer than 3600 s"
    assert loop_time.now == 3_600
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
