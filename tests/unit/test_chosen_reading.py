"""`Log.read` of some types or versions only, and how much of a stream it touches (M15, L5)."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import Event, Log, Message
from eventlog.errors import InvalidArgument
from eventlog.testing.wrapping import StoreCall, WrappedStore


class Noted(Event, type="chosen.noted"):
    number: int


def filled(log: Log, count: int = 12) -> None:
    """Version 1 creates the session; then messages at even versions, notes at odd ones."""
    session = log.session("s", create=True)
    for number in range(count):
        if number % 2:
            session.record(Noted(number=number))
        else:
            session.append(Message.user(f"{number}"))


def versions(entries: Any) -> list[int]:
    return [each.version for each in entries]


def test_some_types_are_read_alone(log: Log) -> None:
    filled(log)
    assert versions(log.read("s", types=["chosen.noted"])) == [3, 5, 7, 9, 11, 13]
    assert versions(log.read("s", types=["chosen.noted"], limit=2, after=4)) == [5, 7]
    assert versions(log.read("s", types=["chosen.noted"], reverse=True, limit=2, until=12)) == [
        11,
        9,
    ]
    assert versions(log.read("s", types=["chosen.noted", "session_created"], limit=2)) == [1, 3]
    assert versions(log.read("s", types=["chosen.other"])) == []


def test_versions_are_read_in_the_order_in_which_they_are_given(log: Log) -> None:
    filled(log)
    assert versions(log.read("s", versions=[9, 2, 2, 99, 1, 13])) == [9, 2, 2, 1, 13]
    assert versions(log.read("s", versions=[])) == []
    assert versions(log.read("s", versions=range(1, 14), types=["chosen.noted"], limit=2)) == [3, 5]
    assert versions(log.read("s", versions=[1, 5, 9, 13], after=1, until=9)) == [5, 9]
    assert versions(log.read("nobody", versions=[1])) == []


def test_an_endless_iterable_is_read_as_far_as_the_caller_goes(log: Log) -> None:
    filled(log)
    assert versions(log.read("s", versions=count(1), limit=3)) == [1, 2, 3]
    assert [each.event for each in log.read("s", versions=iter([3]))] == [Noted(number=1)]


@given(st.lists(st.integers(1, 80)), st.integers(0, 70), st.none() | st.integers(0, 20))
def test_any_versions_are_what_reading_each_of_them_gives(
    wanted: list[int], length: int, limit: int | None
) -> None:
    with eventlog.open("memory:") as log:
        if length:
            filled(log, length)
        stored = {each.version: each for each in log.read("s")}
        expected = [stored[each] for each in wanted if each in stored][:limit]
        assert list(log.read("s", versions=wanted, limit=limit)) == expected


@pytest.mark.parametrize("wrong", [7, "ab", [0], [-1], [True], [1.5], ["1"], [None]])
def test_what_is_no_version_is_refused(log: Log, wrong: Any) -> None:
    filled(log)
    with pytest.raises(InvalidArgument, match="version"):
        list(log.read("s", versions=wrong))


def test_versions_have_an_order_of_their_own(log: Log) -> None:
    with pytest.raises(InvalidArgument, match="leave out reverse"):
        list(log.read("s", versions=[1], reverse=True))
    with pytest.raises(InvalidArgument, match="types"):
        list(log.read("s", types="chosen.noted"))


def test_the_asynchronous_log_reads_the_same(log_url: str) -> None:
    async def run() -> None:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            await session.record(*(Noted(number=number) for number in range(5)))
            assert [each.version async for each in log.read("s", versions=[4, 2])] == [4, 2]
            assert [each.version async for each in log.read("s", types=["session_created"])] == [1]

    asyncio.run(run())


class Counting(WrappedStore):
    """A store that counts the records which its reads have handed out."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.handed_out = 0

    def around(self, call: StoreCall, go_on: Any) -> Any:
        found = go_on()
        return self._counted(found) if call.verb == "read" else found

    def _counted(self, records: Iterator[Any]) -> Iterator[Any]:
        for record in records:
            self.handed_out += 1
            yield record


def test_single_versions_of_a_long_session_are_read_without_what_is_between() -> None:
    with eventlog.open("memory:") as plain:
        filled(plain, 2_000)
        with Log(store := Counting(plain.store)) as log:
            assert versions(log.read("s", versions=[1_900, 7, 1_000, 8])) == [1_900, 7, 1_000, 8]
            assert store.handed_out == 4
            assert versions(log.read("s", reverse=True, limit=3)) == [2_001, 2_000, 1_999]
            assert store.handed_out == 7


def test_the_newest_of_a_long_session_are_read_without_the_rest_in_memory(log: Log) -> None:
    """L5: a page that is read backwards is no larger than what is asked for."""
    session = log.session("s", create=True)
    for _ in range(12):
        session.extend([Message.user("x" * 10_000) for _ in range(50)])
    list(log.read("s", reverse=True, limit=1))  # What is built once.

    tracemalloc.start()
    try:
        assert versions(log.read("s", reverse=True, limit=3)) == [601, 600, 599]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_500_000, "a page of 512 records takes 5 MB"
