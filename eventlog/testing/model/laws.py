"""The promises P1 to P7, asserted on the contents of a store, whatever led to them.

`check_laws` opens the store as the next process would and reads each session in several ways that
must agree. It needs no model: the events determine what must be live, archived and visible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.audit.index_check import compare_index
from eventlog.engine.snapshots import replay_stream
from eventlog.log import Log
from eventlog.session.commit import archive_id
from eventlog.session.events import CommitPrepared, MessageAppended, SessionCreated
from eventlog.session.projection import SessionFold
from eventlog.session.tasks.events import (
    ArchiveFinalized,
    LeaseRenewed,
    RetryRequested,
    TaskClaimed,
    TaskEvent,
    TaskReleased,
)
from eventlog.session.withdrawals.events import MessagesWithdrawn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.recorded import Recorded
    from eventlog.session.events import VersionRange
    from eventlog.store import Store

__all__ = ["archived_messages", "check_laws", "expect", "state_bytes"]


def expect(what: str, seen: object, expected: object) -> None:
    """Raise `AssertionError` with both values unless they are equal."""
    if seen != expected:
        raise AssertionError(f"{what}: seen {seen!r}, expected {expected!r}")


def check_laws(store: Store, *, attempts: int = 3) -> None:
    """Assert the promises of the library for every session in a store.

    Messages that were not withdrawn are live or archived, never lost and never both; replays agree
    to the byte; overviews, the order of archives, leases and attempts are right; the store, the
    chains and the index have no findings. ``attempts`` is the number of attempts that the workers
    gave a task. Nothing is written.
    """
    expect("findings of the store", store.check(), [])
    expect("differences of the index", compare_index(store), [])
    log = Log(store)
    for session in list(log.sessions()):
        events = list(log.read(session))
        expect("findings (P7)", log.verify(session), [])
        _check_order(events)
        _check_messages(log, session, events)
        log.session(session).history(hydrate=True)  # Raises unless what events name is there (L11).
        _check_overview(log, session, events)
        _check_claimed_in_order(events)
        _check_leases(events)
        _check_attempts(events, attempts)
        expect("state (P3)", state_bytes(store, session), _replayed_bytes(events, session))


def state_bytes(store: Store, session: str) -> bytes:
    """Return a session's state as opening it gives it, from a snapshot if there is one (P3)."""
    projection = SessionFold(session)
    return projection.dump(replay_stream(store, session, projection).state)


def archived_messages(events: Sequence[Recorded]) -> dict[int, list[str]]:
    """Return the ids of the messages that each commit took, by archive, as the events say."""
    said = _said(events)
    return {
        event.archive: [name for version, name in said.items() if _within(version, event.takes)]
        for event in (recorded.event for recorded in events)
        if isinstance(event, CommitPrepared)
    }


def _said(events: Sequence[Recorded]) -> dict[int, str]:
    """Return the ids of the messages that no withdrawal took out, by version."""
    gone = [
        recorded.event.ranges
        for recorded in events
        if isinstance(recorded.event, MessagesWithdrawn)
    ]
    return {
        recorded.version: recorded.event.message["id"]
        for recorded in events
        if isinstance(recorded.event, MessageAppended)
        and not any(_within(recorded.version, ranges) for ranges in gone)
    }


def _within(version: int, ranges: Sequence[VersionRange]) -> bool:
    return any(first <= version <= last for first, last in ranges)


def _replayed_bytes(events: Sequence[Recorded], session: str) -> bytes:
    projection = SessionFold(session)
    first = projection.dump(projection.fold(projection.initial(), events))
    again = projection.dump(projection.fold(projection.initial(), events))
    expect("second replay (P3)", again, first)
    return first


def _check_order(events: Sequence[Recorded]) -> None:
    """Versions have no gap, times never go back, and no id is there twice (L2, P8)."""
    versions = [recorded.version for recorded in events]
    expect("versions", versions, list(range(1, len(events) + 1)))
    times = [recorded.time for recorded in events]
    expect("times", times, sorted(times))
    positions = [recorded.position for recorded in events]
    expect("positions", positions, sorted(set(positions)))
    ids = {recorded.event_id for recorded in events}
    expect("different event ids (P8)", len(ids), len(events))


