"""Plain Python file calls in a host's folder are steps of its disk, and work as they ever do."""

from __future__ import annotations

import builtins
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eventlog.testing import LOST, Crash, Host

if TYPE_CHECKING:
    from collections.abc import Callable


def opened(path: Path) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("hello")


def in_binary(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(b"hello")


def line_by_line(path: Path) -> None:
    with open(path, "x", buffering=1, encoding="utf-8") as file:
        file.write("hel")
        file.write("lo")


def appended(path: Path) -> None:
    path.write_text("hel")
    with open(path, "ab") as file:
        file.write(b"lo")


def updated(path: Path) -> None:
    path.write_bytes(b"jello")
    with open(path, "r+b") as file:
        file.write(b"h")


def truncated(path: Path) -> None:
    path.write_bytes(b"hello, world")
    with open(path, "r+b") as file:
        file.truncate(5)


def by_descriptor(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, b"hello, world")
    os.ftruncate(descriptor, 5)
    os.close(descriptor)


def copied(path: Path) -> None:
    source = path.with_name("source")
    source.write_bytes(b"hello")
    shutil.copyfile(source, path)
    source.unlink()


def moved(path: Path) -> None:
    path.with_name("new").write_text("hello")
    path.with_name("new").replace(path)


def by_a_temporary_file(path: Path) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write("hello")
    os.rename(file.name, path)


WAYS = (
    opened,
    in_binary,
    line_by_line,
    appended,
    updated,
    truncated,
    by_descriptor,
    copied,
    moved,
    by_a_temporary_file,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_file_is_on_the_disk_as_it_is_in_the_folder(way: Callable[[Path], None]) -> None:
    with Host() as host:
        way(host.folder / "file")

        assert (host.folder / "file").read_bytes() == b"hello"
        assert host.disk.files() == {"/home/": b"", "/home/file": b"hello"}
        with host.after_crash() as left:
            assert [path.name for path in left.folder.iterdir()] == ["file"]
            assert (left.folder / "file").read_text() == "hello"
        with host.after_crash(LOST) as left:
            assert list(left.folder.iterdir()) == []


def test_what_is_synchronised_survives() -> None:
    with Host() as host:
        with open(host.folder / "file", "w") as file:
            file.write("hello")
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(host.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

        with host.after_crash(LOST) as left:
            assert (left.folder / "file").read_text() == "hello"


def test_folders_are_made_and_removed() -> None:
    with Host() as host:
        (host.folder / "a" / "b").mkdir(parents=True)
        (host.folder / "a" / "b" / "file").write_text("hello")
        (host.folder / "c").mkdir()
        (host.folder / "c").rmdir()

        assert set(host.disk.files()) == {"/home/", "/home/a/", "/home/a/b/", "/home/a/b/file"}
        with host.after_crash() as left:
            assert (left.folder / "a" / "b" / "file").read_text() == "hello"


def test_nothing_can_be_saved_after_the_crash() -> None:
    with Host() as host:
        path = host.folder / "file"
        path.write_text("1")
        host.steps.fail(host.steps.count + 1)
        with pytest.raises(Crash):  # noqa: PT012 - the `finally` of a process that has ended
            try:
                path.write_text("2")
            finally:
                path.with_name("rescue").write_text("2")
        with pytest.raises(Crash):
            path.read_text()

        assert set(host.disk.files()) == {"/home/", "/home/file"}


def test_other_files_and_later_calls_are_left_alone(tmp_path: Path) -> None:
    calls = (builtins.open, io.open, os.replace, os.fsync, os.open)
    with Host() as host:
        (host.folder / "file").write_text("1")
        steps = host.steps.count
        (tmp_path / "other").write_text(json.dumps([1]))
        os.replace(tmp_path / "other", tmp_path / "moved")
        assert host.steps.count == steps

    assert calls == (builtins.open, io.open, os.replace, os.fsync, os.open)
    assert json.loads((tmp_path / "moved").read_text()) == [1]


def test_a_file_cannot_be_moved_out(tmp_path: Path) -> None:
    with Host() as host:
        (host.folder / "file").write_text("1")
        with pytest.raises(ValueError, match="moved out of the watched folder"):
            (host.folder / "file").rename(tmp_path / "file")
