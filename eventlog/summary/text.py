"""Reading a text without a model: its lines, sentences, names and references.

Everything here is pure and takes time linear in the length of the text: the same messages give the
same result on every machine. Word lists are for English, with the most common words of a few other
languages; a text in any other language loses the weight that they give, but keeps its place.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from itertools import chain
from math import sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventlog.session.messages import Message

__all__ = [
    "COLONS",
    "QUESTION_MARKS",
    "Phrases",
    "best_sentences",
    "both_ends",
    "informative_sentences",
    "one_line",
    "plain",
    "quote",
    "read_text",
    "reference_in",
    "sentences_of",
    "tokens_of",
    "weigh_names",
    "width_of",
    "words_of",
]

READ_CHARACTERS: Final = 10_000
"""How much of one text is read, half from each end: in between is pasted material."""

NAME_CHARACTERS: Final = 48
"""The longest word taken for an identifier: hashes and UUIDs fit, encoded data does not."""

SENTENCE_CHARACTERS: Final = (20, 300)
"""The shortest and the longest sentence: shorter ones say little, longer ones are no sentences."""

# ---- text -------------------------------------------------------------------------------------

_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def one_line(text: str, limit: int) -> str:
    """Return the text on one line, whitespace collapsed, with an ellipsis if cut to ``limit``."""
    line = _collapsed(text[: 4 * limit + 1])
    if len(line) <= limit and len(text) <= 4 * limit:
        return line
    return f"{_cut(line, limit - 1)}…"


def _collapsed(text: str) -> str:
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()  # Nearly all text: there is nothing to replace.
    line = _BLANK.sub(" ", text)
    return (line if line.isascii() else _SURROGATE.sub("\ufffd", line)).strip()


def _cut(line: str, limit: int) -> str:
    """Cut after a word where one ends near the limit, and never before a combining mark."""
    end = min(limit, len(line))
    while 0 < end < len(line) and (unicodedata.combining(line[end]) or line[end] in "\u200d\ufe0f"):
        end -= 1
    space = line.rfind(" ", 2 * end // 3, end)
    return line[: space if space > 0 else end].rstrip()


def quote(text: str, limit: int) -> str:
    """Return the text in quotation marks, verbatim except for line breaks, cut to ``limit``."""
    return f"“{one_line(text, limit)}”"


def plain(text: str) -> str:
    """Return the text without marks of bold type, to be quoted beside bold words."""
    return text.replace("**", "")


def both_ends(text: str, limit: int) -> str:
    """Return the text on one line; for a long one its beginning and its end, where results are."""
    line = _collapsed(_ends(text, 8 * limit))
    if len(line) <= limit:
        return line
    tail = limit // 3
    return f"{_cut(line, limit - tail - 3)} … {line[-tail:].lstrip()}"


def _ends(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]}\n…\n{text[-limit // 2 :]}"


def read_text(message: Message) -> str:
    """Return the part of a message's text that is read."""
    return _ends(message.text, READ_CHARACTERS)


# ---- sentences --------------------------------------------------------------------------------

QUESTION_MARKS: Final = "?\uff1f"
COLONS: Final = ":\uff1a"
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。\uff01\uff1f])|\n+")
_ASCII_SENTENCE_END = re.compile(r"\s(?:(?<=[.!?]\s)\s*|(?<=\n)\n*)")
"""The same for ASCII, begun with what is looked for fastest."""
_MARKUP = re.compile(r"^(?:[\s#>*•\u2013-]|\d{1,3}[.)]\s)+|[*`]+")
_COLON = re.compile(r"[:\uff1a]")
_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]{2,}")


class Phrases:
    """Phrases of several languages, looked for as a regular expression does, but quickly.

    Most texts are ASCII and have none: so a text is first asked for ``hints``, of which whatever
    matches in ASCII has one.
    """

    def __init__(self, pattern: str, hints: str) -> None:
        self.pattern = re.compile(pattern, re.IGNORECASE)
        self.hints = tuple(hint.replace("_", " ") for hint in hints.split())

    def are_in(self, text: str) -> bool:
        """Return whether one of the phrases is in a text."""
        if text.isascii() and not any(map(text.lower().__contains__, self.hints)):
            return False
        return self.pattern.search(text) is not None


