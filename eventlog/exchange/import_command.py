"""The command that records what the messages of an import do not say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from eventlog.identifiers import derived_id
from eventlog.session.command import Command, Draft, require_open
from eventlog.session.import_events import ConversationImported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.exchange.conversation import Conversation
    from eventlog.exchange.notes import Noted
    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.state import SessionState

__all__ = ["RecordImport", "import_event"]

ORIGINAL_BYTES: Final = 64_000
"""Bytes of a line that are kept with what was found in it; a quarantine file has all of them."""


@dataclass(slots=True, eq=False)
class RecordImport(Command[None]):
    """Record what is known of an import, once for the same content."""

    event: ConversationImported

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        require_open(state)
        return [Draft(self.event, self._id(state.session_id))]

    def event_ids(self, session: str) -> Sequence[EventId]:
        return [self._id(session)]

    def _id(self, session: str) -> EventId:
        content = self.event.model_dump(mode="json", exclude={"source"})
        digest = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return derived_id(session, f"\0imported\0{digest}")

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return True  # The id says so: it follows from the content.

    def result(self, recorded: Sequence[Recorded]) -> None:
        return None


def import_event(found: Conversation, source: str) -> ConversationImported:
    """Return what is recorded of an import: where its messages stood, and what was found."""
    return ConversationImported(
        format=found.format,
        source=source,
        messages=len(found.messages),
        fields=found.fields,
        lines=_runs(found.lines),
        findings=[_finding(entry) for entry in found.findings],
    )


def _runs(lines: Sequence[int | None]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for line in lines:
        if line is None:
            continue
        if runs and sum(runs[-1]) == line:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((line, 1))
    return runs


def _finding(noted: Noted) -> dict[str, Any]:
    finding = noted.finding
    original = noted.raw[:ORIGINAL_BYTES].decode(errors="backslashreplace").rstrip("\n")
    return {
        "kind": finding.kind,
        "line": finding.line,
        "detail": finding.detail,
        "action": finding.action,
        **({"original": original} if noted.raw else {}),
    }
