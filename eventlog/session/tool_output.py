"""Tool outputs that are too large for their message: how they are chosen and replaced (M6).

Pure functions over stored messages. An output that is stored beside the log, as one of the
session's values (`eventlog.session.values`), is named by fields of its tool part, under the names
that other programs use:

=================================== ===========================================================
field                               holds
=================================== ===========================================================
``tool_output``                     the preview: beginning and end, and how to read the rest
``tool_output_ref``                 ``eventlog://{session}/tool-results/{id}``; absent if the
                                    output could not be kept
``tool_output_truncated``           true
``tool_output_original_chars``      the length of the output
``tool_output_preview_chars``       the length of the preview
``tool_output_sha256``              the name of the output in the blob area: of its UTF-8 bytes
``tool_output_externalized_reason`` ``single_threshold`` or ``turn_budget``: the limit it exceeds
``tool_output_externalization_error`` why it could not be kept
``tool_output_field``               where the preview is instead, in a part of another shape
``tool_output_json``                true if what is stored is the JSON of an output that is not text
=================================== ===========================================================

A part that already has one of these fields is left as it is, after the check in
`eventlog.session.output_claims`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from typing_extensions import TypeIs  # typing has it from 3.13 on

from eventlog.identifiers import key_part
from eventlog.session.parts import PLACE_FIELDS, output_of, with_original
from eventlog.session.values import digest_of

if TYPE_CHECKING:
    from eventlog.session.message_data import MessageData
    from eventlog.session.policies import ToolOutputPolicy

__all__ = [
    "LARGE_OUTPUT_FIELDS",
    "OutputMatch",
    "ToolOutput",
    "is_digest",
    "kept_digest",
    "kept_output_id",
    "names_result_of",
    "preview_fields",
    "same_output",
    "search",
    "select_large",
    "tool_result_uri",
]

LARGE_OUTPUT_FIELDS: Final = frozenset(
    {
        "tool_output_ref",
        "tool_output_truncated",
        "tool_output_original_chars",
        "tool_output_preview_chars",
        "tool_output_sha256",
        "tool_output_externalized_reason",
        "tool_output_externalization_error",
        *PLACE_FIELDS,
    }
)
"""The fields about an output that is stored beside the log, or could not be."""

TOOL_ID_CHARACTERS: Final = 96
"""How much of a tool's id is in the name of its result: file systems allow 255 bytes."""

NAMED_CHARACTERS: Final = 200
"""Longer ids are not repeated in the preview, which has little room."""

SEARCH_LIMIT: Final = 20
"""Matches that a search returns by default."""

CONTEXT_CHARACTERS: Final = 300
"""Characters on each side of a match that a search returns by default."""

Limit: TypeAlias = Literal["single_threshold", "turn_budget"]
"""The limit that an output exceeds: the one for itself, or the one for a message's outputs."""

SINGLE: Final = "single_threshold"
TOGETHER: Final = "turn_budget"

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ToolOutput(NamedTuple):
    """A piece of a tool's output: ``text`` begins at ``offset`` of ``total_characters``."""

    text: str
    offset: int
    total_characters: int

    @property
    def next_offset(self) -> int | None:
        """The offset at which the next piece begins; None at the end."""
        end = self.offset + len(self.text)
        return end if end < self.total_characters else None


class OutputMatch(NamedTuple):
    """A place where a text was found in a tool's output.

    ``offset`` is the place itself. ``context`` is the text around it, which begins at
    ``context_offset`` of the output.
    """

    offset: int
    context: str
    context_offset: int


def select_large(
    outputs: Mapping[int, str], inline: int, policy: ToolOutputPolicy
) -> dict[int, Limit]:
    """Choose the outputs of a message to store beside the log, each with the limit it exceeds.

    ``outputs`` are the candidates by their place; ``inline`` is how many characters of other output
    the message has.
    """
    chosen: dict[int, Limit] = {
        place: SINGLE for place, output in outputs.items() if len(output) > policy.inline_characters
    }
    inline += len(chosen) * policy.preview_characters
    rest = {place: len(text) for place, text in outputs.items() if place not in chosen}
    inline += sum(rest.values())
    for place in sorted(rest, key=lambda place: (-rest[place], place)):
        if inline <= policy.message_characters or rest[place] <= policy.preview_characters:
            break
        chosen[place] = TOGETHER
        inline -= rest[place] - policy.preview_characters
    return chosen


def outputs_of(data: MessageData) -> tuple[dict[int, str], int]:
    """Return a message's outputs by their places, and the length of those that must stay inline."""
    outputs: dict[int, str] = {}
    inline = 0
    for place, part in enumerate(data["parts"]):
        output = output_of(part)
        if output is None:
            continue
        if LARGE_OUTPUT_FIELDS.isdisjoint(part):
            outputs[place] = output.text
        else:
            inline += len(output.text)
    return outputs, inline


def has_large(data: MessageData, policy: ToolOutputPolicy) -> bool:
    """Return whether a message has an output that must be stored beside the log."""
    return bool(select_large(*outputs_of(data), policy))


# ---- the preview ------------------------------------------------------------------------------


