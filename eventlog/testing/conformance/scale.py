"""The contract at the sizes of a service: many streams, and records of many megabytes."""

from __future__ import annotations

from itertools import islice

from eventlog.store import Store
from eventlog.testing.conformance.base import StoreContract, draft, must_append, unplaced

__all__ = ["ScaleConformance"]

MEBIBYTE = 1 << 20


class ScaleConformance(StoreContract):
    """What a store promises holds for as many streams and as large records as services have."""

    largest = 40
    """Megabytes of the largest record; less for a store that says what it does not take."""

    streams = 10_000
    """How many streams there are; a multiple of a thousand."""

    def test_ten_thousand_streams_are_ten_thousand_streams(self, store: Store) -> None:
        names = [f"stream-{number:05d}" for number in range(self.streams)]
        for version in range(2):
            for start in range(0, self.streams, 1_000):
                part = names[start : start + 1_000]
                entries = {name: ((f"stream/{name}", b"%d" % version),) for name in part}
                must_append(
                    store,
                    *(draft(name, 1, expected=version, entries=entries[name]) for name in part),
                )

        everything = list(store.read_all())
        assert [record.stream for record in everything] == names * 2
        assert [record.version for record in everything] == [1] * self.streams + [2] * self.streams
        assert [key for key, _ in store.scan("stream/", "stream0")] == [
            f"stream/{n}" for n in names
        ]
        for name in names[::999]:
            assert unplaced(store.read(name)) == list(draft(name, 2).records)
        assert store.check() == []

    def test_records_of_many_megabytes_come_back_whole(self, store: Store) -> None:
        """Together they are more than any one message of a protocol should be."""
        sizes = [16, 1, self.largest, 24, 1]
        appends = [
            draft(f"s{place}", 1, data=b'"%s"' % (b"%d" % place * (size * MEBIBYTE)))
            for place, size in enumerate(sizes)
        ]

        answers = must_append(store, *appends)

        positions = [answer.positions[0] for answer in answers]
        assert positions == sorted(set(positions))
        for append in appends:
            assert unplaced(store.read(append.stream)) == list(append.records)
        assert [record.stream for record in islice(store.read_all(), 2)] == ["s0", "s1"]
        assert all(answer.replayed for answer in must_append(store, *appends))
