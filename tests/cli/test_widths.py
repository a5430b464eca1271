"""U5: at 80 and at 200 columns of a real terminal no id, state or time is broken, in any table."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from rich.cells import cell_len
from rich.console import Console

import eventlog
import eventlog.cli
from eventlog import Finalizer, Message, NonRetryableError, Worker
from eventlog.cli.tables import Rows
from eventlog.sqlite_driver import sqlite3

SESSION: Final = "0198a6c2-1111-7000-8000-00000000000a"
OTHER: Final = "a-session-with-a-name-of-more-than-eighty-columns-" + 40 * "x"
ACTOR: Final = "ada.lovelace@example.com"
FAILURE: Final = "prompt is too long: 210,000 tokens, and the model takes 200,000 of them at most"
_STYLE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

COMMANDS: Final[dict[str, list[tuple[str, ...]]]] = {
    "commit": [("commit", "--all")],
    "demo": [],  # Its table is that of `show --events` of sessions with short names.
    "diff": [("diff", f"{SESSION}@2", "6"), ("blame", SESSION, "meta.pending_tokens")],
    "docs": [("docs",)],
    "events": [("events",), ("events", SESSION)],
    "find": [("find", "ticket/7")],
    "heal": [("heal", SESSION, "folder", "--check")],
    "import_": [("doctor", "torn.jsonl"), ("import", "talk.jsonl", "--session", SESSION + "b")],
    "import_folder": [("doctor", "foreign")],
    "ls": [("ls",), ("ls", "--counts")],
    "runs": [("runs",)],
    "show": [("show", SESSION), ("show", SESSION, "--events")],
    "tasks": [("tasks",)],
    "turns": [("turns",)],
    "timeline": [("timeline", SESSION)],
    "verify": [("verify", "gone")],
    "why": [("why", f"{SESSION}@6"), ("why", f"{SESSION}@6", "--tree")],
}
"""For each module of the command line that prints a table, calls that do; a new one is added here."""

WIDTHS: Final = (80, 200)


class Ticket(eventlog.Event, type="widths.ticket", keys="ticket/{number}"):
    """An event with an index key."""

    number: str


def refuse(request: object) -> eventlog.Summary:
    raise NonRetryableError(FAILURE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log whose sessions have long names, failed archives and long texts."""
    folder = tmp_path_factory.mktemp("widths")
    with eventlog.open(f"sqlite:///{folder}/agent.db") as log:
        for name in ("chat-1", SESSION, OTHER):
            session = log.session(name, create=True, owner="ada")
            session.append(Message.user("Why did the deployment fail? " * 9), actor=ACTOR)
            call = Message.call("read_log", {"service": "api"})
            session.append(Message.assistant("Let me look.", tools=(call,)), actor=ACTOR)
            session.append(Message.user("Please do."), actor=ACTOR)
            session.record(Ticket(number="7"), actor=ACTOR)
            session.commit(keep_recent=0, actor=ACTOR)
            with suppress(ConnectionError), session.turn(f"turn-of-{SESSION}"):
                raise ConnectionError(FAILURE)
        Worker(log, Finalizer(refuse)).run_once()
        log.session(SESSION).attach_folder(folder / "folder")
        for name in (SESSION, OTHER):
            log.session(name).enqueue(Message.user("Look into it."), actor=ACTOR)
        log.session("gone", create=True).append(Message.user("farewell"))
    with closing(sqlite3.connect(folder / "agent.db")) as connection, connection:
        connection.execute("UPDATE records SET data = replace(data, 'farewell', 'welcome!')")
    (folder / "folder/messages.jsonl").write_text("{}\n")
    (folder / "torn.jsonl").write_text('{"role": "user", "content": "one"}\n{"role": "us')
    (folder / "talk.jsonl").write_text('{"role": "user", "content": "one"}\n')
    (folder / "foreign").mkdir()
    (folder / "foreign/messages.jsonl").write_text('{"id": "m", "role"')
    return folder


RUN_ALL: Final = """
import json, sys
from eventlog.cli.application import application

for words in json.loads(sys.argv[1]):
    print("\\f", flush=True)
    try:
        application.main(words, prog_name="eventlog")
    except SystemExit as ended:
        assert ended.code in (0, 1, 4), (words, ended.code)
"""


