"""kill -9 of real processes on one log: what was acknowledged is there, once, in order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog import Finalizer, Message, RetryPolicy, Summary, SummaryRequest, Worker
from eventlog.testing.model.laws import check_laws
from tests.shares import rounds

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from eventlog import Log

    Script = Any  # Of this folder's conftest, which cannot be imported from here.

    from tests.shares import Share

SESSIONS = ("s1", "s2", "s3")
LAST = rounds(45, 90)
ENDLESS = 1_000_000
ATTEMPTS = 1_000


@pytest.fixture(params=["sqlite", "files"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a log that several processes write."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/log.db"
    # Segments and turns end often, so that processes are killed in the middle of that, too.
    return f"files:///{tmp_path}/log?writers=many&segment_bytes=20000"


def _stored(log: Log, name: str) -> list[int]:
    """Return the numbers of a writer's messages, sorted; assert their order in each session."""
    numbers: list[int] = []
    for session in SESSIONS:
        said = [
            int(message.id.removeprefix(f"{name}-"))
            for message in log.session(session).history()
            if message.id.startswith(f"{name}-")
        ]
        assert said == sorted(set(said))
        numbers += said
    return sorted(numbers)


def _finish(log: Log) -> None:
    """Finalise what the killed workers have left."""

    def summarize(request: SummaryRequest) -> Summary:
        return Summary(overview="finished", abstract="finished")

    Worker(log, Finalizer(summarizer=summarize), retry=RetryPolicy(attempts=ATTEMPTS)).run_once()


@pytest.mark.parametrize("seed", range(rounds(1, 9)))
def test_writers_killed_at_random_lose_nothing_that_they_were_told_is_stored(
    seed: int, url: str, start: Callable[..., Script], account: Counter[str]
) -> None:
    """P1, P8: one of two writers is killed again and again, and goes on where it stopped."""
    draw = random.Random(seed)
    steady = start("writer.py", url, "steady", 1, ENDLESS)
    steady_told = len(steady.lines(1))
    worker = start("worker.py", url)
    highest = 0
    while highest < LAST:
        victim = start("writer.py", url, "victim", max(1, highest), LAST)
        heard = victim.lines(draw.randint(1, 30)) + victim.kill()
        highest = max([highest, *map(int, heard)])
        account["writers killed"] += 1
        if draw.random() < 0.5:
            worker.kill()
            account["workers killed"] += 1
            worker = start("worker.py", url)
    steady_told += len(steady.kill())
    worker.kill()
    account["messages acknowledged by killed writers"] += steady_told + highest
    with eventlog.open(url) as log:
        assert _stored(log, "victim") == list(range(1, LAST + 1))
        stored = _stored(log, "steady")
        assert stored == list(range(1, len(stored) + 1))
        assert len(stored) - steady_told in (0, 1), "at most the last one was not acknowledged"
        _finish(log)
        assert {task.state for task in log.tasks()} == {"completed"}
        check_laws(log.store, attempts=ATTEMPTS)
    after = start("writer.py", url, "after", 1, 3)
    assert after.rest() == ["1", "2", "3"]


def test_another_worker_completes_at_once_what_a_killed_one_had_begun(
    url: str, start: Callable[..., Script], account: Counter[str]
) -> None:
    """F2, P6: the owner is proven dead, so nobody waits for its lease; the attempt counts."""
    with eventlog.open(url) as log:
        session = log.session("s1", create=True)
        session.append(Message.user("hello"))
        task_id = session.commit().task_id
        assert task_id is not None
        worker = start("worker.py", url, "wait")
        assert worker.line() == "s1 archive_001 1"
        _finish(log)
        assert log.task(task_id).state == "running"
        worker.kill()
        account["workers killed in the middle of a summary"] += 1
        _finish(log)
        task = log.task(task_id)
        assert (task.state, task.attempts) == ("completed", 2)
        lost = [recorded.type for recorded in log.read("s1")][-4:]
        assert lost == ["lease_expired", "task_claimed", "step_completed", "archive_finalized"]
        check_laws(log.store, attempts=ATTEMPTS)


def test_a_summary_that_was_paid_for_is_not_made_again(
    url: str, start: Callable[..., Script], account: Counter[str]
) -> None:
    """F5: several archives, and workers that are killed when they begin the next one."""
    with eventlog.open(url) as log:
        session = log.session("s1", create=True)
        for number in range(4):
            session.append(Message.user(f"{number}"))
            session.commit()
        made: list[str] = []
        for number in range(1, 4):
            worker = start("worker.py", url, "wait")
            made.append(worker.line())
            worker.say("go on")
            made.append(worker.line())
            worker.kill()
            account["workers killed in the middle of a summary"] += 1
            assert made[-1].split()[1] == f"archive_00{number + 1}"
        _finish(log)
        finished = [line.split()[1] for line in made]
        assert finished == [
            "archive_001",
            "archive_002",
            "archive_002",
            "archive_003",
            "archive_003",
            "archive_004",
        ]
        overviews = [session.archive(view.archive_id).overview for view in session.archives()]
        assert overviews == [*(f"archive_00{n} of 1 messages" for n in (1, 2, 3)), "finished"]
        check_laws(log.store, attempts=ATTEMPTS)


@pytest.mark.parametrize("kind", ["statements", "writes", "files"])
def test_a_process_killed_at_any_step_that_it_writes_leaves_what_can_be_finished(
    kind: str,
    tmp_path: Path,
    share: Share,
    start: Callable[..., Script],
    account: Counter[str],
) -> None:
    """K4, P1 to P8: one process after another, each killed at another step."""
    script = start("killed_at_each_step.py", tmp_path, kind, share.every, share.first)
    (told,) = script.rest()
    assert script.process.returncode == 0
    steps, killed = map(int, told.split())
    assert steps > 20
    account[f"processes killed at one of their {kind}"] += killed


def _steps(kind: str, request: pytest.FixtureRequest) -> str:
    """Return what a step is, as the scripts take it: on PostgreSQL a message to or from the server."""
    return str(request.getfixturevalue("newest_postgres")) if kind == "messages" else kind


STEPS = pytest.mark.parametrize("kind", ["statements", "writes", "files", "messages"])

RARER = rounds(6, 1)
"""How many times fewer of the steps are tried that are messages, since there are many."""


@STEPS
@pytest.mark.parametrize("script", ["killed_while_streaming.py", "killed_in_a_turn.py"])
def test_what_streamed_in_a_killed_process_is_there_once_or_withdrawn_with_its_turn(
    script: str,
    kind: str,
    tmp_path: Path,
    share: Share,
    start: Callable[..., Script],
    account: Counter[str],
    request: pytest.FixtureRequest,
) -> None:
    """K4, M7, T5: with all that was acknowledged, also where two processes recover at once."""
    every = share.every * RARER if kind == "messages" else share.every
    running = start(script, tmp_path, _steps(kind, request), every, share.first)
    (said,) = running.rest()
    assert running.process.returncode == 0
    steps, killed, ended = map(int, said.split())
    assert steps > 50
    assert ended <= killed
    assert killed
    assert ended or kind == "messages"  # Their share is too small to say.
    account[f"processes killed at one of their {kind} by {script}"] += killed
