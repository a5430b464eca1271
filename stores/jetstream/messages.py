"""The content of a JetStream message: a record, in the subject of its session.

====================== ========================================================================
subject                ``{stream}.s.{session}``, see `to_token`
``Eventlog-Version``   the record's version, counted by us: JetStream's sequence is its position
``Eventlog-Record``    ``1 id hash previous time schema entries metadata type``: the number of this
                       format, ids and hashes in hexadecimal digits, ``previous`` being the hash of
                       the record before it, and the bytes that entries and metadata take
payload                index entries, metadata and data, one after the other
====================== ========================================================================

The index entries of an append (L14) are in the message of its last record. Entries without an append
have a message in the subject ``{stream}.i``.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventlog.errors import CorruptLog, InvalidArgument
from eventlog.store import EventId, Position, Record, sound_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventlog.store import IndexEntry

__all__ = [
    "EXPECTED",
    "Message",
    "Stored",
    "Subjects",
    "decode",
    "decode_entries",
    "encode",
    "encode_entries",
    "from_direct",
    "from_leader",
    "to_token",
]

FORMAT: Final = "1"
VERSION: Final = "Eventlog-Version"
RECORD: Final = "Eventlog-Record"
EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"

_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPED: Final = re.compile(rb"=([0-9A-F]{2})")


class Message(NamedTuple):
    """A message in the stream; ``sequence`` is 0 if it is not stored yet."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    payload: bytes


class Stored(NamedTuple):
    """A record, the hash that it follows, and the index entries that came with it."""

    record: Record
    previous: bytes
    entries: bytes


class Subjects(NamedTuple):
    """The subjects of a log, by the name of its stream."""

    name: str

    @property
    def entries(self) -> str:
        """The subject of index entries without an append."""
        return f"{self.name}.i"

    @property
    def notifications(self) -> str:
        """The subject of notifications about appends; it is in no stream."""
        return f"{self.name}.news"

    def session(self, session: str) -> str:
        """Return the subject of a session's records."""
        return f"{self.name}.s.{to_token(session)}"

    def session_of(self, subject: str) -> str | None:
        """Return the session of a subject, or None for the subject of index entries."""
        prefix = f"{self.name}.s."
        if not subject.startswith(prefix):
            return None
        try:
            return from_token(subject.removeprefix(prefix))
        except UnicodeDecodeError as error:
            raise CorruptLog(
                f"subject {subject!r} is not of an eventlog: another program publishes there; let it "
                "publish elsewhere, and purge the subject"
            ) from error


def to_token(name: str) -> str:
    """Encode any text as a token of a subject.

    Letters, digits, ``-`` and ``_`` are unchanged; all other bytes of its UTF-8 become ``=XX``. So
    different names have different tokens.
    """
    try:
        raw = name.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{name!r} has a lone surrogate, which no UTF-8 text can hold; mend it"
        ) from error
    return _UNSAFE.sub(lambda found: b"=%02X" % ord(found[0]), raw).decode() or "="


def from_token(token: str) -> str:
    """Return the name that `to_token` encoded."""
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), token.encode()).decode()


def encode(subject: str, record: Record, previous: bytes, entries: bytes) -> Message:
    """Return the message of a record."""
    _, version, _, event_id, type_, schema, time, data, metadata, hash_ = record
    about = (
        f"{FORMAT} {event_id.hex()} {hash_.hex()} {previous.hex()} {time} {schema} "
        f"{len(entries)} {len(metadata)} {type_}"
    )
    headers = {VERSION: str(version), RECORD: about}
    return Message(0, subject, headers, b"".join((entries, metadata, data)))


def decode(message: Message, session: str) -> Stored:
    """Return the record in a message; raise `CorruptLog` if it holds none of ours."""
    headers, payload = message.headers, message.payload
    try:
        version = int(headers[VERSION])
        format_, id_, hash_, previous, time, schema, entries, metadata, type_ = headers[
            RECORD
        ].split(" ", 8)
        if format_ != FORMAT:
            raise ValueError(f"its format is {format_}, and this eventlog knows {FORMAT}")
        data = int(entries)
        rest = data + int(metadata)
        record = Record(
            stream=session,
            version=version,
            position=Position(message.sequence),
            event_id=EventId(bytes.fromhex(id_)),
            type=type_,
            schema=int(schema),
            time=int(time),
            data=payload[rest:],
            metadata=payload[data:rest],
            hash=bytes.fromhex(hash_),
        )
        (record,) = sound_records([record])
        return Stored(record, bytes.fromhex(previous), payload[:data])
    except (KeyError, ValueError) as error:
        raise CorruptLog(
            f"message {message.sequence} of subject {message.subject} is not one that an eventlog "
            f"wrote ({error}); another program publishes there, or the message is damaged",
            stream=session,
        ) from error


def encode_entries(entries: Sequence[IndexEntry]) -> bytes:
    """Encode index entries; no bytes if there are none."""
    if not entries:
        return b""
    written = [[key, None if value is None else value.decode()] for key, value in entries]
    return json.dumps(written, separators=(",", ":")).encode()


def decode_entries(data: bytes, sequence: int) -> list[IndexEntry]:
    """Return the index entries that `encode_entries` wrote into a message; raise `CorruptLog` if
    they are none."""
    if not data:
        return []
    try:
        return [
            (_text(key), None if value is None else value.encode()) for key, value in _list(data)
        ]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptLog(
            f"the index entries in message {sequence} are damaged ({error}); run `eventlog verify`, "
            "then `eventlog doctor --rebuild-index`"
        ) from error


def _list(data: bytes) -> list[Any]:
    entries: list[Any] | None = json.loads(data)
    if not isinstance(entries, list):
        raise TypeError("not a list")
    return entries


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key is {key!r:.40}")
    return key


def from_leader(answer: Mapping[str, Any]) -> Message:
    """Return the message in the leader's answer to a request for one."""
    found = answer["message"]
    lines = b64decode(found.get("hdrs", "")).split(b"\r\n")[1:]
    pairs = (line.decode("utf-8", "replace").partition(":") for line in lines if line)
    headers = {name: value.strip() for name, _, value in pairs}
    return Message(
        int(found["seq"]), str(found["subject"]), headers, b64decode(found.get("data", ""))
    )


def from_direct(headers: Mapping[str, str], payload: bytes) -> Message:
    """Return the message in any replica's answer to a request for several."""
    return Message(int(headers["Nats-Sequence"]), headers["Nats-Subject"], headers, payload)
