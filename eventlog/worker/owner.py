"""Which process holds a lease, and whether it can be proven to be gone (F2).

A proof needs the same host, the same boot of it and the same namespace of process ids; then a
process is gone if its id is unused, or used by one that started at another time. Whatever cannot
be read proves nothing.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

from eventlog.session.tasks.events import OwnerData

__all__ = ["is_gone", "this_process"]


def this_process() -> OwnerData:
    """Describe the calling process."""
    pid = os.getpid()
    return OwnerData(host=_host(), boot=_boot(), pid=pid, started=_started(pid) or "")


def is_gone(owner: OwnerData) -> bool:
    """Tell whether the owner is proven to have ended."""
    if not owner["boot"] or not owner["started"]:
        return False
    if (owner["host"], owner["boot"]) != (_host(), _boot()):
        return False
    return _started(owner["pid"]) != owner["started"]


@cache
def _host() -> str:
    return socket.gethostname()


@cache
def _boot() -> str:
    """Name the boot of the machine and the namespace in which process ids are unique."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when a process started, in clock ticks since the boot; None if there is none.

    The name of the program stands in parentheses and may hold anything, so fields are counted from
    the last one. A zombie has ended, whoever still has to wait for it.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]
