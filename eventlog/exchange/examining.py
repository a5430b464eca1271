"""Check a foreign file: what is damaged in it, and what an import would do about that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventlog.clock import parse_time
from eventlog.errors import InvalidMessage
from eventlog.exchange.notes import Noted, Notes
from eventlog.exchange.openhands import openhands
from eventlog.exchange.reading import read_conversations
from eventlog.finding import Finding
from eventlog.session.messages import message_data
from eventlog.session.parts import pair_up, readings_of, unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eventlog.exchange.conversation import Conversation

__all__ = ["Examined", "examine", "flaws_of"]


class Examined(NamedTuple):
    """The conversations that can be read from a file, and all findings."""

    conversations: tuple[Conversation, ...]
    findings: tuple[Noted, ...]


def examine(path: Path) -> Examined:
    """Read a file or a folder of events as an import with ``--quarantine`` does; change nothing."""
    notes = Notes(str(path), quarantine=True)
    read = openhands.read_folder if path.is_dir() else read_conversations
    conversations: list[Conversation] = []
    try:
        for found in read(path, notes):
            conversations.append(found)  # noqa: PERF402 - those before an error are kept
    except InvalidMessage as error:
        notes.tell("unreadable", error.line, error.reason, "nothing of it is imported")
    flaws = [
        Noted(flaw._replace(path=str(path)), b"")
        for found in conversations
        for flaw in flaws_of(found)
    ]
    if not conversations and not notes.findings:
        notes.tell("empty", None, "it holds no message", "nothing to import")
    return Examined(tuple(conversations), (*notes.findings, *flaws))


def flaws_of(found: Conversation) -> Iterator[Finding]:
    """Yield findings about calls, results, repetitions and times across messages."""
    yield from _unpaired(found)
    yield from _doubled(found)
    yield from _times(found)


def _unpaired(found: Conversation) -> Iterator[Finding]:
    """Yield results without an earlier call, and calls without a result."""
    messages = [message_data(message) for message in found.messages]
    pairs = pair_up(messages)
    for place, number in pairs.orphans:
        result = readings_of(messages[place])[number].result
        detail = f"result of {result.id if result else ''!r}, but no earlier call has that id"
        yield _flaw(found, place, "orphaned_result", detail, "imported; no model is given it")
    closed = set(unanswered(messages))
    for call in pairs.open:
        detail = f"call {call.tool_id!r} has no result"
        action = "imported as a call that awaits its result"
        if call in closed:
            detail, action = f"{detail}, and the user spoke after it", "closed as abandoned"
        yield _flaw(found, call.place, "open_call", detail, action)


def _doubled(found: Conversation) -> Iterator[Finding]:
    """Yield results that repeat an earlier one, with the same id and the same text."""
    seen: set[tuple[str, str | None]] = set()
    for place, message in enumerate(found.messages):
        for each in readings_of(message_data(message)):
            if each.result is None or each.call is not None or not each.result.id:
                continue
            key = each.result.id, each.result.output
            if key in seen:
                detail = f"the result of {each.result.id!r} occurs twice"
                yield _flaw(found, place, "doubled", detail, "both are imported")
            seen.add(key)


def _times(found: Conversation) -> Iterator[Finding]:
    """Yield messages with a time before that of the message right before them."""
    before = None
    for place, message in enumerate(found.messages):
        if "created_at" not in message.model_fields_set:
            continue
        try:
            time = parse_time(message.created_at)
        except ValueError:
            detail = f"created_at {message.created_at[:40]!r} is not a time with a time zone"
            yield _flaw(found, place, "unread_time", detail, "kept as it is")
            continue
        if before is not None and time < before:
            detail = f"{message.created_at} is before the time of the message before it"
            yield _flaw(found, place, "time_order", detail, "imported in the order of the file")
        before = time


def _flaw(found: Conversation, place: int, kind: str, detail: str, action: str) -> Finding:
    line = found.lines[place] if found.lines else None
    name = f"{found.session_id}: " if found.session_id else ""
    ids = (found.messages[place].id,)
    return Finding(None, None, kind, f"{name}{detail}", line=line, action=action, message_ids=ids)
