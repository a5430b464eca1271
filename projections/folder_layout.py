"""The names and formats of the files in a session folder (O1).

    {session}/
      messages.jsonl              the live messages, one JSON object per line; none: zero bytes
      .meta.json                  the session's metadata (M8)
      .abstract.md  .overview.md  the latest summary; zero bytes before the first
      .eventlog.lock              zero bytes; the process that writes the folder locks it
      tool-results/{id}/          output.txt and metadata.json of an externalised tool output
      history/archive_001/        at least three digits; 1000 is archive_1000
        messages.jsonl            what the commit took, as it was then; never changed again
        .abstract.md .overview.md its summaries, the text as it was recorded
        .meta.json                their tokens
        memory_diff.json          the changes that a memory extractor reported
        .done                     the archive is finalised; written last
        .failed.json              it failed for good, or was given up; removed by a retry

All text is UTF-8 without a byte order mark. JSON is on one line, with the separators ``", "`` and
``": "``, characters beyond ASCII unescaped, keys in the order given here, numbers as Python writes
them (``1``, ``0.5``, ``1e+22``) and times, taken from events, as `format_time` writes them. Lines
end with one line feed; documents do not.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.session.commit import archive_id, archive_index
from eventlog.session.parts import with_expected_fields
from eventlog.session.tokens import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from eventlog.session.message_data import MessageData
    from eventlog.session.views import SessionMeta

__all__ = [
    "ABSTRACT",
    "ARCHIVE_FILES",
    "DONE",
    "FAILED",
    "HISTORY",
    "LOCK",
    "MEMORY_DIFF",
    "MESSAGES",
    "META",
    "OVERVIEW",
    "SESSION_FILES",
    "TOOL_METADATA",
    "TOOL_OUTPUT",
    "TOOL_RESULTS",
    "archive_file",
    "archive_meta_document",
    "document",
    "done_document",
    "failed_document",
    "is_output",
    "is_quarantined",
    "is_temporary",
    "json_object",
    "markdown",
    "message_line",
    "message_lines",
    "meta_document",
    "quarantine_name",
    "split_archive_file",
    "temporary_name",
]

MESSAGES: Final = "messages.jsonl"
META: Final = ".meta.json"
ABSTRACT: Final = ".abstract.md"
OVERVIEW: Final = ".overview.md"
LOCK: Final = ".eventlog.lock"
HISTORY: Final = "history"
MEMORY_DIFF: Final = "memory_diff.json"
DONE: Final = ".done"
FAILED: Final = ".failed.json"
TOOL_RESULTS: Final = "tool-results"
TOOL_OUTPUT: Final = "output.txt"
TOOL_METADATA: Final = "metadata.json"

SESSION_FILES: Final = (MESSAGES, ABSTRACT, OVERVIEW, META)
"""The files of every session folder, in the order in which they are written."""

ARCHIVE_FILES: Final = (MESSAGES, OVERVIEW, ABSTRACT, META, MEMORY_DIFF, FAILED, DONE)
"""The files that an archive may have, in the order in which they are written."""

_TEMPORARY: Final = ".eventlog-tmp"
_QUARANTINED: Final = ".quarantined-"

_MESSAGE_KEYS: Final = ("id", "role", "parts", "created_at")

# ---- names ------------------------------------------------------------------------------------


def archive_file(index: int, name: str) -> str:
    """Return the path of an archive's file in the folder."""
    return f"{HISTORY}/{archive_id(index)}/{name}"


def split_archive_file(path: str) -> tuple[int, str] | None:
    """Return the archive and the name of the file at a path; None if it is not an archive's."""
    folder, _, rest = path.partition("/")
    archive, _, name = rest.partition("/")
    index = archive_index(archive)
    if folder != HISTORY or index is None or not name or archive_id(index) != archive:
        return None
    return index, name


def is_output(path: str) -> bool:
    """Return whether a path is that of a file of a tool's large output."""
    return path.startswith(f"{TOOL_RESULTS}/")


