"""The entries of an overview that are new in an archive, section by section (F7).

Every entry is a quote or a fact from the messages; nothing is paraphrased.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.session.messages import Message
from eventlog.session.parts import Media, readings_of
from eventlog.summary.intents import Intent, read_intents
from eventlog.summary.requests import Summarizable
from eventlog.summary.text import (
    QUESTION_MARKS,
    best_sentences,
    one_line,
    plain,
    quote,
    read_text,
    reference_in,
    sentences_of,
    tokens_of,
    weigh_names,
)
from eventlog.summary.tool_calls import ToolCall, compact_input, compact_output, pair_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "ASKED",
    "ENTRY_CHARACTERS",
    "LASTING",
    "NAMES_START",
    "NEW_ENTRIES",
    "NO_RESULT",
    "OVERVIEW_CHARACTERS",
    "PROMPT",
    "UNANSWERED",
    "Entry",
    "Material",
    "Section",
    "counts_of",
    "names_entry",
    "weight_of",
]

OVERVIEW_CHARACTERS: Final = 8_000
"""The longest overview: about 2,000 tokens of English, which is little in any model's context, and
as much as a person reads before turning to the messages themselves."""

QUOTE_CHARACTERS: Final = 300
"""The longest quote: enough of a user's message to see the request; the rest is in the archive."""

ENTRY_CHARACTERS: Final = 480
"""The longest entry: a quote with its context. Carried entries are cut to this, too."""

SHOWN_NAMES: Final = 16

STATEMENTS: Final = 4

LASTING: Final = 1_000
"""The weight of entries that never get old: the first request, the prompt, the line of names."""


