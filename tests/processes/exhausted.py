"""Appends, attaches and adopts while descriptors, room or the permission to write are lacking.

Arguments: the trouble (``descriptors``, ``read-only``, ``full``), and a folder, which for the last two is
a file system of its own. Prints one line of JSON: for each thing tried, the error's class and text.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import eventlog
import eventlog.stores.memory
from eventlog import EventLogError, Log, Message

STORES = ("sqlite", "files")
LINE = '{"id": "a", "role": "user", "parts": [{"type": "text", "text": "hi"}]}\n'


def url_of(store: str, folder: Path) -> str:
    return f"sqlite:///{folder}/log.db" if store == "sqlite" else f"files:///{folder}/log"


def prepare(folder: Path) -> None:
    """Write a log of each kind, and a foreign session, while all is well."""
    for store in STORES:
        with eventlog.open(url_of(store, folder)) as log:
            log.session("s", create=True).append(Message.user("one"))
    (folder / "foreign").mkdir()
    (folder / "foreign/messages.jsonl").write_text(LINE + "torn")


def exhaust(folder: Path) -> list[int]:
    """Take all descriptors; return them."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken: list[int] = []
    while True:
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return taken


def make_read_only(folder: Path) -> list[int]:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    return []


def fill(folder: Path) -> list[int]:
    descriptor = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    except OSError:
        os.close(descriptor)
    return []


BEGIN: dict[str, Callable[[Path], list[int]]] = {
    "descriptors": exhaust,
    "read-only": make_read_only,
    "full": fill,
}


def tried(verb: Callable[[], object]) -> list[str]:
    """Return the class and the text of the error; anything but ours is raised."""
    try:
        verb()
    except EventLogError as error:
        return [type(error).__name__, str(error)]
    return ["", ""]


def append(store: str, folder: Path) -> None:
    with eventlog.open(url_of(store, folder)) as log:
        log.session("s").append(Message.user("x" * 20_000))


def main() -> None:
    trouble, folder = sys.argv[1], Path(sys.argv[2])
    if trouble != "descriptors":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True)
    prepare(folder)
    # All that a call imports is imported before: an import needs descriptors as well.
    with Log(eventlog.stores.memory.MemoryStore()) as warm:
        (folder / "warm").mkdir()
        warm.session("s", create=True).attach_folder(folder / "warm")
        shutil.copytree(folder / "foreign", folder / "warm-foreign")
        warm.adopt(folder / "warm-foreign", quarantine=True)
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        session.append(Message.user("one"))
        taken = BEGIN[trouble](folder)
        found = {store: tried(partial(append, store, folder)) for store in STORES}
        found["attach"] = tried(lambda: session.attach_folder(folder / "attached"))
        found["adopt"] = tried(lambda: log.adopt(folder / "foreign", "new", quarantine=True))
        for descriptor in taken:
            os.close(descriptor)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
