"""``commit``, ``work``, ``tasks``, ``retry`` and ``abandon`` (C2, C5, F9, F11, F12)."""

from __future__ import annotations

import asyncio
import signal
import sys
from io import StringIO
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console
from rich.text import Text

import eventlog
from eventlog import AsyncWorker, Finalizer, Message, Summary, SummaryRequest, Worker
from eventlog.cli.watching import LiveWatcher
from eventlog.engine.owner import this_process
from eventlog.session.tasks.commands import ClaimTask
from eventlog.testing.inside import execute
from eventlog.worker.due import seconds_until_due

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def converse(run: CommandLine, session: str = "chat-1", messages: int = 3) -> None:
    with eventlog.open(run.store) as log:
        opened = log.session(session, create=True)
        opened.extend([Message.user(f"message {number}") for number in range(messages)])


def fail(run: CommandLine, finalizers: str) -> None:
    """Leave an archive that failed for good, and live messages behind it."""
    converse(run)
    run("commit", "chat-1", "--keep", "1")
    run("work", "--once", "--finalizer", f"{finalizers}:refusing")


# ---- commit -----------------------------------------------------------------------------------


def test_commit_answers_with_what_became_of_it(run: CommandLine) -> None:
    """C2."""
    converse(run)
    document = run.json("commit", "chat-1", "--keep", "1")
    (task,) = run.json("tasks")
    assert document == {
        "status": "accepted",
        "session_id": "chat-1",
        "archived": 2,
        "archive_id": "archive_001",
        "archive_uri": "eventlog://chat-1/history/archive_001",
        "task_id": task["task_id"],
        "reason": None,
    }


def test_a_commit_of_nothing_is_skipped(run: CommandLine) -> None:
    converse(run)
    run("commit", "chat-1")
    document = run.json("commit", "chat-1")
    assert (document["status"], document["reason"]) == ("skipped", "no_messages")
    assert "there are no live messages" in run("commit", "chat-1").stdout


def test_a_commit_that_would_keep_everything_is_skipped(run: CommandLine) -> None:
    converse(run)
    assert run.json("commit", "chat-1", "--keep", "3")["reason"] == "all_within_keep_window"
    assert "all live messages are to be kept live" in run("commit", "chat-1", "--keep", "3").stdout


def test_all_sessions_can_be_committed_at_once(run: CommandLine) -> None:
    converse(run, "a")
    converse(run, "b")
    converse(run, "c")
    with eventlog.open(run.store) as log:
        log.session("c").close()
    documents = run.json("commit", "--all")
    assert [(entry["session_id"], entry["status"]) for entry in documents] == [
        ("a", "accepted"),
        ("b", "accepted"),
    ]


def test_a_blocked_commit_is_a_conflict_that_names_the_way_out(
    run: CommandLine, finalizers: str
) -> None:
    """C5."""
    fail(run, finalizers)
    answer = run("commit", "chat-1")
    assert answer.code == 4
    assert "eventlog retry chat-1 archive_001" in answer.stderr
    converse(run, "other")
    answer = run("commit", "--all", "--json")
    assert answer.code == 4
    assert [entry["status"] for entry in answer.document] == ["blocked", "accepted"]


def test_whoever_looks_at_a_blocked_session_is_told_what_to_type(
    run: CommandLine, finalizers: str
) -> None:
    """U4, C5."""
    converse(run, "calm")
    fail(run, finalizers)
    shown, health = run("show", "chat-1"), run("health")
    for command in (
        "eventlog retry chat-1 archive_001",
        "eventlog abandon chat-1 archive_001",
        "eventlog policy chat-1 --failed-archives skip",
    ):
        assert f"  {command}" in shown.stderr.splitlines()
    assert health.stderr.splitlines() == [
        "chat-1 is blocked; to see why:",
        "  eventlog show chat-1",
        "to give archive_001 new attempts:",
        "  eventlog retry chat-1 archive_001",
    ]
    assert run("show", "calm").stderr == ""
    assert run("show", "chat-1", "--json").stderr == run("health", "--json").stderr == ""
    run("retry", "chat-1", "archive_001")
    assert run("health").stderr == "1 task without a worker: `eventlog work` runs them\n"


