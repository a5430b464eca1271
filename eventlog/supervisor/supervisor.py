"""The supervisor: begins the runs that are due, carries on those whose owner is lost, and fails those
that have been silent for too long (R4 to R7).

All of its logic is here, asynchronous; `Supervisor` is its face. What it does with a run follows from
the log alone, so any number of supervisors may share a store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.engine.request import SessionRequest
from eventlog.engine.turns import TurnRun, owner_gone, turn_terms
from eventlog.errors import (
    EventLogError,
    LogClosed,
    TurnClosed,
    TurnOpen,
    UnavailableError,
)
from eventlog.redaction import redacted
from eventlog.session.messages import Message
from eventlog.session.runs.commands import OWNER_LOST, SettleRun, Started, StartRun
from eventlog.session.runs.machine import INBOUND
from eventlog.session.turns.commands import Begun
from eventlog.supervisor.attempt import Attempt, BegunRun
from eventlog.supervisor.providers import Choice, Provider, choose
from eventlog.supervisor.reading import SessionReader
from eventlog.telemetry import log_fact
from eventlog.worker.distant_times import DistantTimes
from eventlog.worker.due import DueTask, due_tasks, seconds_until_due
from eventlog.worker.lease_clock import LeaseClock

if TYPE_CHECKING:
    from eventlog.engine.async_engine import AsyncEngine
    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.records import Position
    from eventlog.session.runs.events import MessageEnqueued
    from eventlog.session.runs.state import Run
    from eventlog.supervisor.terms import Terms

__all__ = ["RunLoop"]

WATCH_SECONDS: Final = 5.0
"""The longest wait between two looks, which bounds how late a lost owner elsewhere is noticed."""

WAKEUP_SECONDS: Final = 0.05
"""The shortest time between two looks that new records cause."""

DECLINED_SECONDS: Final = 1.0
"""How long a run that could not be begun is left alone, unless its entry changes."""

LONGEST_PAUSE_SECONDS: Final = 30.0
"""The longest pause between two looks while the store is unavailable; the first takes a second."""

STALE_TURN_SECONDS: Final = 600.0
"""How long after the end of its lease the turn of a run may be abandoned by the application."""

STALE_LOOK_SECONDS: Final = 60.0
"""The longest time between two looks for runs that have been silent for too long."""

STOPPED: Final = "the supervisor was stopped"


class _Candidate(NamedTuple):
    """A run that can be begun now, with what was found out about it."""

    due: DueTask
    core: Core
    run: Run
    recorded: str | None
    """The provider that is recorded for the session."""


class RunLoop:
    """Executes runs; `Supervisor` is its face.

    ``agent`` carries out an attempt and returns its result; ``is_plain`` says that it runs a plain
    function, which cannot be cancelled.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        terms: Terms,
        agent: Callable[[Attempt], Coroutine[Any, Any, Any]],
        *,
        is_plain: bool,
    ) -> None:
        self._engine = engine
        self._terms = terms
        self._agent = agent
        self._is_plain = is_plain
        self._reader = SessionReader(engine.blocking)
        self._leases = LeaseClock(engine, terms.lease_seconds)
        longest_delay = int(max(terms.restarts.delays) * 1_000_000)
        self._distant_times = DistantTimes(self._leases.lease, longest_delay)
        self._stopping = asyncio.Event()
        self._grace = 10.0
        self._bell = asyncio.Event()
        """Set when something has happened that a waiting supervisor should look at."""
        self._attempts: dict[str, Attempt] = {}
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._declined: dict[str, DueTask] = {}
        self._declined_until = 0.0
        self._stale_look = 0.0
        self._failed_looks = 0

    # ---- the two ways to run ------------------------------------------------------------------

    async def run_once(self) -> int:
        """Execute runs until none is due; return how many were completed."""
        completed = 0
        try:
            while not self._stopping.is_set():
                tried = await self._look_once()
                if self._running:
                    await self._wait_for_an_end()
                    completed += self._collect()
                elif not tried:
                    break
            return completed
        finally:
            self._declined.clear()
            await self._wind_up()

    async def run(self) -> None:
        """Execute runs until `stop` is called, waking when runs become due."""
        try:
            while not self._stopping.is_set():
                seen = await self._look()
                if seen is None:
                    await self._pause()
                else:
                    await self._listen(seen)
                self._collect()
        finally:
            await self._wind_up()

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Begin no more runs, and cancel those that are executed, within ``grace_seconds`` (R7)."""
        self._grace = grace_seconds
        self._stopping.set()
        self._ring()

    # ---- looking ------------------------------------------------------------------------------

    async def _look(self) -> Position | None:
        """Do what is due; return the position up to which the log was looked at.

        None if the store cannot answer: a supervisor survives an outage of its store.
        """
        try:
            seen = await self._engine.position()
            while await self._look_once() and not self._stopping.is_set():
                seen = await self._engine.position()
        except UnavailableError as error:
            self._failed_looks += 1
            self._log("store_unavailable", error)
            return None
        self._failed_looks = 0
        return seen

    async def _look_once(self) -> int:
        """Do what is due; return how many runs were begun or settled."""
        now = asyncio.get_running_loop().time()
        if now >= self._declined_until:
            self._declined.clear()
            self._declined_until = now + DECLINED_SECONDS
        await self._heed_wishes()
        stale = await self._fail_stale(now)
        tried = await self._do_due()
        # After the runs: what a lost run left unfinished ends together with it, in one append.
        await self._engine.interrupt_lost_streams()
        await self._engine.abandon_stale_turns()
        return stale + tried

    async def _pause(self) -> None:
        """Pause after a failed look, longer each time."""
        longest = min(LONGEST_PAUSE_SECONDS, 2.0 ** min(self._failed_looks, 16) / 2)
        seconds = longest * (1 + self._terms.draw()) / 2
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _heed_wishes(self) -> None:
        """Have the own attempts end that somebody asked to stop, or that others have settled."""
        for attempt, run in await self._engine.run(self._states_of, [*self._attempts.values()]):
            if run is None or run.state != "running" or run.attempt != attempt.begun.attempt:
                attempt.ask("lost", "others have settled the run")
            elif run.stop is not None:
                attempt.ask("cancelled", run.stop, at_once=False)

    def _states_of(self, attempts: Sequence[Attempt]) -> list[tuple[Attempt, Run | None]]:
        """Return the attempts with their runs, but for sessions that cannot be read (I/O)."""
        reader = self._reader
        read = [(each, reader.run_of(each.begun.core, each.begun.run_id)) for each in attempts]
        return [(attempt, found[0]) for attempt, found in read if found is not None]

    # ---- runs that are silent for too long ----------------------------------------------------

    async def _fail_stale(self, now: float) -> int:
        """Fail the runs that had no event but heartbeats for too long; return how many (R6)."""
        if now < self._stale_look:
            return 0
        self._stale_look = now + min(STALE_LOOK_SECONDS, self._terms.stale_seconds / 4)
        found = await self._engine.run(self._reader.silent_runs, self._terms.stale_seconds)
        count = 0
        for core, run, version in found:
            command = SettleRun(
                run.run_id,
                "failed",
                f"it had no event but heartbeats for {self._terms.stale_seconds:g} s",
                attempt=run.attempt,
                unchanged_since=version,
                estimate=self._engine.estimate_tokens,
            )
            count += await self._settle(core, command)
        return count

    # ---- runs that are due --------------------------------------------------------------------

    async def _do_due(self) -> int:
        """Begin as many due runs as there is room for, and settle those whose owner is lost; return
        how many there were."""
        room = self._terms.concurrency - len(self._running)
        if room <= 0 or self._stopping.is_set():
            return 0
        store_time = await self._leases.store_time()
        now = max(self._engine.clock(), store_time or 0)
        known = {**self._declined, **dict.fromkeys(self._running)}
        found = await self._engine.run(
            due_tasks, self._engine.store, now, (INBOUND,), room, known, self._distant_times
        )
        lost = [due for due in found if due.state == "running"]
        count = sum([await self._settle_lost(due, store_time) for due in lost])
        waiting = [due for due in found if due.state != "running"][:room]
        await self._begin(waiting)
        return count + len(waiting)

    async def _settle_lost(self, due: DueTask, store_time: int | None) -> int:
        """Settle a run whose owner is lost: it crashed, and that counts."""
        core = self._engine.core(due.session)
        try:
            gone = await self._engine.run(_owner_gone, self._engine.blocking, core)
        except EventLogError as error:
            self._decline(due, error)
            return 0
        command = SettleRun(
            due.task_id,
            "lost",
            OWNER_LOST,
            policy=self._terms.restarts,
            owner_gone=gone,
            distrusted=self._distant_times.take_lapsed(due),
            lease_now=store_time,
            expires_leases=self._leases.is_steady,
            estimate=self._engine.estimate_tokens,
        )
        settled = await self._settle(core, command)
        if not settled:
            self._declined[due.task_id] = due
        return settled

    async def _settle(self, core: Core, command: SettleRun) -> int:
        """Settle a run; return 1 if there was something to do, else 0."""
        try:
            settled = await self._engine.execute(core, command)
        except (LogClosed, UnavailableError):
            raise
        except EventLogError as error:
            self._log("run_not_settled", error, session_id=core.session, run_id=command.run_id)
            return 0
        return int(settled.state is not None)

    async def _begin(self, found: Sequence[DueTask]) -> None:
        """Begin the next attempts of runs in one batch.

        If the store kept one from being begun, its error is raised after the others are begun.
        """
        candidates = [each for due in found if (each := await self._candidate(due)) is not None]
        begins = await asyncio.gather(
            *(self._begin_one(each) for each in candidates), return_exceptions=True
        )
        failure: BaseException | None = None
        for candidate, problem in zip(candidates, begins, strict=True):
            if isinstance(problem, (LogClosed, UnavailableError)):
                failure = problem
            elif isinstance(problem, EventLogError):
                self._decline(candidate.due, problem)
            elif isinstance(problem, BaseException):
                raise problem
        if failure is not None:
            raise failure

    async def _candidate(self, due: DueTask) -> _Candidate | None:
        """Return a run with what is known of it; None if it cannot be begun now."""
        core = self._engine.core(due.session)
        try:
            state = await self._engine.run(core.refresh)
        except (LogClosed, UnavailableError):
            raise
        except EventLogError as error:  # Only this session cannot be read; others go on.
            self._decline(due, error)
            return None
        run = state.runs.get(due.task_id)
        if run is None:
            self._declined[due.task_id] = due
            return None
        return _Candidate(due, core, run, state.provider)

    async def _begin_one(self, candidate: _Candidate) -> None:
        due, core, run, recorded = candidate
        choice = await self._unless_stopped(choose(self._terms.providers, recorded, run.gone))
        if choice is None:
            return
        if choice.refusals:
            await self._abandon(core, run, choice)
            return
        terms = turn_terms(
            run.run_id, True, 0.0, self._terms.lease_seconds, STALE_TURN_SECONDS, "keep"
        )
        turn = TurnRun(self._engine.blocking, core, terms)
        command = StartRun(
            run.run_id,
            self._terms.name,
            None if choice.provider is None else choice.provider.name,
            await self._engine.run(turn.begin_command),
            memory_session=_without_sessions(choice.provider),
            distrusted=self._distant_times.take_lapsed(due),
        )
        try:
            started: Started = await self._engine.answer(SessionRequest(core, command))
        except TurnClosed as error:
            await self._settle(core, self._given_up(run, "failed", redacted(error)))
            return
        except TurnOpen:
            self._declined[due.task_id] = due
            return
        if started.is_begun:
            await self._carry_out(core, turn, run, started, choice.provider)
        elif not started.is_over:
            self._declined[due.task_id] = due

    async def _unless_stopped(self, question: Coroutine[Any, Any, Choice]) -> Choice | None:
        """Return the answer to a question that is asked of users' code; None if this is stopped."""
        asked = asyncio.create_task(question)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([asked, stopping], return_when=asyncio.FIRST_COMPLETED)
            return asked.result() if asked.done() else None
        finally:
            asked.cancel()
            stopping.cancel()

    async def _abandon(self, core: Core, run: Run, choice: Choice) -> None:
        """Abandon a run that nobody can process (R4)."""
        reason = f"no provider can process it: {', '.join(choice.refusals)}"
        log_fact(logging.WARNING, "run_abandoned", run_id=run.run_id, reason=reason)
        await self._settle(core, self._given_up(run, "abandoned", reason))

    def _given_up(self, run: Run, how: Any, reason: str) -> SettleRun:
        return SettleRun(
            run.run_id, how, reason, attempt=run.attempt, estimate=self._engine.estimate_tokens
        )

    async def _carry_out(
        self, core: Core, turn: TurnRun, run: Run, started: Started, provider: Provider | None
    ) -> None:
        turn.begun(Begun(started.attempt, started.version, steps=started.steps))
        prompt = await self._engine.run(_prompt, core, run.queued)
        begun = BegunRun(core, turn, run.run_id, started.attempt, prompt, provider)
        attempt = Attempt(self._engine, self._terms, begun, self._agent, is_plain=self._is_plain)
        self._attempts[run.run_id] = attempt
        task = self._running[run.run_id] = asyncio.create_task(attempt.run())
        task.add_done_callback(self._ring)
        if self._stopping.is_set():
            attempt.ask("released", STOPPED)

    def _decline(self, due: DueTask, error: BaseException) -> None:
        self._declined[due.task_id] = due
        self._log("run_not_begun", error, session_id=due.session, run_id=due.task_id)

    # ---- waiting ------------------------------------------------------------------------------

    async def _wait_for_an_end(self) -> None:
        """Wait until an attempt ends; meanwhile heed what others want."""
        while not self._bell.is_set():
            seen = await self._engine.position()
            await self._heed_wishes()
            await self._until(self._engine.wait(seen, WATCH_SECONDS))
        self._bell.clear()

    async def _listen(self, seen: Position) -> None:
        """Wait until an attempt ends, for a record after a position, or until a run becomes due."""
        await self._until(self._news(seen))
        self._bell.clear()

    async def _until(self, news: Coroutine[Any, Any, Any]) -> None:
        """Wait for the bell or the news, whichever comes first."""
        waits = [asyncio.create_task(self._bell.wait()), asyncio.create_task(news)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            for found in await asyncio.gather(*waits, return_exceptions=True):
                if isinstance(found, BaseException) and not isinstance(
                    found, (asyncio.CancelledError, UnavailableError)
                ):
                    raise found

    async def _news(self, seen: Position) -> None:
        soonest = asyncio.get_running_loop().time() + WAKEUP_SECONDS
        with suppress(UnavailableError):  # The next look will notice.
            await self._engine.wait(seen, await self._seconds_to_wait())
        await asyncio.sleep(soonest - asyncio.get_running_loop().time())

    async def _seconds_to_wait(self) -> float:
        due = await self._engine.run(
            seconds_until_due, self._engine.store, self._engine.clock(), (INBOUND,)
        )
        longest = DECLINED_SECONDS if self._declined else WATCH_SECONDS
        return longest if due is None else min(longest, due)

    def _ring(self, _: object = None) -> None:
        self._bell.set()

    def _collect(self) -> int:
        """Forget the attempts that ended; return how many completed their runs."""
        done = [run_id for run_id, task in self._running.items() if task.done()]
        completed = 0
        for run_id in done:
            del self._attempts[run_id]
            completed += self._is_completed(self._running.pop(run_id))
        return completed

    def _is_completed(self, task: asyncio.Task[Any]) -> bool:
        """Return whether an attempt completed its run; a broken one does not end the supervisor."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._log("attempt_broke", error)
        return not task.cancelled() and error is None and task.result() == "completed"

    # ---- the end ------------------------------------------------------------------------------

    async def _wind_up(self) -> None:
        """Have all attempts end, within the grace period; each records itself that it was released."""
        for attempt in self._attempts.values():
            attempt.ask("released", STOPPED, at_once=False)
        left = [*self._running.values()]
        if left:
            await asyncio.wait(left, timeout=self._grace)
        for attempt in self._attempts.values():
            attempt.ask("released", STOPPED)
        left = [task for task in self._running.values() if not task.done()]
        if left:
            await asyncio.wait(left, timeout=self._grace)
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._running.clear()
        self._attempts.clear()

    def _log(self, fact: str, error: BaseException, **fields: Any) -> None:
        name = self._terms.name
        log_fact(logging.WARNING, fact, supervisor=name, **fields, error=redacted(error))


def _owner_gone(engine: Engine, core: Core) -> int | None:
    core.refresh()
    return owner_gone(engine, core)


def _prompt(core: Core, version: int) -> Message:
    """Return the message that was queued at a version (I/O)."""
    recorded = core.reader.record(version)
    event = cast("MessageEnqueued", recorded.event if recorded else None)
    return Message.model_validate(event.message)


def _without_sessions(provider: Provider | None) -> str | None:
    """Return the name of a provider that has no sessions of its own."""
    return None if provider is None or provider.keeps_sessions else provider.name
