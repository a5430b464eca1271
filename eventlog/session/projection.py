"""The session's state as a projection: opening a session replays it, and snapshots keep it."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from eventlog.projection import Projection
from eventlog.recorded import Recorded
from eventlog.session.folding import apply, apply_records
from eventlog.session.machine import SESSION_MACHINE
from eventlog.session.runs.machine import RUN_MACHINE
from eventlog.session.state import SessionState
from eventlog.session.streams.machine import STREAM_MACHINE
from eventlog.session.tasks.machine import TASK_MACHINE
from eventlog.session.turns.machine import TURN_MACHINE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.records import Record

__all__ = ["SessionFold"]


@cache
def _adapter() -> TypeAdapter[Any]:
    # Built when a snapshot is first read or written: it costs more than importing this module.
    return TypeAdapter(SessionState)


class SessionFold(Projection[SessionState, SessionState]):
    """The state on which the commands of one session are decided."""

    name = "session"
    schema = 9
    types = None

    def __init__(self, session_id: str = "") -> None:
        self._session_id = session_id

    def initial(self) -> SessionState:
        return SessionState(self._session_id)

    def apply(self, state: SessionState, recorded: Recorded) -> SessionState:
        if not state.session_id:
            state.session_id = recorded.stream
        return apply(state, recorded)

    def fold(self, state: SessionState, records: Iterable[Record | Recorded]) -> SessionState:
        apply_records(state, records)
        return state

    def view(self, state: SessionState) -> SessionState:
        return state

    def fingerprint(self) -> str:
        machines = (SESSION_MACHINE, STREAM_MACHINE, TASK_MACHINE, TURN_MACHINE, RUN_MACHINE)
        names = [machine.fingerprint for machine in machines]
        return f"{self.schema}-{'-'.join(names)}-{sys.byteorder}"

    def dump(self, state: SessionState) -> bytes:
        """Write the state as one line of JSON, followed by the columns of the live messages."""
        return _adapter().dump_json(state) + b"\n" + state.window.packed()

    def load(self, data: bytes) -> SessionState:
        end = data.index(b"\n")
        state: SessionState = _adapter().validate_json(data[:end])
        state.window.unpack(memoryview(data)[end + 1 :])  # A view: it is most of the bytes.
        state.window.refuse_impossible(state.version)
        return state
