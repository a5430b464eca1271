"""What the documentation shows of a run: the recorded results, the drawings, and parts of two pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.drawing import DRAWINGS
from benchmarks.markdown import summary, tables
from benchmarks.results import Result

__all__ = ["DRAWN", "PAGES", "RECORDED", "load", "part_of", "record", "with_part", "write"]

_ROOT: Final = Path(__file__).parents[1]

RECORDED: Final = _ROOT / "benchmarks" / "recorded.json"
DRAWN: Final = {name: _ROOT / "eventlog" / "docs" / f"{name}.svg" for name in DRAWINGS}

PAGES: Final[dict[Path, Callable[[dict[str, str], list[Result]], str]]] = {
    _ROOT / "README.md": summary,
    _ROOT / "eventlog" / "docs" / "figures.md": tables,
}
"""The pages, and what writes the part of each that shows figures."""

_BEGIN: Final = "<!-- Written by `python -m benchmarks --record`. -->"
_END: Final = "<!-- End. -->"


def load(path: Path) -> tuple[dict[str, str], list[Result]]:
    """Return the machine and the results that a run wrote."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found["machine"], [Result.from_json(fields) for fields in found["figures"]]


def write(path: Path, machine: dict[str, str], results: list[Result]) -> None:
    """Write results, for `load`; a reader of the file sees all of them or those before."""
    found = {"machine": machine, "figures": [result.as_json() for result in results]}
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    unfinished.replace(path)


def record(machine: dict[str, str], results: list[Result], order: list[str]) -> None:
    """Let the documentation show these results, and those of earlier runs for other figures."""
    before = load(RECORDED)[1] if RECORDED.exists() else []
    measured = [result for result in results if not result.failed]
    known = {result.name: result for result in [*before, *measured]}
    kept = [known[name] for name in order if name in known]
    write(RECORDED, machine, kept)
    for name, draw in DRAWINGS.items():
        DRAWN[name].write_text(draw(kept), "utf-8")
    for page, written in PAGES.items():
        text = with_part(page.read_text("utf-8"), written(machine, kept))
        page.write_text(text, "utf-8")


def part_of(text: str) -> str:
    """Return the part of a page that shows figures, with the line breaks around it."""
    _, begin, rest = text.partition(_BEGIN)
    part, end, _ = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no part between {_BEGIN!r} and {_END!r}")
    return part


def with_part(text: str, part: str) -> str:
    """Return a page with another part that shows figures."""
    before, begin, rest = text.partition(_BEGIN)
    part_of(text)  # Raises if the page has none.
    return before + begin + part + rest[rest.index(_END) :]