_POLITE = Phrases(
    r"\b(?:welcome|feel free|let me know|thanks?|thank you|happy to|glad to|hesitate|anything else"
    r"|i can (?:help|assist|look|check)|let's first|to assist you|further assistance|hold on"
    r"|i(?:'ll| will) (?:now |first )?(?:search|check|look|need|assist)|one moment|sorry"
    r"|have a (?:great|nice|good|safe|wonderful)|apologi[sz]e|here (?:are|is) the"
    r"|please (?:confirm|provide|wait|reply|specify)|(?:can|could|would|will) you)\b"
    r"|请提供|请问|不客气|教えてください",
    "welcome feel_free let_me thank happy_to glad_to hesitate anything_else i_can let's_first assist"
    " hold_on i'll i_will one_moment sorry have_a apolog here_are here_is please _you",
)
_STOP_WORDS: Final = frozenset(
    """
    a about after all also am an and any are as at be been before being but by can could did do
    does done each few for from get had has have having he her here his how i if in into is it its
    just like make may me more most my need no not now of on once only or other our out over own
    please same she should so some such than that the their them then there these they this those
    through to too up us very was we were what when where which while who why will with would yes
    you your der die das und ist nicht ein eine zu mit für auf den von le la les et est un une des
    du pas pour que qui dans el los las y en por con para es no se lo al como o e os um uma não
    """.split()  # noqa: SIM905 - a list of words reads best as prose
)


def sentences_of(text: str) -> Iterator[str]:
    """Return the sentences and list items of a text, without the markup of lists and headings."""
    ends = _ASCII_SENTENCE_END if text.isascii() else _SENTENCE_END
    for sentence in ends.split(text):
        is_bare = sentence[:1].isalpha() and "*" not in sentence and "`" not in sentence
        found = _collapsed(sentence if is_bare else _MARKUP.sub("", sentence))
        if found:
            yield found


def informative_sentences(text: str) -> Iterator[str]:
    """Return the sentences that state something: no questions, courtesies, labels or headings."""
    shortest, longest = SENTENCE_CHARACTERS
    for sentence in sentences_of(text):
        if shortest <= width_of(sentence[: longest + 1]) and len(sentence) <= longest:
            is_other = sentence[-1] in QUESTION_MARKS or _is_labelled(sentence)
            if not is_other and not _POLITE.are_in(sentence):
                yield sentence


LABEL_CHARACTERS: Final = 40
"""The longest label before a colon, and the length that counts as one word after it."""

LABELLED_WORDS: Final = 5


