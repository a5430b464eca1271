"""Fork with an open log, and let parent and children write to it (L15).

Arguments: the URL of the log; ``busy`` to fork while a thread of the parent is writing. Children go
on when the parent has closed its log. Says the id of each message that was acknowledged, and ends
with 1 if a child did not end well.
"""

from __future__ import annotations

import os
import sys
import threading

import eventlog
from eventlog import Log, Message, Session

CHILDREN = 3
MESSAGES = 20


def write(session: Session, name: str, first: int, last: int) -> None:
    """Append messages, and say which were stored: one write per id, so that lines stay whole."""
    for number in range(first, last):
        message = session.append(Message.user("x", id=f"{name}-{number}"))
        os.write(1, f"{message.id}\n".encode())


def be_a_child(log: Log, session: Session, name: str, parent_closed: int) -> None:
    """Write with the inherited log beside the parent, and on when the parent has closed it."""
    write(session, name, 0, MESSAGES)
    os.read(parent_closed, 1)
    write(session, name, MESSAGES, 2 * MESSAGES)
    log.close()


def main(url: str, *, busy: bool) -> int:
    log = eventlog.open(url)
    session = log.session("s1", create=True)
    write(session, "before", 0, 3)
    parent_closed, close = os.pipe()
    thread = threading.Thread(target=write, args=(session, "thread", 0, 10 * MESSAGES))
    if busy:
        thread.start()
    children: list[int] = []
    for number in range(CHILDREN):
        child = os.fork()
        if not child:
            os.close(close)
            code = 1
            try:
                be_a_child(log, session, f"child{number}", parent_closed)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    write(session, "parent", 0, MESSAGES)
    if busy:
        thread.join()
    log.close()
    os.close(close)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], busy="busy" in sys.argv[2:]))
