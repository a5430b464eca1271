"""A worker in a process of its own: it summarises what other processes archive in the same log.

Start as many as you like; a task has one owner at a time, and if that dies, another worker goes on::

    python -m eventlog.examples.worker_process sqlite:///chat.db

SIGTERM and Ctrl-C end it: what runs may finish within ten seconds, else it is given back.
"""

from __future__ import annotations

import argparse
import logging
import signal

import eventlog
from eventlog import Finalizer, NonRetryableError, Summary, SummaryRequest, Worker

WORDS = 12
"""Words of each message that the overview quotes."""


def summarize(request: SummaryRequest) -> Summary:
    """Quote the beginning of each message: the place of your model.

    What it raises is tried again, later and later; `NonRetryableError` is final at once.
    """
    lines = [f"- {each.role}: {_beginning(each.text)}" for each in request.messages if each.text]
    if not lines:
        raise NonRetryableError("there is nothing to summarise")
    said = "\n".join(filter(None, [request.previous_overview, *lines]))
    return Summary(overview=said, abstract=lines[0].removeprefix("- "))


def _beginning(text: str) -> str:
    words = text.split()
    return " ".join(words[:WORDS]) + (" …" if len(words) > WORDS else "")


def main() -> None:
    """Work until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="A worker in a process of its own.")
    parser.add_argument("url", nargs="?", default="sqlite:///chat.db", help="the log's URL")
    parser.add_argument("--once", action="store_true", help="end when nothing is due")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    with eventlog.open(given.url) as log:
        worker = Worker(log, Finalizer(summarize, name="beginnings"))

        def stop(signal_number: int, frame: object) -> None:
            worker.stop(grace_seconds=10)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        print(f"{worker.name} works on {given.url}", flush=True)
        if given.once:
            worker.run_once()
        else:
            worker.run()


if __name__ == "__main__":
    main()
