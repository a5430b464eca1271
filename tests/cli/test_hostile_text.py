"""G4: no text in a log can control the terminal or hide there, whatever the command."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

import eventlog
import eventlog.cli
from eventlog import Message
from eventlog.cli.application import application
from eventlog.cli.command import Invocation
from eventlog.cli.terminal import VisibleConsole
from eventlog.cli.watching import LiveWatcher, table_of_sessions

HOSTILE: Final = (
    "\x1b]52;c;Y3VybA==\x07 \x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\ \x1b[2J\x9b31m \x85 "
    "\u202eevil\u202c \u2066x\u2069 a\u2028b\u2029c \ufeff\u200b\u200d \U000e0041 \x7f \x00 \r"
)
"""Escapes of the clipboard, of links and screens, C1, bidi, separators, invisible and tag characters."""

NAME: Final = "s\u202e1"
"""A session id may hold format characters."""

ARCHIVE: Final = "archive_001"
_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")


def hidden_in(text: str) -> list[str]:
    """Return the characters that steer or hide; colours of our own are none."""
    plain = _STYLE.sub("", text)
    return [
        hex(ord(char))
        for char in plain
        if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs")
    ]


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(application, obj=Invocation())
    for name in application.list_commands(context):
        found = application.get_command(context, name)
        assert found is not None
        yield name, found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log whose every text is hostile, and a file of such chats."""
    folder = tmp_path_factory.mktemp("hostile")
    part = {"type": "tool", "tool_id": "t", "tool_name": HOSTILE, "tool_status": "completed"}
    tool: dict[str, Any] = {**part, "tool_input": {HOSTILE: HOSTILE}, "tool_output": HOSTILE * 300}
    with eventlog.open(f"sqlite:///{folder / 'log.db'}") as log:
        session = log.session(
            NAME, create=True, owner="o", workspace="w\u202e", provider=HOSTILE, model=HOSTILE
        )
        for _ in range(2):
            session.extend(
                [
                    Message.user(f"[x](https://evil.example) # {HOSTILE}", author=HOSTILE),
                    Message.model_validate(
                        {"role": "assistant", "parts": [tool, {"type": HOSTILE, HOSTILE: HOSTILE}]}
                    ),
                ]
            )
            session.commit()
        session.append(Message.user(HOSTILE, id="live"))
        session.append(Message.model_validate({"id": "m", "role": "assistant", "parts": [tool]}))
    (folder / "chats.json").write_text(
        json.dumps({"messages": [{"role": "user", "content": HOSTILE}]})
    )
    (folder / "evil\u202e/history").mkdir(parents=True)
    for odd in ("a\x1b[2Jb", "two\nlines", "\u202etxt.exe", "\udcff", "history/\x9b31m"):
        Path(os.fsdecode(f"{folder}/evil\u202e/{odd}".encode(errors="surrogateescape"))).touch()
    (folder / "evil\u202e/messages.jsonl").write_text(
        json.dumps({"id": HOSTILE, "role": "user", "parts": [{"type": "text", "text": HOSTILE}]})
        + "\n"
        + HOSTILE.replace("\0", "")
        + "\n"
    )
    (folder / "torn.jsonl").write_text('{"role": "user", "content": "' + HOSTILE + "\n")
    return folder


def values(folder: Path) -> dict[str, Callable[[], str]]:
    """What the arguments of commands are given, by their names; a new name must be added here."""
    return {
        "session_id": lambda: NAME,
        "key": lambda: f"key/{NAME}",
        "text": lambda: HOSTILE.replace("\0", ""),
        "archive_id": lambda: ARCHIVE,
        "path": lambda: str(folder / "chats.json"),
        "page": lambda: "rules",
        "place": lambda: f"{NAME}@6",
        "first": lambda: f"{NAME}@2",
        "second": lambda: "6",
        "into": lambda: f"{NAME} again",
        "expression": lambda: "meta.total_message_count > 1",
        "session_ids": lambda: NAME,
        "folder": lambda: str(folder / "out"),
        "source": lambda: f"sqlite:///{folder / 'log.db'}",
        "destination": lambda: f"sqlite:///{folder}/copy\u202e.db",
    }


