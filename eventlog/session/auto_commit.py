"""The command that commits a session when its policy says so (C8).

The limits on tokens and messages are checked after every command, by the process that gave it. The
commit is a separate command, given after the answer (for a synchronous caller just before it); if
the process ends in between, the session's next command makes up for it. Idle sessions are found in
the index, by any process that looks: a session with live messages has an entry there under the time
from which it counts as idle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventlog.records import Metadata
from eventlog.session.command import Command, Draft, Outcome
from eventlog.session.commit import Commit, CommitResult
from eventlog.session.commit_due import idle_from, is_limit_reached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.identifiers import IdSource
    from eventlog.recorded import Recorded
    from eventlog.session.state import SessionState

__all__ = ["AUTOMATIC", "CommitIfDue"]

AUTOMATIC: Final = Metadata(actor="auto-commit")
"""The metadata of these commits' records: who made them."""


@dataclass(slots=True, eq=False)
class CommitIfDue(Command[CommitResult]):
    """Make an ordinary commit as the session's policy says, if it is due."""

    is_idle: bool = False
    """Whether the caller has seen the session idle for long enough although its last message has a
    time in the future."""

    def decide(
        self, state: SessionState, now: int, ids: IdSource
    ) -> Sequence[Draft] | Outcome[CommitResult]:
        idle = idle_from(state)
        has_waited = idle is not None and (
            idle <= now or (self.is_idle and state.last_message_at > now)
        )
        is_due = is_limit_reached(state) or has_waited
        if state.auto_commit is None or not is_due:
            return Outcome(CommitResult("skipped", state.session_id, reason="not_due"))
        return Commit(state.auto_commit.keep_recent).decide(state, now, ids)

    def result(self, recorded: Sequence[Recorded]) -> CommitResult:
        return Commit().result(recorded)
