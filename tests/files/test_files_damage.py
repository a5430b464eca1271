"""Damage to the files of a log: found, named, and never taken for something else (A1, P10)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import CorruptLog, Log, Message
from eventlog.stores.files import FilesStore
from eventlog.testing.inside import core_of
from eventlog.testing.model.laws import check_laws
from tests.shares import rounds

SEGMENT = "segments/0000000001.log"
Place = Any  # Of this folder's conftest, which cannot be imported from here.


def flip(path: Path, offset: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


def test_one_flipped_bit_in_a_segment_is_named_by_stream_and_version(
    write: Callable[..., Path], places: Callable[[Path], list[Place]]
) -> None:
    """Any bit of a frame: in its header, in what is said of the stream, in a record."""
    folder = write()
    frames = places(folder)
    segment = folder / SEGMENT
    original = segment.read_bytes()
    for number, offset in enumerate(range(frames[0].offset, len(original), rounds(17, 1))):
        frame = next(at for at in reversed(frames) if at.offset <= offset)
        flip(segment, offset, number % 8)
        with eventlog.open(f"files:///{folder}") as log:
            (finding,) = log.verify(frame.stream)
            others = {"chat", "other"} - {frame.stream}
            assert all(log.verify(name) == [] for name in others)
        assert (finding.stream, finding.kind) == (frame.stream, "damaged")
        assert finding.version in frame.versions
        assert f"{SEGMENT} is damaged at offset {frame.offset}, session" in finding.detail
        segment.write_bytes(original)


def test_of_an_append_of_several_records_the_one_that_was_hit_is_named(
    write: Callable[..., Path], places: Callable[[Path], list[Place]]
) -> None:
    folder = write()
    (frame,) = [found for found in places(folder) if len(found.versions) == 3]
    segment = folder / SEGMENT
    original = segment.read_bytes()
    for number, version in enumerate(frame.versions):
        flip(segment, original.index(b"text of chat-many-%d" % number), 1)
        with eventlog.open(f"files:///{folder}") as log:
            (finding,) = log.verify("chat")
        assert finding.version == version
        segment.write_bytes(original)


def test_damage_before_later_batches_is_no_torn_tail(
    write: Callable[..., Path], places: Callable[[Path], list[Place]]
) -> None:
    """Nothing of it is known to a log that was killed: it is not opened, and nothing is cut."""
    folder = write(killed=True)
    segment = folder / SEGMENT
    original = segment.read_bytes()
    for frame in places(folder)[:-1]:
        flip(segment, frame.offset + 60, 2)
        before = segment.read_bytes()
        with pytest.raises(CorruptLog) as caught:
            FilesStore(folder)
        assert f"{SEGMENT} is damaged at offset {frame.offset}" in str(caught.value)
        assert caught.value.version in frame.versions
        assert segment.read_bytes() == before
        segment.write_bytes(original)


def test_the_last_batch_is_damaged_where_the_log_was_closed_behind_it(
    write: Callable[..., Path], places: Callable[[Path], list[Place]]
) -> None:
    """Closing notes how far the log was safe, so no acknowledged record is taken for a torn one."""
    folder = write()
    last = places(folder)[-1]
    with (folder / SEGMENT).open("r+b") as file:
        file.truncate(last.offset + last.size - 1)

    with pytest.raises(CorruptLog, match="it was replaced or cut"):
        FilesStore(folder)


def test_any_tear_of_the_last_batch_is_passed_over_and_put_aside_by_the_next_write(
    write: Callable[..., Path], places: Callable[[Path], list[Place]]
) -> None:
    """As a killed process leaves it: cut anywhere, or with zeros for what was not written."""
    folder = write(killed=True)
    pristine = folder.with_name("pristine")
    folder.rename(pristine)
    last = places(pristine)[-1]
    whole = (pristine / SEGMENT).read_bytes()
    for cut in range(1, last.size, rounds(131, 41)):
        for filler in (b"", bytes(50)):
            shutil.copytree(pristine, folder)
            torn = whole[: last.offset + cut] + filler
            (folder / SEGMENT).write_bytes(torn)
            with eventlog.open(f"files:///{folder}") as log:
                assert log.session("chat").version == last.versions[0] - 1
                assert (
                    "bytes, which the next write puts aside" in log.store.settings()["torn tails"]
                )
                assert (folder / SEGMENT).read_bytes() == torn, "readers repair nothing"
                log.session("chat").append(Message.user("afterwards"))
                check_laws(log.store)
                assert "1 put aside in" in log.store.settings()["torn tails"]
            (kept,) = (folder / "quarantine").iterdir()
            assert kept.name == f"0000000001-{last.offset}.torn"
            assert kept.read_bytes() == torn[last.offset :]
            shutil.rmtree(folder)


def test_a_batch_is_stored_whole_or_not_at_all(
    write: Callable[..., Path], places: Callable[[Path], list[Place]]
) -> None:
    """Several appends of one batch: the later ones are torn, so the first one was not stored."""
    folder = write()
    with Log(FilesStore(folder)) as log:
        from eventlog.testing.conformance import draft

        log.store.append([draft("a", 2), draft("b", 1), draft("c", 1)])
    shutil.rmtree(folder / "index")
    (folder / "index").mkdir()
    first, second, third = places(folder)[-3:]
    whole = (folder / SEGMENT).read_bytes()
    for size in (third.offset + 10, third.offset, second.offset + 40, second.offset):
        (folder / SEGMENT).write_bytes(whole[:size])
        store = FilesStore(folder, mode="ro")
        assert [store.head(name).version for name in "abc"] == [0, 0, 0], size
        store.close()
    (folder / SEGMENT).write_bytes(whole)
    store = FilesStore(folder, mode="ro")
    assert [store.head(name).version for name in "abc"] == [2, 1, 1]
    store.close()
    # The pages of one write may be stored in any order: a hole before whole frames of the batch.
    hole = bytearray(whole)
    hole[first.offset + 40 : first.offset + 60] = bytes(20)
    (folder / SEGMENT).write_bytes(hole)
    store = FilesStore(folder, mode="ro")
    assert [store.head(name).version for name in "abc"] == [0, 0, 0]
    store.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0000000001.log", "0000000001.log is missing, but later segments exist"),
        ("0000000002.log", "0000000002.log is missing"),
    ],
)
def test_a_segment_that_is_missing_is_not_an_empty_log(
    write: Callable[..., Path], name: str, message: str
) -> None:
    folder = write(segment_bytes=1_500)
    assert len(list((folder / "segments").iterdir())) > 2
    (folder / "segments" / name).unlink()

    with pytest.raises(CorruptLog, match=message):
        FilesStore(folder)


def test_a_log_whose_segments_are_all_gone_is_not_an_empty_log(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / SEGMENT).unlink()

    with pytest.raises(CorruptLog, match="it has an index and no segment"):
        FilesStore(folder)


def test_a_header_that_is_damaged_names_its_segment(write: Callable[..., Path]) -> None:
    folder = write()
    original = (folder / SEGMENT).read_bytes()
    for offset in range(0, 64, 5):
        flip(folder / SEGMENT, offset, 3)
        with pytest.raises(CorruptLog, match=r"0000000001\.log does not begin as segment 1"):
            FilesStore(folder)
        (folder / SEGMENT).write_bytes(original)


def test_a_segment_of_another_log_is_not_read_as_one_of_this(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write(segment_bytes=1_500)
    other = tmp_path / "other"
    with Log(FilesStore(other, segment_bytes=1_500)) as log:
        for number in range(12):
            log.session("chat", create=True).append(Message.user(f"{number}"))
    shutil.copy(other / "segments/0000000002.log", folder / "segments/0000000002.log")

    with FilesStoreOpen(folder) as store:
        assert store.check() != []


class FilesStoreOpen:
    """A store for the length of a block."""

    def __init__(self, folder: Path) -> None:
        self._store = FilesStore(folder)

    def __enter__(self) -> FilesStore:
        return self._store

    def __exit__(self, *error: object) -> None:
        self._store.close()


# ---- caches and blobs -------------------------------------------------------------------------


def test_a_damaged_index_changes_no_answer(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte of checkpoint and runs in turn: they are made anew, or not used."""
    monkeypatch.setattr("eventlog.stores.files.index.FLUSH_AT", 4)
    folder = write()
    with FilesStoreOpen(folder) as store:
        expected = _everything(store)
    files = [path for path in (folder / "index").iterdir() if path.is_file()]
    assert {path.name.rpartition(".")[2] for path in files} == {"checkpoint", "run"}
    for path in files:
        original = path.read_bytes()
        for offset in [*range(0, min(1_200, len(original)), 29), len(original) - 1]:
            flip(path, offset, 4)
            with FilesStoreOpen(folder) as store:
                assert _everything(store) == expected, (path, offset)
                assert store.check() == []
            path.write_bytes(original)
        path.unlink()
        with FilesStoreOpen(folder) as store:
            assert _everything(store) == expected
        path.write_bytes(original)