class Section(Enum):
    """The sections of an overview (F7), each with its heading and a limit for its entries.

    The sum of these limits, in characters, leaves `OVERVIEW_CHARACTERS` room for the title, the
    headings and the counts.
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
    """One line of a section; if not all fit, those with more weight stay, and the later ones."""

    text: str
    weight: int = 1


class Material:
    """The findings in the messages of a request, read once."""

    def __init__(self, request: Summarizable, messages: tuple[Message, ...]) -> None:
        self.request = request
        self.messages = messages
        self.texts = [read_text(message) for message in messages]
        self.calls: list[ToolCall] = pair_calls(messages)
        self.intents: list[Intent] = read_intents(zip(messages, self.texts, strict=True))
        self.tokens = [tokens_of(text) for text in self.texts]
        """The words of each message that may name something."""
        self.call_tokens = [
            tokens_of(compact_input(call.input, 400).replace("=", " ")) for call in self.calls
        ]
        """The same of what each call was given."""


def _state_entries(material: Material) -> Iterator[Entry]:
    name = material.request.archive_id
    yield Entry(f"{name}: {counts_of(material)}.", 9)
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
    """Return a phrase that says whose turn it is."""
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
    is_closing = material.intents[-1].kind == "closing"
    return "the user said goodbye" if is_closing else "the user awaits an answer"


def _last_spoken(messages: Sequence[Message]) -> Message | None:
    return next((found for found in reversed(messages) if found.text.strip()), None)


def counts_of(material: Material) -> str:
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
    for intent in material.intents:
        if intent.kind == "request":
            yield Entry(quote(intent.text, QUOTE_CHARACTERS), weight)
            weight = 2


def _fact_entries(material: Material) -> Iterator[Entry]:
    for intent in material.intents:
        if intent.kind in ("confirmation", "refusal"):
            verb = "Confirmed" if intent.kind == "confirmation" else "Declined"
            said = quote(intent.text, QUOTE_CHARACTERS // 2)
            yield Entry(
                f"**{verb}:** {said} in reply to {quote(plain(intent.before), 220)}",
                weight_of(verb),
            )
        elif intent.kind == "answer":
            yield Entry(f"**User said:** {quote(intent.text, 200)}", weight_of("User said"))
    for call in material.calls:
        if call.is_done and not call.is_failed:
            label = "Looked up" if call.is_reading else "Done"
            yield Entry(f"**{label}:** {_shown_call(call)}", weight_of(label))
    texts = (
        text
        for message, text in zip(material.messages, material.texts, strict=True)
        if message.role == "assistant"
    )
    for sentence in best_sentences(texts, STATEMENTS):
        yield Entry(f"**Assistant:** {quote(sentence, 240)}", weight_of("Assistant"))
    yield from names_entry(_names(material))


def _shown_call(call: ToolCall) -> str:
    limit = 120 if call.is_reading else 180
    return f"{_shown_request(call, limit)} → {compact_output(call, limit) or 'no output'}"


def _shown_failure(call: ToolCall) -> str:
    return f"{_shown_request(call, 80)} → {compact_output(call, 240) or 'no output'}"


def _shown_request(call: ToolCall, limit: int) -> str:
    name = f"`{one_line(call.name or 'tool', 60)}`"
    return name if call.input is None else f"{name}({compact_input(call.input, limit)})"


def _names(material: Material) -> list[str]:
    """Return identifiers, amounts and dates that the user or the calls named, in order."""
    names: Counter[str] = Counter()
    for message, tokens in zip(material.messages, material.tokens, strict=True):
        weight = {"user": 3, "assistant": 1}.get(message.role)
        if weight:
            weigh_names(tokens, weight, names)
    for tokens in material.call_tokens:
        weigh_names(tokens, 2, names)
    chosen = {name for name, _ in names.most_common(SHOWN_NAMES)}
    return [name for name in names if name in chosen]


def names_entry(names: list[str]) -> list[Entry]:
    """Return one entry of the latest names that fit into one, or none if there are no names."""
    room = ENTRY_CHARACTERS - len(NAMES_START)
    fitting: list[str] = []
    for name in reversed(names):
        room -= len(name) + 2
        if room < 0:
            break
        fitting.insert(0, name)
    return [Entry(NAMES_START + ", ".join(fitting), LASTING)] if fitting else []


def _file_entries(material: Material) -> Iterator[Entry]:
    for text in dict.fromkeys(_context_texts(material.messages)):
        yield Entry(text, 3)
    references: Counter[str] = Counter()
    for message, tokens in zip(material.messages, material.tokens, strict=True):
        if message.role not in PROMPT_ROLES:
            references.update(_references(tokens))
    for tokens in material.call_tokens:
        references.update(_references(tokens))
    for reference, count in references.items():
        yield Entry(f"`{one_line(reference, 120)}`", 2 if count > 1 else 1)


def _references(tokens: Iterable[str]) -> Iterator[str]:
    return filter(None, map(reference_in, tokens))


def _context_texts(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        if message.role in PROMPT_ROLES and message.text.strip():
            size = len(message.text)
            yield f"{PROMPT} {size:,} characters: {quote(message.text, 120)}"
        for found in () if message.is_only_text else readings_of(message.as_data()):
            yield from map(_shown_media, found.media)
            if found.context is not None:
                about = one_line(found.beside, 160)
                kind = one_line(found.context.kind, 40)
                shown = f"`{one_line(found.context.uri, 120)}` ({kind})"
                yield f"{shown}: {about}" if about else shown
            elif found.is_unknown:
                shown = f"A part of type `{one_line(found.label, 40)}`"
                has_more = found.beside != found.label
                yield f"{shown}: {one_line(found.beside, 160)}" if has_more else shown
            elif found.beside:
                yield f"{found.label.capitalize()}: {quote(found.beside, 160)}"


def _shown_media(media: Media) -> str:
    name = f" `{one_line(media.name, 120)}`" if media.name else ""
    return f"{media.kind.capitalize()}{name}"


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
    for intent in material.intents:
        if intent.kind == "correction":
            about = f", in reply to {quote(plain(intent.before), 140)}" if intent.before else ""
            yield Entry(f"**Corrected by the user:** {quote(intent.text, 240)}{about}", 3)
    for message in material.messages:
        if (message.model_extra or {}).get("interrupted"):
            yield Entry(f"**Interrupted:** {quote(read_text(message), 160)}", 1)


def _open_entries(material: Material) -> Iterator[Entry]:
    for call in material.calls:
        if not call.is_done:
            shown = _shown_request(call, 160)
            yield Entry(f"{NO_RESULT} {shown} [{one_line(call.tool_id, 80)}]", 2)
    last = _last_spoken(material.messages)
    if last is None:
        return
    text = read_text(last)
    if last.role == "user" and material.intents[-1].kind != "closing":
        yield Entry(f"{UNANSWERED} {quote(text, QUOTE_CHARACTERS)}", 3)
    question = _last_question(text)
    if last.role == "assistant" and question:
        yield Entry(f"{ASKED} {quote(question, QUOTE_CHARACTERS)}", 3)


def _last_question(text: str) -> str:
    questions = [found for found in sentences_of(text) if found[-1] in QUESTION_MARKS]
    return questions[-1] if questions else ""


PROMPT_ROLES: Final = ("system", "developer")
PROMPT: Final = "System prompt of"
NO_RESULT: Final = "**Without result:**"
UNANSWERED: Final = "**Unanswered:**"
ASKED: Final = "**Asked of the user:**"
NAMES_START: Final = "**Names and numbers:** "
_WEIGHTS: Final = {
    "Confirmed": 6,
    "Declined": 5,
    "Done": 4,
    "User said": 3,
    "Assistant": 2,
    "Looked up": 1,
}
"""The weights of key facts by label: decisions stay longest, then actions, then look-ups."""


def weight_of(label: str) -> int:
    return _WEIGHTS.get(label, 3)


NEW_ENTRIES: Final[dict[Section, Callable[[Material], Iterator[Entry]]]] = {
    Section.STATE: _state_entries,
    Section.GOALS: _goal_entries,
    Section.FACTS: _fact_entries,
    Section.FILES: _file_entries,
    Section.ERRORS: _error_entries,
    Section.OPEN: _open_entries,
}
