"""``append``, ``ls`` and ``show``: what scripts depend on, and what people see."""

from __future__ import annotations

import os
import pty
import re
from typing import TYPE_CHECKING, Any

import eventlog
from eventlog import Event, Message

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


class Deployed(Event, type="clitest.deployed"):
    """An event of a user's own."""

    service: str


def say(run: CommandLine, *texts: str, session: str = "chat-1") -> None:
    """Append messages with the ids m1, m2 and so on."""
    for number, text in enumerate(texts, 1):
        answer = run("append", session, text, "--create", "--id", f"m{number}")
        assert answer.code == 0, answer.stderr


# ---- append -----------------------------------------------------------------------------------


def test_append_answers_with_the_message_as_stored(run: CommandLine) -> None:
    document = run.json("append", "chat-1", "hello", "--create", "--role", "assistant")
    assert (document["session_id"], document["version"]) == ("chat-1", 2)
    assert document["message"] == run.json("show", "chat-1")["tail"][0]
    assert document["message"]["role"] == "assistant"
    assert document["message"]["parts"] == [{"type": "text", "text": "hello"}]


def test_append_reads_stdin_for_a_dash(run: CommandLine) -> None:
    run("append", "chat-1", "-", "--create", stdin="two\nlines ☃\n")
    (message,) = run.json("show", "chat-1")["tail"]
    assert message["parts"] == [{"type": "text", "text": "two\nlines ☃"}]


def test_append_refuses_stdin_that_is_not_utf_8(run: CommandLine) -> None:
    answer = run("append", "chat-1", "-", "--create", stdin=b"\xff\xfe")
    assert answer.code == 2
    assert "UTF-8" in answer.stderr
    assert not run.database().exists()


def test_a_message_with_an_id_is_stored_once(run: CommandLine) -> None:
    """P8."""
    say(run, "hello")
    say(run, "hello")
    assert run.json("show", "chat-1")["version"] == 2
    assert run("append", "chat-1", "other", "--id", "m1").code == 4


def test_a_result_is_appended_under_the_call_it_answers(run: CommandLine) -> None:
    run("append", "chat-1", "3 °C", "--create", "--role", "tool", "--tool-id", "call-1")
    (message,) = run.json("show", "chat-1")["tail"]
    assert message["role"] == "tool"
    (part,) = message["parts"]
    assert (part["type"], part["tool_id"], part["tool_output"]) == ("tool", "call-1", "3 °C")


def test_append_creates_a_session_only_when_asked_to(run: CommandLine) -> None:
    say(run, "hello")
    assert run("append", "chat-2", "hello").code == 3
    assert [entry["session_id"] for entry in run.json("ls")] == ["chat-1"]


# ---- ls ---------------------------------------------------------------------------------------


def test_ls_has_the_metadata_of_every_session(run: CommandLine) -> None:
    say(run, "one", "two", session="b")
    say(run, "one", session="a")
    run("commit", "b", "--keep", "1")
    first, second = run.json("ls")
    assert (first["session_id"], first["version"], first["message_count"]) == ("a", 2, 1)
    assert (second["session_id"], second["version"], second["commit_count"]) == ("b", 5, 1)
    assert (second["message_count"], second["total_message_count"]) == (1, 2)
    meta = run.json("show", "b")["meta"]
    assert second == {"session_id": "b", "version": 5, **meta}


def test_ls_lists_deleted_sessions_with_their_state(run: CommandLine) -> None:
    say(run, "hello")
    with eventlog.open(run.store) as log:
        log.session("chat-1").delete()
    assert [entry["status"] for entry in run.json("ls")] == ["deleted"]
    assert "deleted" in run("ls").stdout


def test_ls_lists_the_others_beside_a_damaged_entry(run: CommandLine) -> None:
    for session in ("a", "b", "c"):
        say(run, "hello", session=session)
    with eventlog.open(run.store) as log:
        log.store.put_index([("session/b", b"{")])
    answer = run("ls")
    assert answer.code == 5
    assert [line.split()[:2] for line in answer.stdout.splitlines()[1:]] == [
        ["a", "open"], ["b", "damaged"], ["c", "open"],
    ]  # fmt: skip
    assert "`eventlog doctor --rebuild-index`" in answer.stderr
    assert run("doctor", "--rebuild-index").code == 0
    assert run("ls").code == 0


