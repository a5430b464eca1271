"""The page about streams: its examples run; the command line shows what is being written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import eventlog
from eventlog import Message
from eventlog.cli.application import application

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(eventlog.__file__).with_name("docs") / "streams.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_the_examples_of_the_page_run() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    assert len(BLOCKS) == 2


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    url = f"sqlite:///{tmp_path}/log.db"
    with eventlog.open(url) as log:
        session = log.session("s", create=True)
        session.append(Message.user("hi"))
        begun = session.begin_message(message_id="m-1")
        session.append_chunk(*begun[:2], 1, "so far")
        yield url


def test_show_marks_what_is_being_written(url: str) -> None:
    shown = CliRunner().invoke(application, ["--store", url, "show", "s"], catch_exceptions=False)
    events = CliRunner().invoke(
        application, ["--store", url, "show", "s", "--events"], catch_exceptions=False
    )

    assert "streaming" in shown.stdout
    assert "so far" in shown.stdout
    assert "chunk 1: so far" in events.stdout
