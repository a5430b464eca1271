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
