"""The sessions of a bundle into a log: the same versions, ids, times, bytes and hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.chain import GENESIS, chained_record
from eventlog.codec import encode_event
from eventlog.errors import InvalidArgument
from eventlog.exchange.bundle.reading import Bundle, BundledSession
from eventlog.exchange.bundle.store import BundleStore
from eventlog.exchange.copying import CopyReport, copy_log
from eventlog.identifiers import derived_id
from eventlog.positions import Position
from eventlog.session.forensic_events import SessionForked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventlog.records import Record
    from eventlog.store import Store

__all__ = ["bundle_of", "import_bundle"]


def import_bundle(bundle: Bundle, destination: Store, *, new_chain: bool = False) -> CopyReport:
    """Bring all sessions of a bundle into a log; importing one again adds only what is new in it.

    A redacted session does not follow from its hashes any more. It is refused, unless with
    ``new_chain`` its records are chained anew; then a last event says what they were made of.

    Raises `HistoryConflict` where the log has another session of that name, `ChainBroken` where the
    bundle is not what was written.
    """
    redacted = [each for each in bundle.sessions.values() if each.digests]
    if redacted and not new_chain:
        raise InvalidArgument(
            f"session {redacted[0].session_id!r} is redacted: its events are not those that its "
            "hashes are of; import it with new_chain (--new-chain) to compute its chain again"
        )
    sessions = {
        name: _chained_anew(found) if found.digests else found
        for name, found in bundle.sessions.items()
    }
    if redacted:
        sessions = _in_one_order(sessions)
    return copy_log(BundleStore(bundle._replace(sessions=sessions)), destination)


def bundle_of(records: Iterable[Record]) -> Bundle:
    """Return sessions as a bundle that nothing was taken out of, given the records of each in order."""
    sessions: dict[str, BundledSession] = {}
    for record in records:
        known = sessions.setdefault(record.stream, BundledSession(record.stream, [], {}, {}))
        known.records.append(record)
    return Bundle(None, sessions)


def _chained_anew(session: BundledSession) -> BundledSession:
    """Return a session whose hashes are those of its records as they are now."""
    records: list[Record] = []
    previous = GENESIS
    for record in session.records:
        chained = chained_record(
            previous,
            record.stream,
            record.version,
            record.event_id,
            record.type,
            record.schema,
            record.time,
            record.data,
            record.metadata,
        )
        records.append(chained._replace(position=record.position))
        previous = chained.hash
    last = session.records[-1]
    origin = SessionForked(
        origin=session.session_id,
        origin_version=last.version,
        origin_hash=last.hash.hex(),
        edited=sorted(session.digests),
        dropped=[],
        inserted=[],
    )
    event_id = derived_id(session.session_id, f"redacted\0{last.hash.hex()}")
    end = chained_record(
        previous,
        session.session_id,
        last.version + 1,
        event_id,
        origin.event_type,
        origin.event_schema,
        last.time,
        encode_event(origin),
        b"{}",
    )
    records.append(end._replace(position=last.position))
    return session._replace(records=records, digests={})


def _in_one_order(sessions: dict[str, BundledSession]) -> dict[str, BundledSession]:
    """Give records positions one after another, since there are more than there were."""
    order = sorted(
        (record.position, name, place)
        for name, found in sessions.items()
        for place, record in enumerate(found.records)
    )
    records = {name: list(found.records) for name, found in sessions.items()}
    for position, (_, name, place) in enumerate(order, 1):
        records[name][place] = records[name][place]._replace(position=Position(position))
    return {name: found._replace(records=records[name]) for name, found in sessions.items()}
