"""Workers that die, are killed or are stopped by a signal, as real processes on one SQLite file."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog import CommitBlocked, Message
from eventlog.testing.model.laws import check_laws

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from eventlog import Log, Session

    Script = Any  # Of this folder's conftest, which cannot be imported from here.

CALM = ("calm1", "calm2", "calm3")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/log.db"


def _committed(log: Log, name: str, archives: int) -> Session:
    session = log.session(name, create=True)
    for number in range(archives):
        session.append(Message.user(f"message {number}"))
        session.commit()
    return session


def _states(session: Session) -> list[tuple[str, int]]:
    return [(view.state, view.attempts) for view in session.archives()]


def test_a_summary_that_ends_its_process_does_so_three_times_and_blocks_its_session_only(
    url: str, start: Callable[..., Script], account: Counter[str]
) -> None:
    """P6, F1, C5, F9: neighbours that died with it get their summaries all the same."""
    with eventlog.open(url) as log:
        poison = _committed(log, "poison", 2)
        calm = [_committed(log, name, 2) for name in CALM]
        deaths, code = 0, 9
        while code == 9:
            worker = start("poisoned.py", url)
            worker.rest()
            code = worker.process.returncode
            deaths += code == 9
        assert (deaths, code) == (3, 0)
        account["workers ended by a poison archive"] += deaths

        assert _states(poison) == [("terminal_failed", 3), ("pending", 0)]
        assert [view.error for view in poison.archives()] == ["worker lost", None]
        for session in calm:
            assert [state for state, _ in _states(session)] == ["completed", "completed"]

        poison.append(Message.user("and now?"))
        with pytest.raises(CommitBlocked, match=r"archive_001.*worker lost.*retry"):
            poison.commit()

        assert poison.retry("archive_001", actor="ops", reason="a model that copes") == "accepted"
        cured = start("poisoned.py", url, "cured")
        assert cured.rest() == ["poison archive_001", "poison archive_002"]
        assert _states(poison) == [("completed", 1), ("completed", 1)]
        (asked,) = [entry for entry in log.read("poison") if entry.type == "retry_requested"]
        assert asked.metadata.actor == "ops"
        assert poison.commit().archive_id == "archive_003"
        check_laws(log.store)


def test_a_worker_that_was_stopped_past_its_lease_changes_nothing_when_it_goes_on(
    url: str, start: Callable[..., Script], account: Counter[str]
) -> None:
    """P5, F2: another one has completed its task meanwhile; its own result is refused."""
    with eventlog.open(url) as log:
        session = _committed(log, "s1", 1)
        stopped = start("worker.py", url, "wait", 2.0)
        assert stopped.line() == "s1 archive_001 1"
        stopped.process.send_signal(signal.SIGSTOP)
        other = start("worker.py", url)  # Its lease is long: it may be slow, and is not stopped.
        assert other.line() == "s1 archive_001 2"
        types = ["archive_finalized"]
        next(entry for entry in log.follow(types=types))
        history = list(log.read("s1"))

        stopped.process.send_signal(signal.SIGCONT)
        stopped.say("here is the summary")
        assert "LeaseLost" in stopped.line()
        stopped.kill()
        other.kill()
        account["workers stopped past their lease"] += 1

        assert list(log.read("s1")) == history
        assert [entry.type for entry in history][-4:] == [
            "lease_expired",
            "task_claimed",
            "step_completed",
            "archive_finalized",
        ]
        assert _states(session) == [("completed", 2)]
        check_laws(log.store)


def test_a_worker_that_gets_sigterm_ends_what_it_has_begun(
    url: str, start: Callable[..., Script]
) -> None:
    """F12: within its grace, and exits 0."""
    with eventlog.open(url) as log:
        session = _committed(log, "s1", 1)
        working = start("working.py", url, "--name", "nightly", "--grace", 60)
        assert working.line() == "begun s1"
        working.process.send_signal(signal.SIGTERM)
        working.say("here is the summary")
        assert working.rest() == ["1 task completed by nightly"]
        assert working.process.returncode == 0
        assert _states(session) == [("completed", 1)]
        check_laws(log.store)


def test_a_worker_that_gets_sigterm_gives_back_what_does_not_end(
    url: str, start: Callable[..., Script], account: Counter[str]
) -> None:
    """F12: its summary hangs in a thread, which keeps nobody; the attempt is not counted."""
    with eventlog.open(url) as log:
        session = _committed(log, "s1", 1)
        working = start("working.py", url, "--name", "nightly", "--grace", 0.1)
        assert working.line() == "begun s1"
        working.process.send_signal(signal.SIGTERM)
        assert working.rest() == ["0 tasks completed by nightly"]
        assert working.process.returncode == 0
        account["workers asked to stop in the middle of a summary"] += 1
        assert _states(session) == [("pending", 0)]
        assert [entry.type for entry in log.read("s1")][-2:] == ["task_claimed", "task_released"]
        check_laws(log.store)


def test_workers_that_are_killed_again_and_again_complete_each_archive_once_and_in_order(
    tmp_path: Path, start: Callable[..., Script], account: Counter[str]
) -> None:
    """P5, P6, F5: three workers on one file; run by itself the script does 64 × 20 archives."""
    script = start("under_fire.py", tmp_path, 12, 8, "--archives", 8)
    (line,) = script.rest()
    assert script.process.returncode == 0
    assert line.startswith("96 archives completed, 12 workers killed, ")
    account["workers killed under fire"] += 12
