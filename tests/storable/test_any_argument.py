"""Every public method takes any value for any argument, or refuses it by a typed error (P10).

The methods and their arguments are found in the faces, so that one added later is tried, too.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest

import eventlog
from eventlog import (
    AsyncLog,
    AsyncMoment,
    AsyncSession,
    Event,
    EventLogError,
    InvalidArgument,
    Log,
    Message,
    Moment,
    Session,
    Value,
)
from eventlog.projections import Usage
from eventlog.stores.memory import MemoryStore
from tests.shares import NIGHTLY


class Tried(Event, type="any.argument"):
    """An event of a user."""


class Careless:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


ODD: Final[list[Any]] = [
    *(10**4300, -(10**4300), 2**63, 2**53 + 1, -1, 0, 1.5, float("nan"), float("inf"), True, None),
    *("", "\ud83d", "x\0y", "../..", "x" * 2_000, "tail[", "archive_" + "9" * 5_000, "2026-13-01"),
    *(
        b"\xff",
        [],
        {},
        (),
        object(),
        Careless(),
        [None],
        [Careless()],
        {"a": Careless()},
        len,
        type,
    ),
]

GIVEN: Final[dict[str, Any]] = {
    "archive_id": "archive_001",
    "content": "x",
    "contexts": ["viking://a"],
    "event": Tried(),
    "events": [Tried()],
    "fence": 1,
    "first": 1,
    "into": "another",
    "key": "acme",
    "kind": "acme.work",
    "message": Message.user("more"),
    "message_id": "m",
    "messages": [Message.user("more")],
    "output": "out",
    "path": "tail",
    "payload": {},
    "policy": "skip",
    "predicate": "version > 1",
    "prefix": "acme",
    "project": "p",
    "projection": Usage(),
    "provider": "p",
    "query": "x",
    "second": 2,
    "sequence": 1,
    "session": "s",
    "session_id": "s",
    "sessions": ["s"],
    "task_id": "none",
    "text": "x",
    "tool_id": "t",
    "turn_id": "turn-1",
    "value": Value(b"x"),
    "version": 1,
    "workspace": "/work",
}
"""What the arguments are that a method must be given, beside the one that is tried."""

SHARE: Final = 7
"""Of how many calls the suite makes one; all are made with the nightly profile."""

OF_FOLDERS: Final = {"adopt", "attach_folder", "bundle", "heal", "materialize"}
"""The methods whose ``path`` is a place on disk."""

USERS_CODE: Final = {
    ("bisect", "predicate", len),
    ("bisect", "predicate", type),
    ("fork", "edit", len),
}
"""What a caller's own function raises goes to the caller as it is."""


def store() -> MemoryStore:
    """Return a store with a session that has an archive and a call without result."""
    kept = MemoryStore()
    session = Log(kept).session("s", create=True, workspace="/work")
    session.append(Message.user("first"))
    session.commit()
    call = Message.call("look", {}, tool_id="t")
    session.append(Message.assistant("calling", tools=(call,), id="m"))
    return kept


def cases(face: type) -> Iterator[tuple[str, list[Any], str]]:
    """Yield each method of a face with its parameters, and each parameter to be tried."""
    for name, method in inspect.getmembers(face, callable):
        if not name.startswith("_"):
            parameters = [*inspect.signature(method).parameters.values()][1:]
            yield from ((name, parameters, each.name) for each in parameters)


def arguments(
    name: str, parameters: list[Any], tried: str, value: Any, folder: Path
) -> dict[str, Any]:
    """Return what a method is called with: the value, and what it must have beside that."""
    given: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            given["*"] = [value if parameter.name == tried else Tried()]
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            given["*"] = [value if parameter.name == tried else GIVEN[parameter.name]]
        elif parameter.kind is parameter.VAR_KEYWORD:
            given |= {"field": value} if parameter.name == tried else {}
        elif parameter.name == tried:
            given[tried] = value
        elif parameter.default is inspect.Parameter.empty:
            is_place = parameter.name == "path" and name in OF_FOLDERS
            given[parameter.name] = place(folder, name) if is_place else GIVEN[parameter.name]
    return given


