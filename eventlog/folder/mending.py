"""Rewrite the files of a folder that differ from the records."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventlog.folder.comparing import Difference, compare, finding, loss_of
from eventlog.folder.writing import beside, write_files
from eventlog.projections.folder_files import file_content
from eventlog.projections.folder_layout import quarantine_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventlog.engine.reader import Reader
    from eventlog.finding import Finding
    from eventlog.folder.writing import Content, Folder
    from eventlog.projections.folder_files import FolderState

__all__ = ["content_of", "look", "mend"]


class _Repair(NamedTuple):
    """How to mend a difference, without the content of the file."""

    path: str
    problem: str
    renamed: str | None = None
    """The name under which the whole entry is moved aside, if it is."""


def look(folder: Folder, state: FolderState, reader: Reader) -> tuple[Finding, ...]:
    """Return what differs from the records; change nothing."""
    return tuple(
        finding(difference, loss_of(difference, state, reader), None)
        for difference in compare(folder, state, reader, thorough=True)
    )


def mend(
    folder: Folder,
    state: FolderState,
    reader: Reader,
    *,
    thorough: bool,
    record: Callable[[Sequence[Finding]], object],
) -> tuple[Finding, ...]:
    """Rewrite the files that differ from the records; return the findings.

    The order is: content that the log does not have goes to quarantine, durably; ``record`` is
    called with the findings, if there are any; the files are written. So a crash in between
    destroys nothing and hides nothing: the next run finds what still differs.
    """
    findings: list[Finding] = []
    repairs: list[_Repair] = []
    for difference in compare(folder, state, reader, thorough=thorough):
        loss = loss_of(difference, state, reader)
        kept = renamed = None
        if difference.is_aside:
            renamed = _free_name(folder, difference)
            kept = beside(difference.path, renamed)
        elif loss.unknown:
            kept = folder.quarantine(difference.path, loss.unknown)
        findings.append(finding(difference, loss, kept))
        repairs.append(_Repair(difference.path, difference.problem, renamed))
    if findings:
        record(findings)
        _repair(folder, repairs, content_of(state, reader))
    return tuple(findings)


def content_of(state: FolderState, reader: Reader) -> Content:
    """Return a key per file of a state's folder that changes when its content does."""
    paths = set(state.paths())
    return lambda path: file_content(path, state, reader) if path in paths else None


def _free_name(folder: Folder, difference: Difference) -> str:
    """Return the name under which an entry is moved aside; readers of folders ignore such names."""
    parent, _, old = difference.path.rpartition("/")
    name = quarantine_name(old, difference.found or b"")
    taken, number, free = set(folder.names(parent)), 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _repair(folder: Folder, repairs: Sequence[_Repair], content: Content) -> None:
    for repair in repairs:
        if repair.renamed is not None:
            folder.rename(repair.path, repair.renamed)
            folder.settle(repair.path.rpartition("/")[0])
        elif repair.problem == "temporary":
            folder.remove(repair.path)
    written = [
        repair.path
        for repair in repairs
        if repair.problem != "temporary"
        and (repair.renamed is None or repair.problem == "different")
    ]
    write_files(folder, written, content, durable=True)
