"""Finalise whatever is due, and say which archive is being summarised, and what goes to the log.

Arguments: the URL of the log; ``wait`` to stay in each summary until a line arrives; how many
seconds a lease takes, if not as many as usual.
"""

from __future__ import annotations

import logging
import sys

import eventlog
from eventlog import Finalizer, RetryPolicy, Summary, SummaryRequest, Worker

ATTEMPTS = 1_000
"""More than this test kills workers: it is not about giving up."""


def main(url: str, lease_seconds: float, *, waits: bool) -> None:
    def summarize(request: SummaryRequest) -> Summary:
        print(f"{request.session_id} {request.archive_id} {request.attempt}", flush=True)
        if waits:
            sys.stdin.readline()
        overview = f"{request.archive_id} of {len(request.messages)} messages"
        return Summary(overview=overview, abstract=request.archive_id)

    logging.basicConfig(stream=sys.stdout, format="log: %(message)s %(error)s")
    with eventlog.open(url) as log:
        finalizer = Finalizer(summarizer=summarize)
        retry = RetryPolicy(attempts=ATTEMPTS)
        Worker(log, finalizer, lease_seconds=lease_seconds, retry=retry).run()


if __name__ == "__main__":
    url, *options = sys.argv[1:]
    lease_seconds = next((float(option) for option in options if option != "wait"), 300.0)
    main(url, lease_seconds, waits="wait" in options)
