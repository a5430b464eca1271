"""What a process knows about the sessions that it appends to, so that an append needs no look-up.

JetStream can look up a subject's last message, but not an event id. So the ids of a session are read
once, when the process first appends to it, and are kept for the sessions in use.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from eventlog.errors import CorruptLog
from eventlog.store import Head, Position
from eventlog.stores.jetstream.batch import Known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eventlog.store import Append
    from eventlog.stores.jetstream.reader import Reader

__all__ = ["Sessions"]

IDS_LIMIT: Final = 500_000
"""How many event ids are kept (some 100 MB): those of the sessions used last."""


class Sessions:
    """The sessions in use; not to be called by two threads at once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._ids = 0

    def suppose(self, appends: Iterable[Append]) -> dict[str, Known]:
        """Return what is known about the sessions of a batch.

        An unknown session is assumed to be new if an append expects that; the server refuses the
        append if it is not.
        """
        found: dict[str, Known] = {}
        for append in appends:
            stream = append.stream
            if stream not in found:
                known = self._known.get(stream)
                if known is None:
                    known = Known() if append.expected == 0 else self.look(stream)
                found[stream] = known
        return found

    def look(self, stream: str) -> Known:
        """Bring what is known about a session up to date, and return it."""
        known = self._known.get(stream) or Known()
        head = self._reader.head(stream)
        if head.version > known.head.version:
            previous = known.head.hash
            for record, follows, _ in self._reader.read(
                stream, after=known.head.version, until=head.version
            ):
                if follows != previous:
                    break
                previous = record.hash
                known.ids[record.event_id] = record.version
                self._ids += 1
        else:
            previous = known.head.hash
        if previous != head.hash and head.version:
            raise CorruptLog(
                f"session {stream!r} has another history after version {known.head.version} than "
                "the one that was seen in it before: the server lost records, and others took "
                "their places; stop, look, restore it",
                stream=stream,
                version=known.head.version,
            )
        known.head = head
        self._keep(stream, known)
        return known

    def stored(self, changed: Mapping[str, Known], first: int) -> None:
        """Add what a batch has stored; its first message got the sequence ``first``."""
        for stream, change in changed.items():
            known = self._known.get(stream) or Known()
            position = Position(first + int(change.head.position))
            known.head = Head(change.head.version, change.head.hash, position, change.head.time)
            known.ids.update(change.ids)
            self._ids += len(change.ids)
            self._keep(stream, known)
            self._reader.learn(stream, known.head.version, int(position))

    def _keep(self, stream: str, known: Known) -> None:
        self._known[stream] = known
        self._known.move_to_end(stream)
        while self._ids > IDS_LIMIT and len(self._known) > 1:
            _, forgotten = self._known.popitem(last=False)
            self._ids -= len(forgotten.ids)
