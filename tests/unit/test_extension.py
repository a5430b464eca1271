"""Users' own events, machines, projections and task kinds, with the same guarantees (L16)."""

from __future__ import annotations

from typing import Any

import pytest

import eventlog
from eventlog import (
    CorruptLog,
    Event,
    IllegalTransition,
    Log,
    Message,
    Projection,
    Recorded,
    StateMachine,
    Transition,
    UnknownEventType,
)
from eventlog.machine import ABSENT
from eventlog.projections import LiveTail, Meta
from eventlog.session.events import SessionDeleted
from eventlog.testing.conformance import draft


class OrderPlaced(Event, type="acme.order_placed"):
    """An order was placed."""

    order: str


class OrderPaid(Event, type="acme.order_paid", schema=2, upcasters={1: lambda data: data}):
    """An order was paid."""

    order: str
    cents: int = 0


ORDERS = StateMachine(
    "acme.order",
    states=["placed", "paid"],
    transitions=[
        Transition("acme.order_placed", (ABSENT,), "placed"),
        Transition("acme.order_paid", ("placed",), "paid"),
    ],
)


class Orders(Projection[dict[str, str], dict[str, str]]):
    """The state of each order, by a machine of the user's own."""

    name = "acme.orders"
    types = ORDERS.events

    def initial(self) -> dict[str, str]:
        return {}

    def apply(self, state: dict[str, str], recorded: Recorded) -> dict[str, str]:
        event: Any = recorded.event
        state[event.order] = ORDERS.table.get(
            (state.get(event.order, ABSENT), recorded.type), state.get(event.order, ABSENT)
        )
        return state

    def view(self, state: dict[str, str]) -> dict[str, str]:
        return dict(state)


def test_events_of_ones_own_live_among_the_built_in_ones(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("I would like tea"))
    session.record(OrderPlaced(order="tea"), actor="shop", correlation_id="c-1")
    session.commit()
    session.record(OrderPaid(order="tea", cents=250))

    assert [entry.type for entry in log.read("s")] == [
        "session_created",
        "message_appended",
        "acme.order_placed",
        "commit_prepared",
        "commit_published",
        "acme.order_paid",
    ]
    assert log.project("s", Orders()) == {"tea": "paid"}
    assert log.verify("s") == []
    (placed,) = log.read_all(types=["acme.order_placed"])
    assert placed.event == OrderPlaced(order="tea")
    assert (placed.metadata.actor, placed.metadata.correlation_id) == ("shop", "c-1")


def test_events_of_ones_own_change_nothing_of_the_session(log: Log) -> None:
    """But when it was last touched."""
    session = log.session("s", create=True)
    session.append(Message.user("hello"))
    before = session.meta

    session.record(OrderPlaced(order="tea"))

    assert session.meta._replace(updated_at="") == before._replace(updated_at="")
    assert len(session.tail()) == 1
    assert session.commit().archived == 1


def test_many_events_are_recorded_at_once_or_not_at_all(log: Log) -> None:
    session = log.session("s", create=True)

    with pytest.raises(IllegalTransition):
        session.record(OrderPlaced(order="a"), SessionDeleted())
    assert not log.exists("s")

    recorded = session.record(*(OrderPlaced(order=str(number)) for number in range(50)))
    assert [entry.version for entry in recorded] == list(range(2, 52))


def test_events_that_nobody_imported_are_passed_over_by_those_who_do_not_need_them(
    log: Log,
) -> None:
    """A service without the shop's module still serves the session."""
    log.session("s", create=True).append(Message.user("hello"))
    (append,) = [draft("s", 1, expected=2, type="acme.unheard_of", data=b'{"x":1}')]
    head = log.store.head("s")
    record = append.records[0]._replace(time=head.time)
    log.store.append([append._replace(records=(record,))])

    again = Log(log.store).session("s")

    assert [message.text for message in again.tail()] == ["hello"]
    again.append(Message.user("goes on"))
    assert eventlog.replay(log.read("s"), LiveTail()) == again.tail()
    assert eventlog.replay(log.read("s"), Meta()).message_count == 2
    (unknown,) = log.read("s", after=2, until=3)
    with pytest.raises(UnknownEventType, match="import the module that defines it"):
        _ = unknown.event
    assert unknown.record.data == b'{"x":1}'


def test_an_old_schema_of_ones_own_event_is_lifted_when_it_is_read(log: Log) -> None:
    """L10."""
    log.session("s", create=True).append(Message.user("hello"))
    append = draft("s", 2, expected=2, type="acme.order_paid", data=b'{"order":"tea"}')
    log.store.append([append])

    events = [entry.event for entry in log.read("s", after=2)]

    assert events == [OrderPaid(order="tea", cents=0)] * 2


def test_a_projection_meets_data_that_is_not_of_its_type(log: Log) -> None:
    log.session("s", create=True).append(Message.user("hello"))
    log.store.append([draft("s", 1, expected=2, type="acme.order_placed", data=b'{"order":7}')])

    with pytest.raises(
        CorruptLog, match=r"session 's', version 3: the data does not fit schema \d of acme\."
    ):
        log.project("s", Orders())
