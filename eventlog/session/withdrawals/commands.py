"""The commands that take live messages out of a session, or put others in their place (M13)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pydantic_core

from eventlog.errors import DuplicateEvent, InvalidMessage
from eventlog.identifiers import derived_id
from eventlog.session.command import (
    Command,
    Draft,
    KeepingCommand,
    Outcome,
    refuse_queued,
    require_open,
)
from eventlog.session.commit import archive_id
from eventlog.session.events import MessageAppended
from eventlog.session.message_data import key_again, message_key
from eventlog.session.parts import lone_results
from eventlog.session.version_ranges import contains, joined
from eventlog.session.withdrawals.events import MessagesWithdrawn
from eventlog.session.withdrawals.planning import live_behind, newest_live, plan_withdrawal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.identifiers import EventId, IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.command import Facts
    from eventlog.session.commands import AppendMessages
    from eventlog.session.keeping import Values
    from eventlog.session.message_data import MessageData
    from eventlog.session.reading import Newest, StoredMessage
    from eventlog.session.state import SessionState
    from eventlog.session.withdrawals.planning import Plan

__all__ = ["ReplaceMessages", "Which", "WithdrawMessages"]


class Which(NamedTuple):
    """Which live messages are meant; exactly one of the four is given."""

    last: int | None = None
    message_ids: tuple[str, ...] | None = None
    after: int | None = None
    everything: bool = False

    def versions(self, facts: Facts, state: SessionState) -> list[int]:
        """Return the versions of the messages, ascending.

        Raises `InvalidMessage` for an id that no live message has, saying where it is.
        """
        if self.last is not None:
            return newest_live(facts, state, self.last) if self.last else []
        if self.message_ids is None:
            return live_behind(facts, state, self.after or 0)
        keys = [message_key(message_id) for message_id in self.message_ids]
        found = zip(self.message_ids, facts.newest(keys), strict=True)
        return sorted({_live(facts, state, message_id, newest) for message_id, newest in found})


def _live(facts: Facts, state: SessionState, message_id: str, newest: Newest) -> int:
    """Return the version of a live message; refuse any other, and say where it is."""
    version = newest.version
    if version is not None and contains(state.window.ranges(state.version), version):
        return version
    if version is not None:
        where = f"it is in {_archive_with(facts, state, version)} since a commit took it"
    elif newest.withdrawn:
        where = f"it was withdrawn at version {newest.withdrawn_at}"
    else:
        where = "the session has no message with this id"
    raise InvalidMessage(
        f"session {state.session_id!r}: message {message_id!r} is not live; {where}",
        field="message_ids",
    )


def _archive_with(facts: Facts, state: SessionState, version: int) -> str:
    index = facts.archive_with(version)
    return "an archive" if index is None else archive_id(index)


@dataclass(slots=True, eq=False)
class WithdrawMessages(Command[int]):
    """Withdraw live messages; the result is the version of the event, 0 if there was nothing."""

    which: Which
    expected: int | None = None
    """The version that the caller expects: with it, the same call again is a repetition."""
    plan: Plan | None = None
    """What is withdrawn, once `gather` has read it."""

    gathers = True
    expects_conversation = True

    def gather(self, facts: Facts, state: SessionState) -> Command[int]:
        if state.status != "open":
            return self
        versions = self.which.versions(facts, state)
        clears = self.which.everything and state.cleared < state.commit_count
        return replace(self, plan=plan_withdrawal(facts, state, versions, clears=clears))

    def reads_stored(self, state: SessionState) -> bool:
        return True

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[int]:
        require_open(state)
        if self.plan is None:
            return Outcome(0)
        event = self.plan.event
        if self.which.everything:
            event = event.model_copy(update={"clears": True})
        return [Draft(event, next(iter(self.event_ids(state.session_id)), None))]

    def event_ids(self, session: str) -> Sequence[EventId]:
        if self.expected is None:
            return ()
        content = pydantic_core.to_json([type(self).__name__, self.which, *self._content()])
        digest = hashlib.sha256(content).hexdigest()
        return [derived_id(session, f"withdraw\0{self.expected}\0{digest}")]

    def _content(self) -> Sequence[Any]:
        """Return what a repetition has in common beside the messages that it withdraws."""
        return ()

    def repeats(self, recorded: Sequence[Recorded], drafts: Sequence[Draft]) -> bool:
        return True  # The id follows from the content.

    def result(self, recorded: Sequence[Recorded]) -> int:
        first = recorded[0]  # A replacement of nothing only appends.
        return first.version if first.type == MessagesWithdrawn.event_type else 0


@dataclass(slots=True, eq=False)
class ReplaceMessages(WithdrawMessages, KeepingCommand[int]):
    """Put messages in the place of live ones.

    Those behind the first of them, which stay, are recorded once more: so the order is the same.
    """

    appends: AppendMessages | None = None
    moved: tuple[StoredMessage, ...] = ()
    """The live messages from the first replaced one on."""
    newest: tuple[Newest, ...] = ()
    """What was recorded under the ids of those, and then of the new ones."""
    replaced: frozenset[int] = frozenset()

    @property
    def unkept(self) -> bool:
        return isinstance(self.appends, KeepingCommand) and self.appends.unkept

    def content(self) -> Any:
        """Return what decides whether another command with the same key is the same one."""
        given = [] if self.appends is None else self.appends.given()
        return {"which": self.which, "expected": self.expected, "messages": given}

    def keep(self, values: Values, state: SessionState) -> Command[int]:
        assert isinstance(self.appends, KeepingCommand)  # Otherwise nothing is unkept.
        kept = cast("AppendMessages", self.appends.keep(values, state))
        return replace(self, appends=kept) if kept is not self.appends else self

    def _content(self) -> Sequence[Any]:
        return [] if self.appends is None else [message.id for message in self.appends.messages]

    def gather(self, facts: Facts, state: SessionState) -> Command[int]:
        if state.status != "open" or self.appends is None:
            return self
        versions = self.which.versions(facts, state)
        behind = live_behind(facts, state, versions[0] - 1) if versions else []
        live = state.window.ranges(state.version)
        stored = [
            entry
            for entry in (facts.messages(_within(live, behind)) if behind else [])
            if entry.version >= versions[0]
        ]
        data = [entry.data for entry in stored] + list(self.appends.data)
        newest = facts.newest([message_key(each["id"]) for each in data])
        return replace(
            self,
            plan=plan_withdrawal(facts, state, behind, clears=False),
            moved=tuple(stored),
            newest=tuple(newest),
            replaced=frozenset(versions),
        )

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[int]:
        require_open(state)
        appends = self.appends
        if appends is None or (self.plan is None and not appends.messages):
            return Outcome(0)
        refuse_queued(state, [message.id for message in appends.messages])
        at = state.version + 1
        moves = [entry.version for entry in self.moved if entry.version not in self.replaced]
        drafts: list[Draft] = []
        if self.plan is not None:
            event = self.plan.event.model_copy(update={"moved": joined(moves)})
            drafts.append(Draft(event, next(iter(self.event_ids(state.session_id)), None)))
        new = self._new(state.session_id, at)
        order = self._in_order(new, at, state)
        self._refuse_parted([draft.event for draft in order], state.session_id)
        return [*drafts, *order]

    def _new(self, session: str, at: int) -> list[Draft]:
        """Return the drafts of the new messages."""
        appends = self.appends
        assert appends is not None  # `decide` has looked.
        drafts: list[Draft] = []
        newest = self.newest[len(self.moved) :]
        stored = appends.stored or appends.data
        for data, tokens, last in zip(stored, appends.tokens, newest, strict=True):
            key = last.key
            if last.version is not None:
                if last.version not in self.replaced:
                    raise DuplicateEvent(
                        session,
                        f"the message {data['id']!r} is there already, at version {last.version}; "
                        "give the replacement another id",
                    )
                key = key_again(key, at)
            event = MessageAppended.trusted({"message": data, "tokens": tokens})
            drafts.append(Draft(event, derived_id(session, key)))
        return drafts

    def _in_order(self, new: list[Draft], at: int, state: SessionState) -> list[Draft]:
        """Return the new messages in the place of the replaced ones, among those that stay."""
        one_by_one = len(new) == len(self.replaced)
        own = () if state.turn is None else state.turn.messages
        order: list[Draft] = [] if self.moved else list(new)
        left = list(new)
        for entry, last in zip(self.moved, self.newest, strict=False):
            if entry.version in self.replaced:
                taken = left[:1] if one_by_one else left
                left = left[len(taken) :]
                is_own = contains(own, entry.version) or not self.which.message_ids
                order += [draft._replace(is_turns=is_own) for draft in taken]
                continue
            event = MessageAppended.trusted({"message": entry.data, "tokens": entry.tokens})
            id_ = derived_id(state.session_id, key_again(last.key, at))
            order.append(Draft(event, id_, contains(own, entry.version)))
        return order

    def _refuse_parted(self, events: Sequence[Any], session: str) -> None:
        """Raise `InvalidMessage` if a result that stays loses its call."""
        if not any(entry.version not in self.replaced for entry in self.moved):
            return
        before = [entry.data for entry in self.moved]
        lone_before = {(before[each.place]["id"], each.tool_id) for each in lone_results(before)}
        after: list[MessageData] = [event.message for event in events]
        stays = {entry.data["id"] for entry in self.moved if entry.version not in self.replaced}
        for each in lone_results(after):
            id_ = after[each.place]["id"]
            if id_ in stays and (id_, each.tool_id) not in lone_before and not each.has_call:
                replaced = [
                    entry.data["id"] for entry in self.moved if entry.version in self.replaced
                ]
                raise InvalidMessage(
                    f"session {session!r}: message {id_!r} has the result of the call "
                    f"{each.tool_id!r}, which the replacement of {', '.join(map(repr, replaced))} "
                    "does not have; replace both",
                    field="message_ids",
                )


def _within(live: Sequence[tuple[int, int]], versions: Sequence[int]) -> list[tuple[int, int]]:
    """Return the live ranges from the first of some versions on."""
    return [(max(first, versions[0]), last) for first, last in live if last >= versions[0]]
