"""What a user does with each message: asks, confirms, refuses, corrects, answers, or says goodbye.

Everything here is pure and takes time linear in the length of the text: the same messages give the
same result on every machine. Word lists are for English, with the most common words of a few other
languages; a text in any other language is not classified, but keeps its place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from eventlog.summary.text import QUESTION_MARKS, Phrases

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.session.messages import Message

__all__ = ["Intent", "read_intents"]

IntentKind: TypeAlias = Literal[
    "request", "confirmation", "refusal", "correction", "answer", "closing"
]

_YES = re.compile(
    r"\W*(?:(?:yes|yeah|yep|ok|okay|sure|correct|confirm(?:ed)?|agreed|approved|go ahead|do it"
    r"|proceed|please do|sounds good|looks good|lgtm|perfect|ja|oui|sí|sim|si|da|да|tak)\b"
    r"|是|好|可以|はい|네|예)",
    re.IGNORECASE,
)
_NO = re.compile(
    r"\W*(?:(?:no|nope|nah|not|never|don'?t|nein|non|não|нет|nie)\b|不|いいえ|아니)", re.IGNORECASE
)
_CLOSING = Phrases(
    r"\b(?:thanks?|thank you|thx|bye|goodbye|cheers|(?:that'?s|that is|that will be|that'll be)"
    r" (?:all|it|everything)|have a (?:great|nice|good)|danke|merci|gracias|obrigad[oa]|grazie"
    r"|спасибо)\b|谢谢|ありがとう|감사",
    "thank thx bye cheers that have_a danke merci gracias obrigad grazie",
)
_CORRECTION = Phrases(
    r"(?:^|[.!,;]\s+|\bbut )(?:actually|wait|stop|wrong|incorrect|sorry, i meant|i meant|i said)\b"
    r"|\b(?:that'?s|that is|this is|it'?s|you'?re|you are|you were|was) (?:wrong|incorrect"
    r"|not (?:right|correct|true|what))|\bnot what i\b"
    r"|\byou (?:misunderstood|forgot|missed|broke)\b|\b(?:made|there is|there's) a mistake\b"
    r"|\bi (?:already )?told you\b",
    "actually wait stop wrong incorrect meant said not misunderstood forgot missed"
    " broke mistake told",
)
_REQUEST = Phrases(
    r"[?\uff1f]|\b(?:i(?:'d| would) (?:like|prefer|rather)|i(?:'m| am) (?:looking|trying|calling)"
    r"|i (?:want|need|wish|have to|hope)|(?:can|could|would|will) (?:you|we|i)|let'?s|help me"
    r"|please|ich (?:möchte|will)|bitte|je (?:veux|voudrais)|quiero|por favor)\b"
    r"|请|我想|我要|ください|たいです|주세요",
    "? like prefer rather looking trying calling i_want i_need i_wish i_have i_hope"
    " can_ could_ would_ will_ let's lets help_me please ich_ bitte je_ quiero"
    " por_favor",
)
_PROPOSAL = Phrases(
    r"\b(?:confirm|proceed|shall i|should i|would you like|do you want|go ahead|ready to|okay to"
    r"|may i|if you agree|\(yes|is (?:that|this) (?:right|correct|ok|okay|fine|acceptable))\b"
    r"|确认|是否|よろしいですか",
    "confirm proceed shall_i should_i would_you do_you go_ahead ready_to okay_to"
    " may_i agree (yes is_that is_this",
)
CLOSING_CHARACTERS: Final = 160
"""Longer messages do not merely say goodbye."""


class Intent(NamedTuple):
    """What a user message does in the conversation; ``before`` is the text that it reacts to."""

    kind: IntentKind
    text: str
    before: str


def read_intents(messages: Iterable[tuple[Message, str]]) -> list[Intent]:
    """Return the intent of each user message with text, in order; each comes with its text."""
    intents: list[Intent] = []
    before = ""
    for message, read in messages:
        text = read.strip()
        if message.role == "assistant" and text:
            before = text
        elif message.role == "user" and text:
            intents.append(Intent(_kind_of(text, before), text, before))
            before = ""
    return intents


def _kind_of(text: str, before: str) -> IntentKind:
    asks = any(mark in before for mark in QUESTION_MARKS) or _PROPOSAL.are_in(before)
    if _YES.match(text) and _PROPOSAL.are_in(before):
        return "confirmation"
    if _is_closing(text):
        return "closing"
    if _CORRECTION.are_in(text):
        return "correction"
    if _NO.match(text):
        return "refusal" if asks else "correction"
    return "answer" if asks and not _REQUEST.are_in(text) else "request"


def _is_closing(text: str) -> bool:
    return len(text) <= CLOSING_CHARACTERS and _CLOSING.are_in(text) and not _REQUEST.are_in(text)
