"""Withdrawing, replacing and clearing live messages (M13), and what `expected` means (M3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import eventlog
from eventlog import (
    ConflictError,
    DuplicateEvent,
    InvalidArgument,
    InvalidMessage,
    Log,
    Message,
    MessageWithdrawn,
    Session,
    ToolOutputPolicy,
    VersionConflict,
    Worker,
    replay,
)
from eventlog.projections.folder_files import folder_files
from eventlog.projections.live_tail import LiveTail
from eventlog.session.projection import SessionFold
from eventlog.session.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from eventlog.engine.core import Core


def core_of(session: Session) -> Core:
    """Return what a session is in the process."""
    return session._core


@pytest.fixture
def log() -> Iterator[Log]:
    """What is withdrawn follows from the events alone, so one store does."""
    with eventlog.open("memory:") as opened:
        yield opened


@pytest.fixture
def session(log: Log) -> Session:
    return log.session("s", create=True)


def say(session: Session, *ids: str) -> None:
    for id_ in ids:
        session.append(Message.user(id_, id=id_))


def call(session: Session, id_: str, tool_id: str) -> None:
    part = {"type": "tool", "tool_id": tool_id, "tool_name": "t", "tool_status": "pending"}
    session.append(Message.model_validate({"id": id_, "role": "assistant", "parts": [part]}))


def answer(session: Session, id_: str, tool_id: str) -> None:
    session.append({"id": id_, "role": "tool", "tool_call_id": tool_id, "content": "42"})


def ids(messages: Sequence[Message]) -> list[str]:
    return [message.id for message in messages]


def tail(session: Session) -> list[str]:
    return ids(session.tail())


# ---- what is withdrawn ------------------------------------------------------------------------


def test_the_last_messages_are_withdrawn_and_returned(session: Session) -> None:
    say(session, "a", "b", "c")

    withdrawn = session.withdraw(last=2)

    assert ids(withdrawn) == ["b", "c"]
    assert tail(session) == ["a"]
    assert ids(session.history()) == ["a"]
    assert ids(session.history(withdrawn=True)) == ["a", "b", "c"]
    assert (session.meta.total_message_count, session.meta.withdrawn_count) == (1, 2)
    assert (session.meta.message_count, session.context().stats.total) == (1, 1)


def test_messages_are_withdrawn_by_id_in_any_order(session: Session) -> None:
    say(session, "a", "b", "c", "d")

    assert ids(session.withdraw(message_ids=["d", "b"])) == ["b", "d"]
    assert tail(session) == ["a", "c"]


def test_all_messages_after_a_version_are_withdrawn(session: Session) -> None:
    say(session, "a")
    version = session.version
    session.used(["viking://x"])
    say(session, "b", "c")

    assert ids(session.withdraw(after=version)) == ["b", "c"]
    assert tail(session) == ["a"]


def test_withdrawing_nothing_records_nothing(session: Session) -> None:
    say(session, "a")
    version = session.version

    assert session.withdraw(last=0) == ()
    assert session.withdraw(after=version) == ()
    assert session.version == version


def test_ids_that_are_not_live_are_refused_saying_where_they_are(session: Session) -> None:
    say(session, "a", "b")
    session.commit(keep_recent=1)
    say(session, "c")
    session.withdraw(message_ids=["c"])

    with pytest.raises(InvalidMessage, match="'a' is not live; it is in archive_001"):
        session.withdraw(message_ids=["b", "a"])
    with pytest.raises(InvalidMessage, match="'c' is not live; it was withdrawn at version"):
        session.withdraw(message_ids=["c"])
    with pytest.raises(InvalidMessage, match="'x' is not live; the session has no message"):
        session.withdraw(message_ids=["x"])
    assert tail(session) == ["b"]


@pytest.mark.parametrize(
    "which", [{}, {"last": 1, "after": 2}, {"message_ids": []}, {"message_ids": "a"}, {"last": -1}]
)
def test_exactly_one_way_says_what_is_withdrawn(session: Session, which: dict[str, Any]) -> None:
    say(session, "a")

    with pytest.raises(InvalidArgument):
        session.withdraw(**which)
    assert tail(session) == ["a"]


# ---- and never comes back ---------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "again"), [(0, 3), (1, 1), (2, 2), (3, 1), (4, 4), (6, 3)])
def test_no_commit_brings_a_withdrawn_message_back(session: Session, keep: int, again: int) -> None:
    """A hole in what a commit retains stays a hole, also for the commit after it."""
    say(session, *"abcdef")
    session.withdraw(message_ids=["c", "d"])
    say(session, "g")

    session.commit(keep_recent=keep)
    assert tail(session) == [*"abefg"][5 - min(keep, 5) :]
    say(session, "h")
    session.commit(keep_recent=again)

    left = [*[*"abefg"][5 - min(keep, 5) :], "h"]
    assert tail(session) == left[max(0, len(left) - again) :]
    assert ids(session.history()) == [*"abefgh"]
    with_verify(session)


def with_verify(session: Session) -> None:
    """Assert that the session verifies, and that its state is the fold of its records."""
    from eventlog.late_verbs import verify

    core = core_of(session)
    assert verify(core.store, session.id) == []
    fold = SessionFold(session.id)
    records = list(core.store.read(session.id))
    replayed = fold.fold(fold.initial(), records)
    assert replayed == core.state
    assert fold.load(fold.dump(replayed)) == replayed
    assert replay(records, LiveTail()) == session.tail()


def test_a_hole_at_the_end_parts_what_comes_after_it(session: Session) -> None:
    say(session, "a", "b")
    session.withdraw(last=1)
    session.commit(keep_recent=1)
    say(session, "c")
    session.commit(keep_recent=2)
    session.commit(keep_recent=1)

    assert tail(session) == ["c"]
    with_verify(session)


def test_a_hole_that_is_no_gap_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A canary: without the gap, `verify` says that the commit retains what is withdrawn."""
    real = Window.withdraw

    def without_gap(window: Window, *args: Any) -> None:
        real(window, *args)
        window.gaps.clear()

    monkeypatch.setattr(Window, "withdraw", without_gap)
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        say(session, *"abcd")
        session.withdraw(message_ids=["c"])
        session.commit(keep_recent=2)

        assert [finding.kind for finding in log.verify("s")] == ["commit"]


