"""A closed log: every call that would read or write raises `LogClosed`, on every store.

The methods are found in the classes and their arguments made from their signatures, so a new method
is tested without being named here. Properties, which do no I/O, may answer.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

import eventlog
from eventlog import (
    AsyncLog,
    AsyncSession,
    AsyncWorker,
    ConflictError,
    CorruptLog,
    Event,
    InvalidError,
    Log,
    LogClosed,
    Message,
    Session,
    Worker,
)
from eventlog.projections.meta import Meta
from eventlog.store import Store
from eventlog.testing.inside import engine_of

FACES: Final = (Log, Session, Worker)
TWINS: Final = (AsyncLog, AsyncSession, AsyncWorker)

ENDS: Final = {(Log, "close"), (AsyncLog, "close"), (Worker, "stop"), (AsyncWorker, "stop")}
"""What ends something that may have ended already."""

TASK: Final = "01890a5d-ac96-774b-bcce-b302099a8057"


class Noted(Event, type="acme.noted", keys="acme"):
    """An event of a user's own, which can be found by a key."""


BY_NAME: Final[dict[str, Any]] = {
    "id": "s",
    "kind": "acme.index",
    "task_id": TASK,
    "archive_id": "archive_001",
    "blame.path": "meta",
    "content": "text",
    "find.key": "acme",
    "find.prefix": "acme",
    "into": "forked",
    "policy": "skip",
    "value": 64 * "0",
}
BY_KEYWORD: Final[dict[str, dict[str, Any]]] = {
    "at": {"version": 1},
    "withdraw": {"last": 1},
    "replace": {"after": 0, "messages": [Message.user("hello")]},
}
"""What a method must be given one of, by its own name."""

BY_ANNOTATION: Final[dict[str, Callable[[Path], Any]]] = {
    "str": lambda _: "s",
    "int": lambda _: 1,
    "str | Callable[[Moment], object]": lambda _: "version > 0",
    "str | PathLike[str]": lambda folder: folder,
    "str | os.PathLike[str]": lambda folder: folder,
    "Message | dict[str, Any]": lambda _: Message.user("hello"),
    "Iterable[Message | dict[str, Any]]": lambda _: [Message.user("hello")],
    "Projection[Any, View]": lambda _: Meta(),
    "Sequence[str]": lambda _: ["s"],
    "Event": lambda _: Noted(),
    "Event | Message | dict[str, Any]": lambda _: Noted(),
}
"""What a required argument is, by its name or else by its type."""


def methods(cls: type) -> list[tuple[type, str]]:
    """Return the public methods of a class that may not answer when the log is closed."""
    return [
        (cls, name)
        for name, method in inspect.getmembers_static(cls)
        if inspect.isfunction(method) and not name.startswith("_") and (cls, name) not in ENDS
    ]


def arguments(cls: type, name: str, folder: Path) -> list[Any]:
    """Make a value for each argument that a method must be given."""
    required = [
        parameter
        for parameter in inspect.signature(getattr(cls, name)).parameters.values()
        if (parameter.default is parameter.empty and parameter.name != "self")
        or parameter.name == "id"
    ]
    required = [
        it
        for it in required
        if it.kind is not it.VAR_KEYWORD and it.name not in BY_KEYWORD.get(name, {})
    ]
    assert not [it for it in required if it.kind is it.KEYWORD_ONLY], name
    return [
        BY_NAME.get(f"{name}.{it.name}", BY_NAME.get(it.name))
        or BY_ANNOTATION[it.annotation](folder)
        for it in required
    ]


def filled(url: str) -> Log:
    """Open a log in which every iterator has something to yield."""
    log = eventlog.open(url)
    for name in ("s", "t"):
        session = log.session(name, create=True)
        for text in ("a", "b"):
            session.append(Message.user(text))
        session.record(Noted())
        session.commit()
        session.enqueue(Message.user("c"))
    return log


