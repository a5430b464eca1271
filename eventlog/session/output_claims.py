"""Checks of messages from outside that claim to have an output stored beside the log (G2).

The fields of `LARGE_OUTPUT_FIELDS` belong to the library: it reads them as the name of a value, a
path in the session's folder, a length. A message from outside may nevertheless have them, if it was
read from a session and is now appended to one. So their types are checked here; and a message that
claims a value of this very session must name it as the library would, and the value must exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.session.parts.reading import is_list
from eventlog.session.tool_output import (
    LARGE_OUTPUT_FIELDS,
    is_digest,
    kept_output_id,
    names_result_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventlog.session.message_data import MessageData

__all__ = ["check_claims", "claimed_values"]


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_path(value: object) -> bool:
    return is_list(value) and len(value) > 0 and all(isinstance(name, str) for name in value)


_EXPECTED: Final[dict[str, tuple[Callable[[object], bool], str]]] = {
    "tool_output_ref": (lambda value: isinstance(value, str), "the URI of an output, as text"),
    "tool_output_truncated": (lambda value: isinstance(value, bool), "true or false"),
    "tool_output_original_chars": (_is_count, "a number of characters"),
    "tool_output_preview_chars": (_is_count, "a number of characters"),
    "tool_output_sha256": (is_digest, "64 hexadecimal digits in lower case"),
    "tool_output_externalized_reason": (lambda value: isinstance(value, str), "text"),
    "tool_output_externalization_error": (lambda value: isinstance(value, str), "text"),
    "tool_output_field": (_is_path, "a list of field names"),
    "tool_output_json": (lambda value: isinstance(value, bool), "true or false"),
}


def check_claims(session: str, data: MessageData, index: int | None = None) -> bool:
    """Return whether a message names values of the session, which must then be looked up.

    Raises `InvalidMessage`, naming the field, for a claim that cannot be true.
    """
    names_values = False
    for place, part in enumerate(data["parts"]):
        if not LARGE_OUTPUT_FIELDS.isdisjoint(part):
            names_values |= _check_part(session, part, f"parts.{place}", index)
    return names_values


def _check_part(session: str, part: Mapping[str, Any], path: str, index: int | None) -> bool:
    for name in sorted(LARGE_OUTPUT_FIELDS & part.keys()):
        is_right, expected = _EXPECTED[name]
        if not is_right(part[name]):
            raise InvalidMessage(f"it must be {expected}", field=f"{path}.{name}", index=index)
    if not names_result_of(session, part):
        return False
    if kept_output_id(session, part) is None:
        raise InvalidMessage(
            f"it names an output of session {session!r}, but not as the library does; leave out "
            "the fields that begin with 'tool_output_' and give the output itself",
            field=f"{path}.tool_output_ref",
            index=index,
        )
    return True


def claimed_values(session: str, data: MessageData) -> list[tuple[str, str]]:
    """Return the values that a checked message names, each as its field's path and its digest."""
    return [
        (f"parts.{place}.tool_output_sha256", part["tool_output_sha256"])
        for place, part in enumerate(data["parts"])
        if kept_output_id(session, part) is not None
    ]