def temporary_name(name: str, drawn: str) -> str:
    """Return the temporary name under which a file is written before it is renamed.

    It contains the random text ``drawn``, so that no other program can have put a file there.
    """
    return f".{name.removeprefix('.')}.{drawn}{_TEMPORARY}"


def is_temporary(name: str) -> bool:
    """Return whether a name is a temporary one, which only a crash leaves behind."""
    return name.startswith(".") and name.endswith(_TEMPORARY)


def quarantine_name(name: str, content: bytes) -> str:
    """Return the name of the file that keeps dropped content, beside the file that it was in.

    The name follows from the content, so quarantining it twice changes nothing.
    """
    kept = name.removeprefix(".").removesuffix(_TEMPORARY)
    return f"{_QUARANTINED}{sha256(content).hexdigest()[:16]}-{kept}"


def is_quarantined(name: str) -> bool:
    """Return whether a name is that of a file in quarantine."""
    return name.startswith(_QUARANTINED)


# ---- formats ----------------------------------------------------------------------------------

_encode = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": ")).encode


def document(value: Mapping[str, Any]) -> bytes:
    """Write a JSON document."""
    return _encode(value).encode()


def message_line(data: MessageData) -> bytes:
    """Write a message as a line: the four fields of every message, then the unknown ones."""
    fields: dict[str, Any] = dict(data)
    known = {key: fields.pop(key) for key in _MESSAGE_KEYS if key in fields}
    known["parts"] = [with_expected_fields(part) for part in known["parts"]]
    return _encode({**known, **fields}).encode() + b"\n"


def message_lines(messages: Iterable[MessageData]) -> bytes:
    """Write messages in the form of a ``messages.jsonl``."""
    return b"".join([message_line(data) for data in messages])


def meta_document(meta: SessionMeta, unknown: Mapping[str, Any] | None = None) -> bytes:
    """Write ``.meta.json``: the fields of `SessionMeta` in their order, then ``unknown`` keys.

    What commits wait for, and what was withdrawn, is not in the file: other programs that read it do
    not know these fields.
    """
    fields = meta._asdict()
    for name in ("blocked_by", "withdrawn_count"):
        del fields[name]
    return document(fields if not unknown else {**fields, **_beside(unknown, fields)})


def archive_meta_document(
    overview: str, abstract: str, adopted: Mapping[str, Any] | None = None
) -> bytes:
    """Write an archive's ``.meta.json``: the tokens of its summaries, by the estimate of M11.

    The estimate is always that one, whatever estimator the log was opened with: the content must
    depend on the records alone (P3). What an ``adopted`` archive's file had stays as it was, its
    counts included.
    """
    fields = {
        "overview_tokens": estimate_tokens(overview),
        "abstract_tokens": estimate_tokens(abstract),
    }
    return document({**fields, **(adopted or {})})


def _beside(unknown: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in unknown.items() if key not in known}


def done_document(
    index: int,
    first_id: str,
    last_id: str,
    covers: Sequence[int],
    unknown: Mapping[str, Any] | None = None,
) -> bytes:
    """Write ``.done``: the first and last message, the archives that the overview covers, then
    ``unknown`` keys."""
    covered = sorted({*covers, index})
    fields = {
        "starting_message_id": first_id,
        "ending_message_id": last_id,
        "coverage_start_archive": archive_id(covered[0]),
        "coverage_end_archive": archive_id(covered[-1]),
        "covered_failed_archives": [archive_id(other) for other in covered if other != index],
    }
    return document({**fields, **_beside(unknown or {}, fields)})


def failed_document(stage: str, error: str, failed_at: str, *, skipped: bool = False) -> bytes:
    """Write ``.failed.json``; ``skipped`` says that the archive was given up for good."""
    fields: dict[str, Any] = {"stage": stage, "error": error, "failed_at": failed_at}
    return document({**fields, "skipped": True} if skipped else fields)


def markdown(text: str) -> bytes:
    """Write a summary as it is.

    Readers take a first line of three dashes for the start of front matter; a summary that begins
    with one gets an empty line before it.
    """
    return (f"\n{text}" if text.startswith("---") else text).encode()


def json_object(data: bytes) -> dict[str, Any] | None:
    """Read a JSON object; return None for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
