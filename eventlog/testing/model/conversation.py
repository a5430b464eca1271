"""The conversation of `eventlog.testing.model.session`: messages, tool results, usage and commits."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from eventlog.errors import (
    CommitBlocked,
    DuplicateEvent,
    EventLogError,
    InvalidMessage,
    SessionClosed,
)

__all__ = ["FINAL", "Archived", "Conversation", "Refusal", "Said", "weight"]

FINAL: Final = ("completed", "error")
"""The states of a tool call that has its result."""


class Refusal(Exception):
    """The command must be refused with one of these errors, or may be where that is ``optional``.

    Either way it changes nothing.
    """

    def __init__(self, *errors: type[EventLogError], optional: bool = False) -> None:
        super().__init__(" or ".join(error.__name__ for error in errors))
        self.errors = errors
        self.optional = optional


def weight(message: dict[str, Any]) -> int:
    """Return the length of what counts as tokens: texts, and the JSON of parts of unknown types."""
    return sum(
        len(json.dumps({"payload": part["payload"]}, ensure_ascii=False))
        if part["type"] == "acme"
        else len(part.get("text", ""))
        + len(part.get("abstract", ""))
        + len(part.get("tool_id", ""))
        + len(part.get("tool_name", ""))
        + len(part.get("tool_output") or "")
        for part in message["parts"]
    )


def _is_result(part: dict[str, Any]) -> bool:
    """Return whether a tool part is the result of a call, and no call itself."""
    return part.get("tool_status", "pending") in FINAL and part.get("tool_input") is None


@dataclass
class Said:
    """A message, and the state of the calls in it."""

    message: dict[str, Any]
    version: int
    tokens: int
    turn: int
    """The version of the first message of its turn."""
    results: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Status and output by the id of the call."""

    @property
    def id(self) -> str:
        return str(self.message["id"])

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [part for part in self.message["parts"] if part["type"] == "tool"]

    @property
    def asks(self) -> set[str]:
        """The ids of the calls in it."""
        return {part["tool_id"] for part in self.calls if not _is_result(part)}

    @property
    def answers(self) -> set[str]:
        """The ids of the calls whose results are in it."""
        return {part["tool_id"] for part in self.calls if _is_result(part)}

    def shown(self) -> dict[str, Any]:
        """Return what a reader must see: the message with its known results."""
        return {**self.message, "parts": [self._answered(part) for part in self.message["parts"]]}

    def _answered(self, part: dict[str, Any]) -> dict[str, Any]:
        if part["type"] != "tool" or part["tool_id"] not in self.results:
            return part
        status, output = self.results[part["tool_id"]]
        return {**part, "tool_status": status, "tool_output": output}


@dataclass
class Archived:
    """An archive and the task that finalises it."""

    index: int
    messages: list[str]
    state: str = "pending"
    attempts: int = 0
    fence: int = 0
    due_at: int = 0
    since: int = 0
    """When it was claimed, or when its attempt failed."""
    summary: str | None = None
    overview: str | None = None
    covered: bool = False

    @property
    def name(self) -> str:
        return f"archive_{self.index:03d}"


