"""A worker in a container of its own: it claims a task, says so, and never finishes."""

from __future__ import annotations

import sys
import time

import eventlog
from eventlog import Finalizer, Summary, SummaryRequest, Worker


def hang(request: SummaryRequest) -> Summary:
    print("claimed", flush=True)
    time.sleep(3_600)  # Until it is killed.
    raise AssertionError


with eventlog.open(sys.argv[1]) as log:
    Worker(log, Finalizer(hang), lease_seconds=300).run_once()