def test_ls_of_an_empty_log_says_what_to_do(run: CommandLine) -> None:
    eventlog.open(run.store).close()
    assert run.json("ls") == []
    assert "eventlog import" in run("ls").stdout


# ---- show -------------------------------------------------------------------------------------


def test_show_has_every_message_of_archives_in_any_state(run: CommandLine, finalizers: str) -> None:
    """A failed, a completed and a pending archive, and the live tail."""
    with eventlog.open(run.store) as log:
        session = log.session("chat-1", create=True, failed_archives="skip")
        session.append(Message.user("one", id="m1"))
        session.commit()
    run("work", "--once", "--finalizer", f"{finalizers}:refusing")
    say(run, "one", "two", "three")
    run("commit", "chat-1", "--keep", "1")
    run("work", "--once")
    run("append", "chat-1", "four", "--id", "m4")
    run("commit", "chat-1", "--keep", "1")
    document = run.json("show", "chat-1")
    archives = document["archives"]
    assert [archive["state"] for archive in archives] == [
        "terminal_failed",
        "completed",
        "pending",
    ]
    assert [[m["id"] for m in archive["messages"]] for archive in archives] == [
        ["m1"],
        ["m2"],
        ["m3"],
    ]
    assert [message["id"] for message in document["tail"]] == ["m4"]
    assert [archive["overview"] is None for archive in archives] == [True, False, True]
    assert document["overview"] == archives[1]["overview"]
    assert archives[0]["error"].startswith("NonRetryableError: prompt is too long")


def test_show_keeps_unknown_fields_and_parts(run: CommandLine) -> None:
    """M2."""
    message: dict[str, Any] = {
        "id": "m1",
        "role": "user",
        "parts": [{"type": "audio", "seconds": 3, "notes": [1, {"a": None}]}],
        "created_at": "2026-01-02T03:04:05+01:00",
        "mood": {"is": "good"},
    }
    with eventlog.open(run.store) as log:
        log.session("chat-1", create=True).append(message)
    assert run.json("show", "chat-1")["tail"] == [message]
    assert "[audio]" in run("show", "chat-1").stdout


def test_show_can_be_cut_to_the_newest_messages(run: CommandLine) -> None:
    say(run, "one", "two", "three")
    document = run.json("show", "chat-1", "--last", "2")
    assert [message["id"] for message in document["tail"]] == ["m2", "m3"]


def test_history_shows_archived_messages_too(run: CommandLine) -> None:
    say(run, "the first words", "the last words")
    run("commit", "chat-1", "--keep", "1")
    assert "the first words" not in run("show", "chat-1").stdout
    shown = run("show", "chat-1", "--history").stdout
    assert shown.index("the first words") < shown.index("the last words")


def test_long_texts_are_cut_unless_all_is_wanted(run: CommandLine) -> None:
    say(run, "\n".join(f"line {number}" for number in range(40)))
    assert "line 39" not in run("show", "chat-1").stdout
    assert "more lines (--full shows them)" in run("show", "chat-1").stdout
    assert "line 39" in run("show", "chat-1", "--full").stdout


def test_a_stored_message_cannot_steer_the_terminal(run: CommandLine) -> None:
    say(run, "red \x1b[31m alert \x07 [bold]not markup[/bold]")
    for words in (["show", "chat-1"], ["show", "chat-1", "--events"]):
        shown = run(*words).stdout
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "\\x1b[31m" in shown
        assert "[bold]not markup[/bold]" in shown


# ---- events -----------------------------------------------------------------------------------


def test_events_are_listed_with_a_gist(run: CommandLine) -> None:
    say(run, "hello there")
    run("commit", "chat-1")
    shown = run("show", "chat-1", "--events").stdout
    assert re.search(r"message_appended +1?\d +user: hello there", shown)
    assert re.search(r"commit_prepared +\d+ +archive_001 takes 1 message", shown)


def test_events_as_json_have_their_data_and_hash(run: CommandLine) -> None:
    say(run, "hello")
    events = run.json("show", "chat-1", "--events")
    assert [event["version"] for event in events] == [1, 2]
    assert events[1]["type"] == "message_appended"
    assert events[1]["data"]["message"]["id"] == "m1"
    with eventlog.open(run.store) as log:
        records = [recorded.record for recorded in log.read("chat-1")]
    assert [event["hash"] for event in events] == [record.hash.hex() for record in records]


