"""Large values: one per content and session, and never given back wrong (L11)."""

from __future__ import annotations

import hashlib

import pytest

from eventlog import CorruptLog, Log
from eventlog.engine.blobs import get_value, put_value

DATA = b"a large value" * 1_000
DIGEST = hashlib.sha256(DATA).hexdigest()
KEY = f"value/s/{DIGEST}"


def test_a_value_is_named_by_its_content_and_read_by_that_name(log: Log) -> None:
    assert put_value(log.store, "s", DATA) == DIGEST

    assert get_value(log.store, "s", DIGEST) == DATA


def test_the_same_content_is_stored_once(log: Log) -> None:
    for _ in range(3):
        put_value(log.store, "s", DATA)

    blob = log.store.get_blob(KEY)
    assert blob is not None
    assert blob.revision == 1


def test_a_value_belongs_to_one_session(log: Log) -> None:
    put_value(log.store, "s", DATA)

    with pytest.raises(CorruptLog, match=f"session 'other': the value {DIGEST} is missing"):
        get_value(log.store, "other", DIGEST)


def test_a_damaged_value_is_not_given_back(log: Log) -> None:
    put_value(log.store, "s", DATA)
    log.store.put_blob(KEY, DATA[:-1])

    with pytest.raises(CorruptLog, match=f"session 's': the value {DIGEST} is damaged"):
        get_value(log.store, "s", DIGEST)


def test_a_damaged_value_is_mended_by_storing_its_content_again(log: Log) -> None:
    put_value(log.store, "s", DATA)
    log.store.put_blob(KEY, b"")

    put_value(log.store, "s", DATA)

    assert get_value(log.store, "s", DIGEST) == DATA
