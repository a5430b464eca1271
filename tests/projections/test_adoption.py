"""Adopting a folder: what survives it, what stops it half-way, and who may adopt what (O4, O5)."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import (
    ArchiveNotFound,
    AutoCommitPolicy,
    DuplicateEvent,
    FolderUnavailable,
    Log,
    Message,
    OwnerMismatch,
    SessionClosed,
    SessionNotFound,
    TooLarge,
    ToolOutputNotFound,
    Worker,
)
from eventlog.adoption import adopting
from eventlog.audit.index_check import compare_index
from eventlog.records import Append, Appended
from eventlog.stores.memory import MemoryStore

FIELDS = {
    "turn_id": "t-1",
    "acme": {"b": [1, None], "a": 1.5},
}
PARTS = [
    {"type": "text", "text": "a\u2028b", "acme": True},
    {"type": "acme_part", "payload": {"z": 1}},
    {"type": "context", "uri": "viking://r", "context_type": "memory", "abstract": "x"},
]
META = {
    "session_id": "s",
    "created_at": "2026-05-25T07:40:00.000Z",
    "updated_at": "2026-05-25T07:52:10.412Z",
    "created_by_user_id": "ada",
    "message_count": 1,
    "total_message_count": 3,
    "commit_count": 1,
    "memories_extracted": {"profile": 0, "preferences": 2, "total": 2},
    "last_commit_at": "2026-05-25T07:52:10.400Z",
    "llm_token_usage": {"prompt_tokens": 5200, "completion_tokens": 1800, "total_tokens": 7000},
    "embedding_token_usage": {"total_tokens": 310},
    "pending_tokens": 0,
    "keep_recent_count": 1,
    "participant_user_ids": ["ada"],
    "auto_commit_policy": {"tokens": 8000},
}
ARCHIVE_META = {
    "overview_tokens": 41,
    "abstract_tokens": 7,
    "phase1": {"status": "ready"},
    "agent_evolution": {"enabled": False},
}
DONE = {"starting_message_id": "a", "ending_message_id": "b", "working_memory_enabled": True}
OUTPUT = "exit code 137\n" * 3


def message(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": name,
        "role": "user",
        "parts": [{"type": "text", "text": f"text of {name}"}],
        "created_at": "2026-05-25T07:47:25.123456+00:00",
        **fields,
    }


def write(root: Path, files: dict[str, Any]) -> Path:
    """Write files: bytes as they are, lists as lines, other values as JSON."""
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, list):
            text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in value)
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        path.write_bytes(text.encode())
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound folder with everything in it that has no field in a log."""
    return write(
        tmp_path / "foreign",
        {
            ".meta.json": META,
            "messages.jsonl": [message("c", parts=PARTS, **FIELDS)],
            ".abstract.md": "3 turns",
            ".relations.json": [{"id": "link_1"}],
            ".path.ovlock": "lock",
            "tool-results/tr_1/output.txt": OUTPUT,
            "tool-results/tr_1/metadata.json": {"sha256": "x"},
            "history/archive_001/messages.jsonl": [message("a"), message("b", **FIELDS)],
            "history/archive_001/.overview.md": "# So far",
            "history/archive_001/.abstract.md": "so far",
            "history/archive_001/.meta.json": ARCHIVE_META,
            "history/archive_001/memory_diff.json": {"operations": {}},
            "history/archive_001/notes/x.txt": "kept",
            "history/archive_001/.done": DONE,
            "history/archive_001.bak/messages.jsonl": [message("old")],
        },
    )


# ---- what survives ----------------------------------------------------------------------------


