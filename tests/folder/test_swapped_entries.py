"""Entries that are swapped between a check and the use: what is opened is what was checked, or nothing.

The swap is made by the seam at the one moment that counts, so that no test depends on luck.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventlog import descriptors, local_files
from eventlog.filesystem import REFUSED, FileTree, LocalFiles, replace_file

SECRET = b"outside"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a file in a subfolder; beside it is what must not be touched."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(SECRET)
    inner = tmp_path / "root/inner"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"inside")
    return tmp_path / "root"


@pytest.fixture
def files(root: Path) -> FileTree:
    return LocalFiles().under(str(root))


def to_link(path: Path) -> None:
    outside = path.parents[1] / "outside" if path.name == "inner" else path.parents[2] / "outside"
    path.rename(path.with_name("moved"))
    path.symlink_to(outside if path.name == "inner" else outside / "file")


def to_fifo(path: Path) -> None:
    path.rename(path.with_name("moved"))
    os.mkfifo(path)


def to_hard_link(path: Path) -> None:
    path.unlink()
    path.hardlink_to(path.parents[2] / "outside/file")


def once(swap: Callable[[Path], None], path: Path) -> Callable[[], None]:
    """Return what swaps an entry when it is first called."""
    left = [swap]

    def call() -> None:
        if left:
            left.pop()(path)

    return call


def read(files: FileTree) -> object:
    return files.read("inner/file")


def view(files: FileTree) -> object:
    return files.view("inner/file").read_at(0, 100)


def append(files: FileTree) -> None:
    files.open("inner/file").append(b"more")


def empty(files: FileTree) -> object:
    return files.open("inner/file", empty=True)


def lock(files: FileTree) -> object:
    return files.lock("inner/file")


VERBS = (read, view, append, empty, lock)


def outside_is_untouched(root: Path) -> bool:
    outside = root.parent / "outside"
    return os.listdir(outside) == ["file"] and (outside / "file").read_bytes() == SECRET


@pytest.mark.parametrize("swap", [to_link, to_fifo])
@pytest.mark.parametrize("verb", VERBS)
def test_a_file_that_is_swapped_after_it_was_looked_at_is_refused(
    root: Path,
    files: FileTree,
    verb: Callable[[FileTree], object],
    swap: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A FIFO would block whoever opens it, if the file were not opened without waiting."""
    looked, act = descriptors.refuse_unless_regular, once(swap, root / "inner/file")

    def look_and_swap(found: os.stat_result, path: str) -> None:
        looked(found, path)
        act()

    monkeypatch.setattr(descriptors, "refuse_unless_regular", look_and_swap)

    with pytest.raises(OSError, match=r"link|FIFO|No such device") as caught:
        verb(files)

    assert caught.value.errno in REFUSED
    assert outside_is_untouched(root)


