"""The simulated disk does what POSIX promises, and no more."""

from __future__ import annotations

import errno

import pytest

from eventlog.testing import KEPT, LOST, Crash, Disk, DiskFiles, Fate
from eventlog.testing.disk.fates import every_fate


def written(disk: Disk, path: str, data: bytes) -> int:
    file = disk.open(path, create=True)
    disk.write(file, 0, data)
    return file


def test_what_is_written_is_seen_at_once_and_stored_when_it_is_synchronised() -> None:
    disk = Disk()
    file = written(disk, "/a", b"hello")

    assert disk.files() == {"/a": b"hello"}
    assert disk.after_crash(LOST).files() == {}
    disk.sync(file)
    disk.sync_folder("/")
    assert disk.after_crash(LOST).files() == {"/a": b"hello"}


def test_the_sync_of_a_file_does_not_store_its_name() -> None:
    disk = Disk()
    disk.sync(written(disk, "/a", b"hello"))

    assert disk.after_crash(LOST).files() == {}


def test_the_sync_of_a_folder_does_not_store_what_is_in_its_files() -> None:
    disk = Disk()
    written(disk, "/a", b"hello")
    disk.sync_folder("/")

    assert disk.after_crash(LOST).files() == {"/a": b""}


@pytest.mark.parametrize(
    ("fate", "left"),
    [
        (KEPT, b"hello, world"),
        (Fate(lost=(1,)), b"hello"),
        (Fate(torn=(1,)), b"hello, w"),
        (Fate(zeroed=(1,)), b"hello" + bytes(7)),
    ],
)
def test_a_write_is_kept_lost_torn_or_zeroed(fate: Fate, left: bytes) -> None:
    disk = Disk()
    file = written(disk, "/a", b"hello")
    disk.sync(file)
    disk.sync_folder("/")
    disk.write(file, 5, b", world")

    assert disk.after_crash(fate).files() == {"/a": left}


def test_a_write_that_is_kept_after_one_that_is_lost_leaves_a_hole() -> None:
    disk = Disk()
    file = written(disk, "/a", b"12")
    disk.write(file, 2, b"34")

    assert disk.after_crash(Fate(lost=(2,))).files() == {"/a": b"\0\x0034"}


def test_a_rename_replaces_at_once_and_is_stored_with_its_folder() -> None:
    disk = Disk()
    for path, data in (("/old", b"1"), ("/new", b"2")):
        disk.sync(written(disk, path, data))
    disk.sync_folder("/")
    disk.rename("/new", "/old")

    assert disk.files() == {"/old": b"2"}
    assert disk.after_crash(LOST).files() == {"/new": b"2", "/old": b"1"}
    disk.sync_folder("/")
    assert disk.after_crash(LOST).files() == {"/old": b"2"}


def test_a_file_that_was_renamed_before_it_was_synchronised_can_be_empty() -> None:
    disk = Disk()
    written(disk, "/new", b"2")
    disk.rename("/new", "/a")

    assert disk.after_crash(Fate(lost=(2,))).files() == {"/a": b""}


def test_a_removed_file_lives_on_while_it_is_open() -> None:
    disk = Disk()
    file = written(disk, "/a", b"hello")
    disk.remove("/a")

    assert disk.read(file, 1, 3) == b"ell"
    assert not disk.exists("/a")
    with pytest.raises(FileNotFoundError):
        disk.remove("/a")


def test_what_is_in_a_folder_whose_name_is_lost_is_lost_too() -> None:
    disk = Disk()
    disk.make_folder("/f")
    disk.sync(written(disk, "/f/a", b"hello"))
    disk.sync_folder("/f")

    assert disk.after_crash(LOST).files() == {}
    disk.sync_folder("/")
    assert disk.after_crash(LOST).files() == {"/f/": b"", "/f/a": b"hello"}


def test_a_sync_that_fails_is_told_once_and_what_it_was_to_store_is_gone() -> None:
    """The system takes the pages for written: a second sync succeeds, and stores nothing of them."""
    disk = Disk()
    file = written(disk, "/a", b"hello")
    disk.sync_folder("/")
    disk.steps.fail(disk.steps.count + 1, "cut")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is compared below
        disk.sync(file)
    disk.sync(file)

    assert caught.value.errno == errno.EIO
    assert disk.after_crash(KEPT).files() == {"/a": b""}
    disk.write(file, 0, b"hello")
    disk.sync(file)
    assert disk.after_crash(LOST).files() == {"/a": b"hello"}


def test_a_full_disk_takes_half_of_a_write() -> None:
    disk = Disk()
    file = written(disk, "/a", b"1")
    disk.steps.fail(disk.steps.count + 1, "full")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is compared below
        disk.write(file, 1, b"2345")

    assert caught.value.errno == errno.ENOSPC
    assert disk.files() == {"/a": b"123"}


def test_after_a_crash_every_call_raises_it() -> None:
    disk = Disk()
    file = written(disk, "/a", b"1")
    disk.steps.fail(disk.steps.count + 1)
    calls = (
        lambda: disk.write(file, 1, b"2"),
        lambda: disk.write(file, 1, b"2"),
        lambda: disk.read(file),
        lambda: disk.sync(file),
        lambda: disk.open("/b", create=True),
        lambda: disk.names("/"),
    )
    for call in calls:
        with pytest.raises(Crash):
            call()

    assert disk.steps.count == 3
    assert disk.after_crash(KEPT).files() == {"/a": b"12"}, "it was under way"


def test_the_same_calls_take_the_same_steps() -> None:
    traces: list[list[str]] = []
    for _ in range(2):
        disk = Disk()
        disk.sync(written(disk, "/a", b"hello"))
        disk.make_folder("/f")
        disk.rename("/a", "/f/b")
        traces.append(disk.steps.trace)

    assert traces[0] == traces[1]
    assert traces[0] == [
        "create /a",
        "write /a: 5 bytes at 0",
        "sync /a",
        "mkdir /f",
        "rename /a to /f/b",
    ]


def test_every_fate_has_all_kept_all_lost_and_each_one_by_itself() -> None:
    fates = list(every_fate(3))

    assert {KEPT, LOST, Fate(torn=(1,))} <= set(fates)
    for place in (1, 2, 3):
        assert {Fate(lost=(place,)), Fate(zeroed=(place,)), Fate(torn=(place,))} <= set(fates)
    assert len(fates) == len(set(fates)) == 11
    assert set(every_fate(3, power=False)) == {KEPT, Fate(torn=(1,))}
    assert eval(repr(Fate("lost", kept=(2,)))) == Fate("lost", kept=(2,))


def test_a_lock_is_held_by_one() -> None:
    files = DiskFiles(Disk())
    held = files.lock("/lock")

    assert held is not None
    assert files.lock("/lock") is None
    held.release()
    assert files.lock("/lock") is not None


def test_a_file_is_read_at_any_place_through_the_seam() -> None:
    files = DiskFiles(Disk())
    file = files.open("/a")
    file.append(b"hello")
    file.truncate(4)
    file.overwrite(0, b"y")
    view = files.view("/a")

    assert (view.size(), view.read_at(1, 2), files.read("/a")) == (4, b"el", b"yell")
    assert files.open("/a", empty=True) is not None
    assert view.size() == 0
