"""What is wrong in a session folder of another program, and what adopting makes of it (O4, O5).

Live messages are reconciled with the archives in this order:

1. a live message that an archive has, and did not retain, is archived: it is dropped;
2. with archives to compare with, what is live beyond ``message_count`` is in none: it is kept;
3. without any, ``last_commit_at`` set and ``message_count`` below the number of live messages, the
   clear of a commit was lost: the newest ``message_count`` are kept;
4. in any other case everything is kept.

Everything that is dropped is kept in a quarantine file. Pure: values in, values out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.adoption.foreign_folder import count_in, read_folder, text_in
from eventlog.finding import Finding
from eventlog.projections.folder_layout import (
    DONE,
    HISTORY,
    MESSAGES,
    META,
    OVERVIEW,
    TOOL_OUTPUT,
    TOOL_RESULTS,
)
from eventlog.session.commit import archive_id

if TYPE_CHECKING:
    from eventlog.adoption.foreign_folder import Contents, ForeignArchive, ForeignFolder
    from eventlog.adoption.lines import Line, Lines

__all__ = ["Examined", "Note", "examine"]


_DROPPED: Final = "dropped, into quarantine"
_DROPPED_IF_ASKED: Final = "dropped, into quarantine, if that is asked for (--quarantine)"
_REFUSED: Final = "the folder is not adopted"


class Note(NamedTuple):
    """A finding, the bytes that adopting drops for it, and whether that has to be asked for."""

    finding: Finding
    dropped: tuple[bytes, ...] = ()
    refuses: bool = False
    """Whether adopting stops here, unless it may put bad lines in quarantine."""
    hopeless: bool = False
    """Whether adopting stops here in any case."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A folder's session after reconciling: what is to be recorded, and what was found."""

    folder: ForeignFolder
    archives: tuple[tuple[ForeignArchive, tuple[Line, ...]], ...]
    """The archives by number, with their messages; none where they cannot be read."""
    live: tuple[Line, ...]
    notes: tuple[Note, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, in the order of the rules."""
        return tuple(note.finding for note in self.notes)

    @property
    def dropped(self) -> dict[str, bytes]:
        """What is dropped, by the path of the file that it is dropped from."""
        dropped: dict[str, bytes] = {}
        for note in self.notes:
            path = note.finding.path
            content = b"".join(raw + b"\n" for raw in note.dropped)
            if content:
                dropped[path] = dropped.get(path, b"") + content
        return dict(sorted(dropped.items()))


def examine(contents: Contents) -> Examined:
    """Find out what adopting a folder would record, and what is wrong with it."""
    folder = read_folder(contents)
    notes: list[Note] = [*_about_left_out(contents), *_about_meta(contents, folder)]
    notes += _about_strays(folder)
    archives: list[tuple[ForeignArchive, tuple[Line, ...]]] = []
    for archive in folder.archives:
        notes += _about_archive(contents, archive)
        lines: tuple[Line, ...] = ()
        if archive.lines is not None:
            lines = _unique(archive.messages_path, archive.lines, notes)
        archives.append((archive, lines))
    notes += _about_live(contents, folder.live)
    live = _unique(MESSAGES, folder.live, notes)
    live = _reconcile(folder, archives, live, notes)
    files = [*((archive.messages_path, lines) for archive, lines in archives), (MESSAGES, live)]
    notes += _changed_copies(files)
    notes += _missing_outputs(contents, files)
    return Examined(folder, tuple(archives), live, tuple(notes))


# ---- damage -----------------------------------------------------------------------------------


def _about_left_out(contents: Contents) -> list[Note]:
    return [
        Note(
            _finding("not_a_file", path, None, why, "not opened and not kept; it stays where it is")
        )
        for path, why in contents.left_out.items()
    ]


def _about_meta(contents: Contents, folder: ForeignFolder) -> list[Note]:
    if folder.meta_problem is None:
        return []
    finding = _finding(
        "unreadable_meta",
        META,
        None,
        folder.meta_problem,
        "taken for missing: what it says is derived from the messages",
    )
    return [Note(finding, (contents.files[META],) if META in contents.files else ())]


def _about_strays(folder: ForeignFolder) -> list[Note]:
    return [
        Note(
            _finding(
                "stray_archive",
                f"{HISTORY}/{name}",
                None,
                "it is no archive: those are named archive_ and a number, each number once",
                "not read; its files are kept as they are",
            )
        )
        for name in folder.strays
    ]


def _about_archive(contents: Contents, archive: ForeignArchive) -> list[Note]:
    name, path = archive_id(archive.number), archive.messages_path
    if archive.lines is None:
        detail, action = archive.problem or "", f"{name} is adopted as terminal_failed"
        finding = _finding("unreadable_archive", path, None, detail, action)
        return [Note(finding, (contents.files[path],) if path in contents.files else ())]
    notes = _about_lines(path, archive.lines)
    if archive.state == "pending":
        detail = f"it has messages, but neither {DONE} nor a failure, and no task of its own"
        action = f"{name} is adopted as pending: a worker finalises it"
        notes.append(Note(_finding("orphan_archive", archive.folder, None, detail, action)))
    if archive.state == "completed" and not archive.overview.strip():
        path = f"{archive.folder}/{OVERVIEW}"
        detail = contents.unreadable.get(path, "it is missing or empty, though the archive is done")
        action = "contexts show the newest older overview instead"
        notes.append(Note(_finding("unreadable_overview", path, None, detail, action)))
    return notes


def _about_live(contents: Contents, live: Lines) -> list[Note]:
    if MESSAGES in contents.unreadable:
        problem = contents.unreadable[MESSAGES]
        finding = _finding("unreadable_messages", MESSAGES, None, problem, _REFUSED)
        return [Note(finding, hopeless=True)]
    notes = _about_lines(MESSAGES, live)
    if not live.good and any(not line.torn for line in live.bad):
        # Encrypted, or the file of another program: to quarantine all of it would be no adoption.
        return [
            Note(note.finding._replace(action=_REFUSED), note.dropped, hopeless=True)
            for note in notes
        ]
    return notes


def _about_lines(path: str, lines: Lines) -> list[Note]:
    notes: list[Note] = []
    for bad in lines.bad:
        rule, action = ("torn_line", _DROPPED) if bad.torn else ("bad_line", _DROPPED_IF_ASKED)
        finding = _finding(rule, path, bad.number, bad.problem, action)
        notes.append(Note(finding, (bad.raw,), refuses=not bad.torn))
    return notes


def _unique(path: str, lines: Lines, notes: list[Note]) -> tuple[Line, ...]:
    """Return the lines whose message no earlier line of the file has."""
    known: dict[str, Line] = {}
    for line in lines.good:
        first = known.setdefault(line.id, line)
        if first is line:
            continue
        same = "the same" if first.data == line.data else "another"
        finding = _finding(
            "repeated_id",
            path,
            line.number,
            f"line {first.number} has a message with this id already, with {same} content",
            _DROPPED,
            (line.id,),
        )
        notes.append(Note(finding, (line.raw,)))
    return tuple(known.values())


def _changed_copies(files: Sequence[tuple[str, tuple[Line, ...]]]) -> list[Note]:
    """Tell of messages that are in several files with other content: the newest copy counts.

    Archives are never changed, so the later copy is the one that was brought up to date.
    """
    notes: list[Note] = []
    newest: dict[str, tuple[str, Line]] = {}
    for path, lines in files:
        for line in lines:
            older = newest.get(line.id)
            newest[line.id] = path, line
            if older is None or older[1].data == line.data:
                continue
            finding = _finding(
                "changed_copy",
                older[0],
                older[1].number,
                f"{path} has this message with other content, in line {line.number}",
                "the later copy counts; this one goes into quarantine",
                (line.id,),
            )
            notes.append(Note(finding, (older[1].raw,)))
    return notes


def _missing_outputs(
    contents: Contents, files: Sequence[tuple[str, tuple[Line, ...]]]
) -> list[Note]:
    """Tell of tool outputs that a message has a preview of, and whose file is not there."""
    missing: dict[str, Note] = {}
    for path, lines in files:
        for line in lines:
            for part in line.data["parts"]:
                name = text_in(part, "tool_output_ref").rpartition("/")[2]
                output = f"{TOOL_RESULTS}/{name}/{TOOL_OUTPUT}"
                if not name or not part.get("tool_output_truncated") or output in contents.kept:
                    continue
                detail = f"line {line.number} of {path} has a preview of it, the file is missing"
                action = "the preview stays; the whole output cannot be read"
                finding = _finding("missing_output", output, None, detail, action, (line.id,))
                missing.setdefault(output, Note(finding))
    return list(missing.values())


# ---- live messages against archives -----------------------------------------------------------


def _reconcile(
    folder: ForeignFolder,
    archives: Sequence[tuple[ForeignArchive, tuple[Line, ...]]],
    live: tuple[Line, ...],
    notes: list[Note],
) -> tuple[Line, ...]:
    """Apply the four rules, in their order; return the messages that are live."""
    archived: dict[str, ForeignArchive] = {}
    for archive, lines in archives:
        archived.update({line.id: archive for line in lines})
    dropped = [
        line for line in live if line.id in archived and line.id not in archived[line.id].retained
    ]
    notes += _archived_and_live(dropped, archived)
    gone = {line.id for line in dropped}
    kept = tuple(line for line in live if line.id not in gone)
    lost_clear = _lost_clear(folder, kept)
    if lost_clear is not None:
        notes.append(lost_clear[1])
        return lost_clear[0]
    notes += _all_kept(folder, kept)
    return kept


def _archived_and_live(dropped: Iterable[Line], archived: dict[str, ForeignArchive]) -> list[Note]:
    """Rule 1, one finding for each archive."""
    by_archive: dict[int, list[Line]] = {}
    for line in dropped:
        by_archive.setdefault(archived[line.id].number, []).append(line)
    return [
        Note(
            _finding(
                "archived_and_live",
                MESSAGES,
                lines[0].number,
                f"{_messages(len(lines))} that {archive_id(index)} has, and did not retain",
                "dropped from the live messages, into quarantine",
                tuple(line.id for line in lines),
            ),
            tuple(line.raw for line in lines),
        )
        for index, lines in sorted(by_archive.items())
    ]


def _lost_clear(
    folder: ForeignFolder, live: tuple[Line, ...]
) -> tuple[tuple[Line, ...], Note] | None:
    """Rule 3: return the messages that are kept, where a commit's clear did not get through."""
    count = count_in(folder.meta, "message_count")
    committed_at = text_in(folder.meta, "last_commit_at")
    if folder.archives or folder.strays or not committed_at or count is None or count >= len(live):
        return None
    lost = live[: len(live) - count]
    finding = _finding(
        "lost_clear",
        MESSAGES,
        lost[0].number,
        f"{_messages(len(live))}, but {META} counts {count:,} after the commit of {committed_at}",
        f"the newest {count:,} are kept; {_messages(len(lost))} dropped, into quarantine",
        tuple(line.id for line in lost),
    )
    return live[len(lost) :], Note(finding, tuple(line.raw for line in lost))


def _all_kept(folder: ForeignFolder, live: tuple[Line, ...]) -> list[Note]:
    """Rules 2 and 4: everything is kept; tell of it where the count says otherwise."""
    count = count_in(folder.meta, "message_count")
    readable = all(archive.lines is not None for archive in folder.archives)
    if folder.meta is None:
        if folder.meta_problem is not None and not live:
            return []  # That it cannot be read was told already.
        rule, path, detail = "all_kept", META, "there is no metadata to compare with"
    elif count == len(live):
        return []
    else:
        compared = bool(folder.archives) and readable
        rule, path = ("count_repaired" if compared else "all_kept"), META
        told = "it has no message_count" if count is None else f"its message_count is {count:,}"
        detail = f"{told}, {MESSAGES} has {_messages(len(live))} that no archive has"
    action = "every message is kept, and the count follows from them"
    excess = tuple(line.id for line in live[count or 0 :]) if folder.meta is not None else ()
    return [Note(_finding(rule, path, None, detail, action, excess))]


def _finding(
    rule: str,
    path: str,
    line: int | None,
    detail: str,
    action: str,
    message_ids: tuple[str, ...] = (),
) -> Finding:
    return Finding(
        None, None, rule, detail, path=path, line=line, action=action, message_ids=message_ids
    )


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"
