"""Attach, detach, write and heal a session's folder; used by both the sync and the async face.

Paths are made absolute here, and an error of the operating system becomes `FolderUnavailable`.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventlog.errors import (
    CorruptFolder,
    EventLogError,
    FolderLocked,
    FolderUnavailable,
    InvalidArgument,
    SessionNotFound,
)
from eventlog.folder.comparing import compare, loss_of
from eventlog.folder.follower import Follower
from eventlog.folder.mending import look
from eventlog.folder.refusing import absolute_path, folder_errors, reason_of
from eventlog.folder.writing import Folder
from eventlog.projection import replay
from eventlog.projections.folder_files import SessionFolder
from eventlog.projections.folder_layout import HISTORY, LOCK, MESSAGES, META, json_object
from eventlog.session.attachment import (
    AttachFolder,
    DetachFolder,
    FolderReport,
    FolderView,
    refuse_second_folder,
)
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    import os
    from collections.abc import Generator

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine

__all__ = ["attach", "detach", "heal", "materialize", "reattach", "view"]


def attach(
    engine: Engine, core: Core, path: str | os.PathLike[str], *, mode: int | None = None
) -> FolderView:
    """Attach a folder, which follows the session from now on; see `Session.attach_folder`."""
    folder = Folder(engine.files, absolute_path(path), mode)
    state = core.refresh()
    refuse_second_folder(state, folder.path)
    is_new = state.folder is None
    with folder_errors(folder.path):
        follower = _own_follower(core, folder) or _take(engine, core, folder)
        try:
            if is_new:
                _refuse_what_is_not_ours(engine, core, folder)
            engine.execute(core, AttachFolder(folder.path), follow=False)
            core.follower = follower
            follower.bring_up_to_date(thorough=is_new)
            follower.follow()
        finally:
            if core.follower is not follower:
                follower.abandon()
    return follower.view


def reattach(engine: Engine, core: Core) -> None:
    """Take ownership of a session's attached folder, unless another process owns it, and write it.

    Never raises: that a folder is unavailable is logged, and the session works without it. A missing
    folder is not created again, because the log may have been opened on another machine.
    """
    path = core.state.folder
    if path is None or core.follower is not None:
        return
    try:
        folder = Folder(engine.files, path)
        if not folder.is_folder():
            raise FolderUnavailable(path, "it is gone")
        core.follower = _take(engine, core, folder)
    except FolderLocked:
        log_fact(logging.INFO, "folder_owned_elsewhere", session_id=core.session, path=path)
    except (OSError, EventLogError) as error:
        log_fact(
            logging.WARNING,
            "folder_unwritable",
            session_id=core.session,
            path=path,
            error=reason_of(error) if isinstance(error, OSError) else str(error),
        )
    else:
        core.follower.follow()


def detach(engine: Engine, core: Core) -> None:
    """Detach the folder from the session; its files stay as they are."""
    engine.execute(core, DetachFolder())
    follower, core.follower = core.follower, None
    if follower is not None:
        follower.release()


def view(core: Core) -> FolderView | None:
    """Return the state of the attached folder, or None if none is attached."""
    path, follower = core.state.folder, core.follower
    if path is None:
        return None
    return follower.view if isinstance(follower, Follower) else FolderView(path, False, 0)


def materialize(engine: Engine, core: Core, path: str | os.PathLike[str]) -> FolderReport:
    """Write all of a session's folder; see `Session.materialize`."""
    folder = Folder(engine.files, absolute_path(path))
    _refuse_absent(core)
    with folder_errors(folder.path), _owned(engine, core, folder) as follower:
        _refuse_what_is_not_ours(engine, core, folder)
        findings = follower.bring_up_to_date(thorough=True)
    return FolderReport(folder.path, core.state.version, findings, healed=True)


def heal(
    engine: Engine, core: Core, path: str | os.PathLike[str], *, check: bool = False
) -> FolderReport:
    """Repair a folder from the records, or only compare it; see `Session.heal`."""
    folder = Folder(engine.files, absolute_path(path))
    _refuse_absent(core)
    with folder_errors(folder.path):
        if not folder.is_folder() and core.state.folder != folder.path:
            raise InvalidArgument(f"folder {folder.path} does not exist; check the path")
        _refuse_another_session(folder, core.session)
        if check:
            state = replay(engine.store.read(core.session), SessionFolder())
            found = look(folder, state, core.reader)
            return FolderReport(folder.path, state.session.version, found, healed=not found)
        with _owned(engine, core, folder) as follower:
            findings = follower.bring_up_to_date(thorough=True, record=follower.record)
            return FolderReport(folder.path, core.state.version, findings, healed=True)


# ---- ownership --------------------------------------------------------------------------------


def _own_follower(core: Core, folder: Folder) -> Follower | None:
    """Return the writer of this folder if this process already has one."""
    follower = core.follower
    if isinstance(follower, Follower) and follower.folder.path == folder.path:
        return follower
    return None


def _take(engine: Engine, core: Core, folder: Folder) -> Follower:
    """Lock a folder for this process, creating it if necessary."""
    folder.make()
    lock = folder.files.lock(LOCK)
    if lock is None:
        raise FolderLocked(folder.path)
    return Follower(engine, core, folder, lock)


@contextmanager
def _owned(engine: Engine, core: Core, folder: Folder) -> Generator[Follower]:
    """Yield the writer of a folder: the existing one, or a temporary one for this block."""
    own = _own_follower(core, folder)
    follower = own or _take(engine, core, folder)
    try:
        yield follower
    finally:
        if own is None:
            follower.abandon()


# ---- which session it belongs to --------------------------------------------------------------


def _refuse_absent(core: Core) -> None:
    """Raise `SessionNotFound` for a session that has no record yet."""
    if not core.refresh().version:
        raise SessionNotFound(core.session)


def _refuse_another_session(folder: Folder, session: str) -> None:
    """Raise `InvalidArgument` if the folder's metadata names another session."""
    said = _session_said(folder)
    if said not in (None, session):
        raise InvalidArgument(
            f"folder {folder.path} belongs to session {said!r}, not to {session!r}; "
            "name that session, or another folder"
        )


def _refuse_what_is_not_ours(engine: Engine, core: Core, folder: Folder) -> None:
    """Raise if a folder holds anything that the session does not have."""
    _refuse_another_session(folder, core.session)
    if {MESSAGES, META, HISTORY}.isdisjoint(folder.names()):
        return
    state = replay(engine.store.read(core.session), SessionFolder())
    for difference in compare(folder, state, core.reader, thorough=True):
        if difference.is_aside or loss_of(difference, state, core.reader).unknown:
            raise CorruptFolder(
                f"folder {folder.path}: {difference.path} has content that session {core.session!r} "
                "does not have; run `eventlog heal` to keep that in quarantine, `eventlog import` to "
                "adopt the folder of another program, or choose an empty folder"
            )


def _session_said(folder: Folder) -> str | None:
    """Return the session that a folder's metadata names, or None."""
    found = folder.read(META) if folder.is_file(META) else None
    meta = json_object(found or b"") or {}
    said = meta.get("session_id")
    return said if isinstance(said, str) else None
