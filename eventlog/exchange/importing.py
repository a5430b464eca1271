"""Store conversations of foreign files in sessions, without ever mixing two.

A conversation is identified by its own id, or else by its beginning: the messages up to the first
one of a user and the one after it. Only a continuation of what is stored is added to a session,
compared message by message:

- If the session has the first part of the conversation, or all of it, the rest is appended.
- If the conversation has no id, and the session with the file's name begins differently, the
  conversation gets a new session, named after the file and the content.
- If both begin alike and differ later, the import is refused with the first difference; with
  ``new_session`` the conversation is stored in a new session.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from eventlog.engine import arguments
from eventlog.errors import DuplicateEvent
from eventlog.exchange.import_command import RecordImport, import_event
from eventlog.identifiers import check_session_id, from_key_part
from eventlog.recorded import Recorded
from eventlog.records import ANY
from eventlog.session.commands import ABANDONED, AbandonCall
from eventlog.session.message_data import MessageData
from eventlog.session.messages import Message, message_data, same_message
from eventlog.session.parts import unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.exchange.conversation import Conversation
    from eventlog.session.events import MessageAppended
    from eventlog.session.parts import OpenCall

__all__ = ["Importer", "Placed"]

BATCH: Final = 500
"""Messages per append: a transaction of about a megabyte."""

DIGITS: Final = 8
"""Hexadecimal digits that are added to a name that another conversation has."""

SEARCHED: Final = 12
"""How many messages of a session are searched for its first user message."""

NAME_BYTES: Final = 240
"""Bytes of a file's name that are used in a session's id; the digits need the rest."""


class Placed(NamedTuple):
    """The session that a conversation goes into."""

    session_id: str
    known: int
    """Messages at its beginning that the session already has."""
    instead_of: str | None = None
    """The session with the name that it would have had, which holds another conversation."""
    why: str = ""


class Difference(NamedTuple):
    """How many first messages a conversation and a session share."""

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
        """Return the session for a conversation; raise `DuplicateEvent` if it is refused.

        ``is_named``: the name is the conversation's own id, or was given by the caller.
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
        """Return a new session; its name is derived from the content up to the difference."""
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
        """Return whether the session with a name holds an unrelated conversation.

        It does not if the two share a beginning or the id of a message, nor if one begins with what
        the other has further on: then messages were removed or inserted at the beginning.
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
        """Return the session that already has this conversation under another name, or None.

        The first two messages must be equal, or all messages if either has fewer.
        """
        beginning = _beginning(message_data(message) for message in found.messages)
        if beginning is None:
            return None
        for session_id in self._known_beginnings().get(beginning, ()):
            difference = self._compare(session_id, found.messages)
            whole = difference.stored is None and difference.given is None
            if difference.continues and (whole or difference.common > 1):
                why = "the session already has this conversation"
                return Placed(session_id, difference.common, why=why)
        return None

    def _known_beginnings(self) -> dict[str, list[str]]:
        """Return the sessions by their first user message; read once, when first needed."""
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
            yield from_key_part(key.removeprefix(SESSIONS))

    def append(
        self, core: Core, placed: Placed, found: Conversation, version: int
    ) -> list[OpenCall]:
        """Append what is new, if the session's version is still the one that was compared.

        Calls without a result are closed as abandoned if a user message follows them: no result
        will come, and open calls would keep their rounds live for ever. Return the calls closed now.
        """
        rest = found.messages[placed.known :]
        for start in range(0, len(rest), BATCH):
            batch = rest[start : start + BATCH]
            command = arguments.append(core, self.engine.estimate_tokens, batch, None)
            self.engine.execute(core, command, None, ANY if start else version)
        self._remember(placed.session_id, found)
        return self._close_unanswered(core, found)

    def _close_unanswered(self, core: Core, found: Conversation) -> list[OpenCall]:
        """Close the calls of a conversation that wait for results which will not come."""
        state = core.refresh()
        if not state.window.pending:
            return []
        waiting = {
            (call.message_id, call.tool_id, call.occurrence) for call in state.window.pending
        }
        closed: list[OpenCall] = []
        for call in unanswered([message_data(message) for message in found.messages]):
            message_id = found.messages[call.place].id
            if (message_id, call.tool_id, call.occurrence) in waiting:
                estimate = self.engine.estimate_tokens
                command = AbandonCall(
                    message_id, call.tool_id, ABANDONED, estimate, call.occurrence
                )
                self.engine.execute(core, command, None)
                closed.append(call)
        return closed

    def _remember(self, session_id: str, found: Conversation) -> None:
        """Remember a session that this run has created or continued."""
        if self._beginnings is None:
            return
        beginning = _beginning(message_data(message) for message in found.messages)
        if beginning is not None:
            known = self._beginnings.setdefault(beginning, [])
            if session_id not in known:
                known.append(session_id)

    def keep(self, core: Core, found: Conversation, source: str) -> None:
        """Record what the messages do not hold: the conversation's fields, its lines, findings.

        Nothing is recorded if there are none, and nothing is recorded twice for one file.
        """
        if found.format == "chat" and not found.fields and not found.findings:
            return
        self.engine.execute(core, RecordImport(import_event(found, source)), None)


def _beginning(messages: Iterator[MessageData]) -> str | None:
    """Return the text of the first user message among the first messages, or None."""
    for place, data in enumerate(messages):
        if place >= SEARCHED:
            break
        if data["role"] == "user":
            return _said(data)
    return None


def _said(data: MessageData) -> str:
    """Return role and content of a message, without its id and time."""
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
        "under another id (--session) or into a new session (--new-session)"
    )
