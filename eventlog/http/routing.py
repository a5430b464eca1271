"""From a request's raw path to the operation that answers it.

Ids travel percent-encoded, so the path is split before it is decoded: ``%2F`` in a message's id is
no separator.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from pydantic import BaseModel
from starlette.responses import Response

from eventlog.http.principal import Action
from eventlog.http.wire_errors import RequestRefused

__all__ = ["PREFIX", "Handler", "Operation", "Routes", "only", "raw_path"]

PREFIX: Final = "/api/v1"

_NO_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")

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

    parameters: tuple[tuple[int, str], ...] = field(init=False)
    """The parameters in the path: which segment each is, and its name."""

    def __post_init__(self) -> None:
        named = ((at, word[1:-1]) for at, word in enumerate(self.segments) if word[0] == "{")
        object.__setattr__(self, "parameters", tuple(named))

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.path.strip("/").split("/"))


class Routes:
    """The operations by their paths."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = tuple(operations)
        self._shapes: dict[int, list[_Shape]] = {}
        for operation in self.operations:
            segments = operation.segments
            is_fixed = tuple(not segment.startswith("{") for segment in segments)
            shapes = self._shapes.setdefault(len(segments), [])
            shape = next((each for each in shapes if each.is_fixed == is_fixed), None)
            if shape is None:
                shape = _Shape(is_fixed)
                shapes.append(shape)
            shape.add(operation)
        for shapes in self._shapes.values():
            # A fixed word goes before a parameter: `messages/batch` is no message's id.
            shapes.sort(key=lambda shape: shape.is_fixed, reverse=True)

    def find(self, method: str, segments: list[bytes]) -> tuple[Operation, dict[str, str]]:
        """Return the operation of a path and the values in it.

        Raises `RequestRefused` with 404 for an unknown path, and 405 for a method that it lacks.
        """
        allowed: set[str] = set()
        for shape in self._shapes.get(len(segments), ()):
            methods = shape.find(segments)
            if methods is None:
                continue
            operation = methods.get(method)
            if operation is not None:
                return operation, _values(operation.parameters, segments)
            allowed = allowed or {*methods}  # The description goes by the most fixed path, too.
        if allowed:
            raise only(sorted(allowed), method)
        raise RequestRefused("not_found", "no operation has this path; see /openapi.json")


def only(methods: Iterable[str], method: str) -> RequestRefused:
    """Return the refusal of a method that a path does not take."""
    allow = ", ".join(methods)
    return RequestRefused(
        "method_not_allowed",
        f"this path takes {allow}, not {method}",
        headers=(("Allow", allow),),
    )


class _Shape:
    """The paths of one length that have parameters in the same places: found by their words."""

    def __init__(self, is_fixed: tuple[bool, ...]) -> None:
        self.is_fixed = is_fixed
        self._places = [place for place, fixed in enumerate(is_fixed) if fixed]
        self._methods: dict[tuple[bytes, ...], dict[str, Operation]] = {}

    def add(self, operation: Operation) -> None:
        segments = operation.segments
        words = tuple([segments[place].encode() for place in self._places])
        self._methods.setdefault(words, {})[operation.method] = operation

    def find(self, segments: list[bytes]) -> dict[str, Operation] | None:
        """Return the operations of a path by their methods; None if it is another path."""
        # An empty segment is no value of a parameter, and no word is empty.
        return (
            self._methods.get(tuple([segments[place] for place in self._places]))
            if all(segments)
            else None
        )


def _values(parameters: Iterable[tuple[int, str]], segments: list[bytes]) -> dict[str, str]:
    try:
        return {
            name: (_unescaped(raw) if b"%" in (raw := segments[place]) else raw).decode()
            for place, name in parameters
        }
    except UnicodeDecodeError:
        raise RequestRefused(
            "not_found", "an id in the path is not UTF-8; write it percent-encoded"
        ) from None


def _unescaped(raw: bytes) -> bytes:
    if _NO_ESCAPE.search(raw):
        raise RequestRefused(
            "not_found", "a % in the path begins no two hexadecimal digits; write it as %25"
        )
    return unquote_to_bytes(raw)


def raw_path(scope: Mapping[str, Any]) -> bytes:
    """Return the path of a request as it was sent, below the place where the app is mounted."""
    sent = scope.get("raw_path")
    path: bytes = sent if sent is not None else quote(scope["path"], safe="/%").encode()
    root = quote(scope.get("root_path", ""), safe="/%").encode()
    return path.removeprefix(root) if root else path
