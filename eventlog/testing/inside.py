"""Access to the inside of a log: the cores of its sessions, and internal commands.

Users cannot record what workers and folders do; a test that plays the part of one uses `execute`::

    claim = execute(log, "chat", ClaimTask(task_id, "w", this_process(), 10**9, attempts=1))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.log import Log, engine_of

if TYPE_CHECKING:
    from eventlog.engine.core import Core
    from eventlog.session.command import Command

__all__ = ["core_of", "engine_of", "execute"]


def core_of(log: Log, session: str) -> Core:
    """Return the one core of a session in a log: its state, its reader, its snapshots."""
    return engine_of(log).core(session)


def execute(log: Log, session: str, command: Command[Any]) -> Any:
    """Decide, store and fold a command of a session; return its result."""
    return engine_of(log).execute(core_of(log, session), command)
