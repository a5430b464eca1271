"""The chat service of the examples, with a summariser that refuses what is poisoned.

Arguments: the URL of the log; ``cured`` to refuse nothing; a number of bytes that no file may exceed,
as on a disk that is full. Says the port at which it serves.
"""

from __future__ import annotations

import logging
import resource
import socket
import sys

import uvicorn

from eventlog import AutoCommitPolicy, Finalizer, NonRetryableError, Summary, SummaryRequest
from eventlog.examples.chat_service import service


def main(url: str, *, cured: bool) -> None:
    def summarize(request: SummaryRequest) -> Summary:
        if not cured and any("poison" in message.text for message in request.messages):
            raise NonRetryableError("prompt is too long: 210,000 tokens")
        return Summary(overview=f"{len(request.messages)} messages", abstract="some")

    logging.basicConfig(level=logging.WARNING)
    app = service(url, finalizer=Finalizer(summarize), policy=AutoCommitPolicy(messages=4))
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="warning")
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    for most in filter(str.isdigit, sys.argv[2:]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
    main(sys.argv[1], cured="cured" in sys.argv[2:])
