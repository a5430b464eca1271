"""Small programs that failed when tried from outside, each with its right outcome.

The files that failed likewise are in `tests.exchange.test_faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import eventlog
from eventlog import (
    EventLogError,
    Finalizer,
    Log,
    Message,
    RetryPolicy,
    Summary,
    TaskRequest,
    Worker,
)


@pytest.fixture
def memory_log() -> Iterator[Log]:
    with eventlog.open("memory:") as log:
        yield log


# ---- bad_error --------------------------------------------------------------------------------


class Careless(Exception):
    def __str__(self) -> str:
        return str(self.args[5])


def careless(request: TaskRequest) -> None:
    raise Careless


def half(request: TaskRequest) -> None:
    raise ValueError("the answer was cut: \ud83d")


@pytest.mark.parametrize("bad", [careless, half])
def test_a_bad_error_fails_its_task_readably_and_ends_no_worker(
    memory_log: Log, bad: Callable[[TaskRequest], None]
) -> None:
    """F4."""
    session = memory_log.session("s", create=True)
    session.append(Message.user("x"))
    first = session.queue_task("acme.bad", {})
    other = memory_log.session("t", create=True)
    other.append(Message.user("y"))
    second = other.queue_task("acme.good", {})
    kinds: dict[str, Callable[[TaskRequest], Any]] = {"acme.bad": bad, "acme.good": lambda _: 1}
    worker = Worker(
        memory_log, Finalizer(kinds=kinds), concurrency=1, retry=RetryPolicy(attempts=1)
    )

    worker.run_once()

    failed = memory_log.task(first)
    assert failed.state == "terminal_failed"
    assert failed.error
    failed.error.encode()
    assert memory_log.task(second).state == "completed"


# ---- silently_changed -------------------------------------------------------------------------

CHANGED: Final[tuple[dict[str, Any], ...]] = (
    {"a": float("nan")},
    {"a": [1, {"b": float("inf")}]},
    {"key \ud83d": 1},
)


def test_what_json_cannot_hold_is_refused_and_never_changed(tmp_path: Path) -> None:
    """G1."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with eventlog.open(url) as log:
        session = log.session("s", create=True)
        for value in CHANGED:
            with pytest.raises(EventLogError, match="tool_input"):
                session.append(Message.assistant(None, tools=(Message.call("f", value),)))
    with eventlog.open(url) as log:
        assert not log.exists("s")
        assert log.session("s", create=True).tail() == ()


# ---- error_as_text ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "API Error: Connection error.",
        "Credit balance is too low",
        "Invalid API key · Please run /login",
        "Request timed out",
    ],
)
def test_the_text_of_an_error_is_no_overview(memory_log: Log, text: str) -> None:
    """F4."""
    session = memory_log.session("s", create=True)
    session.append(Message.user("x"))
    task = session.commit().task_id
    assert task is not None

    Worker(
        memory_log, Finalizer(summarizer=lambda _: Summary(overview=text, abstract=text))
    ).run_once()

    assert memory_log.task(task).state != "completed"
    assert session.context().latest_archive_overview == ""


# ---- same_id_twice ----------------------------------------------------------------------------


def test_two_calls_with_one_id_get_each_its_own_result(memory_log: Log) -> None:
    session = memory_log.session("s", create=True)
    session.append(Message.user("Weather in Oslo and in Rome?"))
    calls = tuple(
        Message.call("weather", {"city": city}, tool_id="call_0") for city in ("Oslo", "Rome")
    )
    called = session.append(Message.assistant(None, tools=calls))

    session.record_tool_result(called.id, "call_0", "Oslo: 4 degrees")
    session.record_tool_result(called.id, "call_0", "Rome: 19 degrees")

    tools = session.tail()[1].tools
    assert [part.tool_output for part in tools] == ["Oslo: 4 degrees", "Rome: 19 degrees"]


# ---- orphan_result ----------------------------------------------------------------------------


def test_a_model_is_given_no_result_without_its_call(memory_log: Log) -> None:
    session = memory_log.session("s", create=True)
    session.append(Message.user("How many users?"))
    session.append(Message.assistant(None, tools=(Message.call("count", {}, tool_id="c1"),)))
    session.append(Message.tool("c1", "17"))
    session.append(Message.assistant("There are 17."))
    session.commit(keep_recent=2)
    Worker(memory_log).run_once()

    context = session.context()

    called: set[str] = set()
    for message in context.messages:
        for part in message.tools:
            assert part.tool_input is not None or part.tool_id in called
            called.add(part.tool_id)
    stands = [line for line in context.latest_archive_overview.splitlines() if "Stands" in line]
    assert stands == ["- **Stands at:** the user awaits an answer."]
