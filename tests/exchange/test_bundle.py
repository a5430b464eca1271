"""Bundles: a case in one file, that reads and verifies anywhere."""

from __future__ import annotations

import io
import json
import random
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import START, Event, Finalizer, Message, Worker
from eventlog.errors import (
    CorruptLog,
    EventLogError,
    HistoryConflict,
    InvalidArgument,
    SessionNotFound,
    StoreUnavailable,
    UnsupportedStore,
)
from eventlog.exchange.bundle.format import Limits
from eventlog.exchange.bundle.importing import import_bundle
from eventlog.exchange.bundle.reading import read_bundle, read_bundle_bytes
from eventlog.exchange.bundle.writing import bundle_bytes
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from tests.shares import examples, rounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog import Log

SECRET = "sk-abcdefghijklmnopqrstuvwxyz123456"  # noqa: S105 - the form of one


class Decided(Event, type="acme.decided"):
    what: str


@pytest.fixture
def log() -> Iterator[Log]:
    with eventlog.open("memory:", clock=FakeClock(), ids=NumberedIds()) as opened:
        first = opened.session("chat 42", create=True, owner="ada")
        other = opened.session("other", create=True)
        other.append(Message.user("elsewhere", id="o-1"))
        first.append(Message.user(f"my key is {SECRET}", id="m-1"))
        tool = {"type": "tool", "tool_id": "t-1", "tool_name": "read", "tool_status": "completed"}
        large = {**tool, "tool_output": "line of output\n" * 4_000}
        first.append(Message.model_validate({"id": "m-2", "role": "assistant", "parts": [large]}))
        first.record(Decided(what=f"use {SECRET}"))
        first.commit(keep_recent=1)
        Worker(opened, Finalizer()).run_once()
        first.append(Message.user("and \N{SNOWMAN} then?", id="m-3"))
        yield opened


def every_view(log: Log, session_id: str) -> list[Any]:
    session = log.session(session_id)
    return [
        session.meta,
        session.tail(),
        session.history(hydrate=True),
        session.archives(),
        session.context(),
        tuple(log.tasks(session_id)),
        [recorded.record for recorded in log.read(session_id)],
        session.at(version=3).values(),
    ]


def test_a_bundle_reads_as_the_log_that_it_is_of(log: Log, tmp_path: Path) -> None:
    path = tmp_path / "case.zip"
    report = log.bundle(["chat 42"], path)
    assert report.sessions == 1
    assert report.values == 1
    for opened in (eventlog.open_bundle(path), eventlog.open(f"bundle:///{path}")):
        with opened as case:
            assert list(case.sessions()) == ["chat 42"]
            assert every_view(case, "chat 42") == every_view(log, "chat 42")
            assert case.verify("chat 42") == []
            assert case.session("chat 42").tool_output("m-2", "t-1", limit=4).text == "line"


