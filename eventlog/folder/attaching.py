"""What can be done with a session's folder: attach, write, heal and look; for both twins.

Paths are made absolute here. Whatever the system says against a file becomes `FolderUnavailable`.
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
    """Let a folder follow the session from here on, and write it; see `Session.attach_folder`."""
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
    """Own the folder that is attached to a session, if no other process does, and write it.

    Never raises: a folder that is not to be had is a fact for the log of the service, and the
    session is there without it. One that is gone is not made anew: the log may have been opened on
    another machine.
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
    """Let the folder follow no longer; its files stay as they are."""
    engine.execute(core, DetachFolder())
    follower, core.follower = core.follower, None
    if follower is not None:
        follower.release()


def view(core: Core) -> FolderView | None:
    """Return how the attached folder stands; None if there is none."""
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
    """Make a folder what the records say, or only look; see `Session.heal`."""
    folder = Folder(engine.files, absolute_path(path))
    _refuse_absent(core)
    with folder_errors(folder.path):
        if not folder.is_folder() and core.state.folder != folder.path:
            raise InvalidArgument(f"there is no folder {folder.path}; check the path")
        _refuse_another_session(folder, core.session)
        if check:
            state = replay(engine.store.read(core.session), SessionFolder())
            found = look(folder, state, core.reader)
            return FolderReport(folder.path, state.session.version, found, healed=not found)
        with _owned(engine, core, folder) as follower:
            findings = follower.bring_up_to_date(thorough=True, record=follower.record)
            return FolderReport(folder.path, core.state.version, findings, healed=True)


# ---- who owns it ------------------------------------------------------------------------------


def _own_follower(core: Core, folder: Folder) -> Follower | None:
    """Return what writes this folder in this process already."""
    follower = core.follower
    if isinstance(follower, Follower) and follower.folder.path == folder.path:
        return follower
    return None


def _take(engine: Engine, core: Core, folder: Folder) -> Follower:
    """Lock a folder, which is created if need be, for this process to write."""
    folder.make()
    lock = folder.files.lock(LOCK)
    if lock is None:
        raise FolderLocked(folder.path)
    return Follower(engine, core, folder, lock)


@contextmanager
def _owned(engine: Engine, core: Core, folder: Folder) -> Generator[Follower]:
    """Write a folder as its owner: as the one that it is already, or for this once."""
    own = _own_follower(core, folder)
    follower = own or _take(engine, core, folder)
    try:
        yield follower
    finally:
        if own is None:
            follower.abandon()


# ---- whose it is ------------------------------------------------------------------------------


def _refuse_absent(core: Core) -> None:
    """Raise `SessionNotFound` for a session that has no record yet."""
    if not core.refresh().version:
        raise SessionNotFound(core.session)


def _refuse_another_session(folder: Folder, session: str) -> None:
    """Raise `InvalidArgument` for the folder of another session, as far as it says."""
    said = _session_said(folder)
    if said not in (None, session):
        raise InvalidArgument(
            f"folder {folder.path} is that of session {said!r}, not of {session!r}; "
            "name the session that it belongs to, or another folder"
        )


def _refuse_what_is_not_ours(engine: Engine, core: Core, folder: Folder) -> None:
    """Raise unless a folder is empty, or holds nothing that the session does not have."""
    _refuse_another_session(folder, core.session)
    if {MESSAGES, META, HISTORY}.isdisjoint(folder.names()):
        return
    state = replay(engine.store.read(core.session), SessionFolder())
    for difference in compare(folder, state, core.reader, thorough=True):
        if difference.is_aside or loss_of(difference, state, core.reader).unknown:
            raise CorruptFolder(
                f"folder {folder.path}: {difference.path} has what session {core.session!r} does "
                "not; `eventlog heal` puts that in quarantine, `eventlog import` adopts a folder "
                "of another program, or choose an empty folder"
            )


def _session_said(folder: Folder) -> str | None:
    """Return the session that the metadata in a folder names; None if it does not say."""
    found = folder.read(META) if folder.is_file(META) else None
    meta = json_object(found or b"") or {}
    said = meta.get("session_id")
    return said if isinstance(said, str) else None
