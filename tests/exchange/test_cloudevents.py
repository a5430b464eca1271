"""Events as lines: JSON Lines for tools, CloudEvents that come back to the byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import eventlog
from eventlog import START, Event, Message, Worker
from eventlog.errors import InvalidArgument
from eventlog.exchange.bundle.importing import bundle_of, import_bundle
from eventlog.exchange.cloudevents import cloud_events, records_of
from eventlog.exchange.jsonlines import event_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog import Log, Record


class Noted(Event, type="acme.noted_here"):
    much: float


@pytest.fixture
def log() -> Iterator[Log]:
    with eventlog.open("memory:") as opened:
        session = opened.session("chat 42 \N{LATIN SMALL LETTER O WITH STROKE}", create=True)
        session.append(Message.user("hi\n\N{SNOWMAN}\x00"), actor="ada", correlation_id="c-1")
        session.record(Noted(much=1e300))
        session.commit()
        Worker(opened, eventlog.Finalizer()).run_once()
        yield opened


def stored(log: Log) -> list[Record]:
    return [
        recorded.record for recorded in log.read("chat 42 \N{LATIN SMALL LETTER O WITH STROKE}")
    ]


def travelled(log: Log) -> list[Any]:
    return [json.loads(json.dumps(event)) for event in cloud_events(stored(log))]


def test_cloud_events_have_what_the_specification_asks_for(log: Log) -> None:
    events = travelled(log)
    first = next(event for event in events if event["type"] == "eventlog.message_appended.v2")
    assert first["specversion"] == "1.0"
    assert first["actor"] == "ada"
    assert first["source"] == "/sessions/chat%2042%20%C3%B8"
    assert first["correlationid"] == "c-1"
    assert [event["sequence"] for event in events] == sorted(event["sequence"] for event in events)
    for event in events:
        assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in event)
        assert len({event["source"], event["id"]}) == 2


def test_cloud_events_come_back_to_the_byte(log: Log) -> None:
    back = list(records_of(travelled(log)))
    assert [each._replace(position=START) for each in back] == [
        each._replace(position=START) for each in stored(log)
    ]
    with eventlog.open("memory:") as target:
        import_bundle(bundle_of(back), target.store)
        (session_id,) = target.sessions()
        assert target.verify(session_id) == []
        assert target.session(session_id).history() == log.session(session_id).history()


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "2.0"},
        {"type": "acme.x"},
        {"type": "message_appended.v2"},
        {"sequence": "x"},
        {"sequence": "00000000000000000009"},
        {"time": "yesterday"},
        {"data": {"message": {}}},
        {"eventloghash": "00"},
        {"eventlogmetadata": None},
        {"subject": "../x"},
    ],
)
def test_what_eventlog_did_not_write_is_refused(log: Log, change: dict[str, Any]) -> None:
    events = travelled(log)
    events[1] = {**events[1], **change}
    with pytest.raises(InvalidArgument):
        list(records_of(events))
    with pytest.raises(InvalidArgument, match="event 1"):
        list(records_of([7]))


def test_lines_have_every_event_as_json(log: Log) -> None:
    lines = list(event_lines(stored(log)))
    assert [line["version"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[1]["data"]["message"]["parts"][0]["text"] == "hi\n\N{SNOWMAN}\x00"
    damaged = stored(log)[0]._replace(data=b"\xff{")
    assert next(iter(event_lines([damaged])))["data"] == "\ufffd{"
