"""SQLite files of other programs: read as they are, and neither trusted nor touched."""

from __future__ import annotations

import json
import sqlite3
import struct
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog.errors import InvalidMessage
from eventlog.exchange.langgraph.msgpack import decoded
from eventlog.exchange.notes import Notes
from eventlog.exchange.reading import read_conversations
from tests.exchange.test_formats import PAIR, kinds, said

if TYPE_CHECKING:
    from eventlog.exchange.conversation import Conversation
    from tests.cli.conftest import CommandLine

FORMATS = Path(__file__).with_name("formats")

ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather in Oslo?"},
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "weather",
        "arguments": '{"city":"Oslo"}',
    },
    {"type": "function_call_output", "call_id": "c1", "output": "-3 °C"},
    {"role": "assistant", "content": "Minus three."},
]

AGENTS = """
CREATE TABLE agent_sessions (session_id TEXT PRIMARY KEY, created_at TIMESTAMP);
CREATE TABLE agent_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, message_data TEXT NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
"""

GRAPH = """
CREATE TABLE checkpoints (
    thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
    parent_checkpoint_id TEXT, type TEXT, checkpoint BLOB, metadata BLOB,
    PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
);
CREATE TABLE writes (
    thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
    task_id TEXT NOT NULL, idx INTEGER NOT NULL, channel TEXT NOT NULL, type TEXT, value BLOB
);
"""


def agents_file(path: Path, sessions: dict[str, list[Any]]) -> sqlite3.Connection:
    """Write items as the OpenAI Agents SDK does; the connection is still open."""
    connection = sqlite3.connect(path)
    connection.executescript(AGENTS)
    for session, items in sessions.items():
        add_items(connection, session, items)
    return connection


def add_items(connection: sqlite3.Connection, session: str, items: list[Any]) -> None:
    connection.executemany(
        "INSERT INTO agent_messages (session_id, message_data, created_at) VALUES (?, ?, ?)",
        [
            (session, item if isinstance(item, str) else json.dumps(item), "2026-01-01 10:00:00")
            for item in items
        ],
    )
    connection.commit()


