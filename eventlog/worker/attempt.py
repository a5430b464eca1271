"""One attempt at one task: its work, its heartbeat, and its end, whatever that is (F2 to F6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eventlog.engine.queries import read_archived
from eventlog.engine.request import SessionRequest
from eventlog.errors import ConflictError, LeaseLost, UnavailableError
from eventlog.redaction import redacted, redacted_with_causes
from eventlog.session.commit import archive_id
from eventlog.session.tasks.commands import (
    CompleteStep,
    CompleteTask,
    FailAttempt,
    FinalizeArchive,
    ReleaseTask,
    RenewLease,
)
from eventlog.session.tasks.events import TokenUsage
from eventlog.session.tasks.machine import EFFECT
from eventlog.telemetry import log_fact
from eventlog.worker.finalizer import UnusableResult, read_summary_input
from eventlog.worker.lease_keeper import LeaseKeeper
from eventlog.worker.requests import EffectRequest, StepResult, Summary, TaskRequest
from eventlog.worker.retry_policy import classify, retry_after
from eventlog.worker.steps import RecordedSteps, as_stored

if TYPE_CHECKING:
    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.engine.core import Core
    from eventlog.engine.heartbeat import Heartbeat
    from eventlog.session.command import Command
    from eventlog.session.tasks.commands import Claim
    from eventlog.session.tasks.state import Task
    from eventlog.worker.batched_reads import BatchedReads
    from eventlog.worker.lease_clock import LeaseClock
    from eventlog.worker.retry_policy import ErrorClass
    from eventlog.worker.terms import Terms

__all__ = ["Attempt"]

Result = TypeVar("Result")

UNWINDING_SECONDS: Final = 10.0
"""How long a cancelled callable may take to end before the worker goes on without it."""

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
"""The pauses between tries of a write while the store is unavailable double from the first to the
last of these."""


class Attempt:
    """An attempt of a worker at a task that it has claimed."""

    def __init__(
        self,
        engine: AsyncEngine,
        leases: LeaseClock,
        heartbeat: Heartbeat,
        terms: Terms,
        batched_reads: BatchedReads,
        core: Core,
        task_id: str,
        claim: Claim,
    ) -> None:
        self._engine = engine
        self._leases = leases
        self._terms = terms
        self._batched_reads = batched_reads
        self._core = core
        self._task_id = task_id
        self._fence = claim.fence or 0
        self._number = claim.attempt
        self._steps: RecordedSteps | None = None
        self._called: asyncio.Task[Any] | None = None
        self._outcome = "released"
        self._problem: BaseException | None = None
        self._lease_keeper = LeaseKeeper(
            heartbeat, self._renew, timeout_seconds=terms.attempt_timeout
        )

    async def run(self) -> bool:
        """Run the attempt to its end; return whether it completed the task."""
        observer = self._engine.blocking.observer
        task = self._core.state.tasks.get(self._task_id)
        if observer is None or task is None:
            return await self._run()
        from eventlog.engine.observer import cause_of_task

        cause = await self._engine.run(cause_of_task, self._core, self._engine.store, self._task_id)
        with observer.attempt(
            self._core.session, self._task_id, task.kind, self._number, cause
        ) as note:
            try:
                return await self._run()
            finally:
                note(self._outcome, self._problem)

    async def _run(self) -> bool:
        try:
            with self._lease_keeper:
                await self._work()
            self._outcome = "completed"
            return True
        except LeaseLost as error:
            self._log_lost(error)
        except asyncio.CancelledError:
            verdict = self._lease_keeper.verdict
            if verdict is None:  # Neither lost nor timed out: the worker is being stopped.
                await self._release()
                raise
            await self._end_by(verdict)
        except Exception as error:  # noqa: BLE001 - anything that a callable raises is classified
            await self._fail(error)
        finally:
            if self._steps is not None:
                self._steps.end()
            await self._unwind(self._called)
        return False

    async def _end_by(self, verdict: Exception) -> None:
        if isinstance(verdict, ConflictError):
            self._log_lost(verdict)
        else:
            await self._fail(verdict)

    # ---- the work -----------------------------------------------------------------------------

    async def _work(self) -> None:
        # The claim was folded into this state, so it has the task until the task is settled.
        task = self._core.state.tasks.get(self._task_id)
        if task is None:
            raise LeaseLost(self._task_id, self._fence, "the task is finished")
        steps = self._steps = RecordedSteps(
            self._engine, self._core, task, self._fence, write=self._write, check=self._check
        )
        if task.ordered:
            await self._conclude(await self._finalise(task, steps))
        elif task.archive is None:
            await self._complete(await self._do(task, steps))
        elif task.kind.startswith(EFFECT):
            await self._complete(await self._affect(task, steps))
        else:
            await self._complete(
                *await steps.run_own(task.kind, partial(self._extract, task, steps))
            )

    async def _finalise(self, task: Task, steps: RecordedSteps) -> FinalizeArchive:
        summary, step = await steps.run_own("summary", partial(self._summarize, task, steps))
        return FinalizeArchive(
            task.task_id,
            self._fence,
            overview=summary["overview"],
            abstract=summary["abstract"],
            covers=tuple(summary["covers"]),
            usage=steps.usage,
            follow_ups=self._terms.finalizer.follow_ups,
            own_step=step,
            finalizer=self._terms.finalizer.shown_name,
        )

    async def _summarize(self, task: Task, steps: RecordedSteps) -> StepResult:
        finalizer = self._terms.finalizer
        material = await self._batched_reads.read(
            read_summary_input, self._core, task, self._number, finalizer.uncovered_budget, steps
        )
        summary = await self._call(finalizer.summarize(material.request))
        self._check(summary)
        output = {
            "overview": summary.overview,
            "abstract": summary.abstract,
            "covers": material.covers,
        }
        return StepResult(output=output, usage=summary.usage)

    async def _extract(self, task: Task, steps: RecordedSteps) -> StepResult:
        finalizer = self._terms.finalizer
        material = await self._batched_reads.read(
            read_summary_input, self._core, task, self._number, finalizer.uncovered_budget, steps
        )
        return await self._call(finalizer.extract(task.kind, material.request))

    async def _affect(self, task: Task, steps: RecordedSteps) -> dict[str, Any]:
        name = archive_id(task.archive or 0)
        archived = await self._batched_reads.read(read_archived, self._core, name)
        request = EffectRequest(
            session_id=task.session_id,
            archive_id=name,
            overview=archived.overview,
            abstract=archived.abstract,
            idempotency_key=task.task_id,
            steps=steps,
        )
        return await self._call(self._terms.finalizer.affect(task.kind, request))

    async def _do(self, task: Task, steps: RecordedSteps) -> Any:
        request = TaskRequest(
            session_id=task.session_id,
            task_id=task.task_id,
            kind=task.kind,
            payload=task.payload,
            attempt=self._number,
            idempotency_key=task.task_id,
            steps=steps,
        )
        result = await self._call(self._terms.finalizer.do(request))
        self._check(result)
        return as_stored(f"the result of {task.kind}", result)

    async def _call(self, callable: Coroutine[Any, Any, Result]) -> Result:
        """Await a user's callable in a separate asyncio task.

        So it can neither cancel the attempt by cancelling itself, nor keep the attempt from ending.
        """
        called = self._called = asyncio.create_task(callable)
        called.add_done_callback(_retrieve)
        try:
            return await asyncio.shield(called)
        except asyncio.CancelledError:
            if called.cancelled():
                raise RuntimeError("the callable cancelled itself") from None
            raise

    async def _complete(self, outcome: Any, own_step: CompleteStep | None = None) -> None:
        """Complete a task that does not finalise an archive; its steps have counted its cost."""
        await self._conclude(
            CompleteTask(self._task_id, self._fence, outcome, TokenUsage(), own_step)
        )

    async def _conclude(self, command: Command[None]) -> None:
        self._lease_keeper.conclude()
        await self._write(command)

    def _check(self, result: object) -> None:
        """Raise `UnusableResult` for an error that was returned as text (F4)."""
        output = result.output if isinstance(result, StepResult) else result
        found = self._terms.classify_result(output)
        if found is not None:
            text = output.overview if isinstance(output, Summary) else output
            kind: ErrorClass = "fatal" if found == "fatal" else "transient"
            raise UnusableResult(f"the callable returned an error as text: {text}", kind)

    # ---- its writes ---------------------------------------------------------------------------

    async def _write(self, command: Command[Any]) -> Any:
        """Record work that is done; while the store is unavailable, try again for a while.

        So paid work is not lost because the store was unavailable for a moment, or because the
        attempt ends while it is being written. The tries end after a third of a lease, which is how
        long an owner may be silent anyway.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._leases.lease / 3_000_000
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                written = self._engine.answer(SessionRequest(self._core, command))
                written.add_done_callback(_retrieve)
                return await asyncio.shield(written)
            except UnavailableError as error:
                if loop.time() + pause > give_up_at:
                    raise
                self._log("store_unavailable", error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _renew(self) -> None:
        """Renew the lease, in the thread of the heartbeat; raise if it is lost."""
        time = self._leases.store_time_now()
        renewal = RenewLease(self._task_id, self._fence, self._leases.lease, time)
        self._engine.blocking.execute(self._core, renewal)

    async def _fail(self, error: BaseException) -> None:
        """Record a failed attempt; this does not fail, whatever the error is or its methods do."""
        self._outcome, self._problem = "failed", error
        command = FailAttempt(
            self._task_id,
            self._fence,
            error=redacted_with_causes(error),
            fatal=self._class_of(error) == "fatal",
            attempts=self._terms.retry.attempts,
            delay=self._delay_after(error),
        )
        self._log("attempt_failed", error)
        await self._settle(command)

    def _class_of(self, error: BaseException) -> ErrorClass:
        if isinstance(error, UnusableResult):
            return error.error_class
        try:
            found = self._terms.classify(error)
        except Exception as problem:  # noqa: BLE001 - the classifier may be a user's
            self._log("classifier_failed", problem)
            found = classify(error)
        is_fatal = found == "fatal"
        return "fatal" if is_fatal else "transient"

    def _delay_after(self, error: BaseException) -> int:
        drawn = self._terms.retry.delay(self._number, self._terms.draw())
        return max(drawn, retry_after(error, self._engine.clock()))

    async def _release(self) -> None:
        await self._settle(ReleaseTask(self._task_id, self._fence, "the worker was stopped"))

    async def _settle(self, command: Command[None]) -> None:
        """Record how the attempt ended; if that fails, the attempt ends with its lease."""
        try:
            await self._engine.execute(self._core, command)
        except LeaseLost as error:
            self._log_lost(error)
        except Exception as error:  # noqa: BLE001 - a worker survives what it cannot record
            self._log("attempt_unrecorded", error)

    # ---- its end ------------------------------------------------------------------------------

    async def _unwind(self, *tasks: asyncio.Task[Any] | None) -> None:
        """Cancel the tasks that are left and wait for them, but not for ever."""
        left = [task for task in tasks if task is not None and not task.done()]
        if not left:
            return
        for task in left:
            task.cancel()
        ended, stuck = await asyncio.wait(left, timeout=UNWINDING_SECONDS)
        await asyncio.gather(*ended, return_exceptions=True)
        for _ in stuck:
            log_fact(logging.ERROR, "callable_ignores_cancellation", **self._who())

    def _log_lost(self, error: ConflictError) -> None:
        self._outcome, self._problem = "lease_lost", error
        self._log("lease_lost", error)

    def _log(self, fact: str, error: BaseException) -> None:
        log_fact(logging.WARNING, fact, **self._who(), error=redacted(error))

    def _who(self) -> dict[str, Any]:
        return {
            "session_id": self._core.session,
            "task_id": self._task_id,
            "fence": self._fence,
            "attempt": self._number,
        }


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Retrieve the outcome of a future that its attempt may no longer await.

    A shielded future goes on when its attempt ends; asyncio would complain that its exception was
    never retrieved.
    """
    if not future.cancelled():
        future.exception()