def test_the_metadata_is_that_of_the_folder(log: Log, folder: Path) -> None:
    """M8: where the messages do not tell better."""
    log.adopt(folder)

    meta = log.session("s").meta
    assert meta.created_at == "2026-05-25T07:40:00.000000Z"
    assert meta.updated_at == "2026-05-25T07:52:10.412000Z"
    assert meta.last_commit_at == "2026-05-25T07:52:10.400000Z"
    assert meta.last_message_at == "2026-05-25T07:47:25.123456Z"
    assert (meta.owner, meta.message_count, meta.total_message_count) == ("ada", 1, 3)
    assert (meta.commit_count, meta.keep_recent_count, meta.pending_tokens) == (1, 1, 0)
    assert meta.memories_extracted == {"profile": 0, "preferences": 2, "total": 2}
    assert meta.llm_token_usage == {
        "prompt_tokens": 5200,
        "completion_tokens": 1800,
        "total_tokens": 7000,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
    }
    assert meta.embedding_token_usage == {"total_tokens": 310}


def test_messages_keep_every_field_and_part(log: Log, folder: Path) -> None:
    log.adopt(folder)

    session = log.session("s")
    assert session.tail()[0].model_dump(exclude_unset=True) == {
        **message("c", parts=tuple(PARTS), **FIELDS)
    }
    assert session.history()[1].model_dump(exclude_unset=True)["acme"] == FIELDS["acme"]


def test_what_nobody_here_knows_is_written_again_elsewhere(
    log: Log, folder: Path, tmp_path: Path
) -> None:
    """O4: unknown files, fields and metadata, the token counts of archives as well."""
    log.adopt(folder)

    log.session("s").materialize(tmp_path / "again")

    again = tmp_path / "again"
    for name in (
        ".relations.json",
        "tool-results/tr_1/output.txt",
        "tool-results/tr_1/metadata.json",
        "history/archive_001/memory_diff.json",
        "history/archive_001/notes/x.txt",
        "history/archive_001.bak/messages.jsonl",
        "history/archive_001/messages.jsonl",
        "history/archive_001/.overview.md",
        "messages.jsonl",
    ):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name
    assert not (again / ".path.ovlock").exists()
    meta = json.loads((again / ".meta.json").read_bytes())
    assert {key: meta[key] for key in ("participant_user_ids", "auto_commit_policy")} == {
        "participant_user_ids": ["ada"],
        "auto_commit_policy": {"tokens": 8000},
    }
    archive = json.loads((again / "history/archive_001/.meta.json").read_bytes())
    assert archive == ARCHIVE_META
    done = json.loads((again / "history/archive_001/.done").read_bytes())
    assert done["working_memory_enabled"] is True


def test_what_is_unknown_is_healed_as_everything_else(
    log: Log, folder: Path, tmp_path: Path
) -> None:
    log.adopt(folder)
    session, path = log.session("s"), tmp_path / "again"
    session.materialize(path)
    (path / "tool-results/tr_1/output.txt").write_text("cut", "utf-8")
    (path / ".relations.json").unlink()

    report = session.heal(path)

    assert {finding.path for finding in report.findings} == {
        ".relations.json",
        "tool-results/tr_1/output.txt",
    }
    assert (path / "tool-results/tr_1/output.txt").read_text("utf-8") == OUTPUT
    assert session.heal(path).findings == ()


def test_a_folder_follows_the_adopted_session(log: Log, folder: Path, tmp_path: Path) -> None:
    log.adopt(folder)
    session, path = log.session("s"), tmp_path / "again"
    session.attach_folder(path)

    session.append(Message.user("more", id="d"))
    session.commit()
    Worker(log).run_once()
    session.refresh()
    session.append(Message.user("and more", id="e"))

    assert session.heal(path, check=True).findings == ()
    assert json.loads((path / ".meta.json").read_bytes())["participant_user_ids"] == ["ada"]
    assert (path / "history/archive_002/.done").exists()


