"""Reading earlier overviews, of this form or another, for what they carry forward (F6, F7)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.summary.sections import OVERVIEW_CHARACTERS, Section
from eventlog.summary.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.session.messages import Message

__all__ = ["TITLE_CHARACTERS", "Earlier", "digest_in", "merged"]

TITLE_CHARACTERS: Final = 100


class Earlier(NamedTuple):
    """The entries of earlier overviews by section, except their current state, which is outdated."""

    title: str
    entries: dict[Section, list[str]]
    left_out: dict[Section, int]


_HEADING_WORDS: Final = (
    (Section.STATE, ("state", "status")),
    (Section.GOALS, ("task", "goal", "request")),
    (Section.ERRORS, ("error", "correction", "mistake")),
    (Section.OPEN, ("open", "issue", "next", "pending", "todo")),
    (Section.FILES, ("file", "context", "resource")),
    (Section.FACTS, ("fact", "decision", "concept", "learning")),
)
_BULLET = re.compile(r"(?:[-*+]|\d{1,3}[.)])\s+")
_LEFT_OUT = re.compile(r"… (\d{1,12}) more, left out")


def _section_of(heading: str) -> Section:
    """Return the section that a heading means; an unknown heading means facts."""
    words = heading.casefold()
    for section, markers in _HEADING_WORDS:
        if any(marker in words for marker in markers):
            return section
    return Section.FACTS


def digest_in(message: Message) -> str:
    """Return the overview in a message that is the digest of a long uncovered archive; else ""."""
    if message.role != "system" or f"\n## {Section.STATE.heading}\n" not in message.text:
        return ""
    _, mark, overview = message.text.partition("\n# ")
    return f"{mark.strip()} {overview}" if overview else ""


def merged(overviews: Iterable[str]) -> Earlier:
    merged = Earlier("", {section: [] for section in Section}, dict.fromkeys(Section, 0))
    for overview in overviews:
        title = _read_overview(overview, merged)
        merged = merged._replace(title=merged.title or title)
    return merged


def _read_overview(overview: str, found: Earlier) -> str:
    """Add the entries of an overview, of this form or another, to ``found``; return its title."""
    title, section, is_open = "", Section.FACTS, False
    for line in overview[: 8 * OVERVIEW_CHARACTERS].split("\n"):
        text = line.strip()
        if line.startswith("# ") and not title:
            title = one_line(text[2:], TITLE_CHARACTERS)
        elif line.startswith(("# ", "## ")):
            section = _section_of(text)
        if not text or text[0] == "#":
            is_open = False
            continue
        is_start = _BULLET.match(line) is not None or not is_open
        is_open = True
        _take_line(_BULLET.sub("", text, count=1), found, section, is_start=is_start)
    return title


def _take_line(text: str, found: Earlier, section: Section, *, is_start: bool) -> None:
    left_out = _LEFT_OUT.fullmatch(text)
    entries = found.entries[section]
    if left_out:
        found.left_out[section] += int(left_out[1])
    elif is_start or not entries:
        entries.append(text)
    else:
        entries[-1] = f"{entries[-1]} {text}"
