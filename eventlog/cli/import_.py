"""``eventlog import``: import conversations from files of any known format, or a session folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.completion import session_ids
from eventlog.cli.folder_limits import limits_of, max_bytes_option
from eventlog.cli.import_sessions import whole_sessions_in
from eventlog.cli.output import counted
from eventlog.cli.progress import progress
from eventlog.errors import InvalidArgument, InvalidMessage
from eventlog.exchange.importing import Importer, Placed
from eventlog.exchange.notes import Noted, Notes
from eventlog.exchange.opening import LARGEST_VALUE, MOST_BYTES, open_file
from eventlog.exchange.quarantine import keep_beside
from eventlog.exchange.reading import read_conversations
from eventlog.identifiers import check_session_id
from eventlog.log import Log, engine_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventlog.cli.terminal import Terminal
    from eventlog.exchange.conversation import Conversation
    from eventlog.session.parts import OpenCall

__all__ = ["import_"]

COUNTED: Final = 1 << 30
"""Bytes of a file up to which its lines are counted beforehand, to show how far the import is."""

LISTED: Final = 60
"""Up to this many sessions are listed one by one for people; for more, only sums are printed."""


HINT: Final = "; --quarantine imports what can be read, `eventlog doctor` says what that is"

CALLS: Final = 5
"""Calls that were closed, up to which each is named for people."""


class Imported(NamedTuple):
    """The outcome of importing one conversation."""

    session_id: str
    messages: int
    imported: int
    already_there: int
    version_before: int
    version_after: int
    found: Conversation
    placed: Placed
    closed: tuple[OpenCall, ...] = ()
    """The calls that were closed as abandoned, since the user spoke without their results."""

    def document(self) -> dict[str, Any]:
        """Return the answer as JSON; keys that mean nothing for a plain chat file are left out."""
        found, placed = self.found, self.placed
        document: dict[str, Any] = {name: getattr(self, name) for name in self._fields[:6]}
        if found.format != "chat":
            document["format"] = found.format
        if found.fields:
            document["fields"] = list(found.fields)
        if found.findings:
            document["findings"] = [_finding_document(noted) for noted in found.findings]
        if self.closed:
            document["closed_calls"] = [
                {"message_id": found.messages[call.place].id, "tool_id": call.tool_id}
                for call in self.closed
            ]
        if placed.instead_of is not None:
            document["instead_of"] = placed.instead_of
        if placed.why:
            document["why"] = placed.why
        return document


def _finding_document(noted: Noted) -> dict[str, Any]:
    finding = noted.finding
    return {
        "kind": finding.kind,
        "line": finding.line,
        "detail": finding.detail,
        "action": finding.action,
    }


@command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--session",
    "session_id",
    metavar="ID",
    shell_complete=session_ids,
    help="The session to import into. A file that holds several conversations takes none.",
)
@click.option(
    "--quarantine",
    is_flag=True,
    help="Skip lines that are no messages, and keep them in a file beside the source.",
)
@max_bytes_option
@click.option(
    "--new-session",
    is_flag=True,
    help="Store a conversation that does not continue its session in a new session.",
)
@click.option(
    "--new-chain",
    is_flag=True,
    help="Chain the sessions of a redacted bundle anew.",
)
def import_(
    invocation: Invocation,
    path: Path,
    session_id: str | None,
    quarantine: bool,
    new_session: bool,
    max_bytes: int | None,
    new_chain: bool,
) -> None:
    """PATH is a conversation file, recognised by its content, a folder, or a bundle. '-' reads stdin.

    Files (JSON arrays, JSON Lines, or objects with "messages"): OpenAI chat messages and Responses
    items, Anthropic messages, our own and OpenViking's messages.jsonl, Vercel AI SDK UI messages,
    Gemini, ShareGPT, LangChain and pydantic-ai dumps, Claude Code transcripts, Codex rollouts,
    ChatGPT and claude.ai exports. SQLite files of the OpenAI Agents SDK and of LangGraph. Folders:
    session folders, and OpenHands events.

    A conversation goes into the session named by its own id, or else by the file's name. Importing
    a file again adds only the messages that are new at its end. If a file's messages differ from
    those already stored, it is refused with the first difference. Another conversation in a file of
    the same name gets a new session.

    A folder with messages.jsonl, .meta.json and history/ becomes a session: damage is listed, and
    whatever is dropped is kept in a file beside its source. Links in the folder are not followed.
    Run `eventlog doctor PATH` first to see what is damaged and what an import would do about it.

    The sessions of a bundle, and of CloudEvents that `eventlog export` wrote, come in as they were,
    with the same versions and hashes.
    """
    whole = None if str(path) == "-" else whole_sessions_in(path)
    if whole is not None:
        _refuse_owner(invocation, "a file of whole sessions")
        return whole(invocation, path, new_chain=new_chain, max_bytes=max_bytes)
    notes = Notes(
        str(path),
        quarantine=quarantine,
        largest=max_bytes or LARGEST_VALUE,
        most=max_bytes or MOST_BYTES,
    )
    if path.is_dir():
        from eventlog.exchange.openhands import openhands

        if openhands.is_event_folder(path):
            return _import_files(invocation, path, session_id, notes, new_session=new_session)
        from eventlog.cli.import_folder import import_folder

        _refuse_owner(invocation, "a session folder")
        return import_folder(
            invocation, path, session_id, quarantine=quarantine, limits=limits_of(max_bytes)
        )
    return _import_files(invocation, path, session_id, notes, new_session=new_session)


def _refuse_owner(invocation: Invocation, what: str) -> None:
    if invocation.owner is not None:
        raise click.UsageError(f"--owner is for conversations; {what} says who the owner is")


def _import_files(
    invocation: Invocation,
    path: Path,
    session_id: str | None,
    notes: Notes,
    *,
    new_session: bool,
) -> None:
    """Import the conversations in a file, or in a folder of OpenHands events."""
    done: list[Imported] = []
    try:
        with _readable(path) as file:
            _import_file(invocation, file, session_id, notes, done, new_session=new_session)
    except (InvalidMessage, InvalidArgument) as error:
        before = f"; stored before it: {counted(len(done), 'session')}" if done else ""
        hint = HINT if isinstance(error, InvalidMessage) and not notes.quarantine else ""
        raise click.ClickException(f"{path}: {error}{before}{hint}") from error
    kept = None if str(path) == "-" else keep_beside(path, notes.dropped)
    document: dict[str, Any] = {
        "path": str(path),
        "imported": sum(entry.imported for entry in done),
        "already_there": sum(entry.already_there for entry in done),
        "sessions": [entry.document() for entry in done],
    }
    if notes.findings:
        document["findings"] = [_finding_document(noted) for noted in notes.findings]
    if kept is not None:
        document["quarantined"] = [str(kept)]
    invocation.answer(document, lambda terminal: _print(terminal, done, notes, kept))


@contextmanager
def _readable(path: Path) -> Generator[Path]:
    """Return a file that can be read more than once; stdin is copied to a temporary one."""
    if str(path) != "-":
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, "stdin")
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield copy


def _conversations(path: Path, notes: Notes) -> Iterator[Conversation]:
    if path.is_dir():
        from eventlog.exchange.openhands import openhands

        return openhands.read_folder(path, notes)
    return read_conversations(path, notes)


def _import_file(
    invocation: Invocation,
    file: Path,
    session_id: str | None,
    notes: Notes,
    done: list[Imported],
    *,
    new_session: bool,
) -> None:
    """Import a file's conversations and add an entry for each to ``done``."""
    conversations = _conversations(file, notes)
    # The first is read before the log is opened, so that a bad file does not create one.
    first = list(islice(conversations, 1))
    named = _named(chain(first, conversations), session_id, file.stem)
    if not first:
        return
    with (
        invocation.open(create=True) as log,
        progress("importing", lambda: _count_lines(file)) as advance,
    ):
        importer = Importer(engine_of(log), new_session=new_session)
        for name, is_named, found in named:
            done.append(
                _import_one(
                    log, importer, name, found, notes.path, invocation.owner, is_named=is_named
                )
            )
            advance(found.line, name)


