"""Rules for the commands that people and programs give in a session."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from eventlog.testing.model.base_rules import ProgramMachine, actors, picks
from eventlog.testing.model.conversation import FINAL
from eventlog.testing.model.programs import By
from eventlog.testing.strategies import message_contents, texts

__all__ = ["MessageRules"]


class MessageRules(ProgramMachine):
    """Messages, tool results, usage, commits, and the end of the session."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    # ---- messages -----------------------------------------------------------------------------

    @rule(by=actors, content=message_contents())
    def append(self, by: By, content: dict[str, Any]) -> None:
        self.program.append(by, [self._message(content)])

    @rule(by=actors, contents=st.lists(message_contents(), min_size=2, max_size=4))
    def extend(self, by: By, contents: list[dict[str, Any]]) -> None:
        self.program.append(by, [self._message(content) for content in contents])

    @precondition(lambda self: self._calls())
    @rule(
        by=actors,
        pick=picks,
        output=texts(max_size=4),
        late=st.sampled_from([False, False, False, True]),
    )
    def answer_by_message(self, by: By, pick: int, output: str, late: bool) -> None:
        """Answer a call with a message of role ``tool``; late, where it may have a result already,
        or be archived."""
        calls = sorted(self.model.waiting)
        if late or not calls:
            calls = sorted(tool_id for _, tool_id in self._calls())
        part = {
            "type": "tool",
            "tool_id": calls[pick % len(calls)],
            "tool_status": "completed",
            "tool_output": output,
        }
        self.program.append(by, [{"id": self._next_id(), "role": "tool", "parts": [part]}])

    @precondition(lambda self: self.model.said)
    @rule(by=actors, pick=picks, count=st.integers(1, 3))
    def repeat(self, by: By, pick: int, count: int) -> None:
        """Append a message again, as a client that lost the answer does."""
        known = [said.message for said in self.model.said.values()]
        start = pick % len(known)
        self.program.append(by, known[start : start + count])

    @precondition(lambda self: self.model.said)
    @rule(by=actors, pick=picks, content=message_contents(calls=0), mixed=st.booleans())
    def contradict(self, by: By, pick: int, content: dict[str, Any], mixed: bool) -> None:
        """Append other content under a known id, or a batch of which only a part is new."""
        known = [said.message for said in self.model.said.values()]
        message = known[pick % len(known)]
        if mixed:
            self.program.append(by, [message, self._message(content)])
        else:
            self.program.append(by, [{**content, "id": message["id"], "other": True}])

    def _message(self, content: dict[str, Any]) -> dict[str, Any]:
        """Give a drawn message an id, and ids to the calls in it."""
        name = self._next_id()
        parts = [
            {**part, "tool_id": f"{name}-{part['tool_id']}"} if part["type"] == "tool" else part
            for part in content["parts"]
        ]
        return {"id": name, **content, "parts": parts}

    def _next_id(self) -> str:
        self.number += 1
        return f"m{self.number}"

    @precondition(lambda self: self._calls())
    @rule(
        by=actors,
        pick=picks,
        misplaced=st.sampled_from([False, False, False, True]),
        output=texts(max_size=4),
        status=st.sampled_from(["completed", "completed", "error", "running"]),
    )
    def tool_result(self, by: By, pick: int, misplaced: bool, output: str, status: Any) -> None:
        """Record the result of a call, or try to with the id of another message."""
        name, tool_id = self._calls()[pick % len(self._calls())]
        if misplaced:
            name = self._strangers(tool_id)[pick % len(self._strangers(tool_id))]
        others = {final for final in FINAL if final != status}
        if any((name, tool_id, final) in self.model.tool_results for final in others):
            return  # A call gets one final result, and nothing after it.
        self.program.run(
            by,
            lambda model: model.tool_result(self.now, name, tool_id, output, status),
            lambda session: session.record_tool_result(name, tool_id, output, status),
        )

    def _strangers(self, tool_id: str) -> list[str]:
        """Return messages that have no such call, and one that is not there."""
        known = [
            said.id
            for said in self.model.said.values()
            if all(call["tool_id"] != tool_id for call in said.calls)
        ]
        return [*known, "nobody"]

    def _calls(self) -> list[tuple[str, str]]:
        return [
            (said.id, call["tool_id"])
            for said in self.model.said.values()
            for call in said.calls
            if said.message["role"] == "assistant"
        ]

    @rule(by=actors, uri=st.sampled_from("ab"), key=st.sampled_from([None, "k1", "k2"]))
    def used(self, by: By, uri: str, key: str | None) -> None:
        self.program.run(
            by,
            lambda model: model.used(self.now, [uri], key),
            lambda session: session.used([uri], idempotency_key=key),
        )

    # ---- commits ------------------------------------------------------------------------------

    @rule(
        by=actors,
        keep=st.integers(0, 4),
        tokens=st.none() | st.none() | st.integers(0, 40),
        key=st.sampled_from([None, None, "k1", "k2", "k3"]),
    )
    def commit(self, by: By, keep: int, tokens: int | None, key: str | None) -> None:
        self.program.commit(by, 0 if tokens is not None else keep, tokens, key)

    @precondition(lambda self: self.model.version > 24)
    @rule(by=actors, how=st.sampled_from(["close", "close", "delete"]))
    def end_session(self, by: By, how: str) -> None:
        self.program.run(
            by,
            lambda model: getattr(model, how)(self.now),
            lambda session: getattr(session, how)(),
        )
