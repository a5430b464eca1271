"""What earlier versions stored, or a writer with access to the file, poisons one message at most (G2).

Each session has one record of such a kind between sound ones. Whatever it is, every call answers or
raises a typed error, other sessions and `close` go on; and what an earlier version acknowledged can be
read, appended to, committed and written to a folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from eventlog import Event, EventLogError, Log, Message, Worker
from eventlog.chain import chained_record
from eventlog.identifiers import derived_id
from eventlog.records import Append, Appended
from eventlog.stores.memory import MemoryStore

PLAIN: Final[dict[str, Any]] = {
    "id": "p",
    "role": "user",
    "parts": [{"type": "text", "text": "poison"}],
    "created_at": "2026-01-01T00:00:00Z",
}
HERE: Final = b'"HERE"'


def message(**fields: Any) -> bytes:
    return json.dumps({"message": {**PLAIN, **fields}, "tokens": 1}).encode()


def tool(**fields: Any) -> bytes:
    part = {"type": "tool", "tool_id": "c", "tool_status": "completed", "tool_output": "o"}
    return message(role="assistant", parts=[{**part, **fields}])


DIGEST: Final = "0" * 64
REF: Final = "eventlog://s/tool-results/"
COUNTS: Final[dict[str, Any]] = {
    "tool_output_truncated": True,
    "tool_output_original_chars": 5,
    "tool_output_preview_chars": 1,
    "tool_output_sha256": DIGEST,
}

ACKNOWLEDGED: Final[dict[str, bytes]] = {
    "a number of 6,021 digits": message(seed="HERE").replace(HERE, b"1" * 6_021),
    "a number in a tool's input": tool(tool_input={"n": "HERE"}).replace(HERE, b"-" + b"7" * 9_000),
    "nesting of 230 levels": message(seed="HERE").replace(HERE, b"[" * 230 + b"]" * 230),
    "nesting of 230 objects": message(seed="HERE").replace(
        HERE, b'{"a":' * 230 + b"1" + b"}" * 230
    ),
    "null for NaN": tool(tool_input={"n": None}),
    "a replaced surrogate": message(**{"key \ufffd": 1}),
    "a reference to ..": tool(tool_output_ref=f"{REF}.."),
    "a reference with NUL": tool(tool_output_ref=f"{REF}\0", **COUNTS),
    "a reference without counts": tool(
        tool_output_ref=f"{REF}tr_c_{DIGEST[:16]}", tool_output_sha256=DIGEST
    ),
    "an unknown digest": tool(tool_output_ref=f"{REF}tr_c_{'1' * 16}", **COUNTS),
    "counts of the wrong kind": tool(
        tool_output_ref=f"{REF}tr_c_{DIGEST[:16]}", **{**COUNTS, "tool_output_preview_chars": "x"}
    ),
}
"""What earlier versions took and stored."""

FORGED: Final[dict[str, bytes]] = {
    "a missing value": tool(tool_output_ref=f"{REF}tr_c_{DIGEST[:16]}", **COUNTS),
    "no JSON": b"{",
    "nothing": b"",
    "no text": b"\xff",
    "nesting of 50,000 levels": message(seed="HERE").replace(HERE, b"[" * 50_000 + b"]" * 50_000),
    "a type that is a list": message(parts=[{"type": ["text"], "text": "x"}]),
    "no type": message(parts=[{"text": "x"}]),
    "a text that is none": message(parts=[{"type": "text", "text": 7}]),
    "another role": message(role="king"),
    "a role that is a list": message(role=[]),
    "an id that is a number": message(id=7),
    "an id with a line feed": message(id="a\nb"),
    "an empty id": message(id=""),
    "a time that is a number": message(created_at=5),
    "parts that are an object": message(parts={}),
    "parts that are texts": message(parts=["x"]),
    "negative tokens": message().replace(b'"tokens": 1', b'"tokens": -1'),
    "more tokens than fit": message().replace(b'"tokens": 1', b'"tokens": ' + b"9" * 30),
}
"""What only damage or a forger can have stored."""


def poisoned(data: bytes, type_: str = "message_appended", schema: int = 2) -> MemoryStore:
    """Return a log with a session that has this record between two sound messages."""
    store = MemoryStore()
    log = Log(store)
    log.session("s", create=True).append(Message.user("before"))
    head = store.head("s")
    time = list(store.read("s"))[-1].time
    id_ = derived_id("s", "p")
    record = chained_record(head.hash, "s", head.version + 1, id_, type_, schema, time, data, b"{}")
    (answer,) = store.append([Append("s", head.version, (record,))])
    assert isinstance(answer, Appended)
    return store


Call = Callable[[Log], Any]


def calls(folder: Path) -> Iterator[tuple[str, Call]]:
    yield "meta", lambda log: log.session("s").meta
    yield "tail", lambda log: log.session("s").tail()
    yield "history", lambda log: log.session("s").history(hydrate=True)
    yield "context", lambda log: log.session("s").context()
    yield "truncated", lambda log: log.session("s").truncated()
    yield "append", lambda log: log.session("s").append(Message.user("more"))
    yield "attach", lambda log: log.session("s").attach_folder(folder)
    yield "heal", lambda log: log.session("s").heal(folder)
    yield "commit", lambda log: log.session("s").commit()
    yield "work", lambda log: Worker(log).run_once()
    yield "archive", lambda log: log.session("s").archives()
    yield "read", lambda log: [entry.event for entry in log.read("s")]


@pytest.mark.parametrize("name", ACKNOWLEDGED)
def test_what_an_earlier_version_stored_is_read_and_gone_on_with(name: str, tmp_path: Path) -> None:
    log = Log(poisoned(ACKNOWLEDGED[name]))

    for call, do in calls(tmp_path / "folder"):
        do(log)
        assert log.session("s").version, call

    texts = [message.text for message in log.session("s").history()]
    assert (texts[0], texts[-1]) == ("before", "more")
    assert len(texts) == 3
    log.close()


@pytest.mark.parametrize("name", [*ACKNOWLEDGED, *FORGED])
def test_a_poisoned_session_harms_no_other(name: str, tmp_path: Path) -> None:
    """And is a finding wherever a call has failed."""
    log = Log(poisoned({**ACKNOWLEDGED, **FORGED}[name]))
    failed: list[str] = []
    for call, do in calls(tmp_path / "folder"):
        try:
            do(log)
        except EventLogError as error:
            failed.append(f"{call}: {error}")
    other = log.session("other", create=True)
    other.append(Message.user("well"))
    other.commit()
    other.attach_folder(tmp_path / "other")
    Worker(log).run_once()

    assert [view.state for view in other.archives()] == ["completed"]
    assert log.verify("other") == []
    "".join(failed).encode()  # Each text can be shown.
    assert not failed or log.verify("s")
    log.close()


class Measured(Event, type="poison.measured"):
    """An event of a user with a number that NaN was stored for as null."""

    value: float


def test_an_event_that_its_class_cannot_read_leaves_the_session_usable(tmp_path: Path) -> None:
    log = Log(poisoned(b'{"value":null}', "poison.measured", 1))

    for call, do in calls(tmp_path / "folder"):
        if call != "read":
            do(log)
    with pytest.raises(EventLogError, match="version 3"):
        [entry.event for entry in log.read("s")]
    log.close()
