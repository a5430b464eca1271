"""Work grows at most linearly with untrusted text (G6).

The bound is CPU time, with room for a slow machine: what is not linear takes a thousand times longer.
"""

from __future__ import annotations

import time
import tracemalloc
from typing import Final

import pytest

import eventlog
from eventlog import Message
from eventlog.session.tokens import estimate_tokens
from eventlog.summary.text import informative_sentences, one_line, sentences_of, tokens_of

SECONDS: Final = 0.5
"""Of CPU: a hundred times what these texts take."""


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


def test_results_of_many_parallel_calls_are_not_quadratic() -> None:
    """Eight times the calls would cost eight times as much per result. The call is found by a scan
    of those that are open, which is not free yet."""
    few, many = cost_of_results(500), cost_of_results(4_000)
    assert many < 6 * few