def on_a_terminal(folder: Path, width: int, commands: list[tuple[str, ...]]) -> list[str]:
    """Run commands in turn on a terminal of a width; return what each one showed, without colours."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(folder)
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        root = str(Path(eventlog.__file__).parents[1])
        names = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
        kept = {name: value for name, value in os.environ.items() if name not in names}
        store = f"sqlite:///{folder}/agent.db"
        os.execve(
            sys.executable,
            [sys.executable, "-c", RUN_ALL, json.dumps(commands)],
            {**kept, "PYTHONPATH": root, "EVENTLOG_STORE": store, "TERM": "xterm"},
        )
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # EIO: the terminal has no other end any more.
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert status == 0, shown.decode()
    text = _STYLE.sub("", shown.decode()).replace("\r\n", "\n")
    return text.split("\f\n")[1:]


def broken(shown: str) -> list[str]:
    """Return the ids, states, types and times of which an end is on another line than the start."""
    lines = ["".join(line.split()) for line in shown.splitlines()]
    found: list[str] = []
    for name in NAMES:
        whole = sum(len(re.findall(name, line)) for line in lines)
        if len(re.findall(name, "".join(lines))) != whole:
            found.append(name)
    return found


NAMES: Final = (
    SESSION, ACTOR, "archive_001", "terminal_failed", "message_appended", "session_created",
    "commit_prepared", "widths.ticket", "archive_failed", r"meta\.[a-z_]{3,}",
    r"\d{4}-\d\d-\d\dT?\d\d:\d\d:\d\d",
)  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_no_table_breaks_an_id_a_state_or_a_time(folder: Path, width: int) -> None:
    calls = [call for each in COMMANDS.values() for call in each]
    shown = on_a_terminal(folder, width, calls)

    assert len(shown) == len(calls)
    assert OTHER in shown[calls.index(("ls",))]  # Wider than the terminal, and in one piece.
    for call, text in zip(calls, shown, strict=True):
        assert text.strip(), call
        assert broken(text) == [], (call, text)
        wide = [line for line in text.splitlines() if cell_len(line) > width]
        assert all(OTHER in line or "/" in line for line in wide), (call, wide)


def test_every_module_that_prints_a_table_is_tried() -> None:
    folder = Path(eventlog.cli.__path__[0])
    printing = {
        path.stem for path in folder.glob("*.py") if "terminal.table(" in path.read_text("utf-8")
    }
    assert printing == set(COMMANDS)


def test_the_search_finds_what_is_broken() -> None:
    assert broken(f"x {SESSION[:20]}\n  {SESSION[20:]}") == [SESSION]
    assert broken("2026-01-01\n  00:00:00") == [NAMES[-1]]
    assert broken(f"{SESSION} 2026-01-01 00:00:00") == []


# ---- the layout -------------------------------------------------------------------------------

COLUMNS: Final = ("session", "state", "messages", "what")


def laid_out(width: int, *rows: tuple[Any, ...], **options: Any) -> str:
    """Return rows as they are laid out for a terminal of a width."""
    console = Console(width=width, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(Rows(COLUMNS, rows, ["what"], **options), crop=False)
    return captured.get()


def test_rows_that_fit_are_a_table_whose_sentences_are_wrapped() -> None:
    assert laid_out(
        50, ("a", "open", 3, "a sentence of more words than fit"), ("b", "retry", 12, None)
    ) == (
        "session  state  messages  what\n"
        "──────────────────────────────────────────────────\n"
        "a        open          3  a sentence of more words\n"
        "                          than fit\n"
        "b        retry        12\n"
    )


def test_a_row_without_room_becomes_a_block_and_the_others_stay_a_table() -> None:
    rows = [
        ("a", "open", 3, "short"),
        ("n" * 30, "retry", 4, "a longer sentence"),
        ("b", "open", 5, ""),
    ]
    assert laid_out(50, *rows) == (
        "session  state  messages  what\n"
        "───────────────────────────────\n"
        "a        open          3  short\n"
        f"{'n' * 30}  state retry\n"
        "  messages 4\n"
        "  a longer sentence\n"
        "b        open          5\n"
    )


def test_most_rows_without_room_make_all_of_them_blocks() -> None:
    rows = [("n" * 40, "open", 3, ""), ("m" * 40, "open", 4, ""), ("b", "open", 5, "")]
    assert laid_out(50, *rows).splitlines()[-1] == "b  state open  messages 5"
    assert "session  state" not in laid_out(50, *rows)


def test_an_id_wider_than_the_terminal_is_left_whole() -> None:
    assert laid_out(20, ("n" * 60, "open", 3, "")) == f"{'n' * 60}\n  state open\n  messages 3\n"


@pytest.mark.parametrize("width", [1, 2, 5, 13, 29, 53, 97])
def test_at_no_width_is_a_name_broken_or_a_row_lost(width: int) -> None:
    rows = [
        (f"id-{'x' * size}-{size}", "terminal_failed", size, "why " * size) for size in range(30)
    ]
    shown = laid_out(width, *rows)
    for name, state, _, _ in rows:
        assert name in shown
        assert shown.count(state) == len(rows)
    assert laid_out(width, *rows[:1])


def test_a_table_of_no_rows_has_its_headings() -> None:
    assert laid_out(80).splitlines()[0] == "session  state  messages  what"


def test_a_wide_character_counts_as_two_columns() -> None:
    shown = laid_out(80, ("会話", "open", 3, "x"), ("abcd", "open", 4, "y"))
    assert shown.splitlines()[2:] == [
        "会話     open          3  x",
        "abcd     open          4  y",
    ]


def test_a_row_that_comes_alone_is_a_block() -> None:
    assert laid_out(200, ("a", "open", 3, "short"), as_blocks=True) == (
        "a  state open  messages 3\n  short\n"
    )
