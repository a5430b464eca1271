"""Reading one session from a store: its records and messages, its large values, its tasks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from eventlog.engine.blobs import get_value, has_value, put_value
from eventlog.errors import EventLogError
from eventlog.session.index import (
    archive_key,
    archive_prefix,
    keys_under,
    read_archive,
    read_task,
    read_turn,
    task_key,
    turn_key,
)
from eventlog.session.reading import MessageReader
from eventlog.session.version_ranges import contains
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.session.tasks.state import Task
    from eventlog.session.turns.state import Turn
    from eventlog.session.version_ranges import Withdrawn
    from eventlog.store import Store

__all__ = ["Reader", "read_entry"]


def read_entry(store: Store, key: str) -> bytes | None:
    """Return the value of an index entry, or None."""
    return next((value for _, value in store.scan(key, key + "\0", limit=1)), None)


class Reader(MessageReader):
    """Reads one stream, its large values and its tasks; every method does I/O."""

    def __init__(
        self,
        store: Store,
        stream: str,
        withdrawn: Callable[[], tuple[Withdrawn, ...]] = tuple,
    ) -> None:
        super().__init__(store, stream, withdrawn)
        self._store = store

    def keep_value(self, data: bytes) -> str:
        """Store a large value before an event names it; return its digest (L11).

        The store's error is logged and raised; the session's policy may continue without the value.
        """
        try:
            return put_value(self._store, self.stream, data)
        except EventLogError as error:
            log_fact(logging.WARNING, "value_not_kept", session_id=self.stream, error=str(error))
            raise

    def has_value(self, digest: str) -> bool:
        """Return whether the session has a large value with this digest."""
        return has_value(self._store, self.stream, digest)

    def value(self, digest: str) -> bytes:
        """Return a large value; raise `CorruptLog` if it is missing or damaged."""
        return get_value(self._store, self.stream, digest)

    def task(self, task_id: str) -> Task | None:
        """Return a task of this session, even a finished one, as its last record left it."""
        value = read_entry(self._store, task_key(task_id))
        task = None if value is None else read_task(value)
        return task if task is not None and task.session_id == self.stream else None

    def turn(self, turn_id: str) -> Turn | None:
        """Return a turn that has ended; None if none with this id has."""
        value = read_entry(self._store, turn_key(self.stream, turn_id))
        return None if value is None else read_turn(value)

    def archive_with(self, version: int) -> int | None:
        """Return the number of the archive that took what is at a version; None if none did."""
        for _, value in self._store.scan(*keys_under(archive_prefix(self.stream))):
            archive = read_archive(value)
            if contains(archive.takes, version):
                return archive.index
        return None

    def task_of_archive(self, index: int) -> Task | None:
        """Return the task that finalises an archive, even a finished one."""
        value = read_entry(self._store, archive_key(self.stream, index))
        return None if value is None else self.task(read_archive(value).task_id)