def test_old_forms_of_messages_are_read(log: Log, tmp_path: Path) -> None:
    """A text without parts, and messages without a time, which get that of the one before."""
    old = {"id": "a", "role": "user", "content": "plain", "created_at": "2025-01-01T00:00:00Z"}
    bare = {"id": "b", "role": "assistant", "parts": [{"type": "text", "text": "x"}]}
    folder = write(tmp_path / "old", {"messages.jsonl": [old, bare]})

    log.adopt(folder)

    first, second = log.session("old").tail()
    assert (first.text, second.created_at) == ("plain", "2025-01-01T00:00:00Z")


def test_front_matter_is_stripped_and_other_dashes_are_kept(log: Log, tmp_path: Path) -> None:
    bodies = {
        1: (
            "---\ndirectory: viking://s/\ngenerated_by:\n  component: X\n---\n\n# Title\n",
            "# Title",
        ),
        2: ("---\nnot front matter\n---\ntext\n", "---\nnot front matter\n---\ntext\n"),
        3: ("---\ndirectory: never closed\n", "---\ndirectory: never closed\n"),
        4: ("---\r\ndirectory: x\r\n---\r\n\r\nbody\r\n", "body"),
        5: ("plain\n", "plain\n"),
    }
    files: dict[str, Any] = {".meta.json": {"message_count": 0}}
    for number, (text, _) in bodies.items():
        files[f"history/archive_{number:03d}/messages.jsonl"] = [message(f"m{number}")]
        files[f"history/archive_{number:03d}/.overview.md"] = text
        files[f"history/archive_{number:03d}/.abstract.md"] = text
        files[f"history/archive_{number:03d}/.done"] = ""
    log.adopt(write(tmp_path / "s", files))

    for number, (_, body) in bodies.items():
        archived = log.session("s").archive(f"archive_{number:03d}")
        assert (archived.overview, archived.abstract) == (body, body)


def test_a_closed_session_stays_closed(log: Log, tmp_path: Path) -> None:
    with eventlog.open("memory:") as other:
        session = other.session("s", create=True)
        session.append(Message.user("x"))
        session.close()
        session.materialize(tmp_path / "s")

    log.adopt(tmp_path / "s")

    assert log.session("s").meta.status == "closed"


# ---- archives ---------------------------------------------------------------------------------


def test_an_orphan_is_finalised_and_then_there_is_nothing_to_retry(
    log: Log, tmp_path: Path
) -> None:
    """F9: adopting gives a raw archive its task."""
    archive = "history/archive_001/messages.jsonl"
    log.adopt(write(tmp_path / "s", {archive: [message("a")], ".meta.json": {"message_count": 0}}))
    session = log.session("s")

    assert session.retry("archive_001") == "running"
    assert Worker(log).run_once() == 1
    assert session.retry("archive_001") == "already_completed"
    assert [entry.id for entry in session.archive("archive_001").messages] == ["a"]


def test_a_failed_archive_can_be_retried(log: Log, tmp_path: Path) -> None:
    """F9, and its error without secrets (F11)."""
    files = {
        "history/archive_001/messages.jsonl": [message("a")],
        "history/archive_001/.failed.json": {"error": "401 for sk-abcdefghijklmnopqrstuv"},
    }
    log.adopt(write(tmp_path / "s", files))
    session = log.session("s")

    (view,) = session.archives()
    assert (view.state, view.error) == ("terminal_failed", "401 for [redacted]")
    assert session.retry("archive_001") == "accepted"
    assert Worker(log).run_once() == 1


def test_an_archive_without_messages_fails_again_at_once(log: Log, tmp_path: Path) -> None:
    """P6: there is nothing to summarise, so no model is called."""
    log.adopt(write(tmp_path / "s", {"history/archive_001/messages.jsonl": "no message\n"}))
    session = log.session("s")

    assert session.retry("archive_001") == "accepted"
    assert Worker(log).run_once() == 0
    (view,) = session.archives()
    assert (view.state, view.attempts) == ("terminal_failed", 1)
    assert "has no messages" in (view.error or "")


