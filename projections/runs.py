"""Every run of a session, those that are over included, and what they cost together."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter

from eventlog.projection import Projection
from eventlog.projections.tasks import entries_of
from eventlog.session.index import INDEXED_TYPES, RUNS, read_run
from eventlog.session.projection import SessionFold
from eventlog.session.runs.state import Run
from eventlog.session.runs.view import RunView, run_view
from eventlog.session.state import SessionState
from eventlog.session.tasks.events import TokenUsage
from eventlog.session.tasks.state import add_usage

if TYPE_CHECKING:
    from eventlog.recorded import Recorded

__all__ = ["Runs", "RunsState", "RunsView"]


@dataclass(slots=True)
class RunsState:
    """The session's state, and each run as its last record left it."""

    session: SessionState
    runs: dict[str, Run] = field(default_factory=dict[str, Run])


class RunsView(NamedTuple):
    """The runs of a session in the order of their ids, and sums over them."""

    runs: tuple[RunView, ...]
    states: dict[str, int]
    """How many runs are in each state."""
    restarts: int
    fallbacks: int
    calls: int
    usage: dict[str, int]
    """The tokens that their calls of models cost."""


class Runs(Projection[RunsState, RunsView]):
    """The runs that ``Log.runs(session)`` yields, from any records, with restarts, fallbacks, calls
    and tokens summed up.

    Messages are not decoded for it. The state grows with the runs, not with the messages.
    """

    name = "runs"
    types = INDEXED_TYPES

    def initial(self) -> RunsState:
        return RunsState(SessionState(""))

    def apply(self, state: RunsState, recorded: Recorded) -> RunsState:
        for key, value in entries_of(state.session, recorded):
            if value is not None and key.startswith(RUNS):
                run = read_run(value)
                state.runs[run.run_id] = run
        return state

    def view(self, state: RunsState) -> RunsView:
        runs = tuple(run_view(run) for _, run in sorted(state.runs.items()))
        states: dict[str, int] = {}
        usage = TokenUsage()
        for run in state.runs.values():
            states[run.state] = states.get(run.state, 0) + 1
            usage = add_usage(usage, run.usage)
        return RunsView(
            runs,
            dict(sorted(states.items())),
            sum(run.restarts for run in runs),
            sum(run.fallbacks for run in runs),
            sum(run.calls for run in runs),
            {str(name): int(str(count)) for name, count in usage.items()},
        )

    def fingerprint(self) -> str:
        return f"{self.schema}-{SessionFold().fingerprint()}"

    def dump(self, state: RunsState) -> bytes:
        return _adapter().dump_json(state)

    def load(self, data: bytes) -> RunsState:
        state: RunsState = _adapter().validate_json(data)
        return state


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(RunsState)
