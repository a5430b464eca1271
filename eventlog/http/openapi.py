"""The OpenAPI document, drawn from the operations and from the types that they take and answer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Final, Literal, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

import eventlog
from eventlog import (
    ArchiveView,
    CommitResult,
    ContextStats,
    Health,
    RunView,
    SessionMeta,
    TaskView,
    ToolOutput,
    TurnView,
)
from eventlog.http.routing import PREFIX, Operation
from eventlog.http.wire_errors import CODES

__all__ = ["document_of"]

_REFERENCE: Final = "#/components/schemas/{model}"

EVERY: Final = (401, 403, 422, 500, 503)
"""The refusals that any operation may answer with."""

_SCALARS: Final = ["string", "integer", "number", "boolean", "null"]
"""What a header may be: in it, all of them are texts."""

KEY: Final = r'^([!#-~]{1,255}|"([ !#-\[\]-~]){1,255}")$'

WITH_BODY: Final = (408, 413, 415)

_TEXT: Final = {"type": "string"}
_ID: Final = {**_TEXT, "minLength": 1, "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$"}
_IDS: Final = {
    "session_id": {**_ID, "maxLength": 255},
    "turn_id": {**_TEXT, "minLength": 1, "maxLength": 512},
}
"""The ids that become part of names in a store; that of a turn is any text of the application's."""

_COUNT: Final = {"type": "integer", "minimum": 0}
_VERSIONED: Final = {"session_id": _TEXT, "version": _COUNT}
_SENT_MESSAGE: Final = {
    "type": "object",
    "required": ["id", "role", "parts", "created_at"],
    "properties": {
        "id": _TEXT,
        "role": _TEXT,
        "parts": {"type": "array", "items": {"type": "object"}},
        "created_at": _TEXT,
    },
}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list_of(schema: Any) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _view(cls: Any) -> dict[str, Any]:
    """Return the schema of a named tuple that is sent as an object."""
    hints = get_type_hints(cls, localns={"Durability": Literal["none", "process", "power"]})
    return _object(**{name: TypeAdapter(hints[name]).json_schema() for name in cls._fields})


def _refers(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=name)}


@cache
def _answers() -> dict[str, Any]:
    """Return the schemas of the answers, by the names that operations use."""
    message = _refers("SentMessage")
    messages = _list_of(message)
    error = _object(code={"enum": sorted(CODES)}, message=_TEXT, details={"type": "object"})
    event = _object(
        **_VERSIONED,
        position=_TEXT,
        event_id=_TEXT,
        type=_TEXT,
        schema=_COUNT,
        time=_TEXT,
        data={"type": "object"},
        metadata={"type": "object"},
        hash=_TEXT,
    )
    return {
        "SentMessage": _SENT_MESSAGE,
        "Error": _object(status={"const": "error"}, error=error),
        "Problem": _object(
            type=_TEXT, title=_TEXT, status=_COUNT, detail=_TEXT, instance=_TEXT, error=error
        ),
        "Session": _object(**_VERSIONED, meta=_view(SessionMeta)),
        "Sessions": _object(
            sessions=_list_of(_object(session_id=_TEXT)), next=_optional(dict(_TEXT))
        ),
        "Appended": _object(**_VERSIONED, message=message),
        "AppendedBatch": _object(**_VERSIONED, messages=messages),
        "Messages": _object(**_VERSIONED, messages=messages),
        "Stored": _object(**_VERSIONED, message=message),
        "Withdrawn": _object(**_VERSIONED, withdrawn=messages),
        "Begun": _object(**_VERSIONED, message_id=_TEXT, fence=_COUNT, sequence=_COUNT),
        "Ended": _object(**_VERSIONED, message=_optional(dict(message))),
        "BegunTurn": _object(
            **_VERSIONED,
            turn_id=_TEXT,
            attempt=_COUNT,
            done={"type": "boolean"},
            fence=_optional(dict(_COUNT)),
            lease_until=_optional(dict(_TEXT)),
            result={},
        ),
        "Renewed": _object(**_VERSIONED, lease_until=_TEXT),
        "Step": _object(**_VERSIONED, step=_TEXT, output={}, messages=messages),
        "Turn": _view(TurnView),
        "Turns": _object(turns=_list_of(_refers("Turn")), next=_optional(dict(_TEXT))),
        "Queued": _object(**_VERSIONED, run_id=_TEXT),
        "Stopped": _object(**_VERSIONED, run_id=_optional(dict(_TEXT))),
        "Run": _view(RunView),
        "Runs": _object(runs=_list_of(_refers("Run")), next=_optional(dict(_TEXT))),
        "Done": _object(**_VERSIONED),
        "Output": {
            **_object(**_view(ToolOutput)["properties"], next_offset=_optional(dict(_COUNT))),
        },
        "Context": _object(
            latest_archive_overview=_TEXT,
            messages=messages,
            estimated_tokens=_COUNT,
            stats=_view(ContextStats),
        ),
        "Committed": _view(CommitResult),
        "Archives": _object(archives=_list_of(_view(ArchiveView))),
        "Archive": _object(archive_id=_TEXT, abstract=_TEXT, overview=_TEXT, messages=messages),
        "Retried": _object(status={"enum": ["accepted", "already_completed", "running"]}),
        "Abandoned": _object(status={"const": "abandoned"}),
        "Task": _view(TaskView),
        "Tasks": _object(tasks=_list_of(_refers("Task")), next=_optional(dict(_TEXT))),
        "Events": _object(
            session_id=_TEXT,
            events=_list_of(event),
            next=_COUNT,
            closed={"type": "boolean"},
        ),
        "Health": _view(Health),
    }


