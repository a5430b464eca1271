"""Finalise whatever is due, and say which archive is being summarised.

Arguments: the URL of the log; ``wait`` to stay in each summary until a line arrives.
"""

from __future__ import annotations

import sys

import eventlog
from eventlog import Finalizer, RetryPolicy, Summary, SummaryRequest, Worker

ATTEMPTS = 1_000
"""More than this test kills workers: it is not about giving up."""


def main(url: str, *, waits: bool) -> None:
    def summarize(request: SummaryRequest) -> Summary:
        print(f"{request.session_id} {request.archive_id} {request.attempt}", flush=True)
        if waits:
            sys.stdin.readline()
        overview = f"{request.archive_id} of {len(request.messages)} messages"
        return Summary(overview=overview, abstract=request.archive_id)

    with eventlog.open(url) as log:
        finalizer = Finalizer(summarizer=summarize)
        Worker(log, finalizer, retry=RetryPolicy(attempts=ATTEMPTS)).run()


if __name__ == "__main__":
    main(sys.argv[1], waits="wait" in sys.argv[2:])
