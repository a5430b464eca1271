"""Odd bounds, types of events and clocks are refused where they come in (P10, F2)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest

import eventlog
from eventlog import AutoCommitPolicy, InvalidArgument, Log, Message, Worker

ODD: Final[list[Any]] = [-1, 2**63, 2**70, 1.5, "1", True, float("inf"), float("nan"), [], object()]


@pytest.fixture(params=["memory", "sqlite", "files"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {
        "memory": "memory:",
        "sqlite": f"sqlite:///{tmp_path / 'a.db'}",
        "files": f"files:///{tmp_path / 'log'}",
    }[request.param]


@pytest.fixture
def filled(url: str) -> Iterator[Log]:
    with eventlog.open(url) as log:
        log.session("s", create=True).append(Message.user("x"))
        yield log


def test_a_bound_that_counts_nothing_is_refused(filled: Log) -> None:
    for value in ODD:
        for name in ("after", "until", "limit"):
            arguments: dict[str, Any] = {name: value}
            with pytest.raises(InvalidArgument, match=name):
                list(filled.read("s", **arguments))
            if name != "until":
                with pytest.raises(InvalidArgument, match=name):
                    list(filled.read_all(**arguments))
    assert len(list(filled.read("s", after=0, until=2**63 - 1, limit=2**63 - 1))) == 2


@pytest.mark.parametrize("types", ["x", b"x", 5, [1], [None], [[]], object(), {"a": 1}.values()])
def test_types_that_are_no_list_of_texts_are_refused(filled: Log, types: Any) -> None:
    with pytest.raises(InvalidArgument, match="types"):
        list(filled.read_all(types=types))
    with pytest.raises(InvalidArgument, match="types"):
        filled.follow(types=types)

    async def follow() -> None:
        async for _ in eventlog.AsyncLog(filled).follow(types=types):
            raise AssertionError

    with pytest.raises(InvalidArgument, match="types"):
        asyncio.run(follow())


@pytest.mark.parametrize(
    "now", [0, -1, -(10**17), 253_402_300_799_999_999, 253_402_300_800_000_000, 2**62, 2**63 - 1]
)
def test_a_clock_of_any_year_does(url: str, now: int) -> None:
    """Beyond year 9999, before 1970, and as far as 63 bits go."""
    with eventlog.open(url, clock=lambda: now) as log:
        policy = AutoCommitPolicy(idle_seconds=60)
        session = log.session("s", create=True, auto_commit=policy)
        session.append(Message.user("x"))
        session.commit()
        assert Worker(log).run_once() == 1
        log.commit_idle()
        assert session.meta.status == "open"
        assert all(entry.time for entry in islice(log.read("s"), 9)) or now <= 0
        assert log.verify("s") == []


@pytest.mark.parametrize("now", [2**63, 2**70, -(2**63), 1.5, None, "x", True, float("nan")])
def test_a_clock_that_tells_no_time_is_refused_and_stores_nothing(url: str, now: Any) -> None:
    times: list[Any] = [now]
    with eventlog.open(url, clock=lambda: times[0]) as log:
        with pytest.raises(InvalidArgument, match="the clock"):
            log.session("s", create=True).append(Message.user("x"))
        assert not log.exists("s")
        times[0] = 1
        log.session("s", create=True).append(Message.user("x"))


def test_what_a_clock_raises_harms_the_one_call(url: str) -> None:
    is_broken = True

    def clock() -> int:
        if is_broken:
            raise ZeroDivisionError
        return 1

    with eventlog.open(url, clock=clock) as log:
        session = log.session("s", create=True)
        with pytest.raises(ZeroDivisionError):
            session.append(Message.user("x"))
        is_broken = False
        session.append(Message.user("y"))
        assert [message.text for message in session.tail()] == ["y"]
