"""Lists of sessions, from the index and the heads of the streams: no session is folded for them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.clock import format_time
from eventlog.engine.reader import read_entry
from eventlog.errors import CorruptError, CorruptLog
from eventlog.identifiers import from_key_part, key_part
from eventlog.session.commit import archive_id
from eventlog.session.index import (
    BLOCKED,
    FINALIZER,
    SESSIONS,
    finalizer_of_key,
    finalizer_prefix,
    keys_under,
    owner_prefix,
    read_blocked,
    read_session,
    session_key,
    workspace_prefix,
)
from eventlog.store import heads_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.engine.door import Door
    from eventlog.records import Head

__all__ = [
    "DAMAGED",
    "BlockedSession",
    "Selection",
    "SessionLine",
    "blocked_sessions",
    "finalizer_names",
    "list_sessions",
    "session_ids",
    "session_ids_from",
]

PAGE: Final = 512
"""Sessions whose heads are asked for together."""


class Selection(NamedTuple):
    """Which sessions a list has, and in which order: by id, or those written to last first.

    ``updated_after`` is in microseconds: sessions with a later record.
    """

    owner: str | None = None
    workspace: str | None = None
    updated_after: int | None = None
    newest_first: bool = False


DAMAGED: Final = "damaged"
"""The status of a session in a list whose index entry cannot be read."""


class SessionLine(NamedTuple):
    """A session in a list. Times are ISO 8601 text."""

    session_id: str
    status: str
    version: int
    created_at: str
    last_record_at: str
    """The time of the last record, whatever it is: a heartbeat of a worker counts."""
    blocked: bool
    """Whether commits wait for an archive that failed for good."""


class BlockedSession(NamedTuple):
    """A session in which commits wait for an archive that failed for good."""

    session_id: str
    archive_id: str


def session_ids(store: Door, selection: Selection) -> Iterator[str]:
    """Yield the ids of the selected sessions, closed and deleted ones too."""
    if selection.updated_after is None and not selection.newest_first:
        return (session for session, _ in _belonging(store, selection))
    return (session for session, _, _ in _selected(store, selection))


def session_ids_from(store: Door, beginning: str) -> Iterator[str]:
    """Yield the ids of the sessions that begin with a text, in the order of their keys."""
    prefix = SESSIONS + (key_part(beginning) if beginning else "")
    for key, _ in store.scan(prefix, keys_under(SESSIONS)[1]):
        if not key.startswith(prefix):
            return
        yield from_key_part(key.removeprefix(SESSIONS))


def list_sessions(store: Door, selection: Selection | None = None) -> Iterator[SessionLine]:
    """Yield the selected sessions, by default all, closed and deleted ones too.

    One with a damaged entry has the status `DAMAGED`, and no others are missed for it.
    """
    blocked = {
        from_key_part(key.removeprefix(BLOCKED)) for key, _ in store.scan(*keys_under(BLOCKED))
    }
    for session, value, head in _selected(store, selection or Selection()):
        try:
            entry = read_session(value or _entry(store, session))
            status, created_at = entry.status, format_time(entry.created_at)
        except CorruptError:
            status, created_at = DAMAGED, ""
        yield SessionLine(
            session, status, head.version, created_at, format_time(head.time), session in blocked
        )


def blocked_sessions(store: Door) -> Iterator[BlockedSession]:
    """Yield the sessions in which commits wait for an archive that failed for good.

    Raises `CorruptLog` for a damaged entry.
    """
    for key, value in store.scan(*keys_under(BLOCKED)):
        yield BlockedSession(
            from_key_part(key.removeprefix(BLOCKED)), archive_id(read_blocked(value))
        )


def _belonging(store: Door, selection: Selection) -> Iterator[tuple[str, bytes | None]]:
    """Yield the owner's sessions, the workspace's, or those of both, in the order of their keys.

    Beside an id is the ``session/`` entry, where it was read anyway.
    """
    owner, workspace = selection.owner, selection.workspace
    if owner is None and workspace is None:
        return (
            (from_key_part(key.removeprefix(SESSIONS)), value)
            for key, value in store.scan(*keys_under(SESSIONS))
        )
    prefixes = [] if owner is None else [owner_prefix(owner)]
    prefixes += [] if workspace is None else [workspace_prefix(workspace)]
    first, *others = [_names_under(store, prefix) for prefix in prefixes]
    within = [set(sessions) for sessions in others]
    return ((session, None) for session in first if all(session in each for each in within))


def _names_under(store: Door, prefix: str) -> Iterator[str]:
    for key, _ in store.scan(*keys_under(prefix)):
        yield from_key_part(key.removeprefix(prefix))


def _selected(store: Door, selection: Selection) -> Iterator[tuple[str, bytes | None, Head]]:
    """Yield sessions with their heads, filtered and in order."""
    found = _with_heads(store, _belonging(store, selection))
    after = selection.updated_after
    if after is not None:
        found = (each for each in found if each[2].time > after)
    return iter(sorted(found, key=_age)) if selection.newest_first else found


def _age(selected: tuple[str, bytes | None, Head]) -> int:
    return -selected[2].time


def _with_heads(
    store: Door, sessions: Iterator[tuple[str, bytes | None]]
) -> Iterator[tuple[str, bytes | None, Head]]:
    while page := list(islice(sessions, PAGE)):
        heads = heads_of(store, [session for session, _ in page])
        for (session, value), head in zip(page, heads, strict=True):
            yield session, value, head


def _entry(store: Door, session: str) -> bytes:
    value = read_entry(store, session_key(session))
    if value is None:
        raise CorruptLog(
            f"the index has no entry of session {session!r}; run `eventlog doctor --rebuild-index`"
        )
    return value


def finalizer_names(store: Door) -> list[str]:
    """Return the names of those that made overviews of sessions, as far as they were recorded."""
    names: list[str] = []
    start, end = keys_under(FINALIZER)
    while (found := next(iter(store.scan(start, end, limit=1)), None)) is not None:
        names.append(finalizer_of_key(found[0]))
        start = keys_under(finalizer_prefix(names[-1]))[1]  # Behind all sessions of this one.
    return names
