"""Two hosts with a worker each, of which one is killed with signal 9: all archives get finished.

    python tests/processes/two_hosts.py               2,000 archives on PostgreSQL, then on JetStream
    python tests/processes/two_hosts.py 200           fewer

A host here is a separate namespace for the network, process ids and the host's name: its worker
reaches the servers by a (virtual) cable, sees no process of the other's, and can prove none to be
gone, so what the killed one held is free when its lease ends. The servers, PostgreSQL and three of
NATS, have a network of their own, too; nothing is reachable from outside. Needs root and iproute2.

At the end every archive must be completed, in order within its session, each summary recorded once.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import eventlog
from eventlog.testing.servers.archives import check_finished, leave_archives
from eventlog.testing.servers.nats import NatsCluster
from eventlog.testing.servers.postgres import VERSIONS, PostgresServer

PER_SESSION = 10
LEASE_SECONDS = 5.0
ATTEMPTS = 3
SERVERS = "10.77.0.1"
INSIDE = "--inside"


class Host:
    """A host with `eventlog work` on it."""

    def __init__(self, number: int, url: str) -> None:
        self.name = f"host-{number}"
        command = [sys.executable, "-m", "eventlog", "--store", url, "work"]
        options = ["--name", self.name, "--lease", str(LEASE_SECONDS)]
        begin = (
            f"hostname {self.name}; echo ready; read plugged; ip link set lo up; "
            f"ip address add 10.77.0.{number + 10}/24 dev cable; ip link set cable up; "
            f"exec {shlex.join([*command, *options])}"
        )
        apart = ["--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._process = subprocess.Popen(
            ["unshare", *apart, "sh", "-c", begin],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        cable, pid = f"host{number}", self._process.pid
        run(f"ip link add {cable} type veth peer name cable netns {pid}")
        run(f"ip link set {cable} master hosts up")
        self._process.stdin.write("plugged\n")

    def kill(self) -> None:
        """End all that runs on it with signal 9."""
        self._process.kill()
        self._process.communicate()


def run(command: str) -> None:
    subprocess.run(command.split(), check=True)


def finish(kind: str, url: str, archives: int) -> str:
    """Have two hosts finish archives, kill one when a quarter is done; tell what each has done."""
    sessions = archives // PER_SESSION
    leave_archives(url, sessions, PER_SESSION)
    begun = time.monotonic()
    hosts = [Host(number, url) for number in (1, 2)]
    workers: dict[str, str] = {}
    finished = Counter[str]()
    pause, killed_at = 0.0, None
    try:
        with eventlog.open(url) as log:
            last = time.monotonic()
            for recorded in log.follow(types=["task_claimed", "archive_finalized"]):
                event: Any = recorded.event
                if recorded.type == "task_claimed":
                    workers[event.task_id] = event.worker
                    continue
                finished[workers[event.task_id]] += 1
                pause, last = max(pause, time.monotonic() - last), time.monotonic()
                if killed_at is None and finished.total() >= archives // 4 and len(finished) == 2:
                    killed_at = finished.total()  # Both are at work.
                    hosts[0].kill()
                if finished.total() == archives:
                    break
    finally:
        for host in hosts:
            host.kill()
    took = time.monotonic() - begun
    assert killed_at is not None, "one host did nothing"
    check_finished(url, sessions, PER_SESSION, attempts=ATTEMPTS)
    shares = ", ".join(f"{count:,} by {worker}" for worker, count in sorted(finished.items()))
    return (
        f"{kind}: {archives:,} archives of {sessions:,} sessions finished in order, each summary "
        f"recorded once: {shares}; host-1 killed after {killed_at:,}, {took:.1f} s in all, longest "
        f"pause {pause:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("archives", type=int, nargs="?", default=2_000)
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:  # Once more, in a network of the servers' own.
        again = ["unshare", "--net", "--kill-child", sys.executable, __file__]
        os.execvp("unshare", [*again, str(options.archives), INSIDE])
    run("ip link set lo up")
    run("ip link add hosts type bridge")
    run(f"ip address add {SERVERS}/24 dev hosts")
    run("ip link set hosts up")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with PostgresServer(VERSIONS[-1], disk=True, host=SERVERS) as postgres:
        print(finish("PostgreSQL", postgres.url(), options.archives), flush=True)
    with NatsCluster(disk=True, host=SERVERS) as nats:
        print(finish("JetStream", nats.url(), options.archives), flush=True)


if __name__ == "__main__":
    main()
