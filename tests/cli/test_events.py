"""``eventlog events``: across sessions, filtered, followed."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog import Message
from eventlog.testing.clock import FakeClock

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


@pytest.fixture
def two(run: CommandLine) -> CommandLine:
    """Two sessions that speak in turn, a minute apart: ada in one, eve in the other."""
    clock = FakeClock()  # 2026-01-01T00:00:00Z
    with eventlog.open(run.store, clock=clock) as log:
        for text in ("hello", "the deployment FAILED", "bye"):
            for session, actor in (("a", "ada"), ("b", "eve")):
                clock.advance(60)
                message = Message.user(text, id=f"{session}-{text[:5]}")
                log.session(session, create=True, owner=actor).append(message, actor=actor)
    return run


def listed(run: CommandLine, *words: str) -> list[tuple[str, int]]:
    """Return the sessions and versions of the events that are listed."""
    return [(each["session_id"], each["version"]) for each in run.json("events", *words)]


def test_events_of_all_sessions_are_in_the_order_of_the_log(two: CommandLine) -> None:
    assert listed(two) == [
        ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("a", 3), ("b", 3), ("a", 4), ("b", 4),
    ]  # fmt: skip
    assert listed(two, "b") == [("b", 1), ("b", 2), ("b", 3), ("b", 4)]


def test_events_are_filtered_by_type_actor_time_and_text(two: CommandLine) -> None:
    assert listed(two, "--type", "session_created") == [("a", 1), ("b", 1)]
    assert listed(two, "b", "--type", "session_created") == [("b", 1)]
    assert listed(two, "--actor", "eve", "--type", "message_appended") == [
        ("b", 2), ("b", 3), ("b", 4),
    ]  # fmt: skip
    assert listed(two, "--grep", "failed") == [("a", 3), ("b", 3)]
    assert listed(two, "--grep", "failed", "--actor", "ada") == [("a", 3)]
    assert listed(two, "--since", "2026-01-01T00:05:00Z") == [("a", 4), ("b", 4)]
    assert listed(two, "--since", "2026-01-01T00:03:00Z", "--until", "2026-01-01T00:04:00Z") == [
        ("a", 3), ("b", 3),
    ]  # fmt: skip


def test_an_owner_sees_the_events_of_no_other(two: CommandLine) -> None:
    assert listed(two, "--owner", "ada") == [("a", 1), ("a", 2), ("a", 3), ("a", 4)]


def test_a_row_says_who_and_how_many_tokens(two: CommandLine) -> None:
    answer = two("events", "a", "--grep", "failed")
    heading, row = answer.stdout.splitlines()
    assert heading.split() == [
        "session",
        "version",
        "time",
        "(UTC)",
        "type",
        "actor",
        "tokens",
        "what",
    ]
    assert "message_appended  ada         6  user: the deployment FAILED" in row
    assert answer.stderr == "1 event\n"


def test_nothing_found_ends_with_3(two: CommandLine) -> None:
    answer = two("events", "--actor", "nobody")
    assert (answer.code, answer.stderr) == (3, "0 events\n")
    answer = two("events", "--actor", "nobody", "--json")
    assert (answer.code, answer.document) == (3, [])
    assert two("events", "nobody").code == 3
    assert two("events", "--since", "yesterday").code == 2


class Ticket(eventlog.Event, type="tickets.opened"):
    """An event of an application."""

    number: str


@pytest.mark.parametrize("words", [("events",), ("events", "a"), ("timeline", "a")])
def test_a_type_that_no_event_can_have_is_refused_with_the_nearest(
    two: CommandLine, words: tuple[str, ...]
) -> None:
    answer = two(*words, "--type", "message_append")
    assert (answer.code, answer.stdout) == (2, "")
    assert "no event of this log has the type 'message_append'" in answer.stderr
    assert "did you mean message_appended" in answer.stderr
    assert "turn_begun" in answer.stderr.partition("Its types are")[2]
    # Beside one that there is, too.
    assert two(*words, "--type", "session_created", "--type", "turn_begin").code == 2
    assert two(*words, "--type", "archive_failed").code == 3


def test_the_types_of_an_application_are_known_by_its_events(two: CommandLine) -> None:
    assert two("events", "--type", "tickets.opened").code == 2
    with eventlog.open(two.store) as log:
        log.session("b").record(Ticket(number="7"))
    assert listed(two, "--type", "tickets.opened") == [("b", 5)]
    assert two("timeline", "a", "--type", "tickets.opened").code == 3


@pytest.mark.parametrize(
    "words", [("events",), ("events", "c"), ("timeline", "c"), ("show", "c", "--events")]
)
def test_with_full_nothing_of_a_line_is_cut(two: CommandLine, words: tuple[str, ...]) -> None:
    question, argument = "why " * 400 + "END-1", "x" * 4_000 + "END-2"
    with eventlog.open(two.store) as log:
        session = log.session("c", create=True)
        call = Message.call("read_log", {"service": argument})
        session.append(Message.user(question))
        asked = session.append(Message.assistant("Let me look.", tools=(call,)))
        session.record_tool_result(asked.id, call.tool_id, "line " * 900 + "END-3")
    cut, whole = two(*words).stdout, two(*words, "--full").stdout
    assert [name in cut for name in ("END-1", "END-2", "END-3")] == [False] * 3
    assert [name in whole for name in ("END-1", "END-2", "END-3")] == [True] * 3
    assert len(whole.splitlines()) == len(cut.splitlines())


def test_more_events_than_a_section_are_one_table_and_one_document(
    two: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventlog.cli.events.SECTION", 3)
    assert len(listed(two)) == 8
    lines = two("events").stdout.splitlines()
    assert len(lines) == 1 + 8
    assert lines[0].startswith("session")
    assert sum(line.startswith("session") for line in lines) == 1


def test_new_events_are_followed_in_all_sessions_until_ctrl_c(two: CommandLine) -> None:
    process = two.spawn(
        "events", "--follow", "--json", "--grep", "news", "--since", "2026-01-01T00:00:00Z"
    )
    assert process.stdout is not None
    with process:
        with eventlog.open(two.store) as log:
            for session in ("b", "c"):
                log.session(session, create=True).append(Message.user(f"news of {session}"))
        seen = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()

    assert [(each["session_id"], each["type"]) for each in seen] == [
        ("b", "message_appended"),
        ("c", "message_appended"),
    ]
    assert (process.returncode, said) == (0, "")
