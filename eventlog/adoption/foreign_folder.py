"""Interpret a session folder of another program: its archives, their states, its metadata.

Reads two variants of the format, and the folders that this library writes. Pure: from the bytes of
files to values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from eventlog.adoption.lines import UNKNOWN_TIME, Lines, read_json_object, read_lines
from eventlog.clock import parse_time
from eventlog.projections.folder_layout import (
    ABSTRACT,
    ARCHIVE_FILES,
    DONE,
    FAILED,
    HISTORY,
    MEMORY_DIFF,
    MESSAGES,
    META,
    OVERVIEW,
    SESSION_FILES,
)
from eventlog.redaction import redacted
from eventlog.session.commit import archive_id, archive_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventlog.session.folder_events import KeptFile

__all__ = [
    "ARCHIVE_READ",
    "SESSION_READ",
    "ArchiveState",
    "Contents",
    "ForeignArchive",
    "ForeignFolder",
    "count_in",
    "named_archives",
    "object_in",
    "read_folder",
    "text_in",
    "time_in",
]

ArchiveState = Literal["completed", "failed", "abandoned", "pending"]

SESSION_READ: Final = frozenset(SESSION_FILES)
"""The files of a session that are read; its summaries are derived again, so they are not kept."""

ARCHIVE_READ: Final = frozenset(ARCHIVE_FILES) - {MEMORY_DIFF}
"""The files of an archive that are read; every other file is kept as it is."""

HIGHEST_ARCHIVE: Final = 999_999_999
"""The highest archive number that index keys keep in order."""

_FRONT_MATTER: Final = re.compile(r"---\r?\n(?P<fields>.*?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_DIRECTORY: Final = re.compile(r"^directory:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Contents:
    """The entries of a folder; all paths are relative to it."""

    path: str
    files: Mapping[str, bytes]
    """The content of the files that this library understands."""
    folders: tuple[str, ...] = ()
    """The folders in the history, by name."""
    unreadable: Mapping[str, str] = field(default_factory=dict[str, str])
    """Files that could not be read, and why."""
    kept: Mapping[str, KeptFile] = field(default_factory=dict[str, "KeptFile"])
    """The other files."""
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    """Entries that are no regular files, or whose names cannot be recorded, and why."""


class ForeignArchive(NamedTuple):
    """An archive according to its files."""

    number: int
    folder: str
    state: ArchiveState
    lines: Lines | None
    """None if its messages cannot be read; ``problem`` says why."""
    problem: str | None
    overview: str
    abstract: str
    error: str
    covers: tuple[int, ...]
    retained: frozenset[str]
    """Ids of messages in this archive that stayed live."""
    meta: dict[str, Any] | None
    done: dict[str, Any] | None
    failed: dict[str, Any] | None

    @property
    def messages_path(self) -> str:
        return f"{self.folder}/{MESSAGES}"


class ForeignFolder(NamedTuple):
    """A session according to its folder, before anything is reconciled."""

    meta: dict[str, Any] | None
    meta_problem: str | None
    live: Lines
    archives: tuple[ForeignArchive, ...]
    strays: tuple[str, ...]
    """Names in the history that look like archives but are not."""


def read_folder(contents: Contents) -> ForeignFolder:
    """Interpret the entries of a folder."""
    meta, problem = _json_file(contents, META)
    named, strays = named_archives(contents.folders)
    time = text_in(meta, "created_at") or UNKNOWN_TIME
    archives: list[ForeignArchive] = []
    for index, name in sorted(named.items()):
        archive = _read_archive(contents, index, f"{HISTORY}/{name}", time)
        archives.append(archive)
        time = _last_time(archive.lines, time)
    live = read_lines(contents.files.get(MESSAGES, b""), time)
    return ForeignFolder(meta, problem, live, tuple(archives), tuple(strays))


def named_archives(names: Iterable[str]) -> tuple[dict[int, str], list[str]]:
    """Return the folders that are archives, by number, and those that only look like archives."""
    named: dict[int, str] = {}
    strays: list[str] = []
    for name in sorted(
        names, key=lambda name: (name != archive_id(archive_index(name) or 0), name)
    ):
        index = archive_index(name)
        if index is not None and 1 <= index <= HIGHEST_ARCHIVE and index not in named:
            named[index] = name
        elif name.startswith("archive_"):
            strays.append(name)
    return named, sorted(strays)


def _last_time(lines: Lines | None, time: str) -> str:
    return lines.good[-1].data["created_at"] if lines is not None and lines.good else time


def _read_archive(contents: Contents, index: int, folder: str, time: str) -> ForeignArchive:
    meta, _ = _json_file(contents, f"{folder}/{META}")
    done, _ = _json_file(contents, f"{folder}/{DONE}")
    failed, _ = _json_file(contents, f"{folder}/{FAILED}")
    lines, problem = _messages(contents, f"{folder}/{MESSAGES}", time)
    error = text_in(failed, "error") or f"{FAILED} gives no reason"
    return ForeignArchive(
        number=index,
        folder=folder,
        state=_state(contents, folder, failed) if lines is not None else "failed",
        lines=lines,
        problem=problem,
        overview=_markdown(contents, f"{folder}/{OVERVIEW}"),
        abstract=_markdown(contents, f"{folder}/{ABSTRACT}"),
        error=redacted(error if problem is None else f"its messages cannot be read: {problem}"),
        covers=_covers(index, done),
        retained=_retained(meta),
        meta=meta,
        done=done,
        failed=failed,
    )


def _state(contents: Contents, folder: str, failed: dict[str, Any] | None) -> ArchiveState:
    """Return an archive's state: a marker counts if it exists, whatever it contains."""
    present = contents.files.keys() | contents.unreadable.keys()
    if f"{folder}/{DONE}" in present:
        return "completed"
    if f"{folder}/{FAILED}" in present:
        return "abandoned" if failed is not None and failed.get("skipped") is True else "failed"
    return "pending"


