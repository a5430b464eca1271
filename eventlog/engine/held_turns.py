"""Attempts at turns that are held by their fence alone: by a client, or by another process.

The fence is the version of the attempt's ``turn_begun``. Whoever knows it gives the commands of the
attempt, from wherever; nothing of it is kept in this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from eventlog.argument_checks import check_count
from eventlog.engine.turns import TurnRun, TurnTerms
from eventlog.errors import InvalidArgument

if TYPE_CHECKING:
    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.session.turns.events import TurnBegun

__all__ = ["held_run"]

LEASE_SECONDS: Final = 60.0
"""How long a renewal lasts that does not say so."""


def held_run(engine: Engine, core: Core, fence: int) -> TurnRun:
    """Return the attempt that began at a version, whoever owns the turn by now (I/O)."""
    check_count("fence", fence, "records", lowest=1)
    recorded = core.reader.record(fence)
    if recorded is None or recorded.type != "turn_begun":
        raise InvalidArgument(
            f"session {core.session!r} has no beginning of a turn at version {fence}; give the "
            "fence that begin_turn returned"
        )
    event = cast("TurnBegun", recorded.event)
    terms = TurnTerms(
        event.turn, event.resumes, 0.0, LEASE_SECONDS, event.stale_seconds, event.on_error
    )
    run = TurnRun(engine, core, terms)
    run.attempt, run.begun_at_version = event.attempt, fence
    run.lease_until, steps = event.lease_until, event.steps
    turn = core.refresh().turn
    if turn is not None and turn.begun == fence:
        run.lease_until, steps = turn.lease_until, turn.steps
    run.steps.resume(steps, fence)
    return run
