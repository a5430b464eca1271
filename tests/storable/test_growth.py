"""Work grows at most linearly with untrusted text (G6).

The bound is CPU time, with room for a slow machine: what is not linear takes a thousand times longer.
"""

from __future__ import annotations

import os
import time
import tracemalloc
from functools import partial
from typing import Final

import pytest

import eventlog
from eventlog import Message, Session
from eventlog.session.tokens import estimate_tokens
from eventlog.session.window import Window
from eventlog.summary.text import informative_sentences, one_line, sentences_of, tokens_of
from tests.growing import grows, no_collections

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
    text = "中" * 300_000
    tracemalloc.start()
    try:
        assert estimate_tokens(text) == 450_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


CALLS: Final = int(os.environ.get("EVENTLOG_GROWTH", "1200"))
"""Parallel calls of one message; an eighth of them is what these are compared with."""


def record(session: Session, kind: str, number: int, count: int) -> None:
    """Give the ``number``-th of the parallel calls its result."""
    match kind:
        case "in order":
            session.record_tool_result("m", f"c{number}", "out")
        case "backwards":
            session.record_tool_result("m", f"c{count - 1 - number}", "out")
        case "long":
            session.record_tool_result("m", f"c{number}", "out " * 1_000)
        case "one id":
            session.record_tool_result("m", "c", f"out {number}")
        case "one id, numbered":
            session.record_tool_result("m", "c", "out", occurrence=number)
        case "messages":
            session.append(Message.tool(f"c{number}", "out"))
        case "messages, one id":
            session.append(Message.tool("c", "out"))
        case "abandoned":
            session.abandon_call("m", f"c{number}")
        case _:
            raise AssertionError(kind)


KINDS: Final = (
    "in order",
    "backwards",
    "long",
    "one id",
    "one id, numbered",
    "messages",
    "messages, one id",
    "abandoned",
)


def cost_of_results(kind: str, count: int) -> float:
    """Return the CPU seconds per result of one message with parallel calls, reading included."""
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        ids = ["c" if "one id" in kind else f"c{number}" for number in range(count)]
        calls = tuple(Message.call("f", {}, tool_id=id_) for id_ in ids)
        session.append(Message.assistant(None, tools=calls, id="m"))
        with no_collections():
            start = time.process_time()
            for number in range(count):
                record(session, kind, number, count)
            tail = session.tail()
            spent = time.process_time() - start
        assert "messages" in kind or all(part.tool_output for part in tail[0].tools)
        return spent / count


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_costs_the_same_however_many_calls_are_open(kind: str) -> None:
    """What looks at all open calls costs eight times as much per result here, or nearly."""
    cost_of_results(kind, 10)  # Imports, and what pydantic builds at its first use.
    assert not grows(
        partial(cost_of_results, kind, CALLS // 8), partial(cost_of_results, kind, CALLS), 2.5
    )


def costs_of_a_held_round() -> list[float]:
    """Return the CPU seconds of the first, second, third and fourth 15,000 messages of one round."""
    costs: list[float] = []
    window = Window()
    window.append(1, 1, begins_round=True)
    window.call("c", "m", 1)
    with no_collections():
        for begin in range(1, 60_001, 15_000):
            start = time.process_time()
            for version in range(begin + 1, begin + 15_001):
                window.append(version, 1, begins_round=False)
            costs.append(time.process_time() - start)
    assert len(window.versions) == window.count == 60_001
    return costs


def test_a_message_costs_the_same_however_long_the_round_that_is_held() -> None:
    """A call that nobody answers holds its round: all of its messages stay known one by one."""
    assert not grows(lambda: costs_of_a_held_round()[0], lambda: costs_of_a_held_round()[-1], 4)