def _messages(contents: Contents, path: str, time: str) -> tuple[Lines | None, str | None]:
    """Return an archive's lines, or why they cannot be read.

    A file without a single message is unreadable as a whole: encrypted, or another program's.
    """
    if path not in contents.files:
        return None, contents.unreadable.get(path, f"{MESSAGES} is missing")
    lines = read_lines(contents.files[path], time)
    if lines.bad and not lines.good:
        return None, f"no line of {MESSAGES} is a message; line 1: {lines.bad[0].problem}"
    return lines, None


def _json_file(contents: Contents, path: str) -> tuple[dict[str, Any] | None, str | None]:
    """Return a file's JSON object, or none and the reason; a missing file is no problem."""
    data = contents.files.get(path)
    if data is None:
        return None, contents.unreadable.get(path)
    try:
        return read_json_object(data), None
    except ValueError as error:
        return None, str(error)


def _markdown(contents: Contents, path: str) -> str:
    """Return a summary without its front matter; the text is otherwise unchanged.

    Front matter names the directory; three dashes without that are part of the text.
    """
    text = contents.files.get(path, b"").decode("utf-8", "replace").removeprefix("\ufeff")
    found = _FRONT_MATTER.match(text)
    if found is not None and _DIRECTORY.search(found["fields"] or ""):
        return text[found.end() :].lstrip("\r\n").rstrip("\r\n")
    # This library writes an empty line before a text that begins with three dashes.
    return text[1:] if text.startswith("\n---") else text


def _covers(index: int, done: dict[str, Any] | None) -> tuple[int, ...]:
    others = [archive_index(name) for name in texts_in(done, "covered_failed_archives")]
    return (*sorted({other for other in others if other is not None and 0 < other < index}), index)


def _retained(meta: dict[str, Any] | None) -> frozenset[str]:
    """Return the messages that stayed live according to an archive: those that it retained, and
    those at which its checkpoints are anchored."""
    retained = texts_in(object_in(meta, "phase1"), "retained_message_ids")
    anchors = [
        text_in(cast("dict[str, Any]", checkpoint), "turn_anchor_message_id")
        for checkpoint in _list_in(meta, "checkpoints")
        if isinstance(checkpoint, dict)
    ]
    return frozenset([*retained, *anchors]) - {""}


# ---- values of a metadata object, which may be of any type ------------------------------------


def text_in(fields: Mapping[str, Any] | None, name: str) -> str:
    """Return a text; empty if there is none."""
    value = (fields or {}).get(name)
    return value if isinstance(value, str) else ""


def texts_in(fields: Mapping[str, Any] | None, name: str) -> list[str]:
    """Return the texts of a list."""
    return [entry for entry in _list_in(fields, name) if isinstance(entry, str)]


def _list_in(fields: Mapping[str, Any] | None, name: str) -> Sequence[Any]:
    value = (fields or {}).get(name)
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()


def object_in(fields: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    """Return an object; empty if there is none."""
    value = (fields or {}).get(name)
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def count_in(fields: Mapping[str, Any] | None, name: str) -> int | None:
    """Return a number from 0 up, or None."""
    value = (fields or {}).get(name)
    return value if type(value) is int and 0 <= value < 1 << 53 else None


def time_in(fields: Mapping[str, Any] | None, name: str) -> int:
    """Return a time in microseconds, or 0."""
    try:
        return max(0, parse_time(text_in(fields, name)))
    except ValueError:
        return 0