def test_numbers_that_no_archive_has_are_not_found(log: Log, tmp_path: Path) -> None:
    files: dict[str, Any] = {
        f"history/archive_{number}/{name}": content
        for number in ("002", "999", "1000")
        for name, content in (("messages.jsonl", [message(f"m{number}")]), (".done", ""))
    }
    log.adopt(write(tmp_path / "s", {**files, ".meta.json": {"commit_count": 1002}}))
    session = log.session("s")

    for number in ("001", "003", "998", "1001", "1002", "1003"):
        with pytest.raises(ArchiveNotFound):
            session.retry(f"archive_{number}")
    assert session.retry("archive_999") == "already_completed"
    session.append(Message.user("x"))
    assert session.commit().archive_id == "archive_1003"


def test_an_overview_covers_the_failed_archives_that_it_says(log: Log, tmp_path: Path) -> None:
    """X1: a failed archive that no overview covers is shown raw."""
    files: dict[str, Any] = {".meta.json": {"message_count": 0}}
    for number in (1, 2, 3):
        files[f"history/archive_00{number}/messages.jsonl"] = [message(f"m{number}")]
    files["history/archive_001/.failed.json"] = {"error": "x"}
    files["history/archive_002/.failed.json"] = {"error": "x"}
    files["history/archive_003/.done"] = {"covered_failed_archives": ["archive_002", "nonsense", 7]}
    files["history/archive_003/.overview.md"] = "# Two and three"
    log.adopt(write(tmp_path / "s", files))

    context = log.session("s").context()

    assert context.latest_archive_overview == "# Two and three"
    assert [entry.id for entry in context.messages] == ["m1"]


# ---- once, again, and half-way ----------------------------------------------------------------


def test_a_folder_that_changed_since_is_told_apart(log: Log, folder: Path) -> None:
    log.adopt(folder)
    (folder / ".relations.json").unlink()
    (folder / "messages.jsonl").write_bytes(b"")
    (folder / "history/archive_001/extra").write_bytes(b"")
    version = log.session("s").version

    with pytest.raises(DuplicateEvent) as caught:
        log.adopt(folder)

    assert "changed: messages.jsonl; new: history/archive_001/extra; gone: .relations.json" in str(
        caught.value
    )
    assert log.session("s").version == version
    assert log.adopt(folder, "s-2").status == "adopted"


def test_locks_and_leftovers_are_no_change(log: Log, folder: Path) -> None:
    log.adopt(folder)
    (folder / ".exact.ovlock.7").write_bytes(b"")
    (folder / ".path.ovlock").unlink()

    assert log.adopt(folder).status == "already_adopted"


def test_a_session_of_its_own_is_not_adopted_into(log: Log, folder: Path) -> None:
    log.session("s", create=True).append(Message.user("mine"))

    with pytest.raises(DuplicateEvent, match="was not adopted from"):
        log.adopt(folder)

    assert [entry.text for entry in log.session("s").tail()] == ["mine"]


def test_the_id_is_given_or_in_the_metadata_or_the_name(log: Log, tmp_path: Path) -> None:
    folder = write(tmp_path / "named", {"messages.jsonl": [message("a")]})

    assert log.adopt(folder, "given").session_id == "given"
    assert log.adopt(f"{folder}/").session_id == "named"


def test_a_session_that_was_to_be_created_can_be_adopted(log: Log, folder: Path) -> None:
    session = log.session("s", create=True, project="mine")
    another = log.session("s", create=True, owner="somebody")

    log.adopt(folder)

    session.append(Message.user("more"))
    with pytest.raises(OwnerMismatch):
        another.append(Message.user("more"))
    assert session.refresh().owner == "ada"
    assert [entry.type for entry in log.read("s", limit=2)] == ["session_created", "adoption_begun"]


def test_a_repeated_message_is_known(log: Log, folder: Path) -> None:
    """L3: the id of an adopted message is its idempotency key, as of any other."""
    log.adopt(folder)
    session = log.session("s")
    version = session.version

    session.append(message("c", parts=PARTS, **FIELDS))

    assert session.version == version
    with pytest.raises(DuplicateEvent):
        session.append(message("c"))


