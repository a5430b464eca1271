"""The built-in projections agree with the log for any history (P3, L12, L16)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import Message, Recorded, Summary, SummaryRequest
from eventlog.projections import ArchiveContents, Archives, LiveTail, Meta, Tasks, Usage
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from tests.shares import examples


async def summarize(request: SummaryRequest) -> Summary:
    """Summarise, but fail where a message asks for it: at first, or always."""
    texts = [message.text for message in request.messages]
    if "fail" in texts:
        raise eventlog.NonRetryableError("as asked for")
    if "fail once" in texts and request.attempt == 1:
        raise eventlog.RetryableError("at first")
    return Summary(
        overview=f"{request.archive_id}: {len(texts)} messages",
        abstract=texts[-1] or "calls",
        usage={"prompt_tokens": len(texts), "completion_tokens": 2, "cached_tokens": 1},
    )


async def extract(request: SummaryRequest) -> eventlog.Extraction:
    if len(request.messages) == 1:
        raise eventlog.NonRetryableError("too little to remember")
    return eventlog.Extraction(memories={"facts": len(request.messages)})


class Conversation:
    """A session that a drawn program talks in."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.log = eventlog.open("memory:", clock=self.clock, ids=NumberedIds())
        self.session = self.log.session("s", create=True, owner="ada", failed_archives="skip")
        self.calls: list[tuple[str, str]] = []
        self.messages = 0

    def say(self, role: str, text: str, calls: int) -> None:
        self.messages += 1
        message_id = f"message-{self.messages}"
        tools = tuple(
            Message.call("look", {"at": number}, tool_id=f"{message_id}-{number}")
            for number in range(calls)
        )
        if role == "user":
            self.session.append(Message.user(text, id=message_id))
        else:
            self.session.append(Message.assistant(text, tools=tools, id=message_id))
            self.calls += [(message_id, part.tool_id) for part in tools]

    def answer(self, which: int, status: Any) -> None:
        if self.calls:
            message_id, tool_id = self.calls[which % len(self.calls)]
            self.session.record_tool_result(message_id, tool_id, f"it is {status}", status)

    def commit(self, keep_recent: int) -> None:
        self.session.commit(keep_recent)

    def use(self, number: int) -> None:
        skill = {"uri": f"skill://{number}"} if number % 2 else None
        self.session.used([f"memory://{number}"] * (number % 3), skill)

    def work(self) -> None:
        self.clock.advance(100)
        finalizer = eventlog.Finalizer(summarize, memory_extractor=extract)
        eventlog.Worker(self.log, finalizer, draw=lambda: 0.5).run_once()

    def revive(self, number: int) -> None:
        archives = self.session.archives()
        if archives:
            archive = archives[number % len(archives)]
            if archive.state == "terminal_failed" and number % 2:
                self.session.retry(archive.archive_id)
            elif archive.state not in ("completed", "abandoned"):
                self.session.abandon(archive.archive_id, reason="enough")

    def check(self) -> None:
        log, session = self.log, self.session
        records = list(log.read("s"))
        assert eventlog.replay(records, LiveTail()) == session.tail()
        assert eventlog.replay(records, Meta()) == session.refresh()
        assert eventlog.replay(records, Tasks()) == tuple(log.tasks("s"))
        self.check_archives(eventlog.replay(records, Archives()))
        self.check_usage(records)

    def check_archives(self, contents: tuple[ArchiveContents, ...]) -> None:
        assert tuple(content.archive for content in contents) == self.session.archives()
        for archive, message_ids, overview, abstract in contents:
            assert archive.message_count == len(message_ids)
            if archive.state == "completed":
                found = self.session.archive(archive.archive_id)
                assert [message.id for message in found.messages] == list(message_ids)
                assert (found.overview, found.abstract) == (overview, abstract)
            else:
                assert (overview, abstract) == ("", "")

    def check_usage(self, records: list[Recorded]) -> None:
        usage = eventlog.replay(records, Usage())
        commits, since = usage.commits, usage.since_last_commit
        used = [entry.event for entry in records if entry.type == "contexts_used"]
        contexts = [context for event in used for context in getattr(event, "contexts", ())]
        assert [context for use in (*commits, since) for context in use.contexts] == contexts
        assert len(commits) == self.session.meta.commit_count
        assert usage.llm_token_usage == self.session.meta.llm_token_usage


_says = st.tuples(
    st.just("say"),
    st.sampled_from(["user", "assistant"]),
    st.sampled_from(["hello", "hello", "fail once", "fail"]),
    st.integers(0, 2),
)
_answers = st.tuples(
    st.just("answer"), st.integers(0, 9), st.sampled_from(["running", "completed", "error"])
)
_commits = st.tuples(st.just("commit"), st.integers(0, 3))
_work = st.tuples(st.just("work"))
_uses = st.tuples(st.just("use"), st.integers(0, 5))
_revivals = st.tuples(st.just("revive"), st.integers(0, 9))
_steps = st.sampled_from(
    [*[_says] * 5, *[_answers] * 2, *[_commits] * 2, *[_work] * 2, _uses, _revivals]
).flatmap(lambda steps: steps)


@examples(25, 2_400)
@given(st.lists(_steps, min_size=10, max_size=40))
def test_projections_of_any_program_say_what_the_session_says(
    program: list[tuple[Any, ...]],
) -> None:
    conversation = Conversation()
    with conversation.log:
        for name, *arguments in program:
            getattr(conversation, name)(*arguments)
        if conversation.log.exists("s"):
            conversation.check()
