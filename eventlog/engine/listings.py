"""Lists of sessions, from the index and the heads of the streams: no session is folded for them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.clock import format_time
from eventlog.identifiers import from_key_part
from eventlog.session.index import SESSIONS, SessionEntry, keys_under, read_session
from eventlog.store import heads_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.engine.door import Door

__all__ = ["SessionLine", "list_sessions"]

PAGE: Final = 512
"""Sessions whose heads are asked for together."""


class SessionLine(NamedTuple):
    """A session in a list. Times are ISO 8601 text."""

    session_id: str
    status: str
    version: int
    created_at: str
    last_record_at: str
    """The time of the last record, whatever it is: a heartbeat of a worker counts."""


def list_sessions(store: Door) -> Iterator[SessionLine]:
    """Yield all sessions in the order of their index keys, closed and deleted ones too.

    Raises `CorruptLog` for a damaged entry.
    """
    entries = store.scan(*keys_under(SESSIONS))
    while page := list(islice(entries, PAGE)):
        known: dict[str, SessionEntry] = {
            from_key_part(key.removeprefix(SESSIONS)): read_session(value) for key, value in page
        }
        for (session_id, entry), head in zip(
            known.items(), heads_of(store, list(known)), strict=True
        ):
            yield SessionLine(
                session_id,
                entry.status,
                head.version,
                format_time(entry.created_at),
                format_time(head.time),
            )
