"""Kill a process with signal 9 at each step of its writes while a message streams, one per step.

Arguments: a folder; what a step is, as in `killed_at_each_step`, or the URL of a PostgreSQL database,
where a step is a message between the process and the server; and, to take every third step only, 3
and the number of the first one, counted from where the first message begins. After each kill two
processes recover at once, and a third looks at what is there: each message once, ``interrupted`` if its
end was not acknowledged, with all that was acknowledged and at most one chunk more. Says one line: the
steps, how many processes were killed, and how many messages were interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg  # noqa: F401 - once here rather than in every child

from eventlog import Log, Message, Session
from eventlog.engine.opening import open_store
from eventlog.store import Store
from eventlog.stores.files import FilesStore
from eventlog.stores.sqlite import SQLiteStore
from eventlog.testing.crashing import Steps
from eventlog.testing.model.laws import check_laws
from eventlog.testing.servers.wire import CuttingProxy

if TYPE_CHECKING:
    from tests.processes.killed_at_each_step import (
        CHAT,
        NEVER,
        DeadlySteps,
        Unsynced,
        in_a_child,
        stepped,
    )
else:
    from killed_at_each_step import CHAT, NEVER, DeadlySteps, Unsynced, in_a_child, stepped

CHUNKS = {
    "by hand": ["Once ", "upon ", "a ", "time"],
    "in a block": ["there was ", "a token ", "stream. "],
}
"""The messages, by their ids, and what is written to them."""


def scenario(log: Log, steps: DeadlySteps, told: Path) -> None:
    """Stream two messages, and note each step that was acknowledged."""
    session = log.session(CHAT, create=True)
    session.append(Message.user("tell me", id="m1"))
    told.with_suffix(".before").write_text(str(steps.count))
    first, second = CHUNKS
    begun = session.begin_message(message_id=first)
    tell(told, first, "begun")
    for number, chunk in enumerate(CHUNKS[first], 1):
        session.append_chunk(first, begun.fence, number, chunk)
        tell(told, first, chunk)
    session.end_message(first, begun.fence)
    tell(told, first, "ended")
    with session.stream(message_id=second, background=False, chunk_bytes=1) as out:
        for chunk in CHUNKS[second]:
            out.write(chunk)
            tell(told, second, chunk)
    tell(told, second, "ended")


def tell(told: Path, message: str, what: str) -> None:
    """Note what was acknowledged: in a file, which outlives the process."""
    with told.open("a") as file:
        file.write(f"{message}|{what}\n")


Scenario = Callable[[Log, DeadlySteps, Path], None]


class SteppedProxy(CuttingProxy):
    """Stands before a server in the process itself; each message, in both directions, is a step."""

    def __init__(self, host: str, port: int, steps: Steps) -> None:
        self._steps = steps
        super().__init__(host, port)

    def take(self, name: str) -> bool:
        with self._lock:
            self._steps.take(name)
        return True


def is_url(kind: str) -> bool:
    """Return whether it is a database on a server, where each run may take another number of steps."""
    return kind.startswith("postgresql:")


def place(kind: str, path: Path, steps: Steps | None = None) -> str:
    """Return the URL of the log of one run, through a proxy if its messages are steps."""
    schema = f"kill-{sha256(str(path).encode()).hexdigest()[:16]}"
    parts = urlsplit(kind)
    address = parts.netloc
    if steps is not None:
        assert parts.hostname is not None
        assert parts.port is not None
        proxy = SteppedProxy(parts.hostname, parts.port, steps)
        address = f"{parts.username}@127.0.0.1:{proxy.port}"
    return parts._replace(netloc=address, query=f"sslmode=disable&schema={schema}").geturl()


def opened(kind: str, path: Path, steps: Steps) -> Store:
    return open_store(place(kind, path, steps)) if is_url(kind) else stepped(kind, path, steps)


def run(kind: str, path: Path, last: int, scenario: Scenario) -> int:
    steps = DeadlySteps(last)
    log = Log(opened(kind, path, steps))
    scenario(log, steps, path.with_suffix(".told"))
    log.close()
    return steps.count


def reopened(kind: str, path: Path) -> Log:
    if is_url(kind):
        return Log(open_store(place(kind, path)))
    if kind == "files":
        return Log(FilesStore(path, files=Unsynced(), writers="many"))
    return Log(SQLiteStore(path))


def recover(session: Session, number: int) -> None:
    """Append: the producer is proven to have ended, so its streams end."""
    session.append(Message.user("and then?", id=f"after {number}"))


def come(
    kind: str, path: Path, number: int, start: int, recover: Callable[[Session, int], None]
) -> int:
    """Recover as soon as the pipe says so."""
    log = reopened(kind, path)
    session = log.session(CHAT, create=True)
    os.read(start, 1)
    recover(session, number)
    log.close()
    return 0


def recover_at_once(kind: str, path: Path, recover: Callable[[Session, int], None]) -> None:
    """Have two processes recover, which begin together."""
    start, begin = os.pipe()
    children: list[int] = []
    for number in range(2):
        child = os.fork()
        if not child:
            code = 1
            try:
                os.close(begin)
                code = come(kind, path, number, start, recover)
            finally:
                os._exit(code)
        children.append(child)
    os.close(start)
    os.write(begin, b"..")
    os.close(begin)
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def check(kind: str, path: Path) -> int:
    """Compare what is there with what was acknowledged; return how many messages are interrupted."""
    log = reopened(kind, path)
    check_laws(log.store)
    session = log.session(CHAT)
    assert session.streams() == ()
    found = [message for message in session.history() if message.role == "assistant"]
    assert len({message.id for message in found}) == len(found)
    interrupted = 0
    for id_, chunks in CHUNKS.items():
        acknowledged = acknowledged_of(path, id_)
        message = next((each for each in found if each.id == id_), None)
        if message is None:
            assert not acknowledged
            continue
        texts = ["".join(chunks[:count]) for count in range(len(chunks) + 1)]
        written = len([what for what in acknowledged if what in chunks])
        assert message.text in texts[written : written + 2], (message.text, acknowledged)
        is_interrupted = bool((message.model_extra or {}).get("interrupted"))
        if "ended" in acknowledged:
            assert not is_interrupted
        assert is_interrupted or message.text == texts[-1]
        interrupted += is_interrupted
    log.close()
    return interrupted


def acknowledged_of(path: Path, message: str) -> list[str]:
    told = path.with_suffix(".told")
    lines = told.read_text().splitlines() if told.exists() else []
    return [line.partition("|")[2] for line in lines if line.startswith(f"{message}|")]


def kill_at_each(
    folder: Path,
    kind: str,
    every: int,
    first: int,
    scenario: Scenario,
    recover: Callable[[Session, int], None],
    check: Callable[[str, Path], int],
) -> None:
    """Kill a scenario at its steps, recover and check; say what was found."""
    steps = in_a_child(lambda: run(kind, folder / "calm.db", NEVER, scenario))
    before = int((folder / "calm.before").read_text())
    killed = counted = 0
    for last in range(before + first, steps + 1, every):
        path = folder / f"{last}.db"
        ended = in_a_child(lambda: run(kind, path, last, scenario))  # noqa: B023 - called before the next
        assert ended == -signal.SIGKILL or (is_url(kind) and ended < last), f"step {last}: {ended}"
        killed += ended < 0
        recover_at_once(kind, path, recover)
        found = in_a_child(lambda: check(kind, path))  # noqa: B023 - as above
        assert found in (0, 1), f"step {last}: {found}"
        counted += found
    print(steps, killed, counted, flush=True)


def main(folder: Path, kind: str, every: int = 1, first: int = 1) -> None:
    kill_at_each(folder, kind, every, first, scenario, recover, check)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
