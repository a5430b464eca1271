"""Hostile folders and one operation, run in a separate process, so that only that process can hang.

A trial (see `tests.trials`) is a verb of `VERBS`, a kind of entry of `KINDS`, some of `PLACES`, and
``nobody`` to give up the privileges of root first. The verb meets the entry in each of the places; for
each of them a line of JSON says how it ended, and whether everything outside is as it was.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

# Once here rather than in every child, and while the privileges to read them are there.
import sqlite_utils  # noqa: F401
import structlog  # noqa: F401

import eventlog
import eventlog.adoption.adopting
import eventlog.folder.attaching
import eventlog.stores.sqlite
from eventlog import EventLogError, Log, Message
from tests.trials import serve

MEMORY = 1 << 30
"""Bytes of address space beyond what the process begins with: a file of a terabyte does not fit."""

SECRET = b"outside: not to be read, not to be changed\n"

Put = Callable[[Path, Path], None]
"""Puts an entry at a path; the second path is that of the file outside, or of its folder."""


def clear(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        path.rename(path.with_name(f"{path.name}-moved"))


def link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "secret")


def link_to_folder(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def dangling_link(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "made-through-a-link")


def endless_link(path: Path, outside: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_itself(path: Path, outside: Path) -> None:
    path.symlink_to(path.name)


def fifo(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path, outside: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # A socket's path has a hundred bytes at most.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    os.chdir(here)


def device(path: Path, outside: Path) -> None:
    """Only root makes one: /dev/zero."""
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def hard_link(path: Path, outside: Path) -> None:
    path.hardlink_to(outside / "secret")


def sparse(path: Path, outside: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def in_a_folders_place(path: Path, outside: Path) -> None:
    path.mkdir()
    (path / "in").write_bytes(b"x")


def odd_names(path: Path, outside: Path) -> None:
    """Names beside the file that are no UTF-8, have a line end, or would clear a terminal."""
    for name in (b"\xff\xfe", b"two\nlines", b"\x1b[2J", b"-rf", "\u202e".encode(), b"a" * 255):
        Path(os.fsdecode(os.fsencode(path.parent) + b"/" + name)).write_bytes(b"odd")


KINDS: dict[str, Put] = {
    put.__name__: put
    for put in (
        link,
        link_to_folder,
        dangling_link,
        endless_link,
        link_to_itself,
        fifo,
        unix_socket,
        device,
        hard_link,
        sparse,
        in_a_folders_place,
        odd_names,
    )
}

QUARANTINED = ".quarantined-0123456789abcdef-messages.jsonl"

PLACES = (
    "messages.jsonl",
    ".meta.json",
    ".overview.md",
    ".eventlog.lock",
    ".meta.json.eventlog-tmp",
    ".messages.jsonl.eventlog-tmp",
    QUARANTINED,
    "history",
    "history/archive_001",
    "history/archive_001/messages.jsonl",
    "history/archive_001/.done",
    "history/archive_007",
    "tool-results",
    "notes.txt",
)


def write_folder(folder: Path, session: eventlog.Session) -> None:
    """Write a folder that follows a session with an archive."""
    session.append(Message.user("one", id="m1"))
    session.commit()
    session.append(Message.user("two", id="m2"))
    session.materialize(folder)


# ---- verbs ------------------------------------------------------------------------------------


def attach_and_append(log: Log, folder: Path) -> str:
    session = log.session("chat")
    try:
        session.attach_folder(folder)
    finally:
        session.append(Message.user("three", id="m3"))
    return session.folder.problem or "ok" if session.folder else "no folder"


def follow(log: Log, folder: Path) -> str:
    """The folder was attached and sound, and became hostile while it is followed."""
    session = log.session("chat")
    session.attach_folder(folder)
    put_in_folder()
    session.append(Message.user("three", id="m3"))
    session.commit()
    session.append(Message.user("four", id="m4"))
    assert [message.id for message in session.history()] == ["m1", "m2", "m3", "m4"]
    assert session.folder is not None
    return session.folder.problem or "ok"


def put_nothing() -> None:
    """The folder is hostile from the start."""


put_in_folder: Callable[[], None] = put_nothing


def materialize(log: Log, folder: Path) -> str:
    log.session("chat").materialize(folder)
    return "ok"


def check(log: Log, folder: Path) -> str:
    return "ok" if log.session("chat").heal(folder, check=True).healed else "findings"


def heal(log: Log, folder: Path) -> str:
    session = log.session("chat")
    session.heal(folder)
    assert session.heal(folder, check=True).findings == ()
    assert all((folder / name).is_file() for name in ("messages.jsonl", ".meta.json"))
    return "ok"


def adopt(log: Log, folder: Path) -> str:
    log.adopt(folder, "adopted", quarantine=True)
    return "ok"


VERBS: dict[str, Callable[[Log, Path], str]] = {
    verb.__name__: verb for verb in (attach_and_append, follow, materialize, check, heal, adopt)
}


def prepare(place: Path) -> None:
    """Write a log, its folder, and what is outside."""
    place.mkdir()
    outside = place / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(SECRET)
    with eventlog.open(f"sqlite:///{place}/log.db") as log:
        write_folder(place / "folder", log.session("chat", create=True))


def put(place: Path, where: str, kind: str) -> None:
    """Put a hostile entry into the folder."""
    target = place / "folder" / where
    if kind != "odd_names":
        clear(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    KINDS[kind](target, place / "outside")


def give_up_privileges(place: Path) -> None:
    for path in (place, *place.rglob("*")):
        os.chown(path, 65_534, 65_534, follow_symlinks=False)
    os.setgroups([])
    os.setgid(65_534)
    os.setuid(65_534)


def bound_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def run(place: Path, verb: str) -> str:
    """Do it; return how it ended. Anything but an answer or an error of ours is raised."""
    try:
        with eventlog.open(f"sqlite:///{place}/log.db") as log:
            return VERBS[verb](log, place / "folder")
    except EventLogError as error:
        return f"{type(error).__name__}: {error}"


def unharmed(place: Path) -> bool:
    outside = place / "outside"
    return sorted(os.listdir(outside)) == ["secret"] and (outside / "secret").read_bytes() == SECRET


def try_verb(place: Path, verb: str, kind: str, places: list[str], user: str = "") -> None:
    """Try one operation on one kind of entry in some places, each in a new folder."""
    global put_in_folder  # noqa: PLW0603 - what the wrapped functions call
    prepare(place / "prepared")
    for number, where in enumerate(places):
        shutil.copytree(place / "prepared", place / str(number))
        if verb != "follow":
            put(place / str(number), where, kind)
    if user == "nobody":
        give_up_privileges(place)
    bound_memory()
    for number, where in enumerate(places):
        put_in_folder = partial(put, place / str(number), where, kind)
        ended = run(place / str(number), verb)
        print(json.dumps([where, ended, unharmed(place / str(number))]), flush=True)


if __name__ == "__main__":
    serve(try_verb)
