"""Hostile entries and one verb: run in a process of its own, with bounded memory, so that a hang is its.

Arguments: a folder to work in and a verb of `VERBS`. The verb meets each kind of entry; for each a line
of JSON has the kind, the exit code, what was said, and whether everything outside is as it was.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from eventlog.cli.application import application
from eventlog.projections.folder_layout import quarantine_name
from tests.folder.hostile import KINDS, SECRET, bound_memory, unharmed

LINE = '{"role": "user", "content": "hi"}\n'


def write_events(place: Path) -> Path:
    """Write the events 0 and 2 of a conversation; return their folder."""
    folder = place / "conv/events"
    folder.mkdir(parents=True)
    for number in (0, 2):
        said = {"content": f"said {number}"}
        event = {"id": number, "source": "user", "action": "message", "args": said}
        (folder / f"{number}.json").write_text(json.dumps(event))
    return folder


def named_file(place: Path, kind: str) -> list[str]:
    KINDS[kind](place / "chats.json", place / "outside")
    return [str(place / "chats.json")]


def event_file(place: Path, kind: str) -> list[str]:
    folder = write_events(place)
    KINDS[kind](folder / "1.json", place / "outside")
    return [str(folder.parent), "--quarantine", "--json"]


def quarantine_file(place: Path, kind: str) -> list[str]:
    (place / "chats.jsonl").write_text(LINE + "torn")
    KINDS[kind](place / quarantine_name("chats.jsonl", b"torn\n"), place / "outside")
    return [str(place / "chats.jsonl"), "--quarantine"]


VERBS: dict[str, tuple[str, Callable[[Path, str], list[str]]]] = {
    "import-file": ("import", named_file),
    "doctor-file": ("doctor", named_file),
    "import-events": ("import", event_file),
    "import-quarantine": ("import", quarantine_file),
}

ALL = [kind for kind in KINDS if kind != "device" or os.geteuid() == 0]


def main() -> None:
    """Try one verb on all kinds, each in a folder of its own."""
    place, verb = Path(sys.argv[1]), sys.argv[2]
    command, prepare = VERBS[verb]
    bound_memory()
    for kind in ALL:
        here = place / kind
        (here / "outside").mkdir(parents=True)
        (here / "outside/secret").write_bytes(SECRET)
        words = [command, *prepare(here, kind)]
        done = CliRunner().invoke(application, ["--store", f"sqlite:///{here}/log.db", *words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        said = done.stdout if "--json" in words else done.output
        print(json.dumps([kind, done.exit_code, said, unharmed(here)]), flush=True)


if __name__ == "__main__":
    main()