def test_a_bundle_made_twice_is_the_same_file(log: Log, tmp_path: Path) -> None:
    log.bundle(["other", "chat 42"], tmp_path / "1.zip")
    log.bundle(["chat 42", "other", "chat 42"], tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with pytest.raises(InvalidArgument, match="there already"):
        log.bundle(["other"], tmp_path / "1.zip")
    log.bundle(["other"], tmp_path / "1.zip", replace=True)
    with eventlog.open_bundle(tmp_path / "1.zip") as case:
        assert list(case.sessions()) == ["other"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1.zip", "2.zip"]


def test_a_bundle_made_from_a_bundle_is_the_same_file(log: Log, tmp_path: Path) -> None:
    log.bundle(["other", "chat 42"], tmp_path / "1.zip")
    with eventlog.open_bundle(tmp_path / "1.zip") as case:
        case.bundle(["other", "chat 42"], tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_what_cannot_be_bundled_is_refused(log: Log, tmp_path: Path) -> None:
    with pytest.raises(SessionNotFound):
        log.bundle(["nobody"], tmp_path / "x.zip")
    wrong: Any
    for wrong in ([], "chat 42"):
        with pytest.raises(InvalidArgument):
            log.bundle(wrong, tmp_path / "x.zip")
    with pytest.raises(InvalidArgument):
        log.bundle(["chat 42"], tmp_path / "x.zip", redact="all")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_only_read(log: Log, tmp_path: Path) -> None:
    log.bundle(["chat 42"], tmp_path / "case.zip")
    with eventlog.open_bundle(tmp_path / "case.zip") as case:
        for write in (
            lambda: case.session("chat 42").append(Message.user("more")),
            lambda: case.session("chat 42").commit(),
            lambda: case.session("new", create=True).append(Message.user("more")),
            lambda: case.session("chat 42").fork("what-if"),
            case.checkpoint,
        ):
            with pytest.raises(UnsupportedStore, match="only read"):
                write()
        assert case.position() == max(each.position for each in case.read_all())
        assert len(list(case.read_all(types=["message_appended"], limit=2))) == 2


def test_positions_of_several_sessions_are_one_order(log: Log, tmp_path: Path) -> None:
    log.bundle(["chat 42", "other"], tmp_path / "case.zip")
    with eventlog.open_bundle(tmp_path / "case.zip") as case:
        assert [each.record for each in case.read_all()] == [each.record for each in log.read_all()]


def test_an_imported_bundle_has_the_same_states_and_bytes(log: Log, tmp_path: Path) -> None:
    log.bundle(["chat 42"], tmp_path / "case.zip")
    bundle = read_bundle(tmp_path / "case.zip")
    with eventlog.open("memory:") as target:
        report = import_bundle(bundle, target.store)
        assert report.records == log.session("chat 42").version
        for mine, theirs in zip(target.read("chat 42"), log.read("chat 42"), strict=True):
            assert mine.record._replace(position=START) == theirs.record._replace(position=START)
        assert every_view(target, "chat 42")[:6] == every_view(log, "chat 42")[:6]
        assert target.verify("chat 42") == []
        again = import_bundle(bundle, target.store)
        assert again.records == 0
        target.session("chat 42").append(Message.user("goes on"))
        log.session("chat 42").append(Message.user("another way"))
        log.bundle(["chat 42"], tmp_path / "later.zip")
        with pytest.raises(HistoryConflict):
            import_bundle(read_bundle(tmp_path / "later.zip"), target.store)


# ---- redaction --------------------------------------------------------------------------------


@pytest.mark.parametrize("redaction", ["secrets", "texts"])
def test_a_redacted_bundle_verifies_and_says_that_it_is_redacted(
    log: Log, tmp_path: Path, redaction: Any
) -> None:
    report = log.bundle(["chat 42"], tmp_path / "case.zip", redact=redaction)
    assert report.redacted
    content = b"".join(contents(tmp_path / "case.zip").values())
    assert SECRET.encode() not in content
    with eventlog.open_bundle(tmp_path / "case.zip") as case:
        assert case.verify("chat 42") == []
        session = case.session("chat 42")
        assert [each.id for each in session.history()] == ["m-1", "m-2", "m-3"]
        assert session.meta.total_message_count == 3
        if redaction == "texts":
            assert b"line of output" not in content
            assert "☃".encode() not in content
            assert report.values == 0
            assert session.tail()[-1].text == "[11 characters]"
        else:
            assert session.tail()[-1].text == "and \N{SNOWMAN} then?"
            assert session.tool_output("m-2", "t-1", limit=4).text == "line"
        (decided,) = [each for each in case.read("chat 42") if each.type == "acme.decided"]
        assert SECRET not in cast("Decided", decided.event).what


def test_a_change_in_a_redacted_bundle_is_found(log: Log, tmp_path: Path) -> None:
    """What was taken out stands for itself; what is there is checked as ever."""
    log.bundle(["chat 42"], tmp_path / "case.zip", redact="secrets")
    entries = contents(tmp_path / "case.zip")
    name = "sessions/000001/records.jsonl"
    lines = entries[name].decode().split("\n")
    fields = json.loads(lines[-2])
    assert "data_sha256" not in fields
    fields["data"] = fields["data"].replace("then?", "them?")
    lines[-2] = json.dumps(fields)
    with_changed = zipped({**entries, name: "\n".join(lines).encode()})
    (tmp_path / "forged.zip").write_bytes(with_changed)
    with eventlog.open_bundle(tmp_path / "forged.zip") as case:
        (finding,) = case.verify("chat 42")
        assert finding.kind == "changed"
        assert finding.version == fields["version"]


def test_a_redacted_session_is_imported_only_with_a_new_chain(log: Log, tmp_path: Path) -> None:
    log.bundle(["chat 42", "other"], tmp_path / "case.zip", redact="secrets")
    bundle = read_bundle(tmp_path / "case.zip")
    with eventlog.open("memory:") as target:
        with pytest.raises(InvalidArgument, match="new-chain"):
            import_bundle(bundle, target.store)
        assert list(target.sessions()) == []
        import_bundle(bundle, target.store, new_chain=True)
        assert target.verify("chat 42") == []
        assert target.verify("other") == []
        last = list(target.read("chat 42"))[-1]
        assert last.type == "session_forked"
        origin: Any = last.event
        assert origin.edited
        assert origin.origin_hash == list(log.read("chat 42"))[-1].record.hash.hex()
        assert target.session("chat 42").tail()[-1].id == "m-3"


# ---- hostile files ----------------------------------------------------------------------------


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(entries: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/passwd",
        "sessions/000001/../../x",
        "C:\\x",
        "a\0b",
        "x/",
        "sessions/1/records.jsonl",
        "manifest.json/",
    ],
)
def test_an_entry_of_another_name_is_refused(log: Log, name: str) -> None:
    entries = {**whole(log), name: b"x"}
    with pytest.raises(CorruptLog, match="no bundle has such an entry"):
        read_bundle_bytes(zipped(entries))


def whole(log: Log) -> dict[str, bytes]:
    data, _ = bundle_bytes(log.store, ["chat 42"])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed_line(entries: dict[str, bytes], number: int, **fields: Any) -> dict[str, bytes]:
    name = "sessions/000001/records.jsonl"
    lines = entries[name].decode().split("\n")
    lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **fields})
    return {**entries, name: "\n".join(lines).encode()}


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 3},
        {"version": "2"},
        {"version": True},
        {"position": 0},
        {"position": 1 << 70},
        {"event_id": "x"},
        {"type": ""},
        {"type": "a\nb"},
        {"type": 3},
        {"schema": 0},
        {"schema": 1 << 40},
        {"time": -1},
        {"time": 1.5},
        {"data": None},
        {"data": "\ud800"},
        {"data_base64": "?"},
        {"metadata": []},
        {"hash": "00"},
        {"hash": "zz" * 32},
        {"data_sha256": "00" * 32},
        {"data_sha256": "00", "metadata_sha256": "00"},
    ],
)
def test_a_line_that_is_no_record_is_refused(log: Log, fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptLog, match="line 2"):
        read_bundle_bytes(zipped(changed_line(whole(log), 2, **fields)))


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format": "eventlog bundle", "number": 2}',
        b'{"format": "eventlog bundle", "number": 1, "sessions": 7}',
        b'{"format": "eventlog bundle", "number": 1, "sessions": [7]}',
        b'{"format": "eventlog bundle", "number": 1, "sessions": [{"session_id": "x", "folder": ".."}]}',
        b'{"format": "eventlog bundle", "number": 1, "redaction": "x", "sessions": []}',
        b"[" * 100_000,
    ],
)
def test_a_manifest_that_is_none_is_refused(log: Log, manifest: bytes) -> None:
    with pytest.raises(EventLogError):
        read_bundle_bytes(zipped({**whole(log), "manifest.json": manifest}))


