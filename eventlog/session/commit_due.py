"""When a commit by a session's policy is due (C8): pure functions of the session's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventlog.session.state import SessionState

__all__ = ["IDLE_STEPS", "idle_from", "is_limit_reached"]

IDLE_STEPS: Final = 8
"""The steps of an idle time: its end is rounded up to the next step, so that at most one append per
step has to move the index entry."""


def is_limit_reached(state: SessionState) -> bool:
    """Return whether a commit by the policy would archive as much as its limits say."""
    policy, window = state.auto_commit, state.window
    if policy is None or state.status != "open":
        return False
    tokens, messages = policy.pending_tokens, policy.messages
    if (tokens is None or window.tokens < tokens) and (
        messages is None or window.count < messages + policy.keep_recent
    ):
        return False  # A plan, which looks at the single messages, can only find fewer.
    plan = window.retention(state.version, policy.keep_recent)
    return (tokens is not None and plan.taken_tokens >= tokens) or (
        messages is not None and plan.taken_count >= messages
    )


def idle_from(state: SessionState, last_message_at: int | None = None) -> int | None:
    """Return the time from which the session counts as idle, in microseconds.

    None if there is nothing to archive. ``last_message_at`` replaces the time in the state.
    """
    policy = state.auto_commit
    if policy is None or policy.idle_seconds is None or state.status != "open":
        return None
    if state.window.count <= policy.keep_recent or state.blocking_failure() is not None:
        return None
    if state.window.held_from and state.window.count <= state.window.held_count:
        return None  # All that is live came after the open turn was begun.
    idle = int(policy.idle_seconds * 1_000_000)
    step = max(1, idle // IDLE_STEPS)
    end = (state.last_message_at if last_message_at is None else last_message_at) + idle
    return -(-end // step) * step
