"""Formats that only one program writes, recognised by the first value of a file."""

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
    """A file format: its name, the test of a first value, and the reader."""

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
    """Return the format of a file that begins with this value, or None for plain messages."""
    return next((found for found in _CONTAINERS if found.recognises(value)), None)