def _everything(store: FilesStore) -> Any:
    records = list(store.read_all())
    ids = [record.event_id for record in records]
    return (
        records,
        [list(store.read(name, reverse=True)) for name in ("chat", "other")],
        [store.find(name, ids) for name in ("chat", "other")],
        [list(store.read_all(after=record.position)) for record in records[::3]],
        list(store.scan("", "\U0010ffff")),
        [store.head(name) for name in ("chat", "other", "none")],
    )


def test_a_damaged_blob_is_found_and_a_damaged_snapshot_refuses_no_session(
    write: Callable[..., Path],
) -> None:
    """L12: a cache that cannot be read is ignored and replaced."""
    folder = write()
    with eventlog.open(f"files:///{folder}") as log:
        core_of(log, "chat").write_snapshot()
    (blob,) = (folder / "blobs").glob("*/*.blob")
    flip(blob, blob.stat().st_size - 3, 0)

    with eventlog.open(f"files:///{folder}") as log:
        (finding,) = log.store.check()
        assert finding.kind == "blob"
        assert "snapshot/chat/session" in finding.detail
        with pytest.raises(CorruptLog, match="is not the blob that was written"):
            log.store.get_blob("snapshot/chat/session")
        assert len(log.session("chat").history()) == 6
        core_of(log, "chat").write_snapshot()
        assert log.store.check() == []


def test_check_names_every_damaged_place(
    write: Callable[..., Path], places: Callable[[Path], list[Place]]
) -> None:
    folder = write()
    hit = [places(folder)[1], places(folder)[4]]
    for frame in hit:
        flip(folder / SEGMENT, frame.offset + 100, 5)

    with FilesStoreOpen(folder) as store:
        findings = [finding for finding in store.check() if finding.kind == "damaged"]

    assert [(finding.stream, finding.version) for finding in findings] == [
        (frame.stream, frame.versions[0]) for frame in hit
    ]