def test_a_commit_grows_only_with_the_withdrawals_since_the_last(session: Session) -> None:
    for number in range(20):
        say(session, f"a{number}", f"b{number}")
        session.withdraw(last=1)
    ranges = core_of(session).state.window.ranges(session.version)
    assert len(ranges) == 20
    session.commit()
    say(session, "z")
    assert len(core_of(session).state.window.ranges(session.version)) == 1


def test_a_withdrawn_id_cannot_be_appended_again_on_its_own(session: Session) -> None:
    say(session, "a", "b")
    version = session.message("b").version
    session.withdraw(last=1)

    for append in (lambda: say(session, "b"), lambda: session.extend([Message.user("b", id="b")])):
        with pytest.raises(MessageWithdrawn) as caught:
            append()
        assert (caught.value.message_id, caught.value.version) == ("b", version)
        assert caught.value.withdrawn_at == session.version
    with pytest.raises(MessageWithdrawn):
        session.extend([Message.user("c", id="c"), Message.user("b", id="b")])
    with pytest.raises(MessageWithdrawn):
        session.message("b")
    assert tail(session) == ["a"]
    assert isinstance(caught.value, ConflictError)


# ---- calls and results ------------------------------------------------------------------------


def test_a_withdrawn_result_reopens_its_call(session: Session) -> None:
    say(session, "q")
    call(session, "c", "t1")
    answer(session, "r", "t1")
    session.withdraw(last=1)

    assert [each.tool_id for each in core_of(session).state.window.pending] == ["t1"]
    session.record_tool_result("c", "t1", "43")

    assert session.tail()[1].parts[0].model_dump()["tool_output"] == "43"
    assert session.commit().archived == 2
    with_verify(session)


def test_a_withdrawal_that_would_leave_a_result_without_its_call_is_refused(
    session: Session,
) -> None:
    call(session, "c", "t1")
    answer(session, "r", "t1")

    with pytest.raises(
        InvalidMessage, match=r"'r' .* has the result of the call 't1' in message 'c'"
    ):
        session.withdraw(message_ids=["c"])
    assert ids(session.withdraw(message_ids=["c", "r"])) == ["c", "r"]
    with_verify(session)


