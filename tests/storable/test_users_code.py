"""No value or error from users' code ends the worker, and no step is paid for twice (F2b, F4, F5)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

import pytest

import eventlog
from eventlog import (
    Extraction,
    Finalizer,
    Log,
    Message,
    RetryPolicy,
    Summary,
    TaskRequest,
    Worker,
)


@pytest.fixture
def memory_log() -> Any:
    with eventlog.open("memory:") as log:
        yield log


class Careless(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        return str(self.args[5])


class Absurd(Exception):
    """An error whose attributes raise, too."""

    @property
    def status_code(self) -> int:
        raise RuntimeError("no status")

    @property
    def retry_after(self) -> float:
        return float("nan")


ERRORS: Final[dict[str, BaseException]] = {
    "no text": Careless(),
    "half an emoji": ValueError("the answer was cut: \ud83d"),
    "attributes that raise": Absurd("\udc00"),
    "an interrupt": KeyboardInterrupt(),
    "an exit": SystemExit(3),
    "the end of an iterator": StopIteration(),
    "the end of a generator": GeneratorExit(),
    "a group": ExceptionGroup("several \ud83d", [Careless(), OSError("\ud800")]),
    "a long text": RuntimeError("x" * 1_000_000),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_recorded_and_other_tasks_go_on(memory_log: Log, name: str) -> None:
    """F4: ``data/faults/bad_error.py``, and whatever else an error may be."""
    calls: list[str] = []

    def bad(request: TaskRequest) -> None:
        calls.append(request.task_id)
        raise ERRORS[name]

    first = memory_log.session("s", create=True).queue_task("acme.bad")
    second = memory_log.session("t", create=True).queue_task("acme.good")
    kinds: dict[str, Callable[[TaskRequest], Any]] = {"acme.bad": bad, "acme.good": lambda _: 1}
    worker = Worker(
        memory_log, Finalizer(kinds=kinds), concurrency=1, retry=RetryPolicy(attempts=1)
    )

    assert worker.run_once() == 1

    assert memory_log.task(first).state == "terminal_failed"
    assert memory_log.task(first).error
    assert memory_log.task(second).state == "completed"
    assert len(calls) == 1
    assert memory_log.verify("s") == []


@pytest.mark.parametrize("broken", ["classifier", "result_classifier", "draw"])
def test_a_hook_that_raises_or_returns_nonsense_ends_no_worker(
    memory_log: Log, broken: str
) -> None:
    def fail(request: TaskRequest) -> None:
        raise RuntimeError("it failed")

    def nonsense(*_: object) -> Any:
        if broken == "draw":
            return float("nan")
        raise Careless

    task_id = memory_log.session("s", create=True).queue_task("acme.bad")
    hooks: Any = {broken: nonsense}
    Worker(
        memory_log, Finalizer(kinds={"acme.bad": fail}), retry=RetryPolicy(attempts=1), **hooks
    ).run_once()

    assert memory_log.task(task_id).state == "terminal_failed"


ERROR_TEXTS: Final = [
    "API Error: Connection error.",
    "Prompt is too long",
    "Credit balance is too low",
    "Invalid API key · Please run /login",
    "Claude AI usage limit reached|1760000000",
    "You've hit your limit · resets 3pm",
    "5-hour limit reached",
    "Request timed out",
    "Request timed out.",
    "timeout",
]


@pytest.mark.parametrize("text", ERROR_TEXTS)
def test_an_error_that_was_returned_as_text_completes_no_archive(
    memory_log: Log, text: str
) -> None:
    """F4: ``data/faults/error_as_text.py``."""
    session = memory_log.session("s", create=True)
    session.append(Message.user("x"))
    task_id = session.commit().task_id
    assert task_id is not None

    summary = Summary(overview=text, abstract=text)
    assert Worker(memory_log, Finalizer(summarizer=lambda _: summary)).run_once() == 0

    assert memory_log.task(task_id).state in ("retry", "terminal_failed")


@pytest.mark.parametrize(
    "text",
    [
        "# Time-outs\n\nThe user raised the request time-out to 30 s.",
        "The API key was invalid; it was replaced.",
        "Timeouts of the proxy were looked into.",
        *[f"{text} {'x' * 300}" for text in ERROR_TEXTS],
    ],
)
def test_an_overview_that_speaks_of_errors_completes_its_archive(
    memory_log: Log, text: str
) -> None:
    session = memory_log.session("s", create=True)
    session.append(Message.user("x"))
    session.commit()

    summary = Summary(overview=text, abstract="a")
    assert Worker(memory_log, Finalizer(summarizer=lambda _: summary)).run_once() == 1


def test_a_callable_that_blocks_its_loop_for_three_leases_runs_once(memory_log: Log) -> None:
    """F2b: nine renewals, each after a third of a lease, happen while the loop is blocked."""
    calls: list[str] = []

    async def block(request: TaskRequest) -> str:
        calls.append(request.task_id)
        renewals = memory_log.follow(types=["lease_renewed"])
        for _ in range(9):
            next(renewals)  # In the loop itself, which serves nobody meanwhile.
        rival = Worker(memory_log, Finalizer(kinds={"acme.slow": block}), name="rival")
        thread = threading.Thread(target=rival.run_once)
        thread.start()
        thread.join()
        return "done"

    task_id = memory_log.session("s", create=True).queue_task("acme.slow")
    worker = Worker(memory_log, Finalizer(kinds={"acme.slow": block}), lease_seconds=0.6)

    assert worker.run_once() == 1
    assert memory_log.task(task_id).state == "completed"
    assert (memory_log.task(task_id).attempts, len(calls)) == (1, 1)


@pytest.mark.parametrize("count", [-1, 2.5, "3", None, True, 2**70])
def test_memories_that_count_nothing_fail_their_task(memory_log: Log, count: Any) -> None:
    session = memory_log.session("s", create=True)
    session.append(Message.user("x"))
    session.commit()
    finalizer = Finalizer(memory_extractor=lambda _: Extraction(memories={"facts": count}))

    assert Worker(memory_log, finalizer, retry=RetryPolicy(attempts=1)).run_once() == 1
    assert session.refresh().memories_extracted == {"total": 0}


def test_an_extractors_own_total_is_not_counted_as_a_category(memory_log: Log) -> None:
    session = memory_log.session("s", create=True)
    session.append(Message.user("x"))
    session.commit()
    memories = {"facts": 2, "preferences": 1, "total": 3}
    Worker(
        memory_log, Finalizer(memory_extractor=lambda _: Extraction(memories=memories))
    ).run_once()

    assert session.refresh().memories_extracted == {"facts": 2, "preferences": 1, "total": 3}


@pytest.mark.parametrize(
    "result",
    [float("nan"), 10**5000, {"key \ud83d": 1}, "half \ud83d", object(), {1: "a", "1": "b"}],
    ids=["nan", "huge", "key", "text", "object", "two keys as one"],
)
def test_a_result_that_cannot_be_read_back_fails_its_task(memory_log: Log, result: Any) -> None:
    """G1: and the session is as readable as before."""
    session = memory_log.session("s", create=True)
    task_id = session.queue_task("acme.odd")

    Worker(memory_log, Finalizer(kinds={"acme.odd": lambda _: result})).run_once()

    assert memory_log.task(task_id).state == "terminal_failed"
    assert memory_log.verify("s") == []
    assert session.append(Message.user("on")).text == "on"


def test_a_write_that_loses_its_lease_late_leaves_no_complaint(memory_log: Log) -> None:
    """What is shielded fails after its attempt has ended: its exception was retrieved."""
    complaints: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))

        async def abandon(request: TaskRequest) -> str:
            memory_log.session("s").abandon(request.task_id, reason="enough")
            return "too late"

        log = eventlog.AsyncLog(memory_log)
        worker = eventlog.AsyncWorker(log, Finalizer(kinds={"acme.late": abandon}))
        assert await worker.run_once() == 0

    memory_log.session("s", create=True).queue_task("acme.late")
    asyncio.run(main())

    assert complaints == []