def _count_lines(path: Path) -> int | None:
    """Count a file's lines; None for a folder, and for what takes long to count."""
    if path.is_dir():
        return None
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > COUNTED:
            return None
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _named(
    conversations: Iterable[Conversation], session_id: str | None, stem: str
) -> Iterator[tuple[str, bool, Conversation]]:
    """Name conversations: by ``--session``, by their own id, or by the file's name and a number.

    ``--session`` is for a file with one conversation. The second value is whether the name comes
    from ``--session`` or from the conversation itself.
    """
    nameless = 0
    for number, found in enumerate(conversations, 1):
        if session_id is not None:
            if number > 1:
                raise InvalidMessage(
                    "a second session begins here; leave out --session", line=found.line
                )
            yield check_session_id(session_id), True, found
        elif found.session_id is not None:
            yield found.session_id, True, found
        else:
            nameless += 1
            yield (stem if nameless == 1 else f"{stem}-{nameless}"), False, found


def _import_one(
    log: Log,
    importer: Importer,
    name: str,
    found: Conversation,
    source: str,
    owner: str | None,
    *,
    is_named: bool,
) -> Imported:
    if owner is not None and log.exists(name):
        log.session(name, owner=owner)  # Placing compares messages, which a stranger must not see.
    placed = importer.place(name, found, is_named=is_named)
    session = log.session(placed.session_id, create=True, owner=owner)
    before = session.version
    core = importer.engine.core(placed.session_id)
    closed = importer.append(core, placed, found, before)
    importer.keep(core, found, source)
    return Imported(
        session_id=placed.session_id,
        messages=len(found.messages),
        imported=len(found.messages) - placed.known,
        already_there=placed.known,
        version_before=before,
        version_after=session.version,
        found=found,
        placed=placed,
        closed=tuple(closed),
    )