def test_recorded_results_go_with_the_message_of_their_call(session: Session) -> None:
    call(session, "c", "t1")
    say(session, "m")
    session.record_tool_result("c", "t1", "42")
    (withdrawn,) = session.withdraw(message_ids=["c"])

    assert withdrawn.parts[0].model_dump()["tool_output"] == "42"
    with pytest.raises(MessageWithdrawn):
        session.record_tool_result("c", "t1", "43")
    with pytest.raises(MessageWithdrawn):
        session.abandon_call("c", "t1")
    session.replace(after=0, messages=[Message.user("n", id="n")])
    with_verify(session)


def test_an_id_that_is_live_again_has_results_of_its_own(session: Session) -> None:
    part = {"type": "tool", "tool_id": "t1", "tool_name": "t", "tool_status": "pending"}
    fields = {"id": "c", "role": "assistant", "parts": [part]}
    session.append(Message.model_validate(fields))
    session.record_tool_result("c", "t1", "first")
    session.replace(message_ids=["c"], messages=[Message.model_validate(fields)])

    assert session.tail()[0].parts[0].model_dump()["tool_status"] == "pending"
    session.record_tool_result("c", "t1", "second")

    outputs = [
        message.parts[0].model_dump()["tool_output"] for message in session.history(withdrawn=True)
    ]
    assert outputs == ["first", "second"]
    assert [m.parts[0].model_dump()["tool_output"] for m in session.history()] == ["second"]
    session.record_tool_result("c", "t1", "second")
    with pytest.raises(DuplicateEvent):
        session.record_tool_result("c", "t1", "third")
    with_verify(session)


def test_a_cut_may_fall_where_a_withdrawn_pair_was(session: Session) -> None:
    """Nothing glues the message between a call and its result once both are withdrawn."""
    say(session, "a")
    call(session, "c", "t1")
    say(session, "b")
    answer(session, "r", "t1")
    session.withdraw(message_ids=["c", "r"])

    assert session.commit(keep_recent=1).archived == 1
    assert tail(session) == ["b"]


# ---- replace and clear ------------------------------------------------------------------------


def test_a_message_is_replaced_in_its_place(session: Session) -> None:
    say(session, "a", "b", "c")

    replaced = session.replace(message_ids=["b"], messages=[Message.user("B", id="b")])

    assert [message.text for message in replaced] == ["b"]
    assert [message.text for message in session.tail()] == ["a", "B", "c"]
    assert session.message("b").message.text == "B"
    assert ids(session.history()) == ["a", "b", "c"]
    with_verify(session)


def test_several_messages_become_one_at_the_place_of_the_first(session: Session) -> None:
    say(session, "a", "b", "c", "d")

    session.replace(message_ids=["b", "d"], messages=[Message.user("sum", id="sum")])

    assert tail(session) == ["a", "sum", "c"]
    with_verify(session)


def test_all_after_a_version_is_replaced(session: Session) -> None:
    say(session, "a")
    version = session.version
    say(session, "b", "c")

    assert ids(session.replace(after=version, messages=[Message.user("x", id="x")])) == ["b", "c"]
    assert tail(session) == ["a", "x"]


def test_a_replacement_may_not_take_the_id_of_a_message_that_stays(session: Session) -> None:
    say(session, "a", "b", "c")
    session.commit(keep_recent=2)

    for id_ in ("a", "c"):
        with pytest.raises(DuplicateEvent, match=f"'{id_}' is there already"):
            session.replace(message_ids=["b"], messages=[Message.user("x", id=id_)])
    assert tail(session) == ["b", "c"]


def test_a_replacement_keeps_pairs_whole(session: Session) -> None:
    call(session, "c", "t1")
    answer(session, "r", "t1")

    with pytest.raises(InvalidMessage, match=r"'r' has the result of the call 't1'"):
        session.replace(message_ids=["c"], messages=[Message.assistant("no call")])
    assert tail(session) == ["c", "r"]


