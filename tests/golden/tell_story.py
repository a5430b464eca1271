"""Print a session that has every built-in event, one stored record per line.

How the golden files were made: ``records-1.jsonl`` before there were policies and large outputs,
``records-large-output.jsonl`` with them. A golden file is never written again: for a new event type
or a new stored format make another one, ``python tests/golden/tell_story.py > records-….jsonl``,
from a story that has what is new.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import eventlog
from eventlog import AutoCommitPolicy, Log, Message, Record, Session, ToolOutputPolicy
from eventlog.identifiers import format_id
from eventlog.session.tasks.commands import (
    AbandonTask,
    ClaimTask,
    CompleteStep,
    CompleteTask,
    FailAttempt,
    FinalizeArchive,
    ReleaseTask,
    RenewLease,
    RetryTask,
)
from eventlog.session.tasks.events import OwnerData, TokenUsage
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import execute

OWNER = OwnerData(host="host-1", boot="boot-1", pid=42, started="1000")
LEASE = 300_000_000
THEN = "2026-01-01T00:00:00.000000Z"


class Story:
    """Tells what happens in one session, a second after the other."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.log: Log = eventlog.open("memory:", clock=self.clock, ids=NumberedIds())
        self.session: Session = self.log.session(
            "golden \u4f1a\u8bdd",
            create=True,
            owner="ada",
            workspace="home",
            provider="acme",
            model="m-1",
            failed_archives="skip",
            tool_output=ToolOutputPolicy(inline_characters=1_000, preview_characters=500),
            auto_commit=AutoCommitPolicy(messages=100, idle_seconds=3_600, keep_recent=1),
        )

    def do(self, command: Any) -> Any:
        self.clock.advance(1)
        return execute(self.log, self.session.id, command)

    def claim(self, task_id: str, *, owner_gone: int | None = None) -> int:
        claim = self.do(ClaimTask(task_id, "worker-1", OWNER, LEASE, 3, owner_gone))
        fence: int = claim.fence
        return fence

    def talk(self) -> str:
        session = self.session
        session.append(
            Message.user(
                "How do I deploy? \U0001f680", id="m1", created_at=THEN, acme_field=[1, None]
            ),
            actor="ada",
            correlation_id="c-1",
        )
        call = Message.call("search", {"query": "deploy"}, tool_id="call-1")
        session.append(Message.assistant("Let me look.", tools=(call,), id="m2", created_at=THEN))
        session.record_tool_result("m2", "call-1", "use make deploy", duration_ms=12.5)
        call = Message.call("read", {}, tool_id="call-2")
        session.append(Message.assistant(tools=(call,), id="m2a", created_at=THEN))
        session.record_tool_result("m2a", "call-2", "late and long. " * 100)
        session.append(Message.tool("call-3", "long. " * 200, id="m2b", created_at=THEN))
        parts = [{"type": "acme", "x": "y"}]
        session.append({"id": "m3", "role": "assistant", "parts": parts, "created_at": THEN})
        session.used(["memory://1"], {"uri": "skill://1"}, idempotency_key="used-1")
        session.assign_project("apollo")
        session.memory_session("acme")
        return self.commit(keep_recent=1)

    def commit(self, keep_recent: int = 0) -> str:
        self.clock.advance(1)
        return str(self.session.commit(keep_recent, actor="ada").task_id)

    def finalise(self, task_id: str) -> list[str]:
        lost = self.claim(task_id)
        self.do(RenewLease(task_id, lost, LEASE))
        fence = self.claim(task_id, owner_gone=lost)
        self.do(FailAttempt(task_id, fence, "503 Service Unavailable", False, 3, 1_500_000))
        self.clock.advance(2)
        fence = self.claim(task_id)
        self.do(ReleaseTask(task_id, fence, "the worker was stopped"))
        fence = self.claim(task_id)
        usage = TokenUsage(prompt_tokens=100, completion_tokens=20, embedding_tokens=7)
        self.do(CompleteStep(task_id, fence, "summary", {"overview": "# Deploying"}, usage))
        kinds = ("memories", "skills", "side_effect:notify")
        self.do(FinalizeArchive(task_id, fence, "# Deploying", "deploying", (1,), usage, kinds))
        return [view.task_id for view in self.log.tasks(kind=None) if view.kind != "finalise"]

    def follow_up(self, memories: str, skills: str, effect: str) -> None:
        fence = self.claim(memories)
        outcome = {"memories_extracted": {"preferences": 2}, "memory_diff": None}
        self.do(CompleteTask(memories, fence, outcome, {"prompt_tokens": 5}))
        self.do(FailAttempt(skills, self.claim(skills), "ValueError: no skills", True, 3, 0))
        self.do(AbandonTask(task_id=effect, reason="nobody to notify"))

    def fail(self) -> None:
        self.session.append(Message.user("Again", id="m4", created_at=THEN))
        task_id = self.commit()
        self.do(FailAttempt(task_id, self.claim(task_id), "prompt too long", True, 3, 0))
        self.do(RetryTask(archive=2, reason="shorter now"))
        self.do(AbandonTask(archive=2, reason="not worth it"))

    def end(self) -> None:
        self.session.queue_task("acme.index", {"depth": 2})
        self.session.close(reason="done")
        self.session.delete(reason="asked for", actor="ada")


def tell() -> list[Record]:
    """Return the records of the whole story."""
    story = Story()
    with story.log:
        task_id = story.talk()
        story.follow_up(*story.finalise(task_id))
        story.fail()
        story.end()
        return list(story.log.store.read(story.session.id))


def line(record: Record) -> str:
    """Write a record as a line of a golden file: data and metadata to the letter."""
    fields = record._asdict()
    fields["event_id"] = format_id(record.event_id)
    fields["data"] = record.data.decode()
    fields["metadata"] = record.metadata.decode()
    fields["hash"] = record.hash.hex()
    return json.dumps(fields, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line(record)}\n" for record in tell())
