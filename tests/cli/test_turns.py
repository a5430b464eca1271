"""``eventlog turns``: which turns there are, in which state, and what came of one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog import Message
from eventlog.testing.clock import FakeClock

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


@pytest.fixture
def turned(run: CommandLine) -> CommandLine:
    """Sessions whose turns completed, failed, and are open; one has an open turn alone."""
    clock = FakeClock()  # 2026-01-01T00:00:00Z
    with eventlog.open(run.store, clock=clock) as log:
        first = log.session("a/b", create=True, owner="ada")
        with first.turn("job-2") as turn:
            turn.step("search", lambda: ["one"])
            turn.end({"hits": 1})
        clock.advance(60)
        with suppress(ConnectionError), first.turn("job-1"):
            raise ConnectionError("the model went away")
        clock.advance(60)
        first.begin_turn("job-1", holder="a client")
        log.session("c", create=True, owner="eve").begin_turn("only", holder="a client")
        log.session("none", create=True).append(Message.user("hello"))
    return run


def listed(run: CommandLine, *words: str) -> list[tuple[str, str, str, int]]:
    found = run.json("turns", *words)
    return [(each["session_id"], each["turn_id"], each["state"], each["attempt"]) for each in found]


def test_turns_of_all_sessions_are_listed_as_they_were_begun(turned: CommandLine) -> None:
    assert listed(turned) == [
        ("a/b", "job-2", "completed", 1),
        ("a/b", "job-1", "open", 2),
        ("c", "only", "open", 1),
    ]
    assert listed(turned, "a/b") == listed(turned)[:2]
    assert listed(turned, "none") == []


def test_turns_are_filtered_by_state_and_owner(turned: CommandLine) -> None:
    assert listed(turned, "--state", "open") == [
        ("a/b", "job-1", "open", 2),
        ("c", "only", "open", 1),
    ]
    assert listed(turned, "--state", "failed") == []
    assert listed(turned, "a/b", "--state", "completed") == [("a/b", "job-2", "completed", 1)]
    assert listed(turned, "--owner", "eve") == [("c", "only", "open", 1)]
    assert turned("turns", "a/b", "--owner", "eve").code == 4


def test_a_row_says_who_has_an_open_turn_and_which_steps_are_finished(turned: CommandLine) -> None:
    heading, done, mine, _ = turned("turns").stdout.splitlines()
    assert heading.split()[:4] == ["session", "turn", "state", "attempt"]
    assert done.endswith("steps: search")
    assert "a client, lease until 2026-01-01T00:03:00Z" in mine


def test_a_turn_is_shown_with_its_result(turned: CommandLine) -> None:
    found = turned.json("turns", "a/b", "--turn", "job-2")
    assert (found["session_id"], found["state"], found["result"]) == (
        "a/b",
        "completed",
        {"hits": 1},
    )
    assert '"hits": 1' in turned("turns", "a/b", "--turn", "job-2").stdout
    missing = turned("turns", "a/b", "--turn", "job-9")
    assert (missing.code, missing.stderr) == (
        3,
        "no turn 'job-9'; `eventlog turns a/b` lists them\n",
    )
    assert turned("turns", "--turn", "job-2").code == 2
    assert turned("turns", "nobody").code == 3


def test_without_turns_the_page_about_them_is_named(run: CommandLine) -> None:
    run("append", "s", "--create", "hello")
    answer = run("turns")
    assert (answer.code, answer.stdout) == (
        0,
        "no turns; `eventlog docs turns` says what they are\n",
    )
