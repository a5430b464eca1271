"""`eventlog work` with a summary that says when it is begun, and is done when a line arrives.

Arguments: the URL of the log; further ones for ``work``.
"""

from __future__ import annotations

import sys

from eventlog import Finalizer, Summary, SummaryRequest
from eventlog.cli import main


def summarize(request: SummaryRequest) -> Summary:
    print(f"begun {request.session_id}", flush=True)
    sys.stdin.readline()
    return Summary(overview="overview", abstract="abstract")


finalizer = Finalizer(summarizer=summarize)

if __name__ == "__main__":
    url, *words = sys.argv[1:]
    sys.argv = ["eventlog", "--store", url, "work", "--finalizer", "__main__:finalizer", *words]
    main()