def place(folder: Path, name: str) -> Path:
    """Return a folder to write to; `Log.adopt` finds a session of another program there."""
    if name == "adopt":
        (folder / "foreign").mkdir(exist_ok=True)
        line = '{"id": "a", "role": "user", "parts": [{"type": "text", "text": "hi"}]}\n'
        (folder / "foreign/messages.jsonl").write_text(line)
        return folder / "foreign"
    return folder / "place"


def called(method: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Call a method with arguments by name; those of ``*`` are positional."""
    return method(*given.get("*", ()), **{name: given[name] for name in given if name != "*"})


def problem_of(call: Callable[[], object]) -> str | None:
    """Return what is wrong with how a call ended; None if it returned or refused as it should."""
    try:
        found = call()
        if hasattr(found, "__next__"):
            list(islice(found, 3))  # type: ignore[call-overload]
    except EventLogError as refusal:
        str(refusal).encode()
    except FileNotFoundError:  # Of `Log.adopt`, which says so.
        return None
    except Exception as error:  # noqa: BLE001 - what is looked for
        return f"{type(error).__name__}: {ascii(error)[:60]}"
    return None


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("face", [Log, Session, Moment])
def test_any_value_for_any_argument_is_taken_or_refused(
    face: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    tried = number = 0
    monkeypatch.setattr("eventlog.engine.checkpoints.WAITS", 0)
    monkeypatch.chdir(tmp_path)  # Some of the values are names of folders, which some calls make.
    for name, parameters, parameter in cases(face):
        for value in ODD:
            number += 1
            is_users = (name, parameter, value if callable(value) else None) in USERS_CODE
            if is_users or number % (1 if NIGHTLY else SHARE):
                continue
            log = Log(store())
            whole = {Log: log, Session: log.session("s")}.get(face) or log.session("s").at(
                version=3
            )
            given = arguments(name, parameters, parameter, value, tmp_path)
            if name == "follow":  # It waits for more, which `next` would.
                call: Callable[[], object] = lambda: called(log.follow, given) and None  # noqa: B023, E731
            else:
                call = lambda: called(getattr(whole, name), given)  # noqa: B023, E731
            tried += 1
            problem = problem_of(call)
            if problem is not None:
                found.append(f"{name}({parameter}=): {problem}")
            log.close()
    assert sorted(set(found)) == []
    assert tried > {Log: 100, Session: 300, Moment: 50}[face]


ALMOST_ANY: Final[list[Any]] = [
    10**4300,
    -1,
    float("nan"),
    None,
    "",
    "\ud83d",
    b"\xff",
    [],
    Careless(),
]


@pytest.mark.parametrize("face", [AsyncLog, AsyncSession, AsyncMoment])
def test_the_twins_refuse_the_same(
    face: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    monkeypatch.setattr("eventlog.engine.checkpoints.WAITS", 0)
    monkeypatch.chdir(tmp_path)  # Some of the values are names of folders, which some calls make.

    async def try_one(name: str, given: dict[str, Any]) -> None:
        log = AsyncLog(Log(store()))
        try:
            session = await log.session("s")
            whole = {AsyncLog: log, AsyncSession: session}.get(face) or await session.at(version=3)
            answer = called(getattr(whole, name), given)
            if isinstance(answer, Awaitable):
                await answer
            elif name != "follow" and hasattr(answer, "__aiter__"):
                async for _ in answer:
                    break
        finally:
            await log.close()

    with asyncio.Runner() as runner:
        for name, parameters, parameter in cases(face):
            for number, value in enumerate(ALMOST_ANY):
                if not NIGHTLY and number % 3 != len(parameter) % 3:
                    continue
                given = arguments(name, parameters, parameter, value, tmp_path)
                problem = problem_of(lambda: runner.run(try_one(name, given)))  # noqa: B023
                if problem is not None:
                    found.append(f"{name}({parameter}=): {problem}")
    assert sorted(set(found)) == []


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_what_is_no_place_of_a_log_is_refused(
    value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EventLogError):
        eventlog.open(value)
    if not isinstance(value, str) or "\0" in value or not value or not value.isprintable():
        with pytest.raises(InvalidArgument):
            eventlog.open_bundle(value)
