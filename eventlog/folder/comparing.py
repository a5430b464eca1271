"""Compare a folder's files with the records, and find what rewriting a file would lose (O3).

Every file is compared with the records, never with another file. Content that the records do not
put there is looked up in the log, message by message. Most of it is in the log, for another place
or an earlier time, so dropping it loses nothing. Only the rest goes to quarantine.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from eventlog.finding import Finding
from eventlog.projections.folder_files import failure_document, file_content
from eventlog.projections.folder_layout import (
    ABSTRACT,
    ARCHIVE_FILES,
    FAILED,
    HISTORY,
    MESSAGES,
    META,
    OVERVIEW,
    SESSION_FILES,
    is_output,
    is_temporary,
    json_object,
    message_line,
    split_archive_file,
)
from eventlog.session.commit import archive_id, archive_index

if TYPE_CHECKING:
    from eventlog.engine.reader import Reader
    from eventlog.folder.writing import Folder
    from eventlog.projections.folder_files import FolderState
    from eventlog.session.events import MessageAppended
    from eventlog.session.folder_events import Problem

__all__ = ["Difference", "Loss", "compare", "finding", "loss_of"]

NAMED: Final = 100
"""Up to this many dropped messages are named in a finding; the others are counted."""


_BEGINNING: Final = b'{"id": "'
_LINE_ID: Final = re.compile(rb'\{"id": "(?:[^"\\]|\\.)*"')


class Difference(NamedTuple):
    """A file that differs from the records."""

    path: str
    problem: Problem
    found: bytes | None
    expected: bytes | None
    is_aside: bool = False
    """Whether to move the whole entry aside: an entry that is no regular file, and is not read; or
    the folder of an archive that the log does not have (``found`` holds its messages)."""


class Loss(NamedTuple):
    """What a file loses when it is rewritten from the records."""

    dropped: int = 0
    message_ids: tuple[str, ...] = ()
    unknown: bytes = b""
    """The part of it that is nowhere in the log."""


# ---- what differs -----------------------------------------------------------------------------


def compare(
    folder: Folder, state: FolderState, reader: Reader, *, thorough: bool
) -> Iterator[Difference]:
    """Yield what differs, file by file, so that no more than one file is in memory.

    Unless ``thorough``, a file that never changes is taken for right if it exists;
    `eventlog.folder.writing` says why its name is proof of its content.
    """
    expected_paths = state.paths()
    archives = {archived[0] for path in expected_paths if (archived := split_archive_file(path))}
    outputs = {path for path in expected_paths if is_output(path)}
    present = {
        *_present(folder, archives),
        *_present_outputs(folder, outputs),
        *_present_of(folder, state.kept),
    }
    for path in expected_paths:
        if path in present and not thorough and not _may_be_outdated(path):
            continue
        if path in present and not folder.is_file(path):
            yield Difference(
                path, "different", None, file_content(path, state, reader), is_aside=True
            )
            continue
        found = folder.read(path) if path in present else None
        expected = file_content(path, state, reader)
        if found != expected:
            yield Difference(path, "missing" if found is None else "different", found, expected)
    for path in sorted(present.difference(expected_paths)):
        yield _surplus(folder, path)


def _may_be_outdated(path: str) -> bool:
    """Return whether a file may have the content of an earlier state."""
    archived = split_archive_file(path)
    return not is_output(path) if archived is None else archived[1] == FAILED


def _present(folder: Folder, archives: set[int]) -> Iterator[str]:
    """Yield the existing entries whose names only this library's files have.

    For an archive that the log does not have, that is the folder as a whole.
    """
    for name in folder.names():
        if name in SESSION_FILES or is_temporary(name):
            yield name
    for name in folder.names(HISTORY):
        path, index = f"{HISTORY}/{name}", archive_index(name)
        if index is None or archive_id(index) != name:
            continue
        if index not in archives:
            yield path
            continue
        for inner in folder.names(path):
            if inner in ARCHIVE_FILES or is_temporary(inner):
                yield f"{path}/{inner}"


def _present_outputs(folder: Folder, outputs: set[str]) -> Iterator[str]:
    """Yield the existing files of a session's outputs, and temporary files that a crash left."""
    for parent in {path.rpartition("/")[0] for path in outputs}:
        for name in folder.names(parent):
            path = f"{parent}/{name}"
            if path in outputs or is_temporary(name):
                yield path


def _present_of(folder: Folder, paths: Iterable[str]) -> Iterator[str]:
    """Yield those of some paths that exist."""
    for path in paths:
        parent, _, name = path.rpartition("/")
        if name in folder.names(parent):
            yield path


def _surplus(folder: Folder, path: str) -> Difference:
    """Return the difference for an entry that should not exist."""
    if folder.is_file(path):
        problem: Problem = "temporary" if is_temporary(path.rpartition("/")[2]) else "unexpected"
        return Difference(path, problem, folder.read(path), None)
    messages = f"{path}/{MESSAGES}"
    is_readable = folder.is_folder(path) and folder.is_file(messages)
    found = folder.read(messages) if is_readable else None
    return Difference(path, "unexpected", found, None, is_aside=True)


