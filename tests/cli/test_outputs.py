"""``show --output``: tool outputs that are too large for their message (M6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

OUTPUT = "".join(f"line {number}\n" for number in range(10_000))


@pytest.fixture
def kept(run: CommandLine) -> CommandLine:
    """A log with one large output, of the call ``call-1`` in the message ``m1``."""
    answer = run(
        *("append", "chat-1", "-", "--create", "--role", "tool", "--tool-id", "call-1"),
        *("--id", "m1"),
        stdin=OUTPUT + "end",
    )
    assert answer.code == 0, answer.stderr
    return run


def test_show_has_a_preview_and_says_how_to_read_the_rest(kept: CommandLine) -> None:
    shown = kept("show", "chat-1").stdout

    assert "line 0" in shown
    assert "line 5000" not in shown
    assert "… of 98,893 characters (--output m1 call-1 shows them)" in shown


def test_append_answers_with_the_preview(run: CommandLine) -> None:
    words = ("--create", "--role", "tool", "--tool-id", "call-1", "--id", "m1")
    document = run.json("append", "chat-1", "-", *words, stdin=OUTPUT)

    assert document["message"] == run.json("show", "chat-1")["tail"][0]
    assert len(document["message"]["parts"][0]["tool_output"]) <= 2_000


def test_an_output_is_printed_to_the_letter(kept: CommandLine) -> None:
    assert kept("show", "chat-1", "--output", "m1", "call-1").stdout == OUTPUT + "end\n"


def test_a_piece_of_an_output_is_printed(kept: CommandLine) -> None:
    piece = ("--output", "m1", "call-1", "--offset", "98886", "--limit", "4")

    assert kept("show", "chat-1", *piece).stdout == OUTPUT[98_886:]
    assert kept.json("show", "chat-1", *piece) == {
        "text": OUTPUT[98_886:98_890],
        "offset": 98_886,
        "total_characters": 98_893,
        "next_offset": 98_890,
    }


def test_a_text_is_found_in_an_output(kept: CommandLine) -> None:
    search = ("--output", "m1", "call-1", "--find", "line 77", "--limit", "2")

    found = kept.json("show", "chat-1", *search)
    assert [match["offset"] for match in found] == [
        OUTPUT.index("line 77\n"),
        OUTPUT.index("line 770\n"),
    ]
    shown = kept("show", "chat-1", *search).stdout
    assert "line 75 line 76 line 77 line 78" in shown


def test_an_output_that_is_not_there_is_not_found(kept: CommandLine) -> None:
    answer = kept("show", "chat-1", "--output", "m1", "call-2")

    assert answer.code == 3
    assert "the message has outputs of ['call-1']" in answer.stderr


@pytest.mark.parametrize("words", [("--offset", "1"), ("--limit", "1"), ("--find", "x")])
def test_what_goes_with_an_output_alone_is_refused(
    kept: CommandLine, words: tuple[str, ...]
) -> None:
    answer = kept("show", "chat-1", *words)

    assert answer.code == 2
    assert "--output" in answer.stderr
