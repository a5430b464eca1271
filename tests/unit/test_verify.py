"""What verifying finds in a history that somebody changed (A1, P7)."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import eventlog
from eventlog import Log, Message, Record, SessionNotFound
from eventlog.audit.chain_check import PAGE
from eventlog.audit.verify import verify_chain
from eventlog.chain import chain_hash
from eventlog.records import START, Append
from eventlog.testing.conformance import make_record


def history(length: int, *, key: str = "record") -> list[Record]:
    """Return a stream whose chain holds."""
    records: list[Record] = []
    previous = bytes(32)
    for version in range(1, length + 1):
        record = make_record("s", version, key=key)
        previous = chained(record, previous)
        records.append(record._replace(hash=previous))
    return records


def chained(record: Record, previous: bytes) -> bytes:
    stream, version, _, event_id, type_, schema, time, data, metadata, _ = record
    return chain_hash(previous, stream, version, event_id, type_, schema, time, data, metadata)


def renumbered(records: list[Record]) -> list[Record]:
    return [record._replace(version=version) for version, record in enumerate(records, 1)]


class Found(NamedTuple):
    version: int
    kind: str


def verdict(records: list[Record]) -> Found | None:
    finding = verify_chain(iter(records))
    if finding is None:
        return None
    assert finding.stream == "s"
    assert finding.detail
    assert finding.version is not None
    return Found(finding.version, finding.kind)


# ---- one change at any place ------------------------------------------------------------------

lengths = st.integers(2, 12)


def test_an_untouched_history_has_no_finding() -> None:
    assert all(verdict(history(length)) is None for length in range(5))


@given(st.data(), lengths)
def test_a_changed_record_is_named(data: st.DataObject, length: int) -> None:
    records = history(length)
    place = data.draw(st.integers(0, length - 1))
    change = data.draw(
        st.sampled_from(
            [
                {"data": b'{"forged":1}'},
                {"metadata": b"{}"},
                {"time": 1},
                {"type": "acme.forged"},
                {"schema": 2},
                {"event_id": bytes(16)},
                {"hash": bytes(32)},
            ]
        )
    )
    records[place] = records[place]._replace(**change)  # type: ignore[arg-type]

    assert verdict(records) == Found(place + 1, "changed")


@pytest.mark.parametrize("place", [0, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1, 2 * PAGE])
def test_a_record_is_named_wherever_in_a_page_it_is(place: int) -> None:
    """What comes behind it may have values that no hash can be computed of."""
    records = history(2 * PAGE + 3)
    assert verdict(records) is None
    changed, removed = list(records), [*records[:place], *records[place + 1 :]]
    changed[place] = changed[place]._replace(data=b"{}")

    assert verdict(changed) == Found(place + 1, "changed")
    assert verdict(removed) == Found(place + 1, "removed")
    for odd in ({"time": -1}, {"type": "\ud800"}, {"stream": "t"}, {"hash": b"short"}):
        behind = list(changed)
        behind[place + 2] = behind[place + 2]._replace(**odd)
        assert verdict(behind) == Found(place + 1, "changed")


@given(st.data(), lengths, st.booleans())
def test_a_removed_record_is_named(data: st.DataObject, length: int, renumber: bool) -> None:
    """What was cut off at the end leaves no trace in the stream; a seal shows that."""
    records = history(length + 3)
    count = data.draw(st.integers(1, 3))
    place = data.draw(st.integers(0, length - 2))
    del records[place : place + count]
    if renumber:
        records = renumbered(records)

    assert verdict(records) == Found(place + 1, "removed")
    assert verdict(history(length)[:-1]) is None


@given(st.data(), lengths, st.booleans())
def test_an_inserted_record_is_named(data: st.DataObject, length: int, renumber: bool) -> None:
    records = history(length)
    place = data.draw(st.integers(0, length - 1))
    forged = make_record("s", place + 1, key="forged")
    records.insert(place, forged)
    if renumber:
        records = renumbered(records)

    assert verdict(records) == Found(place + 1, "inserted")


@given(st.data(), lengths, st.booleans())
def test_records_in_another_order_are_named(
    data: st.DataObject, length: int, renumber: bool
) -> None:
    records = history(length)
    first, second = sorted(
        data.draw(st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True))
    )
    records[first], records[second] = records[second], records[first]
    if renumber:
        records = renumbered(records)

    assert verdict(records) == Found(first + 1, "reordered")


@given(st.data(), lengths)
def test_a_forger_who_mends_the_hash_is_found_at_the_next_record(
    data: st.DataObject, length: int
) -> None:
    """Only rewriting all that follows, too, would stay unseen without a seal."""
    records = history(length)
    place = data.draw(st.integers(0, length - 2))
    previous = records[place - 1].hash if place else bytes(32)
    forged = records[place]._replace(data=b'{"forged":1}')
    records[place] = forged._replace(hash=chained(forged, previous))

    assert verdict(records) == Found(place + 2, "changed")


@given(st.lists(st.integers(0, 7), max_size=10))
def test_any_other_list_of_genuine_records_has_a_finding(places: list[int]) -> None:
    """Whatever was done: only an unbroken beginning of the history verifies."""
    genuine = history(8)
    assume(places != list(range(len(places))))

    records = [genuine[place] for place in places]

    assert verdict(records) is not None
    assert verdict(renumbered(records)) is not None


def test_a_long_run_behind_the_change_is_not_held_in_memory() -> None:
    records = history(300)
    records[100] = records[100]._replace(data=b"{}")

    assert verdict(records) == Found(101, "changed")


# ---- a whole session --------------------------------------------------------------------------


def test_a_session_that_nobody_touched_has_no_findings(log: Log) -> None:
    session = log.session("s", create=True)
    session.extend([Message.user("a"), Message.assistant("b")])
    session.commit()
    session.close()

    assert log.verify("s") == []


def test_verifying_what_does_not_exist_is_an_error(log: Log) -> None:
    with pytest.raises(SessionNotFound):
        log.verify("nobody")


def test_an_illegal_step_is_a_finding_with_its_version_and_no_crash(log: Log) -> None:
    """P7: here the chain holds, but no session could have done this."""
    session = log.session("s", create=True)
    session.append(Message.user("a"))
    session.close()
    _append_raw(log, "session_closed", b"{}")
    _append_raw(log, "task_completed", b'{"task_id":"t","fence":1,"result":{},"usage":{}}')
    _append_raw(log, "acme.fine", b"{}")

    findings = log.verify("s")

    assert [(finding.version, finding.kind) for finding in findings] == [
        (4, "illegal"),
        (5, "illegal"),
    ]
    assert "'closed'" in findings[0].detail
    assert "unknown or finished" in findings[1].detail
    assert log.session("s").refresh().status == "closed"
    assert [message.text for message in log.session("s").tail()] == ["a"]


def test_a_record_that_cannot_be_decoded_is_a_finding(log: Log) -> None:
    log.session("s", create=True).append(Message.user("a"))
    _append_raw(log, "message_appended", b'{"message":7}')

    (finding,) = log.verify("s")

    assert (finding.version, finding.kind) == (3, "undecodable")
    assert "schema 1 of message_appended" in finding.detail


def test_verifying_reads_past_snapshots(log: Log) -> None:
    """A1: a snapshot must not hide what came before it."""
    session = log.session("s", create=True)
    for number in range(300):
        session.append(Message.user(f"m{number}"))
    assert log.store.get_blob("snapshot/s/session") is not None

    assert eventlog.Log(log.store).verify("s") == []


def _append_raw(log: Log, type_: str, data: bytes) -> None:
    """Append past the library, with a chain that holds."""
    head = log.store.head("s")
    record = make_record("s", head.version + 1, data=data, type=type_)
    record = record._replace(time=head.time, position=START)
    record = record._replace(hash=chained(record, head.hash))
    log.store.append([Append("s", head.version, (record,))])
