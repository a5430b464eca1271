"""Invalid arguments: each raises an error of ours, and nothing is stored (P10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import eventlog
from eventlog import (
    ArchiveNotFound,
    DuplicateEvent,
    InvalidArgument,
    InvalidError,
    Log,
    Message,
    NonRetryableError,
    Session,
    TaskNotFound,
    Worker,
)
from eventlog.worker.finalizer import Finalizer
from tests.shares import on_two_stores

WRONG: dict[str, Callable[[Session], Any]] = {
    "contexts of numbers": lambda session: session.used([1]),  # type: ignore[list-item]
    "contexts that are none": lambda session: session.used(7),  # type: ignore[arg-type]
    "a skill that is text": lambda session: session.used((), "s"),  # type: ignore[arg-type]
    "project": lambda session: session.assign_project(7),  # type: ignore[arg-type]
    "provider": lambda session: session.memory_session([]),  # type: ignore[arg-type]
    "retried": lambda session: session.retry(7),  # type: ignore[arg-type]
    "abandoned": lambda session: session.abandon(None),  # type: ignore[arg-type]
    "reason": lambda session: session.abandon("archive_001", reason=7),  # type: ignore[arg-type]
    "kept messages": lambda session: session.commit("x"),  # type: ignore[arg-type]
    "kept tokens": lambda session: session.commit(keep_turn_tokens="x"),  # type: ignore[arg-type]
    "expected": lambda session: session.record(Noted(), expected="x"),  # type: ignore[arg-type]
    "expected below": lambda session: session.record(Noted(), expected=-1),
    "no event": lambda session: session.record("x"),  # type: ignore[arg-type]
    "kind": lambda session: session.queue_task(7),  # type: ignore[arg-type]
    "payload": lambda session: session.queue_task("acme.a", ["x"]),  # type: ignore[arg-type]
    "actor": lambda session: session.close(actor=7),  # type: ignore[arg-type]
    "key": lambda session: session.delete(idempotency_key=7),  # type: ignore[arg-type]
    "correlation": lambda session: session.used(["a"], correlation_id=7),  # type: ignore[arg-type]
    "closing reason": lambda session: session.close(reason=7),  # type: ignore[arg-type]
    "tool": lambda session: session.record_tool_result("m", 7, "x"),  # type: ignore[arg-type]
    "output": lambda session: session.record_tool_result("m", "t", 7),  # type: ignore[arg-type]
}


class Noted(eventlog.Event, type="acme.noted"):
    """An event without anything."""


@on_two_stores
@pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in WRONG.items()])
def test_an_argument_of_another_type_is_refused(log: Log, call: Callable[[Session], Any]) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("hello", id="m"))
    session.commit()
    version = session.version

    with pytest.raises(InvalidError) as caught:
        call(session)

    assert not isinstance(caught.value, ArchiveNotFound)
    assert "pydantic" not in str(caught.value)
    assert log.store.head("s").version == version


@on_two_stores
def test_the_error_says_what_is_wrong_with_which_argument(log: Log) -> None:
    session = log.session("s", create=True)

    with pytest.raises(InvalidArgument) as caught:
        session.assign_project(7)  # type: ignore[arg-type]

    assert str(caught.value) == (
        "project: Input should be a valid string, not 7; correct the argument"
    )


@on_two_stores
@pytest.mark.parametrize(
    "arguments", [{"failed_archives": "x"}, {"owner": 7}, {"workspace": ["x"]}], ids=repr
)
def test_a_session_is_not_created_with_what_it_cannot_hold(
    log: Log, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(arguments))):
        log.session("s", create=True, **arguments)
    assert not log.exists("s")


@on_two_stores
@pytest.mark.parametrize("name", ["archive", "archive_x", "task", "archive_001 "])
def test_what_is_neither_an_archive_nor_a_task_is_not_found(log: Log, name: str) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("hello"))

    for act in (session.retry, session.abandon):
        with pytest.raises(ArchiveNotFound, match="tasks by their ids"):
            act(name)


@on_two_stores
def test_a_task_that_nobody_queued_is_not_found(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("hello"))

    for act in (session.retry, session.abandon):
        with pytest.raises(TaskNotFound):
            act("00000000-0000-7000-8000-000000000000")


# ---- keys -------------------------------------------------------------------------------------

KEYED: dict[str, tuple[Callable[..., Any], Any, Callable[..., Any]]] = {
    "retry": (
        lambda session, **by: session.retry("archive_001", **by),
        "accepted",
        lambda session, **by: session.retry("archive_001", reason="another", **by),
    ),
    "abandon": (
        lambda session, **by: session.abandon("archive_001", **by),
        None,
        lambda session, **by: session.abandon("archive_001", reason="another", **by),
    ),
    "assign_project": (
        lambda session, **by: session.assign_project("p", **by),
        True,
        lambda session, **by: session.assign_project("q", **by),
    ),
    "memory_session": (
        lambda session, **by: session.memory_session("p", **by),
        "p-s-1767225600",
        lambda session, **by: session.memory_session("q", **by),
    ),
    "close": (
        lambda session, **by: session.close(**by),
        None,
        lambda session, **by: session.close(reason="another", **by),
    ),
    "delete": (
        lambda session, **by: session.delete(**by),
        None,
        lambda session, **by: session.delete(reason="another", **by),
    ),
}


@pytest.mark.parametrize("name", KEYED)
def test_a_command_repeated_with_its_key_has_its_first_outcome(log: Log, name: str) -> None:
    """L3, L13: nothing is recorded twice; another command with the key is refused."""

    def fail(request: object) -> None:
        raise NonRetryableError("no")

    call, outcome, another = KEYED[name]
    session = log.session("s", create=True)
    session.append(Message.user("hello"))
    session.commit()
    Worker(log, Finalizer(fail)).run_once()  # type: ignore[arg-type]
    by = {"idempotency_key": "k", "actor": "ops", "correlation_id": "c"}

    assert call(session, **by) == outcome
    version = log.store.head("s").version
    assert call(session, **by) == outcome

    assert log.store.head("s").version == version
    (recorded,) = log.read("s", after=version - 1)
    assert recorded.metadata.actor == "ops"
    assert recorded.metadata.correlation_id == "c"
    with pytest.raises(DuplicateEvent, match="another key"):
        another(session, **by)


def test_a_task_is_retried_and_abandoned_by_its_id_with_a_key(log: Log) -> None:
    def fail(request: object) -> None:
        raise NonRetryableError("no")

    task_id = log.session("s", create=True).queue_task("acme.a")
    Worker(log, Finalizer(kinds={"acme.a": fail})).run_once()

    assert [log.retry(task_id, idempotency_key="k", correlation_id="c") for _ in range(2)] == [
        "accepted"
    ] * 2
    for _ in range(2):
        log.abandon(task_id, idempotency_key="l", actor="ops")
    assert log.task(task_id).generation == 2


def test_a_tool_result_records_who_sent_it_with_which_key(log: Log) -> None:
    session = log.session("s", create=True)
    call = Message.call("look", {}, tool_id="t")
    session.append(Message.assistant("calling", tools=(call,), id="m"))

    for _ in range(2):
        session.record_tool_result("m", "t", "found", idempotency_key="k", actor="tool")

    (recorded,) = [entry for entry in log.read("s") if entry.type == "tool_result_recorded"]
    assert (recorded.metadata.actor, recorded.metadata.idempotency_key) == ("tool", "k")


@on_two_stores
def test_the_asynchronous_twin_refuses_the_same(log_url: str) -> None:
    async def main() -> None:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            await session.append(Message.user("hello"))
            for call in (
                session.retry(7),  # type: ignore[arg-type]
                session.assign_project(7),  # type: ignore[arg-type]
                session.record(Noted(), expected="x"),  # type: ignore[arg-type]
                session.queue_task(7),  # type: ignore[arg-type]
                session.memory_session(7),  # type: ignore[arg-type]
            ):
                with pytest.raises(InvalidArgument):
                    await call

    asyncio.run(main())
