"""Derived data is verified against the events and can never make a message vanish (C1, A1, L12)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from eventlog import Finding, Log, Message, Session, ToolOutputPolicy, Worker
from eventlog.chain import chain_hash
from eventlog.engine.snapshots import replay_stream, write_snapshot
from eventlog.records import START, Append
from eventlog.session.projection import SessionFold
from eventlog.testing.conformance import make_record
from eventlog.testing.inside import core_of

KEY = "snapshot/s/session"


def talk(log: Log, count: int = 8) -> Session:
    session = log.session("s", create=True)
    for number in range(count):
        session.append(Message.user(f"text {number}", id=f"m{number}"))
    return session


def texts(messages: tuple[Message, ...]) -> list[str]:
    return [message.text for message in messages]


def everywhere(log: Log) -> list[str]:
    """Return the texts of all messages that are in an archive or live, as a new process reads them."""
    session = Log(log.store).session("s")
    archived = [session.archive(view.archive_id) for view in session.archives()]
    found = [message for archive in archived for message in archive.messages]
    return texts((*found, *session.tail()))


def forge_snapshot(log: Log, change: Any) -> None:
    """Store a snapshot that opening trusts, of a state that somebody has changed."""
    fold = SessionFold("s")
    replayed = replay_stream(log.store, "s", fold)
    change(replayed.state)
    write_snapshot(log.store, "s", fold, replayed.state, replayed.version, replayed.hash)


def forget_half(state: Any) -> None:
    """Have the live tail begin in the middle, with figures that fit."""
    window = state.window
    known = len(window.versions) // 2
    window.since = window.versions[known - 1]
    window.versions, window.rounds = window.versions[known:], window.rounds[known:]
    window.weights = window.weights[known:]
    window.count, window.tokens = len(window.versions), sum(window.weights)


def count_wrongly(state: Any) -> None:
    state.total_message_count += 5


def kinds(findings: list[Finding]) -> set[str]:
    return {finding.kind for finding in findings}


# ---- snapshots --------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [forget_half, count_wrongly])
def test_a_forged_snapshot_is_a_finding(log: Log, change: Any) -> None:
    talk(log)
    forge_snapshot(log, change)

    (finding,) = Log(log.store).verify("s")

    assert (finding.kind, finding.version) == ("snapshot", 9)


@pytest.mark.parametrize("keep_recent", [0, 1, 3])
def test_messages_that_a_snapshot_forgot_are_all_there_after_the_next_commit(
    log: Log, keep_recent: int
) -> None:
    """C1: the commit takes what it knew of; the rest is live, and the next commit takes it."""
    talk(log)
    forge_snapshot(log, forget_half)
    misled = Log(log.store).session("s")
    assert len(misled.tail()) == 4

    misled.append(Message.user("one more"))
    misled.commit(keep_recent=keep_recent)
    Worker(Log(log.store)).run_once()
    assert "commit" in kinds(Log(log.store).verify("s"))

    log.store.put_blob(KEY, b"dropped")
    session = Log(log.store).session("s")
    assert len(session.tail()) == 4 + keep_recent
    assert sorted(everywhere(log)) == sorted([*(f"text {n}" for n in range(8)), "one more"])
    session.commit()
    Worker(Log(log.store)).run_once()
    assert session.tail() == ()
    assert sorted(everywhere(log)) == sorted([*(f"text {n}" for n in range(8)), "one more"])


def test_a_snapshot_that_is_ignored_is_none_of_the_findings(log: Log) -> None:
    """L12: it proves nothing, and does no harm."""
    talk(log)
    core_of(log, "s").write_snapshot()
    blob = log.store.get_blob(KEY)
    assert blob is not None
    log.store.put_blob(KEY, blob.data[:-1] + b"?")

    assert log.verify("s") == []


# ---- commits ----------------------------------------------------------------------------------


def append_commit(log: Log, **fields: Any) -> None:
    """Append a commit past the library, with a chain that holds."""
    data = {
        "archive": 1,
        "task_id": "t",
        "takes": [[2, 5]],
        "retains": [[6, 9]],
        "message_count": 4,
        "retained_count": 4,
        "tokens": 8,
        "keep_recent": 4,
        "usage_after": 0,
        "usage_until": 9,
        "usage_count": 0,
        **fields,
    }
    head = log.store.head("s")
    record = make_record(
        "s", head.version + 1, data=json.dumps(data).encode(), type="commit_prepared"
    )
    record = record._replace(time=head.time, position=START, metadata=b"{}")
    stream, version, _, event_id, type_, schema, time, raw, metadata, _ = record
    hash_ = chain_hash(head.hash, stream, version, event_id, type_, schema, time, raw, metadata)
    log.store.append([Append("s", head.version, (record._replace(hash=hash_),))])


@pytest.mark.parametrize(
    ("fields", "live", "detail"),
    [
        ({"retains": [[8, 9]], "retained_count": 2}, 4, "neither takes nor retains"),
        ({"retains": [], "retained_count": 0}, 4, "neither takes nor retains"),
        ({"retains": [[5, 9]], "retained_count": 5}, 4, "both takes and retains"),
        ({"takes": [[2, 3], [5, 5]], "message_count": 3}, 5, "neither takes nor retains"),
        ({"message_count": 3}, 4, "says that it takes 3"),
        ({"retained_count": 9}, 4, "says that it retains 9"),
        ({"takes": [[2, 5], [3, 4]]}, 4, None),
        ({"takes": [[5, 2]], "message_count": 0}, 8, "invalid range"),
        ({"takes": [[-5, 1 << 60]], "retains": [], "message_count": 8}, 0, "invalid range"),
    ],
)
def test_a_commit_takes_the_messages_of_its_ranges_and_no_other(
    log: Log, fields: dict[str, Any], live: int, detail: str | None
) -> None:
    talk(log)
    append_commit(log, **fields)

    session = Log(log.store).session("s")

    assert len(session.tail()) == session.meta.message_count == live
    wrong = [found for found in Log(log.store).verify("s") if found.kind == "commit"]
    assert detail is None or any(detail in finding.detail for finding in wrong)
    assert all(finding.version == 10 for finding in wrong)


def test_a_sound_commit_has_no_finding(log: Log) -> None:
    talk(log)
    append_commit(log)

    assert kinds(Log(log.store).verify("s")) == {"index"}  # It was stored without its entries.
    assert texts(Log(log.store).session("s").tail()) == [f"text {n}" for n in range(4, 8)]


def test_what_a_commit_takes_a_second_time_is_named(log: Log) -> None:
    talk(log)
    append_commit(log)
    append_commit(
        log, archive=2, task_id="u", takes=[[2, 9]], retains=[], retained_count=0, message_count=8
    )

    (finding, _) = [found for found in log.verify("s") if found.kind == "commit"]

    assert "takes the messages of versions 2, 3, 4 and 1 more" in finding.detail


# ---- values and index -------------------------------------------------------------------------


def with_output(log: Log) -> str:
    """Have a session keep a large output, and return its digest."""
    policy = ToolOutputPolicy(inline_characters=600, preview_characters=500)
    session = log.session("s", create=True, tool_output=policy)
    output = "x" * 5_000
    part = {"type": "tool", "tool_id": "t", "tool_name": "n", "tool_status": "completed"}
    session.append({"id": "m", "role": "assistant", "parts": [{**part, "tool_output": output}]})
    return hashlib.sha256(output.encode()).hexdigest()


def test_a_changed_value_is_a_finding_with_the_version_that_names_it(log: Log) -> None:
    digest = with_output(log)
    assert log.verify("s") == []
    log.store.put_blob(f"value/s/{digest}", b"forged")

    (finding,) = log.verify("s")

    assert (finding.kind, finding.version) == ("value", 2)
    assert digest in finding.detail


@pytest.mark.parametrize("damage", ["missing", "forged", "unreadable"])
@pytest.mark.parametrize("prefix", ["session/", "task/", "archive/", "due/"])
def test_a_wrong_index_entry_is_a_finding(log: Log, prefix: str, damage: str) -> None:
    talk(log).commit()
    assert log.verify("s") == []
    key = next(key for key, _ in log.store.scan(prefix, prefix[:-1] + "0"))
    forged: dict[str, bytes | None] = {"missing": None, "forged": b"{}", "unreadable": b"?"}
    log.store.put_index([(key, forged[damage])])

    (finding,) = log.verify("s")

    assert finding.kind == "index"
    assert key in finding.detail


def test_an_entry_that_no_event_has_made_is_a_finding(log: Log) -> None:
    talk(log).commit()
    task = next(value for _, value in log.store.scan("task/", "task0"))
    log.store.put_index(
        [("task/forged", task), ("archive/s/000000009", b"{}"), ("idle/1/s", b"{}")]
    )

    assert [found.kind for found in log.verify("s")] == ["index"] * 3


def test_a_worker_passes_over_a_damaged_entry_and_does_the_rest(log: Log) -> None:
    """One entry stops nobody: the other sessions are finalised."""
    talk(log).commit()
    key, value = next(log.store.scan("due/", "due0"))
    broken = [f"due/finalise/{'0' * 17}/{name}" for name in "abc"]
    log.store.put_index(
        [(broken[0], b"?"), (broken[1], b'{"session":7}'), ("due/finalise/x/y", value)]
    )
    other = log.session("other", create=True)
    other.append(Message.user("hello"))
    other.commit()

    assert Worker(log).run_once() == 2
    assert key.startswith("due/finalise/")
