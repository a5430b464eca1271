"""Workers on one file of which one is killed with signal 9 again and again, until all is done.

    python tests/processes/under_fire.py FOLDER                   64 sessions × 20 archives, 3 workers,
                                                                  one of them killed every 200 ms
    python tests/processes/under_fire.py FOLDER 8 5 --archives 4  one killed at every 4th archive

A killed worker is replaced at once. At the end every archive must be completed, in order within its
session, each summary recorded once. Says one line: how many archives, how many kills, and the time.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import sqlite_utils  # noqa: F401 - once here rather than in every child

import eventlog
from eventlog import Finalizer, RetryPolicy, Summary, SummaryRequest, Worker
from eventlog.testing.servers.archives import check_finished, leave_archives

WORKERS = 3
ATTEMPTS = 20
"""More than any task loses here: this is not about giving up."""


def child(work: Callable[[], None]) -> int:
    """Run ``work`` in a new process; return its id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def work(url: str) -> NoReturn:
    """Finalise until killed."""

    def summarize(request: SummaryRequest) -> Summary:
        return Summary(overview=f"overview of {request.archive_id}", abstract="short")

    with eventlog.open(url) as log:
        Worker(log, Finalizer(summarizer=summarize), retry=RetryPolicy(attempts=ATTEMPTS)).run()
    raise AssertionError("nobody has asked the worker to stop")


def count(url: str, archives: int, pipe: int) -> None:
    """Write a byte for each archive that gets completed, and end with the last one."""
    with eventlog.open(url) as log:
        completed = log.follow(types=["archive_finalized"])
        for _ in range(archives):
            next(completed)
            os.write(pipe, b".")


def under_fire(url: str, archives: int, *, seconds: float, every: int) -> int:
    """Keep workers at work and kill one after each pause; return how many were killed.

    A pause lasts ``seconds``, or until ``every`` archives were completed if that is not 0. This
    process has no thread and no log, so it may fork.
    """
    pipe, telling = os.pipe()
    counting = child(lambda: count(url, archives, telling))
    workers = [child(lambda: work(url)) for _ in range(WORKERS)]
    completed = killed = 0
    last, due = 0, time.monotonic() + seconds
    while completed < archives:
        left = None if every else max(0.0, due - time.monotonic())
        if select.select([pipe], [], [], left)[0]:
            completed += len(os.read(pipe, 1))
        if completed - last >= every if every else time.monotonic() >= due:
            last, due = completed, due + seconds
            end(workers.pop(0))
            workers.append(child(lambda: work(url)))
            killed += 1
    for process in workers:
        end(process)
    assert os.waitstatus_to_exitcode(os.waitpid(counting, 0)[1]) == 0
    return killed


def end(worker: int) -> None:
    """Kill a worker; it must not have ended by itself."""
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    assert code == -signal.SIGKILL, f"a worker ended with {code}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("sessions", type=int, nargs="?", default=64)
    parser.add_argument("per_session", type=int, nargs="?", default=20)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--archives", type=int, default=0)
    options = parser.parse_args()
    url = f"sqlite:///{options.folder / 'under-fire.db'}"
    total = options.sessions * options.per_session
    leave_archives(url, options.sessions, options.per_session)
    begun = time.monotonic()
    killed = under_fire(url, total, seconds=options.seconds, every=options.archives)
    took = time.monotonic() - begun
    check_finished(url, options.sessions, options.per_session, attempts=ATTEMPTS)
    print(f"{total} archives completed, {killed} workers killed, {took:.1f} s", flush=True)


if __name__ == "__main__":
    main()
