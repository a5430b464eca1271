"""The default summariser: extractive, deterministic, without a model (F6, F7).

An overview is Markdown: a title, and one section for each matter of `Section`, in order of time:
first what is carried forward from earlier overviews, then what is new in this archive, under
headings of their own. Every entry is a quote or a fact of the messages; nothing is worded anew.
Sections without entries are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.session.messages import ContextPart, ImagePart, Message, OtherPart
from eventlog.tasks.extract import (
    COLONS,
    QUESTION_MARKS,
    Call,
    Move,
    best_sentences,
    compact_input,
    compact_output,
    informative_sentences,
    one_line,
    pair_calls,
    plain,
    quote,
    read_moves,
    read_text,
    reference_in,
    sentences_of,
    tokens_of,
    weigh_names,
    width_of,
)
from eventlog.tasks.requests import Summary, SummaryRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["OVERVIEW_CHARACTERS", "Section", "summarize"]

OVERVIEW_CHARACTERS: Final = 8_000
"""The longest overview: about 2,000 tokens of English, little beside any model's context, and as
much as a person reads before turning to the messages themselves."""

ABSTRACT_CHARACTERS: Final = 200
"""The longest abstract: one line in a list of archives."""

TITLE_CHARACTERS: Final = 100
QUOTE_CHARACTERS: Final = 300
"""Enough of a user's message to hold what it asks for; the rest is in the archive."""

ENTRY_CHARACTERS: Final = 480
"""The longest entry: a quote and what it is about. Carried entries are cut to it as well."""

SHOWN_NAMES: Final = 16
STATEMENTS: Final = 4
AGING: Final = 8
"""How many later entries outdo one of weight one more."""

LASTING: Final = 1_000
"""The weight of what is never too old: the first request, the prompt, the line of names."""

CARRIED_SHARE: Final = 0.4
"""The part of a section that new entries leave to carried ones, where there are any."""


class Section(Enum):
    """What an overview tells of (F7): its heading, and the characters that its entries may take.

    Their sum leaves `OVERVIEW_CHARACTERS` room for the title, the headings and the counts.
    """

    STATE = ("Current state", 1_100)
    GOALS = ("Task and goals", 1_300)
    FACTS = ("Key facts and decisions", 2_400)
    FILES = ("Files and context", 700)
    ERRORS = ("Errors and corrections", 800)
    OPEN = ("Open issues", 600)

    def __init__(self, heading: str, characters: int) -> None:
        self.heading = heading
        self.characters = characters


class Entry(NamedTuple):
    """One line of a section; where not all fit, those of weight stay, and the later ones."""

    text: str
    weight: int = 1


class Material(NamedTuple):
    """What the messages of a request were found to hold, read once."""

    request: SummaryRequest
    messages: tuple[Message, ...]
    moves: list[Move]
    calls: list[Call]


def summarize(request: SummaryRequest) -> Summary:
    """Summarise an archive by what its messages say themselves.

    The same request gives the same summary; it costs nothing, so the usage is empty. The overview
    is never empty and never longer than `OVERVIEW_CHARACTERS`, however often it is carried on:
    what no longer fits is left out by weight and age, and counted.
    """
    digests = [_digest_in(found) for found in request.uncovered]
    earlier = _merged([request.previous_overview, *filter(None, digests)])
    raw = [found for found, digest in zip(request.uncovered, digests, strict=True) if not digest]
    messages = (*raw, *request.messages)
    material = Material(request, messages, read_moves(messages), pair_calls(messages))
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
    asked = _first_request(material.moves, TITLE_CHARACTERS)
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


def _unnamed(request: SummaryRequest) -> str:
    return one_line(f"Session {request.session_id}", TITLE_CHARACTERS)


def _first_request(moves: Sequence[Move], limit: int) -> str:
    """Return what the first user message of substance asks for, without its greeting."""
    for move in moves:
        if move.kind == "closing":
            continue
        for sentence in sentences_of(move.text):
            wish = _GREETING.sub("", sentence)
            if width_of(wish) >= _SUBSTANTIAL_WIDTH:
                return one_line(wish[0].upper() + wish[1:].rstrip(". 。"), limit)
    return ""


def _abstract(title: str, material: Material) -> str:
    """Return what was asked in this archive, and what came of it."""
    half = ABSTRACT_CHARACTERS // 2
    asked = _first_request(material.moves, half - 2) or one_line(title, half - 2)
    outcome = _outcome(material) or _counts(material)
    return f"{asked} → {one_line(outcome, ABSTRACT_CHARACTERS - len(asked) - 3)}"


