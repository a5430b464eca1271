"""Shared by the topics of the conformance suite: the store under test, and records to store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from eventlog.identifiers import derived_id
from eventlog.store import START, Append, Appended, IndexEntry, Record, Store

__all__ = ["StoreContract", "draft", "make_record", "unplaced"]

EPOCH = 1_700_000_000_000_000
"""The time of records at version 0, in microseconds."""


class StoreContract:
    """The base of the suite's topics: opens the store under test."""

    def make_store(self, folder: Path) -> Store:
        """Open the store kept in ``folder``, which is empty at first.

        Opened again in the same folder it must find what was stored there, unless its durability
        is ``none``.
        """
        raise NotImplementedError("a conformance suite says how its store is opened")

    def stored_data(self, store: Store, folder: Path, stream: str) -> list[bytes] | None:
        """Read the data of a stream's records without the store; return None if that is impossible."""
        return None

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """A store that is empty, and closed afterwards."""
        opened = self.make_store(tmp_path)
        yield opened
        opened.close()


def make_record(
    stream: str,
    version: int,
    *,
    key: str = "record",
    data: bytes | None = None,
    type: str = "acme.noted",
) -> Record:
    """Make the record that ``key`` has at ``version``: the same arguments, the same record."""
    seed = f"{stream}/{key}/{version}"
    return Record(
        stream=stream,
        version=version,
        position=START,
        event_id=derived_id(stream, key, version),
        type=type,
        schema=1,
        time=EPOCH + version,
        data=b'{"seed":%d}' % len(seed) if data is None else data,
        metadata=b'{"actor":"conformance"}',
        hash=hashlib.sha256(seed.encode()).digest(),
    )


def draft(
    stream: str,
    count: int = 1,
    *,
    expected: int = 0,
    entries: tuple[IndexEntry, ...] = (),
    key: str = "record",
    data: bytes | None = None,
    type: str = "acme.noted",
) -> Append:
    """Make an append of ``count`` records that follow version ``expected``."""
    records = tuple(
        make_record(stream, version, key=key, data=data, type=type)
        for version in range(expected + 1, expected + count + 1)
    )
    return Append(stream, expected, records, entries)


def unplaced(records: Iterable[Record]) -> list[Record]:
    """Return records without their positions, which are the store's to give."""
    return [record._replace(position=START) for record in records]


def must_append(store: Store, *appends: Append) -> list[Appended]:
    """Append in one batch what every store must accept."""
    answers = store.append(appends)
    assert len(answers) == len(appends), f"{len(answers)} answers to {len(appends)} appends"
    accepted: list[Appended] = []
    for answer in answers:
        assert isinstance(answer, Appended), answer
        accepted.append(answer)
    return accepted