@pytest.mark.parametrize("verb", [append, empty, lock])
def test_a_file_that_becomes_a_second_name_of_another_is_not_written(
    root: Path,
    files: FileTree,
    verb: Callable[[FileTree], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked, act = descriptors.refuse_unless_regular, once(to_hard_link, root / "inner/file")

    def look_and_swap(found: os.stat_result, path: str) -> None:
        looked(found, path)
        act()

    monkeypatch.setattr(descriptors, "refuse_unless_regular", look_and_swap)

    with pytest.raises(OSError, match="several hard links") as caught:
        verb(files)

    assert caught.value.errno == errno.EMLINK
    assert outside_is_untouched(root)


def replace(files: FileTree) -> None:
    replace_file(files, "inner/file", b"new")


def create(files: FileTree) -> None:
    files.create("inner/new").append(b"new")


def make_folder(files: FileTree) -> None:
    files.make_folder("inner/folder")


def remove(files: FileTree) -> None:
    files.remove("inner/file")


def rename(files: FileTree) -> None:
    files.rename("inner/file", "inner/other")


def names(files: FileTree) -> object:
    return files.names("inner")


@pytest.mark.parametrize(
    "verb",
    [*VERBS, replace, create, make_folder, remove, rename, names],
    ids=lambda it: it.__name__,
)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_folder_that_is_swapped_while_it_is_entered_leads_nowhere(
    root: Path,
    files: FileTree,
    verb: Callable[[FileTree], object],
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before it is opened the link is refused; after that the folder is the one that was opened."""
    opened, act = descriptors.open_folder, once(to_link, root / "inner")

    def open_and_swap(name: str, path: str, parent: int | None = None) -> int:
        if name == "inner" and moment == "before":
            act()
        descriptor = opened(name, path, parent)
        if name == "inner" and moment == "after":
            act()
        return descriptor

    monkeypatch.setattr(local_files, "open_folder", open_and_swap)

    if moment == "before" or verb is replace:  # It enters the folder more than once.
        with pytest.raises(OSError, match="links are not followed"):
            verb(files)
    else:
        verb(files)
    assert outside_is_untouched(root)


def test_the_folder_itself_is_not_swapped_for_a_link(root: Path, files: FileTree) -> None:
    """The path may lead through links; where it leads is decided once."""
    root.rename(root.with_name("moved"))
    root.symlink_to(root.parent / "outside")

    with pytest.raises(OSError, match="links are not followed"):
        files.read("file")


@pytest.mark.parametrize(
    "path", ["..", "../outside/file", "/etc/passwd", "inner/../../outside/file", "inner//file", "."]
)
def test_no_name_leads_out_of_the_folder(root: Path, files: FileTree, path: str) -> None:
    verbs: list[Callable[[str], Any]] = [
        files.read,
        files.names,
        files.remove,
        files.open,
        files.view,
    ]
    for verb in verbs:
        with pytest.raises(OSError, match="leads out of the folder"):
            verb(path)
    assert outside_is_untouched(root)


@pytest.mark.parametrize("path", ["in\0ner", "inner/\udcff"])
def test_a_name_that_can_be_none_is_refused(files: FileTree, path: str) -> None:
    with pytest.raises(OSError, match=r"leads out|not UTF-8") as caught:
        files.read(path)
    assert caught.value.errno == errno.EILSEQ
    str(caught.value).encode()


def test_a_lock_whose_file_is_replaced_meanwhile_is_taken_on_the_new_one(
    root: Path, files: FileTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_still = local_files._is_still  # pyright: ignore[reportPrivateUsage]
    act = once(lambda path: path.unlink(), root / "inner/file")

    def replaced(descriptor: int, name: str, folder: int | None) -> bool:
        act()
        return is_still(descriptor, name, folder)

    monkeypatch.setattr(local_files, "_is_still", replaced)

    held = files.lock("inner/file")

    assert held is not None
    assert files.lock("inner/file") is None


# ---- sizes ------------------------------------------------------------------------------------


def test_a_file_beyond_the_limit_is_not_read(root: Path) -> None:
    files = LocalFiles(largest=5).under(str(root))

    for call in (files.read, lambda path: files.view(path).read_at(0, 6)):
        with pytest.raises(OSError, match="the limit is 5") as caught:
            call("inner/file")
        assert caught.value.errno == errno.EFBIG
    assert LocalFiles(largest=6).under(str(root)).read("inner/file") == b"inside"


def test_a_folder_with_too_many_names_is_not_listed(root: Path) -> None:
    (root / "inner/other").touch()

    with pytest.raises(OSError, match="more than 1 names"):
        LocalFiles(most_names=1).under(str(root)).names("inner")


# ---- modes ------------------------------------------------------------------------------------


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "inner_mode"),
    [
        (0o700, 0o600, 0o700),
        (0o750, 0o640, 0o750),
        (0o755, 0o644, 0o755),
        (0o770, 0o660, 0o770),
        (0o711, 0o600, 0o700),
        (0o1777, 0o600, 0o700),
    ],
)
def test_what_is_new_takes_what_the_folder_allows(
    root: Path, files: FileTree, folder_mode: int, file_mode: int, inner_mode: int
) -> None:
    """Strangers share a folder with the sticky bit; what is in it is nobody else's."""
    root.chmod(folder_mode)
    mask = os.umask(0o077)
    try:
        replace_file(files, "new", b"")
        files.open("opened").close()
        files.make_folder("folder")
    finally:
        os.umask(mask)

    assert mode_of(root / "new") == mode_of(root / "opened") == file_mode
    assert mode_of(root / "folder") == inner_mode


def test_a_file_that_is_replaced_keeps_its_mode(root: Path, files: FileTree) -> None:
    (root / "inner/file").chmod(0o640)
    replace_file(files, "inner/file", b"new")
    assert mode_of(root / "inner/file") == 0o640


def test_permissions_that_are_asked_for_count_for_new_files_and_folders(root: Path) -> None:
    files = LocalFiles().under(str(root), 0o660)
    replace_file(files, "new", b"")
    files.make_folder("folder")
    assert (mode_of(root / "new"), mode_of(root / "folder")) == (0o660, 0o770)
