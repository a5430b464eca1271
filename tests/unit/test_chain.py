"""The hash chain of a stream (A1)."""

from __future__ import annotations

from hashlib import sha256
from struct import error, pack
from typing import Any

import pytest

from eventlog.chain import GENESIS, PageHasher, chain_hash
from eventlog.identifiers import EventId
from eventlog.records import START, Record

FIELDS = {
    "previous": GENESIS,
    "stream": "chat-42",
    "version": 1,
    "event_id": bytes(range(16)),
    "type": "message_appended",
    "schema": 1,
    "time": 1_767_225_600_000_000,
    "data": b'{"text":"\xc3\xa9"}',
    "metadata": b'{"actor":"ada"}',
}


def hash_of(**changes: object) -> bytes:
    return chain_hash(*{**FIELDS, **changes}.values())  # type: ignore[arg-type]


def test_the_hash_of_a_record_stays_the_same_for_ever() -> None:
    """Logs and seals hold these hashes: the formula is a stored format."""
    assert hash_of().hex() == ("33cd98cc774658db150412cdc0237fa707efd2d2df438d4a38dae90a333c9f33")
    assert hash_of(metadata=b"{}").hex() == (
        "def7e4339e8d09150343b05e8671c9968bb518c3960bbf7dc9be076f497d999c"
    )


def test_the_hash_is_the_documented_formula() -> None:
    header = pack(">QQI", 1, 1_767_225_600_000_000, 1) + bytes(range(16))
    for metadata in (b'{"actor":"ada"}', b"{}", b""):
        expected = sha256(
            GENESIS
            + sha256(b'{"text":"\xc3\xa9"}').digest()
            + sha256(metadata).digest()
            + header
            + b"chat-42\nmessage_appended"
        )
        assert hash_of(metadata=metadata) == expected.digest()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous", bytes(31) + b"\x01"),
        ("stream", "chat-43"),
        ("version", 2),
        ("event_id", bytes(16)),
        ("type", "message_appendee"),
        ("schema", 2),
        ("time", 1_767_225_600_000_001),
        ("data", b'{"text":"e"}'),
        ("metadata", b"{}"),
    ],
)
def test_every_field_matters(field: str, value: object) -> None:
    assert hash_of(**{field: value}) != hash_of()


def test_no_two_pairs_of_stream_and_type_run_into_one() -> None:
    assert hash_of(stream="a", type="b") != hash_of(stream="ab", type="")
    assert hash_of(data=b"ab", metadata=b"") != hash_of(data=b"a", metadata=b"b")


def test_the_hashes_of_a_page_are_those_of_its_records() -> None:
    """Each follows the stored hash of the one before it, so one that is wrong is the only one."""
    records = [_record(version) for version in range(1, 2_000)]
    hasher, previous, found = PageHasher("chat-42"), GENESIS, list[bytes]()
    for start in range(0, len(records), 300):
        page = records[start : start + 300]
        found += hasher.hashes(previous, page)
        previous = page[-1].hash
    befores = [GENESIS, *(record.hash for record in records)]
    assert found == [
        chain_hash(before, stream, version, event_id, type_, schema, time, data, metadata)
        for before, (stream, version, _, event_id, type_, schema, time, data, metadata, _) in zip(
            befores, records, strict=False
        )
    ]


@pytest.mark.parametrize(
    "odd", [{"stream": "other"}, {"event_id": bytes(15)}, {"time": -1}, {"type": "\ud800"}]
)
def test_a_page_with_a_record_that_has_no_hash_of_the_stream_is_refused(
    odd: dict[str, Any],
) -> None:
    """An event id that was cut is not filled up with zero bytes."""
    records = [_record(version) for version in range(1, 9)]
    records[5] = records[5]._replace(**odd)
    with pytest.raises((ValueError, error)):
        PageHasher("chat-42").hashes(GENESIS, records)


def _record(version: int) -> Record:
    return Record(
        "chat-42",
        version,
        START,
        EventId(bytes([version % 250]) * 16),
        ("message_appended", "acme.noted")[version % 2],
        1 + version % 3,
        version * 10**12,
        b'{"text":"%d"}' % version,
        (b"{}", b'{"batch":%d}' % version, b'{"actor":"a long name of somebody"}')[version % 3],
        sha256(b"%d" % version).digest(),
    )