def test_the_newest_events_alone_can_be_listed(run: CommandLine) -> None:
    say(run, "one", "two", "three")
    events = run.json("show", "chat-1", "--events", "--last", "2")
    assert [event["version"] for event in events] == [3, 4]


def test_events_of_types_that_nobody_here_knows_are_listed_all_the_same(
    run: CommandLine,
) -> None:
    """A service's own types are not imported by the command line."""
    say(run, "hello")
    with eventlog.open(run.store) as log:
        log.session("chat-1").record(Deployed(service="checkout"))
    with run.spawn("show", "chat-1", "--events", "--last", "1") as process:
        shown, said = process.communicate()
    assert (process.returncode, said) == (0, "")
    assert "clitest.deployed" in shown
    assert "unreadable" in shown
    assert 'service="checkout"' in run("show", "chat-1", "--events").stdout


# ---- on a terminal ----------------------------------------------------------------------------


def on_a_terminal(run: CommandLine, *words: str) -> str:
    """Return what a command writes to a real terminal."""
    master, slave = pty.openpty()
    process = run.spawn(
        *words,
        environment={"TERM": "xterm-256color", "COLUMNS": "100", "NO_COLOR": ""},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    with process, os.fdopen(master, "rb", buffering=0) as reader:
        while True:
            try:
                page = reader.read(65_536)
            except OSError:  # What Linux answers once nobody holds the other side any more.
                break
            if not page:
                break
            shown += page
    assert process.returncode == 0
    return shown.decode()


def test_a_terminal_gets_colours_and_a_pipe_none(run: CommandLine) -> None:
    say(run, "hello")
    assert "\x1b[" in on_a_terminal(run, "show", "chat-1")
    assert "\x1b[" not in run("show", "chat-1").stdout


def test_a_terminal_gets_progress_and_the_worker_s_table(run: CommandLine) -> None:
    path = run.file("talk.jsonl", {"role": "user", "content": "hello"})
    assert "importing" in on_a_terminal(run, "import", path)
    run("commit", "talk")
    shown = on_a_terminal(run, "work", "--once")
    assert "finalising" in shown
    assert "1 task completed" in shown


def test_json_on_a_terminal_is_plain_json(run: CommandLine) -> None:
    say(run, "hello")
    assert "\x1b[" not in on_a_terminal(run, "ls", "--json")


# ---- find -------------------------------------------------------------------------------------


class Shipped(Event, type="clitest.shipped", keys="order/{order}"):
    """An event that is found by its order."""

    order: str


def test_find_has_the_events_with_a_key_of_all_sessions_or_one(run: CommandLine) -> None:
    say(run, "hello", session="a/b")
    with eventlog.open(f"sqlite:///{run.database()}") as log:
        for session in ("a/b", "a"):
            log.session(session, create=True).record(Shipped(order="7"), Shipped(order="77"))

    found = run.json("find", "order/7")
    assert [(each["session_id"], each["data"]["order"]) for each in found] == [
        ("a", "7"),
        ("a/b", "7"),
    ]
    assert found[0]["metadata"]["keys"] == ["order/7"]
    assert [each["session_id"] for each in run.json("find", "order/77", "--session", "a/b")] == [
        "a/b"
    ]
    assert len(run.json("find", "order")) == 4
    assert "clitest.shipped" in run("find", "order/7").stdout


def test_find_ends_with_3_where_there_is_nothing(run: CommandLine) -> None:
    say(run, "hello")
    assert run("find", "order/7").code == 3
    assert run("find", "order/7", "--session", "nobody").code == 3
    assert run("find", "/").code == 2


def test_a_session_whose_id_is_a_path_is_used_like_any_other(run: CommandLine) -> None:
    for session in ("../x", "a/b", "a%2Fb", "\U0001f468\u200d\U0001f469\u200d\U0001f467"):
        say(run, f"to {session}", session=session)
        run("commit", session)
        assert run("work", "--once").code == 0
        assert [each["archive_id"] for each in run.json("show", session)["archives"]] == [
            "archive_001"
        ]
        assert run("verify", session).code == 0
    assert len(run.json("ls")) == 4
