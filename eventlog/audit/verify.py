"""Verify a session: its records are what was written, and all derived data follows from them.

The records are read once, a page at a time, for three checks: the hash chain, the replay of the
state machines, and a count of the messages that does not trust the replay (`conservation`). Then
what is stored beside the records is compared with them: the snapshot (`snapshot_check`), the large
values (`value_check`) and the index (`index_check`). ``eventlog/docs/tampering.md`` lists what cannot
be detected without a seal kept elsewhere.

Whatever bytes the store returns, verifying reports findings; it raises only if the store cannot be
reached or the log is closed.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from eventlog.audit.chain_check import PAGE, ChainCheck, verify_chain
from eventlog.audit.conservation import Ledger
from eventlog.audit.index_check import (
    changes_by,
    compare_stream,
    differing_entries,
    index_finding,
)
from eventlog.audit.message_check import problem_of_message
from eventlog.audit.snapshot_check import SnapshotCheck
from eventlog.audit.value_check import ValueCheck
from eventlog.errors import CorruptError, CorruptLog
from eventlog.finding import Finding
from eventlog.session.folding import apply_records
from eventlog.session.index import changes_index, session_of_entry, without_index_changes
from eventlog.session.projection import SessionFold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from eventlog.records import Record
    from eventlog.store import Store

    Digests = Callable[[str], Mapping[int, tuple[bytes, bytes]]]

__all__ = ["Verified", "verify_chain", "verify_entries", "verify_session", "verify_stream"]

ATTEMPTS: Final = 3
"""How often the index is compared with a session that is written to meanwhile."""


class Verified(NamedTuple):
    """The result of verifying the records of a session."""

    findings: list[Finding]
    """What is wrong, in the order of the checks."""
    version: int
    """The version up to which the session was read."""
    entries: dict[str, bytes] | None
    """The index entries that follow from the events; None if the events are unsound."""
    not_checked: int
    """How many snapshots could not be compared with the events, such as one made by other code."""
    redacted: int = 0
    """How many records were redacted; the digests of what was there verify."""


def verify_stream(store: Store, stream: str) -> list[Finding]:
    """Return what is wrong with a session's records and with what is derived from them."""
    verified = verify_session(store, stream)
    for _ in range(ATTEMPTS):
        if verified.entries is None:
            break
        try:
            wrong = compare_stream(store, stream, verified.entries)
            is_at_rest = store.head(stream).version == verified.version
        except CorruptLog as error:
            wrong, is_at_rest = [Finding(stream, None, "damaged", str(error))], True
        if is_at_rest:
            return [*verified.findings, *wrong]
        verified = verify_session(store, stream)
    return verified.findings


def verify_entries(store: Store, verified: Mapping[str, Verified]) -> list[Finding]:
    """Return what is wrong with the index of a whole log, after its sessions were verified.

    Entries of sessions with unsound events are left out. Entries of sessions that have grown since
    are left to `verify_stream`.
    """
    rebuilt: dict[str, bytes] = {}
    skipped: set[str] = set()
    for stream, found in verified.items():
        if found.entries is None or not found.version:
            skipped.add(stream)
        else:
            rebuilt.update(found.entries)
    try:
        stored = dict(store.scan("", "\U0010ffff"))
    except CorruptLog as error:
        return [Finding(None, None, "damaged", str(error))]
    findings: list[Finding] = []
    grown: set[str] = set()
    for difference in differing_entries(stored, rebuilt):
        key, value, expected = difference
        session = session_of_entry(key, (value if expected is None else expected) or b"")
        if session is None or session not in verified:
            findings.append(index_finding(None, difference))
        elif session in skipped or session in grown:
            continue
        elif store.head(session).version == verified[session].version:
            findings.append(index_finding(session, difference))
        else:
            grown.add(session)
    for session in sorted(grown):
        findings += [each for each in verify_stream(store, session) if each.kind == "index"]
    return findings


def verify_session(store: Store, stream: str) -> Verified:
    """Verify a session except its index entries; return those that follow from its events."""
    reading = _Reading(store, stream)
    reading.run(store.read(stream))
    return reading.verified()


