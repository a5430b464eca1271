"""Checkpoint files of LangGraph (``SqliteSaver``).

A thread's newest checkpoint holds the whole state: each of its channels that is a list of messages is
a conversation, ``messages`` that of the thread and any other one a session beside it. What else the
state has becomes fields of the conversation. Earlier checkpoints and writes that no checkpoint has
taken in are counted and left. Objects of Python are read as what they hold, never built; a value
in a form that only running code can read (pickle, encryption) is left, and said to be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventlog.errors import InvalidMessage
from eventlog.exchange.conversation import (
    Conversation,
    Entry,
    conversation,
    name_beside,
    session_id_in,
)
from eventlog.exchange.dialects import converter, dialect_of
from eventlog.exchange.langgraph.msgpack import CLASS, decoded
from eventlog.exchange.mending import UNREAD, mended, read_value
from eventlog.session.chat.format import Fields, is_list, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.exchange.databases import Database
    from eventlog.exchange.notes import Notes

__all__ = ["read", "recognises"]

FORMAT: Final = "langgraph"

_COLUMNS: Final = {"thread_id", "checkpoint_ns", "checkpoint_id", "type", "checkpoint", "metadata"}
_WRITES: Final = {"thread_id", "checkpoint_ns", "checkpoint_id", "channel"}
_MESSAGES: Final = "messages"

_CHECKPOINT: Final = (
    "SELECT type, checkpoint, metadata FROM checkpoints "
    "WHERE thread_id IS ? AND checkpoint_ns IS ? AND checkpoint_id IS ?"
)
_PENDING: Final = (
    "SELECT channel FROM writes WHERE thread_id IS ? AND checkpoint_ns IS ? AND checkpoint_id IS ?"
)


class _Thread(NamedTuple):
    """A thread, or a subgraph in one: its newest checkpoint, and how many came before."""

    id: Any
    namespace: Any
    checkpoint: Any
    earlier: int

    @property
    def name(self) -> str:
        return f"{self.id}.{self.namespace}" if self.namespace else str(self.id)

    @property
    def key(self) -> tuple[Any, Any, Any]:
        return self.id, self.namespace, self.checkpoint


def recognises(database: Database) -> bool:
    """Return whether a file has the table of checkpoints."""
    return set(database.tables.get("checkpoints", ())) >= _COLUMNS


def read(database: Database, notes: Notes) -> Iterator[Conversation]:
    """Yield the conversations of each thread."""
    for thread in _threads(database):
        try:
            state = _state(database, thread, notes)
            if state is not None:
                yield from _conversations(database, thread, state, notes)
        except InvalidMessage as error:
            notes.drop("no_conversation", error, thread.name.encode(errors="backslashreplace"))


def _threads(database: Database) -> list[_Thread]:
    newest: dict[tuple[Any, Any], _Thread] = {}
    for thread, namespace, checkpoint in database.rows(
        "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints ORDER BY checkpoint_id"
    ):
        before = newest.get((thread, namespace))
        earlier = 0 if before is None else before.earlier + 1
        newest[thread, namespace] = _Thread(thread, namespace, checkpoint, earlier)
    return list(newest.values())


def _state(database: Database, thread: _Thread, notes: Notes) -> Fields | None:
    """Return the newest checkpoint of a thread; None if it cannot be read."""
    (row,) = database.rows(_CHECKPOINT, *thread.key)
    type_, data, metadata = row
    raw = data if isinstance(data, bytes) else str(data).encode(errors="surrogateescape")
    name = f"the checkpoint of thread {thread.name}"
    value: Any = UNREAD
    if type_ == "json":
        value = read_value(raw, name, None, notes)
    elif type_ == "msgpack":
        try:
            value = decoded(raw)
        except (ValueError, RecursionError) as error:
            notes.drop("not_msgpack", InvalidMessage(f"{name} is damaged: {error}"), raw)
    else:
        coded = InvalidMessage(
            f"{name} is written as {str(type_)[:40]!r}, which is not opened: reading it takes a key, "
            "or runs what the file says"
        )
        notes.drop("unread", coded, raw)
    if not is_object(value):
        return None
    value, replaced = mended(value)
    if replaced:
        notes.tell("replaced", None, f"{name}: {', '.join(replaced[:5])}", "written as text", raw)
    known = read_value(metadata, name, None, notes) if isinstance(metadata, bytes) else metadata
    return {**value, "metadata": None if known is UNREAD else known}


def _conversations(
    database: Database, thread: _Thread, state: Fields, notes: Notes
) -> Iterator[Conversation]:
    values = state.get("channel_values")
    channels = values if is_object(values) else {}
    spoken = {name: found for name, value in channels.items() if (found := _messages(value))}
    rest = {name: value for name, value in channels.items() if name not in spoken}
    fields = {name: state[name] for name in ("id", "ts", "metadata") if state.get(name)}
    _note_left(database, thread, notes)
    if not spoken:
        notes.tell(
            "no_messages",
            None,
            f"no channel of thread {thread.name} is a list of messages; it has "
            f"{', '.join(map(repr, sorted(channels)[:5])) or 'none'}",
            "left in the file",
        )
    for channel in sorted(spoken, key=lambda name: (name != _MESSAGES, name)):
        is_main = channel == _MESSAGES or len(spoken) == 1
        own = session_id_in(thread.name, None, notes)
        name = own if is_main else name_beside(own, "channel", channel)
        more: Fields = {} if is_main else {"channel": channel}
        if rest and is_main:
            more = {"channel_values": rest}
        entries = (Entry(None, value) for value in spoken[channel])
        convert, _ = converter()
        yield conversation(name, entries, 1, notes, convert, format=FORMAT, fields=fields | more)


def _note_left(database: Database, thread: _Thread, notes: Notes) -> None:
    if thread.earlier:
        detail = f"{thread.earlier:,} earlier checkpoints of thread {thread.name}"
        notes.tell("unread", None, detail, "left in the file; the newest one is read")
    if set(database.tables.get("writes", ())) >= _WRITES:
        pending = [channel for (channel,) in database.rows(_PENDING, *thread.key)]
        if pending:
            detail = (
                f"{len(pending):,} writes of thread {thread.name} that no checkpoint has taken in "
                f"({', '.join(sorted({str(channel) for channel in pending})[:5])})"
            )
            notes.tell("unread", None, detail, "left in the file")


def _messages(value: Any) -> list[Any]:
    """Return a channel's value as messages of LangChain or of a chat; empty if it is something else."""
    if not is_list(value):
        return []
    found = [_as_message(entry) for entry in value]
    return found if all(dialect_of(entry) is not None for entry in found) else []


def _as_message(value: Any) -> Any:
    """Return a message object as its fields, which say its type."""
    if is_object(value) and set(value) == {CLASS, "value"} and is_object(value["value"]):
        return value["value"]
    return value
