"""The content of a message that arrives in pieces: how parts continue each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.session.parts import read_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["calls_in", "is_text_piece", "joined_parts", "text_of", "text_part", "without_result"]

Part = dict[str, Any]

RESULT_FIELDS: Final = frozenset(
    {"tool_output", "tool_status", "duration_ms", "abandoned", "interrupted"}
)
"""The fields of a part that a result writes, beside those of a large output."""


def text_part(text: str, type: str = "text") -> Part:
    """Return the part that continues a text of a type."""
    return {"type": type, "text": text}


def text_of(parts: Iterable[Part]) -> str:
    """Return the texts of the parts of type ``text``, one after the other."""
    return "".join(part["text"] for part in parts if part["type"] == "text" and is_text_piece(part))


def is_text_piece(part: Part) -> bool:
    """Return whether a part is a type and a text alone, so that it can continue another."""
    return len(part) == 2 and isinstance(part.get("text"), str) and "type" in part


def _continues(part: Part, before: Part) -> bool:
    """Return whether a part continues the one before it."""
    return part["type"] == before["type"] and is_text_piece(part) and is_text_piece(before)


def joined_parts(pieces: Iterable[Part]) -> list[Part]:
    """Return the parts that pieces make, in order: texts of one type that follow each other are one.

    So it does not matter where a text was cut: joining parts that were joined changes nothing.
    """
    parts: list[Part] = []
    texts: list[str] = []
    for piece in pieces:
        if parts and _continues(piece, parts[-1]):
            texts.append(piece["text"])
            continue
        _close(parts, texts)
        parts.append(piece)
    _close(parts, texts)
    return parts


def _close(parts: list[Part], texts: list[str]) -> None:
    """Add the texts to the last part, at once: one by one would be quadratic."""
    if texts:
        last = parts[-1]
        parts[-1] = {**last, "text": "".join([last["text"], *texts])}
        texts.clear()


def calls_in(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the tool ids of the calls in parts."""
    for part in parts:
        call = None if is_text_piece(part) else read_part(part).call
        if call is not None:
            yield call.id


def without_result(part: Mapping[str, Any]) -> Part:
    """Return a part without what a result has written into it."""
    if part.get("type") != "tool":
        return dict(part)
    return {
        name: value
        for name, value in part.items()
        if name not in RESULT_FIELDS and not name.startswith("tool_output")
    }
