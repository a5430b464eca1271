"""The usage of a session: contexts and skills by commit, and the tokens of model calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic import TypeAdapter

from eventlog.projection import Projection
from eventlog.session.commit import archive_id
from eventlog.session.folding import apply
from eventlog.session.index import INDEXED_TYPES
from eventlog.session.projection import SessionFold
from eventlog.session.state import SessionState
from eventlog.session.views import session_meta

if TYPE_CHECKING:
    from eventlog.recorded import Recorded
    from eventlog.session.events import CommitPrepared, ContextsUsed

__all__ = ["CommitUsage", "SessionUsage", "Usage", "UsageState"]


class CommitUsage(NamedTuple):
    """What was used between two commits, or, without an archive, since the last one."""

    archive_id: str | None
    contexts: tuple[str, ...]
    skills: tuple[dict[str, Any], ...]


class SessionUsage(NamedTuple):
    """What a session used and what its model calls cost."""

    commits: tuple[CommitUsage, ...]
    since_last_commit: CommitUsage
    llm_token_usage: dict[str, int]
    embedding_token_usage: dict[str, int]


@dataclass(slots=True)
class UsageState:
    """Usage by commit, and the uses that belong to no commit yet: (version, contexts, skill)."""

    session: SessionState
    commits: list[CommitUsage] = field(default_factory=list[CommitUsage])
    waiting: list[tuple[int, list[str], dict[str, Any] | None]] = field(
        default_factory=list[tuple[int, list[str], "dict[str, Any] | None"]]
    )


class Usage(Projection[UsageState, SessionUsage]):
    """Usage by commit, each recorded use in exactly one of them, and tokens, counted once.

    Messages are not decoded for it. The state grows with what is used, not with the messages.
    """

    name = "usage"
    types = INDEXED_TYPES | {"contexts_used"}

    def initial(self) -> UsageState:
        return UsageState(SessionState(""))

    def apply(self, state: UsageState, recorded: Recorded) -> UsageState:
        illegal_steps = len(state.session.findings)
        apply(state.session, recorded)
        if len(state.session.findings) > illegal_steps:
            return state
        if recorded.type == "contexts_used":
            used = cast("ContextsUsed", recorded.event)
            state.waiting.append((recorded.version, used.contexts, used.skill))
        elif recorded.type == "commit_prepared":
            _commit(state, cast("CommitPrepared", recorded.event))
        return state

    def view(self, state: UsageState) -> SessionUsage:
        meta = session_meta(state.session)
        return SessionUsage(
            commits=tuple(state.commits),
            since_last_commit=_sum(None, state.waiting),
            llm_token_usage=meta.llm_token_usage,
            embedding_token_usage=meta.embedding_token_usage,
        )

    def fingerprint(self) -> str:
        return f"{self.schema}-{SessionFold().fingerprint()}"

    def dump(self, state: UsageState) -> bytes:
        return _adapter().dump_json(state)

    def load(self, data: bytes) -> UsageState:
        state: UsageState = _adapter().validate_json(data)
        return state


def _commit(state: UsageState, prepared: CommitPrepared) -> None:
    taken = [use for use in state.waiting if use[0] <= prepared.usage_until]
    state.waiting = [use for use in state.waiting if use[0] > prepared.usage_until]
    state.commits.append(_sum(archive_id(prepared.archive), taken))


def _sum(
    archive: str | None, uses: list[tuple[int, list[str], dict[str, Any] | None]]
) -> CommitUsage:
    return CommitUsage(
        archive,
        tuple(context for _, contexts, _ in uses for context in contexts),
        tuple(skill for _, _, skill in uses if skill is not None),
    )


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(UsageState)
