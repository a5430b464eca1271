"""Fork inside a turn; the child leaves the block by an exception, and the parent goes on.

Argument: the URL of the log. Ends with 0 if both went as they should.
"""

from __future__ import annotations

import os
import sys

import eventlog
from eventlog import Message


def main(url: str) -> int:
    with eventlog.open(url) as log:
        session = log.session("s", create=True)
        with session.turn("t") as turn, session.stream("answer") as out:
            session.append(Message.user("question"))
            out.write("half ")
            child = os.fork()
            if not child:
                raise SystemExit(3)
            _, status = os.waitpid(child, 0)
            out.write("and half")
            out.end()
            turn.end("done")
    return os.waitstatus_to_exitcode(status) - 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
