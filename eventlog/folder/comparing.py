"""What differs between a folder's files and the records, and what a file would lose (O3).

Every file is held against what the records say, never against another file. What it has beyond that
is looked up in the log, message by message: most of it is there, at another place or time, and so
nothing is lost with it. The rest is what the log does not know, and belongs in quarantine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

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
    is_temporary,
    json_object,
    message_line,
    split_archive_file,
)
from eventlog.session.commit import archive_id, archive_index

if TYPE_CHECKING:
    from eventlog.folder.writing import Folder
    from eventlog.projections.folder_files import FolderState
    from eventlog.session.events import FolderFinding, MessageAppended
    from eventlog.session.reader import Reader

__all__ = ["Difference", "Loss", "compare", "finding", "loss_of"]

Problem = Literal["missing", "different", "unexpected", "temporary"]

NAMED: Final = 100
"""Dropped messages that a finding names; the others are counted."""


class Difference(NamedTuple):
    """A file that is not what the records say."""

    path: str
    problem: Problem
    found: bytes | None
    expected: bytes | None
    is_archive: bool = False
    """Whether it is the folder of an archive that the log does not know; what was ``found`` are
    the messages in it."""


class Loss(NamedTuple):
    """What a file no longer has when it is made what the records say."""

    dropped: int = 0
    message_ids: tuple[str, ...] = ()
    unknown: bytes = b""
    """As much of it as is nowhere in the log."""


# ---- what differs -----------------------------------------------------------------------------


def compare(
    folder: Folder, state: FolderState, reader: Reader, *, thorough: bool
) -> Iterator[Difference]:
    """Yield what differs, file by file, so that no more than one file is in memory.

    Unless it is ``thorough``, a file that never changes is taken for what it is to be when it is
    there at all; see `eventlog.folder.writing` for why it is.
    """
    expected_paths = state.paths()
    archives = {archived[0] for path in expected_paths if (archived := split_archive_file(path))}
    present = {*_present(folder, archives), *_present_of(folder, state.kept)}
    for path in expected_paths:
        if path in present and not thorough and not _may_be_outdated(path):
            continue
        found = folder.read(path) if path in present else None
        expected = file_content(path, state, reader)
        if found != expected:
            yield Difference(path, "missing" if found is None else "different", found, expected)
    for path in sorted(present.difference(expected_paths)):
        yield _surplus(folder, path)


def _may_be_outdated(path: str) -> bool:
    """Tell whether a file may be there with content of an earlier time."""
    archived = split_archive_file(path)
    return archived is None or archived[1] == FAILED


def _present(folder: Folder, archives: set[int]) -> Iterator[str]:
    """Yield what is there under a name that only this library's files have.

    Of an archive that the log does not know that is the folder as a whole.
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


def _present_of(folder: Folder, paths: Iterable[str]) -> Iterator[str]:
    """Yield those of some paths under which a file is there."""
    for path in paths:
        parent, _, name = path.rpartition("/")
        if name in folder.names(parent):
            yield path


def _surplus(folder: Folder, path: str) -> Difference:
    """Return the difference that something makes which is not to be there."""
    if is_temporary(path.rpartition("/")[2]):
        return Difference(path, "temporary", folder.read(path), None)
    if split_archive_file(path) is not None:
        return Difference(path, "unexpected", folder.read(path), None)
    return Difference(path, "unexpected", folder.read(f"{path}/{MESSAGES}"), None, is_archive=True)


# ---- what is lost with it ---------------------------------------------------------------------


def loss_of(difference: Difference, state: FolderState, reader: Reader) -> Loss:
    """Return what is dropped when a difference is mended, and how much of it the log lacks."""
    path, problem, found, expected, is_archive = difference
    if not found or problem == "temporary":
        return Loss()
    if path.endswith(MESSAGES) or is_archive:
        return _lost_lines(found, expected or b"", reader)
    if expected is not None and expected.startswith(found):
        return Loss()
    known = _is_known(path, found, expected, state, reader)
    return Loss(1, unknown=b"" if known else found)


def _lost_lines(found: bytes, expected: bytes, reader: Reader) -> Loss:
    """Return the lines that are no longer there; in a file of lines none says a thing of another."""
    missing = Counter(expected.split(b"\n"))
    dropped: list[bytes] = []
    for line in found.split(b"\n"):
        if missing[line]:
            missing[line] -= 1
        elif line.strip(b"\0"):
            dropped.append(line)
    ids = [message_id for line in dropped if (message_id := _message_id(json_object(line)))]
    lines = [line for line, count in missing.items() if count]
    unknown = [line + b"\n" for line in dropped if not _is_recorded(line, lines, reader)]
    return Loss(len(dropped), tuple(ids[:NAMED]), b"".join(unknown))


def _is_recorded(line: bytes, missing: list[bytes], reader: Reader) -> bool:
    """Tell whether the log has a line's message, as it was appended or as it reads now.

    The beginning of a line that is missing is what an append leaves that was cut off.
    """
    fields = json_object(line)
    if fields is None:
        return any(whole.startswith(line.rstrip(b"\0")) for whole in missing)
    message_id = _message_id(fields)
    recorded = reader.message(message_id) if message_id else None
    if recorded is None:
        return False
    said = cast("MessageAppended", recorded.event).message
    (now,) = reader.messages([(recorded.version, recorded.version)])
    return fields in (json_object(message_line(said)), json_object(message_line(now.data)))


def _is_known(
    path: str, found: bytes, expected: bytes | None, state: FolderState, reader: Reader
) -> bool:
    """Tell whether the log has all that a document or a summary said."""
    name = path.rpartition("/")[2]
    if name == META:
        # Every value of ours follows from the records; only another key says something new.
        fields, ours = json_object(found), json_object(expected or b"") or {}
        same_session = fields is not None and fields.get("session_id") == ours.get("session_id")
        return same_session and fields is not None and fields.keys() <= ours.keys()
    if name == FAILED:
        failures = reader.newest_of(("archive_failed", "archive_abandoned"))
        return any(failure_document(failure) == found for failure in failures)
    if path in (OVERVIEW, ABSTRACT):
        earlier = (other for other in state.files if other.endswith(f"/{name}"))
        return any(file_content(other, state, reader) == found for other in earlier)
    return False


def _message_id(fields: dict[str, Any] | None) -> str | None:
    message_id = None if fields is None else fields.get("id")
    return message_id if isinstance(message_id, str) else None


# ---- what is said of it -----------------------------------------------------------------------


def finding(difference: Difference, loss: Loss, quarantine: str | None) -> FolderFinding:
    """Return what an event and a report say of a difference."""
    return {
        "path": difference.path,
        "problem": difference.problem,
        "found": _digest(difference.found),
        "expected": _digest(difference.expected),
        "dropped": loss.dropped,
        "message_ids": list(loss.message_ids),
        "quarantine": quarantine,
    }


def _digest(content: bytes | None) -> str | None:
    return None if content is None else sha256(content).hexdigest()
