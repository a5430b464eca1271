"""Finalise whatever is due, with a summary that ends the process: archive_001 of ``poison``.

Arguments: the URL of the log; ``cured`` to summarise that one too. Says what it summarised.
"""

from __future__ import annotations

import os
import sys

import eventlog
from eventlog import Finalizer, Summary, SummaryRequest, Worker


def main(url: str, *, cured: bool) -> None:
    def summarize(request: SummaryRequest) -> Summary:
        archive = f"{request.session_id} {request.archive_id}"
        if archive == "poison archive_001" and not cured:
            os._exit(9)
        print(archive, flush=True)
        return Summary(overview=f"overview of {archive}", abstract=archive)

    with eventlog.open(url) as log:
        Worker(log, Finalizer(summarizer=summarize)).run_once()


if __name__ == "__main__":
    main(sys.argv[1], cured="cured" in sys.argv[2:])
