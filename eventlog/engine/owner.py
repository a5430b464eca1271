"""The process that holds a lease, and whether it can be proven to be gone (F2).

On the same host, boot and namespace of process ids, a process is gone if its id is unused, or is used
by a process that started at another time. Of a process in another container the store may have a
proof. If anything cannot be read, nothing is proven.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from eventlog.session.tasks.events import OwnerData
from eventlog.store import gone_from, presence_at

if TYPE_CHECKING:
    from eventlog.store import Store

__all__ = ["Fate", "fate_of", "holder_of_fence", "is_gone", "is_this_process", "this_process"]

Fate: TypeAlias = Literal["gone", "alive", "unknown"]


def this_process(store: Store | None = None) -> OwnerData:
    """Describe the calling process; with a store, so that others there can prove its end (I/O)."""
    pid = os.getpid()
    try:
        started = _started(pid)
    except OSError:  # Without a start time, the end cannot be proven.
        started = None
    owner = OwnerData(host=_host(), boot=_boot(), pid=pid, started=started or "")
    presence = None if store is None else presence_at(store)
    if presence is not None:
        owner["presence"] = presence
    return owner


def holder_of_fence(name: str) -> OwnerData:
    """Describe somebody else than a process, such as a client over HTTP, by a name for people.

    Nobody can prove that such an owner is gone: its lease alone says so.
    """
    return OwnerData(host=name, boot="", pid=0, started="")


def is_this_process(owner: OwnerData) -> bool:
    """Return whether the owner is the calling process."""
    pid = os.getpid()
    here = (_host(), _boot(), pid, _started_once(pid))
    return here == (owner["host"], owner["boot"], owner["pid"], owner["started"])


def is_gone(owner: OwnerData, store: Store | None = None) -> bool:
    """Return whether the owner is proven to have ended."""
    return fate_of(owner, store) == "gone"


def fate_of(owner: OwnerData, store: Store | None = None) -> Fate:
    """Return whether the owner is proven to have ended, or to live; ``unknown`` if neither."""
    if owner["boot"] and owner["started"] and (owner["host"], owner["boot"]) == (_host(), _boot()):
        try:
            return "alive" if _started(owner["pid"]) == owner["started"] else "gone"
        except (OSError, OverflowError):  # The latter for a recorded id that is out of range.
            return "unknown"
    presence = owner.get("presence")
    proof = None if store is None or presence is None else gone_from(store, presence)
    return "unknown" if proof is None else "gone" if proof else "alive"


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


@cache
def _started_once(pid: int) -> str:
    """Return when the calling process started; it is the argument so that a forked child asks anew."""
    try:
        return _started(pid) or ""
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