def test_large_outputs_of_a_replacement_are_stored_beside_the_log() -> None:
    with eventlog.open("memory:") as log:
        policy = ToolOutputPolicy(inline_characters=600, preview_characters=500)
        session = log.session("s", create=True, tool_output=policy)
        say(session, "a")
        part = {"type": "tool", "tool_id": "t", "tool_name": "n", "tool_status": "completed"}
        message = {"id": "m", "role": "assistant", "parts": [{**part, "tool_output": "x" * 900}]}
        session.replace(message_ids=["a"], messages=[Message.model_validate(message)])

        assert len(session.tool_output("m", "t").text) == 900
        assert session.tail()[0].parts[0].model_dump()["tool_output_truncated"]


def test_after_clear_contexts_see_nothing_from_before(log: Log) -> None:
    session = log.session("s", create=True)
    say(session, "a")
    session.commit()
    Worker(log).run_once()
    say(session, "b")
    session.commit()
    say(session, "c")

    assert ids(session.clear()) == ["c"]

    context = session.context()
    assert (context.latest_archive_overview, context.messages) == ("", ())
    Worker(log).run_once()
    assert session.context().latest_archive_overview == ""
    assert [archive.state for archive in session.archives()] == ["completed"] * 2
    assert ids(session.archive("archive_002").messages) == ["b"]
    say(session, "d")
    session.commit()
    Worker(log).run_once()
    overview = session.context().latest_archive_overview
    assert "d" in overview
    assert session.clear() == ()
    assert session.context().latest_archive_overview == ""
    version = session.version
    assert session.clear() == ()
    assert session.version == version
    with_verify(session)


# ---- expected ---------------------------------------------------------------------------------


def test_an_expected_version_is_that_of_the_conversation(session: Session) -> None:
    """M3: what is no message, result, withdrawal or commit breaks nobody's expectation."""
    say(session, "a")
    version = session.version
    session.used(["viking://x"])

    session.append(Message.user("b", id="b"), expected=version)
    session.append(Message.user("b", id="b"), expected=version)  # A repetition.

    with pytest.raises(VersionConflict) as caught:
        session.append(Message.user("c", id="c"), expected=version)
    assert (caught.value.expected, caught.value.actual) == (version, session.version)
    assert tail(session) == ["a", "b"]


def test_what_changes_the_conversation_is_a_conflict(session: Session) -> None:
    def conflicts(version: int) -> bool:
        try:
            session.extend([Message.user("x")], expected=version)
        except VersionConflict:
            return True
        return False

    call(session, "c", "t")
    version = session.version
    session.record_tool_result("c", "t", "42", expected=version)
    assert conflicts(version)
    version = session.version
    session.withdraw(last=1, expected=version)
    assert conflicts(version)
    say(session, "a")
    version = session.version
    session.commit()
    assert conflicts(version)
    assert conflicts(session.version + 1)
    assert not conflicts(session.version)


def test_heartbeats_and_steps_break_nobodys_expectation(log: Log) -> None:
    session = log.session("s", create=True)
    say(session, "a")
    session.commit()
    version = session.version
    Worker(log).run_once()
    assert session.refresh() is not None
    assert session.version > version

    session.append(Message.user("b"), expected=version)


def test_a_withdrawal_with_an_expected_version_can_be_repeated(session: Session) -> None:
    say(session, "a", "b", "c")
    version = session.version

    first = session.withdraw(last=1, expected=version)
    assert session.withdraw(last=1, expected=version) == first
    assert tail(session) == ["a", "b"]
    with pytest.raises(VersionConflict):
        session.withdraw(last=2, expected=version)
    version = session.version
    new = Message.user("x", id="x")
    first = session.replace(message_ids=["b"], messages=[new], expected=version)
    assert session.replace(message_ids=["b"], messages=[new], expected=version) == first
    assert tail(session) == ["a", "x"]


def test_a_withdrawal_with_a_key_can_be_repeated(session: Session) -> None:
    say(session, "a", "b", "c")

    first = session.withdraw(last=1, idempotency_key="k")
    assert session.withdraw(last=1, idempotency_key="k") == first
    assert tail(session) == ["a", "b"]