def document_of(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of some operations."""
    operations = tuple(operations)
    bodies: list[Any] = list(dict.fromkeys(it.body for it in operations if it.body is not None))
    _, schemas = models_json_schema(
        [(body, "validation") for body in bodies], ref_template=_REFERENCE
    )
    paths: dict[str, Any] = {}
    for operation in operations:
        path = paths.setdefault(f"{PREFIX}{operation.path}", {})
        path[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "eventlog", "version": eventlog.__version__},
        "paths": paths,
        "components": {
            "schemas": {**schemas["$defs"], **_answers()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation.query)],
        "responses": _responses(operation),
    }
    if operation.keyed:
        described["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key in the same session gets the first outcome again; "
                "with another payload it is refused. A message with an id takes none beside it: its "
                "id is its key.",
                "schema": {"type": _SCALARS, "pattern": KEY},
            }
        )
    if operation.conditional:
        described["parameters"].append(
            {
                "name": "If-Match",
                "in": "header",
                "required": False,
                "description": "The version that the session must be at; 412 if it is not.",
                "schema": {"type": "string", "pattern": '^([0-9]{1,17}|"[0-9]{1,17}")$'},
            }
        )
    if operation.fenced:
        described["parameters"].append(
            {
                "name": "Eventlog-Fence",
                "in": "header",
                "required": operation.fenced == "must",
                "description": "The fence of the turn that the command belongs to.",
                "schema": {"type": "string", "pattern": '^([1-9][0-9]{0,15}|"[1-9][0-9]{0,15}")$'},
            }
        )
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": _refers(operation.body.__name__)}},
        }
    return described


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _IDS.get(name, _ID)}
        for _, name in operation.parameters
    ]


def _query_parameters(model: type[BaseModel] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    found = model.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
        for name, schema in found.items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter: one that is left out is not sent as null."""
    some = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return some[0] if len(some) == 1 else {key: schema[key] for key in schema if key != "title"}


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, schema in operation.answers.items():
        responses[str(status)] = {"description": operation.summary}
        if schema:
            responses[str(status)]["content"] = {"application/json": {"schema": _refers(schema)}}
    if operation.name == "list_events":
        responses["200"]["content"]["text/event-stream"] = {"schema": dict(_TEXT)}
    refusals = {*EVERY, *operation.refusals, *(WITH_BODY if operation.body is not None else ())}
    for status in sorted(refusals):
        codes = ", ".join(sorted(code for code, its in CODES.items() if its == status))
        responses[str(status)] = {
            "description": f"Refused; the code is one of {codes}.",
            "content": {
                "application/json": {"schema": _refers("Error")},
                "application/problem+json": {"schema": _refers("Problem")},
            },
        }
    return responses
