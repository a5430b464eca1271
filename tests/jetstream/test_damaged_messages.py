"""What is no message of ours, or no longer, is a typed error wherever it is read (G9). No server."""

from __future__ import annotations

import random
from typing import Any

import pytest

from eventlog import EventLogError
from eventlog.errors import CorruptLog
from eventlog.stores.jetstream.messages import (
    RECORD,
    VERSION,
    Message,
    Subjects,
    decode,
    decode_entries,
    encode,
    encode_entries,
)
from eventlog.testing.conformance import draft

SUBJECTS = Subjects("log")


def sound() -> Message:
    (record,) = draft("s", 1).records
    entries = encode_entries([("k", b"v"), ("gone", None)])
    return encode(SUBJECTS.session("s"), record, bytes(32), entries)


FIELDS = ("format", "id", "hash", "previous", "time", "schema", "entries", "metadata", "type")


def with_field(message: Message, name: str, value: str) -> Message:
    if name == "version":
        return message._replace(headers={**message.headers, VERSION: value})
    fields = message.headers[RECORD].split(" ", 8)
    fields[FIELDS.index(name)] = value
    return message._replace(headers={**message.headers, RECORD: " ".join(fields)})


@pytest.mark.parametrize("name", ["version", "schema", "time"])
@pytest.mark.parametrize("value", ["-1", str(1 << 63), str(1 << 70), "", "x", "1.5", "9" * 5_000])
def test_a_number_that_no_record_has_is_damage(name: str, value: str) -> None:
    with pytest.raises(CorruptLog):
        decode(with_field(sound(), name, value), "s")


def test_no_damaged_message_raises_a_raw_error() -> None:
    draw = random.Random(13)
    refused = 0
    for _ in range(3_000):
        message = sound()
        text = message.headers[RECORD]
        place = draw.randrange(len(text))
        piece = draw.choice(("", " ", "-", "9", "\0", "é", "ff", "9" * 30))
        headers: dict[str, Any] = {
            **message.headers,
            RECORD: text[:place] + piece + text[place + draw.choice((0, 1, 5, 99)) :],
        }
        if draw.random() < 0.1:
            del headers[draw.choice((RECORD, VERSION))]
        payload = bytearray(message.payload)
        payload[draw.randrange(20)] = draw.randrange(256)
        try:
            found = decode(message._replace(headers=headers, payload=bytes(payload)), "s")
            decode_entries(found.entries, 1)
        except EventLogError as error:
            refused += bool(str(error))
    assert refused > 1_000


@pytest.mark.parametrize(
    "data",
    [b"{", b"null", b"{}", b"1", b'"ab"', b"[1]", b"[[]]", b'[["k"]]', b'[["k",1]]', b'[[1,"v"]]',
     b'[["k","v","w"]]', b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_index_entries_that_are_none_are_damage(data: bytes) -> None:
    with pytest.raises(CorruptLog, match="message 7 are damaged"):
        decode_entries(data, 7)


def test_a_subject_that_names_no_session_is_damage() -> None:
    with pytest.raises(CorruptLog, match="another program publishes"):
        SUBJECTS.session_of("log.s.=FF=FE")


def test_a_sound_message_is_read_as_it_was_written() -> None:
    (record,) = draft("s", 1).records
    found = decode(sound(), "s")

    assert found.record == record
    assert decode_entries(found.entries, 1) == [("k", b"v"), ("gone", None)]
