"""Sessions of a log as the bytes of a bundle: the same every time, wherever they are made."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Collection
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventlog.engine.blobs import get_value
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument, SessionNotFound
from eventlog.events import event_class
from eventlog.exchange.bundle.format import (
    FORMAT,
    MANIFEST,
    NUMBER,
    RATIO_FROM,
    SCHEMAS,
    Limits,
    Redaction,
    records_path,
    session_folder,
    value_path,
)
from eventlog.exchange.bundle.redacting import Redacted, redacted_record
from eventlog.identifiers import check_session_id, format_id
from eventlog.session.named_values import named_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventlog.records import Record
    from eventlog.store import Store

__all__ = ["BundleReport", "bundle_bytes"]

_BEGINNING: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: the first that a zip file can have."""


class BundleReport(NamedTuple):
    """What is in a bundle."""

    sessions: int
    records: int
    redacted: int
    """Records of which something was taken out."""
    values: int
    bytes: int


def bundle_bytes(
    store: Store, sessions: Sequence[str], redaction: Redaction | None = None
) -> tuple[bytes, BundleReport]:
    """Return a bundle of sessions, each up to its present end, and what is in it.

    Raises `SessionNotFound`, `CorruptLog` where a large value is missing or damaged, and
    `InvalidArgument` for anything that is not a list of sessions.
    """
    given: Any = sessions
    is_list = isinstance(given, Collection) and not isinstance(given, (str, bytes))
    if not is_list or not sessions:
        raise InvalidArgument("give a list of session ids, at least one")
    if redaction not in (None, "secrets", "texts"):
        raise InvalidArgument(f"redact is {shown(redaction)}; write secrets, texts or None")
    writing = _Writing(store, redaction)
    for session in sorted({check_session_id(session) for session in sessions}):
        writing.add(session)
    return writing.finish()


class _Writing:
    """A bundle under way."""

    def __init__(self, store: Store, redaction: Redaction | None) -> None:
        self._store = store
        self._redaction: Redaction | None = redaction
        self._sessions: list[dict[str, Any]] = []
        self._entries: dict[str, bytes] = {}
        self._types: set[tuple[str, int]] = set()
        self._records = self._redacted = self._values = 0

    def add(self, session: str) -> None:
        """Add a session up to its present end."""
        head = self._store.head(session)
        if not head.version:
            raise SessionNotFound(session)
        folder = session_folder(len(self._sessions) + 1)
        values = _Values(self._store, session, self._redaction)
        lines: list[str] = []
        redacted = 0
        for record in self._store.read(session, until=head.version):
            found = redacted_record(record, self._redaction, keeps_values=values.can_go_out(record))
            self._types.add((record.type, record.schema))
            lines.append(json.dumps(_fields(found), ensure_ascii=False, separators=(",", ":")))
            redacted += found.data_digest is not None
            for digest in named_values(found.record):
                self._entries[value_path(folder, digest)] = values.get(digest)
        self._entries[records_path(folder)] = ("\n".join(lines) + "\n").encode(
            errors="surrogatepass"
        )
        self._records += len(lines)
        self._redacted += redacted
        self._values += values.count
        self._sessions.append(
            {
                "session_id": session,
                "folder": folder,
                "version": head.version,
                "hash": head.hash.hex(),
                "redacted": redacted,
                "values": values.count,
            }
        )

    def finish(self) -> tuple[bytes, BundleReport]:
        """Return the file and what is in it."""
        manifest = {
            "format": FORMAT,
            "number": NUMBER,
            "redaction": self._redaction,
            "sessions": self._sessions,
        }
        self._entries[MANIFEST] = _document(manifest)
        self._entries[SCHEMAS] = _document(_schemas(self._types))
        data = zipped(self._entries)
        report = BundleReport(
            len(self._sessions), self._records, self._redacted, self._values, len(data)
        )
        return data, report


class _Values:
    """The large values of a session, as far as they go out."""

    def __init__(self, store: Store, session: str, redaction: Redaction | None) -> None:
        self._store, self._session, self._redaction = store, session, redaction
        self._known: dict[str, bytes] = {}
        self.count = 0

    def can_go_out(self, record: Record) -> bool:
        """Return whether the values that a record names hold nothing that is to be taken out."""
        if self._redaction == "texts":
            return False
        if self._redaction is None:
            return True
        from eventlog.redaction import redact

        texts = (self.get(digest).decode(errors="replace") for digest in named_values(record))
        return all(redact(text) == text for text in texts)

    def get(self, digest: str) -> bytes:
        if digest not in self._known:
            self._known[digest] = get_value(self._store, self._session, digest)
            self.count += 1
        return self._known[digest]


def _fields(found: Redacted) -> dict[str, Any]:
    """Return a record as its line has it."""
    record = found.record
    fields: dict[str, Any] = {
        "version": record.version,
        "position": record.position,
        "event_id": format_id(record.event_id),
        "type": record.type,
        "schema": record.schema,
        "time": record.time,
        "hash": record.hash.hex(),
    }
    for name, value, digest in (
        ("data", record.data, found.data_digest),
        ("metadata", record.metadata, found.metadata_digest),
    ):
        try:
            fields[name] = value.decode()
        except UnicodeDecodeError:
            fields[f"{name}_base64"] = base64.b64encode(value).decode()
        if digest is not None:
            fields[f"{name}_sha256"] = digest.hex()
    return fields


def _schemas(types: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """Return per event type its schema numbers, and what its data are where the class is here."""
    found: dict[str, Any] = {}
    for type_, schema in sorted(types):
        entry = found.setdefault(type_, {"schemas": []})
        entry["schemas"].append(schema)
        with suppress(Exception):  # The class may not be here, or have no JSON schema.
            entry["data"] = event_class(type_, schema).model_json_schema()
    return found


def _document(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def zipped(entries: dict[str, bytes]) -> bytes:
    """Return a zip file of entries: by name, without times, packed as far as `Limits` allow."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(entries, key=lambda name: (name != MANIFEST, name)):
            data = entries[name]
            info = zipfile.ZipInfo(name, _BEGINNING)
            info.create_system = 3
            info.external_attr = 0o600 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            if len(data) > RATIO_FROM and _packs_too_well(data):
                info.compress_type = zipfile.ZIP_STORED
            archive.writestr(info, data, compresslevel=6)
    return out.getvalue()


def _packs_too_well(data: bytes) -> bool:
    import zlib

    return len(zlib.compress(data, 6)) * (Limits().ratio // 2) < len(data)
