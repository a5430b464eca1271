"""The process that holds a lease, and whether it can be proven to be gone (F2).

A proof needs the same host, the same boot and the same namespace of process ids. Then a process is
gone if its id is unused, or is used by a process that started at another time. If anything cannot
be read, nothing is proven.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

from eventlog.session.tasks.events import OwnerData

__all__ = ["holder_of_fence", "is_gone", "this_process"]


def this_process() -> OwnerData:
    """Describe the calling process."""
    pid = os.getpid()
    try:
        started = _started(pid)
    except OSError:  # Without a start time, the end cannot be proven.
        started = None
    return OwnerData(host=_host(), boot=_boot(), pid=pid, started=started or "")


def holder_of_fence(name: str) -> OwnerData:
    """Describe somebody else than a process, such as a client over HTTP, by a name for people.

    Nobody can prove that such an owner is gone: its lease alone says so.
    """
    return OwnerData(host=name, boot="", pid=0, started="")


def is_gone(owner: OwnerData) -> bool:
    """Return whether the owner is proven to have ended."""
    if not owner["boot"] or not owner["started"]:
        return False
    if (owner["host"], owner["boot"]) != (_host(), _boot()):
        return False
    try:
        return _started(owner["pid"]) != owner["started"]
    except (OSError, OverflowError):  # The latter for a recorded id that is out of range.
        return False


@cache
def _host() -> str:
    return socket.gethostname()


@cache
def _boot() -> str:
    """Return a name for the machine's boot and the namespace in which process ids are unique."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when a process started, in clock ticks since the boot; None if it has ended.

    Raises `OSError` if that cannot be read, as with no file descriptors left.

    The name of the program is in parentheses and may hold anything, so fields are counted from the
    last parenthesis. A zombie counts as ended, even if its parent has not waited for it yet.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except FileNotFoundError:
        _check_unused(pid)
        return None
    except ProcessLookupError:  # It ended while it was read.
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def _check_unused(pid: int) -> None:
    """Raise `OSError` if a process has the id, since ``/proc`` may hide those of other users."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        raise FileNotFoundError(f"/proc does not show process {pid}")