# ---- work -------------------------------------------------------------------------------------


def test_work_once_finalises_all_that_is_due_and_says_how_many(run: CommandLine) -> None:
    for session in ("a", "b", "c"):
        converse(run, session)
        run("commit", session)
    document = run.json("work", "--once", "--name", "nightly", "--concurrency", "2")
    counts = {"completed": 3, "retry": 0, "failed": 0}
    assert document == {"worker": "nightly", **counts, "waiting": []}
    assert {task["state"] for task in run.json("tasks")} == {"completed"}
    assert run.json("work", "--once")["completed"] == 0


def test_work_tells_each_step_on_stderr_and_the_sum_on_stdout(run: CommandLine) -> None:
    converse(run)
    run("commit", "chat-1")
    answer = run("work", "--once", "--name", "nightly")
    assert answer.stdout == "1 task completed by nightly\n"
    assert answer.stderr.splitlines() == [
        "chat-1 archive_001 finalise: running",
        "chat-1 archive_001 finalise: completed",
    ]


def test_work_uses_a_finalizer_of_the_user_s_own(run: CommandLine, finalizers: str) -> None:
    converse(run)
    run("commit", "chat-1")
    run("work", "--once", "--finalizer", f"{finalizers}:describing")
    assert run.json("show", "chat-1")["overview"] == "# 3 messages"


