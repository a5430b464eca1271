"""``eventlog show``: show a session as a conversation, as events, or as a model's context."""

from __future__ import annotations

import shlex
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import click

from eventlog.cli.command import Invocation, command, full_option
from eventlog.cli.completion import session_ids
from eventlog.cli.documents import context_document, event_document, session_document
from eventlog.cli.output import counted, one_line, printable, say
from eventlog.forensics.event_lines import EVENT_COLUMNS, actor_of, event_cells, tokens_of
from eventlog.log import engine_of
from eventlog.session.message_data import message_key
from eventlog.session.tool_output import CONTEXT_CHARACTERS, SEARCH_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventlog.cli.terminal import Terminal
    from eventlog.log import Log

__all__ = ["budget_option", "print_context", "print_session", "show"]

CONTEXT_OF_ONE_LINE: Final = 30
"""Characters printed on both sides of a match; JSON has more."""

LINE_LENGTH: Final = 100

_META = (
    "status",
    "blocked_by",
    "created_at",
    "updated_at",
    "total_message_count",
    "message_count",
    "commit_count",
    "pending_tokens",
    "owner",
    "project",
    "workspace",
    "provider",
    "model",
)
"""The metadata that is printed for people, if set; JSON has all of it."""


budget_option = click.option(
    "--budget",
    type=click.IntRange(min=0),
    default=128_000,
    show_default=True,
    metavar="TOKENS",
    help="With --context: the token budget.",
)


@command("show")
@click.argument("session_id", metavar="SESSION", shell_complete=session_ids)
@click.option("--events", "as_events", is_flag=True, help="List the events instead.")
@click.option("--history", is_flag=True, help="Show archived messages too, not only live ones.")
@click.option(
    "--context",
    "as_context",
    is_flag=True,
    help="Show what a model is given: the latest overview and the messages it does not cover.",
)
@budget_option
@click.option(
    "--last",
    type=click.IntRange(min=0),
    metavar="N",
    help="Show only the newest N messages or events.",
)
@full_option
@click.option(
    "--output",
    nargs=2,
    metavar="MESSAGE TOOL",
    help="Print the whole output of this tool call instead.",
)
@click.option(
    "--offset",
    type=click.IntRange(min=0),
    default=0,
    help="With --output: skip this many characters.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help="With --output: print at most this many characters, or matches.",
)
@click.option("--find", metavar="TEXT", help="With --output: list where TEXT occurs in it.")
def show(
    invocation: Invocation,
    session_id: str,
    as_events: bool,
    history: bool,
    as_context: bool,
    budget: int,
    last: int | None,
    full: bool,
    output: tuple[str, str] | None,
    offset: int,
    limit: int | None,
    find: str | None,
) -> None:
    """Shows live messages, metadata and archives; --json has every message of every archive.

    A tool output that is too large for its message is shown as a preview. --output takes the ids of
    the message and of the call and prints the whole output, or a piece of it with --offset and
    --limit.
    """
    if output is not None:
        if find is None:
            _show_output(invocation, session_id, output, offset, limit)
        else:
            _find_in_output(invocation, session_id, output, find, limit)
        return
    if find is not None or limit is not None or offset:
        raise click.UsageError("--find, --offset and --limit go with --output MESSAGE TOOL")
    if as_context:
        _show_context(invocation, session_id, budget, full=full)
        return
    if as_events:
        _show_events(invocation, session_id, last, full=full)
        return
    with invocation.open(session_id) as log:
        archived = history or invocation.json
        document = session_document(log, session_id, last=last, archived=archived)
        if archived:
            document |= _origins(log, session_id)
        document["recorded"] = _recorded(log, document, history=archived)
    invocation.answer(
        document,
        lambda terminal: print_session(terminal, document, history=history, full=full),
    )
    if not invocation.json:
        _say_what_to_do(session_id, document["meta"])


def _say_what_to_do(session_id: str, meta: dict[str, Any]) -> None:
    """Say how a session goes on whose commits wait for an archive that failed for good."""
    if (archive := meta["blocked_by"]) is not None:
        name = shlex.quote(session_id)
        say(f"commits wait for {archive}, which failed for good; to give it new attempts:")
        say(f"  eventlog retry {name} {archive}")
        say("to give it up:")
        say(f"  eventlog abandon {name} {archive}")
        say("to let commits go on without it:")
        say(f"  eventlog policy {name} --failed-archives skip")


def _origins(log: Log, session_id: str) -> dict[str, Any]:
    """Return the files and lines that messages were imported from, if there are any."""
    from eventlog.exchange.origins import origins

    found = origins(log.store.read(session_id))
    return {"origins": {name: each._asdict() for name, each in found.items()}} if found else {}


def _recorded(log: Log, document: dict[str, Any], *, history: bool) -> dict[str, Any]:
    """Return the version, actor and tokens of each message in a document, by its id.

    A message that is still being written has none yet.
    """
    session_id, messages = document["session_id"], list(document["tail"])
    if history:
        messages += [each for archive in document["archives"] for each in archive["messages"]]
    reader = engine_of(log).core(session_id).reader
    ids = list(dict.fromkeys(message["id"] for message in messages))
    newest = reader.newest([message_key(id) for id in ids])
    versions = {each.version: id for id, each in zip(ids, newest, strict=True) if each.version}
    return {
        versions[found.version]: {
            "version": found.version,
            "actor": actor_of(found),
            "tokens": tokens_of(found),
        }
        for found in log.read(session_id, versions=versions)
    }


