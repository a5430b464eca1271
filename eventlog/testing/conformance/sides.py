"""The contract of index entries and blobs, which are beside the log, and of opening and closing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest

from eventlog.errors import VersionConflict
from eventlog.store import ANY, START, Blob, Durability, IndexEntry, Store
from eventlog.testing.conformance.base import StoreContract, draft, must_append

__all__ = ["BlobContract", "IndexContract", "LifeContract"]

EVERYTHING = ("", "\U0010ffff")
"""A range of keys that holds all but the very last."""


class IndexContract(StoreContract):
    """What index entries promise (L14): stored with their append, read by key range."""

    def test_entries_are_stored_with_their_append(self, store: Store) -> None:
        """Store `Append.entries` in the transaction of the records."""
        must_append(store, draft("s", 1, entries=(("b", b"2"), ("a", b"1"))))

        assert _entries(store) == [("a", b"1"), ("b", b"2")]

    def test_a_later_entry_replaces_an_earlier_one(self, store: Store) -> None:
        """A key has one value: the last one."""
        must_append(store, draft("s", 1, entries=(("k", b"old"),)))
        must_append(
            store,
            draft("s", 1, expected=1, entries=(("k", b"middle"),)),
            draft("t", 1, entries=(("k", b"new"),)),
        )

        assert _entries(store) == [("k", b"new")]

    def test_an_entry_without_value_removes_the_key(self, store: Store) -> None:
        """None removes an entry; removing a key that does not exist raises nothing."""
        must_append(store, draft("s", 1, entries=(("a", b"1"), ("b", b"2"))))

        must_append(store, draft("s", 1, expected=1, entries=(("a", None), ("absent", None))))

        assert _entries(store) == [("b", b"2")]

    def test_a_refused_append_leaves_the_index_alone(self, store: Store) -> None:
        """Touch the index only when the append is accepted; not for a repetition either."""
        must_append(store, draft("s", 2, entries=(("kept", b"1"),)))
        change: tuple[IndexEntry, ...] = (("kept", None), ("new", b"2"))

        store.append(
            [
                draft("s", 1, expected=7, entries=change),
                draft("s", 2, expected=1, entries=change),
                draft("s", 2, entries=change),
                draft("t", 1, entries=(("accepted", b"3"),)),
            ]
        )

        assert _entries(store) == [("accepted", b"3"), ("kept", b"1")]

    def test_a_range_holds_its_start_but_not_its_end(self, store: Store) -> None:
        """Return ``start <= key < end``."""
        keys = ["a", "b", "ba", "bb", "c"]
        must_append(store, draft("s", 1, entries=tuple((key, key.encode()) for key in keys)))

        for start in ["", *keys, "bz", "z"]:
            for end in ["", *keys, "bz", "z"]:
                found = [key for key, _ in store.scan(start, end)]
                assert found == [key for key in keys if start <= key < end], (start, end)

    def test_keys_are_in_the_order_of_their_code_points(self, store: Store) -> None:
        """Astral characters come last, which UTF-16 would put before U+FFFD."""
        keys = ["A", "Z", "a", "e\u0301", "\u00e9", "\ud7ff", "\ufffd", "\U0001f600", "\U0010fffe"]
        entries = tuple((key, key.encode()) for key in reversed(keys))
        must_append(store, draft("s", 1, entries=entries))

        assert _entries(store) == [(key, key.encode()) for key in sorted(keys)]
        assert [key for key, _ in store.scan("\ufffd", "\U0001f601")] == keys[6:8]

    def test_a_long_range_is_scanned_whole_and_up_to_its_limit(self, store: Store) -> None:
        """Go on after a page; None is no limit."""
        entries = tuple((f"key/{number:05d}", b"%d" % number) for number in range(1_300))
        store.put_index(entries)

        assert _entries(store) == list(entries)
        for limit in (0, 1, 511, 512, 513, 1_300, 2_000):
            assert list(store.scan("key/", "key0", limit=limit)) == list(entries[:limit])

    def test_values_are_any_text(self, store: Store) -> None:
        values = [b"", b"{}", "\u4f1a\U0001f600".encode(), b"x" * 100_000, b"a\nb\tc\x01"]
        entries = tuple((f"k{number}", value) for number, value in enumerate(values))
        must_append(store, draft("s", 1, entries=entries))

        assert _entries(store) == list(entries)

    def test_the_index_can_be_rebuilt_without_an_append(self, store: Store) -> None:
        """`put_index` stores and removes as an append does, and touches no record."""
        must_append(store, draft("s", 1, entries=(("stale", b"1"), ("kept", b"2"))))

        store.put_index([("stale", None), ("fresh", b"3")])

        assert _entries(store) == [("fresh", b"3"), ("kept", b"2")]
        assert store.head("s").version == 1

    def test_an_entry_is_never_seen_before_its_record_nor_after_it(self, store: Store) -> None:
        """Both come with one transaction, so a reader between two appends finds them agree."""
        appends = 150
        done = threading.Event()

        def read() -> bool:
            agree = True
            while not done.is_set():
                known = store.head("s").version
                entry = int(next(iter(store.scan("latest", "latesu")), ("", b"0"))[1])
                agree = agree and known <= entry <= store.head("s").version
            return agree

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                for version in range(appends):
                    entry = ("latest", b"%d" % (version + 1))
                    must_append(store, draft("s", 1, expected=version, entries=(entry,)))
            finally:
                done.set()

        assert all(reader.result() for reader in readers)


class BlobContract(StoreContract):
    """What blobs promise: the last value under a key, stored by compare-and-swap."""

    def test_a_key_without_value_has_no_blob(self, store: Store) -> None:
        """Return None, raise nothing."""
        assert store.get_blob("k") is None

    def test_revisions_count_from_one(self, store: Store) -> None:
        """Return the new revision: 1, 2, 3 … of each key, also if the value is the same."""
        assert [store.put_blob("k", data) for data in (b"a", b"b", b"b")] == [1, 2, 3]
        assert store.get_blob("k") == Blob(b"b", 3)
        assert store.put_blob("other", b"c", ANY) == 1

    def test_any_bytes_come_back(self, store: Store) -> None:
        """A blob is bytes of any value and size, no text."""
        for data in (b"", bytes(range(256)), b"\xff" * 3_000_000):
            store.put_blob("k\U0001f600/\u00e9", data)
            found = store.get_blob("k\U0001f600/\u00e9")
            assert found is not None
            assert found.data == data

    @pytest.mark.parametrize("expected", [0, 1, 3])
    def test_another_revision_than_the_expected_one_is_a_conflict(
        self, store: Store, expected: int
    ) -> None:
        """Compare revisions for equality, in the transaction that writes; raise `VersionConflict`."""
        store.put_blob("k", b"a")
        store.put_blob("k", b"b")

        with pytest.raises(VersionConflict) as caught:
            store.put_blob("k", b"rival", expected)

        assert (caught.value.expected, caught.value.actual) == (expected, 2)
        assert store.get_blob("k") == Blob(b"b", 2)
        assert store.put_blob("k", b"c", 2) == 3

    def test_a_value_that_must_be_new_is_stored_once(self, store: Store) -> None:
        """Revision 0 is that of a key without value."""
        assert store.put_blob("k", b"first", 0) == 1
        with pytest.raises(VersionConflict):
            store.put_blob("k", b"second", 0)
        assert store.get_blob("k") == Blob(b"first", 1)

    def test_of_rivals_for_one_revision_one_wins(self, store: Store) -> None:
        """Compare and store in one step: no other writer in between."""
        rivals, rounds = 4, 15

        def count_up() -> None:
            won = 0
            while won < rounds:
                blob = store.get_blob("counter") or Blob(b"0", 0)
                try:
                    store.put_blob("counter", b"%d" % (int(blob.data) + 1), blob.revision)
                except VersionConflict:
                    continue
                won += 1

        with ThreadPoolExecutor(rivals) as pool:
            for future in [pool.submit(count_up) for _ in range(rivals)]:
                future.result()

        assert store.get_blob("counter") == Blob(b"%d" % (rivals * rounds), rivals * rounds)


class LifeContract(StoreContract):
    """What opening, checking and closing promise (P9)."""

    def test_the_durability_is_one_of_three(self, store: Store) -> None:
        """Declare ``none``, ``process`` or ``power``: what survives of an answered append."""
        assert store.durability in get_args(Durability)

    def test_a_store_that_is_well_has_no_findings(self, store: Store) -> None:
        """`check` returns a list: of what is wrong, so an empty one."""
        for start in range(0, 5_000, 1_000):
            must_append(store, draft("s", 1_000, expected=start, entries=(("k", b"v"),)))

        assert store.check() == []

    def test_settings_are_told_as_text(self, store: Store) -> None:
        """Return at least one setting, all as text."""
        settings = store.settings()

        assert settings
        assert all(isinstance(value, str) for value in settings.values())

    def test_closing_twice_is_closing_once(self, tmp_path: Path) -> None:
        """`close` is idempotent."""
        store = self.make_store(tmp_path)
        must_append(store, draft("s"))

        store.close()
        store.close()

    @pytest.mark.parametrize("count", [1, 700, 5_000])
    def test_what_was_stored_is_there_after_reopening(self, tmp_path: Path, count: int) -> None:
        """Opened again, a store has everything (or nothing, with durability ``none``) and continues."""
        store = self.make_store(tmp_path)
        for start in range(0, count, 700):
            size = min(700, count - start)
            must_append(store, draft("s", size, expected=start))
        must_append(store, draft("t", 2, entries=(("k", b"v"),)))
        store.put_blob("b", b"data")
        everything = list(store.read_all())
        volatile = store.durability == "none"
        store.close()

        store = self.make_store(tmp_path)
        try:
            assert list(store.read_all()) == ([] if volatile else everything)
            assert _entries(store) == ([] if volatile else [("k", b"v")])
            assert store.get_blob("b") == (None if volatile else Blob(b"data", 1))
            assert store.tip() == (START if volatile else everything[-1].position)
            assert store.head("s").version == (0 if volatile else count)
            assert store.check() == []
            (again,) = must_append(store, draft("t", 2))
            assert again.replayed is not volatile
            must_append(store, draft("t", 1, expected=2))
        finally:
            store.close()


def _entries(store: Store) -> list[tuple[str, bytes]]:
    return list(store.scan(*EVERYTHING))