def test_entries_that_are_there_twice_are_refused(log: Log) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in whole(log).items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("manifest.json", b"{}")
    with pytest.raises(CorruptLog, match="there twice"):
        read_bundle_bytes(out.getvalue())


def test_a_value_of_another_digest_and_a_missing_entry_are_refused(log: Log) -> None:
    entries = whole(log)
    value = next(name for name in entries if "/values/" in name)
    with pytest.raises(CorruptLog, match="SHA-256"):
        read_bundle_bytes(zipped({**entries, value: b"?"}))
    del entries["sessions/000001/records.jsonl"]
    with pytest.raises(CorruptLog, match="missing"):
        read_bundle_bytes(zipped(entries))


def test_what_is_beyond_the_limits_is_refused_before_it_is_unpacked(
    log: Log, tmp_path: Path
) -> None:
    bomb = {**whole(log), f"sessions/000001/values/{'0' * 64}": b"0" * (64 << 20)}
    data = zipped(bomb)
    assert len(data) < 1 << 20
    with pytest.raises(InvalidArgument, match="200 times"):
        read_bundle_bytes(data)
    with pytest.raises(InvalidArgument, match="when unpacked"):
        read_bundle_bytes(zipped(bomb, zipfile.ZIP_STORED), limits=Limits(content=1 << 20))
    with pytest.raises(InvalidArgument, match="entries"):
        read_bundle_bytes(zipped(whole(log)), limits=Limits(entries=2))
    log.bundle(["chat 42"], tmp_path / "case.zip")
    with pytest.raises(OSError, match="limit"):
        read_bundle(tmp_path / "case.zip", Limits(file=100))


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreUnavailable, match="pipe"):
        eventlog.open_bundle(tmp_path / "pipe")
    with pytest.raises(StoreUnavailable, match="pipe"):
        eventlog.open(f"bundle:///{tmp_path / 'pipe'}")
    with pytest.raises(StoreUnavailable, match="No such file"):
        eventlog.open_bundle(tmp_path / "nothing.zip")
    for text in (b"", b"PK\x03\x04", b"hello"):
        (tmp_path / "x.zip").write_bytes(text)
        with pytest.raises(CorruptLog, match="not a bundle"):
            eventlog.open_bundle(tmp_path / "x.zip")


