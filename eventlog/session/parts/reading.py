"""The result of reading a part: the same few fields for every shape."""

from __future__ import annotations

import json
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from typing_extensions import TypeIs

__all__ = [
    "FINAL",
    "Call",
    "Context",
    "Fields",
    "Media",
    "MediaKind",
    "Reading",
    "Result",
    "as_json",
    "is_list",
    "is_object",
]

Fields: TypeAlias = dict[str, Any]

MediaKind: TypeAlias = Literal["image", "audio", "video", "file"]

FINAL: Final = ("completed", "error")
"""The states of a call that has its result."""


class Media(NamedTuple):
    """An image, a recording or a file that a model is given beside text."""

    kind: MediaKind
    size: int | None
    """Bytes, if the part has the content itself; None for a reference to it."""
    name: str
    """The address or file name, else the media type; may be empty."""


class Call(NamedTuple):
    """The call of a tool. If the provider gives no id, the tool's name is the id."""

    id: str
    name: str
    input: Any
    """The arguments: an object, or text if they are not an object; None if there are none."""

    @property
    def text(self) -> str:
        """The text of the call that counts as tokens: id, name and arguments."""
        return "".join((self.id, self.name if self.name != self.id else "", self.arguments))

    @property
    def arguments(self) -> str:
        """The arguments as one text."""
        if isinstance(self.input, str):
            return self.input
        return as_json(self.input) if self.input else ""


class Result(NamedTuple):
    """The output of a tool, or its output so far."""

    id: str
    name: str
    output: str | None
    status: Literal["running", "completed", "error"]

    @property
    def is_final(self) -> bool:
        """Return whether the call needs no further result."""
        return self.status in FINAL


class Context(NamedTuple):
    """A reference to something that was put into the model's context."""

    uri: str
    kind: str


class Reading(NamedTuple):
    """What a part holds. A part may be a call and its result at once."""

    said: str = ""
    """What the speaker said: text, a refusal, the transcript of a recording."""
    beside: str = ""
    """Further text that reaches a model: thoughts, abstracts, the JSON of an unknown type."""
    call: Call | None = None
    result: Result | None = None
    media: tuple[Media, ...] = ()
    label: str = ""
    """The label that people see before ``beside``, such as ``thinking`` or the unknown type."""
    context: Context | None = None
    is_unknown: bool = False
    """Whether no reader knows this shape."""
    slot: tuple[str, ...] = ()
    """The field names that lead to the output which may be stored beside the log."""

    @property
    def is_open(self) -> bool:
        """Return whether this is a call that awaits its result."""
        return self.call is not None and (self.result is None or not self.result.is_final)

    @property
    def text(self) -> str:
        """All text of the part that counts as tokens."""
        if self.call is None and self.result is None:
            return self.said + self.beside
        pieces = [self.said, self.beside]
        if self.call is not None:
            pieces.append(self.call.text)
        if self.result is not None:
            if self.call is None:
                pieces += [self.result.id, self.result.name]
                if self.result.name == self.result.id:
                    pieces.pop()
            pieces.append(self.result.output or "")
        return "".join(pieces)


def as_json(value: Any) -> str:
    """Write a value as the JSON that counts as tokens and is shown."""
    return json.dumps(value, ensure_ascii=False, default=str)


def is_object(value: Any) -> TypeIs[dict[str, Any]]:
    return isinstance(value, dict)


def is_list(value: Any) -> TypeIs[list[Any]]:
    return isinstance(value, list)
