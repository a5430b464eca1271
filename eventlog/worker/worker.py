"""The worker: claims the tasks that are due, runs them, and records every step under its fence.

All of its logic is here, asynchronous; `Worker` runs it in a new event loop. No reaper is needed: a
worker that finds an expired lease takes the task over, and crashes count as attempts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from eventlog.engine.owner import this_process
from eventlog.engine.request import SessionRequest
from eventlog.errors import EventLogError, LogClosed, UnavailableError
from eventlog.redaction import redacted
from eventlog.session.index import prepare_reading
from eventlog.session.tasks.commands import Claim, ClaimTask
from eventlog.telemetry import log_fact
from eventlog.worker.attempt import Attempt
from eventlog.worker.batched_reads import BatchedReads
from eventlog.worker.distant_times import DistantTimes
from eventlog.worker.due import DueTask, due_tasks, seconds_until_due
from eventlog.worker.lease_clock import LeaseClock

if TYPE_CHECKING:
    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.engine.core import Core
    from eventlog.records import Position
    from eventlog.worker.terms import Terms

__all__ = ["WorkLoop"]

WATCH_SECONDS: Final = 5.0
"""The longest wait between two looks, which bounds how late a lost owner elsewhere is noticed."""

WAKEUP_SECONDS: Final = 0.05
"""The shortest time between two looks that new records cause: if a session is written to a thousand
times a second, looking for tasks as often makes no sense."""

DECLINED_SECONDS: Final = 1.0
"""How long a task that could not be claimed is left alone, unless its entry changes."""

LONGEST_PAUSE_SECONDS: Final = 30.0
"""The longest pause between two looks while the store is unavailable; the first takes a second."""


class WorkLoop:
    """Claims due tasks and runs attempts at them; `AsyncWorker` and `Worker` are its faces."""

    def __init__(self, engine: AsyncEngine, terms: Terms) -> None:
        self._engine = engine
        self._terms = terms
        self._leases = LeaseClock(engine, terms.lease_seconds)
        self._heartbeat = engine.blocking.new_heartbeat(self._leases.lease / 3_000_000)
        prepare_reading()
        self._distant_times = DistantTimes(
            self._leases.lease, int(terms.retry.cap_seconds * 1_000_000)
        )
        self._batched_reads = BatchedReads(engine)
        self._kinds = self._terms.finalizer.task_kinds
        self._owner = this_process()
        self._stopping = asyncio.Event()
        self._grace: float | None = None
        self._bell = asyncio.Event()
        """Set when something has happened that a waiting worker should look at."""
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._suspect = ""
        """The id of the suspect (see `_is_suspect`) that was started last."""
        self._declined: dict[str, DueTask] = {}
        self._declined_until = 0.0
        self._failed_looks = 0

    # ---- the two ways to run ------------------------------------------------------------------

    async def run_once(self) -> int:
        """Work until no task is due; return how many were completed."""
        completed = 0
        try:
            await self._engine.interrupt_lost_streams()
            await self._engine.abandon_stale_turns()
            await self._engine.commit_idle()
            while not self._stopping.is_set():
                tried = await self._start_due()
                if self._running:
                    completed += await self._reap()
                elif not tried:
                    break
            await self._finish()
            return completed + self._collect()
        finally:
            self._declined.clear()
            await self._cancel_all()

    async def run(self) -> None:
        """Work until `stop` is called, waking when tasks become due."""
        try:
            while not self._stopping.is_set():
                seen = await self._look()
                if seen is None:
                    await self._pause()
                    self._collect()
                    continue
                full = len(self._running) >= self._terms.concurrency
                await self._reap(None if full else seen)
            await self._finish()
        finally:
            await self._cancel_all()

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Claim no more tasks; release those that still run after ``grace_seconds`` (F12)."""
        self._grace = grace_seconds
        self._stopping.set()
        self._ring()

    # ---- claiming -----------------------------------------------------------------------------

    async def _look(self) -> Position | None:
        """Start the tasks that are due; return the position up to which the log was looked at.

        None if the store cannot answer: a worker survives an outage of its store.
        """
        now = asyncio.get_running_loop().time()
        if now >= self._declined_until:
            self._declined.clear()
            self._declined_until = now + DECLINED_SECONDS
        try:
            seen = await self._engine.position()
            await self._engine.interrupt_lost_streams()
            await self._engine.abandon_stale_turns()
            await self._engine.commit_idle()
            await self._start_due()
        except UnavailableError as error:
            self._failed_looks += 1
            self._log("store_unavailable", error)
            return None
        self._failed_looks = 0
        return seen

    async def _pause(self) -> None:
        """Pause after a failed look, longer each time."""
        longest = min(LONGEST_PAUSE_SECONDS, 2.0 ** min(self._failed_looks, 16) / 2)
        seconds = longest * (1 + self._terms.draw()) / 2
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _start_due(self) -> int:
        """Claim as many due tasks as there is room for; return how many claims were tried."""
        room = self._terms.concurrency - len(self._running)
        if room <= 0:
            return 0
        store_time = await self._leases.store_time()
        now = max(self._engine.clock(), store_time or 0)
        known = {**self._declined, **dict.fromkeys(self._running)}
        found = await self._engine.run(
            due_tasks, self._engine.store, now, self._kinds, room, known, self._distant_times
        )
        suspects = [due for due in found if self._is_suspect(due)]
        others = [due for due in found if not self._is_suspect(due)]
        if suspects and self._suspect not in self._running:
            room -= 1
        tried = others[:room]
        if found:
            self._owner = await self._engine.run(this_process, self._engine.store.inner)
        await self._start(tried, store_time)
        return len(tried) + await self._start_one(suspects, store_time)

    def _is_suspect(self, due: DueTask) -> bool:
        """Return whether a task's workers were lost so often that only one attempt is left.

        A callable that kills its process also ends the other tasks in it. So that it does not use
        up their last attempts, only one of the tasks that may be to blame runs at a time.
        """
        return due.owner is not None and due.attempts == self._terms.retry.attempts - 1

    async def _start_one(self, suspects: list[DueTask], store_time: int | None) -> int:
        """Claim one of the suspects, unless one is running; return how many claims were tried."""
        tried = 0
        for due in suspects:
            if self._suspect in self._running:
                break
            await self._start([due], store_time)
            self._suspect = due.task_id
            tried += 1
        return tried

    async def _start(self, tasks: Sequence[DueTask], store_time: int | None) -> None:
        """Claim tasks in one batch, and begin an attempt at each that was got.

        If the store kept one from being claimed, its error is raised after the others are begun.
        """
        cores = [self._engine.core(due.session) for due in tasks]
        claims = [
            self._engine.answer(SessionRequest(core, self._claim(due, store_time)))
            for due, core in zip(tasks, cores, strict=True)
        ]
        await asyncio.gather(*claims, return_exceptions=True)
        failure: EventLogError | None = None
        for due, core, claim in zip(tasks, cores, claims, strict=True):
            try:
                self._begin(due, core, claim.result())
            except (LogClosed, UnavailableError) as error:
                failure = error
            except EventLogError as error:  # Only this session cannot be read; others go on (F1).
                self._log("task_not_claimable", error, session_id=due.session, task_id=due.task_id)
                self._declined[due.task_id] = due
        if failure is not None:
            raise failure

    def _begin(self, due: DueTask, core: Core, claim: Claim) -> None:
        if claim.fence is not None:
            attempt = Attempt(
                self._engine,
                self._leases,
                self._heartbeat,
                self._terms,
                self._batched_reads,
                core,
                due.task_id,
                claim,
            )
            task = self._running[due.task_id] = asyncio.create_task(attempt.run())
            task.add_done_callback(self._ring)
        elif not claim.failed:
            self._declined[due.task_id] = due

    def _claim(self, due: DueTask, store_time: int | None) -> ClaimTask:
        return ClaimTask(
            task_id=due.task_id,
            worker=self._terms.name,
            owner=self._owner,
            lease=self._leases.lease,
            attempts=self._terms.retry.attempts,
            owner_gone=due.fence if due.is_orphaned(self._engine.store.inner) else None,
            distrusted=self._distant_times.take_lapsed(due),
            lease_now=store_time,
            expires_leases=self._leases.is_steady,
        )

    # ---- waiting ------------------------------------------------------------------------------

    async def _reap(self, seen: Position | None = None) -> int:
        """Wait for a task to end; return how many were completed.

        While there is room for more tasks, new records after the position ``seen`` end the wait,
        too.
        """
        listening = None if seen is None else asyncio.create_task(self._listen(seen))
        try:
            if listening is not None:
                listening.add_done_callback(self._ring)
            await self._bell.wait()
        finally:
            if listening is not None:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        self._bell.clear()
        return self._collect()

    def _ring(self, _: object = None) -> None:
        self._bell.set()

    def _collect(self) -> int:
        done = [task_id for task_id, task in self._running.items() if task.done()]
        return sum(self._is_completed(self._running.pop(task_id)) for task_id in done)

    def _is_completed(self, attempt: asyncio.Task[bool]) -> bool:
        """Return whether an attempt completed its task; a broken one does not end the worker (F4)."""
        error = None if attempt.cancelled() else attempt.exception()
        if error is not None:
            self._log("attempt_broke", error)
        return error is None and attempt.result()

    async def _listen(self, seen: Position) -> None:
        """Wait for a record after a position, or until a known task becomes due."""
        soonest = asyncio.get_running_loop().time() + WAKEUP_SECONDS
        with suppress(UnavailableError):  # The next look will notice.
            await self._engine.wait(seen, await self._seconds_to_wait())
        await asyncio.sleep(soonest - asyncio.get_running_loop().time())

    async def _seconds_to_wait(self) -> float:
        due = await self._engine.run(
            seconds_until_due, self._engine.store, self._engine.clock(), self._kinds
        )
        longest = DECLINED_SECONDS if self._declined else WATCH_SECONDS
        return longest if due is None else min(longest, due)

    async def _finish(self) -> None:
        if self._running:
            await asyncio.wait(self._running.values(), timeout=self._grace)

    async def _cancel_all(self) -> None:
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._running.clear()

    def _log(self, fact: str, error: BaseException, **fields: Any) -> None:
        log_fact(logging.WARNING, fact, worker=self._terms.name, **fields, error=redacted(error))
