"""Whole files that are one program's own: told apart by their first value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventlog.exchange.chatgpt import chatgpt
from eventlog.exchange.claude_ai import claude_ai
from eventlog.exchange.claude_code import claude_code
from eventlog.exchange.codex import codex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventlog.exchange.conversation import Conversation
    from eventlog.exchange.documents import Document
    from eventlog.exchange.notes import Notes

__all__ = ["Container", "container_of"]


class Container(NamedTuple):
    """A format of whole files: its name, whether a first value is of it, and how it is read."""

    name: str
    recognises: Callable[[Any], bool]
    read: Callable[[Iterator[Document], Notes], Iterator[Conversation]]


_CONTAINERS: Final = (
    Container("claude-code", claude_code.recognises, claude_code.read),
    Container("codex", codex.recognises, codex.read),
    Container("chatgpt", chatgpt.recognises, chatgpt.read),
    Container("claude-ai", claude_ai.recognises, claude_ai.read),
)


def container_of(value: Any) -> Container | None:
    """Return the format of a file whose first value this is; None for plain messages."""
    return next((found for found in _CONTAINERS if found.recognises(value)), None)
