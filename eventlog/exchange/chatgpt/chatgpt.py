"""Exports of ChatGPT (``conversations.json``).

The path from ``current_node`` back to the root is the conversation. Regenerated answers and edited
questions are branches beside it; each branch becomes another session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import InvalidMessage
from eventlog.exchange.conversation import (
    Conversation,
    Entry,
    conversation,
    name_beside,
    session_id_in,
)
from eventlog.exchange.tree import paths_of
from eventlog.session.chat.format import Fields, is_list, is_object
from eventlog.session.chat.times import written_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.exchange.documents import Document
    from eventlog.exchange.notes import Notes

__all__ = ["read", "recognises"]

FORMAT: Final = "chatgpt"

_ROLES: Final = ("system", "user", "assistant", "tool")
_BRANCH_CHARACTERS: Final = 8


def recognises(value: Any) -> bool:
    """Return whether a value is an exported conversation, or a list that begins with one."""
    if is_list(value):
        return bool(value) and recognises(value[0])
    return is_object(value) and is_object(value.get("mapping"))


def read(documents: Iterator[Document], notes: Notes) -> Iterator[Conversation]:
    """Yield each conversation of an export, followed by its other branches."""
    for document in documents:
        value = document.value
        for place, exported in enumerate(value if is_list(value) else [value]):
            if not is_object(exported) or not is_object(exported.get("mapping")):
                error = InvalidMessage(
                    "this is not an exported conversation: it has no 'mapping'",
                    field=str(place),
                    line=document.exact_line,
                )
                notes.drop("no_conversation", error, document.raw)
                continue
            yield from _conversations(exported, document, notes)


def _conversations(exported: Fields, document: Document, notes: Notes) -> Iterator[Conversation]:
    mapping = exported["mapping"]
    parents = {key: _parent(node, mapping) for key, node in mapping.items()}
    order = _in_order(parents)
    leaf = exported.get("current_node")
    if not isinstance(leaf, str) or leaf not in parents:
        leaf = order[-1] if order else None
    paths = paths_of(order, parents, leaf)
    own_id = exported.get("conversation_id") or exported.get("id")
    name = session_id_in(own_id, document.exact_line, notes)
    fields = {key: kept for key, kept in exported.items() if key != "mapping"}

    def built(session_id: str | None, keys: Iterable[str], more: Fields) -> Conversation:
        entries = [Entry(document.exact_line, mapping[key]) for key in keys]
        return conversation(
            session_id, entries, document.line, notes, _fields, format=FORMAT, fields=more
        )

    yield built(name, paths.main, fields)
    for branch in paths.branches:
        if not any(_says_something(mapping[key]) for key in branch):
            continue
        branch_id = name_beside(name, "branch", branch[0][:_BRANCH_CHARACTERS])
        detail = f"messages of another branch: {len(branch):,}"
        notes.tell("branch", document.exact_line, detail, f"session {branch_id}")
        yield built(branch_id, branch, {"branch_of": name, "branch_after": parents[branch[0]]})


def _says_something(node: Any) -> bool:
    return is_object(node) and is_object(node.get("message"))


def _parent(node: Any, mapping: Fields) -> str | None:
    parent = node.get("parent") if is_object(node) else None
    return parent if isinstance(parent, str) and parent in mapping else None


def _in_order(parents: dict[str, str | None]) -> list[str]:
    """Return the ids, each parent before its children, otherwise in the order of the file."""
    order: dict[str, None] = {}
    for key in parents:
        way: list[str] = []
        place: str | None = key
        while place is not None and place not in order and place not in way[-1:]:
            way.append(place)
            place = parents[place]
            if len(way) > len(parents):
                break  # A cycle, which no real export has.
        order.update(dict.fromkeys(reversed(way)))
    return list(order)


def _fields(node: Any) -> Fields | None:
    message = node.get("message")
    if not is_object(message):
        return None
    author = message.get("author")
    role = author.get("role") if is_object(author) else None
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidMessage(
            f"author {role!r:.40} is unknown; ChatGPT has {', '.join(_ROLES)}", field="role"
        )
    rest = {name: kept for name, kept in message.items() if name not in ("id", "content")}
    fields: Fields = {
        "role": role,
        "parts": _parts(message.get("content")),
        "chat_source": {"format": FORMAT, **rest},
    }
    own, time = message.get("id"), written_time(message.get("create_time"))
    fields |= {"id": own} if isinstance(own, str) and own else {}
    return {**fields, "created_at": time} if time else fields


def _parts(content: Any) -> list[Fields]:
    if not is_object(content):
        return []
    if content.get("content_type") in ("text", "multimodal_text"):
        pieces = content.get("parts")
        if is_list(pieces):
            return [_part(piece) for piece in pieces]
    return [{**content, "type": str(content.get("content_type"))}]


def _part(piece: Any) -> Fields:
    if isinstance(piece, str):
        return {"type": "text", "text": piece}
    if is_object(piece):
        return {**piece, "type": str(piece.get("content_type", "content"))}
    return {"type": "content", "content": piece}
