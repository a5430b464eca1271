"""Transcripts of Claude Code.

Each line has a ``uuid`` and its parent's. The path from the newest line back to the root is the
session. If the user went back and said something else, the abandoned branch becomes another session,
and so does each subagent's sidechain. A compaction begins a new root that names the line before it
(``logicalParentUuid``), so the messages that it summarised stay in the session. Summaries become
fields of the conversation. Lines of other types (file snapshots, queue operations, …) are counted
and left out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from eventlog.exchange.conversation import (
    Conversation,
    Entry,
    conversation,
    name_beside,
    session_id_in,
)
from eventlog.exchange.tree import paths_of
from eventlog.session.chat.format import Fields, is_list, is_object
from eventlog.session.chat.reading import message_fields
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.exchange.documents import Document
    from eventlog.exchange.notes import Notes

__all__ = ["read", "recognises"]

FORMAT: Final = "claude-code"

_MESSAGES: Final = ("user", "assistant", "system")
_OTHERS: Final = ("summary", "file-history-snapshot", "queue-operation", "progress", "attachment")
_READ: Final = frozenset({"uuid", "message", "timestamp"})
_BRANCH_CHARACTERS: Final = 8


def recognises(value: Any) -> bool:
    """Return whether a file's first value is a line of a Claude Code transcript."""
    if not is_object(value):
        return False
    if value.get("type") in _MESSAGES and isinstance(value.get("uuid"), str):
        return "parentUuid" in value or "sessionId" in value
    if value.get("type") == "summary":
        return "leafUuid" in value
    return value.get("type") in _OTHERS and ("sessionId" in value or "messageId" in value)


def read(documents: Iterator[Document], notes: Notes) -> Iterator[Conversation]:
    """Yield the session of a transcript, then its other branches and its sidechains."""
    transcript = _Transcript(notes)
    first = 1
    for number, document in enumerate(documents):
        first = document.line if not number else first
        transcript.take(document)
    yield from transcript.conversations(first)


