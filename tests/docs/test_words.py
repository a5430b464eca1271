"""What users read is plain English: public docstrings and error texts have no words of the house.

The project once had turns of phrase of its own, which a newcomer has to read twice. Each is searched
for here by the word that gives it away. Where such a word is right, `RIGHT` says so.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

from eventlog import errors
from tests.docs.test_help import PUBLIC

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = Path(__file__).parents[2]
FOLDERS = ("eventlog", "projections", "stores")

GIVEAWAYS = re.compile(
    r"\ATells? whether\b"
    r"|\b(?:told|asked of|so many|so much|stands?(?! for\b)|nobody|(?:is|are) to be|anew"
    r"|(?<!there )(?:is|are) (?:no(?! longer\b| more\b)|(?-i:none))"
    r"|to the letter|all the same|mend the|whose [^.;:]* of which)\b",
    re.IGNORECASE,
)

RIGHT: dict[str, set[str]] = {
    # `Host.told` is an attribute.
    "eventlog.testing.Host.call": {"told"},
    "eventlog.testing.crashes": {"told"},
    "eventlog.testing.every_crash": {"told"},
    # "None is no limit", "a missing key is no error".
    "eventlog.testing.conformance.StoreConformance."
    "test_a_long_range_is_scanned_whole_and_up_to_its_limit": {"is no"},
    "eventlog.testing.conformance.StoreConformance.test_an_entry_without_value_removes_the_key": {
        "is no"
    },
}
"""The words that are right in a docstring, by its name, or in the error texts of a module."""

ERRORS = {*errors.__all__, "OSError", "RuntimeError", "TypeError", "ValueError"}


def giveaways(text: str) -> list[str]:
    return [" ".join(found.lower().split()) for found in GIVEAWAYS.findall(text)]


def texts_of(node: ast.AST) -> Iterator[str]:
    """Yield the literal texts in a node; the values in an f-string are left out."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def error_texts(tree: ast.Module) -> Iterator[str]:
    """Yield the literal texts in the arguments of errors, whether they are raised here or built."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = (
                node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            )
            if name in ERRORS:
                for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                    yield from texts_of(argument)


def modules() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((TREE / folder).rglob("*.py"))


def test_public_docstrings_have_no_words_of_the_house() -> None:
    found = {
        f"{name}: {word}"
        for name, text in PUBLIC
        for word in giveaways(text)
        if word not in RIGHT.get(name, ())
    }
    assert not found


def test_error_texts_have_no_words_of_the_house() -> None:
    found = {
        f"{path.relative_to(TREE)}: {word} in {text!r}"
        for path in modules()
        for text in error_texts(ast.parse(path.read_text("utf-8")))
        for word in giveaways(text)
        if word not in RIGHT.get(str(path.relative_to(TREE)), ())
    }
    assert not found


def test_the_search_sees_words_in_f_strings_and_errors_that_are_built_elsewhere() -> None:
    tree = ast.parse(
        'def refusal(n):\n    return InvalidArgument(f"{n} is no number; " "mend the value")\n'
    )
    assert [word for text in error_texts(tree) for word in giveaways(text)] == ["is no", "mend the"]
    assert giveaways("The log is no longer open. Nobody is told anew.") == [
        "nobody",
        "told",
        "anew",
    ]
    assert sum(1 for path in modules() for _ in error_texts(ast.parse(path.read_text()))) > 300