@dataclass
class Conversation:
    """The messages of a session, which of them are live, and the archives of its commits."""

    failed_archives: str = "block"
    attempts: int = 3
    """How many a task gets."""
    status: str = "absent"
    version: int = 0
    time: int = 0
    said: dict[str, Said] = field(default_factory=dict[str, Said])
    live: list[str] = field(default_factory=list[str])
    archives: list[Archived] = field(default_factory=list[Archived])
    waiting: dict[str, str] = field(default_factory=dict[str, str])
    """The live message of each call without result, by the call's id."""
    turn: int = 0
    pairs: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """The messages of calls, each with a message that answers one: no commit parts these."""
    tool_results: dict[tuple[str, str, str], str] = field(
        default_factory=dict[tuple[str, str, str], str]
    )
    keyed: dict[str, tuple[Any, Any]] = field(default_factory=dict[str, tuple[Any, Any]])
    """Command and outcome by idempotency key."""
    used_since_commit: int = 0
    summaries_paid: int = 0
    overview_of: int = 0

    # ---- messages -----------------------------------------------------------------------------

    def append(self, now: int, messages: list[dict[str, Any]]) -> None:
        """Add messages, all or none; repeating them unchanged changes nothing (P8)."""
        known = [self.said.get(message["id"]) for message in messages]
        if any(known):
            self._repeat(messages, [said for said in known if said is not None])
            return
        self.require_open()
        self.create(now)
        for message in messages:
            self.record(now)
            self._say(message)

    def _repeat(self, messages: list[dict[str, Any]], known: list[Said]) -> None:
        versions = [said.version for said in known]
        same = [said.message for said in known] == messages
        if same and versions == list(range(versions[0], versions[0] + len(messages))):
            return
        # Stored in this order, but in more than one batch: the content is the same either way.
        optional = same and versions == sorted(versions)
        raise self._duplicate(optional=optional)

    def _duplicate(self, *, optional: bool = False) -> Refusal:
        closed = () if self.status == "open" else (SessionClosed,)
        return Refusal(DuplicateEvent, *closed, optional=optional)

    def _say(self, message: dict[str, Any]) -> None:
        parts = message["parts"]
        tools = [part for part in parts if part["type"] == "tool"]
        answers = any(_is_result(part) for part in tools)
        begins = (
            message["role"] == "user" and not answers and (len(tools) < len(parts) or not parts)
        )
        if begins or not self.live:
            self.turn = self.version
        said = Said(message, self.version, weight(message), self.turn)
        self.said[said.id] = said
        self.live.append(said.id)
        for part in tools:
            if _is_result(part):
                asked = self.waiting.pop(part["tool_id"], None)
                if asked is not None:
                    self.pairs.append((asked, said.id))
            elif part.get("tool_status", "pending") not in FINAL:
                self.waiting[part["tool_id"]] = said.id

    def tool_result(
        self, now: int, message_id: str, tool_id: str, output: str, status: str
    ) -> None:
        """Write the result of a call into its message."""
        said = self.said.get(message_id)
        if said is None or all(call["tool_id"] != tool_id for call in said.calls):
            raise Refusal(InvalidMessage, *([] if self.status == "open" else [SessionClosed]))
        known = self.tool_results.get((message_id, tool_id, status))
        if known is not None:
            if known != output:
                raise self._duplicate()
            return
        self.require_open()
        self.record(now)
        self.tool_results[message_id, tool_id, status] = output
        said.results[tool_id] = (status, output)
        if status in FINAL and self.waiting.pop(tool_id, None) is not None:
            said.tokens += len(output)

    def used(self, now: int, contexts: list[str], key: str | None) -> None:
        """Note usage for the next commit."""
        if self._repeats(key, ("used", contexts)):
            return
        self.require_open()
        self.create(now)
        self.record(now)
        self.used_since_commit += 1
        self._remember(key, ("used", contexts), None)

    # ---- commits ------------------------------------------------------------------------------

    def commit(
        self, now: int, keep_recent: int, keep_turn_tokens: int | None, key: str | None
    ) -> tuple[str, int, str | None]:
        """Archive the live messages; return the status, their number, and the archive."""
        command = ("commit", keep_recent, keep_turn_tokens)
        if self._repeats(key, command):
            outcome: tuple[str, int, str | None] = self.keyed[str(key)][1]
            return outcome
        self.require_open()
        if not self.live:
            return ("skipped", 0, None)
        if self.failed_archives == "block" and self._failed():
            raise Refusal(CommitBlocked)
        stays = self._retained(keep_recent, keep_turn_tokens)
        taken = [name for name in self.live if name not in stays]
        if not taken:
            return ("skipped", 0, None)
        self.record(now, 2)
        self.live = [name for name in self.live if name in stays]
        self.waiting = {call: name for call, name in self.waiting.items() if name in stays}
        self.used_since_commit = 0
        archive = Archived(len(self.archives) + 1, taken, due_at=self.time)
        self.archives.append(archive)
        outcome = ("accepted", len(taken), archive.name)
        self._remember(key, command, outcome)
        return outcome

    def _retained(self, keep_recent: int, keep_turn_tokens: int | None) -> set[str]:
        """Return what stays live: the newest messages or rounds, and rounds with a waiting call."""
        if keep_turn_tokens is not None:
            stays = self._newest_rounds(keep_turn_tokens)
        elif keep_recent >= len(self.live):
            stays = set(self.live)
        else:
            stays = set(self.live[self._whole_from(len(self.live) - keep_recent) :])
        waiting = set(self.waiting.values())
        for whole in self._rounds():
            open_ = [name for name in whole if name in waiting]
            if open_:
                first = min(self._begin_of_turn(name) for name in open_)
                stays |= set(whole[whole.index(self.live[self._whole_from(first)]) :])
        return stays

    def _begin_of_turn(self, name: str) -> int:
        """Return the place of the first live message of a message's turn."""
        turn = self.said[name].turn
        return next(place for place, one in enumerate(self.live) if self.said[one].turn == turn)

    def _whole_from(self, start: int) -> int:
        """Move a cut back to where it parts no call from its result."""
        glued = self._glued()
        while 0 < start < len(self.live) and self.live[start] in glued:
            start -= 1
        return start

    def _newest_rounds(self, budget: int) -> set[str]:
        stays: set[str] = set()
        for whole in reversed(self._rounds()):
            budget -= sum(self.said[name].tokens for name in whole)
            if budget < 0:
                break
            stays |= set(whole)
        return stays

    def _rounds(self) -> list[list[str]]:
        """Return the live messages by rounds; rounds that share a call and its result are one."""
        glued = self._glued()
        rounds: list[list[str]] = []
        turn = 0
        for name in self.live:
            if not rounds or (self.said[name].turn != turn and name not in glued):
                rounds.append([])
            turn = self.said[name].turn
            rounds[-1].append(name)
        return rounds

    def _glued(self) -> set[str]:
        """Return the live messages right before which a cut would part a call from its result."""
        places = {name: place for place, name in enumerate(self.live)}
        glued: set[str] = set()
        for asked, answer in self.pairs:
            if asked in places and answer in places:
                glued.update(self.live[places[asked] + 1 : places[answer] + 1])
        return glued

    # ---- views --------------------------------------------------------------------------------

    def with_calls(self, names: list[str]) -> list[str]:
        """Return the messages a model may be given: none whose results have no call before them.

        A second result of one call has its call. The model's messages of results say nothing else.
        """
        asked: set[str] = set()
        left: list[str] = []
        for name in names:
            asked |= self.said[name].asks
            if self.said[name].answers <= asked:
                left.append(name)
        return left

    def newest(self, names: list[str], last: int) -> list[str]:
        """Return the ``last`` messages, and as many before them as part no result from its call."""
        for start in range(max(0, len(names) - last), 0, -1):
            before = {call for name in names[:start] for call in self.said[name].asks}
            if not any(before & self.said[name].answers for name in names[start:]):
                return names[start:]
        return names

    # ---- inside -------------------------------------------------------------------------------

    def require_open(self) -> None:
        """Refuse a command that an ended session does not accept."""
        if self.status in ("closed", "deleted"):
            raise Refusal(SessionClosed)

    def create(self, now: int) -> None:
        """Create the session with its first record."""
        if self.status == "absent":
            self.record(now)
            self.status = "open"

    def record(self, now: int, events: int = 1) -> None:
        """Count records, at this time or the last one's."""
        self.version += events
        self.time = max(self.time, now)

    def _failed(self) -> bool:
        return any(archive.state == "terminal_failed" for archive in self.archives)

    def _repeats(self, key: str | None, command: Any) -> bool:
        if key is None or key not in self.keyed:
            return False
        if self.keyed[key][0] != command:
            raise Refusal(DuplicateEvent)
        return True

    def _remember(self, key: str | None, command: Any, outcome: Any) -> None:
        if key is not None:
            self.keyed[key] = (command, outcome)
