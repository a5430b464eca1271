"""Everything a user can do with a log, each call by itself: it returns, or raises a typed error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from eventlog import Log, Message, Projection, Session, Worker
from eventlog.audit.index_check import compare_index, rebuild_index
from eventlog.cli.verify import verify_everything
from eventlog.errors import EventLogError
from eventlog.exchange.copying import copy_log
from eventlog.projections import Archives, LiveTail, Meta, Tasks, Usage
from eventlog.stores.memory import MemoryStore

SESSIONS = ("chat", "other", "gone")

Operation = Callable[[Log], object]


def _reading(name: str) -> Iterator[tuple[str, Operation]]:
    def of(call: Callable[[Any], object]) -> Operation:
        return lambda log: call(log.session(name))

    yield "meta", of(lambda session: session.meta)
    yield "tail", of(lambda session: session.tail())
    yield "last", of(lambda session: session.tail(2))
    yield "history", of(lambda session: session.history(hydrate=True))
    yield "context", of(lambda session: session.context())
    yield "search", of(lambda session: session.context_for_search("x"))
    yield "truncated", of(lambda session: session.truncated())
    yield "archives", of(lambda session: session.archives())
    for number in (1, 2):
        yield f"archive {number}", of(_archive(f"archive_00{number}"))
    yield "output", of(lambda session: session.tool_output("calls", "big"))
    yield "find", of(lambda session: session.search_tool_output("calls", "big", "x"))
    yield "read", lambda log: [(e.event, e.metadata, e.time) for e in log.read(name)]
    yield "backwards", lambda log: [e.event_id for e in log.read(name, reverse=True, limit=3)]
    for projection in (Archives, LiveTail, Meta, Tasks, Usage):
        yield projection.name, _project(name, projection)
    yield "verify", lambda log: log.verify(name)


def _archive(archive_id: str) -> Callable[[Session], object]:
    return lambda session: session.archive(archive_id, hydrate=True)


def _project(name: str, projection: type[Projection[Any, Any]]) -> Operation:
    return lambda log: log.project(name, projection())


def _writing(name: str) -> Iterator[tuple[str, Operation]]:
    def of(call: Callable[[Any], object]) -> Operation:
        return lambda log: call(log.session(name))

    yield "append", of(lambda session: session.append(Message.user("more")))
    yield "again", of(lambda session: session.append(Message.user("text 1", id="m1")))
    yield (
        "result",
        of(lambda session: session.record_tool_result("calls", "open", "out", status="completed")),
    )
    yield "used", of(lambda session: session.used(["a"]))
    yield "retry", of(lambda session: session.retry("archive_001"))
    yield "commit", of(lambda session: session.commit(keep_recent=1))
    yield "abandon", of(lambda session: session.abandon("archive_002"))


def _whole() -> Iterator[tuple[str, Operation]]:
    yield "sessions", lambda log: list(log.sessions())
    yield "latest", lambda log: log.latest_session("/work")
    yield "tasks", lambda log: [log.task(view.task_id) for view in log.tasks()]
    yield "read_all", lambda log: [(e.event, e.metadata, e.time) for e in log.read_all()]
    yield "follow", lambda log: list(islice(log.follow(), 3))
    yield "check", lambda log: log.store.check()
    yield "settings", lambda log: log.store.settings()
    yield "verify all", verify_everything
    yield "compare", lambda log: compare_index(log.store)
    yield "copy", lambda log: copy_log(log.store, MemoryStore())


def _moving() -> Iterator[tuple[str, Operation]]:
    yield "commit_idle", lambda log: log.commit_idle()
    yield "work", lambda log: Worker(log).run_once()
    yield "rebuild", lambda log: rebuild_index(log.store)


def operations() -> list[tuple[str, Operation]]:
    """Return all calls with their names, those that change nothing first."""
    found = [*_whole()]
    for name in SESSIONS:
        found += [(f"{name}: {call}", operation) for call, operation in _reading(name)]
    for name in SESSIONS[:2]:
        found += [(f"{name}: {call}", operation) for call, operation in _writing(name)]
    return [*found, *_moving()]


def raw_errors(open_log: Callable[[], Log]) -> tuple[int, dict[str, BaseException]]:
    """Return how many calls were made of a log, and those that raised what is no error of ours."""
    raw: dict[str, BaseException] = {}
    made = 1
    try:
        log = open_log()
    except EventLogError:
        return made, raw
    except Exception as error:  # noqa: BLE001 - what is looked for
        return made, {"open": error}
    for name, operation in [*operations(), ("close", Log.close)]:
        made += 1
        try:
            operation(log)
        except EventLogError:
            pass
        except Exception as error:  # noqa: BLE001 - what is looked for
            raw[name] = error
    return made, raw
