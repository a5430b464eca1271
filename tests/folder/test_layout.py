"""The formats of a session folder: what is written down, to the byte (O1, P3)."""

from __future__ import annotations

import json

import pytest

from eventlog import Log, Message, Session
from eventlog.projections import folder_layout as layout
from eventlog.session.message_data import MessageData
from tests.folder.folders import replayed


def line(**fields: object) -> bytes:
    data: MessageData = {"id": "m", "role": "user", "parts": [], "created_at": "t", **fields}  # type: ignore[typeddict-item]
    return layout.message_line(data)


def test_a_line_has_the_fields_of_every_message_first_and_the_unknown_ones_as_they_came() -> None:
    data: MessageData = {  # type: ignore[typeddict-unknown-key]
        "peer_id": "p",
        "created_at": "t",
        "parts": [{"text": "\u00e9\u2028", "type": "text"}],
        "id": "m",
        "role": "user",
        "ratio": 0.5,
    }
    assert (
        layout.message_line(data)
        == (
            '{"id": "m", "role": "user", "parts": [{"text": "\u00e9\u2028", "type": "text"}], '
            '"created_at": "t", "peer_id": "p", "ratio": 0.5}\n'
        ).encode()
    )


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (
            {"type": "tool", "tool_id": "c", "acme": 1},
            (
                '{"type": "tool", "tool_id": "c", "tool_name": "", "tool_uri": "", '
                '"skill_uri": "", "tool_status": "pending", "acme": 1}'
            ),
        ),
        (
            {"uri": "u", "type": "context"},
            '{"type": "context", "uri": "u", "context_type": "memory", "abstract": ""}',
        ),
        ({"x": 1, "type": "acme"}, '{"x": 1, "type": "acme"}'),
    ],
)
def test_a_part_has_what_readers_of_its_type_insist_on(
    part: dict[str, object], written: str
) -> None:
    assert written.encode() in line(parts=[part])


def test_messages_are_lines_that_end_with_a_line_feed_and_none_is_no_byte(
    log: Log, session: Session
) -> None:
    session.append(Message.user("a\nb\u2028c\x85d\x0be"))
    files = replayed(log)
    assert files["messages.jsonl"].count(b"\n") == 1
    assert files["messages.jsonl"].endswith(b"\n")
    session.commit()
    assert replayed(log)["messages.jsonl"] == b""


def test_documents_say_what_the_views_say(log: Log, session: Session) -> None:
    session.append(Message.user("hello"))
    meta = replayed(log)[".meta.json"]
    fields = session.meta._asdict()
    for name in ("blocked_by", "withdrawn_count"):  # Other programs do not know them.
        del fields[name]
    assert json.loads(meta) == fields
    assert list(json.loads(meta)) == list(fields)


@pytest.mark.parametrize(
    ("name", "temporary"),
    [
        ("messages.jsonl", ".messages.jsonl.7f.eventlog-tmp"),
        (".meta.json", ".meta.json.7f.eventlog-tmp"),
    ],
)
def test_temporary_names_are_known_again(name: str, temporary: str) -> None:
    assert layout.temporary_name(name, "7f") == temporary
    assert layout.is_temporary(temporary)
    assert not layout.is_temporary(name)


def test_quarantine_names_follow_from_the_content() -> None:
    name = layout.quarantine_name(".meta.json", b"x")
    assert name == layout.quarantine_name(".meta.json", b"x")
    assert name != layout.quarantine_name(".meta.json", b"y")
    assert layout.is_quarantined(name)
    assert name.endswith("-meta.json")


def test_archives_have_at_least_three_digits() -> None:
    assert layout.archive_file(1, ".done") == "history/archive_001/.done"
    assert layout.archive_file(1000, ".done") == "history/archive_1000/.done"
    assert layout.split_archive_file("history/archive_1000/.done") == (1000, ".done")
    for other in ("history/archive_1/.done", "history/archive_001", "x/archive_001/.done"):
        assert layout.split_archive_file(other) is None


def test_a_summary_that_looks_like_front_matter_gets_an_empty_line_before_it() -> None:
    assert layout.markdown("---\ntitle") == b"\n---\ntitle"
    assert layout.markdown("# Title\n") == b"# Title\n"


def test_an_abandoned_archive_is_skipped_for_those_who_know_that() -> None:
    failed = json.loads(layout.failed_document("abandoned", "e", "t", skipped=True))
    assert failed == {"stage": "abandoned", "error": "e", "failed_at": "t", "skipped": True}
