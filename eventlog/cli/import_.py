"""``eventlog import``: conversations from a file of chat messages, or from a session folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from eventlog.cli.command import Invocation, command
from eventlog.cli.folder_limits import limits_of, max_bytes_option
from eventlog.cli.output import counted, progress
from eventlog.errors import DuplicateEvent, InvalidMessage
from eventlog.exchange.openai_chat import Conversation, read_conversations
from eventlog.identifiers import derived_id
from eventlog.session.message_data import message_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log
    from eventlog.session.messages import Message

__all__ = ["import_"]

BATCH: Final = 500
"""Messages per append: a transaction of about a megabyte."""

LISTED: Final = 60
"""Sessions up to which each is listed for people; of more, only the sums are."""


class Imported(NamedTuple):
    """What became of one conversation."""

    session_id: str
    messages: int
    imported: int
    already_there: int
    version_before: int
    version_after: int


@command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--session",
    "session_id",
    metavar="ID",
    help="The session of a file or folder that names none itself, or another one for a folder.",
)
@click.option(
    "--quarantine",
    is_flag=True,
    help="Of a folder: go on past lines that are no messages, and keep them in a file beside.",
)
@max_bytes_option
def import_(
    invocation: Invocation,
    path: Path,
    session_id: str | None,
    quarantine: bool,
    max_bytes: int | None,
) -> None:
    """PATH is a JSON array of chat messages, or JSON Lines of them: one session.

    JSON Lines of {"id", "messages"} are one session per line. Without an id the session is named
    after the file. '-' reads stdin. Importing a file again adds only what is new in it.

    A folder with messages.jsonl, .meta.json and history/ is adopted as a session: what is damaged
    is listed, what is dropped is kept in a file beside. Links in it are not followed. `eventlog
    doctor PATH` lists the same beforehand and changes nothing.
    """
    if path.is_dir():
        from eventlog.cli.import_folder import import_folder

        return import_folder(
            invocation, path, session_id, quarantine=quarantine, limits=limits_of(max_bytes)
        )
    if quarantine:
        raise click.UsageError("--quarantine is for session folders; mend the line in the file")
    return _import_chat(invocation, path, session_id)


def _import_chat(invocation: Invocation, path: Path, session_id: str | None) -> None:
    """Import a file of chat messages."""
    done: list[Imported] = []
    try:
        with _readable(path) as file:
            _import_file(invocation, file, session_id, done)
    except InvalidMessage as error:
        before = f"; stored before it: {counted(len(done), 'session')}" if done else ""
        raise click.ClickException(f"{path}: {error}{before}") from error
    document = {
        "path": str(path),
        "imported": sum(entry.imported for entry in done),
        "already_there": sum(entry.already_there for entry in done),
        "sessions": [entry._asdict() for entry in done],
    }
    invocation.answer(document, lambda terminal: _print(terminal, done))


@contextmanager
def _readable(path: Path) -> Generator[Path]:
    """Return a file to read from the start; stdin is kept in one meanwhile."""
    if str(path) != "-":
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, "stdin")
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield copy


def _import_file(
    invocation: Invocation, file: Path, session_id: str | None, done: list[Imported]
) -> None:
    """Import a file's conversations, noting each in ``done``."""
    conversations = read_conversations(file)
    # The first is read before the log is opened, so that a bad file does not create one.
    first = list(islice(conversations, 1))
    named = _named(chain(first, conversations), session_id, file.stem)
    if not first:
        return
    with (
        invocation.open(create=True) as log,
        progress("importing", lambda: _count_lines(file)) as advance,
    ):
        for name, conversation in named:
            done.append(_import_one(log, name, conversation.messages))
            advance(conversation.line, name)


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _named(
    conversations: Iterable[Conversation], session_id: str | None, stem: str
) -> Iterator[tuple[str, Conversation]]:
    """Name conversations: as was asked, as they say, or after the file and numbered.

    A name that was asked for is for a file that holds one conversation.
    """
    nameless = 0
    for number, conversation in enumerate(conversations, 1):
        if session_id is not None:
            if number > 1:
                raise InvalidMessage(
                    "a second session begins here; leave out --session", line=conversation.line
                )
            yield session_id, conversation
        elif conversation.session_id is not None:
            yield conversation.session_id, conversation
        else:
            nameless += 1
            yield (stem if nameless == 1 else f"{stem}-{nameless}"), conversation


def _import_one(log: Log, session_id: str, messages: Sequence[Message]) -> Imported:
    session = log.session(session_id, create=True)
    before = session.version
    versions = _stored_versions(log, session_id, messages)
    known = sum(version is not None for version in versions)
    _refuse_other_order(session_id, versions, known)
    for run in _runs(messages, versions):
        session.extend(run)
    return Imported(
        session_id=session_id,
        messages=len(messages),
        imported=len(messages) - known,
        already_there=known,
        version_before=before,
        version_after=session.version,
    )


def _stored_versions(log: Log, session_id: str, messages: Sequence[Message]) -> list[int | None]:
    ids = [derived_id(session_id, message_key(message.id)) for message in messages]
    found = log.store.find(session_id, ids)
    return [found.get(event_id) for event_id in ids]


def _refuse_other_order(session_id: str, versions: Sequence[int | None], known: int) -> None:
    """Raise if stored messages are not the first ones: the new ones could only go behind them."""
    stored = [version for version in versions[:known] if version is not None]
    if len(stored) < known or stored != sorted(stored):
        raise DuplicateEvent(
            session_id,
            "the file has new messages before stored ones, or stored ones in another order; "
            "import it under another id with --session",
        )


def _runs(messages: Sequence[Message], versions: Sequence[int | None]) -> Iterator[list[Message]]:
    """Split into what one append can take: all new, or stored without a gap, and not too many.

    What is stored is appended as well, because that tells whether its content is the same.
    """
    run: list[Message] = []
    expected: int | None = None
    for message, version in zip(messages, versions, strict=True):
        if run and (version != expected or len(run) == BATCH):
            yield run
            run = []
        run.append(message)
        expected = None if version is None else version + 1
    if run:
        yield run


def _print(terminal: Terminal, done: Sequence[Imported]) -> None:
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
    imported = sum(entry.imported for entry in done)
    known = sum(entry.already_there for entry in done)
    terminal.line(
        f"{counted(imported, 'message')} imported into {counted(len(done), 'session')}, "
        f"{known:,} already there"
    )
