"""Sessions saved as bundles in a folder: the newest one, the old ones, and back into a log (R8).

Which one is newer is told by the events in it, never by the time of the file. A file that is damaged,
or no bundle, is passed over with a warning, and left alone.
"""

from __future__ import annotations

import logging
import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.argument_checks import checked_path, microseconds
from eventlog.clock import system_clock
from eventlog.error_text import shown
from eventlog.errors import CorruptLog, EventLogError, FolderUnavailable, InvalidArgument
from eventlog.exchange.bundle.importing import import_bundle
from eventlog.exchange.bundle.reading import Bundle, read_bundle, read_bundle_bytes
from eventlog.filesystem import LocalFiles
from eventlog.redaction import redacted
from eventlog.session.projection import SessionFold
from eventlog.storable import check_text
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from eventlog.clock import Clock
    from eventlog.filesystem import FileTree
    from eventlog.store import Store

__all__ = ["cleanup", "latest_saved", "resume_bundle"]

SUFFIX: Final = ".zip"
"""How the names of saved sessions end; other files in the folder are none of ours."""

LARGEST: Final = 256 << 20
"""The largest file that is read, in bytes."""


class _Saved(NamedTuple):
    name: str
    last: int
    """The time of its last event."""
    workspaces: frozenset[str | None]


def latest_saved(folder: str | PathLike[str], workspace: str | None = None) -> str | None:
    """Return the path of the newest saved session of a workspace in a folder, or None.

    The newest is the one with the latest last event. Without a workspace all saved sessions are looked at.
    Damaged files are passed over with a warning. Raises `FolderUnavailable`.
    """
    text = checked_path("the folder", folder)
    wanted = None if workspace is None else check_text("workspace", workspace)
    found = [saved for saved in _saved_in(text) if wanted is None or wanted in saved.workspaces]
    newest = max(found, key=lambda saved: (saved.last, saved.name), default=None)
    return None if newest is None else os.path.join(text, newest.name)  # noqa: PTH118 - as it was given


def cleanup(
    folder: str | PathLike[str],
    older_than: timedelta | datetime | str,
    *,
    clock: Clock = system_clock,
) -> int:
    """Remove the saved sessions whose last event is older; return how many there were.

    ``older_than`` is a span of time before now, or an aware time, or ISO 8601 text. Damaged files are
    passed over with a warning and stay. Raises `FolderUnavailable`.
    """
    text = checked_path("the folder", folder)
    limit = _limit(older_than, clock)
    files = LocalFiles().under(text)
    count = 0
    for saved in list(_saved_in(text)):
        if saved.last < limit:
            try:
                files.remove(saved.name)
            except FileNotFoundError:  # Somebody else cleans up, too.
                continue
            except OSError as error:
                raise _unavailable(text, error) from error
            count += 1
    return count


def _limit(older_than: timedelta | datetime | str, clock: Clock) -> int:
    if not isinstance(older_than, timedelta):
        return microseconds(older_than)
    if older_than < timedelta(0):
        raise InvalidArgument(f"older_than is {shown(older_than)}; it must be a span before now")
    return clock() - older_than // timedelta(microseconds=1)


def resume_bundle(path: str | PathLike[str], store: Store) -> str:
    """Bring the saved session of a file into a log under its id; return that.

    Of a session that the log has, what is new is appended; one that has gone on since stays as it is.
    Raises `HistoryConflict` for one with another beginning, `InvalidArgument` for a redacted bundle
    and for one of several sessions, `CorruptLog` for a file that is none, `FileNotFoundError`, and
    `FolderUnavailable` for one that cannot be read.
    """
    text = checked_path("the bundle", path)
    try:
        bundle = read_bundle(text)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FolderUnavailable(text, reason, "name another file") from error
    if len(bundle.sessions) != 1:
        raise InvalidArgument(
            f"{os.fspath(path)} holds {len(bundle.sessions)} sessions; `eventlog import` brings in "
            "several"
        )
    ((name, session),) = bundle.sessions.items()
    if session.digests or not _has(store, name, bundle):
        import_bundle(bundle, store)
    return name


def _has(store: Store, session: str, bundle: Bundle) -> bool:
    """Return whether a log has all of a bundled session, and perhaps more."""
    last = bundle.sessions[session].records[-1]
    head = store.head(session)
    if head.version < last.version:
        return False
    stored = next(store.read(session, after=last.version - 1, until=last.version), None)
    return stored is not None and stored.hash == last.hash


def _saved_in(folder: str) -> Iterator[_Saved]:
    """Yield what is saved in a folder, by name."""
    files = LocalFiles().under(folder)
    try:
        names = sorted(name for name in files.names("") if name.endswith(SUFFIX))
    except OSError as error:
        raise _unavailable(folder, error) from error
    for name in names:
        found = _read(files, folder, name)
        if found is not None:
            yield found


def _read(files: FileTree, folder: str, name: str) -> _Saved | None:
    try:
        bundle = read_bundle_bytes(files.read(name, LARGEST), name)
        sessions = [each for each in bundle.sessions.values() if each.records]
        if not sessions:
            raise CorruptLog(f"{name} holds no session; remove it")
        folds = [(SessionFold(each.session_id), each) for each in sessions]
        states = [fold.fold(fold.initial(), each.records[:1]) for fold, each in folds]
    except (EventLogError, OSError) as error:
        path = os.path.join(folder, name)  # noqa: PTH118 - as it was given
        log_fact(logging.WARNING, "saved_session_skipped", path=path, error=redacted(error))
        return None
    last = max(each.records[-1].time for each in sessions)
    return _Saved(name, last, frozenset(state.workspace for state in states))


def _unavailable(folder: str, error: OSError) -> FolderUnavailable:
    reason = error.strerror or type(error).__name__
    return FolderUnavailable(folder, reason, "name another folder")
