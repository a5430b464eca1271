"""A damaged folder is repaired from the records, and none of its content is destroyed (O3)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from eventlog import InvalidArgument, Log, Message, Session, SessionNotFound
from eventlog.session.folder_events import FolderHealed
from tests.folder.folders import Files, converse, files_in, replayed, work

Damage = Callable[[Path], object]


@pytest.fixture
def healthy(log: Log, session: Session, folder: Path) -> Files:
    """A folder with a finalised archive, one that is pending, and live messages."""
    session.attach_folder(folder)
    converse(session)
    session.commit(keep_recent=1)
    work(log)
    session.append(Message.user("And the disk?", id="m5"))
    session.commit(keep_recent=1)
    session.append(Message.assistant("It is full.", id="m6"))
    return files_in(folder)


def healings(log: Log) -> list[FolderHealed]:
    events = [recorded.event for recorded in log.read("chat")]
    return [event for event in events if isinstance(event, FolderHealed)]


def put_archive_back(folder: Path) -> None:
    """The lost clear: a commit's messages are in the archive, and live again."""
    live, archive = folder / "messages.jsonl", folder / "history/archive_001/messages.jsonl"
    live.write_bytes(archive.read_bytes() + live.read_bytes())


def truncate_meta(folder: Path) -> None:
    meta = folder / ".meta.json"
    meta.write_bytes(meta.read_bytes()[:100])


def leave_a_temporary_file(folder: Path) -> None:
    (folder / "history/archive_001/.overview.md.eventlog-tmp").write_bytes(b"# arch")
    (folder / ".messages.jsonl.eventlog-tmp").write_bytes(b'{"id": "m')


def tear_the_last_line(folder: Path) -> None:
    live = folder / "messages.jsonl"
    live.write_bytes(live.read_bytes()[:-10])


def fill_the_tail_with_zeros(folder: Path) -> None:
    live = folder / "messages.jsonl"
    content = live.read_bytes()
    live.write_bytes(content[:-200] + bytes(200))


def lose_the_latest_meta(folder: Path) -> None:
    meta = folder / ".meta.json"
    meta.write_bytes(meta.read_bytes().replace(b'"message_count": 2', b'"message_count": 1'))


