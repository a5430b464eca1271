"""Imports that cannot mix: a session holds one conversation, and each message once."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog.errors import DuplicateEvent, InvalidMessage
from eventlog.exchange.importing import Importer
from eventlog.exchange.notes import Notes
from eventlog.exchange.reading import read_conversations
from eventlog.log import Log, engine_of
from tests.projections.test_adoption_growth import Foreign
from tests.shares import examples

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def talk(name: str, length: int = 6) -> list[dict[str, Any]]:
    """Return a conversation whose every message says whose it is."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": f"{name} {n}"} for n in range(length)]


def contents(run: CommandLine) -> dict[str, list[str]]:
    """Return the texts of each session."""
    with eventlog.open(run.store) as log:
        return {s: [m.text for m in log.session(s).history()] for s in sorted(log.sessions())}


@pytest.mark.parametrize(
    "edit",
    [
        lambda chat: [*chat[:2], {"role": "user", "content": "edited"}, *chat[3:]],
        lambda chat: chat[1:],
        lambda chat: [{"role": "user", "content": "new"}, *chat],
        lambda chat: [*chat[:3], *chat[4:]],
        lambda chat: list(reversed(chat)),
    ],
    ids=["edited", "shifted", "prefixed", "with a hole", "reversed"],
)
def test_a_file_that_is_no_continuation_is_refused_with_the_first_difference(
    run: CommandLine, edit: Any
) -> None:
    run("import", run.file("talk.jsonl", *talk("a")))
    before = contents(run)
    path = run.file("talk.jsonl", *edit(talk("a")))
    answer = run("import", path)
    assert answer.code == 4
    assert "does not continue what is stored: message " in answer.stderr
    assert "--new-session" in answer.stderr
    assert contents(run) == before
    (entry,) = run.json("import", path, "--new-session")["sessions"]
    assert entry["instead_of"] == "talk"
    after = contents(run)
    assert after.pop(entry["session_id"]) == [message["content"] for message in edit(talk("a"))]
    assert after == before
    again = run.json("import", path, "--new-session")
    assert again["imported"] == 0


def test_a_conversation_with_an_id_never_goes_elsewhere_by_itself(run: CommandLine) -> None:
    run("import", run.file("a.jsonl", {"id": "c", "messages": talk("a")}))
    answer = run("import", run.file("b.jsonl", {"id": "c", "messages": talk("b")}))
    assert answer.code == 4
    assert list(contents(run)) == ["c"]


def test_quarantine_keeps_what_is_no_message_and_imports_the_rest(run: CommandLine) -> None:
    chat = talk("a", 3)
    lines = [json.dumps(message) for message in chat]
    robot = '{"role": "robot", "content": "beep"}'
    path = Path(run.file("talk.jsonl", lines[0], robot, lines[1], lines[2]))
    with path.open("ab") as file:
        file.write(b'{"role": "user", "cont')
    before = path.read_bytes()
    document = run.json("import", str(path), "--quarantine")
    assert [(f["kind"], f["line"]) for f in document["findings"]] == [
        ("unknown_role", 2),
        ("torn", 5),
    ]
    assert contents(run) == {"talk": [message["content"] for message in chat]}
    kept = Path(document["quarantined"][0])
    assert kept.read_text("utf-8").splitlines() == [robot, '{"role": "user", "cont']
    assert kept.parent == path.parent
    assert path.read_bytes() == before
    assert run.json("import", str(path), "--quarantine")["imported"] == 0
    path.write_bytes(before + b'ent": "a 3"}\n')
    assert run.json("import", str(path), "--quarantine")["imported"] == 1


def test_glued_lines_give_their_whole_messages_back(run: CommandLine) -> None:
    first, second, third = (json.dumps(message) for message in talk("a", 3))
    path = run.file("talk.jsonl", first + second, third[:12] + third)
    document = run.json("import", path, "--quarantine")
    assert contents(run) == {"talk": ["a 0", "a 1", "a 2"]}
    assert {finding["kind"] for finding in document["findings"]} == {"glued", "not_json"}


def call(tool_id: str, name: str = "f") -> dict[str, Any]:
    """Return a call of the chat format."""
    return {"id": tool_id, "type": "function", "function": {"name": name, "arguments": "{}"}}


def test_calls_that_the_user_spoke_after_are_closed_and_said_to_be(run: CommandLine) -> None:
    """C3: two calls of one id, one answered; a call that waits at the end stays open."""
    chat: list[dict[str, Any]] = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": None, "tool_calls": [call("c0"), call("c0"), call("c1")]},
        {"role": "tool", "tool_call_id": "c0", "content": "done"},
        {"role": "user", "content": "Stop, and then?"},
        {"role": "assistant", "content": None, "tool_calls": [call("c2")]},
    ]
    path = run.file("talk.jsonl", *chat)
    looked = run("doctor", path, "--json").document["findings"]
    actions = [(each["kind"], each["action"]) for each in looked]
    assert actions == [
        *[("open_call", "closed as abandoned")] * 2,
        ("open_call", "imported as a call that awaits its result"),
    ]
    (entry,) = run.json("import", path)["sessions"]
    assert [each["tool_id"] for each in entry["closed_calls"]] == ["c0", "c1"]
    with eventlog.open(run.store) as log:
        tools = log.session("talk").tail()[1].tools
    assert [part.tool_status for part in tools] == ["pending", "error", "error"]
    (entry,) = run.json("import", path)["sessions"]
    assert "closed_calls" not in entry
    path = run.file("talk.jsonl", *chat, {"role": "user", "content": "Still there?"})
    assert "closed as abandoned, since the user spoke after: c2" in run("import", path).stdout


