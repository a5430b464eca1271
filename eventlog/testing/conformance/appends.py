"""The contract of appending: atomic, equal to the expected version, idempotent by event id."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventlog.errors import DuplicateEvent, VersionConflict
from eventlog.store import EMPTY_HEAD, START, Appended, Store
from eventlog.testing.conformance.base import (
    StoreContract,
    draft,
    make_record,
    must_append,
    unplaced,
)

__all__ = ["AppendContract"]

STREAM_NAMES = (
    "plain",
    "Plain",
    "with space ",
    'it\'s "quoted"; --',
    "100%_",
    "caf\u00e9",
    "cafe\u0301",
    "\u4f1a\u8bdd",
    "\U0001f600\U0001f680",
    "\uffff",
    "x" * 255,
)
"""Names that a store might confuse with each other, or treat as something other than a name."""


class AppendContract(StoreContract):
    """What `Store.append` promises (L2, L3)."""

    def test_an_append_answers_with_the_versions_and_ascending_positions(
        self, store: Store
    ) -> None:
        """Answer with `Appended`: the versions, and positions that rise over the whole log."""
        (answer,) = must_append(store, draft("s", 3))

        assert answer.versions == (1, 2, 3)
        assert answer.replayed is False
        assert START < answer.positions[0] < answer.positions[1] < answer.positions[2]

    def test_every_field_is_kept_as_it_was_given(self, store: Store) -> None:
        """Store every field of a record as it comes; give it a position, nothing else."""
        record = make_record("s", 1, data='{"text":"\u00e9\u4f1a\U0001f600\\u0000"}'.encode())
        record = record._replace(schema=7, time=2**52 + 1, metadata=b"{}", type="acme.other_name")
        append = draft("s")._replace(records=(record,))

        (answer,) = must_append(store, append)

        assert list(store.read("s")) == [record._replace(position=answer.positions[0])]

    def test_the_bytes_in_storage_are_those_that_were_given(
        self, store: Store, tmp_path: Path
    ) -> None:
        """What lies in storage is the data itself, so that others can read it."""
        must_append(store, draft("s", 2), draft("t", 1, data=b'{"other":"\xc3\xa9"}'))

        stored = self.stored_data(store, tmp_path, "s")

        expected = [record.data for record in store.read("s")]
        assert stored is None or stored == expected == [b'{"seed":10}', b'{"seed":10}']

    def test_appends_of_one_batch_answer_one_by_one_in_order(self, store: Store) -> None:
        """Return one answer per append, in the order of the batch."""
        answers = must_append(store, draft("a"), draft("b", 2), draft("c"))

        assert [answer.versions for answer in answers] == [(1,), (1, 2), (1,)]
        positions = [position for answer in answers for position in answer.positions]
        assert positions == sorted(set(positions))

    def test_an_append_sees_the_earlier_ones_of_its_batch(self, store: Store) -> None:
        """Check an append against the stream as the earlier ones of the batch leave it."""
        must_append(store, draft("s", 2), draft("s", 1, expected=2), draft("s", 2, expected=3))

        assert [record.version for record in store.read("s")] == [1, 2, 3, 4, 5]

    def test_an_empty_batch_changes_nothing(self, store: Store) -> None:
        """Return an empty list."""
        assert store.append([]) == []
        assert store.tip() == START

    @pytest.mark.parametrize("expected", [0, 1, 2, 4, 99])
    def test_any_other_version_than_the_expected_one_is_a_conflict(
        self, store: Store, expected: int
    ) -> None:
        """Too low and too high alike: versions are compared for equality."""
        must_append(store, draft("s", 3))

        (answer,) = store.append([draft("s", 1, expected=expected, key="rival")])

        assert isinstance(answer, VersionConflict)
        assert (answer.stream, answer.expected, answer.actual) == ("s", expected, 3)
        assert store.head("s").version == 3
        assert len(list(store.read("s"))) == 3

    def test_a_new_stream_takes_no_append_that_expects_records(self, store: Store) -> None:
        """A stream without records is at version 0: refuse an append that expects more."""
        (answer,) = store.append([draft("s", 1, expected=1)])

        assert isinstance(answer, VersionConflict)
        assert (answer.expected, answer.actual) == (1, 0)
        assert store.head("s") == EMPTY_HEAD
        assert list(store.read_all()) == []

    def test_a_refused_append_harms_no_other_of_its_batch(self, store: Store) -> None:
        """Return the refusal as that append's answer, do not raise it; store the others."""
        must_append(store, draft("b", 2))

        first, conflict, duplicate, last = store.append(
            [
                draft("a", 2),
                draft("b", 3, key="rival"),
                draft("b", 2, expected=1),
                draft("b", 1, expected=2),
            ]
        )

        assert isinstance(first, Appended)
        assert isinstance(conflict, VersionConflict)
        assert isinstance(duplicate, DuplicateEvent)
        assert isinstance(last, Appended)
        assert last.versions == (3,)
        assert [record.version for record in store.read("a")] == [1, 2]
        assert unplaced(store.read("b")) == list(draft("b", 3).records)

    def test_what_follows_a_refused_append_in_its_batch_meets_the_stream_as_it_is(
        self, store: Store
    ) -> None:
        """Leave no trace of a refused append, also for the rest of its batch."""
        first, second = store.append([draft("s", 2, expected=5), draft("s", 1, expected=7)])

        assert isinstance(first, VersionConflict)
        assert isinstance(second, VersionConflict)
        assert second.actual == 0

    def test_an_append_follows_the_record_that_it_names(self, store: Store) -> None:
        """Where the hash of the last record is given, the version alone is not enough."""
        first, second = draft("s", 2), draft("s", 1, expected=2)
        third = draft("s", 1, expected=3, key="after a rival")

        answers = store.append(
            [
                first._replace(previous=EMPTY_HEAD.hash),
                second._replace(previous=first.records[0].hash),
                second._replace(previous=first.records[1].hash),
                third._replace(previous=first.records[1].hash),
                third._replace(previous=second.records[0].hash),
            ]
        )

        accepted = [isinstance(answer, Appended) for answer in answers]
        assert accepted == [True, False, True, False, True]
        assert all(isinstance(answers[place], VersionConflict) for place in (1, 3))
        assert store.head("s").hash == third.records[0].hash
        (later,) = store.append([draft("s", 1, expected=4)._replace(previous=bytes(32))])
        assert isinstance(later, VersionConflict)

    def test_a_new_stream_follows_the_empty_head_alone(self, store: Store) -> None:
        """The hash of `EMPTY_HEAD` is `Append.previous` of a new stream; any other conflicts."""
        (answer,) = store.append([draft("s")._replace(previous=bytes(31) + b"\x01")])

        assert isinstance(answer, VersionConflict)
        assert store.head("s") == EMPTY_HEAD

    def test_a_repetition_is_known_whatever_record_it_follows(self, store: Store) -> None:
        """Look at the ids before `previous`."""
        must_append(store, draft("s", 2))

        (answer,) = must_append(store, draft("s", 2)._replace(previous=b"\x01" * 32))

        assert answer.replayed is True

    # ---- idempotency --------------------------------------------------------------------------

    def test_a_repeated_append_answers_with_the_original_versions(self, store: Store) -> None:
        """Ids are checked before versions, so an append whose answer was lost can be repeated."""
        must_append(store, draft("s", 2))
        must_append(store, draft("s", 3, expected=2))
        before = list(store.read_all())

        (answer,) = must_append(store, draft("s", 2))

        assert answer.versions == (1, 2)
        assert answer.replayed is True
        assert list(store.read_all()) == before

    def test_a_repetition_is_known_whatever_version_it_expects(self, store: Store) -> None:
        """Look at the ids before the versions: a stored batch is answered, never refused."""
        must_append(store, draft("s", 2), draft("s", 3, expected=2))

        for expected in (0, 2, 5, 99):
            (answer,) = must_append(store, draft("s", 3, expected=2)._replace(expected=expected))
            assert (answer.versions, answer.replayed) == ((3, 4, 5), True)

    def test_an_append_repeated_within_one_batch_is_stored_once(self, store: Store) -> None:
        """Look for ids among the earlier appends of the batch, too."""
        first, second = must_append(store, draft("s", 2), draft("s", 2))

        assert (first.replayed, second.replayed) == (False, True)
        assert second.versions == (1, 2)
        assert len(list(store.read("s"))) == 2

    def test_a_partial_overlap_is_a_duplicate_and_stores_nothing(self, store: Store) -> None:
        """Some ids stored, others not: answer `DuplicateEvent`, store none of them."""
        must_append(store, draft("s", 2))
        known, new = make_record("s", 2), make_record("s", 3)

        for records in ((known, new), (new, known)):
            (answer,) = store.append([draft("s")._replace(expected=2, records=records)])
            assert isinstance(answer, DuplicateEvent), records
            assert answer.stream == "s"

        assert len(list(store.read("s"))) == 2
        assert store.find("s", [new.event_id]) == {}

    def test_known_ids_in_another_order_are_a_duplicate(self, store: Store) -> None:
        """All ids stored, but not in this order one after another: answer `DuplicateEvent`."""
        append = draft("s", 3)
        must_append(store, append)

        (answer,) = store.append([append._replace(records=append.records[::-1])])

        assert isinstance(answer, DuplicateEvent)
        assert len(list(store.read("s"))) == 3

    def test_one_id_twice_in_an_append_is_a_duplicate(self, store: Store) -> None:
        """Look for ids that an append has twice."""
        twin = make_record("s", 2)._replace(event_id=make_record("s", 1).event_id)
        append = draft("s")._replace(records=(make_record("s", 1), twin))

        (answer,) = store.append([append])

        assert isinstance(answer, DuplicateEvent)
        assert list(store.read("s")) == []

    def test_the_ids_of_one_stream_are_unknown_in_another(self, store: Store) -> None:
        """An id belongs to its stream: look it up by both."""
        must_append(store, draft("s", 2))
        moved = tuple(record._replace(stream="t") for record in draft("s", 2).records)

        (answer,) = must_append(store, draft("t")._replace(records=moved))

        assert answer.replayed is False
        assert unplaced(store.read("t")) == list(moved)

    # ---- sizes and names ----------------------------------------------------------------------

    def test_streams_with_similar_names_are_different_streams(self, store: Store) -> None:
        """Compare names by code point: fold no case, normalise and trim nothing."""
        for count, name in enumerate(STREAM_NAMES, 1):
            must_append(store, draft(name, count))

        for count, name in enumerate(STREAM_NAMES, 1):
            assert unplaced(store.read(name)) == list(draft(name, count).records)
            assert store.head(name).version == count

    def test_large_data_comes_back_whole(self, store: Store) -> None:
        """A record may be of any size that fits in memory."""
        data = b'{"text":"%s"}' % (b"0123456789abcdef" * 262_144)
        must_append(store, draft("s", 1, data=data), draft("s", 1, expected=1))

        found = next(store.read("s"))

        assert found.data == data
        assert store.head("s").version == 2

    def test_a_batch_of_many_appends_is_stored_whole(self, store: Store) -> None:
        """A batch may have a thousand appends and more."""
        batch = [draft(f"stream-{number}", 2) for number in range(1_100)]

        answers = must_append(store, *batch)

        assert all(answer.versions == (1, 2) for answer in answers)
        assert unplaced(store.read_all()) == [
            record for append in batch for record in append.records
        ]
