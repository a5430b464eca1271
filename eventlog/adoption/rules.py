"""Find what is wrong in a session folder of another program, and decide what to adopt (O4, O5).

Live messages are reconciled with the archives in this order:

1. A live message that an archive has and did not retain is archived: it is dropped.
2. If there are archives, live messages beyond ``message_count`` are in none of them: they are kept.
3. If there are no archives, ``last_commit_at`` is set and ``message_count`` is lower than the number
   of live messages, the clear of a commit was lost: the newest ``message_count`` are kept.
4. In all other cases everything is kept.

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
_DROPPED_IF_ASKED: Final = "dropped, into quarantine, if --quarantine is given"
_REFUSED: Final = "the folder is not adopted"


class Note(NamedTuple):
    """A finding, the bytes that adopting drops for it, and whether that needs ``--quarantine``."""

    finding: Finding
    dropped: tuple[bytes, ...] = ()
    refuses: bool = False
    """Whether adopting stops here unless bad lines may go to quarantine."""
    hopeless: bool = False
    """Whether adopting stops here in any case."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A folder's session after reconciling: what to record, and the findings."""

    folder: ForeignFolder
    archives: tuple[tuple[ForeignArchive, tuple[Line, ...]], ...]
    """The archives by number, with their messages; without them if they cannot be read."""
    live: tuple[Line, ...]
    notes: tuple[Note, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, in the order of the rules."""
        return tuple(note.finding for note in self.notes)

    @property
    def dropped(self) -> dict[str, bytes]:
        """The dropped content, by the path of its file."""
        dropped: dict[str, bytes] = {}
        for note in self.notes:
            path = note.finding.path
            content = b"".join(raw + b"\n" for raw in note.dropped)
            if content:
                dropped[path] = dropped.get(path, b"") + content
        return dict(sorted(dropped.items()))


def examine(contents: Contents) -> Examined:
    """Return what adopting a folder would record, and what is wrong with it."""
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
        "treated as missing: its values are derived from the messages",
    )
    return [Note(finding, (contents.files[META],) if META in contents.files else ())]


def _about_strays(folder: ForeignFolder) -> list[Note]:
    return [
        Note(
            _finding(
                "stray_archive",
                f"{HISTORY}/{name}",
                None,
                "it is not an archive: archives are named archive_ and a number, each number once",
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
        detail = f"it has messages, but neither {DONE} nor a failure, and no task"
        action = f"{name} is adopted as pending: a worker finalises it"
        notes.append(Note(_finding("orphan_archive", archive.folder, None, detail, action)))
    if archive.state == "completed" and not archive.overview.strip():
        path = f"{archive.folder}/{OVERVIEW}"
        detail = contents.unreadable.get(
            path, "it is missing or empty, although the archive is done"
        )
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
        # Encrypted, or the file of another program: with all of it in quarantine, nothing is adopted.
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
    """Find messages that several files have with different content: the newest copy counts.

    Archives never change, so the later copy is the one that was updated.
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
    """Find previews of tool outputs whose files are missing."""
    missing: dict[str, Note] = {}
    for path, lines in files:
        for line in lines:
            for part in line.data["parts"]:
                name = text_in(part, "tool_output_ref").rpartition("/")[2]
                output = f"{TOOL_RESULTS}/{name}/{TOOL_OUTPUT}"
                if not name or not part.get("tool_output_truncated") or output in contents.kept:
                    continue
                detail = (
                    f"line {line.number} of {path} has a preview of it, but the file is missing"
                )
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
    """Apply the four rules in order; return the live messages."""
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
    """Apply rule 1, with one finding per archive."""
    by_archive: dict[int, list[Line]] = {}
    for line in dropped:
        by_archive.setdefault(archived[line.id].number, []).append(line)
    return [
        Note(
            _finding(
                "archived_and_live",
                MESSAGES,
                lines[0].number,
                f"{_messages(len(lines))} that {archive_id(index)} has and did not retain",
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
    """Apply rule 3: return the messages to keep if the clear of a commit was lost."""
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
    """Apply rules 2 and 4: keep everything; add a finding if the count differs."""
    count = count_in(folder.meta, "message_count")
    readable = all(archive.lines is not None for archive in folder.archives)
    if folder.meta is None:
        if folder.meta_problem is not None and not live:
            return []  # There is already a finding that it cannot be read.
        rule, path, detail = "all_kept", META, "there is no metadata to compare with"
    elif count == len(live):
        return []
    else:
        compared = bool(folder.archives) and readable
        rule, path = ("count_repaired" if compared else "all_kept"), META
        count_text = (
            "it has no message_count" if count is None else f"its message_count is {count:,}"
        )
        detail = f"{count_text}, {MESSAGES} has {_messages(len(live))} that no archive has"
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