# ---- a tool's output --------------------------------------------------------------------------


def _show_output(
    invocation: Invocation, session_id: str, call: tuple[str, str], offset: int, limit: int | None
) -> None:
    with invocation.open(session_id) as log:
        piece = log.session(session_id).tool_output(*call, offset=offset, limit=limit)
    document = {**piece._asdict(), "next_offset": piece.next_offset}
    invocation.answer(
        document, lambda _: click.echo(printable(piece.text), nl=not piece.text.endswith("\n"))
    )


def _find_in_output(
    invocation: Invocation, session_id: str, call: tuple[str, str], text: str, limit: int | None
) -> None:
    most = SEARCH_LIMIT if limit is None else limit
    context = CONTEXT_CHARACTERS if invocation.json else CONTEXT_OF_ONE_LINE
    with invocation.open(session_id) as log:
        session = log.session(session_id)
        found = session.search_tool_output(*call, text, limit=most, context=context)
    invocation.answer(
        [match._asdict() for match in found],
        lambda terminal: terminal.table(
            ("offset", "context"),
            [(match.offset, one_line(match.context, LINE_LENGTH)) for match in found],
            prose=["context"],
        ),
    )


# ---- events -----------------------------------------------------------------------------------


def _show_events(invocation: Invocation, session_id: str, last: int | None, *, full: bool) -> None:
    with invocation.open(session_id) as log:
        after = 0
        version = log.session(session_id, follow_folder=False).version
        if last is not None:
            after = max(0, version - last)
        events = list(log.read(session_id, after=after, until=version))
    rows = (event_cells(recorded, full=full) for recorded in events)
    invocation.answer(
        [event_document(recorded) for recorded in events],
        lambda terminal: terminal.table(EVENT_COLUMNS, rows, ["what"]),
    )


# ---- the context ------------------------------------------------------------------------------


def _show_context(invocation: Invocation, session_id: str, budget: int, *, full: bool) -> None:
    with invocation.open(session_id) as log:
        document = context_document(log.session(session_id).context(budget))
    invocation.answer(document, lambda terminal: print_context(terminal, document, full=full))


def print_context(terminal: Terminal, document: dict[str, Any], *, full: bool) -> None:
    """Print what a model is given, or was."""
    stats = document["stats"]
    terminal.line(
        f"{stats['included']} of {counted(stats['total'], 'message')}, "
        f"about {counted(document['estimated_tokens'], 'token')}",
        "bold",
    )
    _print_overview(terminal, document["latest_archive_overview"])
    _print_messages(terminal, "messages", document["messages"], full=full)


# ---- the conversation -------------------------------------------------------------------------


def print_session(
    terminal: Terminal, document: dict[str, Any], *, history: bool, full: bool
) -> None:
    """Print a session, as it is or as it was."""
    meta = document["meta"]
    terminal.line(f"session {document['session_id']}, version {document['version']}", "bold")
    terminal.pairs(
        {name.replace("_", " "): meta[name] for name in _META if meta[name] not in (None, "")}
    )
    _print_turn(terminal, document.get("turn"))
    _print_archives(terminal, document["archives"])
    _print_overview(terminal, document["overview"])
    notes = _notes(document)
    if history:
        for archive in document["archives"]:
            name, messages = archive["archive_id"], archive["messages"]
            _print_messages(terminal, name, messages, full=full, notes=notes)
    _print_messages(terminal, "live messages", document["tail"], full=full, notes=notes)


def _notes(document: dict[str, Any]) -> dict[str, list[str]]:
    """Return what is said of each message beside its time: who, how many tokens, from which line."""
    notes: dict[str, list[str]] = defaultdict(list)
    for name, found in document.get("recorded", {}).items():
        if found["actor"]:
            notes[name].append(f"by {one_line(found['actor'], 40)}")
        if found["tokens"] is not None:
            notes[name].append(counted(found["tokens"], "token"))
    for name, origin in document.get("origins", {}).items():
        notes[name].append(f"line {origin['line']:,}")
    return notes


def _print_turn(terminal: Terminal, turn: dict[str, Any] | None) -> None:
    """Print the open turn, which keeps others from beginning one and commits from its messages."""
    if turn is None:
        return
    terminal.heading("open turn")
    terminal.pairs(
        {
            "turn": turn["turn_id"],
            "attempt": turn["attempt"],
            "begun at": turn["begun_at"],
            "lease until": turn["lease_until"],
            "owner": turn["owner"],
            "steps": ", ".join(turn["steps"]) or "none",
        }
    )


def _print_archives(terminal: Terminal, archives: list[dict[str, Any]]) -> None:
    if not archives:
        return
    terminal.heading("archives")
    terminal.table(
        ("archive", "state", "attempts", "messages", "tokens", "abstract"),
        [
            (
                archive["archive_id"],
                archive["state"],
                archive["attempts"],
                archive["message_count"],
                archive["tokens"],
                archive["error"] or archive["abstract"],
            )
            for archive in archives
        ],
        prose=["abstract"],
    )


def _print_overview(terminal: Terminal, overview: str) -> None:
    if overview:
        terminal.heading("overview")
        terminal.print(terminal.markdown(overview))


def _print_messages(
    terminal: Terminal,
    title: str,
    messages: list[dict[str, Any]],
    *,
    full: bool,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> None:
    from eventlog.cli.conversation import conversation

    terminal.heading(title)
    if not messages:
        terminal.line("none")
    for renderable in conversation(messages, full=full, notes=notes):
        terminal.print(renderable)