# ---- what would be lost -----------------------------------------------------------------------


def loss_of(difference: Difference, state: FolderState, reader: Reader) -> Loss:
    """Return what mending a difference drops, and which part of that the log does not have.

    Zero bytes are no content: a loss of power leaves them where a file's length was stored and its
    data was not.
    """
    path, problem, found, expected, is_aside = difference
    if found is None or not found.strip(b"\0") or problem == "temporary":
        return Loss()
    if path.endswith(MESSAGES) or is_aside:
        return _lost_lines(found, expected or b"", reader)
    if expected is not None and expected.startswith(found.rstrip(b"\0")):
        return Loss()
    known = _is_known(path, found, expected, state, reader)
    return Loss(1, unknown=b"" if known else found)


def _lost_lines(found: bytes, expected: bytes, reader: Reader) -> Loss:
    """Return the lines that are dropped, counting repeated lines."""
    missing = Counter(expected.split(b"\n"))
    dropped: list[bytes] = []
    for line in found.split(b"\n"):
        if missing[line]:
            missing[line] -= 1
        elif line.strip(b"\0"):
            dropped.append(line)
    if not dropped:
        return Loss()
    ids = [message_id for line in dropped if (message_id := _message_id(line))]
    forms = [form for line, count in missing.items() if count for form in _forms(line, reader)]
    unknown = [line + b"\n" for line in dropped if not _is_recorded(line, forms, reader)]
    return Loss(len(dropped), tuple(ids[:NAMED]), b"".join(unknown))


def _is_recorded(line: bytes, missing: list[bytes], reader: Reader) -> bool:
    """Return whether the log has a line's message, or all that is left of one.

    A write that was cut off, or of which only the length was stored, leaves pieces of lines with
    zeros for the rest.
    """
    return all(_is_recorded_piece(piece, missing, reader) for piece in line.split(b"\0") if piece)


def _is_recorded_piece(piece: bytes, missing: list[bytes], reader: Reader) -> bool:
    forms, fields = _forms(piece, reader), json_object(piece)
    if fields is not None:
        return fields in [json_object(form) for form in forms]
    if any(piece in form for form in (*forms, *missing)):
        return True
    # Cut off before the end of its id: it says nothing.
    return _BEGINNING.startswith(piece) or (
        piece.startswith(_BEGINNING) and b'"' not in piece.removeprefix(_BEGINNING)
    )


def _forms(line: bytes, reader: Reader) -> list[bytes]:
    """Return the log's lines for a line's message: as it was appended, and as it is now."""
    message_id = _message_id(line)
    recorded = reader.message(message_id) if message_id else None
    if recorded is None:
        return []
    said = cast("MessageAppended", recorded.event).message
    (now,) = reader.messages([(recorded.version, recorded.version)])
    return [message_line(said), message_line(now.data)]


def _is_known(
    path: str, found: bytes, expected: bytes | None, state: FolderState, reader: Reader
) -> bool:
    """Return whether the log has the whole content of a document or a summary."""
    name = path.rpartition("/")[2]
    if name == META:
        return _says_nothing_new(found, expected or b"")
    if name == FAILED:
        failures = reader.newest_of(("archive_failed", "archive_abandoned"))
        return any(failure_document(failure) == found for failure in failures)
    if path in (OVERVIEW, ABSTRACT):
        earlier = (other for other in state.files if other.endswith(f"/{name}"))
        return any(file_content(other, state, reader) == found for other in earlier)
    return False


def _says_nothing_new(found: bytes, expected: bytes) -> bool:
    """Return whether metadata is an earlier state of ours, so that the records imply each value.

    It is if it has no other keys; or, if it was cut off, if it begins as ours always does.
    """
    fields, ours = json_object(found), json_object(expected) or {}
    if fields is not None:
        return fields.get("session_id") == ours.get("session_id") and fields.keys() <= ours.keys()
    lasting, changes, _ = expected.partition(b'"updated_at"')
    return bool(changes) and found.startswith(lasting)


def _message_id(line: bytes) -> str | None:
    """Return the id of a line's message, even if the end of the line is missing."""
    fields = json_object(line)
    if fields is None:
        beginning = _LINE_ID.match(line)
        fields = beginning and json_object(beginning[0] + b"}")
    message_id = None if fields is None else fields.get("id")
    return message_id if isinstance(message_id, str) else None


# ---- findings ---------------------------------------------------------------------------------


def finding(difference: Difference, loss: Loss, quarantine: str | None) -> Finding:
    """Return the finding about a difference, for the event and the report."""
    return Finding(
        None,
        None,
        difference.problem,
        _DETAILS[difference.problem],
        path=difference.path,
        message_ids=tuple(loss.message_ids),
        dropped=loss.dropped,
        found=_digest(difference.found),
        expected=_digest(difference.expected),
        quarantine=quarantine,
    )


_DETAILS: Final[dict[Problem, str]] = {
    "missing": "the file is missing",
    "different": "the file differs from the records",
    "unexpected": "the file is not in the records",
    "temporary": "a write of this file was cut off",
}


def _digest(content: bytes | None) -> str | None:
    return None if content is None else sha256(content).hexdigest()