class _Reading:
    """One reading of a session's records, with all checks that run on it."""

    def __init__(self, store: Store, stream: str) -> None:
        self._stream = stream
        self._fold = SessionFold(stream)
        self._state = self._fold.initial()
        self._ledger = Ledger(stream)
        self._values = ValueCheck(store, stream)
        self._snapshot = SnapshotCheck(store, stream, self._fold)
        self._entries: dict[str, bytes | None] = {}
        # The chain of a redacted session goes over what was taken out of it, as digests.
        digests: Digests | None = getattr(getattr(store, "inner", store), "digests", None)
        self._chain = ChainCheck(stream, None if digests is None else digests(stream))
        self._damaged: Finding | None = None
        self._unfolded: Finding | None = None
        self._unreadable: list[Finding] = []
        self.version = 0

    def run(self, records: Iterator[Record]) -> None:
        """Read all records, up to one that the store finds damaged."""
        while page := self._next_page(records):
            self.version = page[-1].version
            self._chain.take(page)
            self._ledger.take(page)
            self._values.take(page)
            if self._unfolded is None:
                self._replay(page)

    def _next_page(self, records: Iterator[Record]) -> list[Record]:
        """Read the next records, or those before one that the store finds damaged."""
        page: list[Record] = []
        if self._damaged is None:
            try:
                page.extend(islice(records, PAGE))
            except CorruptLog as error:
                stream = error.stream or self._stream
                self._damaged = Finding(stream, error.version, "damaged", str(error))
        return page

    def _replay(self, page: Sequence[Record]) -> None:
        """Fold records. One that cannot be folded ends the replay, and not the other checks."""
        try:
            apply_records(self._state, self._watched(page), self._look_at_message)
        except CorruptError as error:
            version = self._state.version + 1
            self._unfolded = Finding(
                self._stream, version, "undecodable", f"the record cannot be folded: {error}"
            )

    def _look_at_message(self, record: Record) -> None:
        """Check a message, unless it is one that the replay has seen to be one text."""
        found = problem_of_message(record) if record.type == "message_appended" else None
        if found is not None:
            self._unreadable.append(found)

    def _watched(self, page: Sequence[Record]) -> Iterator[Record]:
        """Yield records to the replay, and check what they change before and after it."""
        is_snapshot_due = self._snapshot.version in [record.version for record in page]
        place = 0
        while place < len(page):
            if not is_snapshot_due:
                quiet = without_index_changes(self._state, page, place)
                yield from quiet
                place += len(quiet)
            yield from self._watched_alone(page[place : place + 1])
            place += 1

    def _watched_alone(self, page: Sequence[Record]) -> Iterator[Record]:
        state, snapshot = self._state, self._snapshot
        for record in page:
            if changes_index(state, record):
                before = state.copy()
                yield record
                if state.version == record.version:
                    self._entries.update(changes_by(before, record, state))
            else:
                yield record
            if record.version == snapshot.version and state.version == record.version:
                snapshot.reached(record, state)

    def verified(self) -> Verified:
        """Return the findings, after all records were read."""
        if self._damaged is not None:
            return self._verified([self._damaged], None)
        broken = self._chain.finding()
        findings = [found for found in (broken, self._unfolded) if found is not None]
        if self._unfolded is None:
            illegal = self._state.findings
            findings += [Finding(self._stream, at, "illegal", why) for at, why in illegal]
        findings += [*self._unreadable, *self._ledger.findings, *self._values.findings()]
        if broken is not None or self._unfolded is not None:
            # The events are not those from which snapshot and index were derived.
            return self._verified(findings, None)
        self._snapshot.after_all(self.version)
        findings += [*self._ledger.disagreements(self._state), *self._snapshot.findings]
        entries = {key: value for key, value in self._entries.items() if value is not None}
        return self._verified(findings, entries)

    def _verified(self, findings: list[Finding], entries: dict[str, bytes] | None) -> Verified:
        not_checked, redacted = self._snapshot.not_checked, self._chain.redacted
        return Verified(findings, self.version, entries, not_checked, redacted)