class _Transcript:
    """The lines of a file by uuid, in order."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._entries: dict[str, Entry] = {}
        self._parents: dict[str, str | None] = {}
        self._side: set[str] = set()
        self._summaries: list[Any] = []
        self._left: Counter[str] = Counter()
        self._session_id: Any = None
        self._last: dict[bool, str | None] = {False: None, True: None}
        """The newest line of the session, and that of subagents."""

    def take(self, document: Document) -> None:
        """Add a line, or count it among those that are left out."""
        value, line = document.value, document.exact_line
        type_ = value.get("type") if is_object(value) else None
        if type_ == "summary":
            self._summaries.append({k: v for k, v in value.items() if k != "type"})
        elif type_ not in _MESSAGES or not isinstance(value.get("uuid"), str):
            self._left[str(type_)] += 1
        elif value["uuid"] in self._entries:
            self._doubled(value, line)
        else:
            self._add(value, line)

    def _doubled(self, value: Fields, line: int | None) -> None:
        before = self._entries[value["uuid"]]
        same = "with the same content" if before.value == value else "with other content"
        detail = f"uuid {value['uuid']} is already on line {before.line}, {same}"
        self._notes.tell("doubled", line, detail, "the first one is kept")

    def _add(self, value: Fields, line: int | None) -> None:
        uuid = value["uuid"]
        is_side = value.get("isSidechain") is True
        parent = value.get("parentUuid") or value.get("logicalParentUuid")
        parent = parent if isinstance(parent, str) or parent is None else repr(parent)
        if parent is not None and parent not in self._entries:
            detail = f"parent {parent} of {uuid} does not come before it in the file"
            self._notes.tell(
                "broken_chain", line, detail, "treated as following the line before it"
            )
            parent = None
        if parent is None:
            parent = self._last[is_side]
            if is_side and value.get("parentUuid") is None:
                parent = None  # Each subagent begins a separate chain.
        if is_side:
            self._side.add(uuid)
        elif self._session_id is None:
            self._session_id = value.get("sessionId")
        self._last[is_side] = uuid
        self._entries[uuid] = Entry(line, value)
        self._parents[uuid] = parent

    def conversations(self, first: int) -> Iterator[Conversation]:
        """Yield the session, each other branch and each sidechain as a conversation."""
        for type_, count in sorted(self._left.items()):
            detail = f"lines of type {type_!r}, which are not messages: {count:,}"
            self._notes.tell("unread", None, detail, "left in the file")
        main_order = [uuid for uuid in self._entries if uuid not in self._side]
        leaf = main_order[-1] if main_order else None
        paths = paths_of(main_order, self._parents, leaf, self._parallel(main_order, leaf))
        base = self._base_id()
        fields: Fields = {"summaries": self._summaries} if self._summaries else {}
        if paths.main or not self._side:
            yield self._conversation(base, paths.main, first, fields)
        for branch in paths.branches:
            name = name_beside(base, "branch", branch[0][:_BRANCH_CHARACTERS])
            detail = f"the user went back here: messages of the other branch: {len(branch):,}"
            self._notes.tell("branch", self._entries[branch[0]].line, detail, f"session {name}")
            more = {"branch_of": base, "branch_after": self._parents[branch[0]]}
            yield self._conversation(name, branch, first, more)
        side_order = [uuid for uuid in self._entries if uuid in self._side]
        for side in paths_of(side_order, self._parents, None).branches:
            name = name_beside(base, "sidechain", side[0][:_BRANCH_CHARACTERS])
            detail = f"a subagent begins here: messages: {len(side):,}"
            self._notes.tell("sidechain", self._entries[side[0]].line, detail, f"session {name}")
            yield self._conversation(name, side, first, {"sidechain_of": base})

    def _base_id(self) -> str | None:
        return session_id_in(self._session_id, None, self._notes)

    def _parallel(self, order: list[str], leaf: str | None) -> set[str]:
        """Return the lines that belong to the session but are not on the path to the newest line.

        A message of several blocks is written as a line per block, each the parent of the next, and
        a result is the child of its call's line. So of parallel calls only the last result is on the
        path.
        """
        main: set[str] = set(paths_of(order, self._parents, leaf).main)
        values = {uuid: self._entries[uuid].value for uuid in order}
        requests = {_message_id(values[uuid]) for uuid in main} - {None}
        also = {uuid for uuid in order if _message_id(values[uuid]) in requests}
        calls = {call for uuid in main | also for call in _ids(values[uuid], "tool_use", "id")}
        for uuid in order:
            answered = set(_ids(values[uuid], "tool_result", "tool_use_id"))
            if answered and answered <= calls:
                also.add(uuid)
        return also - main

    def _conversation(
        self, name: str | None, uuids: Iterable[str], first: int, fields: Fields
    ) -> Conversation:
        entries = [self._entries[uuid] for uuid in uuids]
        line = next((entry.line for entry in entries if entry.line), first)
        return conversation(name, entries, line, self._notes, _fields, format=FORMAT, fields=fields)


def _message_id(value: Fields) -> str | None:
    message = value.get("message")
    found = message.get("id") if value["type"] == "assistant" and is_object(message) else None
    return found if isinstance(found, str) else None


def _ids(value: Fields, type_: str, field: str) -> list[str]:
    message = value.get("message")
    content = message.get("content") if is_object(message) else None
    if not is_list(content):
        return []
    return [
        str(block.get(field))
        for block in content
        if is_object(block) and block.get("type") == type_
    ]


def _fields(value: Any) -> Fields:
    message = value.get("message")
    rest = {name: kept for name, kept in value.items() if name not in _READ}
    if is_object(message):
        inner = {name: kept for name, kept in message.items() if name not in ("role", "content")}
        rest |= {"message": inner} if inner else {}
        chat = {"role": message.get("role"), "content": message.get("content")}
    else:
        content = rest.pop("content", None)
        chat = {"role": value["type"], "content": content if isinstance(content, str) else None}
        rest |= {} if isinstance(content, str) else {"content": content}
    fields = {**message_fields(chat), "id": value["uuid"]}
    time = written_time(value.get("timestamp"))
    fields |= {"created_at": time} if time else {}
    return {**fields, "chat_source": {"format": FORMAT, **rest}}