@pytest.mark.anyio
async def test_a_conflict_within_a_batch_is_raised_once_what_it_conflicts_with_is_stored() -> None:
    async with eventlog.open_async("memory:") as log:
        session = await log.session("s", create=True)
        await session.append(Message.user("a"))
        version = session.version
        new = Message.user("b", id="b")
        both = [session.append(new, expected=version), session.append(new, expected=version)]
        other = session.append(Message.user("c"), expected=version)
        found = await asyncio.gather(*both, other, return_exceptions=True)

        assert [type(each) for each in found] == [Message, Message, VersionConflict]
        assert len(await session.tail()) == 2
        await session.withdraw(last=1)
        await session.replace(after=0, messages=[Message.user("z", id="z")])
        assert (await session.message("z")).message.text == "z"
        assert await session.clear() != ()


# ---- everything else that follows a session ---------------------------------------------------


def test_a_folder_follows_a_withdrawal(log: Log, tmp_path: Path) -> None:
    session = log.session("s", create=True)
    session.attach_folder(tmp_path / "folder")
    say(session, "a", "b", "c")
    before = (tmp_path / "folder" / "messages.jsonl").read_bytes()
    session.withdraw(message_ids=["b"])
    lines = (tmp_path / "folder" / "messages.jsonl").read_text().splitlines()

    assert len(lines) == 2
    files = folder_files(core_of(session).store.read("s"))
    assert files["messages.jsonl"] == (tmp_path / "folder" / "messages.jsonl").read_bytes()
    session.detach_folder()
    (tmp_path / "folder" / "messages.jsonl").write_bytes(before)
    report = session.heal(tmp_path / "folder")
    assert [finding.quarantine for finding in report.findings] == [None]
    assert "withdrawn" not in (tmp_path / "folder" / ".meta.json").read_text()


def test_a_moment_before_a_withdrawal_has_what_was_live(session: Session) -> None:
    say(session, "a")
    call(session, "c", "t")
    session.record_tool_result("c", "t", "42")
    version = session.version
    session.withdraw(last=1)

    then = session.at(version=version)
    assert ids(then.tail()) == ["a", "c"]
    assert then.message("c").message.parts[0].model_dump()["tool_output"] == "42"
    assert [change.path for change in session.diff(version, session.version)][-1:] != []
    assert ids(session.at(version=session.version).tail()) == ["a"]


def test_a_fork_has_the_withdrawals(session: Session) -> None:
    say(session, "a", "b", "c")
    session.replace(message_ids=["b"], messages=[Message.user("B", id="b")])
    session.withdraw(last=1)

    fork = session.fork("f")

    assert [message.text for message in fork.tail()] == ["a", "B"]
    with_verify(fork)
    edited = session.fork("g", edit={2: None})
    assert [message.text for message in edited.tail()] == ["B"]
    with_verify(edited)