def graph_file(path: Path, *checkpoints: tuple[str, str, str, bytes]) -> Path:
    """Write checkpoints: thread, id, type and value each."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(GRAPH)
        for thread, id_, type_, value in checkpoints:
            connection.execute(
                "INSERT INTO checkpoints VALUES (?, '', ?, NULL, ?, ?, ?)",
                (thread, id_, type_, value, b'{"step": 3}'),
            )
        connection.commit()
    return path


def read(path: Path) -> list[Conversation]:
    return list(read_conversations(path, Notes(str(path), quarantine=True)))


def test_each_session_of_the_agents_sdk_is_read_and_written_back(run: CommandLine) -> None:
    path = run.folder / "agents.db"
    agents_file(path, {"a": ITEMS, "b": ITEMS[:1]}).close()
    before = path.read_bytes()
    document = run.json("import", str(path))
    assert [(e["session_id"], e["format"]) for e in document["sessions"]] == [
        ("a", "openai-agents"),
        ("b", "openai-agents"),
    ]
    with eventlog.open(run.store) as log:
        session = log.session("a")
        assert said(session.tail()) == PAIR
        assert list(session.context().to_responses()) == ITEMS
        assert session.tail()[0].created_at == "2026-01-01T10:00:00.000000Z"
    assert run("doctor", str(path)).code == 0
    assert path.read_bytes() == before
    assert [entry.name for entry in run.folder.glob("agents.db*")] == ["agents.db"]


def test_what_is_in_a_write_ahead_log_is_read_and_the_file_is_left_as_it_is(
    run: CommandLine,
) -> None:
    path = run.folder / "agents.db"
    with closing(agents_file(path, {"a": ITEMS[:1]})) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        add_items(connection, "a", ITEMS[1:])
        before = {each.name: each.read_bytes() for each in run.folder.glob("agents.db*")}
        assert len(before) == 3
        assert run.json("import", str(path))["imported"] == 4
        assert {each.name: each.read_bytes() for each in run.folder.glob("agents.db*")} == before
        add_items(connection, "a", [{"role": "user", "content": "And Rome?"}])
        assert run.json("import", str(path))["imported"] == 1


def test_branches_of_a_session_are_sessions_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with closing(agents_file(path, {"a": ITEMS})) as connection:
        connection.execute(
            "CREATE TABLE message_structure (id INTEGER PRIMARY KEY, session_id TEXT, "
            "message_id INTEGER, branch_id TEXT, sequence_number INTEGER)"
        )
        rows = [("a", 1, "main", 1), ("a", 2, "main", 2), ("a", 3, "main", 3)]
        rows += [("a", 1, "other", 1), ("a", 4, "other", 2)]
        connection.executemany(
            "INSERT INTO message_structure (session_id, message_id, branch_id, sequence_number) "
            "VALUES (?, ?, ?, ?)",
            rows,
        )
        connection.commit()
    main, other = read(path)
    assert said(main.messages) == PAIR[:3]
    assert (other.session_id, other.fields) == ("a.branch-other", {"branch_of": "a"})
    assert said(other.messages) == [PAIR[0], PAIR[3]]


def test_rows_that_cannot_be_read_are_named_and_the_others_imported(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    rows = [
        "{torn",
        ITEMS[0],
        {"__enc__": 1, "payload": "x"},
        '{"role":"user","content":"\\ud83d"}',
    ]
    agents_file(path, {"a": rows}).close()
    (found,) = read(path)
    assert said(found.messages) == [PAIR[0], ("user", "\\ud83d")]
    assert kinds(found) == ["not_json", "replaced", "unread"]
    assert found.lines == (2, 4)
    with pytest.raises(InvalidMessage, match="row 1 is not JSON"):
        list(read_conversations(path))


def test_the_newest_checkpoint_of_a_thread_is_its_conversation(tmp_path: Path) -> None:
    """A checkpoint as LangGraph writes it; its objects are read and never built."""
    blob = (FORMATS / "langgraph-checkpoint.msgpack").read_bytes()
    assert b"model_validate_json" in blob
    path = graph_file(
        tmp_path / "graph.db",
        ("t-1", "1", "pickle", b"cos\nsystem\n"),
        ("t-1", "2", "msgpack", blob),
    )
    (found,) = read(path)
    assert (found.session_id, found.format) == ("t-1", "langgraph")
    assert said(found.messages) == PAIR
    assert found.messages[1].id == "run-1"
    assert found.fields["metadata"] == {"step": 3}
    assert kinds(found) == ["unread"]


def test_channels_in_json_and_further_state_are_kept(tmp_path: Path) -> None:
    human = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "HumanMessage"],
        "kwargs": {"content": "Hi", "type": "human"},
    }
    state = {"channel_values": {"messages": [human], "inner": [human, human], "topic": "greeting"}}
    path = graph_file(tmp_path / "graph.db", ("t", "1", "json", json.dumps(state).encode()))
    main, inner = read(path)
    assert (main.session_id, said(main.messages)) == ("t", [("user", "Hi")])
    assert main.fields["channel_values"] == {"topic": "greeting"}
    assert (inner.session_id, len(inner.messages)) == ("t.channel-inner", 2)


@pytest.mark.parametrize(
    ("type_", "value", "kind"),
    [
        ("pickle", b"cos\nsystem\n(S'true'\ntR.", "unread"),
        ("msgpack+aes", b"\x80", "unread"),
        ("msgpack", b"\x81\xa1a", "not_msgpack"),
        ("msgpack", b"\xdd\xff\xff\xff\xff", "not_msgpack"),
        ("msgpack", b"\x91" * 100_000, "not_msgpack"),
        ("msgpack", b"\xc1", "not_msgpack"),
        ("json", b"{", "not_json"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_without_danger_is_left(
    tmp_path: Path, type_: str, value: bytes, kind: str
) -> None:
    path = graph_file(tmp_path / "graph.db", ("t", "1", type_, value))
    notes = Notes(str(path), quarantine=True)
    assert list(read_conversations(path, notes)) == []
    assert [noted.finding.kind for noted in notes.findings] == [kind]
    with pytest.raises(InvalidMessage):
        list(read_conversations(path))


def packed(value: Any) -> bytes:
    """Write a value in MessagePack, each in its longest form."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return b"\xd3" + struct.pack(">q", value)
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            raw = value.encode()
            return b"\xdb" + struct.pack(">I", len(raw)) + raw
        case list():
            items: list[Any] = value
            return b"\xdd" + struct.pack(">I", len(items)) + b"".join(map(packed, items))
        case _:
            pairs: list[tuple[Any, Any]] = list(value.items())
            body = b"".join(packed(key) + packed(inner) for key, inner in pairs)
            return b"\xdf" + struct.pack(">I", len(pairs)) + body


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(VALUES)
def test_values_in_messagepack_come_back(value: Any) -> None:
    assert decoded(packed(value)) == value


@given(
    st.binary(max_size=60)
    | st.tuples(VALUES, st.integers(0, 200)).map(lambda drawn: packed(drawn[0])[: drawn[1]])
)
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    with suppress(ValueError):
        decoded(data)


@pytest.mark.parametrize(
    "schema",
    [
        (
            "CREATE VIEW agent_messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id FROM n) "
            "SELECT id, 'a' AS session_id, '{}' AS message_data, '' AS created_at FROM n"
        ),
        (
            "CREATE TABLE agent_messages (id, session_id, created_at, "
            "message_data AS (hex(zeroblob(1000000000))))"
        ),
    ],
    ids=["a view without end", "a column that computes"],
)
def test_what_a_schema_would_run_is_not_run(tmp_path: Path, schema: str) -> None:
    path = tmp_path / "hostile.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(schema)
        connection.commit()
    with pytest.raises(InvalidMessage, match="neither of the OpenAI Agents SDK nor"):
        read(path)


def test_a_damaged_database_is_a_typed_error(tmp_path: Path, run: CommandLine) -> None:
    path = tmp_path / "agents.db"
    agents_file(path, {"a": ITEMS * 200}).close()
    whole = path.read_bytes()
    for damaged in (
        whole[:16],
        whole[:100],
        whole[:6000],
        whole[:16] + bytes(len(whole) - 16),
        whole[:100] + b"\xff" * 4000 + whole[4100:],
        whole[:5000] + b"\xff" * 9000 + whole[14000:],
    ):
        path.write_bytes(damaged)
        answer = run("import", str(path))
        assert answer.code == 2, damaged[:200]
        assert "Traceback" not in answer.stderr
        assert str(path) in answer.stderr
