"""The tool outputs of a session folder that are too large for their message (O1, M6).

Each has its own folder, named as the message refers to it: ``output.txt`` with the whole
output, and ``metadata.json`` about it. Both follow from the record that first names the output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from eventlog.projections.folder_layout import (
    TOOL_METADATA,
    TOOL_OUTPUT,
    TOOL_RESULTS,
    document,
)
from eventlog.session.events import MessageAppended, ToolResultRecorded
from eventlog.session.parts import readings_of
from eventlog.session.tool_output import kept_digest, kept_output_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventlog.recorded import Recorded
    from eventlog.session.events import VersionRange
    from eventlog.session.reading import StoredMessage

__all__ = [
    "OUTPUT_TYPES",
    "FolderSource",
    "kept_in",
    "names_output",
    "output_content",
    "output_files",
]

OUTPUT_TYPES: Final = frozenset({"message_appended", "tool_result_recorded"})
"""The event types that may name an output which is stored beside the log."""


class FolderSource(Protocol):
    """The source of a session folder's files: the session's records and its large values."""

    def record(self, version: int) -> Recorded | None:
        """Return the record at a version."""
        ...

    def message(self, message_id: str) -> Recorded | None:
        """Return the record of a message."""
        ...

    def messages(
        self,
        ranges: Sequence[VersionRange],
        *,
        last: int | None = None,
        as_of: int | None = None,
    ) -> list[StoredMessage]:
        """Return the messages in ascending ranges, with the results known at ``as_of``."""
        ...

    def first_message(self, ranges: Sequence[VersionRange]) -> Recorded | None:
        """Return the record of the first message in ascending ranges."""
        ...

    def value(self, digest: str) -> bytes:
        """Return a large value; raise `CorruptLog` if it is missing or damaged."""
        ...


class _Named(NamedTuple):
    """An output that a record names: its call, and the fields that describe it."""

    message_id: str
    tool_id: str
    part: Mapping[str, Any]

    @property
    def folder(self) -> str:
        return str(self.part["tool_output_ref"]).rpartition("/")[2]


def names_output(recorded: Recorded) -> bool:
    """Return whether a record may name an output, judging by its bytes without decoding them."""
    return b'"tool_output_ref"' in recorded.record.data


def kept_in(recorded: Recorded) -> set[str]:
    """Return the digests of the outputs that a record names and its session has stored."""
    if recorded.type not in OUTPUT_TYPES:
        return set()
    return {str(named.part["tool_output_sha256"]) for named in _named_in(recorded)}


def output_files(recorded: Recorded) -> list[str]:
    """Return the paths of the files for a record's outputs."""
    return [
        f"{TOOL_RESULTS}/{named.folder}/{name}"
        for named in _named_in(recorded)
        for name in (TOOL_OUTPUT, TOOL_METADATA)
    ]


def output_content(path: str, recorded: Recorded, reader: FolderSource) -> bytes:
    """Return the content of one of those files; raises `CorruptLog` if the output is missing."""
    _, folder, name = path.split("/")
    named = next(found for found in _named_in(recorded) if found.folder == folder)
    if name == TOOL_OUTPUT:
        return reader.value(str(named.part["tool_output_sha256"]))
    return document(_metadata(named, recorded, reader))


def _named_in(recorded: Recorded) -> Iterator[_Named]:
    event = recorded.event
    if isinstance(event, MessageAppended):
        for part in event.message["parts"]:
            output_id = kept_output_id(recorded.stream, part)
            if output_id is not None:
                yield _Named(event.message["id"], output_id, part)
    elif isinstance(event, ToolResultRecorded):
        large = event.large or {}
        if kept_digest(recorded.stream, large, event.tool_id):
            yield _Named(event.message_id, event.tool_id, large)


def _metadata(named: _Named, recorded: Recorded, reader: FolderSource) -> dict[str, Any]:
    uri = str(named.part["tool_output_ref"])
    return {
        "tool_result_id": named.folder,
        "session_id": recorded.stream,
        "message_id": named.message_id,
        "tool_id": named.tool_id,
        "tool_name": _tool_name(named, reader),
        "created_at": recorded.time,
        "original_chars": named.part["tool_output_original_chars"],
        "preview_chars": named.part["tool_output_preview_chars"],
        "sha256": named.part["tool_output_sha256"],
        "mime_type": "text/plain",
        "storage_uri": uri,
        "output_uri": f"{uri}/{TOOL_OUTPUT}",
        "offset_unit": "unicode_code_point",
    }


def _tool_name(named: _Named, reader: FolderSource) -> str:
    """Return the name of the called tool, which the record of a later result does not have."""
    recorded = reader.message(named.message_id)
    event = None if recorded is None else recorded.event
    message = event.message if isinstance(event, MessageAppended) else None
    calls = (
        [] if message is None else [found.call or found.result for found in readings_of(message)]
    )
    return next((call.name for call in calls if call is not None and call.id == named.tool_id), "")
