"""Print a forked session to which a context was given, one stored record per line.

How ``records-fork.jsonl`` was made; a golden file is never written again. Its appends of several
records say where they end.
"""

from __future__ import annotations

from eventlog import Log, Message, Record
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from tests.golden.tell_story import THEN, line


def tell() -> list[Record]:
    """Return the records of a fork in which an answer is another one."""
    with Log(MemoryStore(), clock=FakeClock(), ids=NumberedIds()) as log:
        session = log.session("origin", create=True, owner="ada")
        session.extend(
            [
                Message.user("How is the weather?", id="m1", created_at=THEN),
                Message.assistant("Fine.", id="m2", created_at=THEN),
            ]
        )
        session.context(8_000, record=True, actor="agent")
        answer = Message.assistant("It rains.", id="m2", created_at=THEN)
        session.fork("what-if", edit={3: answer}, actor="ada")
        return list(log.store.read("what-if"))


if __name__ == "__main__":
    for record in tell():
        print(line(record))