def _is_labelled(sentence: str) -> bool:
    """Return whether a sentence is a label with a colon and at most five words after it.

    Long words count as several. This is not a regular expression, since one that may split a word
    at any place takes time that grows with the fifth power of the word's length.
    """
    colon = _COLON.search(sentence, 0, LABEL_CHARACTERS + 1)
    if colon is None or colon.start() == 0:
        return False
    words = sentence[colon.end() :].split()
    return sum(-(-len(word) // LABEL_CHARACTERS) for word in words) <= LABELLED_WORDS


def width_of(text: str) -> int:
    """Return the length of a text in characters of an alphabet: an ideograph counts as two."""
    return len(text) if text.isascii() else len(text) + sum(map("\u2e80".__le__, text))


def words_of(text: str) -> list[str]:
    """Return the meaningful words in lower case; in scripts without spaces, pairs of characters."""
    words: list[str] = []
    for word in _WORD.findall(text.casefold()):
        if word.isascii():
            if len(word) > 1 and word not in _STOP_WORDS:
                words.append(word)
        elif _UNSPACED.search(word):
            words += [word[place : place + 2] for place in range(len(word) - 1)]
        elif len(word) > 1 and word not in _STOP_WORDS:
            words.append(word)
    return words


class _Candidate(NamedTuple):
    sentence: str
    words: frozenset[str]
    score: float
    place: int


def best_sentences(texts: Iterable[str], count: int) -> list[str]:
    """Return the ``count`` most representative sentences of the texts, in their order.

    The score of a sentence is the frequency of its words in all texts, divided by the root of its
    length so that length alone decides nothing. Figures and a late place add to it; list items
    count less.
    """
    sentences = list(
        dict.fromkeys(found for text in texts for found in informative_sentences(text))
    )
    split = [words_of(sentence) for sentence in sentences]
    frequency = Counter(chain.from_iterable(split))
    rarity = {word: sqrt(count) for word, count in frequency.items()}
    candidates = [
        _candidate(sentence, words, rarity, place, len(sentences))
        for place, (sentence, words) in enumerate(zip(sentences, split, strict=True))
    ]
    candidates.sort(key=lambda found: (-found.score, found.place))
    chosen: list[_Candidate] = []
    for candidate in candidates[: 8 * count]:  # lower ones would not improve the variety
        if len(chosen) < count and not any(_alike(candidate, other) for other in chosen):
            chosen.append(candidate)
    return [found.sentence for found in sorted(chosen, key=lambda found: found.place)]


def _candidate(
    sentence: str, words: list[str], rarity: dict[str, float], place: int, count: int
) -> _Candidate:
    distinct = frozenset(words)
    score = sum(map(rarity.__getitem__, distinct)) / sqrt(len(words) + 4)
    if any(map(str.isdigit, sentence)):
        score *= 1.2
    if sentence[-1] not in ".!…。\uff01":
        score *= 0.6
    score *= 1 + place / count / 2
    return _Candidate(sentence, distinct, round(score, 6), place)


def _alike(one: _Candidate, other: _Candidate) -> bool:
    return len(one.words & other.words) > 0.6 * min(len(one.words), len(other.words))


# ---- names and references ---------------------------------------------------------------------

_TOKEN = re.compile(  # a comma between digits stays: it groups thousands
    r"""(?:[^\s,;(){}\[\]<>"'“”\u2018\u2019`*|。、「」\uff0c\uff1b\uff08\uff09]+|(?<=\d),(?=\d{3}))+"""
)
_DIGIT_OR_AT = re.compile("[0-9@]")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|am|pm|x|h|s|ms)", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_AMOUNT = re.compile(r"[$€£¥]\d")
_POSITION = re.compile(r"(?::\d+){1,2}$")
_ROOTED = re.compile(r"(?:~|\.{1,2})?/(?=.*[^\W\d_])[^/]+(?:/|$)|[A-Za-z]:\\\w")
_EXTENSIONS: Final = frozenset(
    """
    bash bat c cc cfg conf cpp cs css csv db doc docx env gif go h hpp html ini ipynb java jpeg jpg
    js json jsonl jsx kt less lock log lua md mjs pdf php png pptx proto ps1 py pyi r rb rs rst
    scala scss sh sql sqlite svelte svg swift tf toml ts tsv tsx txt vue wasm xls xlsx xml yaml yml
    zip
    """.split()  # noqa: SIM905
)


def tokens_of(text: str) -> list[str]:
    """Return the words of a text that may be names: split only at spaces and brackets.

    Words of letters alone, which nearly all are, name nothing and are left out.
    """
    tokens: list[str] = []
    for found in _TOKEN.findall(text):
        if not found.isalpha():
            token = found.rstrip(".:!?…。\uff01\uff1f").lstrip("#")
            if token and not token.isalpha():
                tokens.append(token)
    return tokens


def reference_in(token: str) -> str | None:
    """Return a token as a URL or the path of a file, or None if it is neither."""
    if "/" not in token and "." not in token and "\\" not in token:
        return None
    if "://" in token:
        return token if token[0].isalnum() else None
    path = _POSITION.sub("", token)
    stem, _, extension = path.rpartition(".")
    if stem and extension.lower() in _EXTENSIONS and stem[-1].isalnum() and "@" not in path:
        return path
    if path[-1] == "/" and path[0].isalnum() and len(path) > 3:
        return path
    if _ROOTED.match(path) and (path.count("/") > 1 or path[0] != "/" or "\\" in path):
        return path
    return None


def weigh_names(tokens: Iterable[str], weight: int, names: Counter[str]) -> None:
    """Count the words that look like an identifier, an amount, a date or an address."""
    for token in tokens:
        if len(token) <= NAME_CHARACTERS and _is_name(token):
            names[token] += weight


def _is_name(token: str) -> bool:
    is_ascii = token.isascii()
    if is_ascii and not _DIGIT_OR_AT.search(token):
        return False
    if "/" in token or "\\" in token or _ORDINAL.fullmatch(token):
        return False
    digits = sum(map(str.isdigit, token))
    has_letters = any(map(str.isalpha, token))
    if "@" in token[1:] and "." in token:
        return has_letters
    if has_letters and is_ascii:
        return digits > 0 and len(token) > 2 and reference_in(token) is None
    return digits >= 5 or bool(_AMOUNT.match(token) or _DATE.fullmatch(token))
