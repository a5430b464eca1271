"""No text of 10,000 characters takes a regular expression of the library more than linear time (G6)."""

from __future__ import annotations

import re

import pytest

from tests.storable.patterns import Use, slowest, uses

USES = uses()


@pytest.mark.parametrize("use", USES, ids=lambda use: use.where)
def test_a_regular_expression_takes_linear_time(use: Use) -> None:
    assert slowest(use) is None


def test_the_regular_expressions_of_the_whole_library_are_found() -> None:
    packages = {use.where.split(".")[1].partition(":")[0] for use in USES}

    assert {"summary", "worker", "session", "adoption", "exchange", "redaction"} <= packages
    assert len(USES) > 60


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"(a+)+:", "match"),
        (r"(?:\w+\s*)+:", "match"),
        (r"\s+$", "search"),
        (r"a.*b.*c.*d", "match"),
        (r"<!--.*?-->", "search"),
        (r"(?:a|ab)*(?:ba|b)*c", "search"),
        (r"[^:]{1,40}[:](?:\s*\S{1,40}){0,5}", "fullmatch"),  # It once stalled a service.
    ],
)
def test_a_slow_regular_expression_is_found_out(pattern: str, method: str) -> None:
    """The alarm rings."""
    use = Use("here", re.compile(pattern, re.DOTALL), frozenset({method}))

    assert slowest(use) is not None
