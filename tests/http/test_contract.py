"""One shape: operations, client methods, local twins, errors and documents are held together (R9)."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest

import eventlog
from eventlog import (
    AsyncLog,
    AsyncMessageStream,
    AsyncSession,
    AsyncTurn,
    EventLogError,
    Log,
    MessageStream,
    Session,
    Turn,
)
from eventlog.http import AsyncClient, Client, wire
from eventlog.http.application import ROUTES
from eventlog.http.clients.async_client_session import AsyncClientSession, AsyncClientTurn
from eventlog.http.clients.async_client_stream import AsyncClientStream
from eventlog.http.clients.client_session import ClientSession, ClientTurn
from eventlog.http.clients.client_stream import ClientStream
from eventlog.http.openapi import document_of
from eventlog.http.wire_errors import _TABLE, CODES, OWN_CODES, error_from, failure_of
from tests.http.api import Api
from tests.http.twin import FOLDER, NAMES, generated

METHODS: dict[str, tuple[str, ...]] = {
    "create_session": ("Client.session",),
    "list_sessions": ("Client.sessions", "Client.latest_session"),
    "get_session": ("Client.session", "Client.exists", "ClientSession.refresh"),
    "close_session": ("ClientSession.close",),
    "append_message": ("ClientSession.append",),
    "append_batch": ("ClientSession.extend",),
    "list_messages": ("ClientSession.tail",),
    "get_message": ("ClientSession.message",),
    "withdraw": ("ClientSession.withdraw",),
    "replace": ("ClientSession.replace",),
    "clear": ("ClientSession.clear",),
    "begin_message": ("ClientSession.begin_message", "ClientSession.stream"),
    "append_chunk": ("ClientSession.append_chunk",),
    "end_message": (
        "ClientSession.end_message",
        "ClientSession.interrupt_message",
        "ClientTurn.end_message",
    ),
    "begin_turn": ("ClientSession.turn", "ClientSession.begin_turn"),
    "renew_turn": ("ClientTurn.renew",),
    "get_step": ("ClientTurn.recorded_step",),
    "record_step": ("ClientTurn.record_step", "ClientTurn.resume_step", "ClientTurn.step"),
    "end_turn": ("ClientTurn.end", "ClientTurn.fail"),
    "get_turn": ("ClientSession.turns",),
    "list_turns": ("ClientSession.turns",),
    "record_result": ("ClientSession.record_tool_result",),
    "get_output": ("ClientSession.tool_output",),
    "record_used": ("ClientSession.used",),
    "get_context": ("ClientSession.context",),
    "commit": ("ClientSession.commit",),
    "list_archives": ("ClientSession.archives",),
    "get_archive": ("ClientSession.archive",),
    "retry_archive": ("ClientSession.retry", "Client.retry"),
    "abandon_archive": ("ClientSession.abandon", "Client.abandon"),
    "enqueue": ("ClientSession.enqueue",),
    "stop_run": ("ClientSession.stop_run",),
    "list_runs": ("Client.runs",),
    "list_events": ("Client.read", "Client.follow", "ClientSession.held_turn"),
    "get_task": ("Client.task",),
    "list_tasks": ("Client.tasks",),
    "get_health": ("Client.health",),
}
"""The methods that use each operation."""

OF_A_TURN = ("turn_id", "attempt", "fence", "lease_until", "done", "result")

WITHOUT_I_O = {
    *("Client.close", "ClientSession.id", "ClientSession.meta", "ClientSession.version"),
    *(f"ClientTurn.{name}" for name in OF_A_TURN),
}

HERE_ALONE = {
    "Log.adopt": "it reads a folder of the server's machine",
    "Log.backup": "as `Log.bundle`",
    "Log.bundle": "it writes a file on the server's machine",
    "Log.checkpoint": "the feed of the whole log is everybody's; a reader of one session has versions",
    "Log.commit_idle": "a worker's work, done where the log is",
    "Log.durability": "part of `health`",
    "Log.find": "it searches the sessions of everybody; not among the paths of R9",
    "Log.position": "as `checkpoint`",
    "Log.project": "a projection is code; read the events and fold them with `eventlog.replay`",
    "Log.read_all": "as `checkpoint`",
    "Log.store": "it is where the log is",
    "Log.verify": "an auditor's work on the stored bytes, done where the log is",
    "Session.abandon_call": "not among the paths of R9",
    "Log.resume": "a file of the server's machine",
    "Log.save": "as `Log.resume`",
    "Session.assign_project": "not among the paths of R9; `session` takes the project of a new one",
    "Session.at": "looking back is for the command line and the inspector",
    "Session.attach_folder": "a folder of the server's machine",
    "Session.bisect": "as `at`",
    "Session.blame": "as `at`",
    "Session.context_for_search": "not among the paths of R9",
    "Session.delete": "not among the paths of R9: DELETE closes",
    "Session.detach_folder": "as `attach_folder`",
    "Session.diff": "as `at`",
    "Session.ensure_created": "a client's `session` records a creation at once",
    "Session.find": "not among the paths of R9",
    "Session.folder": "as `attach_folder`",
    "Session.fork": "as `at`",
    "Session.heal": "as `attach_folder`",
    "Session.history": "not among the paths of R9: it has no bound",
    "Session.materialize": "as `attach_folder`",
    "Session.memory_session": "not among the paths of R9",
    "Session.queue_task": "not among the paths of R9; inbound work is",
    "Session.record": "events of applications are classes, which the server does not have",
    "Session.refold": "as `at`",
    "Session.search_tool_output": "not among the paths of R9",
    "Session.set_failed_archives": "an operator's command; `session` takes it for a new one",
    "Session.timeline": "as `at`",
    "Session.truncated": "not among the paths of R9",
    "Session.follow_message": "`follow` on the client has the chunks of a session as they come",
    "Session.streams": "not among the paths of R9",
    "Session.value": "not among the paths of R9",
    "Session.watch": "`follow` on the client has the events of a session as they come",
    "Session.why": "as `at`",
}
"""What a log and its sessions offer and no client does, each with the reason."""

ANOTHER_WAY = {
    "Client.follow": "it follows one session, by its versions",
    "Client.health": "the lag of a checkpoint is its holder's to ask, where the log is",
}
"""Methods with the name of their twin and arguments of their own."""


def public(cls: type) -> dict[str, Any]:
    """Return the public members of a class, but not of the other class of users that it continues."""
    others = [base for base in cls.__mro__[1:] if not base.__module__.startswith("eventlog.faces.")]
    inherited = {each for base in others for each in base.__mro__}
    own = [base for base in cls.__mro__ if base not in inherited]
    names = [name for base in own for name in vars(base) if not name.startswith("_")]
    return {name: inspect.getattr_static(cls, name) for name in names}


def test_every_operation_has_a_method_and_every_method_an_operation() -> None:
    assert set(METHODS) == {operation.name for operation in ROUTES.operations}
    used = {method for methods in METHODS.values() for method in methods}
    offered = {f"Client.{name}" for name in public(Client)}
    offered |= {f"ClientSession.{name}" for name in public(ClientSession)}
    offered |= {f"ClientTurn.{name}" for name in public(ClientTurn)}
    assert used | WITHOUT_I_O == offered


@pytest.mark.parametrize(
    ("client", "local"), [(Client, Log), (ClientSession, Session), (ClientTurn, Turn)]
)
def test_what_a_client_lacks_is_known_with_the_reason(client: type, local: type) -> None:
    lacking = {f"{local.__name__}.{name}" for name in set(public(local)) - set(public(client))}
    assert lacking == {name for name in HERE_ALONE if name.startswith(f"{local.__name__}.")}
    assert set(public(client)) - set(public(local)) == set()


CLIENTS = (
    *(Client, AsyncClient),
    *(ClientSession, AsyncClientSession),
    *(ClientTurn, AsyncClientTurn),
    *(ClientStream, AsyncClientStream),
)
"""The plain ones, each with its twin."""

PAIRS = [
    (Client, Log),
    (AsyncClient, AsyncLog),
    (ClientSession, Session),
    (AsyncClientSession, AsyncSession),
    (ClientTurn, Turn),
    (AsyncClientTurn, AsyncTurn),
    (ClientStream, MessageStream),
    (AsyncClientStream, AsyncMessageStream),
]


@pytest.mark.parametrize(("client", "local"), PAIRS)
def test_a_client_takes_the_arguments_of_its_twin(client: type, local: type) -> None:
    for name, method in public(client).items():
        if not inspect.isfunction(method) or f"{client.__name__.removeprefix('Async')}.{name}" in (
            ANOTHER_WAY
        ):
            continue
        own = inspect.signature(method).parameters
        twin = inspect.signature(getattr(local, name)).parameters
        for parameter in own.values():
            if parameter.annotation == "object":
                continue  # The arguments of a user's function.
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                told = {"Unpack[By]": wire.By, "Unpack[Origin]": wire.Origin}[parameter.annotation]
                assert set(typing.get_type_hints(told)) <= set(twin), name
            elif parameter.name != "self":
                assert parameter.default == twin[parameter.name].default, (name, parameter)
                assert parameter.kind == twin[parameter.name].kind, (name, parameter)
        assert inspect.iscoroutinefunction(method) == inspect.iscoroutinefunction(
            getattr(local, name)
        ), name
        assert inspect.getdoc(method), name


def test_the_synchronous_client_is_the_generated_one() -> None:
    for name in NAMES:
        text = (FOLDER / f"{name}.py").read_text("utf-8")
        assert text == generated(name), "run `python -m tests.http.twin`"
    for plain, awaited in zip(CLIENTS[::2], CLIENTS[1::2], strict=True):
        assert list(public(plain)) == list(public(awaited))


# ---- errors -----------------------------------------------------------------------------------


def errors() -> set[type[EventLogError]]:
    found = {getattr(eventlog, name) for name in eventlog.__all__}
    return {it for it in found if isinstance(it, type) and issubclass(it, EventLogError)}


def test_every_error_has_a_status_and_comes_back_as_itself() -> None:
    assert {cls.__name__ for cls in errors()} == set(_TABLE)
    assert not set(OWN_CODES) & {code for code in CODES if code not in OWN_CODES}
    for cls in errors():
        error = cls.__new__(cls)
        Exception.__init__(error, "it failed")
        for field in _TABLE[cls.__name__].fields:
            setattr(error, field, f"the {field}")
        sent = failure_of(error)
        said = {"code": sent.code, "message": sent.message, "details": sent.details}
        read = error_from(sent.status, {"status": "error", "error": said})
        if cls.__name__ == "OwnerMismatch":  # A taken id is a taken id.
            assert type(read) is eventlog.ConflictError
            continue
        assert type(read) is cls
        assert str(read) == sent.message
        assert {name: getattr(read, name) for name in _TABLE[cls.__name__].fields} == sent.details
        if hasattr(cls, "session_id"):
            assert read.session_id == "the stream"  # type: ignore[attr-defined]


def test_a_subclass_is_answered_as_its_base() -> None:
    class Mine(eventlog.StoreUnavailable):
        pass

    assert failure_of(Mine("down"))[:2] == (503, "store_unavailable")


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (404, {"detail": "Not Found"}, eventlog.InvalidError),
        (409, {"status": "error", "error": {"code": "run_open"}}, eventlog.ConflictError),
        (422, None, eventlog.InvalidArgument),
        (500, "<html>", eventlog.CorruptError),
        (502, None, eventlog.UnavailableError),
        (503, {"error": 7}, eventlog.UnavailableError),
        (418, [], eventlog.InvalidError),
    ],
)
def test_an_answer_of_somebody_else_is_an_error_of_its_kind(
    status: int, document: Any, kind: type[EventLogError]
) -> None:
    error = error_from(status, document)
    assert type(error) is kind
    assert str(status) in str(error)


# ---- the OpenAPI document ---------------------------------------------------------------------


def test_the_document_is_whole() -> None:
    document = document_of(ROUTES.operations)
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        for reference in references(schema):
            assert reference.removeprefix("#/components/schemas/") in schemas, (name, reference)
    names = [it.name for it in ROUTES.operations]
    assert len(set(names)) == len(names)
    for operation in ROUTES.operations:
        described = document["paths"][f"/api/v1{operation.path}"][operation.method.lower()]
        assert {*map(str, operation.answers)} < set(described["responses"])
        assert {"401", "403", "422", "500", "503"} < set(described["responses"])


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for each in value.values() for found in references(each)]
    return (
        [found for each in value for found in references(each)] if isinstance(value, list) else []
    )


LATE = (
    "get_turn",
    "list_turns",
    "withdraw",
    "replace",
    "get_archive",
    "commit",
    "clear",
    "close_session",
)
"""Operations after which there is less to see."""


def test_answers_are_what_the_document_says(api: Api) -> None:
    """Of each operation that succeeds on a session with everything in it."""
    document = document_of(ROUTES.operations)
    api.block("s")
    api.append("s", "more")
    call = {"type": "tool", "tool_id": "t", "tool_name": "look"}
    api(
        "POST",
        "sessions/s/messages",
        json={"id": "m", "role": "assistant", "parts": [call]},
    )
    done: set[str] = set()
    paths = {"session_id": "s", "archive_id": "archive_001", "message_id": "m", "tool_id": "t"}
    paths |= {"turn_id": "turn/1", "step": "search"}
    fence = ""
    paths["task_id"] = next(api.log.tasks()).task_id
    bodies: dict[str, Any] = {
        "append_message": {"role": "user", "content": "a"},
        "append_batch": {"messages": [{"role": "user", "content": "a"}]},
        "record_result": {"tool_id": "t", "output": "x" * 21_000},
        "withdraw": {"last": 1},
        "begin_message": {"message_id": "b"},
        "append_chunk": {"fence": 0, "sequence": 1, "content": "x"},
        "end_message": {"fence": 0},
        "enqueue": {"role": "user", "content": "queued"},
        "record_step": {"output": {"hits": 3}, "messages": [{"role": "user", "content": "a"}]},
        "replace": {"after": 0, "messages": [{"role": "user", "content": "b"}]},
    }
    order = sorted(ROUTES.operations, key=lambda it: it.name == "close_session")
    order.sort(key=lambda it: (it.name in LATE, it.name == "end_turn", it.name == "get_step"))
    for operation in order:
        if operation.name == "get_archive":
            api.work()
        if operation.name == "abandon_archive":
            continue
        path = operation.path.format(**{n: quote(v, safe="") for n, v in paths.items()})[1:]
        if operation.name in ("append_chunk", "end_message"):
            path = path.replace("/m/", "/b/")
        headers = {"Eventlog-Fence": fence} if operation.fenced == "must" else {}
        options = {"json": bodies.get(operation.name, {}), "headers": headers}
        answer = api(operation.method, path, who="ops", **options)
        responses = document["paths"][f"/api/v1{operation.path}"][operation.method.lower()]
        described = responses["responses"][str(answer.status_code)]
        assert answer.is_success, (operation.name, answer.text)
        if answer.status_code != 204:
            schema = described["content"]["application/json"]["schema"]
            whole = {**schema, "components": document["components"]}
            jsonschema.Draft202012Validator(whole).validate(answer.json())
        if operation.name == "begin_turn":
            fence = str(answer.json()["fence"])
        if operation.name == "begin_message":
            for later in ("append_chunk", "end_message"):
                bodies[later]["fence"] = answer.json()["fence"]
        done.add(operation.name)
    assert done == set(METHODS) - {"abandon_archive"}


def test_annotations_of_the_clients_can_be_read() -> None:
    for cls in CLIENTS:
        for method in public(cls).values():
            function: Callable[..., Any] = getattr(method, "fget", None) or method
            assert typing.get_type_hints(function) is not None
