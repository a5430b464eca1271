"""Conversations of foreign files into sessions, without ever mixing two.

A conversation's identity is its own id, else its beginning: all up to the first word of a user and
what follows it. Into a session goes only what continues what is stored there, message by message:

- the session has a first part of the conversation, or all of it: the rest is appended;
- the conversation names no session, and what is stored under the name it was to get begins with
  something else: it gets a session of its own, named after the file and its content;
- the same beginning, and something else later: refused with the first difference, or with
  ``new_session`` stored as a session of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from eventlog.engine import arguments
from eventlog.errors import DuplicateEvent
from eventlog.identifiers import check_session_id, derived_id
from eventlog.recorded import Recorded
from eventlog.records import ANY
from eventlog.session.command import Command, Draft, require_open
from eventlog.session.import_events import ConversationImported
from eventlog.session.message_data import MessageData
from eventlog.session.messages import Message, message_data, same_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.exchange.conversation import Conversation
    from eventlog.exchange.notes import Noted
    from eventlog.identifiers import EventId, IdSource
    from eventlog.session.events import MessageAppended
    from eventlog.session.state import SessionState

__all__ = ["Importer", "Placed", "RecordImport"]

BATCH: Final = 500
"""Messages per append: a transaction of about a megabyte."""

DIGITS: Final = 8
"""Hexadecimal digits that are added to a name which another conversation has."""

SEARCHED: Final = 12
"""Messages of a session among which its first user message is looked for."""

ORIGINAL_BYTES: Final = 64_000
"""Bytes of a line that are kept with what was found in it; a quarantine file has all of them."""

NAME_BYTES: Final = 240
"""Bytes of a file's name that become part of a session's: room for the digits behind it."""


class Placed(NamedTuple):
    """Where a conversation belongs."""

    session_id: str
    known: int
    """Messages at its beginning that the session has already."""
    instead_of: str | None = None
    """The session whose name it was to get, which another conversation has."""
    why: str = ""


class Difference(NamedTuple):
    """How far a conversation and a session agree."""

    common: int
    stored: MessageData | None
    """The first stored message that the conversation does not have at its place."""
    given: Message | None

    @property
    def continues(self) -> bool:
        return self.stored is None or self.given is None


@dataclass(slots=True)
class Importer:
    """Imports the conversations of one run into the sessions of a log."""

    engine: Engine
    new_session: bool = False
    _beginnings: dict[str, list[str]] | None = field(default=None)

    def place(self, name: str, found: Conversation, *, is_named: bool) -> Placed:
        """Return where a conversation goes; raise `DuplicateEvent` where it may go nowhere.

        ``is_named`` says that the name is the conversation's own, or was asked for.
        """
        if not found.messages:
            return Placed(name, 0)
        difference = self._compare(name, found.messages)
        if difference.continues and (difference.common or not difference.stored):
            if not difference.common and not is_named:
                return self._renamed(found) or Placed(name, 0)
            return Placed(name, difference.common)
        is_other = not is_named and self._is_other(name, found.messages, difference)
        if is_other:
            renamed = self._renamed(found)
            if renamed is not None:
                why = _difference_text(difference)
                return renamed._replace(instead_of=name, why=why)
        if not is_other and not self.new_session:
            raise DuplicateEvent(name, _refusal(difference))
        return self._beside(name, found, difference)

    def _beside(self, name: str, found: Conversation, difference: Difference) -> Placed:
        """Return a session of its own: its name follows from the content up to the difference."""
        why = _difference_text(difference)
        stem = name.encode()[:NAME_BYTES].decode(errors="ignore")
        while True:
            part = found.messages[: difference.common + 1]
            candidate = check_session_id(f"{stem}-{_digest(part)}")
            difference = self._compare(candidate, found.messages)
            if difference.continues:
                return Placed(candidate, difference.common, instead_of=name, why=why)

    def _compare(self, session_id: str, messages: Sequence[Message]) -> Difference:
        common = 0
        for stored in self._stored(session_id):
            if common == len(messages):
                return Difference(common, stored, None)
            given = messages[common]
            data = message_data(given)
            if stored["id"] != given.id or not same_message(stored, data, given):
                return Difference(common, stored, given)
            common += 1
        rest = messages[common] if common < len(messages) else None
        return Difference(common, None, rest)

    def _stored(self, session_id: str) -> Iterator[MessageData]:
        """Yield the messages of a session as they were appended."""
        for record in self.engine.store.read(session_id):
            if record.type == "message_appended":
                yield cast("MessageAppended", Recorded(record).event).message

    def _is_other(self, name: str, messages: Sequence[Message], difference: Difference) -> bool:
        """Return whether what is stored under a name is another conversation altogether.

        It is not where the two share a beginning or the id of a message, nor where one begins with
        what the other has further on: then messages were cut off, or put before.
        """
        if any(message.role == "user" for message in messages[: difference.common]):
            return False
        given = {_said(message_data(message)) for message in messages if message.role != "system"}
        first_given = next((m for m in messages if m.role == "user"), messages[0])
        ids = {message.id for message in messages}
        first_stored: str | None = None
        for stored in self._stored(name):
            said = _said(stored)
            if stored["id"] in ids or said == _said(message_data(first_given)):
                return False
            if first_stored is None and stored["role"] == "user":
                first_stored = said
        return first_stored is None or first_stored not in given

    def _renamed(self, found: Conversation) -> Placed | None:
        """Return the session that has this conversation already, under another name.

        Two messages in common make a beginning, or all that either has.
        """
        beginning = _beginning(message_data(message) for message in found.messages)
        if beginning is None:
            return None
        for session_id in self._known_beginnings().get(beginning, ()):
            difference = self._compare(session_id, found.messages)
            whole = difference.stored is None and difference.given is None
            if difference.continues and (whole or difference.common > 1):
                why = "the session has this conversation already"
                return Placed(session_id, difference.common, why=why)
        return None

    def _known_beginnings(self) -> dict[str, list[str]]:
        """Return the sessions by what their first user said; read once, and only if it matters."""
        if self._beginnings is None:
            self._beginnings = {}
            for session_id in self._sessions():
                beginning = _beginning(self._stored(session_id))
                if beginning is not None:
                    self._beginnings.setdefault(beginning, []).append(session_id)
        return self._beginnings

    def _sessions(self) -> Iterator[str]:
        from eventlog.session.index import SESSIONS, keys_under

        for key, _ in self.engine.store.scan(*keys_under(SESSIONS)):
            yield key.removeprefix(SESSIONS)

    def append(self, core: Core, placed: Placed, found: Conversation, version: int) -> None:
        """Append what is new, if the session is still at the version at which it was compared."""
        rest = found.messages[placed.known :]
        for start in range(0, len(rest), BATCH):
            batch = rest[start : start + BATCH]
            command = arguments.append(core, self.engine.estimate_tokens, batch, None)
            self.engine.execute(core, command, None, ANY if start else version)
        self._remember(placed.session_id, found)

    def _remember(self, session_id: str, found: Conversation) -> None:
        """Remember a session that this run has made or continued."""
        if self._beginnings is None:
            return
        beginning = _beginning(message_data(message) for message in found.messages)
        if beginning is not None:
            known = self._beginnings.setdefault(beginning, [])
            if session_id not in known:
                known.append(session_id)

    def keep(self, core: Core, found: Conversation, source: str) -> None:
        """Record what the messages do not say: the conversation's fields, its lines, findings.

        Nothing is recorded for a plain chat file without any of these, nor twice for one file.
        """
        if found.format == "chat" and not found.fields and not found.findings:
            return
        event = ConversationImported(
            format=found.format,
            source=source,
            messages=len(found.messages),
            fields=found.fields,
            lines=_runs(found.lines),
            findings=[_finding(entry) for entry in found.findings],
        )
        self.engine.execute(core, RecordImport(event), None)


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


def _beginning(messages: Iterator[MessageData]) -> str | None:
    """Return what the first user said, if one did early on."""
    for place, data in enumerate(messages):
        if place >= SEARCHED:
            break
        if data["role"] == "user":
            return _said(data)
    return None


def _said(data: MessageData) -> str:
    """Return who said what, without what tells two equal messages apart."""
    text = json.dumps([data["role"], data["parts"]], ensure_ascii=False, sort_keys=True)
    return sha256(text.encode(errors="backslashreplace")).hexdigest()


def _digest(messages: Sequence[Message]) -> str:
    said = "".join(f"{message.id}\0{_said(message_data(message))}\n" for message in messages)
    return sha256(said.encode()).hexdigest()[:DIGITS]


def _difference_text(difference: Difference) -> str:
    stored, given = difference.stored, difference.given
    assert stored is not None
    assert given is not None
    place = difference.common + 1
    text = str(next((part["text"] for part in stored["parts"] if part.get("text")), "…"))
    return (
        f"message {place} is {given.role} {given.text[:40]!r} in the file, and "
        f"{stored['role']} {text[:40]!r} in the session"
    )


def _refusal(difference: Difference) -> str:
    return (
        f"the file does not continue what is stored: {_difference_text(difference)}; import it "
        "under another id (--session), or let it have a session of its own (--new-session)"
    )
