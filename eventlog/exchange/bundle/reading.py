"""A bundle's file, checked before anything is made of it.

Whoever made the file may have made it to do harm: names, numbers and sizes are believed after they
were checked, nothing is unpacked to disk, and no more is held than `Limits` allow. Whatever is wrong
is a `CorruptLog` that says where.
"""

from __future__ import annotations

import base64
import json
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from eventlog.errors import CorruptLog, EventLogError, InvalidArgument, StoreUnavailable
from eventlog.exchange.bundle.format import (
    ENTRY,
    FORMAT,
    MANIFEST,
    NUMBER,
    RATIO_FROM,
    Limits,
    records_path,
    session_folder,
    value_path,
)
from eventlog.filesystem import LocalFiles
from eventlog.identifiers import check_session_id, parse_id
from eventlog.row_checks import sound_records
from eventlog.session.values import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from eventlog.records import Record

__all__ = [
    "Bundle",
    "BundledSession",
    "is_bundle",
    "read_bundle",
    "read_bundle_bytes",
    "read_store",
]

_DIGEST_BYTES = 32


class BundledSession(NamedTuple):
    """A session in a bundle."""

    session_id: str
    records: list[Record]
    values: dict[str, bytes]
    digests: dict[int, tuple[bytes, bytes]]
    """Of redacted records, by version: the digests of the data and metadata that were there."""


class Bundle(NamedTuple):
    """What is in a bundle."""

    redaction: str | None
    sessions: dict[str, BundledSession]


def is_bundle(data: bytes) -> bool:
    """Return whether a file that begins like this may be a bundle: a zip file is."""
    return data.startswith(b"PK\x03\x04")


def read_bundle(path: str | PathLike[str], limits: Limits | None = None) -> Bundle:
    """Read a bundle from a file that is no link, device or pipe.

    Raises `CorruptLog` for what is not a bundle or is damaged; `InvalidArgument` for one beyond the
    limits; `OSError`.
    """
    limits = limits or Limits()
    import os

    return read_bundle_bytes(LocalFiles().read(os.fspath(path), limits.file), str(path), limits)


def read_store(path: str, limits: Limits | None = None) -> Bundle:
    """Read a bundle as a store is opened: a file that cannot be read is `StoreUnavailable`."""
    try:
        return read_bundle(path, limits)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreUnavailable(f"{path}: {reason}; check the path and its permissions") from error


def read_bundle_bytes(
    data: bytes, path: str = "the bundle", limits: Limits | None = None
) -> Bundle:
    """Read a bundle from its bytes; raises as `read_bundle` does."""
    try:
        return _Reading(data, path, limits or Limits()).run()
    except EventLogError:
        raise
    except Exception as error:  # whatever a damaged zip file makes of its reader
        raise CorruptLog(
            f"{path} is not a bundle, or is damaged ({type(error).__name__}: {error}); get it again"
        ) from error


