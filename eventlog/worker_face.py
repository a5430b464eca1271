"""The faces of a worker: `Worker`, and `AsyncWorker` for asyncio, over one loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from eventlog.aio import AsyncLog, async_engine_of
from eventlog.argument_checks import check_seconds
from eventlog.engine.async_engine import AsyncEngine
from eventlog.identifiers import new_id
from eventlog.log import Log, engine_of
from eventlog.worker.finalizer import Finalizer
from eventlog.worker.retry_policy import (
    Classifier,
    ResultClassifier,
    RetryPolicy,
    classify,
    classify_result,
)
from eventlog.worker.terms import Terms
from eventlog.worker.worker import WorkLoop

__all__ = ["AsyncWorker", "Worker"]

Result = TypeVar("Result")


class AsyncWorker:
    """Runs the due tasks of an `AsyncLog`, in the caller's event loop; see `Worker`."""

    def __init__(
        self,
        log: AsyncLog,
        finalizer: Finalizer | None = None,
        *,
        concurrency: int = 4,
        lease_seconds: float = 300.0,
        attempt_timeout: float = 1800.0,
        name: str | None = None,
        retry: RetryPolicy | None = None,
        classifier: Classifier = classify,
        result_classifier: ResultClassifier = classify_result,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._terms = Terms(
            finalizer=finalizer or Finalizer(),
            concurrency=concurrency,
            lease_seconds=lease_seconds,
            attempt_timeout=attempt_timeout,
            name=name or _drawn_name(),
            retry=retry or RetryPolicy(),
            classify=classifier,
            classify_result=result_classifier,
            draw=draw,
        )
        self._loop = WorkLoop(async_engine_of(log), self._terms)

    @property
    def name(self) -> str:
        """The name under which its claims are recorded."""
        return self._terms.name

    async def run_once(self) -> int:
        """Work until no task is due; return how many tasks were completed."""
        return await self._loop.run_once()

    async def run(self) -> None:
        """Work until `stop` is called, and wake when tasks become due."""
        await self._loop.run()

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Stop: claim no more tasks, and release those that still run after ``grace_seconds``.

        Call it in the worker's event loop. A worker that was stopped cannot be started again.
        """
        check_seconds("grace_seconds", grace_seconds, may_be_zero=True)
        self._loop.stop(grace_seconds)


class Worker:
    """Finalises archives, and runs their follow-up tasks and tasks of applications' own kinds.

    The archives of a session are finalised in order; up to ``concurrency`` tasks run at once. Any
    number of workers may share a store, in any number of processes: a task has one owner at a time,
    which renews its lease of ``lease_seconds``, and an owner that lost its lease cannot change
    anything. An attempt ends after ``attempt_timeout`` seconds, and ``retry`` says when there is
    another one. ``classifier`` decides which errors are worth another attempt, and
    ``result_classifier`` finds errors that a callable returned as text. ``draw`` returns random
    numbers from 0 to 1, for the delays between attempts.

    In the main thread, `run` and `run_once` wait for a thread that works, so callables run in another
    thread. An exception of a signal handler, such as `KeyboardInterrupt`, is raised after what was
    claimed has been released; a second one is raised at once.

    Raises `InvalidArgument` for a number that is out of range.
    """

    def __init__(
        self,
        log: Log,
        finalizer: Finalizer | None = None,
        *,
        concurrency: int = 4,
        lease_seconds: float = 300.0,
        attempt_timeout: float = 1800.0,
        name: str | None = None,
        retry: RetryPolicy | None = None,
        classifier: Classifier = classify,
        result_classifier: ResultClassifier = classify_result,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._engine = engine_of(log)
        self._terms = Terms(
            finalizer=finalizer or Finalizer(),
            concurrency=concurrency,
            lease_seconds=lease_seconds,
            attempt_timeout=attempt_timeout,
            name=name or _drawn_name(),
            retry=retry or RetryPolicy(),
            classify=classifier,
            classify_result=result_classifier,
            draw=draw,
        )
        self._running: _Running | None = None
        self._stopped: float | None = None

    @property
    def name(self) -> str:
        """The name under which its claims are recorded."""
        return self._terms.name

    def run_once(self) -> int:
        """Work until no task is due; return how many tasks were completed."""
        return self._run(WorkLoop.run_once)

    def run(self) -> None:
        """Work until `stop` is called, and wake when tasks become due."""
        self._run(WorkLoop.run)

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Stop: claim no more tasks, and release those that still run after ``grace_seconds``.

        May be called from any thread or a signal handler, also before `run`. A worker that was
        stopped cannot be started again.
        """
        check_seconds("grace_seconds", grace_seconds, may_be_zero=True)
        self._stopped = grace_seconds
        if (running := self._running) is not None:
            running.stop(grace_seconds)

    def _run(self, run: Callable[[WorkLoop], Coroutine[Any, Any, Result]]) -> Result:
        """Run an event loop in the caller's thread; for the main thread, in one of the log's."""
        running = _Running()
        return self._engine.shelter.run(
            lambda: asyncio.run(self._started(run, running)), running.cancel
        )

    async def _started(
        self, run: Callable[[WorkLoop], Coroutine[Any, Any, Result]], running: _Running
    ) -> Result:
        engine = AsyncEngine(self._engine)
        try:
            work = WorkLoop(engine, self._terms)
            self._running = running
            running.begin(work)
            if self._stopped is not None:
                work.stop(self._stopped)
            return await run(work)
        finally:
            engine.release()


class _Running:
    """An event loop that works in one thread, for others that want it to end."""

    def __init__(self) -> None:
        self._begun: tuple[WorkLoop, asyncio.Task[Any], asyncio.AbstractEventLoop] | None = None
        self._is_cancelled = False

    def begin(self, work: WorkLoop) -> None:
        """Note what runs in the current task, and cancel the task if that was asked for before."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        # Each side sets its value before it reads the other's, so that one of them cancels.
        self._begun = work, task, loop
        if self._is_cancelled:
            task.cancel()

    def cancel(self) -> None:
        """Cancel the work: what was claimed and is not completed is released."""
        self._is_cancelled = True
        if self._begun is not None:
            _, task, loop = self._begun
            with suppress(RuntimeError):  # The loop is closed.
                loop.call_soon_threadsafe(task.cancel)

    def stop(self, grace_seconds: float) -> None:
        """Stop the work, if it has begun."""
        if self._begun is not None:
            work, _, loop = self._begun
            with suppress(RuntimeError):  # The loop is closed.
                loop.call_soon_threadsafe(work.stop, grace_seconds)


def _drawn_name() -> str:
    return f"worker-{new_id()[:13]}"
