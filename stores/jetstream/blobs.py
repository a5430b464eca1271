"""Blobs in JetStream: a stream that keeps the last message of each subject, with our own revisions.

A value that is too large for one message is split into several, ``{subject}.1``, ``{subject}.2`` …,
stored as one atomic batch with the first. Each part names its writing, so a reader who finds parts of
two writings discards them and reads again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from eventlog.errors import CorruptLog, StoreUnavailable, TooLarge, VersionConflict
from eventlog.store import ANY, Blob
from eventlog.stores.jetstream.api import BATCH_LIMIT, last_message
from eventlog.stores.jetstream.messages import EXPECTED, Message, to_token

if TYPE_CHECKING:
    from eventlog.store import Expected
    from eventlog.stores.jetstream.link import Caller

__all__ = ["Blobs"]

Store = Callable[[Sequence[Message]], int | None]

BLOB: Final = "Eventlog-Blob"
"""``1 revision writing parts``: the number of this format, the revision, a unique name of the
writing, and its number of messages."""

PART_BYTES: Final = 4 << 20
"""Maximum bytes of a value in one message; fewer if the server takes less."""

LOOKS: Final = 100
"""How often reading or writing a value is repeated because others are writing it."""


class Blobs:
    """The blob area of one log."""

    def __init__(self, call: Caller, stream: str, part: int) -> None:
        self._call = call
        self._stream = stream
        self._part = min(PART_BYTES, part)

    def put(self, key: str, data: bytes, expected: Expected, store: Store) -> int:
        """Store a value if its revision is the expected one; return the new one.

        ``store`` stores messages; it returns None if it did not, or if the outcome is unknown.
        """
        writing = uuid4().hex
        subject = self._subject(key)
        for _ in range(LOOKS):
            known = self._first(subject)
            revision, current, _ = _about(known)
            if current == writing:  # Stored by an earlier attempt whose answer was lost.
                return revision
            if expected not in (ANY, revision):
                raise VersionConflict(key, int(expected), revision)
            messages = self._messages(subject, data, f"1 {revision + 1} {writing}")
            if len(messages) > BATCH_LIMIT:
                raise TooLarge(
                    key,
                    "the number of bytes of a value",
                    len(data),
                    BATCH_LIMIT * self._part,
                    "store less, or raise max_payload in the server's configuration",
                )
            expect = {EXPECTED: str(known.sequence if known else 0)}
            messages[0] = messages[0]._replace(headers={**messages[0].headers, **expect})
            if store(messages) is not None:
                return revision + 1
        raise StoreUnavailable(
            f"{self._stream}: the value {key!r} changed {LOOKS} times while it was being stored; "
            "nothing was stored, try again"
        )

    def get(self, key: str) -> Blob | None:
        """Return a value from the leader."""
        subject = self._subject(key)
        for _ in range(LOOKS):
            first = self._first(subject)
            if first is None:
                return None
            revision, writing, parts = _about(first)
            found = [first, *(self._first(f"{subject}.{part}") for part in range(1, parts))]
            whole = [part.payload for part in found if part and _about(part)[1] == writing]
            if len(whole) == parts:
                return Blob(b"".join(whole), revision)
        raise CorruptLog(
            f"{self._stream}: a part of the value {key!r} is missing; the server lost it, restore "
            "it from a backup"
        )

    def _messages(self, subject: str, data: bytes, about: str) -> list[Message]:
        pieces = [data[at : at + self._part] for at in range(0, len(data), self._part)] or [b""]
        return [
            Message(
                0,
                f"{subject}.{number}" if number else subject,
                {BLOB: f"{about} {len(pieces)}"},
                piece,
            )
            for number, piece in enumerate(pieces)
        ]

    def _first(self, subject: str) -> Message | None:
        return self._call(lambda client: last_message(client, self._stream, subject))

    def _subject(self, key: str) -> str:
        return f"{self._stream}.{to_token(key)}"


def _about(message: Message | None) -> tuple[int, str, int]:
    """Return the revision, the writing and the number of parts from a message's header."""
    if message is None:
        return 0, "", 1
    try:
        _, revision, writing, parts = message.headers[BLOB].split(" ")
        return int(revision), writing, int(parts)
    except (KeyError, ValueError) as error:
        raise CorruptLog(
            f"message {message.sequence} of subject {message.subject} is not one that an eventlog "
            f"wrote ({error}); another program publishes there, or the message is damaged"
        ) from error