class Small(MemoryStore):
    """Takes few records at a time, and none after a number of appends."""

    def __init__(self, records: int, appends: int) -> None:
        super().__init__()
        self.records = records
        self.appends = appends

    def append(self, batch: Any) -> Any:
        return [self._append_small(entry) for entry in batch]

    def _append_small(self, entry: Append) -> Appended | Exception:
        if len(entry.records) > self.records:
            return TooLarge(entry.stream, "one append", len(entry.records), self.records)
        if not self.appends:
            raise RuntimeError("the process ends here")
        self.appends -= 1
        (answer,) = super().append([entry])
        return answer


def whole(folder: Path) -> Any:
    """Return what adopting the folder in one append comes to."""
    with eventlog.open("memory:") as log:
        log.adopt(folder)
        return outcome_in(log)


def outcome_in(log: Log) -> Any:
    session = log.session("s")
    archives = [view._replace(created_at="") for view in session.archives()]
    events = [(entry.event_id, entry.type, entry.event) for entry in log.read("s")]
    return session.meta, session.tail(), archives, events


@pytest.mark.parametrize("appends", range(7))
def test_an_adoption_in_parts_goes_on_where_it_was_stopped(appends: int, folder: Path) -> None:
    """Nobody writes in between, no worker takes a task, and the end is that of one append."""
    (folder / "history/archive_001/.done").unlink()
    store = Small(2, appends)
    with Log(store) as log, pytest.raises(RuntimeError):
        log.adopt(folder)
    store.appends = 1_000
    with Log(store) as log:
        if log.exists("s"):
            session = log.session("s")
            with pytest.raises(SessionClosed, match="import"):
                session.append(Message.user("too early"))
            with pytest.raises(SessionClosed, match="import"):
                session.retry("archive_001")
            assert Worker(log).run_once() == 0
        else:
            with pytest.raises(SessionNotFound):
                log.session("s")

        assert log.adopt(folder).status == "adopted"

        assert outcome_in(log) == whole(folder)
        assert compare_index(log.store) == []
        assert log.verify("s") == []
        assert Worker(log).run_once() == 1


def test_many_messages_are_adopted_in_parts(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopting, "WHOLE_EVENTS", 50)
    names = [f"m{number:03d}" for number in range(120)]
    folder = write(tmp_path / "s", {"messages.jsonl": [message(name) for name in names]})

    log.adopt(folder)

    assert [entry.id for entry in log.session("s").tail()] == names


def test_a_half_adopted_session_can_be_deleted(folder: Path) -> None:
    store = Small(3, 2)
    with Log(store) as log, pytest.raises(RuntimeError):
        log.adopt(folder)
    store.appends = 1_000
    with Log(store) as log:
        log.session("s").delete()

        with pytest.raises(SessionClosed):
            log.adopt(folder)


