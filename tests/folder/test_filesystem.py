"""The files of this machine behind our interface: what its methods promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventlog import local_files
from eventlog.filesystem import LocalFiles

FILES = LocalFiles()


def write(path: Path, content: bytes) -> None:
    file = FILES.open(str(path), empty=True)
    file.append(content)
    file.sync()
    file.close()
    file.close()


@pytest.mark.parametrize("lazily", [True, False])
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_rename_replaces_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lazily: bool, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(local_files, "_renameat2", lambda: None)
    for content in (b"first", b"second"):
        write(tmp_path / "new", content)
        FILES.rename(str(tmp_path / "new"), str(tmp_path / "file"), lazily=lazily)

        assert FILES.names(str(tmp_path)) == ["file"]
        assert FILES.read(str(tmp_path / "file")) == content


def test_a_lazy_rename_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FILES.rename(str(tmp_path / "nothing"), str(tmp_path / "file"), lazily=True)


def test_a_file_is_appended_to_unless_it_is_to_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"a", b"b"):
        file = FILES.open(str(path))
        file.append(content)
        file.close()
    assert path.read_bytes() == b"ab"
    write(path, b"c")
    assert path.read_bytes() == b"c"


def test_a_lock_is_held_by_one_until_it_is_released(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    held = FILES.lock(path)
    assert held is not None
    assert FILES.lock(path) is None

    held.release()
    held.release()
    again = FILES.lock(path)
    assert again is not None

    del again  # Nobody knows it any more: it ends, as with the process.
    assert FILES.lock(path) is not None
