"""Events of an application in one append with messages, and bytes beside the log (L11, L16, M15)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

import eventlog
from eventlog import Event, Log, Message, Value
from eventlog.errors import (
    CorruptLog,
    DuplicateEvent,
    Indeterminate,
    InvalidArgument,
    InvalidMessage,
    SessionClosed,
    StoreUnavailable,
    VersionConflict,
)
from eventlog.exchange.copying import copy_log
from eventlog.session.values import value_key
from eventlog.testing.wrapping import StoreCall, WrappedStore


class Searched(Event, type="together.searched", keys="search/{query}"):
    query: str


class Screenshot(Event, type="together.screenshot"):
    image: Value
    more: list[Value] = Field(default_factory=list)
    by_name: dict[str, dict[str, Value]] = Field(default_factory=dict)


def call(size: int = 40) -> Message:
    return Message.model_validate(
        {
            "id": "call",
            "role": "assistant",
            "parts": [
                {
                    "type": "tool",
                    "tool_id": "t",
                    "tool_name": "read",
                    "tool_status": "completed",
                    "tool_output": "x" * size,
                }
            ],
        }
    )


# ---- events and messages ----------------------------------------------------------------------


def test_events_and_messages_are_recorded_in_one_append_in_their_order(log: Log) -> None:
    session = log.session("s", create=True)
    recorded = session.record(
        Searched(query="a"),
        Message.user("one", id="m1"),
        Searched(query="b"),
        {"role": "assistant", "content": "two"},
    )

    assert [each.version for each in recorded] == [2, 3, 4, 5]
    assert [each.type for each in log.read("s")] == [
        "session_created",
        "together.searched",
        "message_appended",
        "together.searched",
        "message_appended",
    ]
    assert [message.text for message in session.tail()] == ["one", "two"]
    assert [each.version for each in session.find("search/b")] == [4]
    assert [each.position for each in recorded] == [
        each.position for each in log.read("s", after=1)
    ]
    assert session.meta.message_count == 2
    assert log.verify("s") == []


def test_a_large_output_among_events_is_stored_beside_the_log(log: Log) -> None:
    session = log.session("s", create=True)
    session.record(Searched(query="a"), call(50_000))

    assert session.tool_output("call", "t").text == "x" * 50_000
    assert len(str(session.tail()[0].as_data())) < 10_000
    assert log.verify("s") == []


def test_all_of_it_is_refused_where_one_of_it_is(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("one", id="m1"))
    before = list(log.read("s"))

    with pytest.raises(DuplicateEvent):
        session.record(Searched(query="a"), Message.user("other", id="m1"))
    with pytest.raises(InvalidMessage):
        session.record(Searched(query="a"), {"role": "nobody", "content": "x"})
    with pytest.raises(InvalidMessage):
        session.record(Message.user("x", id="m2"), Message.user("y", id="m2"))
    with pytest.raises(VersionConflict):
        session.record(Searched(query="a"), Message.user("x"), expected=1)
    with pytest.raises(InvalidArgument):
        session.record()
    with pytest.raises(InvalidArgument, match="neither an event nor a message"):
        session.record(7)  # type: ignore[arg-type]

    assert list(log.read("s")) == before


@pytest.mark.parametrize("order", ["em", "me", "mee", "emem", "mm"])
def test_a_repeated_call_with_a_key_changes_nothing(log: Log, rival: Log, order: str) -> None:
    """P8: the answer is the first one, whichever comes first, and in another process, too."""

    def things() -> list[Any]:
        return [
            Searched(query=str(place)) if kind == "e" else Message.user(f"m {place}")
            for place, kind in enumerate(order)
        ]

    first = log.session("s", create=True).record(*things(), idempotency_key="k")
    for other in (log, rival):
        again = other.session("s", create=True).record(*things(), idempotency_key="k")
        assert again == first
    assert len(list(log.read("s"))) == 1 + len(order)
    with pytest.raises(DuplicateEvent):
        log.session("s").record(*things()[1:], Message.user("other"), idempotency_key="k")
    assert len(list(log.read("s"))) == 1 + len(order)


def test_a_call_whose_answer_was_lost_is_answered_by_its_records() -> None:
    class Losing(WrappedStore):
        loses = False

        def around(self, call: StoreCall, go_on: Any) -> Any:
            found = go_on()
            if self.loses and call.verb == "append":
                self.loses = False
                raise Indeterminate("cut")
            return found

    with eventlog.open("memory:") as plain, Log(store := Losing(plain.store)) as log:
        session = log.session("s", create=True)
        session.append(Message.user("x"))
        store.loses = True
        recorded = session.record(Message.user("one"), Searched(query="a"))
        assert [each.version for each in recorded] == [3, 4]
        assert len(list(log.read("s"))) == 4


def test_the_asynchronous_session_records_the_same(log_url: str) -> None:
    async def run() -> None:
        async with eventlog.open_async(log_url) as log:
            session = await log.session("s", create=True)
            image = Value(b"\x89PNG")
            await session.record(Screenshot(image=image), Message.user("x"), call(50_000))
            assert [message.role for message in await session.tail()] == ["user", "assistant"]
            assert await session.value(Value.named(image.sha256, image.size)) == b"\x89PNG"

    asyncio.run(run())


# ---- values -----------------------------------------------------------------------------------


def read_back(log: Log, session: str = "s") -> Screenshot:
    (found,) = log.read(session, types=["together.screenshot"])
    assert isinstance(found.event, Screenshot)
    return found.event


def test_the_bytes_of_an_event_are_stored_beside_the_log_and_read_back(
    log: Log, rival: Log
) -> None:
    image, large = bytes(range(256)), b"\0\xff" * 3_000_000
    session = log.session("s", create=True)
    session.record(
        Screenshot(image=Value(image), more=[Value(large)], by_name={"a": {"b": Value(b"")}})
    )

    event = read_back(rival)
    assert event.image.data is None
    assert event.image == Value(image)
    assert (event.image.size, event.more[0].size) == (256, 6_000_000)
    there = rival.session("s")
    assert there.value(event.image) == image
    assert there.value(event.more[0].sha256) == large
    (record,) = (each.record for each in log.read("s", types=["together.screenshot"]))
    assert len(record.data) < 1_000
    assert log.verify("s") == []


@given(st.binary(max_size=300))
def test_any_bytes_are_read_back(data: bytes) -> None:
    with eventlog.open("memory:") as log:
        log.session("s", create=True).record(Screenshot.model_validate({"image": data}))
        assert log.session("s").value(read_back(log).image) == data


def test_the_same_bytes_are_stored_once_per_session(log: Log) -> None:
    session = log.session("s", create=True)
    for _ in range(3):
        session.record(Screenshot(image=Value(b"same")))
    blob = log.store.get_blob(value_key("s", Value(b"same").sha256))
    assert blob is not None
    assert (blob.data, blob.revision) == (b"same", 1)


def test_an_event_that_was_read_can_be_recorded_again(log: Log) -> None:
    session = log.session("s", create=True)
    session.record(Screenshot(image=Value(b"data")))
    session.record(read_back(log))
    assert log.verify("s") == []

    other = log.session("other", create=True)
    with pytest.raises(InvalidArgument, match="has no value"):
        other.record(Screenshot(image=Value(b"data").named(Value(b"data").sha256, 4)))
    assert not log.exists("other")


def test_bytes_that_cannot_be_stored_refuse_the_event() -> None:
    class Full(WrappedStore):
        def around(self, call: StoreCall, go_on: Any) -> Any:
            if call.verb == "put_blob":
                raise StoreUnavailable("the disk is full")
            return go_on()

    with eventlog.open("memory:") as plain, Log(Full(plain.store)) as log:
        with pytest.raises(StoreUnavailable):
            log.session("s", create=True).record(Screenshot(image=Value(b"data")))
        assert not log.exists("s")


def test_nothing_is_stored_for_a_closed_session(log: Log) -> None:
    session = log.session("s", create=True)
    session.append(Message.user("x"))
    session.close()
    with pytest.raises(SessionClosed):
        session.record(Screenshot(image=Value(b"data")), Message.user("y"))
    assert log.store.get_blob(value_key("s", Value(b"data").sha256)) is None


def test_a_value_that_is_missing_or_damaged_is_found(log: Log) -> None:
    session = log.session("s", create=True)
    session.record(Screenshot(image=Value(b"data")))
    log.store.put_blob(value_key("s", Value(b"data").sha256), b"other")

    assert [(found.kind, found.version) for found in log.verify("s")] == [("value", 2)]
    with pytest.raises(CorruptLog, match="damaged"):
        session.value(read_back(log).image)
    with pytest.raises(CorruptLog, match="missing"):
        session.value("0" * 64)
    session.record(Screenshot(image=Value(b"data")))
    assert log.verify("s") == []


def test_copies_bundles_and_forks_take_the_values_along(tmp_path: Path) -> None:
    with eventlog.open("memory:") as log, eventlog.open("memory:") as copy:
        session = log.session("s", create=True)
        session.record(Screenshot(image=Value(b"data"), more=[Value(b"more")]))
        copy_log(log.store, copy.store)
        assert copy.session("s").value(read_back(copy).image) == b"data"

        log.bundle(["s"], tmp_path / "case.zip")
        with eventlog.open_bundle(tmp_path / "case.zip") as case:
            assert case.session("s").value(read_back(case).more[0]) == b"more"
            assert case.verify("s") == []
        log.bundle(["s"], tmp_path / "redacted.zip", redact="texts")
        with eventlog.open_bundle(tmp_path / "redacted.zip") as case:
            assert case.verify("s") == []

        fork = session.fork("f", edit={2: Screenshot(image=Value(b"new"))})
        assert fork.value(read_back(log, "f").image) == b"new"
        assert log.verify("f") == []


@pytest.mark.parametrize(
    "wrong",
    [
        7,
        "x",
        {"sha256": "x", "size": 1},
        {"sha256": "0" * 64},
        {"sha256": "0" * 64, "size": -1},
        None,
    ],
)
def test_what_is_no_value_is_refused(log: Log, wrong: Any) -> None:
    with pytest.raises(ValueError, match="image"):
        Screenshot(image=wrong)
    with pytest.raises(InvalidArgument):
        log.session("s", create=True).value(wrong)


def test_a_value_says_what_it_is() -> None:
    value = Value(b"data")
    assert repr(value) == "<Value 3a6eb0790f39… of 4 bytes>"
    assert value != b"data"
    assert {value, Value(b"data"), Value.named(value.sha256, 4)} == {value}
    for wrong in (7, "text", None):
        with pytest.raises(InvalidArgument, match="made of bytes"):
            Value(wrong)  # type: ignore[arg-type]
