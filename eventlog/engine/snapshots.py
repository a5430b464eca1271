"""Snapshots: disposable caches of folds, ignored and replaced if anything about them is wrong.

A snapshot is a blob ``snapshot/{stream}/{projection}`` of one header line and the dumped state:

    {"fingerprint", "version", "hash", "digest"} LF state

It is used only if the fingerprint is that of the current fold, the SHA-256 of the state is
``digest``, and the stream's record at ``version`` has ``hash``. So a snapshot is not trusted if it
is damaged, was made by other code, or belongs to a history that was rolled back or replaced (L12).

Of each session some snapshots stay when newer ones are written, for looking back: the first one of
every `KEPT_EVERY` versions, as ``snapshot/{stream}/session/{versions // KEPT_EVERY}``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from eventlog.chain import GENESIS
from eventlog.errors import CorruptLog
from eventlog.identifiers import key_part
from eventlog.projection import Projection
from eventlog.session.state import SessionState
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.records import Record
    from eventlog.store import Store

__all__ = [
    "KEPT_EVERY",
    "LEAVING_INTERVAL",
    "SNAPSHOT_INTERVAL",
    "Replayed",
    "SnapshotSchedule",
    "keep_snapshot",
    "project_stream",
    "read_snapshot",
    "replay_stream",
    "replay_weight",
    "write_snapshot",
]

State = TypeVar("State")
View = TypeVar("View")

SNAPSHOT_INTERVAL: Final = 256
"""Weight of the records between snapshots: it keeps the replay at opening to about a millisecond."""

LEAVING_INTERVAL: Final = 16
"""The same when a log is closed: no caller waits then, and the next opening is faster."""

_BYTES_PER_INTERVAL: Final = 65_536
"""Bytes of a snapshot per interval. A larger snapshot gets a longer interval, so that a large state
is not rewritten faster than the log itself grows."""


KEPT_EVERY: Final = 8_192
"""Versions for each snapshot that is kept for looking back: what a look at any version folds at most,
or twice that where a process was killed before it wrote one. They are a hundredth of the log."""

_KEPT_BYTES: Final = 1 << 19
"""The largest state that is kept: one with thousands of open tasks would fill the disk with copies."""


class Replayed(NamedTuple):
    """A state up to date with its stream, and how much was replayed for it."""

    state: Any
    version: int
    hash: bytes
    since_snapshot: int
    """Weight of the records that were folded because the snapshot does not have them."""
    snapshot_size: int = 0
    """Bytes of the state in the snapshot that was used."""
    snapshot_version: int = 0
    """The version of that snapshot."""


def snapshot_key(stream: str, projection: Projection[Any, Any], kept: int | None = None) -> str:
    key = f"snapshot/{key_part(stream)}/{projection.name}"
    return key if kept is None else f"{key}/{kept}"


def replay_weight(record: Record) -> int:
    """Return the cost of folding a record, in small records: one, and one for each KiB of data."""
    return 1 + (len(record.data) >> 10)


class SnapshotSchedule:
    """When the next snapshot of a state pays, by the weight of the records since the last one."""

    __slots__ = ("_size", "since", "version")

    def __init__(self, since: int = 0, size: int = 0) -> None:
        self.since = since
        """The weight of the records that are not in the last snapshot."""
        self.version = 0
        """The version of the last snapshot, 0 if there is none."""
        self._size = size

    def restart(self, replayed: Replayed) -> None:
        """Start over from a replay."""
        self.since, self._size = replayed.since_snapshot, replayed.snapshot_size
        self.version = replayed.snapshot_version

    def written(self, size: int, version: int) -> None:
        """Note the size and the version of a snapshot that was just written."""
        self._size, self.version = size, version

    def is_due(self, interval: int = SNAPSHOT_INTERVAL) -> bool:
        """Return whether the records since the last snapshot pay for writing one of its size."""
        return self.since >= max(interval, interval * self._size // _BYTES_PER_INTERVAL)


def project_stream(store: Store, stream: str, projection: Projection[Any, View]) -> View:
    """Return a projection's view of a stream, and keep its snapshot up to date (L12)."""
    replayed = replay_stream(store, stream, projection)
    if SnapshotSchedule(replayed.since_snapshot, replayed.snapshot_size).is_due():
        write_snapshot(store, stream, projection, replayed.state, replayed.version, replayed.hash)
    return projection.view(replayed.state)


