"""An estimate of how many tokens a text takes, without a tokenizer (M11).

The estimate is ceil(sum of weights): 0.25 per character; 1.5 for CJK ideographs, kana, hangul and
full-width forms; 2.0 for other characters beyond the Basic Multilingual Plane. The estimator can be
replaced (``eventlog.open(..., estimate_tokens=...)``). Its result is stored in the event, so a
replay never calls it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from math import ceil
from typing import Final, TypeAlias

from eventlog.errors import InvalidArgument

__all__ = ["TokenEstimator", "checked_tokens", "estimate_tokens"]

PIECE_CHARACTERS: Final = 65_536
"""Characters that are counted together, which bounds the memory that an estimate takes."""

MOST_TOKENS: Final = 10**12
"""The most tokens that one text may have; sums of a million of them fit in 64 bits."""

TokenEstimator: TypeAlias = Callable[[str], int]

_WIDE: Final = (
    "["
    "\u1100-\u11ff"  # hangul jamo
    "\u2e80-\u2fdf"  # CJK radicals
    "\u3000-\u303f"  # CJK punctuation
    "\u3040-\u30ff"  # kana
    "\u3100-\u312f"  # bopomofo
    "\u3130-\u318f"  # hangul compatibility jamo
    "\u31a0-\u31ff"  # bopomofo and kana extensions
    "\u3200-\u4dbf"  # enclosed and compatibility forms, extension A
    "\u4e00-\u9fff"  # unified ideographs
    "\ua960-\ua97f"  # hangul jamo extended A
    "\uac00-\ud7ff"  # hangul syllables
    "\uf900-\ufaff"  # compatibility ideographs
    "\ufe30-\ufe4f"  # compatibility forms
    "\uff00-\uffef"  # half-width and full-width forms
    "\U00020000-\U0003ffff"  # the ideographic planes
    "]"
)
_ASTRAL: Final = "[\U00010000-\U0001ffff\U00040000-\U0010ffff]"


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    # Compiled when first needed: that takes as long as importing several modules.
    return re.compile(_WIDE), re.compile(_ASTRAL)


def estimate_tokens(text: str) -> int:
    """Return the ceiling of the summed weights of a text's characters."""
    if text.isascii():
        return (len(text) + 3) // 4
    wide, astral = (_count(pattern, text) for pattern in _patterns())
    return ceil((len(text) - wide - astral) * 0.25 + wide * 1.5 + astral * 2.0)


def _count(pattern: re.Pattern[str], text: str) -> int:
    """Count the characters that match, in pieces: a list of all would take 80 times the text."""
    return sum(
        len(pattern.findall(text, start, start + PIECE_CHARACTERS))
        for start in range(0, len(text), PIECE_CHARACTERS)
    )


def checked_tokens(estimate: TokenEstimator, text: str) -> int:
    """Return an estimator's count for a text; raise `InvalidArgument` if it is not a count."""
    tokens = estimate(text)
    if type(tokens) is not int or not 0 <= tokens <= MOST_TOKENS:
        raise InvalidArgument(
            f"the token estimator returned {tokens!r:.80} for a text; it must return a whole "
            f"number from 0 to {MOST_TOKENS:,}"
        )
    return tokens
