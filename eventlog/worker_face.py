"""The workers that users run: `Worker` and its asynchronous twin, on the one loop behind both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from eventlog.aio import AsyncLog, async_engine_of
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
    """Finalises what is due on an `AsyncLog`; see `Worker`."""

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
        """What its claims are recorded under."""
        return self._terms.name

    async def run_once(self) -> int:
        """Work until nothing is due any more; return how many tasks were completed."""
        return await self._loop.run_once()

    async def run(self) -> None:
        """Work until `stop` is called, waking when tasks become due."""
        await self._loop.run()

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Claim no more; give what is running so long to end, then release it (F12)."""
        self._loop.stop(grace_seconds)


class Worker:
    """Finalises archives and runs what follows from them.

    Within a session archives are finalised in order; ``concurrency`` sessions are worked on at
    once. Any number of workers may share a store, in any number of processes: a task has one owner
    at a time, and a late one cannot change anything (P5). Raises `InvalidArgument` for options that
    make no sense.
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
        self._running: tuple[WorkLoop, asyncio.AbstractEventLoop] | None = None
        self._stopped: float | None = None

    @property
    def name(self) -> str:
        """What its claims are recorded under."""
        return self._terms.name

    def run_once(self) -> int:
        """Work until nothing is due any more; return how many tasks were completed."""
        return asyncio.run(self._started(WorkLoop.run_once))

    def run(self) -> None:
        """Work until `stop` is called, from another thread or a signal handler."""
        asyncio.run(self._started(WorkLoop.run))

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Claim no more; give what is running so long to end, then release it (F12).

        From any thread, also before `run`; a stopped worker stays stopped.
        """
        self._stopped = grace_seconds
        if self._running is not None:
            work, loop = self._running
            loop.call_soon_threadsafe(work.stop, grace_seconds)

    async def _started(self, run: Callable[[WorkLoop], Coroutine[Any, Any, Result]]) -> Result:
        engine = AsyncEngine(self._engine)
        work = WorkLoop(engine, self._terms)
        self._running = work, asyncio.get_running_loop()
        if self._stopped is not None:
            work.stop(self._stopped)
        try:
            return await run(work)
        finally:
            engine.release()


def _drawn_name() -> str:
    return f"worker-{new_id()[:13]}"