def test_two_that_adopt_one_folder_at_once_adopt_it_once(
    log: Log, rival: Log, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P8: whoever comes second finds it done."""
    stored = adopting._stored

    def overtaken(*arguments: Any) -> int:
        found = stored(*arguments)
        monkeypatch.setattr(adopting, "_stored", stored)
        assert rival.adopt(folder).status == "adopted"
        return found

    monkeypatch.setattr(adopting, "_stored", overtaken)

    log.adopt(folder)

    types = [entry.type for entry in log.read("s")]
    assert types.count("folder_adopted") == 1
    assert log.verify("s") == []


def test_the_asynchronous_log_adopts_alike(folder: Path) -> None:
    async def adopt() -> Any:
        async with eventlog.open_async("memory:") as log:
            adoption = await log.adopt(folder, actor="ada")
            entries = [entry async for entry in log.read("s")]
            return adoption, {entry.metadata.actor for entry in entries}

    adoption, actors = asyncio.run(adopt())

    assert (adoption.session_id, adoption.live, adoption.messages) == ("s", 1, 3)
    assert actors == {"ada"}


def test_folders_that_only_look_like_archives_are_kept_whole(log: Log, tmp_path: Path) -> None:
    files = {
        f"history/{name}/{file}": content
        for name in ("archive_001", "archive_0001", "archive_000", "archive_001.bak")
        for file, content in (("messages.jsonl", [message(name)]), (".done", ""))
    }
    adoption = log.adopt(write(tmp_path / "s", {**files, ".quarantined-x/y": "z"}))

    log.session("s").materialize(tmp_path / "again")

    assert [finding.kind for finding in adoption.findings][:3] == 3 * ["stray_archive"]
    for name in files:
        if "archive_001/" not in name:
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "s" / name).read_bytes()
    assert not (tmp_path / "again/.quarantined-x").exists()


def test_files_of_an_archive_move_to_its_proper_name(log: Log, tmp_path: Path) -> None:
    files = {
        "history/archive_1/messages.jsonl": [message("a")],
        "history/archive_1/memory_diff.json": {"x": 1},
        "history/archive_1/.done": "",
    }
    log.adopt(write(tmp_path / "s", files))

    log.session("s").materialize(tmp_path / "again")

    assert [path.name for path in (tmp_path / "again/history").iterdir()] == ["archive_001"]
    assert (tmp_path / "again/history/archive_001/memory_diff.json").exists()


def test_a_file_that_changes_meanwhile_stops_the_adoption(
    log: Log, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examined = adopting._examined

    def write_meanwhile(*arguments: Any, **options: Any) -> Any:
        (folder / ".relations.json").write_text("changed", "utf-8")
        return examined(*arguments, **options)

    monkeypatch.setattr(adopting, "_examined", write_meanwhile)

    with pytest.raises(FolderUnavailable, match=r"\.relations\.json changed"):
        log.adopt(folder)

    assert not log.exists("s")


def test_a_link_that_leads_back_to_its_folder_is_not_followed(log: Log, folder: Path) -> None:
    (folder / "loop").symlink_to(folder)

    adoption = log.adopt(folder)

    assert [found.path for found in adoption.findings if found.kind == "not_a_file"] == ["loop"]


def test_a_folder_that_is_nested_too_deeply_is_refused(log: Log, folder: Path) -> None:
    folder.joinpath(*["in"] * 20).mkdir(parents=True)

    with pytest.raises(eventlog.CorruptFolder, match="deeper than"):
        log.adopt(folder)


# ---- both lineages, and what belongs to a log -------------------------------------------------


def test_the_older_lineage_is_read(log: Log, tmp_path: Path) -> None:
    """Summaries are raw, a failure is noted at every attempt, messages name the role's id."""
    folder = write(
        tmp_path / "older",
        {
            ".meta.json": {
                **META,
                "session_id": "s",
                "message_count": 1,
                "commit_count": 1,
                "participant_agent_ids": ["coder"],
            },
            "messages.jsonl": [message("c", role_id="ada")],
            "tools/call_1/tool.json": {"tool_id": "call_1", "output": "x"},
            "history/archive_001/messages.jsonl": [
                message("a", role_id="ada"),
                message("b", role="assistant", role_id="coder"),
            ],
            "history/archive_001/.overview.md": "# Working Memory\n\nDone.\n",
            "history/archive_001/.abstract.md": "Done.",
            "history/archive_001/.meta.json": {"overview_tokens": 7, "abstract_tokens": 2},
            "history/archive_001/.failed.json": {"stage": "archive_finalize", "error": "first try"},
            "history/archive_001/.done": {"starting_message_id": "a", "ending_message_id": "b"},
        },
    )

    assert log.adopt(folder).findings == ()
    session = log.session("s")
    assert session.archive("archive_001").overview == "# Working Memory\n\nDone.\n"
    assert session.history()[1].model_dump()["role_id"] == "coder"


def test_the_newer_lineage_is_read(log: Log, tmp_path: Path) -> None:
    """Summaries have front matter, commits tell what they retained, failures what was skipped."""
    front = "---\ndirectory: viking://s/\ngenerated_by:\n  component: Session\n---\n\n"
    phase = {"version": 1, "status": "ready", "queue_message": {}, "retained_message_ids": ["c"]}
    folder = write(
        tmp_path / "newer",
        {
            ".meta.json": {
                **META,
                "message_count": 2,
                "commit_count": 2,
                "retention_mode": "turn_budget",
                "memories_extracted": {"total": 0},
                "last_message_at": "2026-08-22T09:30:11.000Z",
            },
            ".recall_log.json": {"version": 1, "entries": {}},
            "messages.jsonl": [
                message("c", turn_id="t"),
                message("d", role="assistant", message_kind="checkpoint", source_message_ids=["b"]),
            ],
            "history/archive_001/messages.jsonl": [message("a")],
            "history/archive_001/.failed.json": {
                "stage": "cancelled",
                "error": "x",
                "skipped": True,
            },
            "history/archive_001/.meta.json": {"phase1": {**phase, "retained_message_ids": []}},
            "history/archive_002/messages.jsonl": [message("b"), message("c", turn_id="t")],
            "history/archive_002/.overview.md": f"{front}# Memory\n",
            "history/archive_002/.abstract.md": f"{front}memory\n",
            "history/archive_002/.meta.json": {"phase1": phase, "overview_tokens": 3},
            "history/archive_002/.done": {
                "coverage_start_archive": "archive_001",
                "covered_failed_archives": ["archive_001"],
            },
        },
    )

    assert log.adopt(folder).findings == ()
    session = log.session("s")
    assert [entry.id for entry in session.tail()] == ["c", "d"]
    assert [view.state for view in session.archives()] == ["abandoned", "completed"]
    assert session.archive("archive_002").overview == "# Memory"
    assert session.context().latest_archive_overview == "# Memory"
    assert [entry.id for entry in session.context().messages] == ["c", "d"]
    assert session.meta.last_message_at == "2026-08-22T09:30:11.000000Z"


def test_an_output_that_was_kept_in_the_folder_is_read(log: Log, folder: Path) -> None:
    """M6: the part names the digest of the file, wherever the other program says that it is."""
    part = {
        "type": "tool",
        "tool_id": "call",
        "tool_name": "read_log",
        "tool_status": "completed",
        "tool_output": "[stub]",
        "tool_output_ref": "viking://session/s/tool-results/tr_1",
        "tool_output_truncated": True,
        "tool_output_sha256": sha256(OUTPUT.encode()).hexdigest(),
    }
    ref = "viking://session/s/tool-results/tr_2"
    lost = {**part, "tool_id": "lost", "tool_output_sha256": "0" * 64, "tool_output_ref": ref}
    write(folder, {"messages.jsonl": [message("c", role="assistant", parts=[part, lost])]})
    finding = log.adopt(folder).findings[-1]
    assert (finding.kind, finding.path) == ("missing_output", "tool-results/tr_2/output.txt")
    assert finding.message_ids == ("c",)
    session = log.session("s")

    assert session.tool_output("c", "call").text == OUTPUT
    with pytest.raises(ToolOutputNotFound, match="viking://"):
        session.tool_output("c", "lost")
    assert session.tail()[0].tools[0].tool_output == "[stub]"


def test_the_policies_of_the_log_are_those_of_what_it_adopts(folder: Path) -> None:
    """C8: as of a session that the log creates."""
    policy = AutoCommitPolicy(messages=2)
    with eventlog.open("memory:", auto_commit=policy) as log:
        log.adopt(folder)
        session = log.session("s")

        session.append(Message.user("one more"))

        assert [view.archive_id for view in session.archives()] == ["archive_001", "archive_002"]
