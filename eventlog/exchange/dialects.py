"""The forms in which programs write a message, recognised by content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventlog.exchange.gemini import gemini
from eventlog.exchange.langchain import langchain
from eventlog.exchange.openai_chat import dialect as chat
from eventlog.exchange.own import own
from eventlog.exchange.pydantic_ai import pydantic_ai
from eventlog.exchange.sharegpt import sharegpt
from eventlog.exchange.vercel import vercel

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.exchange.conversation import Convert
    from eventlog.session.chat.format import Fields

__all__ = ["CHAT", "Dialect", "converter", "dialect_of"]


class Dialect(NamedTuple):
    """A form of messages: its name, the test of a record, and the reader."""

    name: str
    recognises: Callable[[Fields], bool]
    convert: Callable[[], Convert]
    """Returns a reader for one conversation; it may count its records or pair calls and results."""


CHAT: Final = Dialect("chat", chat.recognises, chat.convert)

_DIALECTS: Final = (
    Dialect("own", own.is_written_here, own.convert),
    Dialect("vercel", vercel.recognises, vercel.convert),
    Dialect("own", own.recognises, own.convert),
    Dialect("pydantic-ai", pydantic_ai.recognises, pydantic_ai.convert),
    Dialect("gemini", gemini.recognises, gemini.convert),
    Dialect("langchain", langchain.recognises, langchain.convert),
    Dialect("sharegpt", sharegpt.recognises, sharegpt.convert),
    CHAT,
)
"""In order of preference: if two can read a record, the first preserves more of it."""


def dialect_of(value: Any) -> Dialect | None:
    """Return the dialect of a record, or None if it is no known message."""
    if not isinstance(value, dict):
        return None
    return next((dialect for dialect in _DIALECTS if dialect.recognises(value)), None)  # pyright: ignore[reportUnknownArgumentType]


def converter() -> tuple[Convert, list[str]]:
    """Return a reader for the records of one conversation, each in its dialect, and the set of
    dialects it has met."""
    made: dict[str, Convert] = {}

    def convert(value: Any) -> Fields | list[Fields] | None:
        dialect = dialect_of(value) or CHAT
        if dialect.name not in made:
            made[dialect.name] = dialect.convert()
        if dialect.name not in used:
            used.append(dialect.name)
        return made[dialect.name](value)

    used: list[str] = []
    return convert, used
