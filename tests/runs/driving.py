"""Runs driven by their commands, as a supervisor gives them."""

from __future__ import annotations

from typing import Any

from eventlog import Log, RunView
from eventlog.audit.index_check import compare_index
from eventlog.engine.owner import this_process
from eventlog.session.projection import SessionFold
from eventlog.session.runs.budget import RestartPolicy
from eventlog.session.runs.commands import SettleRun, Started, StartRun
from eventlog.session.turns.commands import BeginTurn
from eventlog.testing.inside import core_of, execute

LEASE = 60_000_000
POLICY = RestartPolicy()


def run_of(log: Log, run_id: str, session: str = "s") -> RunView:
    return next(run for run in log.runs(session) if run.run_id == run_id)


def start(log: Log, run_id: str, provider: str = "claude", session: str = "s") -> Started:
    """Begin the next attempt of a run, as this process."""
    begin = BeginTurn(run_id, this_process(), LEASE, 600.0, resumes=True)
    started: Started = execute(log, session, StartRun(run_id, "here", provider, begin))
    return started


def settle(
    log: Log, run_id: str, how: Any, reason: str = "it broke", session: str = "s", **options: Any
) -> str | None:
    """Settle a run; return its state."""
    options.setdefault("policy", POLICY)
    state: str | None = execute(log, session, SettleRun(run_id, how, reason, **options)).state
    return state


def types(log: Log, session: str = "s", after: int = 0) -> list[str]:
    return [recorded.type for recorded in log.read(session, after=after)]


def check(log: Log, session: str = "s") -> None:
    """Assert that the session verifies, and that state and index follow from its records."""
    core = core_of(log, session)
    core.refresh()
    assert core.state.findings == []
    assert log.verify(session) == []
    fold = SessionFold(session)
    replayed = fold.fold(fold.initial(), list(core.store.read(session)))
    assert replayed == core.state
    assert fold.load(fold.dump(replayed)) == replayed
    assert compare_index(core.store) == []