def _outcome(material: Material) -> str:
    for message in reversed(material.messages):
        if message.role == "assistant":
            for sentence in informative_sentences(read_text(message)):
                return sentence.rstrip(COLONS)
    return ""


# ---- what is new, section by section ----------------------------------------------------------


def _state_entries(material: Material) -> Iterator[Entry]:
    name = material.request.archive_id
    yield Entry(f"{name}: {_counts(material)}.", 9)
    uncovered = len(material.messages) - len(material.request.messages)
    if uncovered > 0:
        which = "is of an earlier archive" if uncovered == 1 else "are of earlier archives"
        yield Entry(f"{uncovered:,} of these {which} without an overview.", 8)
    yield Entry(f"**Stands at:** {_standing(material)}.", 8)
    for role in ("user", "assistant"):
        text = _last_text(material.messages, role)
        if text:
            yield Entry(f"**Last from the {role}:** {quote(plain(text), QUOTE_CHARACTERS)}", 7)
    used = Counter(call.name for call in material.calls if call.name)
    if used:
        shown = ", ".join(f"`{name}` \u00d7{count}" for name, count in used.most_common(10))
        yield Entry(one_line(f"**Tools used:** {shown}", 320), 1)


def _standing(material: Material) -> str:
    """Tell whose turn it is."""
    waiting = [call for call in material.calls if not call.is_done]
    if waiting:
        return f"{len(waiting)} tool {_plural('call', len(waiting))} without result"
    last = _last_spoken(material.messages)
    if last is None:
        return "no text was exchanged"
    if last.role == "assistant":
        asked = bool(_last_question(last.text))
        return "the assistant awaits an answer" if asked else "the assistant had the last word"
    if last.role != "user":
        return "the conversation has not begun"
    is_closing = material.moves[-1].kind == "closing"
    return "the user said goodbye" if is_closing else "the user awaits an answer"


def _last_spoken(messages: Sequence[Message]) -> Message | None:
    return next((found for found in reversed(messages) if found.text.strip()), None)


def _counts(material: Material) -> str:
    roles = Counter(message.role for message in material.messages)
    by_role = ", ".join(f"{count} {role}" for role, count in roles.items())
    total, calls = len(material.messages), len(material.calls)
    failed = sum(call.is_failed for call in material.calls)
    counts = [f"{total:,} {_plural('message', total)}" + (f" ({by_role})" if by_role else "")]
    if calls:
        counts.append(f"{calls:,} tool {_plural('call', calls)}")
    if failed:
        counts.append(f"{failed:,} failed")
    return ", ".join(counts)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _last_text(messages: Iterable[Message], role: str) -> str:
    texts = (read_text(found).strip() for found in reversed(tuple(messages)) if found.role == role)
    return next(filter(None, texts), "")


def _goal_entries(material: Material) -> Iterator[Entry]:
    weight = LASTING
    for move in material.moves:
        if move.kind == "request":
            yield Entry(quote(move.text, QUOTE_CHARACTERS), weight)
            weight = 2


