"""Verbs of the rooms above the engine, each imported when it is first called.

Who only appends never pays for them. The faces have a thread of the log call them
(`eventlog.engine.shelter`), so that the import is sheltered as well: one that a signal handler ends
may keep Python's lock on the module, and every other thread that needs it then waits for ever.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from eventlog.engine.queries import known_task

if TYPE_CHECKING:
    import os

    from eventlog.adoption.commands import Adoption
    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.records import Metadata
    from eventlog.session.attachment import FolderReport, FolderView
    from eventlog.session.tasks.commands import RetryStatus
    from eventlog.store import Finding, Store

__all__ = [
    "abandon",
    "adopt",
    "attach",
    "detach",
    "heal",
    "materialize",
    "reattach",
    "retry",
    "verify",
    "view",
]

Path: TypeAlias = "str | os.PathLike[str]"


def adopt(*args: Any, **options: Any) -> Adoption:
    """Adopt a foreign folder; see `eventlog.Log.adopt`."""
    # Loaded by name, as stores are: the log knows no projection.
    adopted: Adoption = import_module("eventlog.adoption.adopting").adopt(*args, **options)
    return adopted


def attach(engine: Engine, core: Core, path: Path, mode: int | None) -> FolderView:
    """Attach a folder; see `eventlog.Session.attach_folder`."""
    from eventlog.folder import attaching

    return attaching.attach(engine, core, path, mode=mode)


def reattach(engine: Engine, core: Core) -> None:
    """Take an attached folder over, if no other process owns it."""
    from eventlog.folder import attaching

    attaching.reattach(engine, core)


def detach(engine: Engine, core: Core) -> None:
    """Detach the folder; see `eventlog.Session.detach_folder`."""
    from eventlog.folder import attaching

    attaching.detach(engine, core)


def view(core: Core) -> FolderView | None:
    """Return how the attached folder is; None if there is none."""
    if core.state.folder is None:
        return None
    from eventlog.folder import attaching

    return attaching.view(core)


def materialize(engine: Engine, core: Core, path: Path) -> FolderReport:
    """Write a folder once; see `eventlog.Session.materialize`."""
    from eventlog.folder import attaching

    return attaching.materialize(engine, core, path)


def heal(engine: Engine, core: Core, path: Path, check: bool) -> FolderReport:
    """Rewrite a folder, or check it; see `eventlog.Session.heal`."""
    from eventlog.folder import attaching

    return attaching.heal(engine, core, path, check=check)


def verify(store: Store, session_id: str) -> list[Finding]:
    """Return what is wrong with a session; see `eventlog.Log.verify`."""
    from eventlog.audit.verify import verify_stream

    return verify_stream(store, session_id)


def retry(engine: Engine, task_id: str, reason: str | None, by: Metadata | None) -> RetryStatus:
    """Give a failed task new attempts; see `eventlog.Log.retry`."""
    from eventlog.session.tasks.commands import RetryTask

    command = RetryTask(task_id=task_id, reason=reason)
    core = engine.core(known_task(engine.store, task_id).session_id)
    status: RetryStatus = engine.execute(core, command, by)
    return status


def abandon(engine: Engine, task_id: str, reason: str | None, by: Metadata | None) -> None:
    """Abandon an unfinished task; see `eventlog.Log.abandon`."""
    from eventlog.session.tasks.commands import AbandonTask

    command = AbandonTask(task_id=task_id, reason=reason)
    engine.execute(engine.core(known_task(engine.store, task_id).session_id), command, by)
