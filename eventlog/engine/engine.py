"""The engine of a log in one process: its store, cores and committer, and the way of a command."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from eventlog.argument_checks import checked_clock
from eventlog.clock import Clock, JumpWatch, system_clock
from eventlog.engine.arguments import creation
from eventlog.engine.committer import Committer
from eventlog.engine.core_cache import Cores
from eventlog.engine.distant_leases import ORDINARY_LEASE, believed_lease
from eventlog.engine.door import Door
from eventlog.engine.idle_watch import IdleWatch
from eventlog.engine.request import SessionRequest, run_keeping
from eventlog.engine.streams.recovery import StreamRecovery
from eventlog.errors import ConflictError, CorruptError, InvalidError, LogClosed, OwnerMismatch
from eventlog.filesystem import FileSystem, LocalFiles
from eventlog.identifiers import IdSource, draw_id
from eventlog.machine import ABSENT
from eventlog.records import ANY, Expected, Metadata
from eventlog.session.auto_commit import AUTOMATIC, CommitIfDue
from eventlog.session.commit import Commit
from eventlog.session.index import keys_under, session_of_stale_key, stale_key, stale_range
from eventlog.session.tokens import TokenEstimator, estimate_tokens
from eventlog.store import appends_briefly, store_clock
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from eventlog.engine.append_request import MessageRequest
    from eventlog.engine.committer import Request
    from eventlog.engine.core import Core
    from eventlog.engine.heartbeat import Heartbeat
    from eventlog.engine.observer import Observer
    from eventlog.engine.shelter import Shelter
    from eventlog.engine.streams.pump import StreamPump
    from eventlog.session.command import Command
    from eventlog.session.commit import CommitResult
    from eventlog.session.events import SessionCreated
    from eventlog.session.policies import AutoCommitPolicy, ToolOutputPolicy
    from eventlog.session.turns.state import TurnFence
    from eventlog.store import Store

__all__ = ["Engine"]

STALE_TRUST: Final = 600_000_000
"""Microseconds after a jump of the clock for which no turn counts as stale."""

DISTANT_LIMIT: Final = 256
"""Turns read per look that end in the distant future."""


class Engine:
    """What the sessions, folders and workers of a log share in one process; `Log` is its face.

    Thread-safe. In a forked child it gets its own connection and committer (L15).
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock = system_clock,
        ids: IdSource = draw_id,
        estimate_tokens: TokenEstimator = estimate_tokens,
        tool_output: ToolOutputPolicy | None = None,
        auto_commit: AutoCommitPolicy | None = None,
        files: FileSystem | None = None,
    ) -> None:
        self.store = Door(store)
        self.clock = checked_clock(clock)
        self.ids = ids
        self.estimate_tokens = estimate_tokens
        self.jumps = JumpWatch(clock)
        self.monotonic: Clock | None = getattr(clock, "monotonic", None)
        """The clock that never goes back, if the log's has one."""
        self._files = files or LocalFiles()
        self._tool_output = tool_output
        self._auto_commit = auto_commit
        self.observer: Observer | None = None
        # Appends need not pass the door: the committer refuses them once it is closed.
        self._committer = Committer(store)
        self._appends_briefly = appends_briefly(store)
        self.recovery = StreamRecovery(self.store, self.clock, self.jumps, estimate_tokens)
        self._cores = Cores(self.store, self.clock, ids, self.recovery)
        self._idle = IdleWatch(self.store, self._cores.get)
        self._pump: StreamPump | None = None
        self._closing = threading.Lock()
        self._heartbeats: dict[float, Heartbeat] = {}
        self.left_turns: dict[str, int] = {}
        """Sessions with the ``turn_begun`` of a turn whose block was left, while no end could be stored."""
        _engines.add(self)

    @property
    def shelter(self) -> Shelter:
        """The threads that run what a signal handler in the main thread must not interrupt."""
        return self.store.shelter

    @property
    def pump(self) -> StreamPump:
        """The writers of unfinished messages, and what stores for them."""
        return self._pump or self.shelter.read(self._begin_pump)

    def _begin_pump(self) -> StreamPump:
        from eventlog.engine.streams.pump import StreamPump  # Seldom needed.

        with self._closing:
            pump = self._pump = self._pump or StreamPump(self)
        return pump

    @property
    def files(self) -> FileSystem:
        """The file system with the attached folders; raises `LogClosed` once the log is closed."""
        self.store.refuse_if_shut()
        return self._files

    def core(self, session: str) -> Core:
        """Return the one core of a session in this log. No I/O."""
        return self._cores.get(session)

    def creating_core(self, session: str) -> Core:
        """Return a core for a command that creates the session itself, whatever somebody else who
        has opened it waits to create. No I/O."""
        core = self.core(session)
        if core.creation is not None and core.state.status == ABSENT:
            self._cores.forget(core)
            core = self.core(session)
        return core

    def opened_core(self, session: str, created: SessionCreated | None, owner: str | None) -> Core:
        """Return the core of a session after opening it; see `Core.open`."""
        while True:
            core = self.core(session)
            try:
                core.open(created, owner)
            except OwnerMismatch:
                if not core.waits_for_another(owner):
                    raise
                self._cores.forget(core)
            else:
                return core

    def creation(
        self,
        *,
        tool_output: ToolOutputPolicy | None = None,
        auto_commit: AutoCommitPolicy | None = None,
        **arguments: Any,
    ) -> SessionCreated:
        """Check the arguments that a session is created with; the log's policies are defaults."""
        return creation(
            tool_output=tool_output or self._tool_output,
            auto_commit=auto_commit or self._auto_commit,
            **arguments,
        )

    # ---- commands -----------------------------------------------------------------------------

    def execute(
        self,
        core: Core,
        command: Command[Any],
        metadata: Metadata | None = None,
        expected: Expected = ANY,
        *,
        fence: TurnFence | None = None,
        follow: bool = True,
    ) -> Any:
        """Decide, store and fold a command; return its result.

        With a ``fence`` the command is that of a turn. With ``follow``, the attached folder is
        written before the answer.
        """
        request = SessionRequest(core, command, metadata, expected, fence)
        return self.answer(request) if follow else self.shelter.write(self._run_keeping, request)

    def answer(self, request: Request) -> Any:
        """Decide, store and fold a request, write the folder, and return the result.

        Called in the main thread, this runs in another one, which signal handlers cannot interrupt.
        """
        return self.shelter.write(self._answer, request)

    def append_one(self, request: MessageRequest) -> Any:
        """Do the same for one message, in the main thread itself where that is as safe."""
        if self._appends_briefly and not request.keeps:
            return self.shelter.write_briefly(self._answer, request)
        return self.answer(request)

    def _answer(self, request: Request) -> Any:
        result = self._run_keeping(request) if request.keeps else self._committer.run(request)
        follower = request.subject.follower
        if follower is not None:
            follower.follow()
        return result

    def _run_keeping(self, request: Request) -> Any:
        """Store a request's large values, then queue it and return its answer."""
        return run_keeping(self._committer.run, request)

    def observe(self, observer: Observer) -> None:
        """Have an observer called from now on."""
        from eventlog.engine.observer import ObservedAppends  # Most logs have no observer.

        self.observer = observer
        self._committer.store_through(ObservedAppends(self.store.inner, observer))

    def submit(self, request: Request) -> None:
        """Queue a request whose answer is awaited elsewhere."""
        self._committer.submit(request)

    def commit_idle(self) -> tuple[CommitResult, ...]:
        """Commit the sessions that were idle for as long as their policy allows (C8).

        Returns the commits that were made; one that is refused is logged.
        """
        results: list[CommitResult] = []
        now = self.clock()
        due = [(session, CommitIfDue()) for session in self._idle.due(now)]
        due += [(session, CommitIfDue(is_idle=True)) for session in self._idle.overdue(now)]
        for session, command in due:
            try:
                result: CommitResult = self.execute(self.core(session), command, AUTOMATIC)
            except LogClosed:
                raise
            except (ConflictError, CorruptError, InvalidError) as error:
                log_fact(logging.WARNING, "idle_commit_refused", error=str(error))
            else:
                if result.status == "accepted":
                    results.append(result)
        return tuple(results)

    def interrupt_lost_streams(self) -> None:
        """End the unfinished messages whose producer is gone; one that is refused is logged."""
        for session in list(self.recovery.sessions()):
            core = self.core(session)
            try:
                command = self.recovery.command(core.refresh())
                if command is not None:
                    self.execute(core, command)
            except LogClosed:
                raise
            except (ConflictError, CorruptError, InvalidError) as error:
                log_fact(logging.WARNING, "stream_not_interrupted", error=str(error))

    # ---- leases -------------------------------------------------------------------------------

    def heartbeat(self, interval_seconds: float) -> Heartbeat:
        """Return what renews the leases of turns, each after this time, from a thread of the log."""
        with self._closing:
            found = self._heartbeats.get(interval_seconds)
            if found is None:
                found = self._heartbeats[interval_seconds] = self.new_heartbeat(interval_seconds)
            return found

    def new_heartbeat(self, interval_seconds: float) -> Heartbeat:
        """Make what renews leases, of turns or of a worker's tasks; the crash kit has its own."""
        from eventlog.engine.heartbeat import Heartbeat  # It takes asyncio, which most do not need.

        return Heartbeat(interval_seconds)

    def lease_time(self) -> int | None:
        """Return the store's time in microseconds; None if it has no clock (I/O)."""
        now = store_clock(self.store.inner)
        return None if now is None else self.store.call(now)

    def trusts_time(self, lease: int) -> bool:
        """Return whether the clock can be trusted when it says that a lease has ended (F2)."""
        if store_clock(self.store.inner) is not None:
            return True
        since = self.jumps.since_jump()
        return since is None or since >= lease

    def abandon_stale_turns(self) -> int:
        """Abandon the open turns whose lease lapsed too long ago; return how many there were (T5)."""
        if not self.trusts_time(STALE_TRUST):
            return 0
        lease_now = self.lease_time()
        now = lease_now or self.clock()
        count = 0
        for key in self._keys_of_stale_turns(now):
            from eventlog.session.turns.commands import AbandonStaleTurn  # Seldom needed.

            core = self.core(session_of_stale_key(key))
            try:
                believed = believed_lease(self.store, core.session, core.refresh().turn, now)
                count += self.execute(
                    core, AbandonStaleTurn(lease_now, believed, estimate=self.estimate_tokens)
                )
            except LogClosed:
                raise
            except (ConflictError, CorruptError, InvalidError) as error:
                log_fact(logging.WARNING, "stale_turn_not_abandoned", error=str(error))
        return count

    def _keys_of_stale_turns(self, now: int) -> list[str]:
        """Return the keys of the turns that may be stale: because their time has come, or because it is
        so far away that a clock must have been ahead (I/O)."""
        start, end = stale_range(now)
        distant = stale_key(now + ORDINARY_LEASE + STALE_TRUST), keys_under(start)[1]
        keys = [key for key, _ in self.store.scan(start, end)]
        return keys + [key for key, _ in self.store.scan(*distant, DISTANT_LIMIT)]

    def plain_commit(
        self,
        core: Core,
        fence: TurnFence | None,
        keep_recent: int,
        keep_turn_tokens: int | None,
    ) -> Commit | None:
        """Return the command of a commit that need not look at the open turn, which may be stale; None if
        `commit_command` must. No I/O, so that calls that are made together keep their order."""
        if core.state.turn is not None and fence is None:
            return None
        return Commit(keep_recent, keep_turn_tokens)

    def commit_command(self, core: Core, keep_recent: int, keep_turn_tokens: int | None) -> Commit:
        """Return the command of a commit beside an open turn, which it ends if that is stale (I/O)."""
        if not self.trusts_time(STALE_TRUST):
            return Commit(keep_recent, keep_turn_tokens)
        lease_now = self.lease_time()
        believed = believed_lease(
            self.store, core.session, core.state.turn, lease_now or self.clock()
        )
        return Commit(
            keep_recent,
            keep_turn_tokens,
            ends_stale_turn=True,
            lease_now=lease_now,
            believed=believed,
        )

    # ---- fork and end -------------------------------------------------------------------------

    def begin_anew_after_fork(self) -> None:
        """Get a new connection, committer, threads and locks in a forked child."""
        if self.store.is_shut:
            return
        self.shelter.reset()
        self._closing = threading.Lock()
        self._heartbeats = {}
        self._cores.begin_anew_after_fork()
        self._idle = IdleWatch(self.store, self._cores.get)
        if self._pump is not None:
            self._pump.reset()
        self.store.reopen_after_fork()
        self._committer.reset()

    def close(self) -> None:
        """Finish what is queued and release the store; idempotent."""
        self.shelter.write(self._close)
        self.shelter.dismiss()

    def _close(self) -> None:
        with self._closing:
            if self.store.is_shut:
                return
            followers = self._cores.followers()
            try:
                if self._pump is not None:
                    self._pump.close()
                for follower in followers:
                    follower.follow()
                self._committer.close()
                for follower in followers:
                    follower.release()
                self._cores.leave_snapshots()
            finally:
                self._committer.close()
                _engines.discard(self)
                self.store.close()


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _begin_anew_after_fork() -> None:
    for engine in list(_engines):
        engine.begin_anew_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_after_fork)
