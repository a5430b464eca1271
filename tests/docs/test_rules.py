"""Every number of a rule that is cited anywhere in the tree leads to `eventlog/docs/rules.md`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = Path(__file__).parents[2]
RULES = TREE / "eventlog" / "docs" / "rules.md"
FOLDERS = (".ci", ".github", "benchmarks", "eventlog", "projections", "stores", "tests")
SUFFIXES = {"", ".md", ".py", ".sql", ".toml", ".yaml", ".yml"}

NUMBER = re.compile(r"\b[A-Z][0-9]{1,2}\b")
"""A rule as it is cited. Nothing else in the tree may look like one, or a typing error in a number
could not be seen."""

HEADING = re.compile(r"^### ([A-Z][0-9]{1,2})$", re.MULTILINE)

NOT_RULES = {"Z0", "Z2"}
"""Ranges of characters in regular expressions."""


def cited_in(text: str) -> set[str]:
    return set(NUMBER.findall(text)) - NOT_RULES


def files_of_the_tree() -> Iterator[Path]:
    yield from TREE.glob("*.md")
    yield TREE / "pyproject.toml"
    for folder in FOLDERS:
        for path in sorted((TREE / folder).rglob("*")):  # A glob does not enter the linked folders.
            is_golden = TREE / "tests" / "golden" in path.parents
            if path.suffix in SUFFIXES and path.is_file() and not is_golden:
                yield path


def test_every_number_that_is_cited_is_a_rule() -> None:
    rules = set(HEADING.findall(RULES.read_text("utf-8")))
    unknown = {
        f"{path.relative_to(TREE)} cites {number}"
        for path in files_of_the_tree()
        for number in cited_in(path.read_text("utf-8", errors="replace")) - rules
    }
    assert not unknown


def test_every_rule_is_written_once_and_in_order() -> None:
    numbers = HEADING.findall(RULES.read_text("utf-8"))
    assert len(numbers) == len(set(numbers))
    for letter in dict.fromkeys(number[0] for number in numbers):
        of_letter = [int(number[1:]) for number in numbers if number[0] == letter]
        assert of_letter == sorted(of_letter), letter


def test_every_rule_has_a_text_that_cites_only_rules() -> None:
    text = RULES.read_text("utf-8")
    numbers = HEADING.findall(text)
    assert all(body.strip() for body in HEADING.split(text)[2::2])
    assert cited_in(text) <= set(numbers)


def test_the_search_for_citations_sees_the_whole_tree() -> None:
    """Rules are cited in the package, in the linked folders, in tests, in READMEs and in CI files."""
    seen = {str(path.relative_to(TREE)) for path in files_of_the_tree()}
    assert {
        ".github/CONTRIBUTING.md",
        "README.md",
        "eventlog/session/folding.py",
        "projections/meta.py",
        "stores/sqlite/1_log.sql",
        "tests/docs/test_rules.py",
    } <= seen
    assert cited_in("a late owner changes nothing (P5, F2 to F6)") == {"P5", "F2", "F6"}
