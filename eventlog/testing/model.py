"""A session in plain lists: what the library is held against, step by step.

Nothing here knows records, folds or stores. A command either changes the model and returns what its
caller is told, or raises `Refusal` and changes nothing. Times are in microseconds, token estimates
are lengths of text.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from eventlog.errors import (
    ArchiveNotFound,
    CommitBlocked,
    DuplicateEvent,
    EventLogError,
    IllegalTransition,
    InvalidMessage,
    LeaseLost,
    SessionClosed,
)

__all__ = ["Archived", "Refusal", "Said", "SessionModel", "weight"]

UNFINISHED: Final = ("pending", "running", "retry", "terminal_failed")
OPEN: Final = ("pending", "running", "retry")
FINAL: Final = ("completed", "error")


class Refusal(Exception):
    """The command must be refused with one of these errors, or may be where that is ``optional``.

    Either way it changes nothing.
    """

    def __init__(self, *errors: type[EventLogError], optional: bool = False) -> None:
        super().__init__(" or ".join(error.__name__ for error in errors))
        self.errors = errors
        self.optional = optional


def weight(message: dict[str, Any]) -> int:
    """Return the length of all text in a message that counts as tokens."""
    return sum(
        len(part.get("text", ""))
        + len(part.get("abstract", ""))
        + len(part.get("tool_id", ""))
        + len(part.get("tool_name", ""))
        + len(part.get("tool_output") or "")
        for part in message["parts"]
    )


@dataclass
class Said:
    """A message, and what became of the calls in it."""

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

    def shown(self) -> dict[str, Any]:
        """Return what a reader is to see: what was said, with the results that are known."""
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
    summary: str | None = None
    overview: str | None = None
    covered: bool = False

    @property
    def name(self) -> str:
        return f"archive_{self.index:03d}"


@dataclass
class SessionModel:
    """One session: what was said, what is live, what was archived, and who works on it."""

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
    tool_results: dict[tuple[str, str, str], str] = field(
        default_factory=dict[tuple[str, str, str], str]
    )
    keyed: dict[str, tuple[Any, Any]] = field(default_factory=dict[str, tuple[Any, Any]])
    """Command and outcome by idempotency key."""
    used_since_commit: int = 0
    summaries_paid: int = 0
    overview_of: int = 0

    def copy(self) -> SessionModel:
        """Return a model that can go on without changing this one."""
        copied = copy.copy(self)
        copied.said = {
            name: replace(said, results=said.results.copy()) for name, said in self.said.items()
        }
        copied.archives = [replace(archive) for archive in self.archives]
        for name in ("live", "waiting", "tool_results", "keyed"):
            setattr(copied, name, getattr(self, name).copy())
        return copied

    # ---- what a reader is to see --------------------------------------------------------------

    def shown(self) -> dict[str, Any]:
        """Return all that can be seen of the session."""
        uncovered = [
            name for archive in self.archives if not archive.covered for name in archive.messages
        ]
        context = sorted([*uncovered, *self.live], key=lambda name: self.said[name].version)
        return {
            "version": self.version,
            "status": self.status,
            "live": [self.said[name].shown() for name in self.live],
            "history": [said.shown() for said in self.said.values()],
            "archives": [
                (archive.name, archive.state, archive.attempts, archive.messages)
                for archive in self.archives
            ],
            "overview": self.archives[self.overview_of - 1].overview if self.overview_of else "",
            "context": [self.said[name].shown() for name in context],
            "live_tokens": sum(self.said[name].tokens for name in self.live),
            "used": self.used_since_commit,
            "summaries_paid": self.summaries_paid,
        }

    # ---- messages -----------------------------------------------------------------------------

    def append(self, now: int, messages: list[dict[str, Any]]) -> None:
        """Take messages in, all or none; repeated as they were they change nothing (P8)."""
        known = [self.said.get(message["id"]) for message in messages]
        if any(known):
            self._repeat(messages, [said for said in known if said is not None])
            return
        self._require_open()
        self._create(now)
        for message in messages:
            self._record(now)
            self._say(message)

    def _repeat(self, messages: list[dict[str, Any]], known: list[Said]) -> None:
        versions = [said.version for said in known]
        same = [said.message for said in known] == messages
        if same and versions == list(range(versions[0], versions[0] + len(messages))):
            return
        # Stored in this order, but in more than one batch: what they say is there either way.
        optional = same and versions == sorted(versions)
        raise self._duplicate(optional=optional)

    def _duplicate(self, *, optional: bool = False) -> Refusal:
        closed = () if self.status == "open" else (SessionClosed,)
        return Refusal(DuplicateEvent, *closed, optional=optional)

    def _say(self, message: dict[str, Any]) -> None:
        parts = message["parts"]
        tools = [part for part in parts if part["type"] == "tool"]
        begins = message["role"] == "user" and (len(tools) < len(parts) or not parts)
        if begins or not self.live:
            self.turn = self.version
        said = Said(message, self.version, weight(message), self.turn)
        self.said[said.id] = said
        self.live.append(said.id)
        for part in tools:
            if part.get("tool_status", "pending") in FINAL:
                self.waiting.pop(part["tool_id"], None)
            else:
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
        self._require_open()
        self._record(now)
        self.tool_results[message_id, tool_id, status] = output
        said.results[tool_id] = (status, output)
        if status in FINAL and self.waiting.pop(tool_id, None) is not None:
            said.tokens += len(output)

    def used(self, now: int, contexts: list[str], key: str | None) -> None:
        """Note usage for the next commit."""
        if self._repeats(key, ("used", contexts)):
            return
        self._require_open()
        self._create(now)
        self._record(now)
        self.used_since_commit += 1
        self._remember(key, ("used", contexts), None)

    # ---- commits ------------------------------------------------------------------------------

    def commit(
        self, now: int, keep_recent: int, keep_turn_tokens: int | None, key: str | None
    ) -> tuple[str, int, str | None]:
        """Archive what is live; return the status, how many were archived, and the archive."""
        command = ("commit", keep_recent, keep_turn_tokens)
        if self._repeats(key, command):
            outcome: tuple[str, int, str | None] = self.keyed[str(key)][1]
            return outcome
        self._require_open()
        if not self.live:
            return ("skipped", 0, None)
        if self.failed_archives == "block" and self._failed():
            raise Refusal(CommitBlocked)
        stays = self._retained(keep_recent, keep_turn_tokens)
        taken = [name for name in self.live if name not in stays]
        if not taken:
            return ("skipped", 0, None)
        self._record(now, 2)
        self.live = [name for name in self.live if name in stays]
        self.waiting = {call: name for call, name in self.waiting.items() if name in stays}
        self.used_since_commit = 0
        archive = Archived(len(self.archives) + 1, taken, due_at=self.time)
        self.archives.append(archive)
        outcome = ("accepted", len(taken), archive.name)
        self._remember(key, command, outcome)
        return outcome

    def _retained(self, keep_recent: int, keep_turn_tokens: int | None) -> set[str]:
        """Return what stays live: the newest messages or turns, and turns with a waiting call."""
        if keep_turn_tokens is None:
            stays = set(self.live[len(self.live) - keep_recent :]) if keep_recent else set[str]()
            if keep_recent >= len(self.live):
                stays = set(self.live)
        else:
            stays = self._newest_turns(keep_turn_tokens)
        for name in self.waiting.values():
            stays |= self._turn(self.said[name].turn)
        return stays

    def _newest_turns(self, budget: int) -> set[str]:
        stays: set[str] = set()
        for turn in sorted({self.said[name].turn for name in self.live}, reverse=True):
            whole = self._turn(turn)
            budget -= sum(self.said[name].tokens for name in whole)
            if budget < 0:
                break
            stays |= whole
        return stays

    def _turn(self, turn: int) -> set[str]:
        """Return what is live of a turn."""
        return {name for name in self.live if self.said[name].turn == turn}

    # ---- workers ------------------------------------------------------------------------------

    def lane_head(self) -> Archived | None:
        """Return the archive that may be worked on (F1)."""
        for archive in self.archives:
            if archive.state in OPEN:
                return archive
            if archive.state == "terminal_failed" and self.failed_archives == "block":
                return None
        return None

    def claim(self, now: int, index: int, lease: int, gone: int | None = None) -> int | None:
        """Take an archive's task; return the fence if it was free and has attempts left."""
        archive = self.archives[index - 1]
        lost = archive.state == "running" and archive.fence == gone
        due = archive.state in OPEN and archive.due_at <= now
        if archive is not self.lane_head() or not (archive.state == "pending" or lost or due):
            return None
        if archive.state == "running":
            self._record(now)
            archive.state, archive.due_at = "retry", self.time
            if archive.attempts >= self.attempts:
                self._record(now)
                archive.state = "terminal_failed"
                return None
        self._record(now)
        archive.state, archive.fence = "running", self.version
        archive.attempts += 1
        archive.due_at = now + lease
        return archive.fence

    def owned(self, index: int, fence: int) -> Archived:
        """Return the archive if the fence is its owner's (P5)."""
        archive = self.archives[index - 1]
        if archive.state != "running" or archive.fence != fence:
            raise Refusal(LeaseLost)
        return archive

    def renew(self, now: int, index: int, fence: int, lease: int) -> None:
        archive = self.owned(index, fence)
        self._record(now)
        archive.due_at = max(archive.due_at, now + lease)

    def release(self, now: int, index: int, fence: int) -> None:
        archive = self.owned(index, fence)
        self._record(now)
        archive.state, archive.due_at = "pending", self.time
        archive.attempts -= 1

    def summarize(self, now: int, index: int, fence: int, summary: str) -> None:
        """Note a summary as made and paid for; the first one stays."""
        archive = self.owned(index, fence)
        if archive.summary is None:
            self._record(now)
            archive.summary = summary
            self.summaries_paid += 1

    def covers(self, index: int) -> tuple[int, ...]:
        """Return what a summary of the archive stands for: itself, and what was left before it."""
        earlier = [found.index for found in self.archives[: index - 1] if not found.covered]
        return (*earlier, index)

    def finalize(self, now: int, index: int, fence: int, overview: str) -> None:
        archive = self.owned(index, fence)
        self._record(now)
        archive.state, archive.overview = "completed", overview
        if index > self.overview_of:
            for covered in self.covers(index):
                self.archives[covered - 1].covered = True
            self.overview_of = index

    def fail(self, now: int, index: int, fence: int, delay: int, *, fatal: bool) -> None:
        archive = self.owned(index, fence)
        self._record(now)
        if fatal or archive.attempts >= self.attempts:
            archive.state = "terminal_failed"
        else:
            archive.state, archive.due_at = "retry", now + delay

    def work(
        self, now: int, lease: int, script: Callable[[], str], done: Callable[[SessionModel], None]
    ) -> int:
        """Do what a worker does until nothing is due; hand every state on the way to ``done``.

        ``script`` tells what becomes of each summary: ``ok``, ``transient``, ``fatal``, or
        ``crash``, which ends the worker.
        """
        completed = 0
        for archive in self._due(now):
            fence = self.claim(now, archive.index, lease)
            done(self)
            if fence is None:
                continue
            if archive.summary is None:
                match script():
                    case "ok":
                        self.summarize(now, archive.index, fence, f"overview of {archive.name}")
                    case "crash":
                        return completed
                    case outcome:
                        fatal = outcome == "fatal"
                        self.fail(now, archive.index, fence, 0, fatal=fatal)
                        done(self)
                        continue
                done(self)
            self.finalize(now, archive.index, fence, str(archive.summary))
            completed += 1
            done(self)
        return completed

    def _due(self, now: int) -> Iterator[Archived]:
        while True:
            head = self.lane_head()
            if head is None or head.due_at > now:
                return
            yield head

    # ---- operators ----------------------------------------------------------------------------

    def retry(self, now: int, index: int) -> str:
        """Give a failed archive new attempts."""
        archive = self._archive(index)
        match archive.state:
            case "completed":
                return "already_completed"
            case "abandoned":
                raise Refusal(IllegalTransition)
            case "terminal_failed":
                self._record(now)
                archive.state, archive.attempts, archive.due_at = "pending", 0, self.time
                return "accepted"
            case _:
                return "running"

    def abandon(self, now: int, index: int) -> None:
        """Give an archive's finalisation up."""
        archive = self._archive(index)
        if archive.state == "completed":
            raise Refusal(IllegalTransition)
        if archive.state != "abandoned":
            self._record(now)
            archive.state = "abandoned"

    def _archive(self, index: int) -> Archived:
        if self.status == "deleted":
            raise Refusal(SessionClosed)
        if not 1 <= index <= len(self.archives):
            raise Refusal(ArchiveNotFound)
        return self.archives[index - 1]

    def close(self, now: int) -> None:
        if self.status == "closed":
            return
        self._require_open()
        self._create(now)
        self._record(now)
        self.status = "closed"

    def delete(self, now: int) -> None:
        if self.status == "deleted":
            raise Refusal(SessionClosed)
        self._create(now)
        for archive in self.archives:
            if archive.state in UNFINISHED:
                self._record(now)
                archive.state = "abandoned"
        self._record(now)
        self.status = "deleted"

    # ---- inside -------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self.status in ("closed", "deleted"):
            raise Refusal(SessionClosed)

    def _create(self, now: int) -> None:
        if self.status == "absent":
            self._record(now)
            self.status = "open"

    def _record(self, now: int, events: int = 1) -> None:
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