def face(cls: type, log: Log) -> Any:
    """Return an open log's object of a class."""
    made: dict[type, Callable[[], Any]] = {
        Log: lambda: log,
        Session: lambda: log.session("s"),
        Worker: lambda: Worker(log),
    }
    return made[cls]()


async def twin(cls: type, log: AsyncLog) -> Any:
    if cls is AsyncSession:
        return await log.session("s")
    return log if cls is AsyncLog else AsyncWorker(log)


def method_of(opened: object, name: str) -> Callable[..., Any]:
    """Return a method with those of its arguments that it takes by keyword alone."""
    return partial(getattr(opened, name), **BY_KEYWORD.get(name, {}))


def call(method: Callable[..., Any], given: list[Any]) -> object:
    """Call a method; of an iterator take the first entry."""
    result = method(*given)
    if hasattr(result, "__enter__"):  # A turn or a stream begins when its block is entered.
        with result:
            return None
    return next(result, None) if isinstance(result, Iterator) else result


async def call_async(method: Callable[..., Any], given: list[Any]) -> object:
    result = method(*given)
    if isinstance(result, AsyncIterator):
        return await anext(result)
    if hasattr(result, "__aenter__"):
        async with result:
            return None
    return await result


ALL: Final = [entry for cls in FACES for entry in methods(cls)]
ALL_ASYNC: Final = [entry for cls in TWINS for entry in methods(cls)]
ITERATORS: Final = [
    (cls, name)
    for cls, name in ALL
    if "Iterator" in str(inspect.signature(getattr(cls, name)).return_annotation)
]


def test_the_methods_are_found() -> None:
    assert {(Log, "read"), (Session, "append"), (Worker, "run")} <= {*ALL}
    assert [name for _, name in ALL] == [name for _, name in ALL_ASYNC]
    of_log = {"sessions", "tasks", "read", "read_all", "follow", "find", "runs"}
    assert {name for cls, name in ITERATORS if cls is Log} == of_log
    assert {name for cls, name in ITERATORS if cls is Session} == {"find", "follow_message"}


def test_a_closed_log_says_so(log_url: str, tmp_path: Path) -> None:
    log = filled(log_url)
    faces: dict[type, Any] = {cls: face(cls, log) for cls in FACES}
    log.close()

    answered: list[str] = []
    for cls, name in ALL:
        given = arguments(cls, name, tmp_path / "folder")
        try:
            call(method_of(faces[cls], name), given)
        except LogClosed:
            continue
        answered.append(f"{cls.__name__}.{name}")  # pragma: no cover

    assert answered == []
    assert not (tmp_path / "folder").exists()
    log.close()


@pytest.mark.parametrize("closed_by", ["itself", "the log beneath"])
def test_a_closed_asynchronous_log_says_so(log_url: str, tmp_path: Path, closed_by: str) -> None:
    async def main() -> list[str]:
        log = filled(log_url)
        outer = AsyncLog(log)
        faces: dict[type, Any] = {cls: await twin(cls, outer) for cls in TWINS}
        await (outer.close() if closed_by == "itself" else asyncio.to_thread(log.close))
        answered: list[str] = []
        for cls, name in ALL_ASYNC:
            given = arguments(cls, name, tmp_path / "folder")
            try:
                await call_async(method_of(faces[cls], name), given)
            except LogClosed:
                continue
            answered.append(f"{cls.__name__}.{name}")  # pragma: no cover
        await outer.close()
        return answered

    assert asyncio.run(main()) == []
    assert not (tmp_path / "folder").exists()


def test_what_does_no_reading_still_answers(log_url: str) -> None:
    log = filled(log_url)
    session, durability = log.session("s"), log.durability
    log.close()

    assert (session.id, session.meta.total_message_count, session.folder) == ("s", 2, None)
    assert session.version > 0
    assert log.durability == durability


