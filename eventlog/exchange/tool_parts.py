"""Calls and results of foreign formats as tool parts; fields without a place there are kept."""

from __future__ import annotations

from typing import Any

from eventlog.session.chat.format import Fields, compact, is_object, parse_json
from eventlog.session.parts import output_text

__all__ = ["call", "result"]


def call(tool_id: str, name: str, given: Any, source: Fields | None = None) -> Fields:
    """Return the part of a call without its result; ``given`` is an object or its JSON."""
    part: Fields = {
        "type": "tool",
        "tool_id": tool_id,
        "tool_name": name,
        "tool_status": "pending",
    }
    if isinstance(given, str):
        try:
            parsed = parse_json(given)
        except (ValueError, RecursionError):
            parsed = None
        if not is_object(parsed) or compact(parsed) != given:
            part["chat_arguments"] = given
        given = parsed if is_object(parsed) else {"input": given}
    if given is not None:
        part["tool_input"] = given if is_object(given) else {"input": given}
    return {**part, "source": source} if source else part


def result(
    tool_id: str, name: str, output: Any, *, failed: bool = False, source: Fields | None = None
) -> Fields:
    """Return the part of a result; an output that is not text is kept beside its text form."""
    part: Fields = {
        "type": "tool",
        "tool_id": tool_id,
        "tool_name": name,
        "tool_status": "error" if failed else "completed",
        "tool_output": output_text(output),
    }
    if output is not None and not isinstance(output, str):
        part["chat_output"] = output
    return {**part, "source": source} if source else part
