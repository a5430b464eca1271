"""A supervisor in a process: answers what is queued, until it is killed or stopped.

``python supervising.py URL BILL`` says that it is ready, and writes a line to the file BILL for each
call that is paid for.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import eventlog
from eventlog import Message, RestartPolicy, Run, Supervisor

OFTEN = RestartPolicy(consecutive=100, delays=(0.05,), window=(100, 600.0))
"""A process that is killed all the time is to blame here, not the agent."""


async def serve(url: str, bill: Path) -> None:
    async def agent(run: Run) -> str:
        def pay() -> str:
            with bill.open("a", encoding="utf-8") as file:
                file.write(f"{run.session.id} {run.prompt.id}\n")
            return f"answer to {run.prompt.text}"

        found: str = await run.step("pay", pay)
        async with run.stream("answer") as out:
            if not out.done:
                for word in found.split():
                    await out.write(f"{word} ")
        await run.session.append(Message.assistant(f"done with {run.prompt.text}"))
        return found

    async with eventlog.open_async(url) as log:
        supervisor = Supervisor(log, agent, restarts=OFTEN, lease_seconds=5)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, supervisor.stop)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await supervisor.run()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
