"""A conversation as people read it: who spoke, what was said, which tools were called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from eventlog.cli.event_lines import message_gist
from eventlog.cli.output import one_line, printable

__all__ = ["conversation"]

TEXT_LINES: Final = 14
"""Lines of a text that are shown unless all are asked for."""

OUTPUT_LINES: Final = 4
"""Lines of a tool's output that are shown unless all are asked for."""

LINE_LENGTH: Final = 400
"""Characters of one line of a tool's output that are shown unless all are asked for."""

_ROLE_STYLES: Final = {
    "user": "bold green",
    "assistant": "bold cyan",
    "system": "bold magenta",
    "tool": "bold yellow",
}


def conversation(
    messages: Iterable[dict[str, Any]], *, full: bool = False
) -> Iterator[RenderableType]:
    """Return what to print of stored messages; long texts are cut unless ``full``."""
    for message in messages:
        role = message["role"]
        time = message["created_at"][:19].replace("T", " ")
        yield Text.assemble((role, _ROLE_STYLES.get(role, "bold")), (f"  {printable(time)}", "dim"))
        for part in message["parts"]:
            lines = [*_part(part, full=full), *_kept_elsewhere(part, message["id"])]
            yield Padding(Text("\n").join(lines), (0, 0, 0, 2))


def _part(part: dict[str, Any], *, full: bool) -> Iterator[Text]:
    match part:
        case {"type": "text", "text": str(text)}:
            yield from _lines(text, TEXT_LINES, "", full=full)
        case {"type": "tool"}:
            yield from _tool(part, full=full)
        case _:
            # message_gist names the kind of part, which is all that is known of it.
            yield Text(message_gist({"role": "part", "parts": [part]}), "dim")


def _tool(part: dict[str, Any], *, full: bool) -> Iterator[Text]:
    output = part.get("tool_output")
    called = {key: value for key, value in part.items() if key != "tool_output"}
    if output is None or part.get("tool_input") is not None:
        call = message_gist({"role": "", "parts": [called]}).removeprefix(": ")
        yield Text(f"→ {call}", "yellow")
    if output is not None:
        error = part.get("tool_status") == "error"
        first, *rest = _lines(output, OUTPUT_LINES, "red" if error else "dim", full=full)
        yield Text.assemble(("← ", "yellow"), first)
        for line in rest:
            yield Text.assemble("  ", line)


def _kept_elsewhere(part: dict[str, Any], message_id: str) -> Iterator[Text]:
    """Say how to read an output of which only a preview stands in the message (M6)."""
    if part.get("tool_output_ref") is not None:
        length = part.get("tool_output_original_chars")
        shown = f"{length:,}" if isinstance(length, int) else "?"
        call = printable(f"{message_id} {part.get('tool_id')}")
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
