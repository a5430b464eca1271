"""Print a session whose policy on failed archives was changed, one stored record per line.

How ``records-policy.jsonl`` was made; a golden file is never written again.
"""

from __future__ import annotations

from eventlog import Finalizer, Log, Message, Record, Worker
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from tests.golden.tell_story import THEN, line


def tell() -> list[Record]:
    """Return the records of a session that goes on without an archive that failed."""
    with Log(MemoryStore(), clock=FakeClock(), ids=NumberedIds()) as log:
        session = log.session("chat", create=True)
        session.append(Message.user("a", id="m1", created_at=THEN))
        session.commit()
        session.set_failed_archives("skip", actor="ops")
        session.append(Message.user("b", id="m2", created_at=THEN))
        session.commit()
        Worker(log, Finalizer(name="acme")).run_once()
        return list(log.store.read("chat"))


if __name__ == "__main__":
    for record in tell():
        print(line(record))
