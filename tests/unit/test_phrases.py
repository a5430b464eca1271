"""Phrases are found as their regular expressions find them, whatever is asked first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.summary import intents, text
from eventlog.summary.text import Phrases
from tests.shares import examples

PHRASES = {
    name: value
    for module in (intents, text)
    for name, value in vars(module).items()
    if isinstance(value, Phrases)
}


@pytest.mark.parametrize("phrases", PHRASES.values(), ids=PHRASES)
def test_whatever_matches_in_ascii_has_a_hint(phrases: Phrases) -> None:
    @examples(60, 16_000)
    @given(st.from_regex(phrases.pattern, alphabet=st.characters(codec="ascii")))
    def finds(said: str) -> None:
        assert phrases.pattern.search(said)
        assert phrases.are_in(said)
        assert phrases.are_in(said.upper()) == bool(phrases.pattern.search(said.upper()))

    finds()


@given(st.text(alphabet=st.sampled_from("?!. \u017f\u212aiIkKsStToOpP")))
def test_what_does_not_match_is_not_found(said: str) -> None:
    for phrases in PHRASES.values():
        assert phrases.are_in(said) == bool(phrases.pattern.search(said))


def test_there_are_phrases_in_both_modules() -> None:
    assert len(PHRASES) >= 5
