"""Finding the output in a part, replacing it with a preview, and putting it back.

In this library's ``tool`` part, and in a call that got its result later, the output is the field
``tool_output``. In other shapes it is the field with the content of the result; in a part of an
unknown type it is the longest field. Fields beside the preview record which one:

===================== ================================================================
field                 holds
===================== ================================================================
``tool_output_field`` the names that lead to the field, outermost first
``tool_output_json``  true if it was not text: then its JSON is stored
===================== ================================================================
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventlog.session.parts.reading import Fields, as_json, is_list, is_object
from eventlog.session.parts.shapes import read_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PLACE_FIELDS", "Output", "output_of", "with_original", "with_preview"]

PLACE_FIELDS: Final = frozenset({"tool_output_field", "tool_output_json"})

_OWN: Final = ("tool_output",)


class Output(NamedTuple):
    """The output in a part: the call that it belongs to, its text, and what is stored."""

    id: str
    text: str
    original: str
    """The text to store: the output itself, or its JSON if it is not text."""
    slot: tuple[str, ...]
    is_json: bool


def output_of(part: Mapping[str, Any]) -> Output | None:
    """Return the output that a part holds, or None.

    Plain text, thoughts and media are not outputs, however long they are.
    """
    found = read_part(part)
    if not found.slot:
        return None
    value = _value_at(part, found.slot)
    if value is None:
        return None
    is_json = not isinstance(value, str)
    original = as_json(value) if is_json else value
    if found.result is not None:
        text = value if isinstance(value, str) else found.result.output or ""
        return Output(found.result.id, text, original, found.slot, is_json)
    id_ = part.get("id")
    return Output(
        id_ if isinstance(id_, str) else found.label, original, original, found.slot, is_json
    )


def with_preview(
    part: Mapping[str, Any], output: Output, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the part with the ``fields`` of a preview, which takes the place of the output."""
    if output.slot == _OWN or "tool_output" not in fields:
        return {**part, **fields}
    beside = {name: value for name, value in fields.items() if name != "tool_output"}
    value = _value_at(part, output.slot)
    shown = _shaped(value, fields["tool_output"])
    beside["tool_output_field"] = list(output.slot)
    if output.is_json:
        beside["tool_output_json"] = True
    return {**_set_at(part, output.slot, shown), **beside}


def with_original(part: Mapping[str, Any], kept: str) -> dict[str, Any]:
    """Return the part with its original output; the fields of the preview stay in it."""
    slot = part.get("tool_output_field")
    names = [name for name in slot if isinstance(name, str)] if is_list(slot) else []
    if not names:
        return {**part, "tool_output": kept}
    return _set_at(part, names, json.loads(kept) if part.get("tool_output_json") else kept)


def _shaped(value: Any, preview: str) -> Any:
    """Return a preview in the form of the output that it replaces, so that readers know it."""
    if is_object(value):
        is_typed = isinstance(value.get("type"), str) and "value" in value
        return {"type": "text", "value": preview} if is_typed else {"output": preview}
    return preview


def _value_at(part: Mapping[str, Any], slot: Sequence[str]) -> Any:
    value: Any = part
    for name in slot:
        if not is_object(value) or name not in value:
            return None
        value = value[name]
    return value


def _set_at(part: Mapping[str, Any], slot: Sequence[str], value: Any) -> Fields:
    first, *rest = slot
    inner = part.get(first)
    if rest:
        value = _set_at(inner if is_object(inner) else {}, rest, value)
    return {**part, first: value}