def test_a_call_is_closed_although_an_import_ended_before_it(run: CommandLine) -> None:
    """The messages may be stored already when the import goes on."""
    chat: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [call("c1")]},
        {"role": "user", "content": "Well?"},
    ]
    path = run.file("talk.jsonl", *chat)
    (found,) = read_conversations(Path(path))
    with eventlog.open(run.store) as log:
        log.session("talk", create=True).extend(found.messages)
    (entry,) = run.json("import", path)["sessions"]
    assert (entry["imported"], len(entry["closed_calls"])) == (0, 1)


def test_of_a_folder_that_grew_what_is_new_is_appended(run: CommandLine, tmp_path: Path) -> None:
    foreign = Foreign(tmp_path / "s").say(4).commit(1).say(1)
    run.json("import", str(foreign.root))
    foreign.say(2)
    document = run.json("import", str(foreign.root))
    assert (document["status"], document["imported"]) == ("continued", 2)
    assert document["already_there"] == 5
    foreign.live[0]["parts"][0]["text"] = "edited"
    foreign.write()
    answer = run("import", str(foreign.root))
    assert answer.code == 4
    assert "message 4, 'm4', says something else" in answer.stderr


EDITS = st.sampled_from(["whole", "whole", "cut", "shuffled", "edited", "shifted", "doubled"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        EDITS,
        st.integers(1, 6),
        st.sampled_from(["x.jsonl", "y.jsonl"]),
        st.booleans(),
    ),
    max_size=8,
)


def edited(chat: list[dict[str, Any]], edit: str, at: int) -> list[dict[str, Any]]:
    """Return a conversation as somebody has left its file."""
    match edit:
        case "cut":
            return chat[:at]
        case "shuffled":
            return [*chat[at:], *chat[:at]]
        case "edited":
            return [
                *chat[: at - 1],
                {**chat[at - 1], "content": chat[0]["content"] + " !"},
                *chat[at:],
            ]
        case "shifted":
            return chat[at:]
        case "doubled":
            return [*chat, *chat[:at]]
        case _:
            return chat


def import_file(log: Log, path: Path, *, new_session: bool) -> None:
    """Import a file as the command does."""
    importer = Importer(engine_of(log), new_session=new_session)
    for found in read_conversations(path, Notes(str(path), quarantine=True)):
        try:
            placed = importer.place(path.stem, found, is_named=False)
        except DuplicateEvent:
            continue
        session = log.session(placed.session_id, create=True)
        core = importer.engine.core(placed.session_id)
        importer.append(core, placed, found, session.version)
        importer.keep(core, found, path.name)


@given(STEPS)
@examples(25, 600)
def test_no_session_ever_holds_what_another_said(
    steps: list[tuple[str, str, int, str, bool]],
) -> None:
    """Imports of whole, cut, shuffled, edited, shifted, doubled and renamed files, each one twice.

    About 200 in every run, and more than 2,000 by the nightly profile.
    """
    files: set[tuple[str, ...]] = set()
    with tempfile.TemporaryDirectory() as folder, eventlog.open("memory:") as log:
        for name, edit, at, file_name, new_session in steps:
            chat = edited(talk(name), edit, at)
            files.add(tuple(message["content"] for message in chat))
            path = Path(folder, file_name)
            path.write_text("".join(json.dumps(entry) + "\n" for entry in chat), "utf-8")
            import_file(log, path, new_session=new_session)
            before = {s: log.session(s).version for s in log.sessions()}
            import_file(log, path, new_session=new_session)
            assert {s: log.session(s).version for s in log.sessions()} == before
        for session in log.sessions():
            texts = tuple(message.text for message in log.session(session).history())
            assert len({text[0] for text in texts}) == 1
            assert any(file[: len(texts)] == texts for file in files)


# ---- chat dictionaries ------------------------------------------------------------------------


def test_chat_dictionaries_are_appended_as_they_are() -> None:
    """M3."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    chats: list[dict[str, Any]] = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "assistant", "content": "One."},
    ]
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        session.append(chats[0])
        session.extend(chats[1:])
        assert list(session.context().to_chat()) == chats
        assert session.tail()[1].tools[0].tool_input == {"a": 1}
        with pytest.raises(InvalidMessage) as caught:
            session.extend([chats[0], {"role": "robot", "content": "beep"}])
        assert (caught.value.index, caught.value.field) == (1, "role")
        assert len(session.tail()) == 4
    assert eventlog.Message.from_chat(chats[0]).text == "Hi"


def test_an_exported_session_is_imported_as_the_same(run: CommandLine) -> None:
    run("import", run.file("talk.jsonl", *talk("a")))
    for format in ("chat", "anthropic", "responses", "jsonl"):
        text = run("export", "talk", "--format", format).stdout
        path = run.file("back.json", text.rstrip("\n"))
        name = f"back-{format}"
        if format == "jsonl":
            run("import", path, "--session", name)
        else:
            document = {**json.loads(text), "id": name}
            run("import", run.file("back.json", document))
        assert contents(run)[name] == contents(run)["talk"]
