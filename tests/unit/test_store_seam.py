"""What the seam offers to authors of stores: pages, waiting, parts of a batch, optional abilities."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.engine.opening import has_log
from eventlog.errors import StoreUnavailable
from eventlog.store import (
    PAGE_SIZE,
    START,
    Append,
    Position,
    Wakeups,
    paged,
    split_batch,
    store_clock,
)
from eventlog.stores.memory import MemoryStore
from eventlog.testing import RecordingStore
from eventlog.testing.conformance import make_record

# ---- pages ------------------------------------------------------------------------------------


class Numbers:
    """Numbers in a storage that is read in pages; notes each page."""

    def __init__(self, count: int, hole: int | None = None) -> None:
        self.numbers = [number for number in range(count) if number != hole]
        self.count = count
        self.pages: list[tuple[int, int]] = []

    def read_page(self, start: int, size: int) -> tuple[list[int], int | None]:
        self.pages.append((start, size))
        end = start + size
        page = [number for number in self.numbers if start <= number < end]
        return page, end if end < self.count else None


@given(
    count=st.integers(0, 3 * PAGE_SIZE),
    start=st.integers(0, 2 * PAGE_SIZE),
    limit=st.none() | st.integers(0, 2 * PAGE_SIZE),
)
def test_pages_give_what_one_page_would(count: int, start: int, limit: int | None) -> None:
    numbers = Numbers(count)

    found = list(paged(numbers.read_page, start, limit))

    assert found == numbers.numbers[start:][:limit]
    assert sum(size for _, size in numbers.pages) <= (limit or 3 * PAGE_SIZE)


@pytest.mark.parametrize("count", [1, PAGE_SIZE, 2 * PAGE_SIZE])
def test_no_page_is_read_behind_the_last_one(count: int) -> None:
    numbers = Numbers(count)
    assert len(list(paged(numbers.read_page, 0))) == count
    assert len(numbers.pages) == -(-count // PAGE_SIZE)


def test_a_page_is_read_when_its_first_item_is_asked_for() -> None:
    numbers = Numbers(2 * PAGE_SIZE)
    items = paged(numbers.read_page, 0)
    assert numbers.pages == []
    for _ in range(PAGE_SIZE):
        next(items)
    assert len(numbers.pages) == 1
    next(items)
    assert len(numbers.pages) == 2


def test_a_page_that_lacks_an_item_is_not_taken_for_the_last_one() -> None:
    """A damaged storage: what is behind the hole is read, too."""
    numbers = Numbers(2 * PAGE_SIZE, hole=3)
    assert list(paged(numbers.read_page, 0)) == numbers.numbers


# ---- waiting ----------------------------------------------------------------------------------

FOREVER = 60.0
"""Seconds that no test waits, unless something is broken."""


def test_whoever_waits_is_woken_by_an_append() -> None:
    """Between two looks a minute would pass, if nothing woke it."""
    wakeups, looked = Wakeups(poll_seconds=FOREVER), threading.Event()
    tip, woken = [START], list[bool]()

    def look() -> Position:
        looked.set()
        return tip[0]

    waiting = threading.Thread(
        target=lambda: woken.append(wakeups.wait_beyond(START, look, FOREVER))
    )
    waiting.start()
    assert looked.wait(FOREVER)
    tip[0] = Position(1)
    wakeups.notify()
    waiting.join(FOREVER)

    assert woken == [True]


def test_an_append_between_the_look_and_the_wait_is_not_missed() -> None:
    wakeups, looks = Wakeups(poll_seconds=FOREVER), list[Position]()

    def look() -> Position:
        looks.append(Position(len(looks)))
        wakeups.notify()  # An append, just after this look.
        return looks[-1]

    assert wakeups.wait_beyond(START, look, FOREVER)
    assert looks == [0, 1]


def test_a_log_that_is_there_already_is_looked_at_once() -> None:
    looks: list[int] = []

    def look() -> Position:
        looks.append(1)
        return Position(7)

    assert Wakeups(FOREVER).wait_beyond(Position(6), look, FOREVER)
    assert looks == [1]


def test_a_wait_ends_with_its_time() -> None:
    assert not Wakeups(FOREVER).wait_beyond(START, lambda: START, 0)
    assert not Wakeups(0.001).wait_beyond(START, lambda: START, 0.002)


def test_a_look_that_fails_ends_the_wait_and_leaves_nobody_waiting() -> None:
    wakeups = Wakeups(FOREVER)

    def look() -> Position:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable, match="away"):
        wakeups.wait_beyond(START, look, FOREVER)
    assert repr(wakeups) == "<Wakeups: 0 waiting>"


# ---- parts of a batch -------------------------------------------------------------------------


@given(
    sizes=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), max_size=9),
    max_bytes=st.integers(1, 30),
    max_records=st.integers(1, 8),
)
def test_a_batch_is_split_in_order_and_only_where_it_is_too_large(
    sizes: list[list[int]], max_bytes: int, max_records: int
) -> None:
    batch = [
        Append(
            "s",
            0,
            tuple(make_record("s", number, data=b"x" * size) for number, size in enumerate(of, 1)),
        )
        for of in sizes
    ]

    def weight(appends: list[Append]) -> tuple[int, int]:
        records = [record for append in appends for record in append.records]
        return sum(len(it.data) + len(it.metadata) for it in records), len(records)

    def fits(appends: list[Append]) -> bool:
        size, count = weight(appends)
        return size <= max_bytes and count <= max_records

    parts = [
        list(part) for part in split_batch(batch, max_bytes=max_bytes, max_records=max_records)
    ]

    assert [append for part in parts for append in part] == batch
    assert all(part for part in parts)
    assert all(fits(part) or len(part) == 1 for part in parts)
    for part, behind in pairwise(parts):
        assert not fits([*part, behind[0]])


# ---- optional abilities -----------------------------------------------------------------------


class Timekeeping(MemoryStore):
    def now(self) -> int:
        return 7


def clock_of(wrap: Callable[[MemoryStore], MemoryStore | RecordingStore]) -> list[int | None]:
    clocks = [store_clock(wrap(store)) for store in (MemoryStore(), Timekeeping())]
    return [None if clock is None else clock() for clock in clocks]


def test_a_store_has_a_clock_if_it_can_tell_the_time() -> None:
    assert clock_of(lambda store: store) == [None, 7]


def test_a_store_around_another_one_has_its_clock() -> None:
    assert clock_of(RecordingStore) == [None, 7]


def test_whether_there_is_a_log_is_asked_of_the_stores_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """None where a module cannot tell, where it is not installed, and where none has the scheme."""
    module = ModuleType("acme_store")
    monkeypatch.setitem(module.__dict__, "has_log", lambda url: url.endswith("/there"))
    monkeypatch.setattr("eventlog.engine.opening._import", lambda name: module)
    assert has_log("postgresql://host/there") is True
    assert has_log("postgresql://host/gone") is False
    monkeypatch.undo()
    assert has_log(f"sqlite:///{tmp_path}/log.db") is None
    assert has_log("nonsense:///x") is None
