"""The contract of a store that several processes use: each instance sees what the others store."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from eventlog.errors import VersionConflict
from eventlog.store import START, Appended, Record, Store
from eventlog.testing.conformance.base import (
    StoreContract,
    draft,
    make_record,
    must_append,
    unplaced,
)

__all__ = ["SharedConformance"]

WRITERS = 4
ROUNDS = 40


class SharedConformance(StoreContract):
    """The contract of stores that several processes use: all see the same records in one order."""

    @pytest.fixture
    def other(self, store: Store, tmp_path: Path) -> Iterator[Store]:
        """Another instance on the same storage, as another process has it."""
        opened = self.make_store(tmp_path)
        yield opened
        opened.close()

    def test_what_one_instance_stored_the_other_finds_at_once(
        self, store: Store, other: Store
    ) -> None:
        for version in range(3):
            writer, reader = (store, other) if version % 2 else (other, store)
            entry = ("k", b"%d" % version)
            must_append(writer, draft("s", 1, expected=version, entries=(entry,)))
            writer.put_blob("b", b"%d" % version)

            assert unplaced(reader.read("s")) == list(draft("s", version + 1).records)
            assert reader.head("s") == writer.head("s")
            assert reader.find("s", [make_record("s", version + 1).event_id])
            assert list(reader.scan("", "~")) == [entry]
            blob = reader.get_blob("b")
            assert blob is not None
            assert blob == (b"%d" % version, version + 1)

    def test_both_instances_read_the_log_in_the_same_order(
        self, store: Store, other: Store
    ) -> None:
        for version in range(10):
            must_append(store, draft("a", 2, expected=2 * version))
            must_append(other, draft("b", 1, expected=version))

        found = list(store.read_all())

        assert found == list(other.read_all())
        assert [record.stream for record in found] == ["a", "a", "b"] * 10
        assert store.tip() == other.tip() == found[-1].position

    def test_a_head_that_another_instance_moved_is_a_conflict(
        self, store: Store, other: Store
    ) -> None:
        must_append(store, draft("s", 2))
        must_append(other, draft("s", 1, expected=2))

        (answer,) = store.append([draft("s", 1, expected=2, key="rival")])

        assert isinstance(answer, VersionConflict)
        assert (answer.expected, answer.actual) == (2, 3)

    def test_a_repetition_on_another_instance_is_known(self, store: Store, other: Store) -> None:
        """The next connection of a client may lead to another server."""
        (first,) = must_append(store, draft("s", 3))
        must_append(store, draft("s", 1, expected=3))

        (again,) = must_append(other, draft("s", 3))

        assert (again.versions, again.replayed) == (first.versions, True)
        assert other.head("s").version == 4

    def test_an_append_wakes_who_waits_on_another_instance(
        self, store: Store, other: Store
    ) -> None:
        must_append(store, draft("s"))
        seen = other.tip()

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(other.wait, seen, 600.0)
            must_append(store, draft("s", 1, expected=1))

            assert waiting.result(timeout=60) is True

    def test_of_rivals_for_one_version_one_wins(self, store: Store, tmp_path: Path) -> None:
        """After a conflict each decides again on the new head: nothing is lost, doubled or overwritten."""

        def compete(name: str) -> list[int]:
            rival = self.make_store(tmp_path)
            won: list[int] = []
            while len(won) < ROUNDS:
                append = draft("s", 1, expected=rival.head("s").version, key=name)
                (answer,) = rival.append([append._replace(previous=rival.head("s").hash)])
                if isinstance(answer, Appended):
                    won += answer.versions
                else:
                    assert isinstance(answer, VersionConflict)
            rival.close()
            return won

        with ThreadPoolExecutor(WRITERS) as pool:
            won = list(pool.map(compete, [f"rival-{number}" for number in range(WRITERS)]))

        assert sorted(version for own in won for version in own) == list(
            range(1, WRITERS * ROUNDS + 1)
        )
        records = list(store.read("s"))
        for number, own in enumerate(won):
            written = [make_record("s", version, key=f"rival-{number}") for version in own]
            assert [records[version - 1].hash for version in own] == [it.hash for it in written]

    def test_batches_that_share_streams_wait_for_each_other_in_no_circle(
        self, store: Store, tmp_path: Path
    ) -> None:
        """The batches have the same streams in different orders, new ones among them."""
        names = [f"s{number}" for number in range(6)]

        def write(place: int) -> int:
            rival = self.make_store(tmp_path)
            stored = 0
            for number in range(ROUNDS):
                turned = [*names[place:], *names[:place], f"new-{number}"]
                batch = [
                    draft(name, 1, expected=rival.head(name).version, key=f"{place}/{number}")
                    for name in turned
                ]
                stored += sum(isinstance(answer, Appended) for answer in rival.append(batch))
            rival.close()
            return stored

        with ThreadPoolExecutor(WRITERS) as pool:
            stored = sum(pool.map(write, range(WRITERS)))

        found = list(store.read_all())
        assert len(found) == stored >= ROUNDS
        for name in {record.stream for record in found}:
            own = [record for record in found if record.stream == name]
            assert [record.version for record in own] == list(range(1, len(own) + 1))
        assert store.check() == []

    def test_a_follower_of_several_writers_misses_nothing(
        self, store: Store, tmp_path: Path
    ) -> None:
        """Whoever has read up to a position never finds another record before it."""
        done = Event()

        def write(name: str) -> None:
            writer = self.make_store(tmp_path)
            for number in range(ROUNDS):
                shared = draft(
                    "shared", 1, expected=writer.head("shared").version, key=f"{name}/{number}"
                )
                writer.append([draft(name, 2, expected=2 * number), shared])
            writer.close()

        def follow() -> list[Record]:
            found: list[Record] = []
            last = False
            while not last:
                last = done.is_set()
                after = found[-1].position if found else START
                found += store.read_all(after=after)
            return found

        names = [f"writer-{number}" for number in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS + 1) as pool:
            following = pool.submit(follow)
            try:
                list(pool.map(write, names))
            finally:
                done.set()
            found = following.result()

        assert found == list(store.read_all())
        for name in names:
            own = [record for record in found if record.stream == name]
            assert unplaced(own) == list(draft(name, 2 * ROUNDS).records)
        shared = [record.version for record in found if record.stream == "shared"]
        assert shared == list(range(1, len(shared) + 1))