def without(name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()

    return damage


def delete_everything(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES: dict[str, Damage] = {
    "messages of an archive put back into messages.jsonl": put_archive_back,
    "messages repeated": lambda folder: (folder / "messages.jsonl").write_bytes(
        2 * (folder / "messages.jsonl").read_bytes()
    ),
    ".meta.json truncated": truncate_meta,
    ".meta.json of an earlier time": lose_the_latest_meta,
    ".meta.json of zeros": lambda folder: (folder / ".meta.json").write_bytes(bytes(600)),
    ".done removed": without("history/archive_001/.done"),
    "history/ deleted": lambda folder: shutil.rmtree(folder / "history"),
    "messages.jsonl deleted": without("messages.jsonl"),
    "messages.jsonl emptied": lambda folder: (folder / "messages.jsonl").write_bytes(b""),
    "a temp file left": leave_a_temporary_file,
    "a torn last line": tear_the_last_line,
    "a zero-filled tail": fill_the_tail_with_zeros,
    "an archive's messages cut off": lambda folder: (
        folder / "history/archive_001/messages.jsonl"
    ).write_bytes(b'{"id": "m1", "role'),
    "everything deleted": delete_everything,
}
"""What crashes and people do to a folder, and the log has all of."""


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_folder_is_healed_to_the_byte(
    log: Log, session: Session, folder: Path, healthy: Files, damage: Damage
) -> None:
    damage(folder)
    damaged = {path: path.read_bytes() for path in folder.glob("**/*") if path.is_file()}

    looked = session.heal(folder, check=True)
    assert not looked.healed
    assert {p: p.read_bytes() for p in folder.glob("**/*") if p.is_file()} == damaged
    assert healings(log) == []

    report = session.heal(folder)
    assert report.findings == looked.findings
    assert report.healed
    assert files_in(folder) == healthy == replayed(log)
    (healing,) = healings(log)
    assert [finding["path"] for finding in healing.findings] == [
        finding.path for finding in report.findings
    ]

    assert session.heal(folder).findings == ()
    assert len(healings(log)) == 1


def test_a_healthy_folder_is_not_touched(
    log: Log, session: Session, folder: Path, healthy: Files
) -> None:
    def stamps() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (folder, *folder.glob("**/*"))}

    before, version = stamps(), session.version

    report = session.heal(folder)

    assert (report.findings, report.healed) == ((), True)
    assert stamps() == before
    assert session.version == version


def test_a_lost_clear_is_evident_in_what_is_recorded(
    log: Log, session: Session, folder: Path, healthy: Files
) -> None:
    put_archive_back(folder)

    session.heal(folder)

    (finding,) = healings(log)[0].findings
    assert finding["path"] == "messages.jsonl"
    assert finding["problem"] == "different"
    assert (finding["dropped"], finding["message_ids"]) == (3, ["m1", "m2", "m3"])
    assert finding["quarantine"] is None  # The log has them.
    assert finding["found"] != finding["expected"]


def test_what_the_log_does_not_have_is_kept_beside_the_file(
    log: Log, session: Session, folder: Path, healthy: Files
) -> None:
    """A message of another program, a bad line, and metadata that we know nothing of."""
    stranger = b'{"id": "x1", "role": "user", "parts": [{"type": "text", "text": "lost?"}]}\n'
    live = folder / "messages.jsonl"
    changed = healthy["messages.jsonl"].replace(b"It is full.", b"It is fine.")
    live.write_bytes(stranger + b"no json\n" + changed)
    (folder / ".meta.json").write_bytes(b'{"session_id": "chat", "theme": "dark"}')
    (folder / "history/archive_001/.overview.md").write_bytes(b"# By hand")

    report = session.heal(folder)

    kept = {
        finding.path: (folder / finding.quarantine).read_bytes()
        for finding in report.findings
        if finding.quarantine
    }
    assert kept["messages.jsonl"] == stranger + b"no json\n" + changed.split(b"\n")[1] + b"\n"
    assert kept[".meta.json"] == b'{"session_id": "chat", "theme": "dark"}'
    assert kept["history/archive_001/.overview.md"] == b"# By hand"
    files = files_in(folder)
    assert {path: files[path] for path in healthy} == healthy
    assert len(files) == len(healthy) + len(kept)

    assert session.heal(folder).findings == ()
    assert files_in(folder) == files


def test_an_archive_that_the_log_does_not_know_is_put_aside_whole(
    log: Log, session: Session, folder: Path, healthy: Files
) -> None:
    for _ in range(2):
        stranger = folder / "history" / "archive_007"
        stranger.mkdir()
        (stranger / "messages.jsonl").write_bytes(b'{"id": "x1", "role": "user", "parts": []}\n')
        (stranger / "notes.txt").write_text("mine")

        (finding,) = session.heal(folder).findings

        assert (finding.path, finding.kind) == ("history/archive_007", "unexpected")
        assert finding.message_ids == ("x1",)
        assert not stranger.exists()
        assert (folder / str(finding.quarantine) / "notes.txt").read_text() == "mine"
    assert session.heal(folder).findings == ()


def test_names_that_only_begin_like_an_archive_are_left_alone(
    session: Session, folder: Path, healthy: Files
) -> None:
    for name in ("archive_001.bak.20260628", "archive_1", "archive_x", "notes"):
        (folder / "history" / name).mkdir()

    assert session.heal(folder).findings == ()
    assert (folder / "history" / "archive_001.bak.20260628").is_dir()


def test_a_marker_that_should_not_be_there_is_taken_away(
    session: Session, folder: Path, healthy: Files
) -> None:
    (folder / "history/archive_002/.done").write_bytes(b"{}")
    (folder / "history/archive_001/.failed.json").write_bytes(b'{"stage": "elsewhere"}')

    report = session.heal(folder)

    assert {finding.kind for finding in report.findings} == {"unexpected"}
    assert not (folder / "history/archive_002/.done").exists()
    assert not (folder / "history/archive_001/.failed.json").exists()
    kept = [(folder / str(finding.quarantine)).read_bytes() for finding in report.findings]
    assert kept == [b'{"stage": "elsewhere"}', b"{}"]


def test_what_another_program_appended_while_nobody_looked_is_found_at_the_next_start(
    log: Log, rival: Log, session: Session, folder: Path, healthy: Files
) -> None:
    line = b'{"id": "x1", "role": "user", "parts": []}\n'
    log.close()
    with (folder / "messages.jsonl").open("ab") as live:
        live.write(line)

    rival.session("chat")

    (healing,) = healings(rival)
    assert healing.findings[0]["message_ids"] == ["x1"]
    assert (folder / str(healing.findings[0]["quarantine"])).read_bytes() == line
    assert (folder / "messages.jsonl").read_bytes() == healthy["messages.jsonl"]


def test_healing_leaves_the_session_as_it_was(
    log: Log, session: Session, folder: Path, healthy: Files
) -> None:
    """M8: a repair of files does not move updated_at; P7: it is legal in every state."""
    session.close()
    before = session.meta
    (folder / "messages.jsonl").unlink()

    session.heal(folder)

    assert session.meta == before
    assert log.verify("chat") == []


def test_there_is_nothing_to_heal_where_no_folder_or_session_is(
    log: Log, session: Session, folder: Path
) -> None:
    folder.parent.mkdir()
    for refused in (session.heal, session.materialize):
        with pytest.raises(SessionNotFound):
            refused(folder.parent)
    session.append(Message.user("hello"))
    with pytest.raises(InvalidArgument, match="does not exist"):
        session.heal(folder)
    assert not folder.exists()
