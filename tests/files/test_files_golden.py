"""Files that were written once stay readable for ever, and are written the same way today (L10).

A golden folder is never changed. ``files-1`` holds the records of ``records-1.jsonl`` in two
segments, of which the first is checked with CRC-32C and the second with CRC-32, and one blob.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventlog.identifiers import parse_id
from eventlog.records import START, Append, Record
from eventlog.store import Blob
from eventlog.stores.files import FilesStore, checksum
from eventlog.testing.conformance import must_append, unplaced

GOLDEN = Path(__file__).parents[1] / "golden"
ENTRIES = (("session/s", b'{"status":"open"}'), ("due/0/t", None))
SEGMENT_BYTES = 9_000


def golden_records() -> list[Record]:
    lines = (GOLDEN / "records-1.jsonl").read_text("utf-8").splitlines()
    return [_record(json.loads(line)) for line in lines]


def _record(fields: dict[str, Any]) -> Record:
    converted: dict[str, Any] = {
        **fields,
        "position": START,
        "event_id": parse_id(fields["event_id"]),
        "data": fields["data"].encode(),
        "metadata": fields["metadata"].encode(),
        "hash": bytes.fromhex(fields["hash"]),
    }
    return Record(**converted)


def write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write what is in the golden folder: half of it as a machine with the wheel does."""
    monkeypatch.setattr("os.urandom", lambda size: bytes(range(size)))
    store = FilesStore(folder, segment_bytes=SEGMENT_BYTES)
    for number, record in enumerate(golden_records()):
        entries = ENTRIES if number == 2 else ()
        if number == 20:
            checksum._crc32c.cache_clear()
            monkeypatch.setitem(sys.modules, "google_crc32c", None)
        must_append(store, Append(record.stream, record.version - 1, (record,), entries))
    store.put_blob("value/s/digest", bytes(range(256)))
    store.put_blob("value/s/digest", bytes(range(256))[::-1])
    store.close()


@pytest.fixture(autouse=True)
def _forget_checksums() -> Iterator[None]:
    yield
    checksum._crc32c.cache_clear()


def test_a_golden_log_is_read() -> None:
    store = FilesStore(GOLDEN / "files-1", mode="ro")

    assert unplaced(store.read_all()) == golden_records()
    assert list(store.scan("", "~")) == [("session/s", b'{"status":"open"}')]
    assert store.get_blob("value/s/digest") == Blob(bytes(range(256))[::-1], 2)
    assert store.check() == []
    assert (GOLDEN / "files-1/segments/0000000002.log").exists()
    store.close()


def test_what_is_written_today_is_what_was_written_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "log", monkeypatch)

    golden = GOLDEN / "files-1"
    stored = [path.relative_to(golden) for path in golden.rglob("*") if path.is_file()]
    assert len(stored) == 3
    for path in stored:
        assert (tmp_path / "log" / path).read_bytes() == (golden / path).read_bytes(), path
