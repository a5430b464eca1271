"""Print a conversation for people: who spoke, what was said, which tools were called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from eventlog.cli.output import one_line, printable
from eventlog.forensics.event_lines import call_gist, media_gist
from eventlog.session.parts import Reading, Result, output_of, readings_of

__all__ = ["conversation"]

TEXT_LINES: Final = 14
"""Lines of a text that are shown without ``--full``."""

OUTPUT_LINES: Final = 4
"""Lines of a tool's output that are shown without ``--full``."""

LINE_LENGTH: Final = 400
"""Characters of one line of a tool's output that are shown without ``--full``."""

_ROLE_STYLES: Final = {
    "user": "bold green",
    "assistant": "bold cyan",
    "system": "bold magenta",
    "tool": "bold yellow",
}


MARKS: Final = ("streaming", "interrupted")
"""The fields of messages that are still being written, and of those that were never finished."""


def conversation(
    messages: Iterable[dict[str, Any]],
    *,
    full: bool = False,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[RenderableType]:
    """Return the lines that show stored messages; long texts are cut unless ``full``.

    ``notes`` maps a message's id to what else its heading says, such as who wrote it.
    """
    for message in messages:
        role = message["role"]
        time = message["created_at"][:19].replace("T", " ")
        about = "".join(
            f"  {printable(note)}" for note in (time, *(notes or {}).get(message["id"], ()))
        )
        marks = "".join(f"  {mark}" for mark in MARKS if message.get(mark) is True)
        yield Text.assemble(
            (role, _ROLE_STYLES.get(role, "bold")), (about, "dim"), (marks, "bold yellow")
        )
        for place, found in enumerate(readings_of(message)):
            shown = [*_reading(found, full=full)]
            if place < len(message["parts"]):
                shown += _kept_elsewhere(message["parts"][place], message["id"])
            yield Padding(Text("\n").join(shown), (0, 0, 0, 2))


def _reading(found: Reading, *, full: bool) -> Iterator[Text]:
    if found.said or not any((found.label, found.call, found.result, found.media)):
        yield from _lines(found.said, TEXT_LINES, "", full=full)
    if found.beside or found.context is not None:
        first, *rest = _lines(found.beside, TEXT_LINES, "dim", full=full)
        yield Text.assemble((f"[{printable(found.label)}] ", "dim"), first)
        yield from rest
    if found.call is not None:
        yield Text(f"→ {call_gist(found.call)}", "yellow")
    if found.result is not None and found.result.output is not None:
        yield from _output(found.result, full=full)
    for media in found.media:
        yield Text(printable(media_gist(media)), "dim")


def _output(result: Result, *, full: bool) -> Iterator[Text]:
    style = "red" if result.status == "error" else "dim"
    first, *rest = _lines(result.output or "", OUTPUT_LINES, style, full=full)
    yield Text.assemble(("← ", "yellow"), first)
    for line in rest:
        yield Text.assemble("  ", line)


def _kept_elsewhere(part: dict[str, Any], message_id: str) -> Iterator[Text]:
    """Return how to read an output if the message has only a preview of it (M6), else None."""
    output = output_of(part) if part.get("tool_output_ref") is not None else None
    if output is not None:
        length = part.get("tool_output_original_chars")
        shown = f"{length:,}" if isinstance(length, int) else "?"
        call = printable(f"{message_id} {output.id}")
        yield Text(f"  … of {shown} characters (--output {call} shows them)", "dim italic")


def _lines(text: str, limit: int, style: str, *, full: bool) -> list[Text]:
    lines = text.split("\n")
    if full or len(lines) <= limit:
        shown, more = lines, 0
    else:
        shown, more = lines[: limit - 1], len(lines) - limit + 1
    texts = [Text(_cut(line, full=full), style) for line in shown]
    if more:
        texts.append(Text(f"… {more} more lines (--full shows them)", "dim italic"))
    return texts


def _cut(line: str, *, full: bool) -> str:
    if full or len(line) <= LINE_LENGTH:
        return printable(line)
    return one_line(line, LINE_LENGTH)
