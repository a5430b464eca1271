"""Shared by the tests of the files store: written logs, and the places of their contents."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from eventlog import Message
from eventlog.filesystem import LocalFiles
from eventlog.log import Log
from eventlog.stores.files import FilesStore
from eventlog.stores.files.index import BEGINNING
from eventlog.stores.files.segments import End, Segments
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds

SEGMENT = "segments/0000000001.log"


class Place(NamedTuple):
    """A stored frame: where it is in its segment, and what it is of."""

    offset: int
    size: int
    stream: str
    versions: tuple[int, ...]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the log of a test is."""
    return tmp_path / "log"


@pytest.fixture
def write(folder: Path) -> Callable[..., Path]:
    """Write a small log of two sessions: closed in good order, or as a killed process leaves it."""

    def write_log(*, killed: bool = False, **options: object) -> Path:
        store = FilesStore(folder, **options)  # type: ignore[arg-type]
        log = Log(store, clock=FakeClock(), ids=NumberedIds())
        for number in range(3):
            for name in ("chat", "other"):
                session = log.session(name, create=True)
                session.append(_message(f"{name}-{number}"))
        log.session("chat").extend([_message(f"chat-many-{number}") for number in range(3)])
        log.session("chat").commit(keep_recent=1)
        if killed:
            left = folder.with_name("left")
            shutil.copytree(folder, left)
            log.close()
            shutil.rmtree(folder)
            left.rename(folder)
        else:
            log.close()
        return folder

    return write_log


def _message(id: str) -> Message:
    return Message.user(f"text of {id}", id=id, created_at="2026-01-01T00:00:00Z")


@pytest.fixture
def places() -> Callable[[Path], list[Place]]:
    """Tell where the frames of a log's first segment are."""

    def find(folder: Path) -> list[Place]:
        size = (folder / SEGMENT).stat().st_size
        segments = Segments(LocalFiles(), str(folder / "segments"))
        found: list[Place] = []
        for place, frame, body in segments.frames(BEGINNING.place, End(1, size, 0, 0)):
            records = segments.body(place, frame, body).records
            offset = place - (1 << 40)
            versions = tuple(record.version for record in records)
            found.append(Place(offset, frame.size, records[0].stream, versions))
        segments.close()
        return found

    return find


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)
