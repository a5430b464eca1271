"""Steps of a task: recorded as they are done, never paid for twice (F5)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from eventlog import (
    EffectRequest,
    Extraction,
    Finalizer,
    InvalidArgument,
    LeaseLost,
    Log,
    Message,
    RetryableError,
    Session,
    StepResult,
    Summary,
    SummaryRequest,
    TaskRequest,
    Worker,
)
from eventlog.session.tasks.commands import ClaimTask, CompleteStep
from eventlog.session.tasks.events import OwnerData, TokenUsage
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import execute
from eventlog.testing.jumping import JumpingTime
from eventlog.worker.steps import INLINE_BYTES


def committed(log: Log) -> Session:
    """Return a session with one archive to finalise."""
    session = log.session("s", create=True)
    session.append(Message.user("hello"))
    session.commit()
    return session


def work_off(log: Log, finalizer: Finalizer, clock: FakeClock, times: int = 3) -> int:
    """Run a worker as often as a task has attempts, each time when the next one is due."""
    completed = 0
    for _ in range(times):
        completed += Worker(log, finalizer).run_once()
        clock.advance(60)
    return completed


def events(log: Log, type_: str) -> list[Any]:
    return [entry.event for entry in log.read("s") if entry.type == type_]


class Counting:
    """Work in two steps, of which the second fails twice; it counts how often each is run."""

    def __init__(self) -> None:
        self.outlines = 0
        self.texts = 0

    def outline(self, subject: str) -> StepResult:
        self.outlines += 1
        return StepResult(output={"about": subject}, usage={"prompt_tokens": 100})

    def text(self) -> str:
        self.texts += 1
        if self.texts < 3:
            raise RetryableError("503")
        return "the text"


def asynchronous(counting: Counting) -> Finalizer:
    async def summarize(request: SummaryRequest) -> Summary:
        outline = await request.step("outline", counting.outline, request.archive_id)
        text = await request.step("text", counting.text)
        return Summary(
            overview=f"{outline['about']}: {text}", abstract="", usage={"prompt_tokens": 1}
        )

    return Finalizer(summarize)


def plain(counting: Counting) -> Finalizer:
    def summarize(request: SummaryRequest) -> Summary:
        outline = request.step_sync("outline", counting.outline, request.archive_id)
        text = request.step_sync("text", counting.text)
        return Summary(
            overview=f"{outline['about']}: {text}", abstract="", usage={"prompt_tokens": 1}
        )

    return Finalizer(summarize)


@pytest.mark.parametrize("style", [asynchronous, plain])
def test_a_step_that_is_done_is_not_run_again_by_the_next_attempt(
    log: Log, clock: FakeClock, style: Callable[[Counting], Finalizer]
) -> None:
    """The second step fails twice; the first one ran once, and its tokens are counted once."""
    session = committed(log)
    counting = Counting()

    assert work_off(log, style(counting), clock) == 1

    assert (counting.outlines, counting.texts) == (1, 3)
    assert session.archive("archive_001").overview == "archive_001: the text"
    (task,) = log.tasks("s")
    assert (task.attempts, task.steps, task.stage) == (3, ("outline", "text", "summary"), "summary")
    assert task.result["token_usage"]["prompt_tokens"] == 101
    assert session.refresh().llm_token_usage["prompt_tokens"] == 101


def test_the_stage_of_a_task_is_its_latest_step(log: Log, clock: FakeClock) -> None:
    """F11: for whoever polls while it waits for another attempt."""
    committed(log)
    Worker(log, asynchronous(Counting())).run_once()

    (task,) = log.tasks("s")
    assert (task.state, task.stage, task.steps) == ("retry", "outline", ("outline",))


def test_a_retry_by_hand_does_not_pay_again_either(log: Log, clock: FakeClock) -> None:
    session = committed(log)
    counting = Counting()
    counting.texts = -3

    work_off(log, asynchronous(counting), clock)
    assert log.task(next(log.tasks("s")).task_id).state == "terminal_failed"
    session.retry("archive_001", actor="ops")
    counting.texts = 2
    assert work_off(log, asynchronous(counting), clock) == 1

    assert counting.outlines == 1


@pytest.mark.parametrize(
    ("output", "read_back"),
    [
        (("a", 1), ["a", 1]),
        ({1: {"b"}}, {"1": ["b"]}),
        (None, None),
        ("\u4f60\u597d", "\u4f60\u597d"),
    ],
    ids=repr,
)
def test_a_step_returns_the_same_at_every_attempt(
    log: Log, clock: FakeClock, output: object, read_back: object
) -> None:
    """What JSON makes of it, also the first time."""
    seen: list[object] = []

    async def index(request: TaskRequest) -> None:
        seen.append(await request.step("a", lambda: output))
        if len(seen) == 1:
            raise RetryableError("once more")

    log.session("s", create=True).queue_task("acme.index")

    assert work_off(log, Finalizer(kinds={"acme.index": index}), clock) == 1
    assert seen == [read_back, read_back]


@pytest.mark.parametrize("more", [0, 1])
def test_a_large_output_is_stored_beside_the_log(log: Log, clock: FakeClock, more: int) -> None:
    """L11: and read back by the attempt that needs it."""
    text = "x" * (INLINE_BYTES - 2 + more)
    seen: list[str] = []

    async def index(request: TaskRequest) -> None:
        seen.append(await request.step("large", lambda: text))
        if len(seen) == 1:
            raise RetryableError("once more")

    log.session("s", create=True).queue_task("acme.index")

    assert work_off(log, Finalizer(kinds={"acme.index": index}), clock) == 1

    assert seen == [text, text]
    (event,) = events(log, "step_completed")
    assert (event.output is None, event.blob is not None) == (bool(more), bool(more))
    if more:
        blob = log.store.get_blob(f"value/s/{event.blob}")
        assert blob is not None
        assert json.loads(blob.data) == text


def test_a_large_output_that_is_lost_fails_the_attempt(log: Log, clock: FakeClock) -> None:
    """P10: what is not what was stored is never handed over."""

    async def index(request: TaskRequest) -> None:
        await request.step("large", lambda: "x" * INLINE_BYTES)
        raise RetryableError("once more")

    task_id = log.session("s", create=True).queue_task("acme.index")
    Worker(log, Finalizer(kinds={"acme.index": index})).run_once()
    (event,) = events(log, "step_completed")
    log.store.put_blob(f"value/s/{event.blob}", b'"forged"')
    clock.advance(60)

    Worker(log, Finalizer(kinds={"acme.index": index})).run_once()

    assert log.task(task_id).state == "terminal_failed"
    assert (log.task(task_id).error or "").startswith("CorruptLog: session 's'")


@pytest.mark.parametrize("at_once", [False, True])
def test_a_name_used_twice_within_one_attempt_is_refused(log: Log, at_once: bool) -> None:
    """F5: the second call would silently get what the first has returned."""
    runs: list[str] = []

    async def count(what: str) -> str:
        runs.append(what)
        await asyncio.sleep(0)
        return what

    async def index(request: TaskRequest) -> list[str]:
        calls = [request.step("a", count, "first"), request.step("a", count, "second")]
        if at_once:
            return list(await asyncio.gather(*calls))
        return [await call for call in calls]

    task_id = log.session("s", create=True).queue_task("acme.index")
    Worker(log, Finalizer(kinds={"acme.index": index})).run_once()

    assert log.task(task_id).state == "terminal_failed"
    assert "step 'a' was used before in this attempt" in (log.task(task_id).error or "")
    assert runs == ["first"]


def test_a_name_used_twice_by_a_plain_callable_is_refused(log: Log) -> None:
    def index(request: TaskRequest) -> list[int]:
        return [request.step_sync("a", lambda: 1), request.step_sync("a", lambda: 2)]

    task_id = log.session("s", create=True).queue_task("acme.index")
    Worker(log, Finalizer(kinds={"acme.index": index})).run_once()

    assert "was used before in this attempt" in (log.task(task_id).error or "")


def test_a_step_that_raised_may_be_tried_again_under_its_name(log: Log) -> None:
    async def index(request: TaskRequest) -> str:
        try:
            return str(await request.step("a", [].pop))
        except IndexError:
            return str(await request.step("a", lambda: "second try"))

    task_id = log.session("s", create=True).queue_task("acme.index")
    Worker(log, Finalizer(kinds={"acme.index": index})).run_once()

    assert log.task(task_id).result == "second try"


def test_the_built_in_steps_go_the_same_way(log: Log) -> None:
    """F5: what extractors return is a step too, with its cost; and they may have steps."""

    async def remember(request: SummaryRequest) -> Extraction:
        found = await request.step("look", lambda: StepResult(output=2, usage={"prompt_tokens": 3}))
        return Extraction(memories={"facts": found}, usage={"prompt_tokens": 4})

    async def notify(request: EffectRequest) -> None:
        await request.step("send", lambda: request.idempotency_key)

    session = committed(log)
    finalizer = Finalizer(memory_extractor=remember, side_effects=(notify,))

    assert Worker(log, finalizer).run_once() == 3

    tasks = {task.kind: task for task in log.tasks("s")}
    assert tasks["finalise"].steps == ("summary",)
    assert tasks["memories"].steps == ("look", "memories")
    assert tasks["side_effect:notify"].steps == ("send",)
    assert session.refresh().llm_token_usage["prompt_tokens"] == 7
    assert session.meta.memories_extracted == {"facts": 2, "total": 2}


def test_what_a_task_consists_of_is_recorded_together_with_its_end(log: Log) -> None:
    """F5: a crash leaves both or neither, so that no attempt finds the one without the other."""
    batches: list[list[str]] = []
    append = log.store.append

    def watch(batch: Any) -> Any:
        batches.extend([record.type for record in entry.records] for entry in batch)
        return append(batch)

    def remember(request: SummaryRequest) -> Extraction:
        return Extraction(memories={"facts": 1}, usage={"prompt_tokens": 5})

    async def summarize(request: SummaryRequest) -> Summary:
        return Summary(overview="overview", abstract="", usage={"prompt_tokens": 3})

    session = committed(log)
    log.store.append = watch  # type: ignore[method-assign]
    assert Worker(log, Finalizer(summarize, memory_extractor=remember)).run_once() == 2

    assert [batch for batch in batches if batch[0] != "task_claimed"] == [
        ["step_completed", "archive_finalized"],
        ["step_completed", "task_completed"],
    ]
    (finalized,) = events(log, "archive_finalized")
    assert finalized.usage["prompt_tokens"] == finalized.session_usage["prompt_tokens"] == 3
    assert session.refresh().llm_token_usage["prompt_tokens"] == 8


def test_a_step_of_memories_is_not_paid_twice_when_their_worker_dies_after_it(
    log: Log, clock: FakeClock, loop_time: JumpingTime
) -> None:
    calls: list[int] = []

    def look() -> StepResult:
        calls.append(1)
        return StepResult(output=1, usage={"prompt_tokens": 5})

    def remember(request: SummaryRequest) -> Extraction:
        return Extraction(memories={"facts": request.step_sync("look", look)})

    session = committed(log)
    finalizer = Finalizer(memory_extractor=remember)
    refused = Refusing(log, "task_completed")
    with refused:
        Worker(log, finalizer).run_once()
    clock.advance(300)

    assert Worker(log, finalizer).run_once() == 1

    assert len(calls) == 1
    assert session.refresh().llm_token_usage["prompt_tokens"] == 5


def test_a_summary_that_an_earlier_version_recorded_by_itself_is_not_made_again(
    log: Log, clock: FakeClock
) -> None:
    """F5: it used to be recorded before the end of its task."""
    session = committed(log)
    (task,) = log.tasks("s")
    owner = OwnerData(host="elsewhere", boot="", pid=1, started="")
    claim = execute(log, "s", ClaimTask(task.task_id, "w", owner, 300_000_000, 3))
    output = {"overview": "paid for", "abstract": "short", "covers": [1]}
    usage: TokenUsage = {"prompt_tokens": 7}
    execute(log, "s", CompleteStep(task.task_id, claim.fence, "summary", output, usage))
    clock.advance(301)

    def summarize(request: SummaryRequest) -> Summary:
        raise AssertionError("it was made already")

    assert Worker(log, Finalizer(summarize)).run_once() == 1

    assert session.archive("archive_001").overview == "paid for"
    (finalized,) = events(log, "archive_finalized")
    assert finalized.usage["prompt_tokens"] == finalized.session_usage["prompt_tokens"] == 7
    assert session.refresh().llm_token_usage["prompt_tokens"] == 7


class Refusing:
    """While entered, the store says that it is unavailable for records of one type."""

    def __init__(self, log: Log, type_: str) -> None:
        self.log = log
        self.type = type_

    def __enter__(self) -> None:
        from eventlog import StoreUnavailable

        self.append = self.log.store.append

        def refuse(batch: Any) -> Any:
            if any(record.type == self.type for append in batch for record in append.records):
                raise StoreUnavailable("no room")
            return self.append(batch)

        self.log.store.append = refuse  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        self.log.store.append = self.append  # type: ignore[method-assign]


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "output", "text"),
    [
        ("summary", 1, "step 'summary' is one that the task itself records"),
        ("", 1, "a step's name must be"),
        (7, 1, "a step's name must be"),
        ("a", object(), "the output of step 'a' cannot be stored as JSON"),
    ],
)
@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_step_that_cannot_be_recorded_is_an_error(
    log: Log, style: str, name: Any, output: object, text: str
) -> None:
    """P10."""
    caught: list[InvalidArgument] = []

    async def summarize(request: SummaryRequest) -> Summary:
        with pytest.raises(InvalidArgument) as info:
            await request.step(name, lambda: output)
        caught.append(info.value)
        return Summary(overview="overview", abstract="")

    def summarize_sync(request: SummaryRequest) -> Summary:
        with pytest.raises(InvalidArgument) as info:
            request.step_sync(name, lambda: output)
        caught.append(info.value)
        return Summary(overview="overview", abstract="")

    committed(log)

    assert Worker(log, Finalizer(summarize if style == "async" else summarize_sync)).run_once() == 1
    assert text in str(caught[0])


def test_an_error_that_is_returned_as_text_is_not_recorded_as_a_step(
    log: Log, clock: FakeClock
) -> None:
    """F4: it would be read back for ever."""
    answers = ["API Error: 529 overloaded", "an outline"]

    async def index(request: TaskRequest) -> str:
        outline: str = await request.step("outline", answers.pop, 0)
        return outline

    task_id = log.session("s", create=True).queue_task("acme.index")

    assert work_off(log, Finalizer(kinds={"acme.index": index}), clock) == 1
    assert (log.task(task_id).attempts, log.task(task_id).result) == (2, "an outline")


def test_a_late_thread_can_record_no_step(log: Log, rival: Log, loop_time: JumpingTime) -> None:
    """P5: the next step that a lost owner asks for tells it so."""
    may_go_on, ended = threading.Event(), threading.Event()
    caught: list[BaseException] = []

    def index(request: TaskRequest) -> None:
        rival.abandon(request.task_id, reason="enough")
        loop_time.advance(100)
        assert may_go_on.wait(60)
        try:
            request.step_sync("late", lambda: 1)
        except LeaseLost as error:
            caught.append(error)
        ended.set()

    log.session("s", create=True).queue_task("acme.index")

    assert Worker(log, Finalizer(kinds={"acme.index": index}), lease_seconds=300).run_once() == 0
    may_go_on.set()

    assert ended.wait(60)
    assert len(caught) == 1
    assert events(log, "step_completed") == []


# ---- without a worker -------------------------------------------------------------------------


def test_without_a_worker_steps_are_just_run() -> None:
    """So that a callable can be tested by itself."""
    request = SummaryRequest(session_id="s", archive_id="archive_001", messages=())

    assert request.step_sync("a", lambda: StepResult(output=1)) == 1
    assert asyncio.run(request.step("a", lambda: 2)) == 2
