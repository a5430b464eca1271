"""Which unfinished messages have lost their producer, and the command that ends them.

A producer is gone if its lease has ended, by the clock that leases are measured by, or if its process
is proven to have ended; in a turn, the lease and the owner are those of the turn. The next command on
the session ends its message before it is decided itself, and so does a worker; a reader never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.engine.distant_leases import ORDINARY_LEASE, believed_until
from eventlog.engine.owner import is_gone, is_this_process
from eventlog.session.index import STREAMS, keys_under, stream_entry
from eventlog.session.streams.reasons import GONE, LAPSED, TURN_LAPSED, TURN_OVER, LostStream
from eventlog.store import store_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.clock import Clock, JumpWatch
    from eventlog.engine.door import Door
    from eventlog.session.state import SessionState
    from eventlog.session.streams.interrupting import InterruptStreams
    from eventlog.session.streams.state import Stream
    from eventlog.session.tasks.events import OwnerData
    from eventlog.session.tokens import TokenEstimator
    from eventlog.session.turns.state import TurnFence

__all__ = ["StreamRecovery"]


class StreamRecovery:
    """Finds the streams of a log that nobody will end."""

    def __init__(
        self, store: Door, clock: Clock, jumps: JumpWatch, estimate: TokenEstimator
    ) -> None:
        self._store = store
        self.store = store.inner
        self._clock = clock
        self._jumps = jumps
        self._estimate = estimate
        self._store_now = store_clock(store.inner)

    def lease_time(self) -> int | None:
        """Return the time of the store's clock, by which leases are measured; None if it has none,
        so that the log's clock is meant."""
        return None if self._store_now is None else self._store.call(self._store_now)

    def command(
        self,
        state: SessionState,
        own: str | None = None,
        own_turn: TurnFence | None = None,
        *,
        spares_turns: bool = False,
    ) -> InterruptStreams | None:
        """Return the command that ends the streams without a producer; None if there are none.

        ``own`` is the message of the caller itself, and ``own_turn`` its turn: it is late but still
        there. With ``spares_turns`` the caller ends the streams of turns itself.
        """
        lost = {
            stream.message_id: LostStream(stream.fence, stream.lease_end(state.turn), reason)
            for stream in state.streams.values()
            if stream.message_id != own
            and (stream.turn is None or not (spares_turns or stream.turn == own_turn))
            and (reason := self._why_lost(stream, state))
        }
        if not lost:
            return None
        from eventlog.session.streams.interrupting import InterruptStreams  # Seldom needed.

        return InterruptStreams(lost, self._estimate)

    def _why_lost(self, stream: Stream, state: SessionState) -> str:
        """Return why a stream has no producer any more; empty if it has one."""
        turn, owner = state.turn, stream.owner
        until, version = stream.lease_end(turn), stream.fence
        if stream.turn is not None and turn is not None:
            owner, version = turn.owner or owner, turn.begun
        if until is None:
            return TURN_OVER
        if self._is_gone(owner):
            return GONE
        now, session = self._now(), state.session_id
        until = believed_until(self._store, session, version, until, stream.lease, now)
        if until > now or not self._is_steady(stream.lease):
            return ""
        return LAPSED if stream.turn is None else TURN_LAPSED

    def _is_gone(self, owner: OwnerData) -> bool:
        return not is_this_process(owner) and is_gone(owner, self.store)

    def _now(self) -> int:
        time = self.lease_time()
        return self._clock() if time is None else time

    def _is_steady(self, lease: int) -> bool:
        """Return whether the clock can be trusted when it says that a lease has ended."""
        since = self._jumps.since_jump() if self._store_now is None else None
        return since is None or since >= lease

    def sessions(self) -> Iterator[str]:
        """Yield the sessions in which a stream may have lost its producer, by the index (I/O)."""
        now = self._now()
        for key, value in self._store.scan(*keys_under(STREAMS)):
            session, due, owners = stream_entry(key, value)
            is_distant = due - now > ORDINARY_LEASE  # By a clock that was ahead, or a long lease.
            if due <= now or is_distant or any(map(self._is_gone, owners)):
                yield session
