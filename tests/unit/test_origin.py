"""Actor, correlation, causation and trace are recorded with every command (L13)."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any, Final

import pytest

import eventlog
from eventlog import (
    AsyncLog,
    AsyncSession,
    Event,
    Finalizer,
    InvalidArgument,
    Log,
    Message,
    Metadata,
    NonRetryableError,
    Session,
    Summary,
    SummaryRequest,
    TraceContext,
    Worker,
)

TRACEPARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE: Final = TraceContext(TRACEPARENT, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")
ORIGIN: Final[dict[str, Any]] = {
    "actor": "ada",
    "correlation_id": "request-7",
    "causation_id": "event-3",
    "trace": TRACE,
}
RECORDED: Final = Metadata("ada", "request-7", "event-3", TRACE.traceparent, TRACE.tracestate)


class Noted(Event):
    """An event of a user's own."""

    event_type = "acme.noted"
    event_schema = 1


def of_session() -> dict[str, tuple[Any, ...]]:
    """Return the commands of a session, with arguments that each of them accepts."""
    return {
        "append": (Message.user("hello"),),
        "extend": ([Message.user("hello")],),
        "record_tool_result": ("m2", "t", "found"),
        "used": (["memory://1"],),
        "commit": (),
        "retry": ("archive_001",),
        "abandon": ("archive_001",),
        "abandon_call": ("m2", "u"),
        "queue_task": ("acme.index",),
        "enqueue": (Message.user("later"),),
        "record": (Noted(),),
        "assign_project": ("p",),
        "set_failed_archives": ("block",),
        "withdraw": (),
        "replace": (),
        "clear": (),
        "memory_session": ("acme",),
        "context": (128_000,),
        "close": (),
        "delete": (),
    }


OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "context": {"record": True},
    "withdraw": {"last": 1},
    "replace": {"message_ids": ["m3"], "messages": [Message.user("again")]},
}
"""Options without which a command records nothing."""

IN_PIECES: Final = {"stream", "begin_message", "append_chunk", "end_message", "interrupt_message"}
"""Commands that go on with what another began; tests/streams tries them."""

CREATING: Final = {"ensure_created"}
"""Commands of a session that does not exist yet; tests/http tries it."""

TURNS: Final = {"turn", "begin_turn"}
"""What is begun in a block, or held by a fence; tests/unit/test_held_turns.py tries it."""

RUNS: Final = {"stop_run"}
"""What is done to a run that an agent executes; tests/runs tries it."""

FILTERING: Final = {"timeline"}
"""Methods that take an actor to look for."""

FORKING: Final = {"fork"}
"""Commands whose other events keep their origin; tests/forensics tries them."""


OF_LOG: Final = ("adopt", "retry", "abandon")


def filled(log: Log) -> str:
    """Fill a session that every command has something to do in; return its failed task."""

    def fail(request: SummaryRequest) -> Summary:
        raise NonRetryableError("too long")

    session = log.session("s", create=True, failed_archives="skip")
    session.append(Message.user("hello"))
    result = session.commit()
    Worker(log, Finalizer(fail)).run_once()
    session.append(
        Message.assistant(
            tools=(Message.call("look", {}, tool_id="t"), Message.call("look", {}, tool_id="u")),
            id="m2",
        )
    )
    session.append(Message.user("and then?", id="m3"))
    return result.task_id or ""


