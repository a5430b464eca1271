"""Supervisors in virtual time, and what their runs came to."""

from __future__ import annotations

import asyncio
from typing import Any

from eventlog import (
    Log,
    Message,
    Run,
    Session,
    Supervisor,
)
from eventlog.session.runs.commands import StartRun
from eventlog.session.tasks.events import OwnerData
from eventlog.session.turns.commands import BeginTurn
from eventlog.testing.clock import FakeClock
from eventlog.testing.inside import execute
from eventlog.testing.jumping import JumpingTime

ELSEWHERE = OwnerData(host="elsewhere", boot="", pid=1, started="")


def work(
    log: Log, agent: Any, clock: FakeClock, *, for_seconds: float = 12, **options: Any
) -> None:
    """Run a supervisor in virtual time until nothing has been due for a while."""

    async def main() -> None:
        supervisor = Supervisor(log, agent, draw=lambda: 1.0, **options)
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(for_seconds)
        supervisor.stop()
        await running

    JumpingTime(clock).run(main())


def queued(session: Session, *ids: str) -> list[str]:
    return [session.enqueue(Message.user(id_, id=id_)) for id_ in ids]


def states(log: Log, session: str = "s") -> list[str]:
    return [run.state for run in log.runs(session)]


def events(log: Log, type_: str, session: str = "s") -> list[Any]:
    return [entry.event for entry in log.read(session) if entry.type == type_]


async def answer(run: Run) -> dict[str, str]:
    message = await run.session.append(Message.assistant(f"about {run.prompt.text}"))
    return {"answer": message.id}


def begun_elsewhere(log: Log, run_id: str, session: str = "s") -> None:
    """Begin the next attempt of a run as a process on another host, of whose end nobody knows."""
    begin = BeginTurn(run_id, ELSEWHERE, 60_000_000, 600.0, resumes=True)
    execute(log, session, StartRun(run_id, "elsewhere", "claude", begin))
