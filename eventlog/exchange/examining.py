"""Check a foreign file: what is damaged in it, and what an import would do about that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventlog.clock import parse_time
from eventlog.exchange.notes import Noted, Notes
from eventlog.exchange.openhands import openhands
from eventlog.exchange.reading import read_conversations
from eventlog.finding import Finding
from eventlog.session.chat.pieces import pieces_of

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
    conversations = tuple(read(path, notes))
    flaws = [
        Noted(flaw._replace(path=str(path)), b"")
        for found in conversations
        for flaw in flaws_of(found)
    ]
    if not conversations and not notes.findings:
        notes.tell("empty", None, "it holds no message", "nothing to import")
    return Examined(conversations, (*notes.findings, *flaws))


def flaws_of(found: Conversation) -> Iterator[Finding]:
    """Yield findings about calls, results, repetitions and times across messages."""
    yield from _unpaired(found)
    yield from _doubled(found)
    yield from _times(found)


def _unpaired(found: Conversation) -> Iterator[Finding]:
    """Yield results without an earlier call, and calls without a result."""
    waiting: dict[str, list[int]] = {}
    for place, message in enumerate(found.messages):
        for piece in pieces_of(message):
            tool_id = str(piece.fields.get("tool_id", ""))
            if piece.kind == "call" and "tool_output" not in piece.fields:
                waiting.setdefault(tool_id, []).append(place)
            elif piece.kind == "result":
                if waiting.get(tool_id):
                    waiting[tool_id].pop(0)
                else:
                    detail = f"result of {tool_id!r}, but no earlier call has that id"
                    yield _flaw(found, place, "orphaned_result", detail, "imported as it is")
    for tool_id, places in waiting.items():
        for place in places:
            detail = f"call {tool_id!r} has no result"
            yield _flaw(
                found, place, "open_call", detail, "imported as a call that awaits its result"
            )


def _doubled(found: Conversation) -> Iterator[Finding]:
    """Yield messages that repeat the calls or results of the message right before them."""
    seen: dict[str, int] = {}
    for place, message in enumerate(found.messages):
        for piece in pieces_of(message):
            if piece.kind != "result":
                continue
            key = f"{piece.fields.get('tool_id')}\0{piece.text}"
            if key in seen and piece.fields.get("tool_id"):
                detail = f"the result of {piece.fields['tool_id']!r} occurs twice"
                yield _flaw(found, place, "doubled", detail, "both are imported")
            seen[key] = place


def _times(found: Conversation) -> Iterator[Finding]:
    """Yield messages with a time before that of an earlier message."""
    latest = None
    for place, message in enumerate(found.messages):
        if "created_at" not in message.model_fields_set:
            continue
        try:
            time = parse_time(message.created_at)
        except ValueError:
            detail = f"created_at {message.created_at[:40]!r} is not a time with a time zone"
            yield _flaw(found, place, "unread_time", detail, "kept as it is")
            continue
        if latest is not None and time < latest:
            detail = f"{message.created_at} is before the time of an earlier message"
            yield _flaw(found, place, "time_order", detail, "imported in the order of the file")
        latest = time if latest is None else max(latest, time)


def _flaw(found: Conversation, place: int, kind: str, detail: str, action: str) -> Finding:
    line = found.lines[place] if found.lines else None
    name = f"{found.session_id}: " if found.session_id else ""
    ids = (found.messages[place].id,)
    return Finding(None, None, kind, f"{name}{detail}", line=line, action=action, message_ids=ids)