def _print(terminal: Terminal, done: Sequence[Imported], notes: Notes, kept: Path | None) -> None:
    if 0 < len(done) <= LISTED:
        terminal.table(
            ("session", "messages", "imported", "already there", "version"),
            [
                (
                    entry.session_id,
                    entry.messages,
                    entry.imported,
                    entry.already_there,
                    f"{entry.version_before} → {entry.version_after}",
                )
                for entry in done
            ],
        )
        for entry in done:
            _print_one(terminal, entry)
    if notes.findings:
        print_noted(terminal, notes.findings)
    if kept is not None:
        terminal.line(f"kept in quarantine: {kept}", "yellow")
    imported = sum(entry.imported for entry in done)
    known = sum(entry.already_there for entry in done)
    terminal.line(
        f"{counted(imported, 'message')} imported into {counted(len(done), 'session')}, "
        f"{known:,} already there"
    )


def _print_one(terminal: Terminal, entry: Imported) -> None:
    if entry.found.format != "chat":
        terminal.line(f"{entry.session_id}: read as {entry.found.format}")
    if entry.found.fields:
        terminal.line(f"{entry.session_id}: kept with the session: {', '.join(entry.found.fields)}")
    if entry.closed:
        ids = ", ".join(call.tool_id for call in entry.closed[:CALLS])
        more = f" and {len(entry.closed) - CALLS:,} more" if len(entry.closed) > CALLS else ""
        terminal.line(
            f"{entry.session_id}: {counted(len(entry.closed), 'call')} without a result closed as "
            f"abandoned, since the user spoke after: {ids}{more}",
            "yellow",
        )
    if entry.placed.instead_of is not None:
        terminal.line(
            f"{entry.session_id}: stored in a new session, because {entry.placed.instead_of} is another "
            f"conversation ({entry.placed.why})",
            "yellow",
        )
    elif entry.placed.why:
        terminal.line(f"{entry.session_id}: {entry.placed.why}", "yellow")


def print_noted(terminal: Terminal, findings: Iterable[Noted]) -> None:
    """Print the findings in a file: kind, line, detail, and what the import does about it."""
    terminal.table(
        ("found", "line", "detail", "importing"),
        [
            (
                noted.finding.kind,
                "" if noted.finding.line is None else noted.finding.line,
                noted.finding.detail,
                noted.finding.action,
            )
            for noted in findings
        ],
        prose=["detail", "importing"],
    )
