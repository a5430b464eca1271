"""How long the lease of a turn or of a stream is believed that ends in the distant future (F2b).

A clock that was ahead leaves behind a lease whose end is years away. It is believed for one lease from
when it is first seen. A producer or an owner that is alive renews its lease before that, and brings its
end back into the present.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from eventlog.engine.first_seen import first_seen
from eventlog.identifiers import key_part
from eventlog.recorded import Recorded
from eventlog.session.streams.coalescing import LEASE_SECONDS
from eventlog.session.turns.state import BelievedLease

if TYPE_CHECKING:
    from eventlog.session.turns.events import TurnBegun
    from eventlog.session.turns.state import Turn
    from eventlog.store import Store

__all__ = ["ORDINARY_LEASE", "believed_lease", "believed_until"]

ORDINARY_LEASE: Final = int(LEASE_SECONDS * 1_000_000)
"""The lease that turns and streams have by default, in microseconds: no shorter one is suspected."""

LONGEST_LEASE: Final = 86_400_000_000
"""The longest lease that is waited for, in microseconds."""


def believed_until(
    store: Store, session: str, version: int, until: int, lease: int, now: int
) -> int:
    """Return until when a lease is believed that was begun at a version of a session (I/O if its end
    is further away than it is long)."""
    if until - now <= max(lease, ORDINARY_LEASE):
        return until
    name = f"lease/{key_part(session)}/{version}"
    return min(until, first_seen(store, name, {"until": until}, now) + lease)


def believed_lease(store: Store, session: str, turn: Turn | None, now: int) -> BelievedLease | None:
    """Return until when the lease of the open turn is believed, if that is not what it says (I/O)."""
    if turn is None or turn.lease_until - now <= ORDINARY_LEASE:
        return None
    begun = next(store.read(session, after=turn.begun - 1, until=turn.begun), None)
    if begun is None:
        return None
    lease = cast("TurnBegun", Recorded(begun).event).lease_until - begun.time
    lease = max(ORDINARY_LEASE, min(lease, LONGEST_LEASE))
    until = believed_until(store, session, turn.begun, turn.lease_until, lease, now)
    return BelievedLease(turn.begun, turn.lease_until, until)
