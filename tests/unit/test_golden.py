"""Stored records of every built-in event stay readable for ever (L10).

A golden file is never changed. An event type that none of them has yet needs the next one, made
with ``tests/golden/tell_story.py``.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import AutoCommitPolicy, Record, Recorded, ToolOutputPolicy
from eventlog.audit.verify import verify_chain
from eventlog.codec import decode_event, encode_event
from eventlog.events import _registry, is_builtin_type
from eventlog.identifiers import parse_id
from eventlog.projections import Archives, LiveTail, Meta, Runs, Tasks, Usage
from eventlog.projections.folder_files import folder_files
from eventlog.records import Position
from eventlog.session.projection import SessionFold
from eventlog.session.tool_output import kept_digest
from eventlog.session.values import digest_of

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted(GOLDEN.glob("records-*.jsonl"))


def read_records(path: Path) -> list[Record]:
    return [_record(json.loads(line)) for line in path.read_text("utf-8").split("\n") if line]


def _record(fields: dict[str, Any]) -> Record:
    converted: dict[str, Any] = {
        **fields,
        "position": Position(fields["position"]),
        "event_id": parse_id(fields["event_id"]),
        "data": fields["data"].encode(),
        "metadata": fields["metadata"].encode(),
        "hash": bytes.fromhex(fields["hash"]),
    }
    return Record(**converted)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def records(request: pytest.FixtureRequest) -> list[Record]:
    return read_records(request.param)


def test_every_built_in_event_type_is_in_a_golden_file() -> None:
    for module in pkgutil.walk_packages(eventlog.__path__, "eventlog."):
        if not module.name.startswith(("eventlog.testing", "eventlog.http", "eventlog.cli")):
            importlib.import_module(module.name)

    golden = {record.type for path in FILES for record in read_records(path)}

    assert {type_ for type_ in _registry if is_builtin_type(type_)} == golden


def test_golden_records_are_decoded_with_all_that_they_hold(records: list[Record]) -> None:
    for record in records:
        stored = json.loads(record.data)
        event = decode_event(record)
        decoded = json.loads(encode_event(event))
        assert {name: decoded[name] for name in stored} == stored, record.type


def test_the_chain_of_golden_records_verifies(records: list[Record]) -> None:
    """A1: the hashes are of the stored bytes, so they are the same for ever."""
    assert verify_chain(iter(records)) is None


def test_golden_records_fold_without_an_illegal_step(records: list[Record]) -> None:
    projection = SessionFold(records[0].stream)

    state = projection.fold(projection.initial(), records)

    assert state.findings == []
    assert state.version == len(records)
    assert state.status != "absent"


@pytest.mark.parametrize("name", ["records-1", "records-large-output"])
def test_metadata_of_golden_records_says_who_and_what(name: str) -> None:
    records = read_records(GOLDEN / f"{name}.jsonl")
    recorded = [Recorded(record) for record in records]

    assert recorded[0].metadata.actor == "ada"
    assert recorded[0].metadata.correlation_id == "c-1"
    keys = {entry.metadata.idempotency_key for entry in recorded}
    assert keys == {None, "used-1"}


def test_the_first_golden_file_means_what_it_meant() -> None:
    records = read_records(GOLDEN / "records-1.jsonl")

    meta = eventlog.replay(records, Meta())
    archives = eventlog.replay(records, Archives())
    tasks = eventlog.replay(records, Tasks())
    usage = eventlog.replay(records, Usage())

    assert [message.id for message in eventlog.replay(records, LiveTail())] == []
    stored = json.loads((GOLDEN / "meta-1.json").read_text("utf-8"))
    shown = json.loads(json.dumps(meta._asdict()))
    assert {name: shown[name] for name in stored} == stored
    assert [(found.archive.state, found.message_ids, found.overview) for found in archives] == [
        ("completed", ("m1", "m2"), "# Deploying"),
        ("abandoned", ("m3", "m4"), ""),
    ]
    assert [(task.kind, task.state, task.attempts, task.generation) for task in tasks] == [
        ("finalise", "completed", 3, 1),
        ("memories", "completed", 1, 1),
        ("skills", "abandoned", 1, 1),
        ("side_effect:notify", "abandoned", 0, 1),
        ("finalise", "abandoned", 0, 2),
        ("acme.index", "abandoned", 0, 1),
    ]
    assert usage.commits[0].contexts == ("memory://1",)


def test_golden_policies_and_large_outputs_mean_what_they_meant() -> None:
    records = read_records(GOLDEN / "records-large-output.jsonl")
    fold = SessionFold(records[0].stream)

    state = fold.fold(fold.initial(), records[:8])
    tail = eventlog.replay(records[:8], LiveTail())

    assert state.tool_output == ToolOutputPolicy(inline_characters=1_000, preview_characters=500)
    assert state.auto_commit == AutoCommitPolicy(messages=100, idle_seconds=3_600, keep_recent=1)
    outputs = {"m2a": "late and long. " * 100, "m2b": "long. " * 200}
    for message in tail:
        if message.id in outputs:
            (tool,) = message.tools
            digest = kept_digest(records[0].stream, tool.model_dump(), tool.tool_id)
            assert digest == digest_of(outputs.pop(message.id).encode())
    assert outputs == {}


def test_golden_parts_mean_what_they_meant() -> None:
    """M11: from schema 2 on parts of every shape are calls and results."""
    records = read_records(GOLDEN / "records-parts.jsonl")
    fold = SessionFold(records[0].stream)

    state = fold.fold(fold.initial(), records)
    calls = [part.model_dump() for part in eventlog.replay(records, LiveTail())[1].parts[1:]]

    assert {record.schema for record in records if record.type == "message_appended"} == {2}
    assert [(call.tool_id, call.message_id) for call in state.window.pending] == [("f1", "m3")]
    assert [call.get("tool_output") for call in calls] == [
        None,  # It is answered by a message.
        "not so well",
        "abandoned: no result will come",
    ]
    assert state.window.tokens > 1_000


def test_the_same_parts_in_schema_1_are_folded_as_they_were() -> None:
    records = read_records(GOLDEN / "records-parts.jsonl")[:5]
    first = [record._replace(schema=1) for record in records]
    fold = SessionFold(records[0].stream)

    state = fold.fold(fold.initial(), first)

    assert list(state.window.pending) == []
    assert [message.id for message in eventlog.replay(first, LiveTail())] == [
        "m0",
        "m1",
        "m2",
        "m3",
    ]


def test_golden_turns_and_withdrawals_mean_what_they_meant() -> None:
    records = read_records(GOLDEN / "records-turns.jsonl")

    state = eventlog.replay(records, SessionFold())

    assert state.turn is None
    assert (state.total_message_count, state.withdrawn_count) == (0, 6)
    assert state.withdrawn == ((3, 3, 5), (2, 2, 6), (4, 4, 6), (11, 13, 15), (7, 8, 22))
    assert eventlog.replay(records[:14], LiveTail())[-1].parts[0].model_dump()["interrupted"]
    assert [message.id for message in eventlog.replay(records[:8], LiveTail())] == ["m1", "m3"]
    assert eventlog.replay(records[:8], LiveTail())[0].text == "edited"


def test_golden_runs_mean_what_they_meant() -> None:
    records = read_records(GOLDEN / "records-runs.jsonl")
    view = eventlog.replay([Recorded(record) for record in records], Runs())

    states = sorted(run.state for run in view.runs)
    assert states == ["abandoned", "cancelled", "completed", "idle"]
    assert (view.restarts, view.fallbacks, view.calls) == (1, 1, 2)
    assert view.usage == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    (done,) = [run for run in view.runs if run.state == "completed"]
    assert (done.message_id, done.attempt, done.provider) == ("m1", 3, "gemini")


def test_golden_streams_mean_what_they_meant() -> None:
    records = read_records(GOLDEN / "records-streams.jsonl")

    state = eventlog.replay(records, SessionFold())
    tail = eventlog.replay(records, LiveTail())

    assert [
        (each.fence, each.sequence, each.turn and each.turn.turn_id)
        for each in state.streams.values()
    ] == [(17, 1, "t1")]
    assert state.findings == []
    assert [message.id for message in tail] == ["m1", "m2", "m3"]
    assert (tail[1].text, tail[1].tools[0].tool_output) == ("let me look\nit is open", "open")
    assert (tail[2].model_extra, tail[2].tools[0].tool_output) == ({"interrupted": True}, "late")


def test_a_golden_adoption_means_what_it_meant() -> None:
    records = read_records(GOLDEN / "records-adoption.jsonl")[:-3]

    meta = eventlog.replay(records, Meta())
    archives = eventlog.replay(records, Archives())

    assert [message.id for message in eventlog.replay(records, LiveTail())] == ["m2", "m5"]
    assert [(found.archive.archive_id, found.archive.state) for found in archives] == [
        ("archive_002", "completed"),
        ("archive_003", "terminal_failed"),
        ("archive_004", "pending"),
    ]
    assert [found.message_ids for found in archives] == [("m1", "m2"), ("m3",), ("m4",)]
    assert (meta.created_at, meta.total_message_count) == ("2026-01-01T00:00:00.000000Z", 5)
    assert (meta.memories_extracted["events"], meta.llm_token_usage["prompt_tokens"]) == (2, 5)


def test_the_first_golden_folder_is_still_written_to_the_byte() -> None:
    """P3: what ``tell_folder.py`` left on its disk, from the records alone."""
    folder = GOLDEN / "folder-1"
    written = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob("**/*")
        if path.is_file()
    }

    assert folder_files(read_records(GOLDEN / "records-folder-1.jsonl")) == written
