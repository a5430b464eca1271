"""Several processes with one files log: one writes, any number read (L8)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import eventlog
from eventlog import InvalidArgument, Message, StoreUnavailable, UnsupportedStore
from eventlog.stores.files import FilesStore
from eventlog.testing.conformance import draft, must_append, unplaced
from eventlog.testing.model.laws import check_laws


def test_the_first_to_write_is_the_writer_until_it_closes(folder: Path) -> None:
    first, second = FilesStore(folder), FilesStore(folder, busy_timeout=0)
    must_append(first, draft("s", 1))

    with pytest.raises(StoreUnavailable, match="another process, which holds its lock"):
        second.append([draft("s", 1, expected=1)])
    with pytest.raises(StoreUnavailable, match="another process, which holds its lock"):
        second.put_blob("key", b"value")
    must_append(first, draft("s", 1, expected=1))
    assert unplaced(second.read("s")) == list(draft("s", 2).records)
    first.close()
    must_append(second, draft("s", 1, expected=2))
    assert unplaced(second.read("s")) == list(draft("s", 3).records)
    second.close()


def test_whoever_waits_for_the_lock_gets_it_when_the_writer_closes(folder: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    first, second = FilesStore(folder), FilesStore(folder, busy_timeout=60)
    must_append(first, draft("s", 1))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(must_append, second, draft("s", 1, expected=1))
        first.close()
        (answer,) = waiting.result()
    assert answer.versions == (2,)
    second.close()


def test_a_reader_sees_what_is_written_segment_after_segment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the writer has merged and removed the runs that the reader has open."""
    monkeypatch.setattr("eventlog.stores.files.index.FLUSH_AT", 7)
    writer = FilesStore(folder, segment_bytes=900)
    writer.put_index([])
    reader = FilesStore(folder, mode="ro")
    for number in range(60):
        entry = (f"key/{number % 9}", b"%d" % number)
        must_append(writer, draft("s", 1, expected=number, entries=(entry,)))
        newest = draft("s", 1, expected=number).records[0]
        assert reader.head("s").version == number + 1
        assert reader.find("s", [newest.event_id]) == {newest.event_id: number + 1}
        assert list(reader.scan("", "~")) == list(writer.scan("", "~"))
        assert reader.wait(writer.tip(), 0) is False
    assert unplaced(reader.read_all()) == unplaced(writer.read_all())
    assert unplaced(reader.read("s")) == list(draft("s", 60).records)
    assert reader.check() == writer.check() == []
    reader.close()
    writer.close()


def test_two_that_take_turns_write_one_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finds what the other has written, and the runs that the other has merged."""
    monkeypatch.setattr("eventlog.stores.files.index.FLUSH_AT", 7)
    stores = [FilesStore(folder, writers="many", segment_bytes=900) for _ in range(2)]
    for number in range(60):
        store = stores[number // 5 % 2]
        entry = (f"key/{number % 9}", None if number % 4 == 0 else b"%d" % number)
        must_append(store, draft("s", 1, expected=number, entries=(entry,)))
        (again,) = must_append(store, draft("s", 1, expected=number // 2))
        assert (again.replayed, again.versions) == (True, (number // 2 + 1,))
    for store in stores:
        assert unplaced(store.read("s")) == list(draft("s", 60).records)
        assert store.check() == []
        store.close()


def test_reading_changes_nothing(write: Callable[..., Path]) -> None:
    """P10: not even a torn tail is mended by whoever only looks."""
    folder = write(killed=True)
    with (folder / "segments/0000000001.log").open("ab") as file:
        file.write(b"torn")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    with eventlog.open(f"files:///{folder}") as log:
        assert len(log.session("chat").history()) == 6
        assert log.verify("chat") == []
        check_laws(log.store)
        assert log.store.settings()["torn tails"].startswith("4 bytes")

    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_log_that_is_opened_to_read_is_never_written(write: Callable[..., Path]) -> None:
    with eventlog.open(f"files:///{write()}?mode=ro") as log:
        with pytest.raises(StoreUnavailable, match="opened with mode=ro"):
            log.session("chat").append(Message.user("no"))
        assert log.store.settings()["writers"] == "none: opened to read"


def test_opening_begins_no_log_before_the_first_write(folder: Path) -> None:
    with eventlog.open(f"files:///{folder}") as log:
        assert list(log.sessions()) == []
        assert log.store.check() == []
        assert not folder.exists()
        log.session("chat", create=True).append(Message.user("hello"))
    assert sorted(path.name for path in folder.iterdir()) == [
        "blobs",
        "index",
        "lock",
        "quarantine",
        "segments",
    ]


# ---- bad input --------------------------------------------------------------------------------


def test_a_folder_of_somebody_else_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")

    with pytest.raises(UnsupportedStore, match=r"it has 'notes.txt' in it; choose an empty folder"):
        FilesStore(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_file_is_no_log(folder: Path) -> None:
    folder.write_text("mine")

    with pytest.raises(UnsupportedStore, match="is a file; a files log is a folder"):
        FilesStore(folder)


def test_a_log_that_is_not_there_cannot_be_opened_to_read(folder: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        FilesStore(folder, mode="ro")


@pytest.mark.parametrize(
    "options", ["mode=rx", "writers=two", "synchronous=maybe", "busy_timeout=x", "color=red"]
)
def test_an_option_that_does_not_exist_is_refused(folder: Path, options: str) -> None:
    with pytest.raises(InvalidArgument):
        eventlog.open(f"files:///{folder}?{options}")


def test_a_log_without_folder_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="write files:///folder"):
        eventlog.open("files:")


def test_an_append_above_the_limit_is_refused_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eventlog import TooLarge

    monkeypatch.setattr("eventlog.stores.files.batch.FRAME_LIMIT", 3_000)
    store = FilesStore(folder)
    small, large = draft("a", 1), draft("b", 1, data=b'"%s"' % (b"x" * 3_000))

    first, refused = store.append([small, large])

    assert not isinstance(first, eventlog.EventLogError)
    assert isinstance(refused, TooLarge)
    assert unplaced(store.read_all()) == list(small.records)
    store.close()