def test_work_once_does_not_wait_for_another_attempt(
    run: CommandLine, finalizers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F3: the longest delay is drawn, so that the next attempt is not due."""
    converse(run)
    run("commit", "chat-1")
    monkeypatch.setitem(cast("Any", AsyncWorker.__init__).__kwdefaults__, "draw", lambda: 1.0)
    answer = run("work", "--once", "--finalizer", f"{finalizers}:losing")
    assert answer.code == 0
    assert "1 task to be tried again later" in answer.stdout
    assert "(RetryableError: connection reset by peer)" in answer.stderr
    (task,) = run.json("tasks")
    assert (task["state"], task["attempts"]) == ("retry", 1)


@pytest.mark.parametrize("name", ["", ":x", "nowhere:x", "own_finalizers:missing"])
def test_a_finalizer_that_cannot_be_found_is_a_usage_error(
    run: CommandLine, finalizers: str, name: str
) -> None:
    converse(run)
    assert finalizers == "own_finalizers"
    answer = run("work", "--once", "--finalizer", name)
    assert answer.code == 2
    assert answer.stderr.startswith(f"eventlog: --finalizer {name}: ")


def test_something_else_than_a_finalizer_is_refused(run: CommandLine, finalizers: str) -> None:
    converse(run)
    answer = run("work", "--once", "--finalizer", f"{finalizers}:nothing")
    assert answer.code == 2
    assert "is neither an eventlog.Finalizer nor a function" in answer.stderr


def test_a_summarizer_in_a_module_of_the_current_folder_is_enough(
    run: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "my_service.py").write_text(
        "from eventlog import Summary\n\n\n"
        "def summarize(request):\n"
        "    return Summary(overview='# by the service', abstract='short')\n"
    )
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    converse(run)
    run("commit", "chat-1")
    answer = run("work", "--once", "--finalizer", "my_service:summarize")
    assert (answer.code, "1 task completed" in answer.stdout) == (0, True)
    assert "# by the service" in run("show", "chat-1", "--context").stdout
    assert run("at", "chat-1", "--context").stdout == run("show", "chat-1", "--context").stdout
    assert run("tasks", "--state", "failed").stdout == "no such tasks\n"


def test_work_reports_what_failed_and_why(run: CommandLine, finalizers: str) -> None:
    converse(run)
    run("commit", "chat-1")
    answer = run("work", "--once", "--finalizer", f"{finalizers}:refusing")
    assert answer.code == 0
    assert "1 failed for good" in answer.stdout
    assert "failed for good (NonRetryableError: prompt is too long" in answer.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_worker_cleanly(run: CommandLine, number: int) -> None:
    """F12."""
    converse(run)
    run("commit", "chat-1")
    with run.spawn("work", "--json") as process:
        assert process.stderr is not None
        seen = [process.stderr.readline() for _ in range(2)]
        process.send_signal(number)
        stdout, stderr = process.communicate()
    assert seen[1].endswith("completed\n")
    assert (process.returncode, stderr) == (0, "")
    assert '"completed": 1' in stdout


@pytest.mark.parametrize("words", [["--once"], []])
def test_what_runs_when_the_worker_is_stopped_ends_and_nothing_new_begins(
    run: CommandLine, finalizers: str, words: list[str]
) -> None:
    """F12: the summarizer itself sends the signal."""
    for session in ("a", "b"):
        converse(run, session)
        run("commit", session)
    document = run.json(
        "work", *words, "--concurrency", "1", "--finalizer", f"{finalizers}:stopped"
    )
    assert document["completed"] == 1
    assert sorted(task["state"] for task in run.json("tasks")) == ["completed", "pending"]


def test_without_grace_what_runs_is_given_back_and_not_counted(
    run: CommandLine, finalizers: str
) -> None:
    """F12."""
    converse(run)
    run("commit", "chat-1")
    words = ("work", "--once", "--grace", "0", "--finalizer", f"{finalizers}:stopped")
    assert run.json(*words)["completed"] == 0
    (task,) = run.json("tasks")
    assert (task["state"], task["attempts"]) == ("pending", 0)


def test_a_worker_without_room_does_not_look_for_more(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F12: no polling storm while more is due than it may run at once."""
    looks: list[int] = []

    def counted(*arguments: Any) -> float | None:
        looks.append(1)
        return seconds_until_due(*arguments)

    async def summarize(request: SummaryRequest) -> Summary:
        for _ in range(20):  # As many turns in which a storm could rage.
            await asyncio.to_thread(looks.copy)
        seen.append(len(looks))
        worker.stop()
        return Summary(overview="overview", abstract="abstract")

    seen: list[int] = []
    for session in ("a", "b", "c"):
        converse(run, session)
        run("commit", session)
    monkeypatch.setattr("eventlog.worker.worker.seconds_until_due", counted)
    with eventlog.open(run.store) as log:
        worker = Worker(log, Finalizer(summarize), concurrency=1)
        worker.run()
    assert seen == [0]


# ---- tasks ------------------------------------------------------------------------------------


def test_tasks_can_be_chosen_by_session_state_and_kind(run: CommandLine, finalizers: str) -> None:
    fail(run, finalizers)
    converse(run, "chat-2")
    run("commit", "chat-2")

    def found(*words: str) -> list[str]:
        return [task["session_id"] for task in run.json("tasks", *words)]

    assert found() == ["chat-1", "chat-2"]
    assert found("--session", "chat-2") == ["chat-2"]
    assert found("--state", "terminal_failed") == found("--state", "failed") == ["chat-1"]
    assert found("--state", "pending") == ["chat-2"]
    assert found("--kind", "finalise") == ["chat-1", "chat-2"]
    assert found("--kind", "memories") == []


def test_tasks_show_people_the_error(run: CommandLine, finalizers: str) -> None:
    fail(run, finalizers)
    shown = run("tasks").stdout
    assert "terminal_failed" in shown
    assert "prompt is too long" in shown


# ---- watching ---------------------------------------------------------------------------------


def test_tasks_are_watched_line_by_line_until_ctrl_c(run: CommandLine, finalizers: str) -> None:
    """Where no terminal is: what is open, then each change of what was chosen."""
    fail(run, finalizers)
    for session in ("chat-2", "chat-3"):
        converse(run, session)
        run("commit", session)
    with run.spawn("tasks", "--watch", "--session", "chat-2") as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline() == "chat-2 archive_001 finalise: pending\n"
        run("work", "--once")
        seen = [watch.stdout.readline() for _ in range(2)]
        converse(run, "chat-2")
        run("commit", "chat-2")
        seen.append(watch.stdout.readline())
        run("abandon", "chat-2", "archive_002")
        seen.append(watch.stdout.readline())
        watch.send_signal(signal.SIGINT)
        stdout, stderr = watch.communicate()
    assert seen == [
        "chat-2 archive_001 finalise: running\n",
        "chat-2 archive_001 finalise: completed\n",
        "chat-2 archive_002 finalise: waits for a worker\n",
        "chat-2 archive_002 finalise: abandoned\n",
    ]
    assert (watch.returncode, stdout, stderr) == (0, "", "")


@pytest.mark.parametrize("words", [["--json"], ["--state", "pending"]])
def test_watching_is_for_people_and_for_all_states(run: CommandLine, words: list[str]) -> None:
    converse(run)
    answer = run("tasks", "--watch", *words)
    assert answer.code == 2
    assert f"{words[0]} cannot be used with --watch" in answer.stderr


def test_a_terminal_shows_per_session_what_runs_waits_and_failed(
    run: CommandLine, finalizers: str
) -> None:
    """The live table, as a terminal gets it."""
    fail(run, finalizers)
    for _ in range(3):
        converse(run, "chat-2")
        run("commit", "chat-2")
    with eventlog.open(run.store) as log:
        screen = StringIO()
        console = Console(file=screen, force_terminal=True, width=120)
        watching = LiveWatcher(log, console)
        (first, *_) = log.tasks("chat-2")
        claim = ClaimTask(first.task_id, "nightly", this_process(), 1_000_000, 3)
        execute(log, "chat-2", claim)
        watching.look()
        console.print(watching.live.get_renderable())
    bar, heading, rule, *table = Text.from_ansi(screen.getvalue()).plain.splitlines()
    assert "1/4" in bar
    assert set(rule) == {"─"}
    assert [line.split() for line in (heading, *table)] == [
        ["session", "running", "waiting", "completed", "failed", "why"],
        ["chat-2", "archive_001", "2", "0"],
        [
            *("chat-1", "0", "0", "archive_001"),
            *("NonRetryableError:", "prompt", "is", "too", "long:", "210,000", "tokens"),
        ],
    ]


# ---- retry, abandon ---------------------------------------------------------------------------


def test_a_failed_archive_is_finalised_after_a_retry(run: CommandLine, finalizers: str) -> None:
    """F9."""
    fail(run, finalizers)
    words = ("retry", "chat-1", "archive_001", "--actor", "ops", "--reason", "new model")
    assert run.json(*words) == {
        "session_id": "chat-1",
        "archive_id": "archive_001",
        "status": "accepted",
    }
    assert run.json(*words)["status"] == "running"
    assert run.json("work", "--once")["completed"] == 1
    assert run.json(*words)["status"] == "already_completed"
    event = run.json("show", "chat-1", "--events")[-4]
    assert (event["type"], event["data"]["reason"]) == ("retry_requested", "new model")
    assert event["metadata"]["actor"] == "ops"


def test_an_abandoned_archive_blocks_no_longer(run: CommandLine, finalizers: str) -> None:
    fail(run, finalizers)
    document = run.json("abandon", "chat-1", "archive_001", "--actor", "ops", "--reason", "old")
    assert document["status"] == "abandoned"
    assert run.json("commit", "chat-1")["status"] == "accepted"
    assert run("retry", "chat-1", "archive_001").code == 2
    assert run("abandon", "chat-1", "archive_001").code == 0
