"""Projections that are folded as records come, and read without I/O (M15)."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from typing import Any

import pytest

import eventlog
from eventlog import Event, Finalizer, Log, Message, Projection, Recorded, Worker
from eventlog.engine.watch import FOLD_AT
from eventlog.errors import InvalidArgument, LogClosed
from eventlog.testing.wrapping import StoreCall, WrappedStore


class Placed(Event, type="watch.placed"):
    cents: int


class Turnover(Projection[dict[str, Any], dict[str, Any]]):
    """What was ordered: the versions and positions, and the sum."""

    name = "turnover"
    types = frozenset({"watch.placed"})

    def initial(self) -> dict[str, Any]:
        return {"sum": 0, "places": []}

    def apply(self, state: dict[str, Any], recorded: Recorded) -> dict[str, Any]:
        event = recorded.event
        assert isinstance(event, Placed)
        if event.cents < 0:
            raise ZeroDivisionError("a negative order")
        state["sum"] += event.cents
        state["places"].append((recorded.version, recorded.position))
        return state

    def view(self, state: dict[str, Any]) -> dict[str, Any]:
        return state


class All(Projection[list[str], list[str]]):
    """The types of all records."""

    name = "all"

    def initial(self) -> list[str]:
        return []

    def apply(self, state: list[str], recorded: Recorded) -> list[str]:
        return [*state, recorded.type]

    def view(self, state: list[str]) -> list[str]:
        return state


def whole(log: Log, session: str = "s") -> dict[str, Any]:
    return eventlog.replay(log.read(session), Turnover())


def test_what_this_process_records_is_seen_at_once(log: Log) -> None:
    session = log.session("s", create=True)
    watch = session.watch(Turnover())
    assert watch.view == {"sum": 0, "places": []}

    for cents in (1, 20, 300):
        session.record(Placed(cents=cents))
        log.session("s").append(Message.user("x"))
        assert watch.view == whole(log)
        assert watch.version == session.version
    assert watch.view["sum"] == 321


def test_what_was_recorded_before_is_in_it(log: Log) -> None:
    session = log.session("s", create=True)
    session.record(Placed(cents=5), Placed(cents=6))

    assert session.watch(Turnover()).view == whole(log)


def test_what_others_record_is_seen_as_the_metadata_is(log: Log, rival: Log) -> None:
    session = log.session("s", create=True)
    session.record(Placed(cents=1))
    watch = session.watch(Turnover())
    rival.session("s").record(Placed(cents=10))

    assert (watch.version, watch.view["sum"]) == (session.version, 1)
    session.refresh()
    assert (watch.version, watch.view["sum"]) == (session.version, 11)
    rival.session("s").record(Placed(cents=100))
    session.record(Placed(cents=1_000))
    assert watch.view == whole(log)
    assert watch.version == session.version


def test_a_session_that_another_process_creates_is_followed(log: Log, rival: Log) -> None:
    session = log.session("s", create=True)
    watch = session.watch(Turnover())
    rival.session("s", create=True).record(Placed(cents=7))
    session.refresh()

    assert watch.view == whole(log)


def test_what_a_worker_records_is_in_it(log: Log) -> None:
    session = log.session("s", create=True)
    watch = session.watch(All())
    session.append(Message.user("x"))
    session.commit()
    Worker(log, Finalizer()).run_once()
    session.refresh()

    assert watch.view == [each.type for each in log.read("s")]
    assert "archive_finalized" in watch.view


def test_reading_does_no_io() -> None:
    calls: list[str] = []

    class Counting(WrappedStore):
        def around(self, call: StoreCall, go_on: Any) -> Any:
            calls.append(call.verb)
            return go_on()

    with eventlog.open("memory:") as plain, Log(Counting(plain.store)) as log:
        session = log.session("s", create=True)
        watch = session.watch(Turnover())
        session.record(Placed(cents=1))
        calls.clear()
        assert watch.view["sum"] == 1
        assert watch.version == 2
        assert calls == []


def test_what_is_read_is_a_copy(log: Log) -> None:
    session = log.session("s", create=True)
    session.record(Placed(cents=1))
    watch = session.watch(Turnover())
    seen = watch.view
    seen["places"].clear()
    seen["sum"] = 99
    kept = watch.view
    session.record(Placed(cents=2))

    assert kept["sum"] == 1
    assert len(kept["places"]) == 1
    assert watch.view == whole(log)


def test_a_fold_that_raises_fails_its_own_reads_only(log: Log) -> None:
    session = log.session("s", create=True)
    good, bad = session.watch(All()), session.watch(Turnover())
    session.record(Placed(cents=1))
    session.record(Placed(cents=-1), Message.user("x"))

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="negative") as found:
            _ = bad.view
        assert found.value.__notes__ == [
            "raised by the watched projection 'turnover': session 's', after version 2"
        ]
    session.record(Placed(cents=2))
    with pytest.raises(ZeroDivisionError):
        _ = bad.version
    assert len(good.view) == 5
    assert session.refresh().message_count == 1
    with pytest.raises(ZeroDivisionError):
        _ = session.watch(Turnover()).view


def test_records_are_folded_without_a_reader() -> None:
    """What waits is bounded: a thread folds it, if nobody reads."""
    folded = threading.Event()

    class Telling(All):
        name = "telling"
        types = frozenset({"watch.placed"})

        def apply(self, state: list[str], recorded: Recorded) -> list[str]:
            folded.set()
            return state

    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        watch = session.watch(Telling())
        for _ in range(FOLD_AT):
            session.record(Placed(cents=1))
        assert folded.wait(60)
        assert watch.version == session.version


def test_a_fold_that_waits_holds_up_no_command() -> None:
    may_go_on = threading.Event()

    class Waiting(All):
        name = "waiting"

        def apply(self, state: list[str], recorded: Recorded) -> list[str]:
            if recorded.type == "watch.placed":
                assert may_go_on.wait(60)
            return state

    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        watch = session.watch(Waiting())
        session.record(Placed(cents=1))
        seen: list[int] = []
        reader = threading.Thread(target=lambda: seen.append(watch.version))
        reader.start()
        session.record(Placed(cents=2))
        session.refresh()
        assert log.session("s").version == 3
        may_go_on.set()
        reader.join(60)
        assert seen
        assert watch.version == 3


def test_a_watch_ends_when_nobody_refers_to_it(log: Log) -> None:
    session = log.session("s", create=True)
    watch = session.watch(All())
    core = session._core  # pyright: ignore[reportPrivateUsage]
    assert len(core._watching()) == 1  # pyright: ignore[reportPrivateUsage]
    del watch
    gc.collect()

    assert core._watching() == []  # pyright: ignore[reportPrivateUsage]
    session.record(Placed(cents=1))
    kept = session.watch(All())
    assert len(core.watches) == 1
    assert kept.view == ["session_created", "watch.placed"]


def test_many_threads_record_while_others_read(log: Log) -> None:
    session = log.session("s", create=True)
    watch = session.watch(Turnover())

    def record() -> None:
        for _ in range(10):
            session.record(Placed(cents=1))
            seen = watch.view
            assert seen["sum"] == len(seen["places"])

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.view == whole(log)
    assert watch.view["sum"] == 40


def test_the_asynchronous_session_watches_too(log_url: str) -> None:
    async def run() -> None:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            watch = await session.watch(Turnover())
            await session.record(Placed(cents=3), Message.user("x"))
            assert watch.view["sum"] == 3
            assert watch.version == 3

    asyncio.run(run())


def test_a_closed_log_is_watched_no_more(log: Log) -> None:
    session = log.session("s", create=True)
    session.record(Placed(cents=3))
    watch = session.watch(Turnover())
    log.close()

    assert watch.view["sum"] == 3
    with pytest.raises(LogClosed):
        session.watch(Turnover())


def test_what_is_no_projection_is_refused(log: Log) -> None:
    with pytest.raises(InvalidArgument, match="not a projection"):
        log.session("s", create=True).watch(7)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="not a projection"):
        log.session("s", create=True).watch(Turnover)  # type: ignore[arg-type]


def test_a_watch_says_what_it_is(log: Log) -> None:
    watch = log.session("s", create=True).watch(Turnover())
    assert repr(watch) == "<Watch of 'turnover' on session 's'>"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_watches_on(tmp_path: Any) -> None:
    with eventlog.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        session = log.session("s", create=True)
        session.record(Placed(cents=1))
        watch = session.watch(Turnover())
        child = os.fork()
        if not child:
            code = 1
            try:
                session.record(Placed(cents=2))
                code = 0 if watch.view == whole(log) and watch.view["sum"] == 3 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        session.refresh()
        assert watch.view == whole(log)
