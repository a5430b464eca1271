"""Hostile entries in the folder of a files log, in a process of its own with bounded memory.

A trial (see `tests.trials`) is a kind of entry, a share of the places and moments (every how manyth, and
the number of the first), and ``nobody`` to give up the privileges of root first. The log meets the entry
in each of `places`, as it is opened and while it is in use; each line of JSON says where, when, how it
ended, and whether everything outside the folder is as it was.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

# While the privileges to read it are there, and once for all trials.
import structlog  # noqa: F401

import eventlog
import eventlog.stores.files
from eventlog import EventLogError, Log, Message
from tests.folder.hostile import KINDS, SECRET, bound_memory, give_up_privileges, unharmed
from tests.trials import serve

LARGE = "x" * 30_000

MOMENTS = ("before", "during")


def write_log(folder: Path) -> None:
    """Write a log with a segment, a blob, and a run of the index."""
    part = {"type": "tool", "tool_id": "t", "tool_name": "cat", "tool_status": "completed"}
    message = {"id": "large", "role": "assistant", "parts": [{**part, "tool_output": LARGE}]}
    with eventlog.open(f"files:///{folder}?synchronous=off") as log:
        session = log.session("chat", create=True)
        session.append(Message.model_validate(message))
        session.extend([Message.user("x", id=f"m{number}") for number in range(300)])
        session.commit()


def places(folder: Path) -> Iterator[str]:
    """Yield all files and folders of a log, and the names that it will give next."""
    for path in sorted(folder.rglob("*")):
        yield path.relative_to(folder).as_posix()
    yield from ("segments/0000000002.log", "blobs/00", "index/tail", "quarantine/x.torn")


def use(log: Log) -> None:
    """Read, write, and look the log over."""
    session = log.session("chat")
    session.append(Message.user("more"))
    assert len(session.tail()) >= 1
    assert session.tool_output("large", "t").text == LARGE
    log.verify("chat")
    log.store.check()


def first(log: Log) -> str:
    return log.session("chat").id


def try_with(here: Path, put: partial[None], moment: str) -> str:
    """Do it; return how it ended. Anything but an answer or an error of ours is raised."""
    url = f"files:///{here / 'log'}?segment_bytes=100000"
    if moment == "before":
        put()
    try:
        with eventlog.open(url) as log:
            if moment == "during":
                first(log)
                put()
            use(log)
        with eventlog.open(f"{url}&mode=ro") as log:
            first(log)
    except EventLogError as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


def put(target: Path, kind: str, outside: Path) -> None:
    """Put an entry in the place of what is there; a folder goes where the log does not see it."""
    if kind != "odd_names" and os.path.lexists(target):
        target.rename(outside.parent / "moved")
    target.parent.mkdir(parents=True, exist_ok=True)
    KINDS[kind](target, outside)


def try_kind(place: Path, kind: str, every: int, first_number: int, user: str = "") -> None:
    """Try one kind of entry in a share of the places, each time in a new folder."""
    write_log(place / "log")
    found = [(where, moment) for where in places(place / "log") for moment in MOMENTS]
    assert len(found) >= 15 * len(MOMENTS)
    tried = found[first_number % every :: every]
    for number in range(len(tried)):
        here = place / str(number)
        (here / "outside").mkdir(parents=True)
        (here / "outside/secret").write_bytes(SECRET)
        shutil.copytree(place / "log", here / "log")
    if user == "nobody":
        give_up_privileges(place)
    bound_memory()
    for number, (where, moment) in enumerate(tried):
        here = place / str(number)
        ended = try_with(here, partial(put, here / "log" / where, kind, here / "outside"), moment)
        print(json.dumps([where, moment, ended, unharmed(here)]), flush=True)


if __name__ == "__main__":
    serve(try_kind)
