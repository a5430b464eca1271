"""Steps of the session's machine, as every part of the domain folds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from eventlog.session.machine import SESSION_MACHINE

if TYPE_CHECKING:
    from eventlog.records import Record
    from eventlog.session.machine import SessionStatus
    from eventlog.session.state import SessionState

__all__ = ["report", "step", "step_only"]


def step(state: SessionState, record: Record) -> bool:
    """Move the session's machine; return False and note a finding if it does not allow the step."""
    status = SESSION_MACHINE.table.get((state.status, record.type))
    if status is None:
        report(state, record, f"session is {state.status!r}")
        return False
    state.status = cast("SessionStatus", status)
    return True


def report(state: SessionState, record: Record, where: str) -> None:
    """Note a step that a machine does not allow (P7)."""
    state.findings.append((record.version, f"{where}: {record.type!r} is not possible from there"))


def step_only(state: SessionState, record: Record, event: Any) -> None:
    """Fold an event that changes nothing but the machine."""
    step(state, record)
