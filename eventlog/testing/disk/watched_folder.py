"""Plain Python file calls as steps of a simulated disk: for code that does not use our interface.

While a folder is watched, ``open``, ``io.open``, ``pathlib`` and the functions of ``os`` act twice on
files in it: on the real files, so that everything that reads them works as usual, and on the disk,
where each call is a step and unsynced writes can be lost. Code that imported ``os.replace`` or ``open``
under another name before (``from os import replace``) and C libraries (``sqlite3``) are not seen:
nothing that they write is on the disk.
"""

from __future__ import annotations

import builtins
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.testing.disk.disk import Disk

__all__ = ["WatchedFolder", "begin_watching", "end_watching"]


class WatchedFolder:
    """A real folder whose files are those of a folder of a disk."""

    def __init__(self, root: Path, disk: Disk, on_disk: str) -> None:
        self.root = root
        self._disk = disk
        self._on_disk = on_disk
        self._open: dict[int, int | str] = {}
        """What each descriptor has open: the number of a file, or the path of a folder."""
        self._fill()
        _watched.append(self)

    def _fill(self) -> None:
        for path, content in self._disk.files().items():
            if path.startswith(f"{self._on_disk}/"):
                real = self.root / path.removeprefix(f"{self._on_disk}/")
                if path.endswith("/"):
                    real.mkdir(exist_ok=True)
                else:
                    real.write_bytes(content)

    def stop(self) -> None:
        """Stop watching."""
        _watched.remove(self)

    def path(self, file: Any) -> str | None:
        """Return the path on the disk of a path in this folder, or None for any other path."""
        if isinstance(file, int):
            return None
        path, root = os.path.abspath(os.fsdecode(file)), str(self.root)
        if path != root and not path.startswith(f"{root}/"):
            return None
        return self._on_disk + path.removeprefix(root)

    def owns(self, descriptor: int) -> bool:
        """Return whether a descriptor was opened in this folder."""
        return descriptor in self._open

    # ---- the calls, each given the real function to call as well -------------------------------

    def open(self, path: str, real: Any, mode: str, options: dict[str, Any]) -> Any:
        """Open a file as `open` does; what is written to it passes through the disk."""
        binary = "".join(sorted(mode.replace("b", "").replace("t", "")))
        if binary == "r":
            self._disk.steps.refuse_if_dead("open")
            return _REAL["open"](real, mode, **options)
        raw = _WatchedFile(self, path, real, binary, options.pop("opener", None))
        buffering = options.pop("buffering", -1)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffer = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw, size)
        if "b" in mode:
            return buffer
        options.pop("closefd", None)
        return io.TextIOWrapper(buffer, **options, line_buffering=buffering == 1)

    def descriptor(self, path: str, real: Any, flags: int, mode: int, dir_fd: Any) -> int:
        """Open a descriptor as `os.open` does."""
        self._disk.steps.refuse_if_dead("open")
        if self._disk.is_folder(path):
            what: int | str = path
        else:
            what = self._prepare(path, create=bool(flags & os.O_CREAT), flags=flags)
        descriptor = _REAL["os.open"](real, flags, mode, dir_fd=dir_fd)
        self._open[descriptor] = what
        return int(descriptor)

    def _prepare(self, path: str, *, create: bool, flags: int) -> int:
        number = self._disk.open(path, create=create, exclusive=bool(flags & os.O_EXCL))
        if flags & os.O_TRUNC and self._disk.size(number):
            self._disk.resize(number, 0)
        return number

    def begin(self, path: str, mode: str) -> int:
        """Create or empty a file as ``mode`` says; return its number."""
        flags = os.O_TRUNC if "w" in mode else os.O_EXCL if "x" in mode else 0
        return self._prepare(path, create="r" not in mode, flags=flags)

    def remember(self, descriptor: int, number: int) -> None:
        self._open[descriptor] = number

    def forget(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write to the disk what is about to be written to a descriptor."""
        number = self._open[descriptor]
        assert isinstance(number, int)
        self._disk.write(number, offset, data)

    def resize(self, descriptor: int, size: int) -> None:
        number = self._open[descriptor]
        assert isinstance(number, int)
        self._disk.resize(number, size)

    def sync(self, descriptor: int) -> None:
        what = self._open[descriptor]
        if isinstance(what, str):
            self._disk.sync_folder(what)
        else:
            self._disk.sync(what)

    def size(self, descriptor: int) -> int:
        number = self._open[descriptor]
        assert isinstance(number, int)
        return self._disk.size(number)

    def rename(self, old: str, new: str | None) -> None:
        if new is None:
            raise ValueError(f"{old} is moved out of the watched folder; keep it within")
        self._disk.rename(old, new)

    def remove(self, path: str) -> None:
        self._disk.remove(path)

    def make_folder(self, path: str) -> None:
        self._disk.make_folder(path)


class _WatchedFile(io.FileIO):
    """A real file, every write to which is a step of the disk before it is done."""

    def __init__(self, folder: WatchedFolder, path: str, real: Any, mode: str, opener: Any) -> None:
        self._folder = folder
        if opener is None:
            number = folder.begin(path, mode)
            # What had to be created or emptied was, on the disk; the real file follows.
            super().__init__(real, mode.replace("x", "w"))
            folder.remember(self.fileno(), number)
        else:
            super().__init__(real, mode, opener=opener)
        self._appends = "a" in mode

    def write(self, data: Any, /) -> int:
        content = bytes(data)
        descriptor = self.fileno()
        offset = self._folder.size(descriptor) if self._appends else self.tell()
        self._folder.write(descriptor, content, offset)
        return super().write(content) or 0

    def truncate(self, size: int | None = None, /) -> int:
        size = self.tell() if size is None else size
        self._folder.resize(self.fileno(), size)
        return super().truncate(size)

    def close(self) -> None:
        if not self.closed:
            self._folder.forget(self.fileno())
        super().close()


# ---- the calls that are watched ----------------------------------------------------------------

_watched: list[WatchedFolder] = []
_watchers = 0
_lock = threading.Lock()


def _in_watched(file: Any) -> tuple[WatchedFolder, str] | None:
    for folder in _watched:
        path = folder.path(file)
        if path is not None:
            return folder, path
    return None


def _owner(descriptor: int) -> WatchedFolder | None:
    return next((folder for folder in _watched if folder.owns(descriptor)), None)


def _open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
    found = _in_watched(file)
    if found is None:
        return _REAL["open"](file, mode, *arguments, **options)
    names = ("buffering", "encoding", "errors", "newline", "closefd", "opener")
    options.update(zip(names, arguments, strict=False))
    folder, path = found
    return folder.open(path, file, mode, options)


def _os_open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: Any = None) -> int:
    found = _in_watched(path)
    if found is None:
        return int(_REAL["os.open"](path, flags, mode, dir_fd=dir_fd))
    return found[0].descriptor(found[1], path, flags, mode, dir_fd)


def _os_write(descriptor: int, data: Any) -> int:
    folder = _owner(descriptor)
    if folder is not None:
        appends = _flags(descriptor) & os.O_APPEND
        offset = folder.size(descriptor) if appends else os.lseek(descriptor, 0, os.SEEK_CUR)
        folder.write(descriptor, bytes(data), offset)
    return int(_REAL["os.write"](descriptor, data))


def _flags(descriptor: int) -> int:
    import fcntl  # Not everywhere; imported where a descriptor was opened to be written on.

    return fcntl.fcntl(descriptor, fcntl.F_GETFL)


def _os_close(descriptor: int) -> None:
    folder = _owner(descriptor)
    if folder is not None:
        folder.forget(descriptor)
    _REAL["os.close"](descriptor)


def _os_sendfile(out: int, source: int, offset: Any, count: int) -> int:
    if _owner(out) is None:
        return int(_REAL["os.sendfile"](out, source, offset, count))
    return _os_write(out, os.pread(source, count, offset))


def _os_ftruncate(descriptor: int, size: int) -> None:
    folder = _owner(descriptor)
    if folder is not None:
        folder.resize(descriptor, size)
    _REAL["os.ftruncate"](descriptor, size)


def _os_sync(name: str) -> Callable[[Any], None]:
    def call(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        folder = _owner(number)
        if folder is None:
            _REAL[name](descriptor)
        else:
            folder.sync(number)  # The real file is scratch: it need not outlive anything.

    return call


def _on_path(name: str, do: Callable[..., None]) -> Callable[..., Any]:
    def call(path: Any, *arguments: Any, **options: Any) -> Any:
        found = _in_watched(path)
        if found is not None:
            do(*found, *arguments)
        return _REAL[name](path, *arguments, **options)

    return call


def _rename(folder: WatchedFolder, old: str, new: Any) -> None:
    folder.rename(old, folder.path(new))


def _remove(folder: WatchedFolder, path: str) -> None:
    folder.remove(path)


def _make_folder(folder: WatchedFolder, path: str, mode: int = 0o777) -> None:
    folder.make_folder(path)


_REAL: Final[dict[str, Callable[..., Any]]] = {
    "open": builtins.open,
    "os.open": os.open,
    "os.write": os.write,
    "os.close": os.close,
    "os.sendfile": getattr(os, "sendfile", os.write),
    "os.fsync": os.fsync,
    "os.fdatasync": getattr(os, "fdatasync", os.fsync),
    "os.ftruncate": os.ftruncate,
    "os.rename": os.rename,
    "os.replace": os.replace,
    "os.remove": os.remove,
    "os.unlink": os.unlink,
    "os.rmdir": os.rmdir,
    "os.mkdir": os.mkdir,
}

_WATCHING: Final[dict[str, Callable[..., Any]]] = {
    "open": _open,
    "os.open": _os_open,
    "os.write": _os_write,
    "os.close": _os_close,
    "os.sendfile": _os_sendfile,
    "os.fsync": _os_sync("os.fsync"),
    "os.fdatasync": _os_sync("os.fdatasync"),
    "os.ftruncate": _os_ftruncate,
    "os.rename": _on_path("os.rename", _rename),
    "os.replace": _on_path("os.replace", _rename),
    "os.remove": _on_path("os.remove", _remove),
    "os.unlink": _on_path("os.unlink", _remove),
    "os.rmdir": _on_path("os.rmdir", _remove),
    "os.mkdir": _on_path("os.mkdir", _make_folder),
}


def begin_watching() -> None:
    """Watch the calls from now on, for one more user.

    A host starts this before its folder is used: ``open(host.folder / "file")`` looks up ``open``
    first.
    """
    global _watchers
    with _lock:
        _watchers += 1
        if _watchers == 1:
            _install(_WATCHING)


def end_watching() -> None:
    """Stop watching the calls when the last user has stopped."""
    global _watchers
    with _lock:
        _watchers -= 1
        if not _watchers:
            _install(_REAL)


def _install(calls: dict[str, Callable[..., Any]]) -> None:
    for name, call in calls.items():
        if name == "open":
            builtins.open = io.open = call
        elif hasattr(os, name.removeprefix("os.")):
            setattr(os, name.removeprefix("os."), call)