def _check_messages(log: Log, session: str, events: Sequence[Recorded]) -> None:
    """P1 and P2: every message is live, archived or withdrawn, and only one of these; in order."""
    said = list(_said(events).values())
    opened = log.session(session, follow_folder=False)
    live = [message.id for message in opened.tail()]
    archived = archived_messages(events)
    kept = [*live, *(name for names in archived.values() for name in names)]
    expect("live and archived messages (P1, P2)", sorted(kept), sorted(said))
    order = {name: place for place, name in enumerate(said)}
    for names in (live, *archived.values()):
        expect("order", names, sorted(names, key=lambda name: order[name]))
    expect("history", [message.id for message in opened.history()], said)
    expect("message_count", opened.meta.message_count, len(live))
    expect("total_message_count", opened.meta.total_message_count, len(said))
    for view in opened.archives():
        expect(view.archive_id, view.message_count, len(archived[view.number]))
    for index in {view.number for view in opened.archives() if view.state == "completed"}:
        found = opened.archive(archive_id(index)).messages
        expect(archive_id(index), [message.id for message in found], archived[index])


def _check_overview(log: Log, session: str, events: Sequence[Recorded]) -> None:
    """P4: a context shows the overview of the newest finalised archive that was not cleared."""
    finalized = [
        recorded.event for recorded in events if isinstance(recorded.event, ArchiveFinalized)
    ]
    cleared = _cleared(events)
    finalized = [event for event in finalized if event.archive > cleared]
    latest = max(finalized, key=lambda event: event.archive, default=None)
    shown = log.session(session, follow_folder=False).context(token_budget=1 << 40)
    overview = "" if latest is None else latest.overview
    expect("overview (P4)", shown.latest_archive_overview, overview)


def _cleared(events: Sequence[Recorded]) -> int:
    """Return the number of the last archive that the newest clearing took out of contexts."""
    cleared = archives = 0
    for event in (recorded.event for recorded in events):
        if isinstance(event, CommitPrepared):
            archives = event.archive
        elif isinstance(event, MessagesWithdrawn) and event.clears:
            cleared = archives
    return cleared


def _check_claimed_in_order(events: Sequence[Recorded]) -> None:
    """P5: an archive is claimed only when all before it are settled, so they finalise in order."""
    settled_by = {"archive_finalized", "archive_abandoned"}
    unsettled: dict[str, int] = {}
    archives: dict[str, int] = {}
    for event in (recorded.event for recorded in events):
        if isinstance(event, SessionCreated) and event.failed_archives == "skip":
            settled_by.add("archive_failed")
        elif isinstance(event, CommitPrepared):
            archives[event.task_id] = unsettled[event.task_id] = event.archive
        elif isinstance(event, TaskEvent) and event.task_id in archives:
            index = archives[event.task_id]
            if isinstance(event, TaskClaimed):
                before = [other for other in unsettled.values() if other < index]
                expect(f"unsettled before archive {index} when it was claimed (P5)", before, [])
            elif isinstance(event, RetryRequested):
                unsettled[event.task_id] = index
            elif event.event_type in settled_by:
                unsettled.pop(event.task_id, None)


def _check_leases(events: Sequence[Recorded]) -> None:
    """P5: one owner at a time, its fence on all that it writes, and no lease gets shorter.

    Except one whose end lay more than a lease beyond its renewal's: a clock was ahead (F2).
    """
    owner: dict[str, int] = {}
    until: dict[str, int] = {}
    for recorded in events:
        event, version = recorded.event, recorded.version
        if isinstance(event, TaskClaimed):
            expect(f"owner when version {version} claims (P5)", owner.get(event.task_id), None)
            owner[event.task_id] = version
            until[event.task_id] = event.lease_until
        elif isinstance(event, TaskEvent):
            fence: Any = getattr(event, "fence", None)
            if fence is not None:
                expect(f"fence of version {version} (P5)", fence, owner.get(event.task_id))
            if isinstance(event, LeaseRenewed):
                lease = event.lease_until - recorded.record.time
                shorter = 0 < until[event.task_id] - event.lease_until <= lease
                expect(f"whether version {version} shortens the lease (F2)", shorter, False)
                until[event.task_id] = event.lease_until
            if event.event_type not in ("lease_renewed", "step_completed"):
                owner.pop(event.task_id, None)


def _check_attempts(events: Sequence[Recorded], attempts: int) -> None:
    """P6: no task is claimed more often than it has attempts, crashes included."""
    claims: dict[str, int] = {}
    for event in (recorded.event for recorded in events):
        if isinstance(event, TaskClaimed):
            claims[event.task_id] = claims.get(event.task_id, 0) + 1
            expect("attempt (P6)", event.attempt, claims[event.task_id])
            expect("attempts beyond the limit (P6)", max(0, event.attempt - attempts), 0)
        elif isinstance(event, TaskReleased):
            claims[event.task_id] -= 1
        elif isinstance(event, RetryRequested):
            claims[event.task_id] = 0