@pytest.mark.parametrize(
    ("cls", "names"),
    [(Session, of_session()), (AsyncSession, of_session()), (Log, OF_LOG), (AsyncLog, OF_LOG)],
)
def test_every_command_takes_its_origin(cls: type, names: Any) -> None:
    """Whatever takes an actor takes the rest, and is tried below."""
    taking = {
        name: {*ORIGIN} & {*inspect.signature(method).parameters}
        for name, method in inspect.getmembers(cls)
        if inspect.isfunction(method)
        and "actor" in inspect.signature(method).parameters
        and name not in FILTERING
    }

    assert {*taking} - FORKING - IN_PIECES - CREATING - TURNS - RUNS == {*names}
    assert [name for name, taken in taking.items() if taken != {*ORIGIN}] == []


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("name", of_session())
def test_a_command_of_a_session_records_its_origin(name: str, awaited: bool) -> None:
    with eventlog.open("memory:") as log:
        filled(log)
        before = log.position()
        arguments, options = of_session()[name], {**OPTIONS.get(name, {}), **ORIGIN}

        async def await_it() -> None:
            session = await AsyncLog(log).session("s")
            await getattr(session, name)(*arguments, **options)

        if awaited:
            asyncio.run(await_it())
        else:
            getattr(log.session("s"), name)(*arguments, **options)

        found = {recorded.metadata for recorded in log.read_all(after=before)}
    assert found == {RECORDED}


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("name", OF_LOG)
def test_a_command_of_a_log_records_its_origin(name: str, awaited: bool, tmp_path: Path) -> None:
    with eventlog.open("memory:") as log:
        task_id = filled(log)
        log.session("s").materialize(tmp_path / "s")
        before = log.position()
        arguments = (tmp_path / "s", "adopted") if name == "adopt" else (task_id,)

        async def await_it() -> None:
            await getattr(AsyncLog(log), name)(*arguments, **ORIGIN)

        if awaited:
            asyncio.run(await_it())
        else:
            getattr(log, name)(*arguments, **ORIGIN)

        found = {recorded.metadata for recorded in log.read_all(after=before)}
    assert found == {RECORDED}


def test_a_traceparent_alone_is_a_trace(log: Log) -> None:
    session = log.session("s", create=True)

    session.append(Message.user("hello"), trace=TRACEPARENT, causation_id="e")

    assert {recorded.metadata for recorded in log.read("s")} == {
        Metadata(causation_id="e", traceparent=TRACEPARENT)
    }


def test_a_repeated_command_may_come_by_another_trace(log: Log) -> None:
    """P8: the origin is no part of what makes a command the same."""
    session = log.session("s", create=True)
    other = TRACEPARENT.replace("b7ad", "c8be")

    first = session.queue_task("acme.index", idempotency_key="k", trace=TRACEPARENT)

    assert session.queue_task("acme.index", idempotency_key="k", trace=other) == first


@pytest.mark.parametrize(
    "trace",
    [
        "",
        "words",
        TRACEPARENT.upper(),
        TRACEPARENT + "-more",
        TRACEPARENT + "\n",
        TRACEPARENT.replace("0af7651916cd43dd8448eb211c80319c", 32 * "0"),
        TRACEPARENT.replace("b7ad6b7169203331", 16 * "0"),
        "ff" + TRACEPARENT[2:],
        TRACEPARENT[:-1],
        7,
        (TRACEPARENT, None),
        TraceContext(7),  # type: ignore[arg-type]
        TraceContext("words", "a=1"),
        TraceContext(TRACEPARENT, ""),
        TraceContext(TRACEPARENT, "words"),
        TraceContext(TRACEPARENT, "a=1,a=2"),
        TraceContext(TRACEPARENT, "a=b=c"),
        TraceContext(TRACEPARENT, "a=\N{SNOWMAN}"),
        TraceContext(TRACEPARENT, ",".join(f"k{number}=1" for number in range(33))),
        TraceContext(TRACEPARENT, 7),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_trace_context_is_refused(trace: Any) -> None:
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)

        with pytest.raises(InvalidArgument, match=r"trace"):
            session.append(Message.user("hello"), trace=trace)

        assert session.version == 0


@pytest.mark.parametrize(
    "trace",
    [
        TraceContext("01" + TRACEPARENT[2:] + "-what-later-versions-say", None),
        TraceContext(TRACEPARENT, "a=1, tenant@vendor=x y ,,b=2"),
        TraceContext(TRACEPARENT, ",".join(f"k{number}=1" for number in range(32))),
    ],
)
def test_what_the_standard_allows_is_recorded_as_it_is(trace: TraceContext) -> None:
    with eventlog.open("memory:") as log:
        log.session("s", create=True).append(Message.user("hello"), trace=trace)
        (found,) = {recorded.metadata for recorded in log.read("s")}

    assert (found.traceparent, found.tracestate) == trace


def test_a_cause_is_text(log: Log) -> None:
    with pytest.raises(InvalidArgument, match="causation_id must be text"):
        log.session("s", create=True).append(
            Message.user("hello"),
            causation_id=7,  # type: ignore[arg-type]
        )
