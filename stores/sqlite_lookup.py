"""Where the records of a SQLite log are: by stream and version, by event id, and the heads.

Answers come from the index tables and from the tail that they lag behind (`sqlite_tail`). Whoever
asks brings a connection that has caught up; readers hold ``lock`` while they ask. The writer need
not: while it holds SQLite's write lock nobody has news to take in.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, cast

from eventlog.errors import CorruptLog
from eventlog.records import EMPTY_HEAD
from eventlog.stores.sqlite_tail import MERGE_AT, End, Tail, TailRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

__all__ = ["Lookup"]

_FIND: Final = {
    size: "SELECT stream, event_id, version FROM record_ids WHERE event_id IN "
    f"({','.join('?' * size)})"
    for size in (1, 4, 16, 64, 256)
}
"""Ids are asked for in lists of a few sizes rather than any, so statements are prepared once."""


class Lookup:
    """What one process knows of where records are."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.lock = threading.Lock()
        self.streams: dict[str, int] = {}
        """The numbers of streams by name, as far as they were asked for."""
        self.tail = Tail(_indexed(connection))
        self._path = path

    def catch_up(self, connection: sqlite3.Connection) -> bool:
        """Take in what other processes, or this one before it was opened, have appended.

        Tells whether there was anything.
        """
        last = self.tail.last
        newest = connection.execute("SELECT max(position) FROM records").fetchone()[0] or 0
        if newest == last:
            return False
        if newest < last:
            raise CorruptLog(
                f"{self._path} ends at position {newest}, but position {last} was seen in it "
                "before: the file was replaced or cut; close the log and look"
            )
        with self.lock:
            if self.tail.size > 2 * MERGE_AT:
                older = self.tail
                self.tail = Tail(_indexed(connection))
                self.tail.succeed(older)
            rows = connection.execute(
                "SELECT position, stream, version, event_id, NULL, NULL, time, hash, NULL, NULL "
                "FROM records WHERE position > ? ORDER BY position",
                (self.tail.last,),
            )
            self.tail.add(cast("Iterable[TailRow]", rows))
        return True

    def merge(self, connection: sqlite3.Connection, last: int) -> None:
        """Bring the index tables up to the position ``last``, the end of the log."""
        connection.execute(
            "INSERT INTO record_versions SELECT stream, version, position FROM records "
            "WHERE position > (SELECT position FROM progress WHERE name = 'indexed') "
            "ORDER BY stream, version"
        )
        connection.execute(
            "INSERT INTO record_ids SELECT event_id, stream, version FROM records "
            "WHERE position > (SELECT position FROM progress WHERE name = 'indexed') "
            "ORDER BY event_id, stream"
        )
        connection.execute("UPDATE progress SET position = ? WHERE name = 'indexed'", (last,))

    def stream_id(self, connection: sqlite3.Connection, stream: str) -> int | None:
        """Return a stream's number; None if it has no record."""
        found = self.streams.get(stream)
        if found is None:
            row = connection.execute(
                "SELECT stream FROM streams WHERE name = ?", (stream,)
            ).fetchone()
            if row is None:
                return None
            found = self.streams[stream] = int(row[0])
        return found

    def end(self, connection: sqlite3.Connection, stream_id: int) -> End:
        """Return the version, hash, position and time of a stream's last record."""
        found = self.tail.ends.get(stream_id)
        if found is None:
            found = connection.execute(
                "SELECT r.version, r.hash, r.position, r.time FROM record_versions AS v "
                "JOIN records AS r ON r.position = v.position "
                "WHERE v.stream = ? ORDER BY v.version DESC LIMIT 1",
                (stream_id,),
            ).fetchone()
            self.tail.ends.setdefault(stream_id, found or EMPTY_HEAD)
        return found or EMPTY_HEAD

    def stored(
        self, connection: sqlite3.Connection, ids: Sequence[bytes]
    ) -> dict[tuple[int, bytes], int]:
        """Return the versions of the records that have one of these event ids, as a rule none."""
        tail = self.tail
        found: dict[tuple[int, bytes], int] = {}
        if not tail.ids.keys().isdisjoint(ids):
            rows = connection.execute(
                "SELECT stream, event_id, version FROM records "
                "WHERE position IN (SELECT value FROM json_each(?))",
                (str(tail.places(ids)),),
            )
            found.update(((stream, event_id), version) for stream, event_id, version in rows)
        if not tail.begins_at:
            return found  # Nothing is in the index tables yet.
        for start in range(0, len(ids), 256):
            page = ids[start : start + 256]
            size = next(size for size in _FIND if size >= len(page))
            rows = connection.execute(_FIND[size], (*page, *[b""] * (size - len(page))))
            found.update(((stream, event_id), version) for stream, event_id, version in rows)
        return found


def _indexed(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT position FROM progress WHERE name = 'indexed'").fetchone()
    return int(row[0])
