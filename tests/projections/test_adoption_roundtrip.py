"""A folder that this library wrote, adopted into an empty log, is the session that it was (O1, O4)."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import eventlog
from eventlog import (
    Finalizer,
    Log,
    Message,
    NonRetryableError,
    Summary,
    SummaryRequest,
    ToolOutputPolicy,
    Worker,
)
from eventlog.exchange.openai_chat import message_from_chat
from eventlog.projections import Archives
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.strategies import message_contents, texts
from tests.shares import examples


def steps() -> st.SearchStrategy[list[Any]]:
    """Draw what happens to a session: messages, results, commits, and what becomes of archives."""
    return st.lists(
        st.one_of(
            st.tuples(st.just("append"), message_contents()),
            st.tuples(st.just("append"), message_contents()),
            st.tuples(st.just("result"), texts(max_size=30)),
            st.tuples(st.just("commit"), st.integers(0, 3)),
            st.tuples(st.just("work"), texts(max_size=20)),
            st.tuples(st.just("fail"), texts(max_size=20)),
            st.tuples(st.just("abandon"), st.none()),
        ),
        max_size=25,
    )


class Told:
    """Tells a drawn story in a session."""

    def __init__(self, log: Log, clock: FakeClock) -> None:
        self.log = log
        self.clock = clock
        self.session = log.session("s", create=True, owner="ada", failed_archives="skip")
        self.session.append(Message.system("begin", id="m-0"))
        self.calls: list[tuple[str, str]] = []

    def tell(self, program: list[Any]) -> None:
        for number, (step, argument) in enumerate(program, 1):
            self.clock.advance(1)
            getattr(self, step)(argument, number)

    def append(self, content: dict[str, Any], number: int) -> None:
        self.session.append({**content, "id": f"m-{number}"})
        calls = [part["tool_id"] for part in content["parts"] if part["type"] == "tool"]
        self.calls += [(f"m-{number}", tool_id) for tool_id in calls]

    def result(self, output: str, number: int) -> None:
        if self.calls:
            self.session.record_tool_result(*self.calls.pop(0), output)

    def commit(self, keep: int, number: int) -> None:
        self.session.commit(keep)

    def work(self, text: str, number: int) -> None:
        def summarize(request: SummaryRequest) -> Summary:
            usage: Any = {"prompt_tokens": 3, "completion_tokens": 2}
            return Summary(overview=f"#{text}", abstract=text, usage=usage)

        Worker(self.log, Finalizer(summarize)).run_once()

    def fail(self, text: str, number: int) -> None:
        def refuse(request: SummaryRequest) -> Summary:
            raise NonRetryableError(text)

        Worker(self.log, Finalizer(refuse)).run_once()

    def abandon(self, _: None, number: int) -> None:
        for view in self.session.archives():
            if view.state == "terminal_failed":
                self.session.abandon(view.archive_id)


def standing(log: Log, session_id: str, *, weighed: bool) -> dict[str, Any]:
    """Return all of a session that a folder tells.

    A message whose result came later is ``weighed`` otherwise than one that has it from the start.
    The policy on failed archives is not in a folder, so what commits wait for may differ.
    """
    session = log.session(session_id)
    meta = session.meta._replace(blocked_by=None)
    context = session.context()
    archives = eventlog.replay(log.read(session_id), Archives())
    return {
        "meta": meta if weighed else meta._replace(pending_tokens=0),
        "tail": [_told(entry) for entry in session.tail()],
        "history": [_told(entry) for entry in session.history()],
        "archives": [
            (
                found.archive.archive_id,
                found.archive.state,
                found.archive.message_count,
                found.archive.tokens if weighed else 0,
                found.message_ids,
                found.overview,
                found.abstract,
            )
            for found in archives
        ],
        "context": (context.latest_archive_overview, [_told(entry) for entry in context.messages]),
    }


def _told(message: Message) -> dict[str, Any]:
    """Return a message with the fields that the format has in every part of a kind."""
    return message.model_dump()


def materialised_and_adopted(
    log: Log, session_id: str, root: Path, *, weighed: bool = True
) -> None:
    """Assert that a session survives the way to a folder and back, there and back again."""
    log.session(session_id).materialize(root / "one")
    with eventlog.open("memory:") as other:
        adoption = other.adopt(root / "one")
        expected = standing(log, session_id, weighed=weighed)
        found = standing(other, session_id, weighed=weighed)

        assert {finding.kind for finding in adoption.findings} <= {
            "orphan_archive",
            "unreadable_overview",
        }
        for name, value in expected.items():
            assert found[name] == value, name
        assert other.verify(session_id) == []
        other.session(session_id).materialize(root / "two")
        assert _files(root / "two", weighed=weighed) == _files(root / "one", weighed=weighed)


def _files(root: Path, *, weighed: bool) -> dict[str, bytes]:
    files = {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    if not weighed:
        meta = json.loads(files[".meta.json"])
        files[".meta.json"] = json.dumps({**meta, "pending_tokens": 0}).encode()
    return files


@examples(20, 2_400)
@given(program=steps())
@example([("commit", 0), ("work", "---"), ("commit", 0)])
@example([("commit", 0), ("fail", "x"), ("append", {"role": "user", "parts": []}), ("commit", 0)])
@example([("commit", 0), ("work", "x\n"), ("append", {"role": "user", "parts": []})])
def test_a_materialised_session_is_adopted_as_it_was(program: list[Any]) -> None:
    clock = FakeClock()
    with (
        TemporaryDirectory() as root,
        eventlog.open("memory:", clock=clock, ids=NumberedIds()) as log,
    ):
        Told(log, clock).tell(program)
        weighed = all(step != "result" for step, _ in program)
        materialised_and_adopted(log, "s", Path(root), weighed=weighed)


def conversation(number: int) -> list[dict[str, Any]]:
    """Return an agent's chat with tools, as the exchange format of chats has it."""
    chat: list[dict[str, Any]] = [{"role": "system", "content": f"# Policy {number}\n\nBe brief."}]
    for turn in range(2 + number % 3):
        call = {
            "id": f"call_{turn}",
            "type": "function",
            "function": {"name": "get_user", "arguments": json.dumps({"user_id": f"u{turn}"})},
        }
        chat += [
            {"role": "user", "content": f"Question {turn}: Zürich → 東京 🛫?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {
                "role": "tool",
                "tool_call_id": f"call_{turn}",
                "name": "get_user",
                "content": json.dumps({"name": f"ada {turn}", "paid": [number, None]}),
            },
            {"role": "assistant", "content": f"Answer {turn}."},
        ]
    return chat


