"""The contents of a simulated disk, and the operations that change it; a crash may split each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventlog.testing.disk.fates import Outcome

__all__ = ["ROOT", "Enter", "Image", "Operation", "Remove", "Rename", "Resize", "Write"]

ROOT: Final = 0
"""The number of the folder ``/``."""


class Image:
    """Files by number, and the folders that name them."""

    def __init__(self) -> None:
        self.files: dict[int, bytearray] = {}
        self.folders: dict[int, dict[str, int]] = {ROOT: {}}

    def copy(self) -> Image:
        copied = Image()
        copied.files = {number: bytearray(content) for number, content in self.files.items()}
        copied.folders = {number: dict(names) for number, names in self.folders.items()}
        return copied

    def add(self, *, is_folder: bool) -> int:
        """Add an empty file or folder that nothing names yet; return its number."""
        number = max(self.files.keys() | self.folders.keys()) + 1
        self.adopt(number, is_folder=is_folder)
        return number

    def adopt(self, number: int, *, is_folder: bool) -> None:
        """Add an empty file or folder by the number that it has in another image."""
        if is_folder:
            self.folders[number] = {}
        else:
            self.files[number] = bytearray()

    def find(self, path: str) -> int | None:
        """Return the number of what a path names."""
        number = ROOT
        for name in filter(None, path.split("/")):
            names = self.folders.get(number, {})
            if name not in names:
                return None
            number = names[name]
        return number

    def names(self, folder: int = ROOT, path: str = "") -> Iterator[tuple[str, int]]:
        """Yield every path and what it names, sorted."""
        for name, number in sorted(self.folders[folder].items()):
            yield f"{path}/{name}", number
            if number in self.folders:
                yield from self.names(number, f"{path}/{name}")

    def walk(self) -> Iterator[tuple[str, bytes]]:
        """Yield every file and its bytes; folders end in a slash."""
        for path, number in self.names():
            if number in self.folders:
                yield f"{path}/", b""
            else:
                yield path, bytes(self.files[number])


class Operation(Protocol):
    """A change of an image."""

    @property
    def place(self) -> int:
        """The file or folder whose sync stores it."""
        ...

    def apply(self, image: Image) -> None:
        """Do it."""
        ...

    def leave(self, image: Image, outcome: Outcome) -> None:
        """Apply as much of it as a crash has left."""
        ...

    def half(self) -> Operation | None:
        """Return the part that is applied if the disk becomes full; None for nothing."""
        ...


@dataclass(frozen=True)
class Write:
    """Bytes at an offset of a file."""

    place: int
    offset: int
    data: bytes

    def apply(self, image: Image) -> None:
        content = image.files[self.place]
        if len(content) < self.offset:
            content.extend(bytes(self.offset - len(content)))
        content[self.offset : self.offset + len(self.data)] = self.data

    def leave(self, image: Image, outcome: Outcome) -> None:
        if outcome == "kept":
            self.apply(image)
        elif outcome == "torn":
            self.half().apply(image)
        elif outcome == "zeroed":
            content = image.files[self.place]
            content.extend(bytes(max(0, self.offset + len(self.data) - len(content))))

    def half(self) -> Write:
        return Write(self.place, self.offset, self.data[: len(self.data) // 2])


class _Whole:
    """An operation that happens entirely or not at all: file systems journal these."""

    def apply(self, image: Image) -> None:
        raise NotImplementedError

    def leave(self, image: Image, outcome: Outcome) -> None:
        if outcome != "lost":
            self.apply(image)

    def half(self) -> None:
        return None


@dataclass(frozen=True)
class Resize(_Whole):
    """A new length for a file: cut, or extended with zeros."""

    place: int
    size: int

    def apply(self, image: Image) -> None:
        content = image.files[self.place]
        del content[self.size :]
        content.extend(bytes(self.size - len(content)))


@dataclass(frozen=True)
class Enter(_Whole):
    """A new name in a folder, for a file or folder that has none yet."""

    place: int
    name: str
    number: int

    def apply(self, image: Image) -> None:
        image.folders[self.place][self.name] = self.number


@dataclass(frozen=True)
class Rename(_Whole):
    """A rename, which is atomic; it is stored when the target folder is synced."""

    old_place: int
    old_name: str
    place: int
    name: str
    number: int

    def apply(self, image: Image) -> None:
        source = image.folders[self.old_place]
        if source.get(self.old_name) == self.number:
            del source[self.old_name]
        image.folders[self.place][self.name] = self.number


@dataclass(frozen=True)
class Remove(_Whole):
    """A name that is removed from a folder."""

    place: int
    name: str

    def apply(self, image: Image) -> None:
        image.folders[self.place].pop(self.name, None)
