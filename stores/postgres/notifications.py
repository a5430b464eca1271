"""Waking those who wait for records of other processes: LISTEN and NOTIFY, as a hint only.

A notification in the transaction of an append would have the server commit such transactions one
after the other. So one thread per store, on a connection of its own, says a few milliseconds
after an append that there is something new, once for all appends of these milliseconds; and it
hears what others say. Whoever waits looks for itself now and then all the same.
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
"""How long it takes until a lost connection is tried again; who waits polls meanwhile."""


class Notifications(Wakeups):
    """Hears what others say, and tells them of this store's appends."""

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
        """Tell everybody that something was appended."""
        self.notify()
        self._start()
        if not self._owed:
            self._owed = True
            self._wake_thread()

    def _sleep(self, seen: int, seconds: float) -> None:
        self._start()  # Only who really waits needs the thread that hears of others' appends.
        super()._sleep(seen, seconds)

    def close(self) -> None:
        """Wake everybody and end the thread."""
        self._closed.set()
        self.notify()
        with self._condition:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._wake_thread()
            thread.join()
        self.forget()

    def forget(self) -> None:
        """Close what is this process's own: all that a forked child may do."""
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
            return  # It has enough to wake up for, or is gone.

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(sql.SQL("LISTEN {}").format(self._channel))
                    self.notify()  # Whatever was said while nobody listened.
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
