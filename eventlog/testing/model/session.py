"""A session in plain lists: the model with which the library is compared step by step.

Nothing here uses records, folds or stores. A command either changes the model and returns the caller's
answer, or raises `Refusal` and changes nothing. Times are in microseconds; token estimates are lengths
of text.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from eventlog.errors import ArchiveNotFound, IllegalTransition, LeaseLost, SessionClosed
from eventlog.testing.model.conversation import Archived, Conversation, Refusal

__all__ = ["NEWEST", "Refusal", "SessionModel"]

UNFINISHED: Final = ("pending", "running", "retry", "terminal_failed")
OPEN: Final = ("pending", "running", "retry")
TRUSTED_LEASE: Final = 300_000_000
TRUSTED_DELAY: Final = 60_000_000
NEWEST: Final = (1, 2, 3)
"""How many of the newest messages are compared, together with the calls that they answer."""


@dataclass
class SessionModel(Conversation):
    """One session: its messages, the live ones, the archives, and the workers on them."""

    def copy(self) -> SessionModel:
        """Return a copy that can change without changing this one."""
        copied = copy.copy(self)
        copied.said = {
            name: replace(said, results=said.results.copy()) for name, said in self.said.items()
        }
        copied.archives = [replace(archive) for archive in self.archives]
        for name in ("live", "waiting", "tool_results", "keyed"):
            setattr(copied, name, getattr(self, name).copy())
        return copied

    # ---- what a reader must see ---------------------------------------------------------------

    def shown(self) -> dict[str, Any]:
        """Return everything visible of the session."""
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
            "context": [self.said[name].shown() for name in self.with_calls(context)],
            "newest": [self.newest(self.live, last) for last in NEWEST],
            "truncated": [self.newest(self.with_calls(self.live), last) for last in NEWEST],
            "live_tokens": sum(self.said[name].tokens for name in self.live),
            "used": self.used_since_commit,
            "summaries_paid": self.summaries_paid,
        }

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
            self.record(now)
            archive.state, archive.due_at = "retry", self.time
            if archive.attempts >= self.attempts:
                self.record(now)
                archive.state = "terminal_failed"
                return None
        self.record(now)
        archive.state, archive.fence = "running", self.version
        archive.attempts += 1
        archive.since, archive.due_at = self.time, now + lease
        return archive.fence

    def owned(self, index: int, fence: int) -> Archived:
        """Return the archive if the fence is its owner's (P5)."""
        archive = self.archives[index - 1]
        if archive.state != "running" or archive.fence != fence:
            raise Refusal(LeaseLost)
        return archive

    def renew(self, now: int, index: int, fence: int, lease: int) -> None:
        archive = self.owned(index, fence)
        self.record(now)
        until = now + lease
        if archive.due_at <= until + lease:  # Otherwise a clock was ahead when it was set (F2).
            until = max(until, archive.due_at)
        archive.due_at = until

    def release(self, now: int, index: int, fence: int) -> None:
        archive = self.owned(index, fence)
        self.record(now)
        archive.state, archive.due_at = "pending", self.time
        archive.attempts -= 1

    def summarize(self, now: int, index: int, fence: int, summary: str) -> None:
        """Note a summary as made and paid for; the first one stays."""
        archive = self.owned(index, fence)
        if archive.summary is None:
            self.record(now)
            archive.summary = summary
            self.summaries_paid += 1

    def covers(self, index: int) -> tuple[int, ...]:
        """Return what a summary of the archive covers: the archive, and earlier uncovered ones."""
        earlier = [found.index for found in self.archives[: index - 1] if not found.covered]
        return (*earlier, index)

    def finalize(self, now: int, index: int, fence: int, overview: str) -> None:
        archive = self.owned(index, fence)
        self.record(now)
        archive.state, archive.overview = "completed", overview
        if index > self.overview_of:
            for covered in self.covers(index):
                self.archives[covered - 1].covered = True
            self.overview_of = index

    def fail(self, now: int, index: int, fence: int, delay: int, *, fatal: bool) -> None:
        archive = self.owned(index, fence)
        self.record(now)
        if fatal or archive.attempts >= self.attempts:
            archive.state = "terminal_failed"
        else:
            archive.state, archive.since, archive.due_at = "retry", self.time, now + delay

    def work(
        self, now: int, lease: int, script: Callable[[], str], done: Callable[[SessionModel], None]
    ) -> int:
        """Do what a worker does until nothing is due; pass every state on the way to ``done``.

        ``script`` gives the outcome of each summary: ``ok``, ``transient``, ``fatal``, or ``crash``,
        which ends the worker.
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
            # One append with the summary: no state has a summary that is made and not finalised.
            self.finalize(now, archive.index, fence, str(archive.summary))
            completed += 1
            done(self)
        return completed

    def _due(self, now: int) -> Iterator[Archived]:
        while True:
            head = self.lane_head()
            if head is None or (head.due_at > now and head.state != "pending"):
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
                self.record(now)
                archive.state, archive.attempts, archive.due_at = "pending", 0, self.time
                return "accepted"
            case "running" | "retry" if self._is_stuck(archive, now):
                self.record(now, 3 if archive.state == "running" else 2)
                archive.state, archive.attempts, archive.due_at = "pending", 0, self.time
                return "accepted"
            case _:
                return "running"

    def _is_stuck(self, archive: Archived, now: int) -> bool:
        """Return whether an archive waits for longer than any lease or delay: a clock was ahead."""
        longest = TRUSTED_LEASE if archive.state == "running" else TRUSTED_DELAY
        return archive.due_at - now > max(longest, archive.due_at - archive.since)

    def abandon(self, now: int, index: int) -> None:
        """Abandon an archive's finalisation."""
        archive = self._archive(index)
        if archive.state == "completed":
            raise Refusal(IllegalTransition)
        if archive.state != "abandoned":
            self.record(now)
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
        self.require_open()
        self.create(now)
        self.record(now)
        self.status = "closed"

    def delete(self, now: int) -> None:
        if self.status == "deleted":
            raise Refusal(SessionClosed)
        self.create(now)
        for archive in self.archives:
            if archive.state in UNFINISHED:
                self.record(now)
                archive.state = "abandoned"
        self.record(now)
        self.status = "deleted"