def lines_of(name: str, command: click.Command, folder: Path) -> Iterator[list[str]]:
    """Yield command lines: bare, with each flag, and with a hostile value for each option."""
    known = values(folder)
    if name in ("materialize", "heal"):
        known["path"] = lambda: str(folder / "out")
    arguments = [
        known[str(parameter.name)]()
        for parameter in command.params
        if isinstance(parameter, click.Argument) and (parameter.required or name != "doctor")
    ]
    ending = ["--once"] if name == "work" else []
    yield [*ending, "--", *arguments]
    for option in command.params:
        if not isinstance(option, click.Option) or option.name in (
            "watch",
            "follow",
            "once",
            "store",
        ):
            continue
        if option.is_flag:
            yield [option.opts[0], *ending, "--", *arguments]
        else:
            for value in (HOSTILE.replace("\0", ""), "m:t", "1", "m"):
                yield [option.opts[0], value, *ending, "--", *arguments]
    if name == "doctor":
        for path in ("chats.json", "torn.jsonl", "evil\u202e", "gone\u202e\x1b[2J"):
            yield ["--", str(folder / path)]
            yield ["--json", "--", str(folder / path)]
    if name == "import":
        yield ["--quarantine", "--", str(folder / "torn.jsonl")]
        yield ["--quarantine", "--", str(folder / "evil\u202e")]
        yield ["--quarantine", "--json", "--", str(folder / "evil\u202e")]
    if name == "show":
        yield ["--output", "m:t", "--", *arguments]
        yield ["--output", "m:t", "--find", "evil", "--", *arguments]
        yield ["--output", "m:t", "--json", "--", *arguments]
        yield ["--events", "--json", "--", *arguments]
    yield ["--json", *ending, "--", *[f"{argument}\u202ex" for argument in arguments]]
    yield [*ending, "--", *[f"{argument}\x1b[2J\u2028x" for argument in arguments]]


STAYING = {"demo", "serve"}
"""Commands that tell a story of their own, or run until they are stopped; tests of theirs read them."""


@pytest.mark.parametrize("name", [name for name, _ in commands() if name not in STAYING])
@pytest.mark.parametrize("colours", [False, True])
def test_no_output_of_any_command_has_a_hidden_character(
    name: str, colours: bool, hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # Some values are taken for the name of a file to write.
    folder = tmp_path / "x"
    shutil.copytree(hostile, folder)
    command = dict(commands())[name]
    environment = {"FORCE_COLOR": "1" if colours else None, "COLUMNS": "80"}
    tried = 0
    for words in lines_of(name, command, folder):
        line = ["--store", f"sqlite:///{folder / 'log.db'}", name, *words]
        result = CliRunner().invoke(application, line, env=environment, input="")
        said = result.stdout + result.stderr
        tried += 1

        assert hidden_in(said) == [], (line, said)
        assert result.exception is None or isinstance(result.exception, SystemExit), line
    assert tried > 3


@pytest.mark.parametrize(
    "words",
    [["--store", f"mysql://{HOSTILE}"], ["--store", f"sqlite:///gone{HOSTILE}"], [f"ls{HOSTILE}"],
     [f"--no{HOSTILE}"], ["--help"], ["demo", f"--no{HOSTILE}"], ["demo", HOSTILE]],
)  # fmt: skip
def test_no_error_of_the_command_line_itself_has_a_hidden_character(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = [word.replace("\0", "") for word in words]
    result = CliRunner().invoke(application, [*line, "ls"] if "--store" in words else line)

    assert hidden_in(result.output) == []
    assert result.output


def test_a_table_that_is_brought_up_to_date_has_no_hidden_character(hostile: Path) -> None:
    shown = io.StringIO()
    console = VisibleConsole(file=shown, force_terminal=True, width=200)
    with eventlog.open(f"sqlite:///{hostile / 'log.db'}") as log:
        with LiveWatcher(log, console).live:
            pass
        console.print(table_of_sessions(log.tasks()))

    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    assert "s\\u202e1" in plain
    assert hidden_in(plain.replace("\r", "")) == []


def test_only_one_class_prints_for_people() -> None:
    """Each other console of rich would show text as it is."""
    sources = {
        path: path.read_text("utf-8") for path in Path(eventlog.cli.__path__[0]).rglob("*.py")
    }
    makers = {path.name for path, text in sources.items() if re.search(r"\bConsole\(", text)}
    assert makers == set()
    assert issubclass(VisibleConsole, Console)


def test_what_is_hidden_is_shown_as_an_escape(hostile: Path) -> None:
    line = ["--store", f"sqlite:///{hostile / 'log.db'}", "show", NAME]
    said = CliRunner().invoke(application, line).stdout

    assert hidden_in(HOSTILE)
    assert "\\x1b]52;c;" in said
    assert "\\u202eevil" in said
    assert "\\U000e0041" in said


def test_torn_lines_are_refused_visibly(hostile: Path, tmp_path: Path) -> None:
    line = ["--store", f"sqlite:///{tmp_path / 'a.db'}", "import", str(hostile / "torn.jsonl")]
    result = CliRunner().invoke(application, line)

    assert result.exit_code
    assert hidden_in(result.stdout + result.stderr) == []


def test_escapes_in_json_are_read_back_as_they_were(hostile: Path) -> None:
    line = ["--store", f"sqlite:///{hostile / 'log.db'}", "show", NAME, "--json"]
    document = json.loads(CliRunner().invoke(application, line).stdout)

    assert any(HOSTILE in text for text in _texts(document))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
