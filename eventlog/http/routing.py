"""From a request's raw path to the operation that answers it.

Ids travel percent-encoded, so the path is split before it is decoded: ``%2F`` in a message's id is
no separator.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from pydantic import BaseModel
from starlette.responses import Response

from eventlog.http.principal import Action
from eventlog.http.wire_errors import RequestRefused

__all__ = ["PREFIX", "Handler", "Operation", "Routes"]

PREFIX: Final = "/api/v1"

Handler: TypeAlias = Callable[[Any], Awaitable[Response]]
"""Answers a `Call`, which knows its operation: so the operation does not know the call."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path: what it takes, needs and answers."""

    method: str
    path: str
    name: str
    summary: str
    action: Action
    handler: Handler
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    answers: dict[int, str] = field(default_factory=dict[int, str])
    """The statuses of success, each with the name of a schema or an empty text."""
    refusals: tuple[int, ...] = ()
    """The statuses of refusals beyond those of every operation."""
    body_required: bool = False
    keyed: bool = False
    """Whether ``Idempotency-Key`` is honoured."""
    conditional: bool = False
    """Whether ``If-Match`` is honoured."""
    fenced: Literal["", "may", "must"] = ""
    """Whether ``Eventlog-Fence`` is honoured: then it may, or must, be a command of a turn."""

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.path.strip("/").split("/"))


class Routes:
    """The operations by their paths."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = tuple(operations)
        self._by_length: dict[int, list[tuple[tuple[str, ...], dict[str, Operation]]]] = {}
        for operation in self.operations:
            segments = operation.segments
            paths = self._by_length.setdefault(len(segments), [])
            for known, methods in paths:
                if known == segments:
                    methods[operation.method] = operation
                    break
            else:
                paths.append((segments, {operation.method: operation}))
        for paths in self._by_length.values():
            # A fixed word goes before a parameter: `messages/batch` is no message's id.
            paths.sort(key=lambda entry: [segment.startswith("{") for segment in entry[0]])

    def find(self, method: str, segments: list[bytes]) -> tuple[Operation, dict[str, str]]:
        """Return the operation of a path and the values in it.

        Raises `RequestRefused` with 404 for an unknown path, and 405 for a method that it lacks.
        """
        allowed: set[str] = set()
        for known, methods in self._by_length.get(len(segments), ()):
            values = _values(known, segments)
            if values is None:
                continue
            operation = methods.get(method)
            if operation is not None:
                return operation, values
            allowed |= set(methods)
        if allowed:
            allow = ", ".join(sorted(allowed))
            raise RequestRefused(
                "method_not_allowed",
                f"this path takes {allow}, not {method}",
                headers=(("Allow", allow),),
            )
        raise RequestRefused("not_found", "no operation has this path; see /openapi.json")


def _values(known: tuple[str, ...], segments: list[bytes]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for name, raw in zip(known, segments, strict=True):
        if not name.startswith("{"):
            if raw != name.encode():
                return None
        elif not raw:
            return None
        else:
            try:
                values[name[1:-1]] = unquote_to_bytes(raw).decode()
            except UnicodeDecodeError:
                raise RequestRefused(
                    "not_found", "an id in the path is not UTF-8; write it percent-encoded"
                ) from None
    return values


def raw_path(scope: Mapping[str, Any]) -> bytes:
    """Return the path of a request as it was sent, below the place where the app is mounted."""
    sent = scope.get("raw_path")
    path: bytes = sent if sent is not None else quote(scope["path"], safe="/%").encode()
    root = quote(scope.get("root_path", ""), safe="/%").encode()
    return path.removeprefix(root) if root else path
