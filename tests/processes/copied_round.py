"""A log copied by `eventlog copy` through every kind of store, and back into the first kind.

    python tests/processes/copied_round.py FOLDER                100,000 records
    python tests/processes/copied_round.py FOLDER --servers 3    on a NATS cluster of three
    python tests/processes/copied_round.py FOLDER 3000 --quick   servers in memory, no interruptions

SQLite → PostgreSQL → files → JetStream → SQLite, each on its own terminal, whose progress bar
is read. Then each hop again, into another place: killed with signal 9 after a third of the records,
interrupted (Ctrl-C) after two thirds, and run once more. Every copy must have the version, time, id
and hash of every record of every session. Says a line for each hop.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import eventlog
from eventlog import Message, Worker
from eventlog.engine.opening import open_store
from eventlog.testing.servers.nats import NatsCluster, NatsServer
from eventlog.testing.servers.postgres import VERSIONS, PostgresServer

PER_SESSION = 100
"""Records of a session, a little more with those of its commit and its archive."""

ARCHIVED_EVERY = 10
"""One of this many sessions has an archive, and a tool output that is stored beside the log."""

LARGE_OUTPUT = "0123456789" * 3_000

_BAR = re.compile(r"([\d,]+) records, [\d,]+/s")
"""What the progress bar says beside its bar."""


class Log(NamedTuple):
    """What of a log is the same in every store."""

    sessions: int
    records: int
    digest: str
    """Of the version, time, id and hash of every record, session by session."""


class Copy:
    """`eventlog copy` on a terminal, which is read while it runs."""

    def __init__(self, source: str, destination: str) -> None:
        self._began = time.monotonic()
        self._screen, terminal = os.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "eventlog", "copy", source, destination],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
        )
        os.close(terminal)
        self.said = ""

    def until(self, records: int) -> int:
        """Read until the bar shows that this many are done, or to the end; return the last number."""
        done = 0
        with suppress(OSError):  # What a terminal says whose last program has ended.
            while done < records and (text := os.read(self._screen, 1 << 16)):
                self.said += text.decode("utf-8", "replace")
                shown = _BAR.findall(self.said)
                done = int(shown[-1].replace(",", "")) if shown else 0
        return done

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, if there is one to send; wait for the end and return the exit code."""
        if number is not None:
            self._process.send_signal(number)
        self.until(sys.maxsize)
        os.close(self._screen)
        code = self._process.wait()
        self.seconds = time.monotonic() - self._began
        return code


def fill(url: str, records: int) -> None:
    """Write sessions that take turns; some have an archive, a task and a large tool output."""
    names = [f"session {number:04d}" for number in range(max(2, records // PER_SESSION))]
    with eventlog.open(url) as log:
        sessions = [log.session(name, create=True, owner="ada") for name in names]
        for turn in range(PER_SESSION // 10):
            for session in sessions:
                session.extend([Message.user(f"turn {turn}: {'why? ' * 80}") for _ in range(10)])
        for session in sessions[::ARCHIVED_EVERY]:
            call = Message.call("read", {"uri": "log://api"}, tool_id="t")
            session.append(Message.assistant("let me see", tools=(call,), id="m"))
            session.record_tool_result("m", "t", LARGE_OUTPUT)
            session.commit(keep_recent=5)
        Worker(log).run_once()


def look(url: str) -> Log:
    """Read every session of a log from its beginning to its end."""
    digest, count = sha256(), 0
    with eventlog.open(url) as log:
        sessions = sorted(log.sessions())
        for session in sessions:
            for version, record in enumerate(log.store.read(session), 1):
                assert (record.stream, record.version) == (session, version)
                about = (session, version, record.time, record.event_id.hex(), record.hash.hex())
                digest.update(repr(about).encode())
                count += 1
    return Log(len(sessions), count, digest.hexdigest())


def copy(source: str, destination: str, expected: Log) -> str:
    """Copy without a disturbance; tell the rate."""
    hop = Copy(source, destination)
    shown = hop.until(1)
    code = hop.end()
    assert code == 0, hop.said
    assert f"{expected.records:,} records of {expected.sessions:,} sessions copied" in hop.said
    assert shown, f"there was no progress bar: {hop.said!r}"
    assert look(destination) == expected
    return f"{expected.records / hop.seconds:,.0f} records/s in {hop.seconds:.1f} s"


def copy_interrupted(source: str, destination: str, expected: Log) -> str:
    """Copy, be stopped twice on the way, and go on each time; tell how far it had come."""
    stopped: list[int] = []
    for share, number, wanted in (
        (1 / 3, signal.SIGKILL, -signal.SIGKILL),
        (2 / 3, signal.SIGINT, 130),
    ):
        hop = Copy(source, destination)
        hop.until(int(share * expected.records))
        code = hop.end(number)
        assert code in (wanted, 0), f"it ended with {code}: {hop.said}"
        assert code != 130 or "run the same command again to resume" in hop.said
        stopped.append(records_in(destination))
    hop = Copy(source, destination)
    assert hop.end() == 0, hop.said
    assert look(destination) == expected
    return (
        f"killed with {stopped[0]:,} copied, interrupted with {stopped[1]:,}, the rest in "
        f"{hop.seconds:.1f} s"
    )


def records_in(url: str) -> int:
    """Count the records of a log of which a copy may have stopped at any point."""
    with closing(open_store(url)) as store:
        return sum(1 for _ in store.read_all())


def name(url: str) -> str:
    """Return what kind of store a URL names."""
    return {"sqlite": "SQLite", "postgresql": "PostgreSQL", "nats": "JetStream"}.get(
        url.partition(":")[0], "files"
    )


def round_trip(
    folder: Path, records: int, postgres: PostgresServer, nats: str, quick: bool
) -> None:
    """Copy from store to store, undisturbed and disturbed; every copy must be the original."""
    source = f"sqlite:///{folder / 'log.db'}"
    fill(source, records)
    expected = look(source)
    rounds = {
        kind: [
            postgres.url(schema=kind),
            f"files:///{folder / kind}",
            f"{nats}?stream={kind}",
            f"sqlite:///{folder / kind}.db",
        ]
        for kind in ("whole", "stopped")
    }
    hops = list(pairwise([source, *rounds["whole"]]))
    for (origin, target), other in zip(hops, rounds["stopped"], strict=True):
        hop = f"{name(origin)} → {name(target)}"
        print(f"{hop}: {copy(origin, target, expected)}", flush=True)
        if not quick:
            print(f"{hop}: {copy_interrupted(origin, other, expected)}", flush=True)
    print(
        f"{expected.records:,} records of {expected.sessions:,} sessions: every copy has the same "
        "versions, times, ids and hashes",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("records", type=int, nargs="?", default=100_000)
    parser.add_argument("--servers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    disk = not options.quick
    with (
        PostgresServer(VERSIONS[-1], disk=disk) as postgres,
        NatsServer(disk=disk) if options.servers == 1 else NatsCluster(disk=disk) as nats,
    ):
        round_trip(options.folder, options.records, postgres, nats.url(), options.quick)


if __name__ == "__main__":
    main()
