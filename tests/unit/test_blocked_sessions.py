"""F1: a blocked session costs a worker nothing, counted in reads of the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from eventlog import Finalizer, Log, Message, Summary, SummaryRequest, Worker
from eventlog.errors import EventLogError
from eventlog.identifiers import IdSource, format_id
from eventlog.records import Append, Appended, Record
from eventlog.session.command import Command, Draft
from eventlog.session.events import CommitPrepared
from eventlog.session.state import SessionState
from eventlog.session.tasks.commands import ClaimTask, FailAttempt
from eventlog.session.tasks.events import CommitPublished, OwnerData
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import core_of, execute
from tests.shares import rounds

QUEUED = rounds(5_000, 50_000)
FEW = 2
OTHERS = 8
ELSEWHERE = OwnerData(host="elsewhere", boot="", pid=1, started="")

Item = TypeVar("Item")


class CountingStore(MemoryStore):
    """Counts its calls, and the records and index entries that they hand out or take."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def _counted(self, call: str, items: Iterable[Item]) -> Iterator[Item]:
        self.counts[call] += 1
        for item in items:
            self.counts[f"{call}: items"] += 1
            yield item

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        self.counts["appended"] += sum(len(append.records) for append in batch)
        return super().append(batch)

    def read(self, stream: str, **options: Any) -> Iterator[Record]:
        return self._counted("read", super().read(stream, **options))

    def read_all(self, **options: Any) -> Iterator[Record]:
        return self._counted("read_all", super().read_all(**options))

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        return self._counted("scan", super().scan(start, end, limit))


@dataclass(frozen=True, slots=True)
class QueueArchives(Command[None]):
    """Record many commits in one append; recorded one by one, each would take as long as all."""

    count: int

    def decide(self, state: SessionState, now: int, ids: IdSource) -> Sequence[Draft]:
        drafts: list[Draft] = []
        for archive in range(state.commit_count + 1, state.commit_count + self.count + 1):
            prepared = CommitPrepared(
                archive=archive,
                task_id=format_id(ids()),
                takes=[],
                retains=[],
                message_count=0,
                retained_count=0,
                tokens=0,
                keep_recent=0,
                usage_after=0,
                usage_until=0,
                usage_count=0,
            )
            drafts += [Draft(prepared), Draft(CommitPublished(task_id=prepared.task_id))]
        return drafts

    def result(self, recorded: Sequence[Any]) -> None:
        return None


def summarize(request: SummaryRequest) -> Summary:
    return Summary(overview="overview", abstract="short")


def work_beside(queued: int) -> tuple[Counter[str], Counter[str]]:
    """Finalise other sessions beside one in which many archives wait behind the first one.

    Return what that took of the store while the first is in work elsewhere, and after it failed.
    """
    store = CountingStore()
    log = Log(store, clock=FakeClock(), ids=NumberedIds())
    log.session("long", create=True).append(Message.user("hello"))
    execute(log, "long", QueueArchives(1 + queued))
    core = core_of(log, "long")
    first = core.state.archives[1].task_id
    claim = execute(log, "long", ClaimTask(first, "lost", ELSEWHERE, 300_000_000, 3))
    in_work = counted_work(log, store, "beside-work")
    execute(log, "long", FailAttempt(first, claim.fence, "broken", True, 3, 0))
    assert (core.state.tasks[first].state, len(core.state.tasks)) == ("terminal_failed", 1 + queued)
    return in_work, counted_work(log, store, "beside-failure")


def counted_work(log: Log, store: CountingStore, name: str) -> Counter[str]:
    """Commit in some sessions, and return what it takes of the store to finalise that."""
    for number in range(OTHERS):
        session = log.session(f"{name}-{number}", create=True)
        session.append(Message.user("hello"))
        session.commit()
    store.counts.clear()
    assert Worker(log, Finalizer(summarizer=summarize), concurrency=1).run_once() == OTHERS
    return store.counts.copy()


def test_thousands_of_archives_that_wait_are_not_even_seen() -> None:
    """Neither while another worker is at the first of them, nor when that has failed for good."""
    beside_few, beside_many = work_beside(FEW), work_beside(QUEUED)
    assert beside_few[0]["appended"] == beside_few[1]["appended"] == 3 * OTHERS
    assert beside_many == beside_few
