"""``eventlog demo``: it shows the main promise, and fails if that is broken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import Message
from eventlog.cli.demonstration import story as demo_story
from eventlog.cli.demonstration.worker import STOPPED
from eventlog.cli.documents import session_document
from eventlog.clock import system_clock

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def broken_promises(run: CommandLine) -> list[str]:
    answer = run("demo", "--json")
    assert answer.code == 1
    assert answer.document["holds"] is False
    return [check["claim"] for check in answer.document["checks"] if not check["holds"]]


def test_the_demo_kills_a_worker_and_ends_the_same(run: CommandLine) -> None:
    document = run.json("demo", "--keep", str(run.folder / "kept"))
    assert document["holds"] is True
    assert document["killed"]["exit_code"] == -9
    assert document["sha256"]["with_crash"] == document["sha256"]["without_crash"]
    assert document["findings"] == []
    crashed, calm = document["stores"]
    types = [
        [
            event["type"]
            for event in run.json("--store", url, "show", "checkout-rollout", "--events")
        ]
        for url in (crashed, calm)
    ]
    assert types[0].count("lease_expired") == 1
    assert types[0].count("task_claimed") == 3
    assert types[0].count("step_completed") == types[1].count("step_completed") == 4
    assert "lease_expired" not in types[1]
    tails = [
        run.json("--store", url, "show", "checkout-rollout")["tail"] for url in (crashed, calm)
    ]
    assert tails[0] == tails[1] != []


def test_the_demo_needs_no_store_and_reads_as_plain_text(run: CommandLine) -> None:
    answer = run("demo")
    assert (answer.code, answer.stderr) == (0, "")
    assert "\x1b" not in answer.stdout
    for words in ("lease_expired", "Identical", "ok      every message was there"):
        assert words in answer.stdout
    assert "FAILED" not in answer.stdout
    assert not run.database().exists()


def test_the_demo_does_not_mix_with_an_earlier_one(run: CommandLine) -> None:
    folder = run.folder / "kept"
    folder.mkdir()
    (folder / "crashed.db").touch()
    assert run("demo", "--keep", str(folder)).code == 2


def test_the_demo_fails_if_the_runs_end_differently(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Callable[..., Any] = demo_story._without_crash

    def shorter(file: Path, story: demo_story.Story) -> Any:
        return original(file, story._replace(after=story.after[:1]))

    monkeypatch.setattr(demo_story, "_without_crash", shorter)
    assert broken_promises(run) == ["the end is the same as without the crash"]
    assert "FAILED" in run("demo").stdout


def test_the_demo_fails_if_nobody_was_killed(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_story, "_killed_worker", lambda url, now: (1, 0))
    assert broken_promises(run) == [
        "the worker was killed while it held the archive",
        "the crash counts as an attempt",
    ]


def test_the_demo_fails_if_the_worker_loses_a_message(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(*arguments: Any, **options: Any) -> Any:
        document = session_document(*arguments, **options)
        if len(document["archives"]) == 2:
            document["archives"][1]["messages"].pop()
        return document

    monkeypatch.setattr(demo_story, "session_document", forgetful)
    assert "every message was there when the log was reopened" in broken_promises(run)


def test_a_worker_that_ends_too_early_is_reported(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_story, "STOPPED", "something else")
    answer = run("demo")
    assert answer.code == 6
    assert "ended early" in answer.stderr


def test_the_worker_of_the_demo_ends_with_whoever_started_it(run: CommandLine) -> None:
    with eventlog.open(run.store) as log:
        session = log.session("chat-1", create=True)
        session.append(Message.user("hello"))
        session.commit()
        now = system_clock() + 1_000_000
    root = str(Path(eventlog.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-m", "eventlog.cli.demonstration.worker", run.store, str(now)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": root},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == f"{STOPPED}\n"
        process.stdin.close()
        assert process.wait() == 1
    (task,) = run.json("tasks")
    assert (task["state"], task["steps"]) == ("running", ["draft"])


def test_the_story_is_json_that_anyone_can_read() -> None:
    path = Path(demo_story.__file__).with_name("transcript.json")
    content = json.loads(path.read_text("utf-8"))
    assert "made-up" in content["about"]
    assert 16 <= len(content["messages"]) <= 24
