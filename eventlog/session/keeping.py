"""Keeping tool outputs that are too large for their message (M6).

An output is stored as a value before the command that names it is queued (L11). If that fails, the
session's policy says what is recorded instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from eventlog.errors import EventLogError, InvalidMessage
from eventlog.session.messages import check_text
from eventlog.session.output_claims import claimed_values
from eventlog.session.parts import output_of, with_preview
from eventlog.session.tool_output import CallId, outputs_of, preview_fields, select_large
from eventlog.session.values import digest_of

if TYPE_CHECKING:
    from eventlog.session.message_data import MessageData
    from eventlog.session.policies import ToolOutputPolicy
    from eventlog.session.tool_output import Limit

__all__ = ["Values", "check_kept", "keep_output", "keep_outputs"]


class Values(Protocol):
    """Where a session's large values are stored."""

    def keep_value(self, data: bytes) -> str:
        """Store a value durably and return its digest; raise the store's error if it cannot."""
        ...

    def has_value(self, digest: str) -> bool:
        """Return whether the session has a value with this digest."""
        ...


def keep_outputs(
    values: Values, session_id: str, data: MessageData, policy: ToolOutputPolicy
) -> MessageData:
    """Store the large outputs of a message; return the message with previews in their place."""
    outputs, inline = outputs_of(data)
    parts = list(data["parts"])
    for number, reason in select_large(outputs, inline, policy).items():
        part = parts[number]
        output = output_of(part)
        assert output is not None  # `select_large` chose it among the outputs.
        call = CallId(session_id, data["id"], output.id)
        kept = keep_output(values, call, outputs[number], reason, policy, original=output.original)
        parts[number] = with_preview(part, output, kept)
    return cast("MessageData", {**data, "parts": parts})


def check_kept(values: Values, session_id: str, data: MessageData) -> None:
    """Raise `InvalidMessage` for a message that names a value which the session does not have."""
    for path, digest in claimed_values(session_id, data):
        if not values.has_value(digest):
            raise InvalidMessage(
                f"session {session_id!r} has no stored output {digest}; give the output itself",
                field=path,
            )


def keep_output(
    values: Values,
    call: CallId,
    output: str,
    reason: Limit,
    policy: ToolOutputPolicy,
    *,
    original: str | None = None,
) -> dict[str, Any]:
    """Store an output; return the fields of the tool part that replace it.

    ``original`` is the text to store if the output is not text itself: its JSON. If the fields have
    no ``tool_output``, the output itself stays in the part.
    """
    check_text(output, "tool_output")
    data = (output if original is None else original).encode()
    digest, problem = digest_of(data), None
    try:
        values.keep_value(data)
    except EventLogError as error:
        if policy.on_failure == "reject":
            raise
        problem = str(error)
        if policy.on_failure == "keep_raw":
            return {"tool_output_externalization_error": problem}
    return preview_fields(
        call, output, reason, policy.preview_characters, digest=digest, error=problem
    )
