"""Wake readers that wait for records of other processes: LISTEN and NOTIFY, as a hint only.

NOTIFY inside an append's transaction would make the server commit such transactions one by one. So
one thread per store, on a separate connection, notifies a few milliseconds after an append, once for
all appends of these milliseconds, and listens for others. Waiting readers poll as well, so a lost
notification only costs time.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from eventlog.errors import EventLogError
from eventlog.store import Wakeups
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Notifications"]

GATHER_SECONDS: Final = 0.01
"""How long appends are gathered for one notification."""

RETRY_SECONDS: Final = 1.0
"""How long until a lost connection is tried again; waiting readers poll meanwhile."""


class Notifications(Wakeups):
    """Receives notifications from other processes, and sends them for this store's appends."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], channel: str) -> None:
        super().__init__()
        self._connect = connect
        self._channel = sql.Identifier(channel)
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._owed = False
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)

    def announce(self) -> None:
        """Notify local and other processes' readers that something was appended."""
        self.notify()
        self._start()
        if not self._owed:
            self._owed = True
            self._wake_thread()

    def _sleep(self, seen: int, seconds: float) -> None:
        self._start()  # The thread that listens is needed only once a reader waits.
        super()._sleep(seen, seconds)

    def close(self) -> None:
        """Wake all waiting readers and end the thread."""
        self._closed.set()
        self.notify()
        with self._condition:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._wake_thread()
            thread.join()
        self.forget()

    def forget(self) -> None:
        """Close what belongs to this process alone: all that a forked child may do."""
        self._ours.close()
        self._theirs.close()

    def _start(self) -> None:
        if self._thread is not None:
            return
        with self._condition:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="eventlog-notifications", daemon=True
                )
                self._thread.start()

    def _wake_thread(self) -> None:
        try:
            self._ours.send(b"!")
        except (BlockingIOError, OSError):
            return  # The thread is already awake, or has ended.

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(sql.SQL("LISTEN {}").format(self._channel))
                    self.notify()  # Something may have been appended while nobody listened.
                    self._serve(connection)
            except (psycopg.Error, EventLogError, OSError) as error:
                log_fact(logging.DEBUG, "notifications_interrupted", error=str(error))
                self._closed.wait(RETRY_SECONDS)

    def _serve(self, connection: psycopg.Connection[Any]) -> None:
        notify = sql.SQL("NOTIFY {}").format(self._channel).as_bytes(connection)
        with selectors.DefaultSelector() as selector:
            selector.register(self._theirs, selectors.EVENT_READ)
            selector.register(connection.fileno(), selectors.EVENT_READ)
            while True:
                woken = {key.fileobj for key, _ in selector.select()}
                if connection.fileno() in woken and list(connection.notifies(timeout=0)):
                    self.notify()
                if self._theirs in woken:
                    self._closed.wait(GATHER_SECONDS)
                    self._theirs.recv(4_096)
                    if self._owed:
                        self._owed = False
                        connection.execute(notify)
                    if self._closed.is_set():
                        return