class _Reading:
    """One file on its way."""

    def __init__(self, data: bytes, path: str, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._archive = zipfile.ZipFile(BytesIO(data))
        self._entries: dict[str, zipfile.ZipInfo] = {}
        self._packed = len(data)

    def run(self) -> Bundle:
        self._check_entries()
        read: Any = self._json(MANIFEST)
        manifest = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
        if manifest.get("format") != FORMAT:
            raise self._wrong(MANIFEST, "it does not say that this is a bundle")
        if manifest.get("number") != NUMBER:
            raise InvalidArgument(
                f"{self._path} is a bundle of format {manifest.get('number')!r:.40}, this eventlog "
                f"reads format {NUMBER}; upgrade it"
            )
        redaction = manifest.get("redaction")
        listed: Any = manifest.get("sessions")
        if redaction not in (None, "secrets", "texts") or not isinstance(listed, list):
            raise self._wrong(MANIFEST, "it lists no sessions")
        sessions: dict[str, BundledSession] = {}
        for number, entry in enumerate(cast("Iterable[Any]", listed), 1):
            found = self._session(number, entry)
            if found.session_id in sessions:
                raise self._wrong(MANIFEST, f"it lists {found.session_id!r:.80} twice")
            sessions[found.session_id] = found
        return Bundle(redaction, sessions)

    # ---- the zip file -------------------------------------------------------------------------

    def _check_entries(self) -> None:
        """Refuse what no bundle has, by what the directory of the file says, before reading it."""
        limits, total = self._limits, 0
        infos = self._archive.infolist()
        if len(infos) > limits.entries:
            raise self._beyond(f"{len(infos):,} entries, allowed are {limits.entries:,}")
        for info in infos:
            name = info.filename
            if not ENTRY.fullmatch(name):
                raise self._wrong(name, "no bundle has such an entry")
            if name in self._entries:
                raise self._wrong(name, "it is there twice")
            if info.flag_bits & 0x1 or info.compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):
                raise self._wrong(name, "it is encrypted, or packed in another way")
            if info.compress_size > self._packed or info.file_size < 0:
                raise self._wrong(name, "it says that it is larger than the file")
            if info.file_size > max(RATIO_FROM, limits.ratio * info.compress_size):
                raise self._beyond(f"{name} unpacks to more than {limits.ratio} times its size")
            total += info.file_size
            self._entries[name] = info
        if total > limits.content:
            raise self._beyond(f"{total:,} bytes when unpacked, allowed are {limits.content:,}")

    def _read(self, name: str) -> bytes:
        info = self._entries.pop(name, None)
        if info is None:
            raise self._wrong(name, "it is missing")
        with self._archive.open(info) as file:
            data = file.read(info.file_size + 1)
        if len(data) != info.file_size:
            raise self._wrong(name, "it is not as long as it says")
        return data

    def _json(self, name: str) -> Any:
        try:
            return json.loads(self._read(name))
        except (ValueError, RecursionError) as error:
            raise self._wrong(name, f"it is not JSON ({error})") from error

    # ---- what is in it ------------------------------------------------------------------------

    def _session(self, number: int, entry: Any) -> BundledSession:
        if number > self._limits.sessions or not isinstance(entry, dict):
            raise self._wrong(MANIFEST, f"session {number} of its list is none")
        fields = cast("dict[str, Any]", entry)
        folder, session_id = session_folder(number), fields.get("session_id")
        if not isinstance(session_id, str) or fields.get("folder") != folder:
            raise self._wrong(MANIFEST, f"session {number} of its list is none")
        try:
            check_session_id(session_id)
        except EventLogError as error:
            raise self._wrong(MANIFEST, str(error)) from error
        records, digests = self._records(records_path(folder), session_id)
        end = (fields.get("version"), fields.get("hash"))
        if not records or (records[-1].version, records[-1].hash.hex()) != end:
            raise self._wrong(records_path(folder), "it does not end as the manifest says")
        return BundledSession(session_id, records, self._values(folder), digests)

    def _records(
        self, name: str, session: str
    ) -> tuple[list[Record], dict[int, tuple[bytes, bytes]]]:
        lines = self._read(name).decode(errors="surrogatepass").split("\n")
        if lines.pop():
            raise self._wrong(name, "its last line is cut off")
        digests: dict[int, tuple[bytes, bytes]] = {}
        records: list[Record] = []
        position = 0
        for number, line in enumerate(lines, 1):
            try:
                record, gone = _record(json.loads(line), session)
            except (
                ValueError,
                TypeError,
                KeyError,
                RecursionError,
                AttributeError,
                CorruptLog,
            ) as error:
                problem = f"{type(error).__name__}: {error}"
                raise self._wrong(
                    name, f"line {number} is not a record ({problem:.200})"
                ) from error
            if record.version != number or record.position <= position:
                raise self._wrong(name, f"line {number} is out of order")
            position = record.position
            records.append(record)
            if gone is not None:
                digests[number] = gone
        return records, digests

    def _values(self, folder: str) -> dict[str, bytes]:
        prefix = value_path(folder, "")
        values: dict[str, bytes] = {}
        for name in [name for name in self._entries if name.startswith(prefix)]:
            digest, data = name.removeprefix(prefix), self._read(name)
            if digest_of(data) != digest:
                raise self._wrong(name, "its SHA-256 is another")
            values[digest] = data
        return values

    def _wrong(self, name: str, problem: str) -> CorruptLog:
        return CorruptLog(f"{self._path}, {name!r:.120}: {problem}; get the bundle again")

    def _beyond(self, problem: str) -> InvalidArgument:
        return InvalidArgument(
            f"{self._path}: {problem}; raise the limit if the bundle is one that you trust"
        )


def _record(fields: dict[str, Any], session: str) -> tuple[Record, tuple[bytes, bytes] | None]:
    """Return the record of a line, and the digests of what was taken out of it."""
    row = (
        session,
        fields["version"],
        fields["position"],
        parse_id(fields["event_id"]),
        fields["type"],
        fields["schema"],
        fields["time"],
        _bytes(fields, "data"),
        _bytes(fields, "metadata"),
        bytes.fromhex(fields["hash"]),
    )
    (record,) = sound_records([row])
    _refuse_odd_names(record)
    gone = [fields.get("data_sha256"), fields.get("metadata_sha256")]
    if gone == [None, None]:
        return record, None
    data_digest, metadata_digest = (bytes.fromhex(cast("str", each)) for each in gone)
    if len(data_digest) != _DIGEST_BYTES or len(metadata_digest) != _DIGEST_BYTES:
        raise ValueError("a digest has another length")
    return record, (data_digest, metadata_digest)


def _refuse_odd_names(record: Record) -> None:
    if len(record.hash) != _DIGEST_BYTES or not 0 < record.position < 1 << 63:
        raise ValueError("its hash or its position is impossible")
    if not record.type or "\n" in record.type or not record.type.isprintable():
        raise ValueError(f"{record.type!r:.80} is not a type")
    record.type.encode()  # A lone surrogate could be stored nowhere.


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    encoded = fields.get(f"{name}_base64")
    if encoded is not None:
        return base64.b64decode(encoded, validate=True)
    return cast("str", fields[name]).encode()
