"""The worker: claims what is due, does it, and records every step under its fence.

All of its logic is here, asynchronous; `Worker` runs it in an event loop of its own. Nothing needs
a reaper: a worker that finds an expired lease takes the task over, and crashes count as attempts.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import (
    ConflictError,
    EventLogError,
    InvalidArgument,
    LeaseLost,
    UnavailableError,
)
from eventlog.identifiers import new_id
from eventlog.records import START, Position
from eventlog.session.commit import archive_id
from eventlog.session.core import Core
from eventlog.session.queries import find_task, read_archived
from eventlog.tasks.commands import (
    ClaimTask,
    CompleteStep,
    CompleteTask,
    FailAttempt,
    FinalizeArchive,
    ReleaseTask,
    RenewLease,
)
from eventlog.tasks.due import DueTask, due_tasks, seconds_until_due
from eventlog.tasks.finalizer import Finalizer, Material, gather_material
from eventlog.tasks.owner import this_process
from eventlog.tasks.policy import Classifier, RetryPolicy, classify, redacted
from eventlog.tasks.requests import EffectRequest
from eventlog.tasks.state import add_usage
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from eventlog.aio import AsyncLog
    from eventlog.log import Log
    from eventlog.session.command import Command
    from eventlog.tasks.commands import Claim
    from eventlog.tasks.state import Task

__all__ = ["AsyncWorker", "Worker"]

WATCH_SECONDS: Final = 5.0
"""The longest wait without a look: bounds how late a lost owner elsewhere is noticed."""


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
        draw: Callable[[], float] = random.random,
    ) -> None:
        if concurrency < 1 or lease_seconds <= 0 or attempt_timeout <= 0:
            raise InvalidArgument("concurrency, lease_seconds and attempt_timeout are positive")
        self.name = name or f"worker-{new_id()[:13]}"
        self._log = log
        self._finalizer = finalizer or Finalizer()
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._attempt_timeout = attempt_timeout
        self._retry = retry or RetryPolicy()
        self._classify = classifier
        self._draw = draw
        self._owner = this_process()
        self._stopping = asyncio.Event()
        self._grace: float | None = None
        self._running: dict[str, asyncio.Task[bool]] = {}

    # ---- the two ways to run ------------------------------------------------------------------

    async def run_once(self) -> int:
        """Work until nothing is due any more; return how many tasks were completed."""
        completed = 0
        try:
            await self._log.commit_idle()
            while not self._stopping.is_set():
                settled = await self._start_due()
                if self._running:
                    completed += await self._reap()
                elif not settled:
                    break
            await self._finish()
            return completed + self._collect()
        finally:
            await self._cancel_all()

    async def run(self) -> None:
        """Work until `stop` is called, waking when tasks become due."""
        try:
            while not self._stopping.is_set():
                seen = await self._look()
                full = len(self._running) >= self._concurrency
                await self._reap(wake=None if full else self._news(seen))
            await self._finish()
        finally:
            await self._cancel_all()

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Claim no more; give what is running so long to end, then release it (F12)."""
        self._grace = grace_seconds
        self._stopping.set()

    # ---- claiming -----------------------------------------------------------------------------

    async def _look(self) -> Position:
        """Start what is due, and return the position up to which the log was seen for it.

        A store that cannot answer is asked again later: a worker outlives its store's bad hours.
        """
        seen = START
        try:
            seen = await self._log.position()
            await self._log.commit_idle()
            await self._start_due()
        except UnavailableError as error:
            log_fact(logging.WARNING, "store_unavailable", worker=self.name, error=str(error))
            await asyncio.wait([asyncio.create_task(self._stopping.wait())], timeout=1.0)
        return seen

    async def _start_due(self) -> bool:
        """Claim due tasks as far as there is room for them; tell whether any failed for good."""
        room = self._concurrency - len(self._running)
        if room <= 0:
            return False
        kinds = self._finalizer.kinds
        found = await self._log.run(due_tasks, self._log.store, self._log.clock(), kinds)
        wanted = [due for due in found if due.task_id not in self._running][:room]
        return any(await asyncio.gather(*(self._start(due) for due in wanted)))

    async def _start(self, due: DueTask) -> bool:
        core = await self._log.core(due.session)
        claim: Claim = await self._execute(core, self._claim(due))
        if claim.fence is not None:
            work = self._work(core, due.task_id, claim)
            self._running[due.task_id] = asyncio.create_task(work)
        return claim.failed

    def _claim(self, due: DueTask) -> ClaimTask:
        return ClaimTask(
            task_id=due.task_id,
            worker=self.name,
            owner=self._owner,
            lease=self._microseconds(self._lease_seconds),
            attempts=self._retry.attempts,
            owner_gone=due.fence if due.orphaned else None,
        )

    async def _reap(self, wake: asyncio.Task[Any] | None = None) -> int:
        """Wait for a running task to end, or for news; return how many were completed."""
        stopping = asyncio.create_task(self._stopping.wait())
        helpers = [stopping] if wake is None else [stopping, wake]
        try:
            await asyncio.wait(
                [*self._running.values(), *helpers], return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        return self._collect()

    def _collect(self) -> int:
        done = [task_id for task_id, task in self._running.items() if task.done()]
        return sum(1 for task_id in done if self._running.pop(task_id).result())

    def _news(self, seen: Any) -> asyncio.Task[Any]:
        """Wait for a record after a position, or until something that is known becomes due."""

        async def wait() -> None:
            seconds = WATCH_SECONDS
            with suppress(UnavailableError):
                due = await self._log.run(
                    seconds_until_due, self._log.store, self._log.clock(), self._finalizer.kinds
                )
                seconds = min(seconds, max(due, 0.0)) if due is not None else seconds
                await self._log.wait(seen, seconds)

        return asyncio.create_task(wait())

    async def _finish(self) -> None:
        if self._running:
            await asyncio.wait(self._running.values(), timeout=self._grace)

    async def _cancel_all(self) -> None:
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._running.clear()

    # ---- one attempt --------------------------------------------------------------------------

    async def _work(self, core: Core, task_id: str, claim: Claim) -> bool:
        """Do one attempt to its end, whatever that is; tell whether it completed the task."""
        fence = claim.fence or 0
        attempt = asyncio.create_task(self._attempt(core, task_id, claim))
        heartbeat = asyncio.create_task(self._renew(core, task_id, fence, attempt))
        try:
            await asyncio.wait_for(asyncio.shield(attempt), self._attempt_timeout)
            return True
        except LeaseLost as error:
            log_fact(logging.WARNING, "lease_lost", task_id=task_id, error=str(error))
        except asyncio.CancelledError:
            if not attempt.done():  # It is this worker that is being stopped.
                await self._release(core, task_id, fence)
                raise
            if heartbeat.done():
                log_fact(logging.WARNING, "lease_lost", task_id=task_id, fence=fence)
            else:
                itself = RuntimeError("the callable cancelled itself")
                await self._fail(core, task_id, claim, itself)
        except TimeoutError as error:
            own = f"the attempt took longer than {self._attempt_timeout:g} s"
            await self._fail(core, task_id, claim, error if attempt.done() else TimeoutError(own))
        except Exception as error:  # noqa: BLE001 - whatever a callable raises is classified
            await self._fail(core, task_id, claim, error)
        finally:
            for helper in (attempt, heartbeat):
                helper.cancel()
            await asyncio.gather(attempt, heartbeat, return_exceptions=True)
        return False

    async def _attempt(self, core: Core, task_id: str, claim: Claim) -> None:
        task = await self._log.run(find_task, self._log.store, task_id)
        if task is None:
            raise LeaseLost(task_id, claim.fence or 0, "the task is not in the index")
        material = await self._log.run(
            gather_material, core, task, claim.attempt, self._finalizer.uncovered_budget
        )
        if task.ordered:
            await self._finalise(core, task, claim, material)
        else:
            await self._follow_up(core, task, claim, material)

    async def _finalise(self, core: Core, task: Task, claim: Claim, material: Material) -> None:
        fence = claim.fence or 0
        usage = task.usage
        done: dict[str, Any] | None = task.steps.get("summary")
        if done is None:
            summary = await self._finalizer.summarize(material.request)
            done = {
                "overview": summary.overview,
                "abstract": summary.abstract,
                "covers": list(material.covers),
            }
            step = CompleteStep(task.task_id, fence, "summary", done, summary.usage)
            await self._execute(core, step)
            usage = add_usage(usage, summary.usage)
        finalize = FinalizeArchive(
            task.task_id,
            fence,
            overview=done["overview"],
            abstract=done["abstract"],
            covers=tuple(done["covers"]),
            usage=usage,
            follow_ups=self._finalizer.follow_ups,
        )
        await self._execute(core, finalize)

    async def _follow_up(self, core: Core, task: Task, claim: Claim, material: Material) -> None:
        name = archive_id(task.archive or 0)
        archived = await self._log.run(read_archived, core, name)
        effect = EffectRequest(
            session_id=core.session,
            archive_id=name,
            overview=archived.overview,
            abstract=archived.abstract,
            idempotency_key=task.task_id,
        )
        outcome, usage = await self._finalizer.follow_up(task.kind, material.request, effect)
        await self._execute(core, CompleteTask(task.task_id, claim.fence or 0, outcome, usage))

    async def _renew(
        self, core: Core, task_id: str, fence: int, attempt: asyncio.Task[None]
    ) -> None:
        """Renew the lease at a third of it; cancel the attempt when it is lost (F2)."""
        lease = self._microseconds(self._lease_seconds)
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await self._execute(core, RenewLease(task_id, fence, lease))
            except ConflictError:
                attempt.cancel()
                return
            except EventLogError as error:
                log_fact(logging.WARNING, "lease_renewal_failed", task_id=task_id, error=str(error))

    async def _fail(self, core: Core, task_id: str, claim: Claim, error: BaseException) -> None:
        command = FailAttempt(
            task_id,
            claim.fence or 0,
            error=redacted(error),
            fatal=self._classify(error) == "fatal",
            attempts=self._retry.attempts,
            delay=self._retry.delay(claim.attempt, self._draw()),
        )
        log_fact(logging.WARNING, "attempt_failed", task_id=task_id, error=command.error)
        with suppress(LeaseLost, UnavailableError):  # Unrecorded, it ends with its lease.
            await self._execute(core, command)

    async def _release(self, core: Core, task_id: str, fence: int) -> None:
        with suppress(LeaseLost, UnavailableError):
            await self._execute(core, ReleaseTask(task_id, fence, "the worker was stopped"))

    async def _execute(self, core: Core, command: Command[Any]) -> Any:
        return await self._log.execute(core, command)

    @staticmethod
    def _microseconds(seconds: float) -> int:
        return int(seconds * 1_000_000)


class Worker:
    """Finalises archives and runs what follows from them.

    Within a session archives are finalised in order; ``concurrency`` sessions are worked on at
    once. Any number of workers may share a store, in any number of processes: a task has one owner
    at a time, and a late one cannot change anything (P5).
    """

    def __init__(self, log: Log, finalizer: Finalizer | None = None, **options: Any) -> None:
        self._log = log
        self._finalizer = finalizer
        self._options = options
        self._worker: AsyncWorker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: float | None = None

    def run_once(self) -> int:
        """Work until nothing is due any more; return how many tasks were completed."""
        completed: int = asyncio.run(self._started(lambda worker: worker.run_once()))
        return completed

    def run(self) -> None:
        """Work until `stop` is called, from another thread or a signal handler."""
        asyncio.run(self._started(lambda worker: worker.run()))

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Claim no more; give what is running so long to end, then release it (F12).

        From any thread, also before `run`; a stopped worker stays stopped.
        """
        self._stopped = grace_seconds
        if self._worker is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._worker.stop, grace_seconds)

    async def _started(self, run: Callable[[AsyncWorker], Any]) -> Any:
        from eventlog.aio import AsyncLog

        self._loop = asyncio.get_running_loop()
        self._worker = AsyncWorker(AsyncLog(self._log), self._finalizer, **self._options)
        if self._stopped is not None:
            self._worker.stop(self._stopped)
        return await run(self._worker)
