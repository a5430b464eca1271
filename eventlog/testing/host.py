"""A computer whose power can fail: a disk with logs and files, a clock, and its user's memory.

A host runs ordinary code. Its logs are SQLite files on the simulated disk, its files are in ``folder``
or accessed through ``files``, and all writes and syncs are steps of the same disk, in the order in
which they happen::

    host = Host()
    session = host.open_log().session("chat", create=True)
    host.steps.fail(host.steps.count + 2)
    with pytest.raises(Crash):
        session.append(Message.user("hello"))
    left = host.after_crash(Fate("lost"))
    assert not left.open_log().exists("chat")
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from eventlog.log import Log
from eventlog.testing.clock import FakeClock
from eventlog.testing.crashing import Crash
from eventlog.testing.disk.disk import Disk
from eventlog.testing.disk.fates import KEPT, Fate
from eventlog.testing.disk.files import DiskFiles
from eventlog.testing.disk.watched_folder import WatchedFolder, begin_watching, end_watching
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.model.operations import Image
from eventlog.testing.still import renew_nothing
from eventlog.testing.whereabouts import CodeLine, Noted, NotingStore, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from eventlog.stores.sqlite.store import SQLiteStore
    from eventlog.testing.crashing import Steps
    from eventlog.testing.disk.sqlite import Database

__all__ = ["HOME", "Call", "Host"]

Answer = TypeVar("Answer")

HOME: Final = "/home"
"""The folder of the disk that `Host.folder` shows."""


class Call(NamedTuple):
    """A call: the name of the method, and its arguments."""

    name: str
    arguments: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.arguments))})"


class Host:
    """A computer; use it as a context manager, or close it.

    ``pragmas`` override the store's settings of SQLite, for stores that do not keep what they declare.
    """

    def __init__(
        self,
        disk: Disk | None = None,
        *,
        clock: FakeClock | None = None,
        ids: NumberedIds | None = None,
        pragmas: Mapping[str, Any] | None = None,
    ) -> None:
        self.disk = disk or Disk(image=_with_home())
        self.clock = clock or FakeClock()
        self.ids = ids or NumberedIds()
        self.files = DiskFiles(self.disk)
        """The disk, behind the file interface that stores and session folders use."""
        self.told: list[Any] = []
        """The answers that the host's user has got; no crash takes them away."""
        self.in_doubt: Any = None
        """The call that had no answer when the power failed, or None."""
        self.crashed_in: tuple[CodeLine, ...] = ()
        """The lines of the program, the innermost last, at which its power failed."""
        self.noted = Noted()
        """The events that were being stored, and those that were stored last."""
        self._pragmas = pragmas
        self._databases: dict[str, Database] = {}
        self._logs: list[Log] = []
        self._folder: WatchedFolder | None = None
        self._place: TemporaryDirectory[str] | None = None
        self._closed = False
        begin_watching()

    @property
    def steps(self) -> Steps:
        """The steps of the disk so far."""
        return self.disk.steps

    def open_log(self, path: str = "/log.db", **options: Any) -> Log:
        """Open the log in a file of the disk, as a process of the host would."""
        store = self.open_store(path, **options)
        log = Log(store, clock=self.clock, ids=self.ids, files=self.files)
        renew_nothing(log)
        self._logs.append(log)
        return log

    def open_store(self, path: str = "/log.db", **options: Any) -> SQLiteStore:
        """Open the SQLite store in a file of the disk."""
        # Needs apsw, which is not needed for crashing files alone.
        from eventlog.testing.disk.sqlite import Database
        from eventlog.testing.disk.vfs import DiskVFS

        database = self._databases.get(path)
        if database is None:
            vfs = DiskVFS(self.disk, Random(path))
            self._databases[path] = database = Database(vfs, path, pragmas=self._pragmas)
        store = NotingStore(path, connect=database.connect, **options)
        store.noted = self.noted
        return store

    @property
    def folder(self) -> Path:
        """A folder for plain files; what Python code does to them are steps of the disk."""
        if self._folder is None:
            self._place = TemporaryDirectory(prefix="eventlog-host-")
            self._folder = WatchedFolder(Path(self._place.name).resolve(), self.disk, HOME)
        return self._folder.root

    def call(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Call something for the host's user: in doubt until it answers, then in ``told``."""
        self.in_doubt = call = Call(function.__name__, arguments)
        answer = function(*arguments)
        self.told.append(call)
        self.in_doubt = None
        return answer

    @contextmanager
    def until_crash(self) -> Generator[None]:
        """Run a block that may crash; keep the lines of it at which it did, for the report."""
        try:
            yield
        except Crash as crash:
            self.crashed_in = lines_of(crash)

    def after_crash(self, fate: Fate = KEPT) -> Host:
        """Return the restarted host: what is left on its disk, its clock, and its user's memory."""
        host = Host(
            self.disk.after_crash(fate),
            clock=FakeClock(self.clock.now),
            ids=NumberedIds(self.ids.drawn),
            pragmas=self._pragmas,
        )
        host.told, host.in_doubt = list(self.told), self.in_doubt
        return host

    def close(self) -> None:
        """End everything that runs here; the disk stays as it is."""
        if self._closed:
            return
        self._closed = self.steps.dead = True
        for log in self._logs:
            with suppress(Crash):
                log.close()  # This ends only threads: nothing reaches the disk any more.
        for database in self._databases.values():
            database.close()
        if self._folder is not None and self._place is not None:
            self._folder.stop()
            self._place.cleanup()
        end_watching()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _with_home() -> Image:
    image = Image()
    image.folders[0][HOME.removeprefix("/")] = image.add(is_folder=True)
    return image
