"""Runs in what looks back and takes along: forks, bundles, copies, the projection (A3, A4)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import eventlog
from eventlog import Log, Message, Session
from eventlog.projections import Runs
from eventlog.session.turns.commands import EndTurn
from eventlog.session.turns.state import TurnFence
from eventlog.testing.inside import core_of, engine_of
from tests.runs.driving import check, settle, start

if TYPE_CHECKING:
    from pathlib import Path


def complete(log: Log, run_id: str, attempt: int) -> None:
    fence = TurnFence(run_id, attempt)
    engine_of(log).execute(core_of(log, "s"), EndTurn(fence, "completed", 1), fence=fence)


def told(log: Log, session: Session) -> list[str]:
    """Record runs that are done, failed, restarted, and waiting; return their ids."""
    runs = [session.enqueue(Message.user("secret", id=f"m{number}")) for number in range(4)]
    start(log, runs[0])
    settle(log, runs[0], "released")
    start(log, runs[0])
    complete(log, runs[0], 2)
    start(log, runs[1])
    settle(log, runs[1], "failed")
    start(log, runs[2])
    return runs


def test_a_fork_has_runs_of_its_own_that_go_on(log: Log, session: Session) -> None:
    runs = told(log, session)

    fork = session.fork(version=session.version, into="what-if")

    check(log, "what-if")
    theirs = [run.run_id for run in log.runs("what-if")]
    assert not {*theirs} & {*runs}
    assert sorted(run.state for run in log.runs("what-if")) == [
        *("completed", "failed", "idle", "running"),
    ]
    assert {turn.turn_id for turn in fork.turns()} <= {*theirs}
    (running,) = log.runs("what-if", state="running")
    assert settle(log, running.run_id, "released", session="what-if") == "idle"
    assert start(log, running.run_id, session="what-if").attempt == 2
    assert fork.enqueue(Message.user("secret", id="m3")) in theirs
    check(log, "what-if")
    check(log)


def test_a_projection_of_records_is_what_the_index_says(log: Log, session: Session) -> None:
    told(log, session)

    view = log.project("s", Runs())

    assert sorted(view.runs) == sorted(log.runs("s"))
    assert view == eventlog.replay(log.read("s"), Runs())
    assert view.states == {"completed": 1, "failed": 1, "idle": 1, "running": 1}
    half = Runs()
    assert half.load(half.dump(half.initial())).runs == {}


def test_a_bundle_without_texts_keeps_who_did_what(
    log: Log, session: Session, tmp_path: Path
) -> None:
    told(log, session)
    log.bundle(["s"], tmp_path / "s.zip", redact="texts")

    with eventlog.open_bundle(tmp_path / "s.zip") as bundled:
        events: list[Any] = [entry.record for entry in bundled.read("s")]
        assert b"secret" not in b"".join(record.data for record in events)
        started = [json.loads(each.data) for each in events if each.type == "run_started"]
        assert {each["supervisor"] for each in started} == {"here"}


def test_looking_back_and_asking_work_with_runs(log: Log, session: Session) -> None:
    runs = told(log, session)
    change = session.blame(f"tasks[{runs[1]}].state")
    assert change is not None
    assert (change.after, change.event.type) == ("terminal_failed", "run_failed")
    found = session.bisect(f'tasks["{runs[0]}"].state == "completed"')
    assert found is not None
    assert session.at(version=3).tail() == ()
