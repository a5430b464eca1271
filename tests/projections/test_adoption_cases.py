"""Folders as other programs leave them, sound and damaged, and what adopting makes of each (O4, O5).

A case builds a small folder and says what the session has then: its live tail, its archives with
their states, and what was found, in order. What holds of every adoption is asserted of every case.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import Adoption, CorruptFolder, InvalidArgument, Log
from eventlog.adoption.adopting import examine_folder
from eventlog.audit.index_check import compare_index
from eventlog.cli.import_folder import finding_document
from eventlog.projections import Archives
from eventlog.projections.folder_layout import is_quarantined
from eventlog.session.events import CommitPrepared

COMMITTED = "2026-05-25T07:52:10.400Z"
NOT_UTF_8 = b"\xff\xfe\x00encrypted\x00\n\xfe\xff\n"
FRONT_MATTER = """---
directory: viking://user/ada/sessions/s/history/archive_001/
generated_by:
  component: Session
---

# Working Memory
---
Done.

"""


def line(name: str, text: str = "hello", **fields: Any) -> bytes:
    """Return a message as the foreign program writes it."""
    message = {
        "id": name,
        "role": "user",
        "parts": [{"type": "text", "text": text}],
        "created_at": "2026-05-25T07:47:25.123456+00:00",
        **fields,
    }
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


def lines(names: str) -> bytes:
    """Return a message for each letter."""
    return b"".join(line(name) for name in names)


class Foreign:
    """A folder as another program writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def write(self, name: str, content: bytes | str | dict[str, Any]) -> Foreign:
        if isinstance(content, dict):
            content = json.dumps(content)
        data = content.encode() if isinstance(content, str) else content
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return self

    def live(self, content: bytes | str) -> Foreign:
        data = lines(content) if isinstance(content, str) else content
        return self.write("messages.jsonl", data)

    def meta(self, count: int | None = None, *, committed: bool = True, **more: Any) -> Foreign:
        fields: dict[str, Any] = {
            "session_id": "s",
            "created_at": "2026-05-25T07:40:00.000Z",
            "last_commit_at": COMMITTED if committed else "",
            **more,
        }
        if count is not None:
            fields["message_count"] = count
        return self.write(".meta.json", fields)

    def archive(
        self,
        content: bytes | str,
        number: int | str = 1,
        *,
        done: bool = True,
        overview: str | None = "# So far",
        failed: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> Foreign:
        name = f"archive_{number:03d}" if isinstance(number, int) else number
        data = lines(content) if isinstance(content, str) else content
        self.write(f"history/{name}/messages.jsonl", data)
        if done:
            self.write(f"history/{name}/.done", {})
            if overview is not None:
                self.write(f"history/{name}/.overview.md", overview)
        if failed is not None:
            self.write(f"history/{name}/.failed.json", failed)
        if meta is not None:
            self.write(f"history/{name}/.meta.json", meta)
        return self


def retaining(*names: str) -> dict[str, Any]:
    """Return an archive's metadata that declares messages as retained."""
    return {"phase1": {"version": 1, "status": "ready", "retained_message_ids": list(names)}}


@dataclass(frozen=True)
class Case:
    """A folder, and what adopting it comes to."""

    name: str
    build: Callable[[Foreign], object]
    tail: str = ""
    archives: dict[str, tuple[str, str]] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    quarantine: bool = False
    dropped: str = ""
    """Messages of which a copy is in quarantine."""
    retained: str = ""
    """Messages that are live, and in an archive that declared so."""


def done(names: str) -> tuple[str, str]:
    return ("completed", names)


CASES = [
    Case(
        "a sound folder",
        lambda f: f.archive("ab").archive("c", 2).live("de").meta(2),
        "de",
        {"archive_001": done("ab"), "archive_002": done("c")},
    ),
    # ---- lost clears ----
    Case(
        "lost clear, keep 0", lambda f: f.live("ab").meta(0), "", {}, ("lost_clear",), dropped="ab"
    ),
    Case(
        "lost clear, keep 1",
        lambda f: f.live("abc").meta(1),
        "c",
        {},
        ("lost_clear",),
        dropped="ab",
    ),
    Case(
        "lost clear, keep n",
        lambda f: f.live("abcde").meta(3),
        "cde",
        {},
        ("lost_clear",),
        dropped="ab",
    ),
    Case(
        "lost clear beside an archive, keep 0",
        lambda f: f.archive("ab").live("ab").meta(0),
        "",
        {"archive_001": done("ab")},
        ("archived_and_live",),
        dropped="ab",
    ),
    Case(
        "lost clear beside an archive, keep 1",
        lambda f: f.archive("ab").live("abc").meta(1),
        "c",
        {"archive_001": done("ab")},
        ("archived_and_live",),
        dropped="ab",
    ),
    Case(
        "lost clears beside archives, keep n, and messages appended since",
        lambda f: f.archive("ab").archive("cd", 2).live("abcdefgh").meta(4),
        "efgh",
        {"archive_001": done("ab"), "archive_002": done("cd")},
        ("archived_and_live", "archived_and_live"),
        dropped="abcd",
    ),
    Case(
        "a lost clear whose messages were archived again by the next commit",
        lambda f: f.archive("ab").archive("abc", 2).live("d").meta(1),
        "d",
        {"archive_001": done("ab"), "archive_002": done("abc")},
    ),
    # ---- counts that are not right ----
    Case(
        "crash between append and meta",
        lambda f: f.archive("ab").live("cde").meta(2),
        "cde",
        {"archive_001": done("ab")},
        ("count_repaired",),
    ),
    Case(
        "crash between append and meta, never committed",
        lambda f: f.live("abc").meta(2, committed=False),
        "abc",
        {},
        ("all_kept",),
    ),
    Case("meta without the count", lambda f: f.live("ab").meta(), "ab", {}, ("all_kept",)),
    Case(
        "meta without the count, beside an archive",
        lambda f: f.archive("a").live("bc").meta(),
        "bc",
        {"archive_001": done("a")},
        ("count_repaired",),
    ),
    Case(
        "a count that is none",
        lambda f: f.live("ab").meta(message_count="0"),
        "ab",
        {},
        ("all_kept",),
    ),
    Case(
        "the clear landed but the meta did not",
        lambda f: f.archive("ab").live("").meta(2),
        "",
        {"archive_001": done("ab")},
        ("count_repaired",),
    ),
    Case(
        "crash after the archive and before the live rewrite",
        lambda f: f.archive("ab", done=False).live("ab").meta(2, committed=False),
        "",
        {"archive_001": ("pending", "ab")},
        ("orphan_archive", "archived_and_live", "count_repaired"),
        dropped="ab",
    ),
    Case(
        "crash after the archive and before the live rewrite, keep 1",
        lambda f: f.archive("ab", done=False).live("abc").meta(3, committed=False),
        "c",
        {"archive_001": ("pending", "ab")},
        ("orphan_archive", "archived_and_live", "count_repaired"),
        dropped="ab",
    ),
    Case(
        "a session that never committed",
        lambda f: f.live("a").meta(0, committed=False),
        "a",
        {},
        ("all_kept",),
    ),
    Case("no meta", lambda f: f.live("ab"), "ab", {}, ("all_kept",)),
    Case(
        "no meta beside an archive",
        lambda f: f.archive("a").live("ab"),
        "b",
        {"archive_001": done("a")},
        ("archived_and_live", "all_kept"),
        dropped="a",
    ),
    Case(
        "a meta that is cut off",
        lambda f: f.live("ab").write(".meta.json", '{"session_id": "s", "message_cou'),
        "ab",
        {},
        ("unreadable_meta", "all_kept"),
    ),
    Case("no messages at all", lambda f: f.meta(0, committed=False)),
    # ---- names of archives ----
    Case(
        "archives 999 and 1000, in numeric order",
        lambda f: f.archive("b", 1000).archive("a", 999).live("c").meta(1, commit_count=1000),
        "c",
        {"archive_999": done("a"), "archive_1000": done("b")},
    ),
    Case(
        "a stray archive_001.bak",
        lambda f: f.archive("a").archive("x", "archive_001.bak.20260628").live("b").meta(1),
        "b",
        {"archive_001": done("a")},
        ("stray_archive",),
    ),
    Case(
        "with only a stray archive no clear is taken for lost",
        lambda f: f.archive("a", "archive_001.bak").live("ab").meta(1),
        "ab",
        {},
        ("stray_archive", "all_kept"),
    ),
    Case(
        "a number twice, number nought, and other digits",
        lambda f: (
            f.archive("a").archive("x", "archive_0001").archive("y", "archive_000"),
            f.archive("z", "archive_\u0661").live("b").meta(1),
        ),
        "b",
        {"archive_001": done("a")},
        ("stray_archive", "stray_archive", "stray_archive"),
    ),
    # ---- lines ----
    Case(
        "line separators of Unicode inside strings",
        lambda f: (
            f.archive(line("a", "x\u2028y\u2029\x85\x0b\x0c"))
            .live(line("b", "\u2028") + line("c", "RAW").replace(b"RAW", b"\x0b\x0c\xc2\x85"))
            .meta(2)
        ),
        "bc",
        {"archive_001": done("a")},
    ),
    Case(
        "carriage returns, empty lines, and a byte order mark",
        lambda f: f.live(b"\xef\xbb\xbf" + lines("ab").replace(b"\n", b"\r\n\n") + b"\n").meta(2),
        "ab",
    ),
    Case("a last line without its line feed", lambda f: f.live(lines("ab")[:-1]).meta(2), "ab"),
    Case(
        "a torn last line",
        lambda f: f.live(lines("ab") + line("c", "\u00e9")[:-20]).meta(2),
        "ab",
        {},
        ("torn_line",),
    ),
    Case(
        "a last line torn within a character",
        lambda f: f.live(lines("ab") + line("c", "\u4f1a")[:70]).meta(2),
        "ab",
        {},
        ("torn_line",),
    ),
    Case(
        "a torn last line of an archive whose messages are live",
        lambda f: f.archive(lines("ab")[:-9], done=False).live("ab").meta(2, committed=False),
        "b",
        {"archive_001": ("pending", "a")},
        ("torn_line", "orphan_archive", "archived_and_live", "count_repaired"),
        dropped="a",
    ),
    Case(
        "a tail of zeros",
        lambda f: f.live(lines("ab") + bytes(4096)).meta(2),
        "ab",
        {},
        ("torn_line",),
    ),
    Case(
        "a torn line and a tail of zeros",
        lambda f: f.live(lines("ab") + line("c")[:30] + bytes(100)).meta(2),
        "ab",
        {},
        ("torn_line", "torn_line"),
    ),
    Case(
        "a whole line and a tail of zeros in the place of its line feed",
        lambda f: f.live(lines("ab")[:-1] + bytes(100)).meta(2),
        "ab",
        {},
        ("torn_line",),
    ),
    Case(
        "zeros between lines, and behind a torn one that was appended to",
        lambda f: f.live(
            lines("a") + bytes(9) + line("b") + line("x")[:9] + bytes(9) + line("c")
        ).meta(3),
        "abc",
        {},
        ("torn_line", "torn_line", "torn_line"),
    ),
    Case("a file of zeros", lambda f: f.live(bytes(4096)).meta(0), "", {}, ("torn_line",)),
    Case(
        "bad lines in the middle, to be put into quarantine",
        lambda f: (
            f.archive(lines("a") + b"{oops\n" + lines("b"))
            .live(lines("c") + b'{"id": "x", "role": "nobody", "parts": []}\n' + lines("d"))
            .meta(2)
        ),
        "cd",
        {"archive_001": done("ab")},
        ("bad_line", "bad_line"),
        quarantine=True,
    ),
    Case(
        "a message twice in a file",
        lambda f: f.live(line("a") + line("b") + line("a") + line("b", "other")).meta(2),
        "ab",
        {},
        ("repeated_id", "repeated_id"),
        dropped="ab",
    ),
    # ---- archives and their markers ----
    Case(
        "an archive without its messages",
        lambda f: f.archive("a").write("history/archive_002/.done", {}).live("c").meta(1),
        "c",
        {"archive_001": done("a"), "archive_002": ("terminal_failed", "")},
        ("unreadable_archive",),
    ),
    Case(
        "an archive that is no text, before one that can be read",
        lambda f: f.archive(NOT_UTF_8).archive("b", 2).live("abc").meta(1),
        "ac",
        {"archive_001": ("terminal_failed", ""), "archive_002": done("b")},
        ("unreadable_archive", "archived_and_live", "all_kept"),
        dropped="b",
    ),
    Case(
        "a folder in the place of an archive's messages",
        lambda f: f.write("history/archive_001/messages.jsonl/x", "x").live("a").meta(0),
        "a",
        {"archive_001": ("terminal_failed", "")},
        ("unreadable_archive", "all_kept"),
    ),
    Case(
        "an archive that failed",
        lambda f: (
            f.archive("a", done=False, failed={"stage": "x", "error": "no"}).live("b").meta(1)
        ),
        "b",
        {"archive_001": ("terminal_failed", "a")},
    ),
    Case(
        "an archive that failed and was passed over",
        lambda f: (
            f.archive("a", done=False, failed={"error": "no", "skipped": True})
            .archive("b", 2)
            .meta(0)
        ),
        "",
        {"archive_001": ("abandoned", "a"), "archive_002": done("b")},
    ),
    Case(
        ".done beside .failed.json",
        lambda f: f.archive("a", failed={"stage": "archive_finalize", "error": "once"}).meta(0),
        "",
        {"archive_001": done("a")},
    ),
    Case(
        "markers that hold no JSON",
        lambda f: (
            f.archive("a")
            .write("history/archive_001/.done", b"\xff")
            .archive("b", 2, done=False)
            .write("history/archive_002/.failed.json", "")
            .meta(0)
        ),
        "",
        {"archive_001": done("a"), "archive_002": ("terminal_failed", "b")},
    ),
    Case(
        "an archive that is done without its overview",
        lambda f: f.archive("a").archive("b", 2, overview=None).meta(0),
        "",
        {"archive_001": done("a"), "archive_002": done("b")},
        ("unreadable_overview",),
    ),
    Case(
        "an orphan archive",
        lambda f: f.archive("a").archive("b", 2, done=False).live("c").meta(1),
        "c",
        {"archive_001": done("a"), "archive_002": ("pending", "b")},
        ("orphan_archive",),
    ),
    # ---- messages in several places ----
    Case(
        "a message that is live and declared retained",
        lambda f: f.archive("abc", meta=retaining("b", "c")).live("bcd").meta(3),
        "bcd",
        {"archive_001": done("abc")},
        retained="bc",
    ),
    Case(
        "a message that is live and a checkpoint's anchor",
        lambda f: (
            f.archive("ab", meta={"checkpoints": [{"turn_anchor_message_id": "b"}]})
            .live("bc")
            .meta(2)
        ),
        "bc",
        {"archive_001": done("ab")},
        retained="b",
    ),
    Case(
        "a retained message that a later archive has, too, is not live any more",
        lambda f: f.archive("ab", meta=retaining("b")).archive("bc", 2).live("bd").meta(1),
        "d",
        {"archive_001": done("ab"), "archive_002": done("bc")},
        ("archived_and_live",),
        dropped="b",
    ),
    Case(
        "a message that is retained through two archives",
        lambda f: (
            f.archive("ab", meta=retaining("b"))
            .archive("c", 2, meta=retaining("b"))
            .archive("bd", 3)
            .meta(0)
        ),
        "",
        {"archive_001": done("ab"), "archive_002": done("c"), "archive_003": done("bd")},
    ),
    Case(
        "a live message that was changed since an archive retained it",
        lambda f: f.archive("ab", meta=retaining("b")).live(line("b", "with its result")).meta(1),
        "b",
        {"archive_001": done("ab")},
        ("changed_copy",),
        dropped="b",
        retained="b",
    ),
]


def adopted(case: Case, log: Log, folder: Foreign) -> Adoption:
    case.build(folder)
    return log.adopt(folder.path, quarantine=case.quarantine)


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder that is not in quarantine."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not is_quarantined(path.name)
    }