def look_at_everything(data: bytes) -> None:
    """Do with a bundle what a reader may do; only errors of the library come out."""
    try:
        bundle = read_bundle_bytes(data)
        from eventlog.exchange.bundle.store import BundleStore

        with eventlog.Log(BundleStore(bundle)) as case:
            for session_id in bundle.sessions:
                case.verify(session_id)
                session = case.session(session_id)
                session.history(hydrate=True)
                session.context()
                session.archives()
    except EventLogError:
        pass


def changed_bytes(data: bytes, drawn: random.Random) -> bytes:
    """Return a file with some bytes changed, or cut."""
    bad = bytearray(data)
    for _ in range(drawn.randint(1, 8)):
        bad[drawn.randrange(len(bad))] = drawn.randrange(256)
    if drawn.random() < 0.2:
        del bad[drawn.randrange(len(bad)) :]
    return bytes(bad)


def changed_entry(entries: dict[str, bytes], drawn: random.Random) -> bytes:
    """Return a sound archive in which one entry has some other characters."""
    name = drawn.choice(sorted(entries))
    content = bytearray(entries[name])
    for _ in range(drawn.randint(1, 4)):
        content[drawn.randrange(len(content))] = drawn.choice(b'0123456789{}[],":\\xatrue')
    return zipped({**entries, name: bytes(content)}, zipfile.ZIP_STORED)


