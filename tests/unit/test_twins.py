"""The synchronous and the asynchronous face are one: the same names, arguments and results."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

import eventlog
from eventlog import (
    AsyncLog,
    AsyncSession,
    AsyncTurn,
    AsyncWorker,
    Log,
    Message,
    Session,
    Turn,
    Worker,
)
from eventlog.message_streams import AsyncMessageStream, MessageStream

PAIRS = [
    (Log, AsyncLog),
    (Session, AsyncSession),
    (Worker, AsyncWorker),
    (Turn, AsyncTurn),
    (MessageStream, AsyncMessageStream),
]
ITERATING = {"find", "read", "read_all", "follow", "follow_message", "runs", "tasks", "sessions"}
"""Methods whose results are iterated over, so they are not awaited."""

IMMEDIATE = {"stop", "stream", "turn"}
"""Methods that do no I/O, so they are not awaited either."""


def public(cls: type) -> dict[str, Any]:
    names = [name for name in dir(cls) if not name.startswith("_")]
    return {name: inspect.getattr_static(cls, name) for name in names}


def documentation(cls: type, name: str) -> str:
    return inspect.getdoc(getattr(cls, name)) or ""


def parameters(function: Any) -> list[tuple[str, Any, Any, Any]]:
    """Return names, kinds, defaults and annotations of a method's arguments."""
    return [
        (parameter.name, parameter.kind, parameter.default, parameter.annotation)
        for parameter in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize(("plain", "awaited"), PAIRS, ids=lambda cls: cls.__name__)
def test_twins_have_the_same_names(plain: type, awaited: type) -> None:
    assert set(public(plain)) == set(public(awaited))


@pytest.mark.parametrize(("plain", "awaited"), PAIRS, ids=lambda cls: cls.__name__)
def test_twins_take_the_same_arguments(plain: type, awaited: type) -> None:
    for name, method in public(plain).items():
        twin = public(awaited).get(name)
        if inspect.isfunction(method) and twin is not None:
            assert parameters(method) == parameters(twin), name


@pytest.mark.parametrize(("plain", "awaited"), PAIRS, ids=lambda cls: cls.__name__)
def test_of_each_pair_one_is_awaited(plain: type, awaited: type) -> None:
    for name, twin in public(awaited).items():
        if not inspect.isfunction(twin) or name in IMMEDIATE:
            continue
        assert not inspect.iscoroutinefunction(public(plain)[name]), name
        if name in ITERATING:
            assert "AsyncIterator" in str(inspect.signature(twin).return_annotation)
            assert "Iterator" in str(inspect.signature(public(plain)[name]).return_annotation)
        else:
            assert inspect.iscoroutinefunction(twin), name


@pytest.mark.parametrize(("plain", "awaited"), PAIRS[:2], ids=lambda cls: cls.__name__)
def test_twins_return_the_same(plain: type, awaited: type) -> None:
    for name, method in public(plain).items():
        twin = public(awaited).get(name)
        if not inspect.isfunction(method) or twin is None:
            continue
        annotation = str(inspect.signature(method).return_annotation)
        expected = annotation
        for name_of_plain in ("Iterator", "Session", "Moment", "MessageStream", "Turn"):
            expected = expected.replace(name_of_plain, f"Async{name_of_plain}")
        found = str(inspect.signature(twin).return_annotation)
        assert found in (expected, annotation), name


@pytest.mark.parametrize(("plain", "awaited"), PAIRS, ids=lambda cls: cls.__name__)
def test_twins_are_documented_alike(plain: type, awaited: type) -> None:
    """The first line is the same; what follows is written once, and referred to by the other."""
    for name in public(plain):
        said, _, more = documentation(plain, name).partition("\n")
        repeated, _, twin = documentation(awaited, name).partition("\n")
        assert said == repeated, name
        assert not more or twin, name


def test_a_worker_takes_the_options_of_its_twin() -> None:
    """DESIGN: ``Worker(log, finalizer, *, concurrency, lease_seconds, name, retry)``."""
    options = inspect.signature(AsyncWorker).parameters
    assert list(options)[:2] == ["log", "finalizer"]
    assert options["concurrency"].default == 4
    assert options["lease_seconds"].default == 300.0
    assert {"name", "retry"} <= set(options)
    assert parameters(Worker)[1:] == parameters(AsyncWorker)[1:]


@pytest.mark.parametrize("cls", [Log, Session, AsyncLog, AsyncSession, Worker, AsyncWorker])
def test_what_only_the_library_calls_is_on_no_face(cls: type) -> None:
    inside = {
        *("core", "cores", "execute", "answer", "submit", "run_in_thread", "wait", "blocking"),
        *(
            "begin_anew_after_fork",
            "clock",
            "ids",
            "files",
            "jumps",
            "estimate_tokens",
            "committer",
        ),
    }
    assert inside & {*dir(cls)} == set()
    with eventlog.open("memory:") as log:
        face = {Log: log, Session: log.session("s", create=True), Worker: Worker(log)}.get(cls)
        assert [name for name in vars(face or cls) if name in inside] == []


# ---- the promised names -----------------------------------------------------------------------

PROMISED: dict[str, list[str]] = {
    "eventlog": [
        "open",
        "open_async",
        "replay",
        "Message",
        "Worker",
        "Finalizer",
        "AsyncWorker",
        "RetryPolicy",
        "SummaryRequest",
        "Summary",
        "Extraction",
        "Skills",
        "NonRetryableError",
        "Event",
        "Projection",
        "EventLogError",
        "VersionConflict",
        "DuplicateEvent",
        "LeaseLost",
        "CommitBlocked",
        "IllegalTransition",
        "SessionNotFound",
        "ArchiveNotFound",
        "TaskNotFound",
        "SessionClosed",
        "InvalidMessage",
        "UnsupportedStore",
        "CorruptLog",
        "UnknownEventType",
        "ChainBroken",
        "CorruptFolder",
        "StoreUnavailable",
        "Indeterminate",
    ],
    "Log": ["session", "task", "tasks", "sessions", "read", "follow", "verify", "close"],
    "Session": [
        "append",
        "extend",
        "commit",
        "tail",
        "meta",
        "version",
        "refresh",
        "context",
        "archive",
        "archives",
        "history",
        "retry",
        "abandon",
        "used",
        "record_tool_result",
        "assign_project",
        "record",
        "close",
        "delete",
    ],
    "Worker": ["run", "run_once", "stop"],
    "Message": ["user", "assistant", "tool"],
}


@pytest.mark.parametrize("owner", PROMISED)
def test_the_promised_names_are_there(owner: str) -> None:
    """DESIGN: names under "Public face" are a promise to users and stay."""
    holder = eventlog if owner == "eventlog" else getattr(eventlog, owner)
    missing = [name for name in PROMISED[owner] if not hasattr(holder, name)]
    assert missing == []


def test_everything_that_is_exported_exists_and_has_a_docstring() -> None:
    assert len(set(eventlog.__all__)) == len(eventlog.__all__)
    for name in eventlog.__all__:
        assert hasattr(eventlog, name), name
        found = getattr(eventlog, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert inspect.getdoc(found), name


@pytest.mark.parametrize("cls", [Log, Session, AsyncLog, AsyncSession, Worker, AsyncWorker])
def test_every_public_method_has_a_docstring(cls: type) -> None:
    undocumented = {
        name
        for name, method in public(cls).items()
        if inspect.isfunction(method) and not inspect.getdoc(method)
    }
    assert undocumented == set()


# ---- both at work -----------------------------------------------------------------------------


def test_the_asynchronous_face_does_what_the_other_does(log_url: str) -> None:
    async def main() -> dict[str, Any]:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True, workspace="home")
            call = Message.call("look", {}, tool_id="t")
            await session.append(Message.user("question", id="m1"))
            await session.extend([Message.assistant("calling", tools=(call,), id="m2")])
            await session.record_tool_result("m2", "t", "found")
            await session.used(["memory://1"])
            result = await session.commit(keep_recent=1)
            await AsyncWorker(log).run_once()
            await session.assign_project("p")
            task = await log.task(result.task_id or "")
            context = await session.context()
            archive = await session.archive("archive_001")
            search = await session.context_for_search("q")
            await session.queue_task("acme.index")
            await session.close()
            return {
                "tail": [message.text for message in await session.tail()],
                "truncated": len(await session.truncated(recent=1)),
                "history": [message.id for message in await session.history()],
                "archives": [view.state for view in await session.archives()],
                "task": (task.state, task.archive_id),
                "overview": context.latest_archive_overview == archive.overview,
                "search": len(search.current_messages),
                "sessions": [name async for name in log.sessions(workspace="home")],
                "tasks": [view.state async for view in log.tasks(state="completed")],
                "read": [entry.version async for entry in log.read("s", reverse=True, limit=2)],
                "read_all": len([entry async for entry in log.read_all()]),
                "exists": await log.exists("s"),
                "latest": await log.latest_session("home"),
                "verify": await log.verify("s"),
                "durability": log.durability,
                "status": (await session.refresh()).status,
                "retry": await session.retry("archive_001"),
                "retry by id": await log.retry(result.task_id or ""),
                "repr": repr(session),
            }

    found = asyncio.run(main())

    assert found == {
        "tail": ["calling"],
        "truncated": 1,
        "history": ["m1", "m2"],
        "archives": ["completed"],
        "task": ("completed", "archive_001"),
        "overview": True,
        "search": 1,
        "sessions": ["s"],
        "tasks": ["completed"],
        "read": [13, 12],
        "read_all": 13,
        "exists": True,
        "latest": "s",
        "verify": [],
        "durability": {"memory": "none", "nats": "process"}.get(
            log_url.split(":", maxsplit=1)[0], "power"
        ),
        "status": "closed",
        "retry": "already_completed",
        "retry by id": "already_completed",
        "repr": "<AsyncSession 's' at version 13>",
    }


def test_an_asynchronous_log_is_awaited_or_entered(log_url: str) -> None:
    async def main() -> None:
        log = await eventlog.open_async(log_url)
        assert not await log.exists("s")
        await log.close()
        await log.close()
        async with log:
            pass

    asyncio.run(main())
