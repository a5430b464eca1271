"""The default summariser: extractive, deterministic, without a model (F6, F7).

An overview is Markdown: a title and the sections of `Section`. Within a section entries are in
order of time, under two headings: those carried forward from earlier overviews, then those that are
new in this archive. Every entry is a quote or a fact from the messages; nothing is paraphrased.
Sections without entries are left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from eventlog.summary.carried import TITLE_CHARACTERS, Earlier, digest_in, merged
from eventlog.summary.intents import Intent
from eventlog.summary.requests import Summarizable, Summary
from eventlog.summary.sections import (
    ASKED,
    ENTRY_CHARACTERS,
    LASTING,
    NAMES_START,
    NEW_ENTRIES,
    NO_RESULT,
    OVERVIEW_CHARACTERS,
    PROMPT,
    UNANSWERED,
    Entry,
    Material,
    Section,
    counts_of,
    names_entry,
    weight_of,
)
from eventlog.summary.text import (
    COLONS,
    informative_sentences,
    one_line,
    read_text,
    sentences_of,
    width_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["OVERVIEW_CHARACTERS", "Section", "summarize"]

ABSTRACT_CHARACTERS: Final = 200
"""The longest abstract: one line in a list of archives."""

AGING: Final = 8
"""How many later entries outweigh one more point of weight."""

CARRIED_SHARE: Final = 0.4
"""The share of a section that new entries leave to carried ones, if there are any."""


def summarize(request: Summarizable) -> Summary:
    """Summarise an archive with quotes and facts from its messages.

    The same request gives the same summary. It costs nothing, so the usage is empty. The overview
    is never empty and never longer than `OVERVIEW_CHARACTERS`, however often it is carried forward:
    entries that no longer fit are left out by weight and age, and counted.
    """
    digests = [digest_in(found) for found in request.uncovered]
    earlier = merged([request.previous_overview, *filter(None, digests)])
    raw = [found for found, digest in zip(request.uncovered, digests, strict=True) if not digest]
    messages = (*raw, *request.messages)
    material = Material(request, messages)
    title = earlier.title if earlier.title != _unnamed(request) else ""
    title = title or _title(material)
    sections = [_section(section, material, earlier) for section in Section]
    overview = "\n\n".join([f"# {title}", *filter(None, sections)]) + "\n"
    return Summary(overview=overview, abstract=_abstract(title, material))


# ---- title and abstract -----------------------------------------------------------------------

_GREETING = re.compile(
    r"^(?:(?:hi|hello|hey|greetings|good (?:morning|afternoon|evening|day))\b(?: there| all)?"
    r"[\s,.!]*)+",
    re.IGNORECASE,
)
_SUBSTANTIAL_WIDTH: Final = 12


def _title(material: Material) -> str:
    asked = _first_request(material.intents, TITLE_CHARACTERS)
    if asked:
        return asked
    texts = (read_text(found) for found in material.messages if found.role != "system")
    for text in texts:
        for sentence in sentences_of(text):
            return one_line(sentence, TITLE_CHARACTERS)
    names = dict.fromkeys(call.name for call in material.calls if call.name)
    if names:
        return one_line(f"Calls of {', '.join(names)}", TITLE_CHARACTERS)
    return _unnamed(material.request)


def _unnamed(request: Summarizable) -> str:
    return one_line(f"Session {request.session_id}", TITLE_CHARACTERS)


def _first_request(intents: Sequence[Intent], limit: int) -> str:
    """Return what the first user message of substance asks for, without its greeting."""
    for intent in intents:
        if intent.kind == "closing":
            continue
        for sentence in sentences_of(intent.text):
            wish = _GREETING.sub("", sentence)
            if width_of(wish) >= _SUBSTANTIAL_WIDTH:
                return one_line(wish[0].upper() + wish[1:].rstrip(". 。"), limit)
    return ""


def _abstract(title: str, material: Material) -> str:
    """Return the request of this archive and its outcome."""
    half = ABSTRACT_CHARACTERS // 2
    asked = _first_request(material.intents, half - 2) or one_line(title, half - 2)
    outcome = _outcome(material) or counts_of(material)
    return f"{asked} → {one_line(outcome, ABSTRACT_CHARACTERS - len(asked) - 3)}"


def _outcome(material: Material) -> str:
    for message in reversed(material.messages):
        if message.role == "assistant":
            for sentence in informative_sentences(read_text(message)):
                return sentence.rstrip(COLONS)
    return ""


# ---- one section of both ----------------------------------------------------------------------


def _section(section: Section, material: Material, earlier: Earlier) -> str:
    """Write a section within its limit of characters; new entries have priority."""
    new = _distinct(section, NEW_ENTRIES[section](material), ())
    old = _carried(section, material, earlier, new)
    room = section.characters - (round(section.characters * CARRIED_SHARE) if old else 0)
    lines, used = _fitted(new, room, 0)
    carried, _ = _fitted(old, section.characters - used, earlier.left_out[section])
    if carried:
        lines = [
            "### Carried forward",
            "",
            *carried,
            *(["", "### New", "", *lines] if lines else []),
        ]
    return "\n".join([f"## {section.heading}", "", *lines]) if lines else ""


def _fitted(entries: list[Entry], room: int, left_out: int) -> tuple[list[str], int]:
    """Return the lines of the entries that fit, in their order, and the characters that they take.

    Other entries are left out by weight and age, and added to the count ``left_out``. Age counts
    against weight, so that old decisions do not push out everything that happened since.
    """
    order = sorted(
        range(len(entries)), key=lambda place: entries[place].weight + place / AGING, reverse=True
    )
    chosen: set[int] = set()
    used = 0
    for place in order:
        cost = len(entries[place].text) + 3
        if used + cost <= room:
            chosen.add(place)
            used += cost
    lines = [f"- {entry.text}" for place, entry in enumerate(entries) if place in chosen]
    left_out += len(entries) - len(chosen)
    return [*lines, f"- … {left_out} more, left out"] if left_out else lines, used


def _carried(
    section: Section, material: Material, earlier: Earlier, new: list[Entry]
) -> list[Entry]:
    if section is Section.STATE:
        return []
    texts = [text for text in earlier.entries[section] if not _is_settled(text, material)]
    if section is Section.FACTS:
        names = names_entry(_earlier_names(texts, new))
        texts = [text for text in texts if not text.startswith(NAMES_START)]
    else:
        names = []
    entries = (
        Entry(one_line(text, ENTRY_CHARACTERS), _carried_weight(section, text, is_first=not place))
        for place, text in enumerate(texts)
    )
    return [*_distinct(section, entries, new), *names]


def _distinct(section: Section, entries: Iterable[Entry], others: Iterable[Entry]) -> list[Entry]:
    """Return the entries without repetitions, and without those that ``others`` have."""
    known = {_identity(section, entry.text) for entry in others}
    distinct: dict[str, Entry] = {}
    for entry in entries:
        identity = _identity(section, entry.text)
        if identity not in known:
            distinct.setdefault(identity, entry)
    return [*distinct.values()]


def _identity(section: Section, text: str) -> str:
    """Return what identifies an entry: for a file its name, for others the whole text."""
    if section is Section.FILES and text.startswith("`"):
        return text[1:].partition("`")[0]
    return text


def _carried_weight(section: Section, text: str, *, is_first: bool) -> int:
    if text.startswith(PROMPT) or (section is Section.GOALS and is_first):
        return LASTING
    if section is Section.FACTS and text.startswith("**"):
        return weight_of(text[2:].partition(":")[0])
    return 2


def _is_settled(text: str, material: Material) -> bool:
    """Return whether an open entry is settled: the result came, or the conversation went on."""
    if text.startswith((UNANSWERED, ASKED)):
        return bool(material.messages)
    if not text.startswith(NO_RESULT):
        return False
    return any(call.is_done and text.endswith(f"[{call.tool_id}]") for call in material.calls)


def _earlier_names(texts: list[str], new: list[Entry]) -> list[str]:
    """Return the names that earlier overviews had and that are not new again."""
    seen = {name for entry in new for name in _names_in(entry.text)}
    names = dict.fromkeys(name for text in texts for name in _names_in(text))
    return [name for name in names if name not in seen]


def _names_in(text: str) -> list[str]:
    found = text.removeprefix(NAMES_START)
    return found.split(", ") if found != text else []
