"""Commits that a session's own policy asks for (C8): when they are due, and the command.

What is counted is looked at after every command, by the process that gave it. The commit follows
as a command of its own, after the answer (for a synchronous caller just before it); if the process
ends in between, the session's next command makes good for it. Idleness is found by whoever looks,
in the index: a session with live messages has an entry there under the time from which it counts
as idle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventlog.records import Metadata
from eventlog.session.command import Command, Draft, Outcome
from eventlog.session.commit import Commit, CommitResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.identifiers import IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.state import SessionState

__all__ = ["AUTOMATIC", "CommitIfDue", "idle_from", "is_limit_reached"]

AUTOMATIC: Final = Metadata(actor="auto-commit")
"""Who makes these commits, as their records say."""

IDLE_STEPS: Final = 8
"""Into so many steps an idle time is divided: its end is rounded up to the next step, so that no
more than one append per step has to move the index entry."""


def is_limit_reached(state: SessionState) -> bool:
    """Tell whether a commit by the policy would archive as much as its limits say."""
    policy, window = state.auto_commit, state.window
    if policy is None or state.status != "open":
        return False
    tokens, messages = policy.pending_tokens, policy.messages
    if (tokens is None or window.tokens < tokens) and (
        messages is None or window.count < messages + policy.keep_recent
    ):
        return False  # Planning, which looks at the single messages, could only find less.
    plan = window.retention(state.version, policy.keep_recent)
    return (tokens is not None and plan.taken_tokens >= tokens) or (
        messages is not None and plan.taken_count >= messages
    )


def idle_from(state: SessionState, last_message_at: int | None = None) -> int | None:
    """Return the time from which the session is to be looked at as idle, in microseconds.

    None where nothing is to be archived then. ``last_message_at`` replaces that of the state.
    """
    policy = state.auto_commit
    if policy is None or policy.idle_seconds is None or state.status != "open":
        return None
    if state.window.count <= policy.keep_recent or state.blocking_failure() is not None:
        return None
    idle = int(policy.idle_seconds * 1_000_000)
    step = max(1, idle // IDLE_STEPS)
    end = (state.last_message_at if last_message_at is None else last_message_at) + idle
    return -(-end // step) * step


@dataclass(slots=True, eq=False)
class CommitIfDue(Command[CommitResult]):
    """Commit a session as its policy says, if it is time; an ordinary commit."""

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[CommitResult]:
        idle = idle_from(state)
        is_due = is_limit_reached(state) or (idle is not None and idle <= now)
        if state.auto_commit is None or not is_due:
            return Outcome(CommitResult("skipped", state.session_id, reason="not_due"))
        return Commit(state.auto_commit.keep_recent).decide(state, now, ids)

    def result(self, recorded: Sequence[Recorded]) -> CommitResult:
        return Commit().result(recorded)