def renamed_entry(entries: dict[str, bytes], drawn: random.Random) -> bytes:
    """Return an archive in which one entry has a name that leads elsewhere, or is there twice."""
    name, (other, data) = drawn.choice(sorted(entries)), drawn.choice(sorted(entries.items()))
    names = [
        "../" + name,
        "/tmp/x",
        "\\\\x",
        name + "/",
        name.upper(),
        "sessions/2/x",
        " ",
        ".",
        other,
    ]
    changed = dict(entries)
    changed[drawn.choice(names)] = changed.pop(name) if drawn.random() < 0.5 else data
    return zipped(changed, drawn.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def refuse_files(patch: pytest.MonkeyPatch) -> None:
    """Let whatever touches a file fail: a bundle of bytes needs none."""

    def refuse(*given: object, **named: object) -> None:
        raise AssertionError(f"a file was touched: {given!r}")

    patch.setattr("builtins.open", refuse)
    for name in ("open", "mkdir", "makedirs", "rename", "replace", "link", "symlink", "unlink"):
        patch.setattr(f"os.{name}", refuse)


def test_fuzzed_bundles_raise_no_raw_error_and_write_nothing(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G3: bytes, fields and names changed at random; memory stays within what was allowed."""
    monkeypatch.chdir(tmp_path)
    data, _ = bundle_bytes(log.store, ["chat 42"])
    drawn = random.Random(18)
    entries = whole(log)
    look_at_everything(data)  # It imports what it needs.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with monkeypatch.context() as patch:
        refuse_files(patch)
        for _ in range(rounds(200, 3_400)):
            look_at_everything(changed_bytes(data, drawn))
            look_at_everything(changed_entry(entries, drawn))
            look_at_everything(renamed_entry(entries, drawn))
    assert list(tmp_path.iterdir()) == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


def test_a_bundle_of_thousands_of_events_reads_in_an_empty_folder_without_their_classes(
    tmp_path: Path,
) -> None:
    """Same states and bytes, in a process that never heard of the application."""
    with eventlog.open("memory:", clock=FakeClock(), ids=NumberedIds()) as log:
        session = log.session("long", create=True)
        for number in range(100):
            session.extend([Message.user(f"{number}-{each}") for each in range(49)])
            session.record(Decided(what=str(number)))
            if number % 20 == 19:
                session.commit(keep_recent=10)
        assert session.version > 5_000
        log.bundle(["long"], tmp_path / "case.zip")
        expected = [session.meta._asdict(), [each.id for each in session.tail()]]
    (tmp_path / "empty").mkdir()
    script = (
        "import json, sys, eventlog\n"
        "with eventlog.open_bundle(sys.argv[1]) as log:\n"
        "    assert log.verify('long') == []\n"
        "    log.bundle(['long'], sys.argv[2])\n"
        "    session = log.session('long')\n"
        "    print(json.dumps([session.meta._asdict(), [each.id for each in session.tail()]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "case.zip"), str(tmp_path / "again.zip")],
        cwd=tmp_path / "empty",
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(done.stdout) == expected
    again, first = contents(tmp_path / "again.zip"), contents(tmp_path / "case.zip")
    # Only the description of the application's data is missing there.
    assert {**again, "schemas.json": b""} == {**first, "schemas.json": b""}
    assert list((tmp_path / "empty").iterdir()) == []


@examples(20, 1_600)
@given(
    st.lists(st.text(max_size=60), min_size=1, max_size=5), st.sampled_from(["secrets", "texts"])
)
def test_any_text_survives_redaction_as_a_message(texts: list[str], redaction: Any) -> None:
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        clean = [text.encode(errors="replace").decode() for text in texts]
        session.extend([Message.user(text) for text in clean])
        data, _ = bundle_bytes(log.store, ["s"], redaction)
        from eventlog.exchange.bundle.store import BundleStore

        with eventlog.Log(BundleStore(read_bundle_bytes(data))) as case:
            assert case.verify("s") == []
            assert len(case.session("s").tail()) == len(texts)
