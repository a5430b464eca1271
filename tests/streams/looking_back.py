"""What was live at a version is what is seen of it later: here, in a bundle, in a copy, in an older log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest

from eventlog import Event, InvalidArgument, Log, Projection, Session
from eventlog.audit.index_check import rebuild_index
from eventlog.chain import GENESIS, chained_record
from eventlog.exchange.bundle.reading import read_bundle_bytes
from eventlog.exchange.bundle.store import BundleStore
from eventlog.exchange.bundle.writing import bundle_bytes
from eventlog.exchange.copying import copy_log
from eventlog.records import START, Append, Position
from eventlog.session_face import core_of
from eventlog.stores.memory import MemoryStore
from eventlog.testing.files import FilesBacking

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eventlog import Moment, Recorded
    from eventlog.records import Record
    from eventlog.store import Store

__all__ = ["Noted", "Seen", "expect_the_past", "look"]


class Noted(Event, type="programs.noted", schema=2, upcasters={1: lambda data: {"by": data["n"]}}):
    """An event of an application, which had another field once."""

    by: int


class Sum(Projection[int, int]):
    name = "programs.sum"
    types = frozenset({"programs.noted"})

    def initial(self) -> int:
        return 0

    def apply(self, state: int, recorded: Recorded) -> int:
        return state + cast("Noted", recorded.event).by

    def view(self, state: int) -> int:
        return state


class Seen(NamedTuple):
    """What was live at a version."""

    state: Any
    tail: Any
    history: Any
    context: Any
    archives: Any


def look(shown: Session | Moment) -> Seen:
    """Return what a session, or a moment of it, shows."""
    core = core_of(shown) if isinstance(shown, Session) else shown._core  # pyright: ignore[reportPrivateUsage]
    context = shown.context(token_budget=2_000)
    return Seen(
        core.state.copy(),
        shown.tail(),
        shown.history(),
        (context.latest_archive_overview, context.messages, context.stats),
        shown.archives(),
    )


def expect_the_past(store: Store, noted: Mapping[int, Seen]) -> None:
    """A3: compare each version at which an append ended with what was live at it, in four logs."""
    log = Log(store)
    _expect(log, noted, noted)
    _expect_places(log)
    some = sorted(noted)[:: max(1, len(noted) // 3)]
    data, _ = bundle_bytes(store, ["s"])
    _expect(Log(BundleStore(read_bundle_bytes(data))), noted, some)
    copied = FilesBacking(segment_bytes=2_000)
    copy_log(store, copied.watch())
    _expect(Log(copied.watch()), noted, some)
    copied.close()
    older = list(_older(store.read("s")))
    lived = {version: _live(older[:version]) for version in noted}
    _expect(Log(_store_of(older)), lived, some)
    assert _sum(Log(_store_of(older))) == _sum(log)


def _expect(log: Log, noted: Mapping[int, Seen], whole: Iterable[int]) -> None:
    session = log.session("s", follow_folder=False)
    for version, live in noted.items():
        moment = session.at(version=version)
        assert moment.was_live, version
        assert moment._core.state == live.state, version  # pyright: ignore[reportPrivateUsage]
        assert moment.tail() == live.tail, version
        if version in whole:
            assert look(moment) == live, version


def _expect_places(log: Log) -> None:
    """Times that several records share, positions, and what is beyond the end."""
    session = log.session("s", follow_folder=False)
    recorded = list(log.read("s"))
    last_at = {each.time: each.version for each in recorded}  # In order, so the last one stays.
    for time, version in last_at.items():
        assert session.at(time=time).version == version
    for each in recorded[:: max(1, len(recorded) // 5)]:
        assert session.at(position=each.position).version == each.version
    with pytest.raises(InvalidArgument):
        session.at(version=session.version + 1)
    with pytest.raises(InvalidArgument):
        session.at(position=Position(log.position() + 1))
    assert session.at(time="9999-01-01T00:00:00Z").version == session.version


def _older(records: Iterable[Record]) -> Iterable[Record]:
    """Yield the records as an earlier version would have written them: of schema 1, in a chain."""
    previous = GENESIS
    for record in records:
        data, schema = record.data, record.schema
        if record.type == "message_appended":
            schema = 1
        elif record.type == "programs.noted":
            schema, data = 1, json.dumps({"n": json.loads(data)["by"]}).encode()
        written = chained_record(
            previous, "s", record.version, record.event_id, record.type, schema, record.time, data,
            record.metadata,
        )  # fmt: skip
        previous = written.hash
        yield written._replace(position=START)


def _store_of(records: list[Record]) -> MemoryStore:
    store = MemoryStore()
    store.append([Append("s", 0, tuple(records))])
    rebuild_index(store)
    return store


def _live(records: list[Record]) -> Seen:
    """Return what a log shows that has just these records: it is what was live after them."""
    return look(Log(_store_of(records)).session("s"))


def _sum(log: Log) -> int:
    return log.project("s", Sum())