def replay_stream(store: Store, stream: str, projection: Projection[State, Any]) -> Replayed:
    """Fold a stream, starting from its snapshot if there is a good one."""
    found = read_snapshot(store, stream, projection).replayed
    if found is not None:
        records = store.read(stream, after=found.version - 1)
        anchor = next(records, None)
        if anchor is not None and anchor.hash == found.hash:
            return _fold_rest(records, projection, found)
        log_fact(logging.WARNING, "snapshot_ignored", stream=stream, reason="another history")
    return _fold_rest(store.read(stream), projection, Replayed(projection.initial(), 0, GENESIS, 0))


def write_snapshot(
    store: Store,
    stream: str,
    projection: Projection[State, Any],
    state: State,
    version: int,
    hash: bytes,
    *,
    kept: int | None = None,
) -> int:
    """Store the snapshot of a state; return its size. A failure is logged, never raised.

    It takes the place of the one before, or is the ``kept`` one of some versions.
    """
    try:
        data = projection.dump(state)
        if data is None or (kept is not None and len(data) > _KEPT_BYTES):
            return 0
        header = {
            "fingerprint": projection.fingerprint(),
            "version": version,
            "hash": hash.hex(),
            "digest": hashlib.sha256(data).hexdigest(),
        }
        blob = json.dumps(header).encode() + b"\n" + data
        store.put_blob(snapshot_key(stream, projection, kept), blob)
    except Exception as error:  # noqa: BLE001 - a cache that cannot be written must not stop work
        log_fact(logging.WARNING, "snapshot_failed", stream=stream, error=str(error))
        return 0
    return len(data)


class StoredSnapshot(NamedTuple):
    """What is stored as a snapshot: whether there is one, and the state if it is of any use."""

    is_there: bool
    replayed: Replayed | None


def keep_snapshot(
    store: Store, projection: Projection[SessionState, Any], state: SessionState, last: int
) -> None:
    """Keep the snapshot of a session's state for looking back, if none was taken of the `KEPT_EVERY`
    versions around it: the one before it is of version ``last``."""
    place = state.version // KEPT_EVERY
    if place > last // KEPT_EVERY:
        stream, version, hash_ = state.session_id, state.version, state.hash
        write_snapshot(store, stream, projection, state, version, hash_, kept=place)


def read_snapshot(
    store: Store, stream: str, projection: Projection[Any, Any], kept: int | None = None
) -> StoredSnapshot:
    """Read a snapshot; of no use is one that is damaged, or that other code has written.

    Whether it is of the history that the stream has now is left to the caller: the record at its
    version must have its hash.
    """
    try:
        blob = store.get_blob(snapshot_key(stream, projection, kept))
    except CorruptLog as error:
        log_fact(logging.WARNING, "snapshot_ignored", stream=stream, reason=str(error))
        return StoredSnapshot(True, None)
    if blob is None:
        return StoredSnapshot(False, None)
    try:
        return StoredSnapshot(True, _decoded(blob.data, stream, projection))
    except Exception as error:  # noqa: BLE001 - a damaged cache may raise anything, and is only a cache
        log_fact(logging.WARNING, "snapshot_ignored", stream=stream, reason=str(error))
        return StoredSnapshot(True, None)


def _decoded(blob: bytes, stream: str, projection: Projection[Any, Any]) -> Replayed | None:
    """Return the state in a snapshot; None if other code wrote it. If damaged, it may raise anything."""
    line, _, data = blob.partition(b"\n")
    header = json.loads(line)
    if header["fingerprint"] != projection.fingerprint():
        return None
    if header["digest"] != hashlib.sha256(data).hexdigest():
        raise ValueError("the digest does not match")
    version = header["version"]
    if type(version) is not int or not 1 <= version < 1 << 62:
        raise ValueError(f"its version is {version!r:.40}")
    state = projection.load(data)
    if isinstance(state, SessionState) and (state.session_id, state.version) != (stream, version):
        raise ValueError("it is of another session, or of another version")
    return Replayed(state, version, bytes.fromhex(header["hash"]), 0, len(data), version)


def _fold_rest(
    records: Iterator[Record], projection: Projection[Any, Any], start: Replayed
) -> Replayed:
    weight, version, hash_ = 0, start.version, start.hash

    def counted() -> Iterator[Record]:
        nonlocal weight, version, hash_
        for record in records:
            weight += replay_weight(record)
            version, hash_ = record.version, record.hash
            yield record

    state = projection.fold(start.state, counted())
    return Replayed(state, version, hash_, weight, start.snapshot_size, start.snapshot_version)