def test_what_is_beyond_the_single_messages_is_withdrawn_too(
    monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    """Whatever the window still knows singly."""
    for name, value in (("KEEP_LIMIT", 4), ("_KNOWN_LIMIT", 6), ("_FORGET_EVERY", 2)):
        monkeypatch.setattr(f"eventlog.session.window.{name}", value)
    core_of(session).state.window.forget_at = 6
    say(session, *"abcdefghijkl")
    assert len(core_of(session).state.window.versions) < 12

    session.withdraw(message_ids=["b", "k"])
    session.withdraw(last=6)

    assert tail(session) == [*"acde"]
    assert session.commit(keep_recent=3).reason == "all_within_keep_window"
    say(session, "m")
    assert session.meta.message_count == 5
    assert session.commit().archived == 5
    assert ids(session.history()) == [*"acdem"]


class Withdrawals(RuleBasedStateMachine):
    """Messages, calls, results, withdrawals with holes, and commits, against plain lists."""

    @initialize()
    def begin(self) -> None:
        self.log = eventlog.open("memory:")
        self.session = self.log.session("s", create=True)
        self.live: list[str] = []
        self.said: list[str] = []
        self.calls: dict[str, str | None] = {}
        """The messages with calls, and which message has the result."""
        self.number = 0

    def new_id(self) -> str:
        self.number += 1
        return f"m{self.number}"

    def note(self, id_: str) -> None:
        self.live.append(id_)
        self.said.append(id_)

    @rule()
    def user(self) -> None:
        id_ = self.new_id()
        say(self.session, id_)
        self.note(id_)

    @rule()
    def make_call(self) -> None:
        id_ = self.new_id()
        call(self.session, id_, f"t-{id_}")
        self.note(id_)
        self.calls[id_] = None

    @precondition(lambda self: any(self.calls.get(id_, "") is None for id_ in self.live))
    @rule(data=st.data(), as_message=st.booleans())
    def answer_call(self, data: st.DataObject, as_message: bool) -> None:
        waiting = [id_ for id_ in self.live if self.calls.get(id_, "") is None]
        id_ = data.draw(st.sampled_from(waiting))
        if as_message:
            result = self.new_id()
            answer(self.session, result, f"t-{id_}")
            self.note(result)
            self.calls[id_] = result
        else:
            self.session.record_tool_result(id_, f"t-{id_}", f"{self.session.version}")
            self.calls[id_] = "recorded"

    def gone(self, withdrawn: Sequence[str]) -> None:
        for id_ in withdrawn:
            self.live.remove(id_)
            self.said.remove(id_)
        for id_, result in self.calls.items():
            if result in withdrawn:
                self.calls[id_] = None

    @rule(count=st.integers(0, 4))
    def withdraw_last(self, count: int) -> None:
        meant = self.live[len(self.live) - count :] if count else []
        meant = meant if count <= len(self.live) else list(self.live)
        assert ids(self.session.withdraw(last=count)) == meant
        self.gone(meant)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def withdraw_some(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(self.live), min_size=1, unique=True))
        parted = any(
            id_ in some and result in self.live and result not in some
            for id_, result in self.calls.items()
        )
        try:
            withdrawn = ids(self.session.withdraw(message_ids=some))
        except InvalidMessage:
            assert parted
        else:
            assert not parted
            assert withdrawn == [id_ for id_ in self.live if id_ in some]
            self.gone(withdrawn)

    @precondition(lambda self: any(id_ not in self.calls for id_ in self.live))
    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        results = set(self.calls.values())
        plain = [id_ for id_ in self.live if id_ not in self.calls and id_ not in results]
        if plain:
            id_ = data.draw(st.sampled_from(plain))
            replaced = self.session.replace(
                message_ids=[id_], messages=[Message.user("edited", id=id_)]
            )
            assert ids(replaced) == [id_]

    @rule(keep=st.integers(0, 6))
    def commit(self, keep: int) -> None:
        before = list(self.live)
        result = self.session.commit(keep_recent=keep)
        self.live = tail(self.session)
        assert [id_ for id_ in before if id_ in self.live] == self.live
        assert result.archived == len(before) - len(self.live)
        assert set(before[max(0, len(before) - keep) :]) <= set(self.live)
        if not self.calls:
            assert self.live == before[max(0, len(before) - keep) :]

    @rule()
    def clear(self) -> None:
        assert ids(self.session.clear()) == self.live
        self.gone(list(self.live))
        assert self.session.context().messages == ()

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "session"):
            return
        session = self.session
        assert tail(session) == self.live
        assert ids(session.history()) == sorted(self.said, key=lambda id_: int(id_[1:]))
        assert session.meta.message_count == len(self.live)
        pending = sorted(each.message_id for each in core_of(session).state.window.pending)
        assert pending == sorted(id_ for id_ in self.live if self.calls.get(id_, "") is None)
        with_verify(session)

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()


TestWithdrawals = Withdrawals.TestCase
TestWithdrawals.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 9), st.integers(0, 9))
def test_no_two_commits_bring_withdrawn_messages_back(
    holes: list[int], keep: int, again: int
) -> None:
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        live = [f"m{number}" for number in range(10)]
        say(session, *live)
        for hole in holes:
            if f"m{hole}" in live:
                session.withdraw(message_ids=[f"m{hole}"])
                live.remove(f"m{hole}")
        for kept in (keep, again):
            session.commit(keep_recent=kept)
            live = live[max(0, len(live) - kept) :]
            assert tail(session) == live
        assert log.verify("s") == []
