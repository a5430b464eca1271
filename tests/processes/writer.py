"""Append numbered messages to some sessions, commit now and then, and say each that was stored.

Arguments: the URL of the log, the writer's name, the first and the last number.
"""

from __future__ import annotations

import sys

import eventlog
from eventlog import Message

SESSIONS = ("s1", "s2", "s3")
COMMIT_EVERY = 10


def main(url: str, name: str, first: int, last: int) -> None:
    with eventlog.open(url) as log:
        sessions = [log.session(session, create=True) for session in SESSIONS]
        for number in range(first, last + 1):
            session = sessions[number % len(sessions)]
            message = Message.user(
                f"{name} says {number}", id=f"{name}-{number}", created_at="2026-01-01T00:00:00Z"
            )
            session.append(message)
            if number % COMMIT_EVERY == 0:
                session.commit(keep_recent=2, idempotency_key=f"commit-{name}-{number}")
            print(number, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