# ---- iterators --------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [False, True])
def test_an_iterator_from_before_does_not_outlive_its_log(
    log_url: str, tmp_path: Path, begun: bool
) -> None:
    """L6: following ends with the log; every other iterator that goes on is refused."""
    log = filled(log_url)
    open_ = {
        name: getattr(log, name)(*arguments(cls, name, tmp_path))
        for cls, name in ITERATORS
        if cls is Log
    }
    if begun:
        for entries in open_.values():
            next(entries)
    log.close()

    if begun:
        assert list(open_.pop("follow")) == []
    for entries in open_.values():
        with pytest.raises(LogClosed):
            next(entries)


@pytest.mark.parametrize("begun", [False, True])
def test_an_asynchronous_iterator_from_before_does_not_outlive_its_log(
    log_url: str, tmp_path: Path, begun: bool
) -> None:
    """Although the page that it is in was read before."""

    async def main() -> None:
        log = AsyncLog(filled(log_url))
        open_ = {
            name: getattr(log, name)(*arguments(cls, name, tmp_path))
            for cls, name in ITERATORS
            if cls is Log
        }
        if begun:
            for entries in open_.values():
                await anext(entries)
        await log.close()

        if begun:
            assert [entry async for entry in open_.pop("follow")] == []
        for entries in open_.values():
            with pytest.raises(LogClosed):
                await anext(entries)

    asyncio.run(main())


def test_an_asynchronous_follower_that_waits_ends_with_its_log(log_url: str) -> None:
    """L6."""

    async def main() -> list[Any]:
        log = filled(log_url)
        outer = AsyncLog(log)
        waits, begun, loop = log.store.wait, asyncio.Event(), asyncio.get_running_loop()

        def watched(after: eventlog.Position, timeout: float) -> bool:
            loop.call_soon_threadsafe(begun.set)
            return waits(after, timeout)

        log.store.wait = watched  # type: ignore[method-assign]

        async def rest() -> list[Any]:
            return [entry async for entry in outer.follow(log.position())]

        following = asyncio.create_task(rest())
        await begun.wait()
        await outer.close()
        return await asyncio.wait_for(following, 60)

    assert asyncio.run(main()) == []


# ---- at the same time -------------------------------------------------------------------------

VERBS: Final = ("read", "read_all", "head", "tip", "find", "scan", "get_blob", "put_blob")


def close_during(log: Log, number: int) -> None:
    """Have the log closed by another while the store is called for the ``number``-th time."""
    left = [number]

    def watched(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                engine_of(log).store.close()
            return inner(*args, **kwargs)

        return call

    for verb in VERBS:
        setattr(log.store, verb, watched(getattr(log.store, verb)))


@pytest.mark.parametrize("store", ["memory", "sqlite", "files"])
@pytest.mark.parametrize("number", [1, 3])
def test_what_is_under_way_fails_with_nothing_but_that_the_log_was_closed(
    tmp_path: Path, store: str, number: int
) -> None:
    """It may be answered, too; what the store says of being closed meanwhile reaches nobody."""
    for place, (cls, name) in enumerate(ALL):
        path = tmp_path / str(place)
        urls = {"memory": "memory:", "sqlite": f"sqlite:///{path}.db", "files": f"files:///{path}"}
        log = filled(urls[store])
        opened = face(cls, log)
        if cls is Worker:
            opened.stop()
        close_during(log, number)
        given = arguments(cls, name, tmp_path / f"folder-{place}")
        # Its arguments may be refused after the store has answered all calls; no value is stored.
        with suppress(InvalidError, ConflictError, CorruptLog, FileNotFoundError):
            call(method_of(opened, name), given)
        log.close()


def test_a_store_stays_usable_by_who_brought_it() -> None:
    """The door is the log's: another log on the same storage is not closed with it."""
    first = eventlog.open("memory:")
    store: Store = first.store
    first.session("s", create=True).append(Message.user("hello"))
    first.close()

    assert Log(store).exists("s")