def tool_result_uri(session: str, tool_id: str, digest: str) -> str:
    """Return the URI of a tool's output; its last segment is the name in a session folder."""
    safe = _UNSAFE.sub("_", tool_id)[:TOOL_ID_CHARACTERS]
    name = f"tr_{safe}_{digest[:16]}" if safe else f"tr_{digest[:24]}"
    return f"{_results_of(session)}{name}"


def _results_of(session: str) -> str:
    return f"eventlog://{key_part(session)}/tool-results/"


class CallId(NamedTuple):
    """The tool call that an output belongs to."""

    session_id: str
    message_id: str
    tool_id: str


def preview_fields(
    call: CallId, output: str, reason: Limit, characters: int, *, digest: str, error: str | None
) -> dict[str, Any]:
    """Return the fields of a tool part with a stored output; with ``error``, of a lost one."""
    preview = _preview(call, output, characters, kept=error is None)
    fields: dict[str, Any] = {"tool_output": preview}
    if error is None:
        fields["tool_output_ref"] = tool_result_uri(call.session_id, call.tool_id, digest)
    fields |= {
        "tool_output_truncated": True,
        "tool_output_original_chars": len(output),
        "tool_output_preview_chars": len(preview),
        "tool_output_sha256": digest,
        "tool_output_externalized_reason": reason,
    }
    if error is not None:
        fields["tool_output_externalization_error"] = error
    return fields


def _preview(call: CallId, output: str, characters: int, *, kept: bool) -> str:
    """Return the beginning and the end of an output, within ``characters`` with the explanation."""
    total = len(output)
    shown = characters - len(_gap(call, total, total, kept=kept))
    tail = shown // 2
    head = shown - tail
    gap = _gap(call, total - shown, head, kept=kept)
    return f"{output[:head]}{gap}{output[total - tail :]}"


def _gap(call: CallId, left_out: int, offset: int, *, kept: bool) -> str:
    named = f"{call.message_id!r}, {call.tool_id!r}"
    if len(named) > NAMED_CHARACTERS:
        named = "message_id, tool_id"
    how = (
        f"read them with tool_output({named}, offset={offset})"
        if kept
        else "they could not be stored and are lost"
    )
    return f"\n\n[… {left_out:,} characters of this tool output are left out here; {how} …]\n\n"


# ---- the stored output ------------------------------------------------------------------------


def kept_digest(session: str, part: Mapping[str, Any], tool_id: object) -> str | None:
    """Return the digest of an output that this session has stored beside the log, or None.

    ``part`` has the fields that replace the output of the call ``tool_id``. They count only if they
    are exactly what the library writes, since the digest leads to a value, and the last segment of
    the URI to a folder.
    """
    digest = part.get("tool_output_sha256")
    if not isinstance(tool_id, str) or not is_digest(digest):
        return None
    counts = (part.get("tool_output_original_chars"), part.get("tool_output_preview_chars"))
    is_ours = part.get("tool_output_ref") == tool_result_uri(session, tool_id, digest)
    return digest if is_ours and all(type(count) is int for count in counts) else None


def kept_output_id(session: str, part: Mapping[str, Any]) -> str | None:
    """Return the id of the call that a part's stored output belongs to, or None."""
    if "tool_output_ref" not in part:
        return None
    output = output_of(part)
    # For calls without an id, outputs that were stored by earlier versions lack the tool's name.
    ids = (None if output is None else output.id, part.get("tool_id"))
    return next((id_ for id_ in ids if kept_digest(session, part, id_) is not None), None)


def names_result_of(session: str, part: Mapping[str, Any]) -> bool:
    """Return whether a part claims, rightly or not, that this session has stored its output."""
    ref = part.get("tool_output_ref")
    return isinstance(ref, str) and ref.startswith(_results_of(session))


def is_digest(value: object) -> TypeIs[str]:
    """Return whether a value has the form of a digest: 64 hexadecimal digits."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def same_output(part: Mapping[str, Any], output: str | None) -> bool:
    """Return whether a stored part has this output, whole or as a preview (L3)."""
    digest = part.get("tool_output_sha256")
    if digest is None or output is None:
        return part.get("tool_output") == output
    return part.get("tool_output") == output or digest == digest_of(output.encode())


def same_part(stored: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether a stored part is what was given, apart from how its output is stored (L3)."""
    if stored == given:
        return True
    if LARGE_OUTPUT_FIELDS.isdisjoint(stored) or not LARGE_OUTPUT_FIELDS.isdisjoint(given):
        return False
    output = output_of(given)
    if output is None:
        return False
    digest = stored.get("tool_output_sha256")
    if digest is not None and digest != digest_of(output.original.encode()):
        return False
    kept = without_large_output(stored)
    if digest is None:  # The output could not be stored, so it is in the part.
        return kept == given
    return without_large_output(with_original(stored, output.original)) == given


def without_large_output(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part without the fields about a stored output."""
    return {name: value for name, value in part.items() if name not in LARGE_OUTPUT_FIELDS}


def search(output: str, text: str, *, limit: int, context: int) -> Iterable[OutputMatch]:
    """Yield the places where ``text`` occurs in an output, literally and without overlaps."""
    offset = output.find(text)
    while offset >= 0 and limit > 0:
        start = max(0, offset - context)
        yield OutputMatch(offset, output[start : offset + len(text) + context], start)
        limit -= 1
        offset = output.find(text, offset + len(text))
