"""Random programs: a store and a plain model of it must give the same answers to all of them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from eventlog.errors import DuplicateEvent, EventLogError, VersionConflict
from eventlog.store import Append, Appended, IndexEntry, Record, Store
from eventlog.testing.conformance.base import StoreContract, make_record, unplaced

__all__ = ["ModelContract"]

STREAMS = ("a", "b")
KEYS = ("x", "y", "z")

Answer = tuple[str, tuple[int, ...], bool] | str
"""What an append was answered with, without positions and texts."""


@dataclass
class _Model:
    """The contract of appending, in the plainest form that a reader can check."""

    streams: dict[str, list[Record]] = field(default_factory=dict[str, list[Record]])
    log: list[Record] = field(default_factory=list[Record])
    entries: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def append(self, append: Append) -> Answer:
        stream = self.streams.setdefault(append.stream, [])
        stored = [record.event_id for record in stream]
        ids = [record.event_id for record in append.records]
        if set(ids) & set(stored):
            first = stored.index(ids[0]) if ids[0] in stored else 0
            if stored[first : first + len(ids)] != ids:
                return "DuplicateEvent"
            return "Appended", tuple(range(first + 1, first + len(ids) + 1)), True
        if len(stream) != append.expected:
            return "VersionConflict"
        stream += append.records
        self.log += append.records
        for key, value in append.entries:
            self.entries.pop(key, None)
            if value is not None:
                self.entries[key] = value
        return "Appended", tuple(record.version for record in append.records), False


def _answer(answer: Appended | EventLogError) -> Answer:
    if isinstance(answer, Appended):
        return "Appended", answer.versions, answer.replayed
    assert isinstance(answer, (VersionConflict, DuplicateEvent)), answer
    return type(answer).__name__


@st.composite
def _appends(draw: st.DrawFn) -> Append:
    """Draw an append that is new, repeated, overlapping or out of date about equally often."""
    stream = draw(st.sampled_from(STREAMS))
    expected = draw(st.integers(0, 5))
    count = draw(st.integers(1, 3))
    numbers = draw(st.lists(st.integers(1, 6), min_size=count, max_size=count, unique=True))
    records = tuple(
        make_record(stream, number)._replace(version=expected + place)
        for place, number in enumerate(numbers, 1)
    )
    changes = draw(
        st.dictionaries(st.sampled_from(KEYS), st.none() | st.just(b"%d" % expected), max_size=2)
    )
    entries: tuple[IndexEntry, ...] = tuple(changes.items())
    return Append(stream, expected, records, entries)


_programs = st.lists(st.lists(_appends(), max_size=4), max_size=8)


class ModelContract(StoreContract):
    """What any sequence of batches leaves in a store is what it leaves in the model."""

    programs = 60
    """How many programs are drawn; fewer for a store that takes long to be made."""

    def test_any_program_of_batches_gives_what_the_model_gives(self) -> None:
        @settings(max_examples=self.programs, deadline=None, derandomize=True, database=None)
        @given(program=_programs)
        def run(program: list[list[Append]]) -> None:
            with tempfile.TemporaryDirectory() as folder:
                store = self.make_store(Path(folder))
                try:
                    self._run(store, program)
                finally:
                    store.close()

        run()

    @staticmethod
    def _run(store: Store, program: list[list[Append]]) -> None:
        model = _Model()
        for batch in program:
            answers = [_answer(answer) for answer in store.append(batch)]
            assert answers == [model.append(append) for append in batch]
            assert unplaced(store.read_all()) == model.log
            assert list(store.scan("", "~")) == sorted(model.entries.items())
            for stream in STREAMS:
                records = model.streams.get(stream, [])
                assert unplaced(store.read(stream)) == records
                assert store.head(stream).version == len(records)
                ids = {record.event_id: record.version for record in records}
                assert store.find(stream, list(ids)) == ids
