"""Every regular expression of the library with how it is used, and texts made to be slow for one.

A regular expression is slow where two of its repeats may share the same characters, and what follows
them fails late. So the texts are made of its own parse tree: what leads to a repeat, many times what
the repeat takes, and an end that does not fit.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import re._parser as sre_parse  # type: ignore[import-not-found]
import sys
import time
from collections.abc import Iterator
from itertools import product
from types import ModuleType
from typing import Any, Final, NamedTuple, cast

import eventlog
from eventlog import redaction
from eventlog.summary import intents
from eventlog.summary import text as summary_text
from tests.growing import no_collections

__all__ = ["SIZES", "Use", "slowest", "uses"]

CALLS: Final = ("compile", "match", "search", "sub", "split", "findall", "finditer", "fullmatch")

LOCAL: Final = {
    "number": ["M3"],
    "form": [form for form, _, _ in redaction._FORMS],
    "pattern": [
        phrases.pattern.pattern
        for module in (summary_text, intents)
        for phrases in vars(module).values()
        if isinstance(phrases, summary_text.Phrases)
    ],
}
"""The values of names that are local where a regular expression is made of them."""

SIZES: Final = (14, 18, 22, 26, 30, 60, 120, 300, 600, 1_250, 10_000)
"""The lengths of the texts. The first find what takes exponential time before it takes hours."""

SECONDS: Final = 0.04
"""Of CPU at 10,000 characters: several times what the widest of the patterns takes."""

GROWTH: Final = 25
"""How much more eight times the characters may take; quadratic time is 64."""

WORTHWHILE: Final = SECONDS / 200
"""What takes less at 1,250 characters is not tried with more: squared, it would still be within."""


class Use(NamedTuple):
    """A regular expression, where it is, and the methods that it is used by."""

    where: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(eventlog.__path__, "eventlog."):
        if found.name.startswith("eventlog.testing") or found.name.endswith("__main__"):
            continue
        try:
            yield importlib.import_module(found.name)
        except ImportError:  # What an extra brings.
            continue


def uses() -> list[Use]:
    """Return every regular expression that a module of the library compiles or uses."""
    found: list[Use] = []
    for module in _modules():
        path = module.__file__
        if path is None or sys.modules.get(module.__name__) is not module:
            continue
        with open(path, encoding="utf-8") as file:
            source = file.read()
        if "import re" in source:
            found += _uses_in(module, source)
    return found


def _uses_in(module: ModuleType, source: str) -> Iterator[Use]:
    tree = ast.parse(source)
    names = {
        id(node.value): target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        function = node.func if isinstance(node, ast.Call) else None
        if not isinstance(node, ast.Call) or not isinstance(function, ast.Attribute):
            continue
        if not isinstance(function.value, ast.Name) or function.value.id != "re":
            continue
        if function.attr not in CALLS:
            continue
        name = names.get(id(node))
        if function.attr != "compile":
            methods = {function.attr}
        else:
            methods = set(re.findall(rf"\b{name}\.(\w+)\(", source)) & set(CALLS)
        flags = [each.value for each in node.keywords if each.arg == "flags"]
        place = {"compile": 1, "sub": 4, "split": 3}.get(function.attr, 2)
        flags += node.args[place : place + 1]
        for pattern in _values(module, node.args[0]):
            bits = _values(module, flags[0])[0] if flags else 0
            compiled = pattern if isinstance(pattern, re.Pattern) else re.compile(pattern, bits)
            where = f"{module.__name__}:{node.lineno}"
            yield Use(where, compiled, frozenset(methods or {"search"}))


def _values(module: ModuleType, node: ast.expr) -> list[Any]:
    """Return what an expression of a module may come to."""
    free = [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and each.id in LOCAL]
    choices: list[dict[str, Any]] = [{name: value} for name in free for value in LOCAL[name]]
    code = compile(ast.Expression(node), "pattern", "eval")
    return [eval(code, {**vars(module), **choice}) for choice in choices or [{}]]


# ---- texts ------------------------------------------------------------------------------------


class Pump(NamedTuple):
    """A text that can be of any length: what leads to a repeat, what it takes, and an end."""

    prefix: str
    body: str
    end: str

    def text(self, size: int) -> str:
        return self.prefix + self.body * (size // max(1, len(self.body))) + self.end


MEMBERS: Final = 3
"""So many characters are tried of each set of characters, and branches of each choice."""

MOST: Final = 200
"""About so many texts are tried of a pattern at most."""

BEFORE: Final = 2
"""So many of the texts that lead to a repeat are tried."""


def pumps(pattern: re.Pattern[Any]) -> list[Pump]:
    """Return the texts that are made of a pattern."""
    source = pattern.pattern
    flags = pattern.flags
    if isinstance(source, bytes):
        source, flags = source.decode("latin-1"), flags & ~re.UNICODE
    tree: list[Any] = list(cast("Any", sre_parse.parse(source, flags)))
    whole = _samples(tree)
    found = [*_in(tree, [""], whole)]
    for sample in whole[:6]:
        found += [Pump("", sample, end) for end in ("", "\0", sample[:-1])]
        found += [Pump("", sample[:cut], "\0") for cut in range(1, min(len(sample), 12))]
    alphabet = sorted({character for sample in whole for character in sample})[:24]
    found += [Pump("", character, "\0") for character in alphabet]
    found += [Pump("", a + b, "\0") for a, b in zip(alphabet, reversed(alphabet), strict=True)]
    found += [Pump("", character, "") for character in (" ", "\n", "a", "0", "/", "\t", ".")]
    drawn = list(dict.fromkeys(each for each in found if each.body))
    return drawn[:: max(1, len(drawn) // MOST)]


def _in(tree: list[Any], before: list[str], whole: list[str]) -> Iterator[Pump]:
    """Yield a text for every repeat in a tree, with ends that do not fit."""
    for place, (operator, argument) in enumerate(tree):
        lead = [a + b for a, b in product(before, _samples(tree[:place])[:BEFORE])][: BEFORE + 1]
        name = str(operator)
        if "REPEAT" in name:
            _, most, inner = argument
            bodies = _samples(list(inner))
            if int(most) > 1:
                follows = _samples(tree[place + 1 :])[:1]
                ends = ["", "\0", "\n", *(text[:-1] for text in follows)]
                yield from (Pump(*each) for each in product(lead, bodies, ends))
            yield from _in(list(inner), lead, whole)
        else:
            for branch in _branches(name, argument):
                yield from _in(branch, lead, whole)


def _branches(name: str, argument: Any) -> list[list[Any]]:
    if name == "SUBPATTERN":
        return [list(argument[-1])]
    if name == "BRANCH":
        return [list(branch) for branch in argument[1]]
    if name in ("ASSERT", "ASSERT_NOT"):
        return [list(argument[1])]
    return [list(argument)] if name == "ATOMIC_GROUP" else []


def _samples(tree: list[Any]) -> list[str]:
    """Return a few texts that a tree matches, or nearly does."""
    texts = [""]
    for operator, argument in tree:
        pieces = _pieces(str(operator), argument)
        # Each piece is tried once, rather than with each of the others.
        count = max(len(texts), len(pieces))
        texts = [texts[n % len(texts)] + pieces[n % len(pieces)] for n in range(count)][:8]
    return texts


def _pieces(name: str, argument: Any) -> list[str]:
    if name == "LITERAL":
        return [chr(argument)]
    if name == "NOT_LITERAL":
        return ["a" if argument != ord("a") else "b"]
    if name == "ANY":
        return ["a", "\n"]
    if name == "IN":
        return _members(argument)
    if "REPEAT" in name:
        least, most, inner = argument
        times = max(int(least), min(1, int(most)))
        return [each * times for each in _samples(list(inner))]
    if name == "BRANCH":
        branches = _branches(name, argument)
        return [_samples(branch)[0] for branch in branches[:MEMBERS] + branches[-1:]]
    if name in ("SUBPATTERN", "ATOMIC_GROUP"):
        return _samples(_branches(name, argument)[0])
    return [""]


CANDIDATES: Final = "aA0_ -./:\\\"'\n\t\0é中[({<"


def _members(items: Any) -> list[str]:
    matcher = re.compile(_class_of(items), re.DOTALL)
    fitting = [each for each in CANDIDATES if matcher.fullmatch(each)]
    own = [chr(argument) for operator, argument in items if str(operator) == "LITERAL"]
    own += [chr(argument[0]) for operator, argument in items if str(operator) == "RANGE"]
    found = list(dict.fromkeys([*fitting[:MEMBERS], *own[:MEMBERS]]))
    return [each for each in found if matcher.fullmatch(each)] or ["a"]


_CATEGORIES: Final = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}


def _class_of(items: Any) -> str:
    """Write a set of characters as source again."""
    text = ""
    for operator, argument in items:
        match str(operator):
            case "NEGATE":
                text = "^" + text
            case "LITERAL":
                text += re.escape(chr(argument))
            case "RANGE":
                text += "-".join(re.escape(chr(each)) for each in argument)
            case _:
                text += _CATEGORIES[str(argument)]
    return f"[{text}]"


# ---- time -------------------------------------------------------------------------------------


def slowest(use: Use) -> str | None:
    """Return the text on which a pattern takes more than linear time, with the figures; or None."""
    for method in sorted(use.methods):
        for pump in pumps(use.pattern):
            problem = _problem(use, method, pump)
            if problem is not None:
                return f"{use.where}: {method} of {pump!r}: {problem}"
    return None


def _problem(use: Use, method: str, pump: Pump) -> str | None:
    taken = 0.0
    for size in SIZES:
        if size == SIZES[-1] and taken < WORTHWHILE:
            break
        before, taken = taken, _seconds(use.pattern, method, pump.text(size))
        if taken < SECONDS:
            continue
        # Another process may have been in the way: the best of three counts.
        if taken < 10 * SECONDS:
            taken = min(taken, *(_seconds(use.pattern, method, pump.text(size)) for _ in range(2)))
        if taken >= SECONDS and (size < SIZES[-1] or taken > GROWTH * before):
            return f"{before:.4f} s, and {taken:.4f} s at {size:,} characters"
    return None


def _seconds(pattern: re.Pattern[Any], method: str, text: str) -> float:
    subject: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
    replacement: Any = b"" if isinstance(pattern.pattern, bytes) else ""
    with no_collections():
        start = time.thread_time()
        if method == "sub":
            pattern.sub(replacement, subject)
        elif method == "finditer":
            list(pattern.finditer(subject))
        else:
            getattr(pattern, method)(subject)
        return time.thread_time() - start