@pytest.mark.parametrize("number", range(12))
def test_a_committed_and_finalised_chat_is_adopted_as_it_was(number: int, tmp_path: Path) -> None:
    with eventlog.open("memory:", clock=FakeClock()) as log:
        session = log.session("chat", create=True)
        for place, entry in enumerate(conversation(number)):
            if place in (4, 7):
                session.commit(keep_recent=number % 4)
            session.append(message_from_chat(entry, index=place))
        if number % 2:
            Worker(log).run_once()
        session.refresh()

        materialised_and_adopted(log, "chat", tmp_path)


def test_large_outputs_come_along(tmp_path: Path) -> None:
    """M6: what the folder keeps beside its messages is read from the log that adopted it."""
    policy = ToolOutputPolicy(inline_characters=1_000, preview_characters=500)
    output = "a line of many\n" * 200
    with eventlog.open("memory:", clock=FakeClock(), tool_output=policy) as log:
        session = log.session("s", create=True)
        session.append(Message.user("go", id="m-1"))
        session.append(Message.tool("call", output, name="read", id="m-2"))
        session.append(Message.user("and on", id="m-3"))
        session.commit(keep_recent=1)
        Worker(log).run_once()
        session.refresh()

        materialised_and_adopted(log, "s", tmp_path)

    with eventlog.open("memory:") as other:
        other.adopt(tmp_path / "two")
        assert other.session("s").tool_output("m-2", "call").text == output
