"""The contract of reading: by version and in the one order of the log, lazily, at any length."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, product
from typing import TypeVar

from eventlog.store import EMPTY_HEAD, START, Head, Position, Record, Store, read_types
from eventlog.testing.conformance.base import (
    StoreContract,
    draft,
    make_record,
    must_append,
    unplaced,
)

__all__ = ["ReadContract"]

Range = TypeVar("Range")

LENGTH = 1_300
"""Records of a stream: more than a page of any store holds."""

DEEP = 5_000
"""Records of a log in which stores have moved the older ones to another place."""

EDGES = (0, 1, 2, 511, 512, 513, 1_023, 1_024, 1_025, 1_299, 1_300, 1_301)
"""Versions around the ends of a stream and of pages."""


class ReadContract(StoreContract):
    """What `read`, `read_all`, `head`, `tip`, `find` and `wait` promise (L3, L5)."""

    one_range_in = 1
    """Of how many ranges one is read; 7, which divides no number of ends, has ends of all kinds."""

    def _share_of(self, ranges: Iterable[Range]) -> Iterator[Range]:
        return islice(ranges, 0, None, self.one_range_in)

    # ---- one stream ---------------------------------------------------------------------------

    def test_a_stream_that_does_not_exist_is_empty(self, store: Store) -> None:
        """Answer with nothing and `EMPTY_HEAD`, raise nothing."""
        must_append(store, draft("other"))

        assert list(store.read("s")) == []
        assert list(store.read("s", reverse=True)) == []
        assert store.head("s") == EMPTY_HEAD
        assert store.find("s", [make_record("other", 1).event_id]) == {}

    def test_every_range_of_a_long_stream_is_read_in_both_directions(self, store: Store) -> None:
        """Return ``after < version <= until``, in either direction, over all pages."""
        _fill(store, "s", LENGTH)
        records = list(store.read("s"))
        assert unplaced(records) == list(draft("s", LENGTH).records)

        for after, until in self._share_of(product(EDGES, (*EDGES, None))):
            expected = records[after:until]
            assert list(store.read("s", after=after, until=until)) == expected
            assert list(store.read("s", after=after, until=until, reverse=True)) == expected[::-1]

    def test_a_limit_takes_the_first_ones_of_either_direction(self, store: Store) -> None:
        """``limit`` counts from where the reading begins: with ``reverse`` from the end."""
        _fill(store, "s", LENGTH)
        records = list(store.read("s"))

        for limit, after in self._share_of(product(EDGES, (0, 1, 700))):
            chosen = records[after:]
            assert list(store.read("s", after=after, limit=limit)) == chosen[:limit]
            backwards = list(store.read("s", after=after, limit=limit, reverse=True))
            assert backwards == chosen[::-1][:limit]

    def test_records_of_some_types_are_read_from_any_range(self, store: Store) -> None:
        """``types``, if the store takes it (`TypedReads`), chooses within every range and in both
        directions, and ``limit`` counts what is chosen. Whole pages hold none of a rare type."""
        types = ("acme.rare", "acme.noted", "acme.noted", "acme.rare", "acme.other")
        version = 0
        for type, count in zip(types, (1, 600, 500, 2, 197), strict=True):
            must_append(store, draft("s", count, expected=version, type=type))
            version += count
        must_append(store, draft("t", 3, type="acme.rare"))
        records = list(store.read("s"))

        wantings = (["acme.rare"], ("acme.rare", "acme.other"), ["acme.unheard_of"])
        ranges = product((0, 1, 700, 1_102), (None, 1, 1_101, 1_103, 1_250), wantings)
        for after, until, wanted in self._share_of(ranges):
            expected = [record for record in records[after:until] if record.type in wanted]
            found = read_types(store, "s", wanted, after=after, until=until)
            assert list(found) == expected
            for limit in (0, 1, 2, 600):
                found = read_types(
                    store, "s", wanted, after=after, until=until, limit=limit, reverse=True
                )
                assert list(found) == expected[::-1][:limit]

    def test_a_deep_log_reads_as_a_short_one(self, store: Store) -> None:
        """Three streams, interleaved, so long that older records lie elsewhere than newer ones."""
        names = ("a", "b", "c")
        for start in range(0, DEEP, 100):
            must_append(store, *(draft(name, 100, expected=start) for name in names))
            if start == 2_000:
                must_append(store, draft("late", 3))

        for name in names:
            records = list(draft(name, DEEP).records)
            assert unplaced(store.read(name)) == records
            assert unplaced(store.read(name, reverse=True)) == records[::-1]
            assert store.head(name).version == DEEP
            for first in (1, 1_364, 1_365, 1_400, 4_095, 4_096, 4_900):
                window = store.read(name, after=first - 1, until=first + 99)
                assert unplaced(window) == records[first - 1 : first + 99]
        assert unplaced(store.read("late")) == list(draft("late", 3).records)

    def test_the_first_record_needs_no_reading_of_the_rest(self, store: Store) -> None:
        """Reading is lazy, and an unfinished one hinders no append."""
        _fill(store, "s", LENGTH)

        reading = store.read("s")
        everything = store.read_all()
        first, first_of_all = next(reading), next(everything)
        must_append(store, draft("s", 1, expected=LENGTH))

        assert first == first_of_all
        assert [record.version for record in islice(reading, 2)] == [2, 3]
        assert store.head("s").version == LENGTH + 1

    # ---- the whole log ------------------------------------------------------------------------

    def test_the_log_is_read_in_the_order_in_which_it_was_written(self, store: Store) -> None:
        """`read_all` yields by position, which is the order of storing."""
        batches = [
            [draft("a", 2), draft("b", 1)],
            [draft("c", 1), draft("a", 1, expected=2)],
            [draft("b", 2, expected=1)],
        ]
        for batch in batches:
            must_append(store, *batch)

        found = list(store.read_all())

        written = [record for batch in batches for append in batch for record in append.records]
        assert unplaced(found) == written
        assert _ascending(found)

    def test_the_log_goes_on_after_every_position(self, store: Store) -> None:
        """``after`` is exclusive, and may be any position that was ever given."""
        for number in range(7):
            must_append(store, draft(f"s{number % 2}", 1, expected=number // 2))
        found = list(store.read_all())

        assert list(store.read_all(after=START)) == found
        for place, record in enumerate(found, 1):
            assert list(store.read_all(after=record.position)) == found[place:]
            assert list(store.read_all(after=record.position, limit=2)) == found[place:][:2]
        assert list(store.read_all(limit=0)) == []

    def test_only_the_named_types_are_read(self, store: Store) -> None:
        """A rare type, so that whole pages between two of its records hold none."""
        for number in range(13):
            rare = draft("rare", 1, expected=number, type="acme.rare")
            must_append(store, draft("s", 200, expected=number * 200), rare)
        must_append(store, draft("t", 1, type="acme.other"))
        rare_records = list(draft("rare", 13, type="acme.rare").records)
        other = list(draft("t", 1, type="acme.other").records)

        assert unplaced(store.read_all(types=["acme.rare"])) == rare_records
        assert unplaced(store.read_all(types=["acme.rare"], limit=5)) == rare_records[:5]
        both = unplaced(store.read_all(types=("acme.other", "acme.rare")))
        assert both == rare_records + other
        assert list(store.read_all(types=["acme.unheard_of"])) == []

    def test_a_reader_of_the_log_misses_nothing_that_is_written_meanwhile(
        self, store: Store
    ) -> None:
        """A record that is committed later never has a position before one that was read."""
        writers, appends = 4, 60
        writing = threading.Lock()
        done = threading.Event()

        def write(name: str) -> None:
            for number in range(appends):
                with writing:  # `append` is called by one at a time.
                    must_append(store, draft(name, 2, expected=2 * number))

        def follow() -> list[Record]:
            found: list[Record] = []
            while True:
                last_look = done.is_set()
                after = found[-1].position if found else START
                found += store.read_all(after=after)
                if last_look:
                    return found

        with ThreadPoolExecutor(writers + 1) as pool:
            following = pool.submit(follow)
            names = [f"writer-{number}" for number in range(writers)]
            try:
                list(pool.map(write, names))
            finally:
                done.set()
            found = following.result()

        assert found == list(store.read_all())
        for name in names:
            own = [record for record in found if record.stream == name]
            assert unplaced(own) == list(draft(name, 2 * appends).records)

    # ---- short answers ------------------------------------------------------------------------

    def test_the_head_is_the_last_record_in_short(self, store: Store) -> None:
        for version in range(3):
            (answer,) = must_append(store, draft("s", 1, expected=version), draft("t"))[:1]
            last = make_record("s", version + 1)
            expected = Head(last.version, last.hash, answer.positions[0], last.time)
            assert store.head("s") == expected

    def test_the_tip_is_the_position_of_the_newest_record(self, store: Store) -> None:
        assert store.tip() == START
        for version in range(3):
            must_append(store, draft("s", 2, expected=2 * version))
            assert store.tip() == list(store.read_all())[-1].position
            assert list(store.read_all(after=store.tip())) == []

    def test_a_refused_append_moves_neither_head_nor_tip(self, store: Store) -> None:
        must_append(store, draft("s", 2))
        before = store.head("s"), store.tip()

        store.append([draft("s", 1, expected=9), draft("s", 2, expected=1), draft("s", 2)])

        assert (store.head("s"), store.tip()) == before

    def test_ids_are_found_with_their_versions(self, store: Store) -> None:
        """Old and new ones alike, among them many that are not stored, none twice."""
        _fill(store, "s", DEEP)
        _fill(store, "t", 10)
        wanted = {make_record("s", version).event_id: version for version in range(1, DEEP, 7)}
        unknown = [make_record("s", DEEP + number).event_id for number in range(1, 300)]
        elsewhere = [make_record("t", version).event_id for version in range(1, 11)]

        assert store.find("s", [*unknown, *wanted, *elsewhere]) == wanted
        assert store.find("s", []) == {}
        newest = make_record("s", DEEP).event_id
        assert store.find("s", [newest, newest]) == {newest: DEEP}

    # ---- waiting ------------------------------------------------------------------------------

    def test_waiting_for_what_is_there_already_ends_at_once(self, store: Store) -> None:
        (first,) = must_append(store, draft("s", 2))

        assert store.wait(START, 600.0) is True
        assert store.wait(first.positions[0], 600.0) is True

    def test_waiting_for_nothing_ends_with_its_time(self, store: Store) -> None:
        must_append(store, draft("s", 2))

        assert store.wait(store.tip(), 0.01) is False
        assert store.wait(store.tip(), 0.0) is False

    def test_an_append_wakes_those_who_wait(self, store: Store) -> None:
        must_append(store, draft("s"))
        seen: Position = store.tip()

        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(store.wait, seen, 600.0) for _ in range(3)]
            must_append(store, draft("s", 1, expected=1))
            woken = [wait.result(timeout=60) for wait in waiting]

        assert woken == [True, True, True]


def _fill(store: Store, stream: str, count: int) -> None:
    for start in range(0, count, 700):
        size = min(700, count - start)
        must_append(store, draft(stream, size, expected=start))


def _ascending(records: list[Record]) -> bool:
    positions = [record.position for record in records]
    return positions == sorted(set(positions))