def in_quarantine(folder: Path) -> bytes:
    return b"".join(
        path.read_bytes() for path in sorted(folder.rglob("*")) if is_quarantined(path.name)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Foreign:
    """An empty folder of a session ``s``."""
    return Foreign(tmp_path / "s")


each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
in_memory = pytest.mark.parametrize("log_url", ["memory:"])


@each_case
def test_a_folder_becomes_the_session_that_it_stands_for(
    case: Case, log: Log, folder: Foreign
) -> None:
    adoption = adopted(case, log, folder)

    session = log.session("s")
    archives = eventlog.replay(log.read("s"), Archives())
    assert "".join(message.id for message in session.tail()) == case.tail
    assert {
        found.archive.archive_id: (found.archive.state, "".join(found.message_ids))
        for found in archives
    } == case.archives
    assert [view.archive_id for view in session.archives()] == list(case.archives)
    assert tuple(finding.kind for finding in adoption.findings) == case.findings
    assert session.meta.message_count == len(case.tail)
    assert (adoption.live, adoption.archives) == (len(case.tail), len(case.archives))


@in_memory
@each_case
def test_no_message_is_lost_nor_in_two_places(case: Case, log: Log, folder: Foreign) -> None:
    """P1, P2: every line of the folder is in the session, or in quarantine."""
    adopted(case, log, folder)

    history = [message.id for message in log.session("s").history()]
    archived = "".join(names for _, names in case.archives.values())
    assert sorted(history) == sorted({*case.tail, *archived})
    assert set(case.tail) & set(archived) == set(case.retained)
    kept = in_quarantine(folder.path)
    for name in case.dropped:
        assert f'"id": "{name}"'.encode() in kept
    files = ("messages.jsonl", *(f"history/{name}/messages.jsonl" for name in case.archives))
    for path in files:
        data = content(folder.path).get(path, b"")
        for raw in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            stored = any(f'"id": "{name}"'.encode() in raw for name in history)
            assert stored or raw.strip(b"\0") in kept or b"encrypted" in data


@each_case
def test_an_adopted_session_is_sound(case: Case, log: Log, folder: Foreign) -> None:
    adopted(case, log, folder)

    assert log.verify("s") == []
    assert compare_index(log.store) == []
    for entry in log.read("s"):
        if isinstance(entry.event, CommitPrepared):
            assert entry.event.message_count >= entry.event.repeated_count >= 0


@in_memory
@each_case
def test_the_folder_stays_as_it_is_but_for_what_is_in_quarantine(
    case: Case, log: Log, folder: Foreign
) -> None:
    case.build(folder)
    before = content(folder.path)

    adoption = log.adopt(folder.path, quarantine=case.quarantine)

    assert content(folder.path) == before
    kept = {
        str(path.relative_to(folder.path))
        for path in folder.path.rglob("*")
        if is_quarantined(path.name)
    }
    assert kept == set(adoption.quarantined)


@in_memory
@each_case
def test_adopting_twice_is_adopting_once(case: Case, log: Log, folder: Foreign) -> None:
    first = adopted(case, log, folder)
    records = list(log.store.read("s"))

    again = log.adopt(folder.path, quarantine=case.quarantine)

    assert first.status == "adopted"
    assert again == first._replace(status="already_adopted", imported=0)
    assert list(log.store.read("s")) == records


@in_memory
@each_case
def test_every_finding_is_told_before_and_recorded(case: Case, log: Log, folder: Foreign) -> None:
    case.build(folder)
    foretold = examine_folder(str(folder.path))

    adoption = log.adopt(folder.path, quarantine=case.quarantine)

    assert foretold == adoption.findings
    recorded = [entry.event for entry in log.read("s") if entry.type == "adoption_finding_recorded"]
    documents = [finding_document(finding) for finding in foretold]
    assert [event.model_dump() for event in recorded] == documents


@in_memory
@each_case
def test_an_adopted_session_goes_on(case: Case, log: Log, folder: Foreign) -> None:
    """Its archives are finalised in order, and the next commit takes the next number."""
    adopted(case, log, folder)
    session = log.session("s")
    highest = session.meta.commit_count

    eventlog.Worker(log).run_once()
    for view in session.archives():
        assert view.state != "pending"
        if view.state == "terminal_failed":
            session.abandon(view.archive_id)
    session.append(eventlog.Message.user("go on", id="new"))
    result = session.commit()

    assert result.archive_id == f"archive_{highest + 1:03d}"
    assert result.archived == len(case.tail) + 1
    eventlog.Worker(log).run_once()
    assert session.archive(str(result.archive_id)).overview
    assert log.verify("s") == []


# ---- folders that are refused -----------------------------------------------------------------

REFUSED = [
    ("a bad line in the middle", lambda f: f.live(lines("a") + b"oops\n" + lines("b")), "line 2"),
    (
        "a bad line in an archive",
        lambda f: f.archive(lines("a") + b"[]\n" + lines("b")).meta(0),
        "history/archive_001/messages.jsonl, line 2: it is not a JSON object",
    ),
    (
        "a message without an id",
        lambda f: f.live(b'{"role": "user", "parts": []}\n' + lines("a")),
        "line 1: field 'id'",
    ),
]
each_refused = pytest.mark.parametrize(
    ("build", "named"),
    [refused[1:] for refused in REFUSED],
    ids=[refused[0] for refused in REFUSED],
)


@each_refused
def test_a_bad_line_is_named_and_nothing_is_changed(
    build: Callable[[Foreign], object], named: str, log: Log, folder: Foreign
) -> None:
    build(folder)
    before = content(folder.path)

    with pytest.raises(CorruptFolder, match="--quarantine") as caught:
        log.adopt(folder.path, "s")

    assert named in str(caught.value)
    assert (content(folder.path), in_quarantine(folder.path)) == (before, b"")
    assert not log.exists("s")
    assert "bad_line" in {finding.kind for finding in examine_folder(str(folder.path))}
    assert log.adopt(folder.path, "s", quarantine=True).status == "adopted"


@pytest.mark.parametrize("live", [NOT_UTF_8, b"oops\nagain\n"], ids=["encrypted", "of another"])
def test_live_messages_of_which_none_can_be_read_are_not_adopted(
    live: bytes, log: Log, folder: Foreign
) -> None:
    folder.live(live).meta(2)

    with pytest.raises(CorruptFolder, match=r"messages\.jsonl, line 1"):
        log.adopt(folder.path, quarantine=True)

    assert not log.exists("s")


def test_a_folder_of_something_else_is_refused(log: Log, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x", "utf-8")

    with pytest.raises(InvalidArgument, match="not a session folder"):
        log.adopt(tmp_path)
    with pytest.raises(InvalidArgument, match="is a file"):
        log.adopt(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError):
        log.adopt(tmp_path / "nowhere")
