"""The estimate of tokens (M11)."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import InvalidArgument, Message
from eventlog.session.tokens import estimate_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("\u00e9" * 4, 1),
        ("\u4f1a\u8bdd", 3),
        ("\u3042\u30a2", 3),
        ("\ud55c\uae00", 3),
        ("\uff21\uff22", 3),
        ("\U00020000", 2),
        ("\U0001f600", 2),
        ("\U0001f600\U0001f600", 4),
        ("a\u4f1a\U0001f600", 4),
        ("abcd\u4f1a", 3),
    ],
)
def test_each_character_has_its_weight(text: str, tokens: int) -> None:
    """M11: 0.25 each; 1.5 for CJK, kana, hangul, full-width; 2.0 beyond U+FFFF; rounded up."""
    assert estimate_tokens(text) == tokens


@given(st.text("a\u00e9\u4f1a\u3042\ud55c\uff21\U00020000\U0001f600"))
def test_the_estimate_is_the_sum_of_the_weights(text: str) -> None:
    weights = {"a": 0.25, "\u00e9": 0.25, "\U0001f600": 2.0}

    assert estimate_tokens(text) == ceil(sum(weights.get(letter, 1.5) for letter in text))


def test_another_estimator_says_what_is_stored() -> None:
    """M11: the estimate is in the event, so a replay with another estimator changes nothing."""
    with eventlog.open("memory:", estimate_tokens=len) as log:
        session = log.session("s", create=True)
        session.append(Message.user("ten chars!"))
        assert session.meta.pending_tokens == 10

        again = eventlog.Log(log.store, estimate_tokens=lambda text: 1_000)
        assert again.session("s").meta.pending_tokens == 10


def test_an_estimate_below_zero_is_refused_and_nothing_stored() -> None:
    with eventlog.open("memory:", estimate_tokens=lambda text: -1) as log:
        session = log.session("s", create=True)
        with pytest.raises(InvalidArgument, match="estimator returned -1"):
            session.append(Message.user("hello"))
        assert not log.exists("s")
