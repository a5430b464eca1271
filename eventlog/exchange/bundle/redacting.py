"""Events without secrets, or without any text; what they are about stays, and so does their shape.

``secrets`` takes out what has the form of a secret (`eventlog.redaction`), wherever it is in an event
or its metadata. ``texts`` takes out all text of messages, tools and steps, of errors and reasons, and
of events of an application's own; ids, names of tools, roles, states and numbers stay.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.events import is_builtin_type
from eventlog.redaction import redact
from eventlog.session.named_values import named_values
from eventlog.session.tool_output import LARGE_OUTPUT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventlog.exchange.bundle.format import Redaction
    from eventlog.records import Record

__all__ = ["Redacted", "redacted_message", "redacted_record"]

_STRUCTURE: Final = frozenset(
    {
        *("archive_id", "boot", "created_at", "format", "host", "id", "kind", "message_id", "name"),
        *("provider", "model", "role", "started", "status", "step", "task_id", "tool_id"),
        *("tool_call_id", "tool_name", "tool_output_field", "tool_status", "tool_use_id", "type"),
        *(
            "call_id",
            "call",
            "outcome",
            "supervisor",
            "turn",
            "worker",
            "estimator",
            "finalizer",
            "digest",
            "blob",
            "origin",
            "origin_hash",
            "sha256",
        ),
        *("tool_output_ref", "tool_output_sha256", "tool_output_externalized_reason"),
        *(
            "causation_id",
            "correlation_id",
            "traceparent",
            "tracestate",
            "idempotency_key",
            "command",
        ),
        *("on_error", "problem"),
    }
)
"""Fields that hold no text but what tells things apart, or which way they went."""


_WITHOUT_TEXT: Final = frozenset(
    {
        *("commit_prepared", "commit_published", "context_given", "folder_attached"),
        *("folder_detached", "lease_renewed", "memory_session_assigned", "project_assigned"),
        *("failed_archives_changed", "session_created", "session_forked", "task_claimed"),
        *("run_started", "run_completed"),
    }
)
"""Events of the library that say nothing of what was said."""


class Redacted(NamedTuple):
    """A record as it goes into a bundle; the digests are those of what was there, if it is gone."""

    record: Record
    data_digest: bytes | None = None
    metadata_digest: bytes | None = None


def redacted_record(record: Record, redaction: Redaction | None, *, keeps_values: bool) -> Redacted:
    """Return a record without what is to be taken out of it.

    Without ``keeps_values`` the large values that it names stay outside, and it names none.
    """
    if redaction is None:
        return Redacted(record)
    mask = _Mask(redaction, record.type)
    metadata = _rewritten(record.metadata, mask.secrets_only)
    data = _rewritten(record.data, mask.whole)
    if not keeps_values and named_values(record):
        data = _rewritten(data, _without_values)
        metadata = _rewritten(metadata, _without_digests)
    if (data, metadata) == (record.data, record.metadata):
        return Redacted(record)
    return Redacted(
        record._replace(data=data, metadata=metadata),
        sha256(record.data).digest(),
        sha256(record.metadata).digest(),
    )


def redacted_message(message: Any, redaction: Redaction | None) -> Any:
    """Return a message's data as a redacted record of it has it."""
    return message if redaction is None else _Mask(redaction, "message_appended").whole(message)


def _rewritten(data: bytes, change: Callable[[Any], Any]) -> bytes:
    """Return JSON with its values changed; the same bytes where nothing was."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        # Damage says nothing that could be told apart, so none of it goes out.
        return b'{"redacted":true}'
    changed = change(value)
    if changed == value:
        return data
    return json.dumps(changed, ensure_ascii=False, separators=(",", ":")).encode()


class _Mask:
    """What becomes of the values of one event."""

    def __init__(self, redaction: Redaction, type_: str) -> None:
        self._texts = redaction == "texts" and type_ not in _WITHOUT_TEXT
        self._is_users = not is_builtin_type(type_)

    def secrets_only(self, value: Any) -> Any:
        return _walk(value, "", redact, keeps=_STRUCTURE)

    def whole(self, value: Any) -> Any:
        if not self._texts:
            return self.secrets_only(value)
        keeps = frozenset[str]() if self._is_users else _STRUCTURE
        return _walk(value, "", _blank, keeps=keeps)


def _blank(text: str) -> str:
    return f"[{len(text):,} characters]" if text else text


def _walk(value: Any, name: str, change: Callable[[str], str], *, keeps: frozenset[str]) -> Any:
    """Return a value with its texts changed, but those that tell things apart."""
    if isinstance(value, str):
        return value if name in keeps else change(value)
    if isinstance(value, list):
        items = cast("Iterable[Any]", value)
        return [_walk(each, name, change, keeps=keeps) for each in items]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        inside = (
            frozenset[str]() if name in ("tool_input", "input", "payload", "arguments") else keeps
        )
        return {key: _walk(each, key, change, keeps=inside) for key, each in fields.items()}
    return value


def _without_digests(metadata: Any) -> Any:
    """Return the metadata of an event that names no value."""
    if not isinstance(metadata, dict):
        return metadata
    fields = cast("dict[str, Any]", metadata)
    return {name: value for name, value in fields.items() if name != "values"}


def _without_values(value: Any) -> Any:
    """Return an event that names no large value; the previews stay."""
    if isinstance(value, list):
        return [_without_values(each) for each in cast("Iterable[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        kept = {
            key: _without_values(each)
            for key, each in fields.items()
            if key not in LARGE_OUTPUT_FIELDS
        }
        return {**kept, "blob": None} if isinstance(fields.get("blob"), str) else kept
    return value
