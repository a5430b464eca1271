"""Work grows at most linearly with untrusted text (G6).

Every regular expression of the package is found in its source, and tried with strings that make
those backtrack which can. The bound is CPU time, with room for a slow machine: what is not linear
takes a thousand times longer.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import eventlog
from eventlog import Message
from eventlog.session.tokens import (
    _patterns,  # pyright: ignore[reportPrivateUsage]
    estimate_tokens,
)
from eventlog.summary.text import informative_sentences, one_line, sentences_of, tokens_of

CHARACTERS: Final = 10_000
SECONDS: Final = 0.5
"""Of CPU for one pattern and one string: five hundred times what the slowest takes."""

PACKAGES: Final = {
    "eventlog": Path(eventlog.__file__).parent,
    "eventlog.stores": Path(eventlog.__file__).parent / "stores",
    "eventlog.projections": Path(eventlog.__file__).parent / "projections",
}


def modules_with_patterns() -> Iterator[tuple[str, int]]:
    """Yield the modules that call functions of `re`, and how often they compile a pattern."""
    seen: set[Path] = set()
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            calls = [
                node.func.attr
                for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
            ]
            assert set(calls) <= {"compile", "escape"}, f"{path}: compile the pattern once"
            if "compile" in calls:
                parts = path.relative_to(folder).with_suffix("").parts
                name = ".".join((package, *parts)).removesuffix(".__init__")
                yield name, calls.count("compile")


def patterns_of(name: str) -> list[re.Pattern[Any]]:
    """Return the patterns of a module: in its names, bound to its names, or made when needed."""
    module = importlib.import_module(name)
    values = [getattr(value, "__self__", value) for value in vars(module).values()]
    found = [value for value in values if isinstance(value, re.Pattern)]
    return [*found, *(_patterns() if name == "eventlog.session.tokens" else ())]


MODULES: Final = dict(modules_with_patterns())

UNITS: Final = (
    "a", "A", "0", " ", "\t", "\n", ".", ",", ":", "-", "_", "/", "\\", "\"", "'", "*", "#", "=",
    "@", "$", "1.", "a ", "a:", ": ", "://", "a/", "1, ", "1,000,", "- ", "the ", "no ", "\r\n",
    "{\"id\": \"", "---\n", "sk-", "ghp_", "eyJa.", "Bearer ", "://a:b", "password=", "nats://",
    "?", "!", "。", "：", "中", "か", "\u0e01", "é", "😀", "x=y,", "please ", "i will ", "error ",
    "[{'", "rate limit ", "you've hit your ", "QUJD", "\0", "...", "… ", "~/", "C:\\x",
)  # fmt: skip
"""What adversarial strings repeat; each is tried alone, and with an end that matches nothing."""


def adversarial() -> Iterator[str]:
    for unit in UNITS:
        text = (unit * CHARACTERS)[:CHARACTERS]
        yield from (text, text + "\x01", "a" + text + ")")


def as_subject(pattern: re.Pattern[Any], text: str) -> Any:
    return text.encode() if isinstance(pattern.pattern, bytes) else text


def seconds_of(pattern: re.Pattern[Any], text: str) -> float:
    """Return the CPU time of all ways to use a pattern on a text."""
    subject = as_subject(pattern, text)
    start = time.thread_time()
    pattern.search(subject)
    pattern.fullmatch(subject)
    for _ in pattern.finditer(subject):
        pass
    return time.thread_time() - start


@pytest.mark.parametrize("name", MODULES)
def test_every_pattern_takes_linear_time(name: str) -> None:
    patterns = patterns_of(name)
    assert len(patterns) >= MODULES[name], "a pattern of this module is not found by the test"
    for pattern in patterns:
        for text in adversarial():
            took = seconds_of(pattern, text)
            assert took < SECONDS, (pattern.pattern, text[:20], took)


def test_a_pattern_that_backtracks_would_be_found() -> None:
    """The alarm rings: a text of 24 characters is enough for this one."""
    assert seconds_of(re.compile(r"(?:a|a)*b"), "a" * 24) > SECONDS


@pytest.mark.parametrize(
    "text",
    ["x:" + "a" * 203, "label: " + "QUJD" * 5_000, "k:" + "ab " * 5_000 + "\n" * 3],
    ids=["205 characters", "a line of base64", "many words"],
)
def test_the_sentences_of_any_text_take_linear_time(text: str) -> None:
    start = time.thread_time()
    list(informative_sentences(text))
    list(sentences_of(text))
    list(tokens_of(text))
    one_line(text, 100)
    assert time.thread_time() - start < SECONDS


def test_an_estimate_takes_bounded_memory() -> None:
    """A list of all characters that match took 80 times as much as the text."""
    text = "中" * 1_000_000
    tracemalloc.start()
    try:
        assert estimate_tokens(text) == 1_500_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


def cost_of_results(count: int) -> float:
    """Return the CPU seconds per result of one message with parallel calls, reading included."""
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        calls = tuple(Message.call("f", {}, tool_id=f"c{number}") for number in range(count))
        session.append(Message.assistant(None, tools=calls, id="m"))
        start = time.process_time()
        for number in range(count):
            session.record_tool_result("m", f"c{number}", "out")
        session.tail()
        return (time.process_time() - start) / count


def test_a_result_costs_the_same_among_few_and_many_parallel_ones() -> None:
    few, many = cost_of_results(500), cost_of_results(4_000)
    assert many < 3 * few