def _fact_entries(material: Material) -> Iterator[Entry]:
    for move in material.moves:
        if move.kind in ("confirmation", "refusal"):
            verb = "Confirmed" if move.kind == "confirmation" else "Declined"
            said = quote(move.text, QUOTE_CHARACTERS // 2)
            yield Entry(
                f"**{verb}:** {said} in reply to {quote(plain(move.before), 220)}", _weight_of(verb)
            )
        elif move.kind == "answer":
            yield Entry(f"**User said:** {quote(move.text, 200)}", _weight_of("User said"))
    for call in material.calls:
        if call.is_done and not call.is_failed:
            label = "Looked up" if call.is_reading else "Done"
            yield Entry(f"**{label}:** {_shown_call(call)}", _weight_of(label))
    texts = (read_text(found) for found in material.messages if found.role == "assistant")
    for sentence in best_sentences(texts, STATEMENTS):
        yield Entry(f"**Assistant:** {quote(sentence, 240)}", _weight_of("Assistant"))
    yield from _names_entry(_names(material))


def _shown_call(call: Call) -> str:
    limit = 120 if call.is_reading else 180
    return f"{_shown_request(call, limit)} → {compact_output(call, limit) or 'no output'}"


def _shown_failure(call: Call) -> str:
    return f"{_shown_request(call, 80)} → {compact_output(call, 240) or 'no output'}"


def _shown_request(call: Call, limit: int) -> str:
    name = f"`{one_line(call.name or 'tool', 60)}`"
    return name if call.input is None else f"{name}({compact_input(call.input, limit)})"


def _names(material: Material) -> list[str]:
    """Return identifiers, amounts and dates that the user or the calls named, as they came up."""
    names: Counter[str] = Counter()
    for message in material.messages:
        weight = {"user": 3, "assistant": 1}.get(message.role)
        if weight:
            weigh_names(read_text(message), weight, names)
    for call in material.calls:
        weigh_names(compact_input(call.input, 400).replace("=", " "), 2, names)
    chosen = {name for name, _ in names.most_common(SHOWN_NAMES)}
    return [name for name in names if name in chosen]


def _names_entry(names: list[str]) -> list[Entry]:
    """Return one entry of the latest names that fit into one, or none if there are no names."""
    room = ENTRY_CHARACTERS - len(_NAMES_START)
    fitting: list[str] = []
    for name in reversed(names):
        room -= len(name) + 2
        if room < 0:
            break
        fitting.insert(0, name)
    return [Entry(_NAMES_START + ", ".join(fitting), LASTING)] if fitting else []


def _file_entries(material: Material) -> Iterator[Entry]:
    for text in dict.fromkeys(_context_texts(material.messages)):
        yield Entry(text, 3)
    references: Counter[str] = Counter()
    for message in material.messages:
        if message.role != "system":
            references.update(_references(read_text(message)))
    for call in material.calls:
        references.update(_references(compact_input(call.input, 400).replace("=", " ")))
    for reference, count in references.items():
        yield Entry(f"`{one_line(reference, 120)}`", 2 if count > 1 else 1)


def _references(text: str) -> Iterator[str]:
    return filter(None, map(reference_in, tokens_of(text)))


def _context_texts(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        if message.role == "system" and message.text.strip():
            size = len(message.text)
            yield f"{_PROMPT} {size:,} characters: {quote(message.text, 120)}"
        for part in message.parts:
            if isinstance(part, ContextPart):
                about = one_line(part.abstract, 160)
                shown = f"`{one_line(part.uri, 120)}` ({one_line(part.context_type, 40)})"
                yield f"{shown}: {about}" if about else shown
            elif isinstance(part, ImagePart):
                yield f"Image `{one_line(str(part.image_url.get('url', '')), 120)}`"
            elif isinstance(part, OtherPart):
                yield f"A part of type `{one_line(part.type, 40)}`"


def _error_entries(material: Material) -> Iterator[Entry]:
    recovered: set[str] = set()
    failures: list[str] = []
    for call in reversed(material.calls):
        if call.is_failed:
            later = "; a later call succeeded" if call.name in recovered else ""
            failures.append(f"**Failed:** {_shown_failure(call)}{later}")
        elif call.is_done:
            recovered.add(call.name)
    yield from (Entry(failure, 2) for failure in reversed(failures))
    for move in material.moves:
        if move.kind == "correction":
            about = f", in reply to {quote(plain(move.before), 140)}" if move.before else ""
            yield Entry(f"**Corrected by the user:** {quote(move.text, 240)}{about}", 3)
    for message in material.messages:
        if (message.model_extra or {}).get("interrupted"):
            yield Entry(f"**Interrupted:** {quote(read_text(message), 160)}", 1)


def _open_entries(material: Material) -> Iterator[Entry]:
    for call in material.calls:
        if not call.is_done:
            shown = _shown_request(call, 160)
            yield Entry(f"{_NO_RESULT} {shown} [{one_line(call.tool_id, 80)}]", 2)
    last = _last_spoken(material.messages)
    if last is None:
        return
    text = read_text(last)
    if last.role == "user" and material.moves[-1].kind != "closing":
        yield Entry(f"{_UNANSWERED} {quote(text, QUOTE_CHARACTERS)}", 3)
    question = _last_question(text)
    if last.role == "assistant" and question:
        yield Entry(f"{_ASKED} {quote(question, QUOTE_CHARACTERS)}", 3)


def _last_question(text: str) -> str:
    questions = [found for found in sentences_of(text) if found[-1] in QUESTION_MARKS]
    return questions[-1] if questions else ""


_PROMPT: Final = "System prompt of"
_NO_RESULT: Final = "**Without result:**"
_UNANSWERED: Final = "**Unanswered:**"
_ASKED: Final = "**Asked of the user:**"
_NAMES_START: Final = "**Names and numbers:** "
_WEIGHTS: Final = {
    "Confirmed": 6,
    "Declined": 5,
    "Done": 4,
    "User said": 3,
    "Assistant": 2,
    "Looked up": 1,
}
"""What stays longest of the key facts: decisions, then what was done, then what was looked up."""


def _weight_of(label: str) -> int:
    return _WEIGHTS.get(label, 3)


_NEW: Final[dict[Section, Callable[[Material], Iterator[Entry]]]] = {
    Section.STATE: _state_entries,
    Section.GOALS: _goal_entries,
    Section.FACTS: _fact_entries,
    Section.FILES: _file_entries,
    Section.ERRORS: _error_entries,
    Section.OPEN: _open_entries,
}


# ---- earlier overviews ------------------------------------------------------------------------


class Earlier(NamedTuple):
    """What earlier overviews said, by section; their current state is no longer current."""

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
    """Return the section that a heading means; what no section is for counts as facts."""
    words = heading.casefold()
    for section, markers in _HEADING_WORDS:
        if any(marker in words for marker in markers):
            return section
    return Section.FACTS


def _digest_in(message: Message) -> str:
    """Return the overview that stands for an uncovered archive which was too long to be given."""
    if message.role != "system" or f"\n## {Section.STATE.heading}\n" not in message.text:
        return ""
    _, mark, overview = message.text.partition("\n# ")
    return f"{mark.strip()} {overview}" if overview else ""


def _merged(overviews: Iterable[str]) -> Earlier:
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


# ---- one section of both ----------------------------------------------------------------------


def _section(section: Section, material: Material, earlier: Earlier) -> str:
    """Lay a section out within its characters; new entries have the first choice of the room."""
    new = _distinct(section, _NEW[section](material), ())
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
    """Return the lines of the entries that fit, in their order, and the characters they take.

    What does not fit is left out by weight and age, and counted with what was before. Age counts
    against weight, so that old decisions do not push out all that was done since.
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
        names = _names_entry(_earlier_names(texts, new))
        texts = [text for text in texts if not text.startswith(_NAMES_START)]
    else:
        names = []
    entries = (
        Entry(one_line(text, ENTRY_CHARACTERS), _carried_weight(section, text, is_first=not place))
        for place, text in enumerate(texts)
    )
    return [*_distinct(section, entries, new), *names]


def _distinct(section: Section, entries: Iterable[Entry], others: Iterable[Entry]) -> list[Entry]:
    """Return the entries without repetitions, and without what the others say."""
    known = {_identity(section, entry.text) for entry in others}
    distinct: dict[str, Entry] = {}
    for entry in entries:
        identity = _identity(section, entry.text)
        if identity not in known:
            distinct.setdefault(identity, entry)
    return [*distinct.values()]


def _identity(section: Section, text: str) -> str:
    """Return what makes two entries the same: for a file its name, else all that is said."""
    if section is Section.FILES and text.startswith("`"):
        return text[1:].partition("`")[0]
    return text


def _carried_weight(section: Section, text: str, *, is_first: bool) -> int:
    if text.startswith(_PROMPT) or (section is Section.GOALS and is_first):
        return LASTING
    if section is Section.FACTS and text.startswith("**"):
        return _weight_of(text[2:].partition(":")[0])
    return 2


def _is_settled(text: str, material: Material) -> bool:
    """Tell whether what was open no longer is: the result came, or the conversation went on."""
    if text.startswith((_UNANSWERED, _ASKED)):
        return bool(material.messages)
    if not text.startswith(_NO_RESULT):
        return False
    return any(call.is_done and text.endswith(f"[{call.tool_id}]") for call in material.calls)


def _earlier_names(texts: list[str], new: list[Entry]) -> list[str]:
    """Return the names that earlier overviews had and that are not new again."""
    seen = {name for entry in new for name in _names_in(entry.text)}
    names = dict.fromkeys(name for text in texts for name in _names_in(text))
    return [name for name in names if name not in seen]


def _names_in(text: str) -> list[str]:
    found = text.removeprefix(_NAMES_START)
    return found.split(", ") if found != text else []
