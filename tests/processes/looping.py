"""Run an agent's loop of turns, and say each that is done; what it pays for is in a file.

Arguments: the URL of the log, the file, the number of turns, and ``turns``, ``ids`` (turns with ids of
the loop's own for its messages) or ``plain`` (no turns, for comparison).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import eventlog
from eventlog import Message, Session


def calling(tool_id: str, **fields: Any) -> Message:
    part = {"type": "tool", "tool_id": tool_id, "tool_name": "t", "tool_status": "pending"}
    return Message.model_validate({"role": "assistant", "parts": [part], **fields})


def pay(bill: str, name: str) -> str:
    """Call the server: the call is on the bill, whatever becomes of its answer."""
    with Path(bill).open("ab", buffering=0) as file:
        file.write(f"{name}\n".encode())
        os.fsync(file.fileno())
    return f"output of {name}"


def turn(session: Session, bill: str, name: str, *, own_ids: bool) -> None:
    """Do one turn in a session, or in the block of one."""
    ids: dict[str, Any] = {"id": f"{name}-in"} if own_ids else {}
    session.append(Message.user(f"input of {name}", **ids))
    ids = {"id": f"{name}-call"} if own_ids else {}
    call = session.append(calling(name, **ids))
    if isinstance(session, eventlog.Turn):
        output = session.step("call", pay, bill, name)
    else:
        output = pay(bill, name)
    session.record_tool_result(call.id, name, output)
    answer = f"{name}-answer" if own_ids else None
    with session.stream("answer", message_id=answer, window_seconds=0.002) as out:
        if not out.done:
            for token in ("answer", " of ", name):
                out.write(token)
                time.sleep(0.001)  # As a model does; chunks are stored meanwhile.
            look = out.call("look", {}, tool_id=f"look-{name}")
            session.record_tool_result(out.id, look.tool_id, "seen")


def main(url: str, bill: str, count: int, kind: str) -> None:
    with eventlog.open(url) as log:
        session = log.session("s", create=True)
        progress = Path(f"{bill}.done")
        done = len(progress.read_text().splitlines()) if progress.exists() else 0
        for number in range(0 if kind != "plain" else done, count):
            name = f"t{number}"
            if kind == "plain":
                turn(session, bill, name, own_ids=False)
                with progress.open("a") as file:
                    file.write(f"{name}\n")
            else:
                with session.turn(name, resume=True, wait_seconds=30.0) as begun:
                    if not begun.done:
                        turn(begun, bill, name, own_ids=kind == "ids")
            print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
