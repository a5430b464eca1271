"""The events of a session: what its users did.

Events of tasks are in `eventlog.session.tasks.events`, events of session folders in
`eventlog.session.folder_events`. Nested payloads are typed dictionaries: they are validated like
models at a third of the cost, and folds read them as they are.
"""

from __future__ import annotations

from typing import Any, Literal

from eventlog.events import Event, import_when_read, unchanged
from eventlog.session.message_data import MessageData
from eventlog.session.policies import AutoCommitPolicy, ToolOutputPolicy
from eventlog.session.version_ranges import VersionRange

__all__ = [
    "CommitPrepared",
    "ContextsUsed",
    "FailedArchives",
    "FailedArchivesChanged",
    "MemorySessionAssigned",
    "MessageAppended",
    "ProjectAssigned",
    "SessionClosedEvent",
    "SessionCreated",
    "SessionDeleted",
    "ToolResultRecorded",
    "VersionRange",
]

import_when_read("eventlog.session.folder_events")
import_when_read("eventlog.session.forensic_events")
import_when_read("eventlog.session.import_events")
import_when_read("eventlog.session.streams.events")
import_when_read("eventlog.session.withdrawals.events")
import_when_read("eventlog.session.turns.events")
import_when_read("eventlog.session.runs.events")

FailedArchives = Literal["block", "skip"]
"""What a commit does about an earlier archive that failed for good (C5)."""


class SessionCreated(Event, type="session_created"):
    """The session exists from here on; it is always the first record of its stream."""

    owner: str | None = None
    project: str | None = None
    workspace: str | None = None
    provider: str | None = None
    model: str | None = None
    failed_archives: FailedArchives = "block"
    tool_output: ToolOutputPolicy | None = None
    auto_commit: AutoCommitPolicy | None = None


class MessageAppended(Event, type="message_appended", schema=2, upcasters={1: unchanged}):
    """A message joined the live tail; ``tokens`` is the estimator's count for it.

    Schemas 1 and 2 have the same fields and differ in how folds read the parts. In records of
    schema 1 only ``tool`` parts are calls and results, and the tokens count only the parts
    ``text``, ``context`` and ``tool``; from schema 2 on parts of every shape are read and weighed.
    """

    message: MessageData
    tokens: int


class ToolResultRecorded(Event, type="tool_result_recorded"):
    """The result of a tool call arrived after the message that made the call.

    If ``output`` is a preview of an output that is stored beside the log, ``large`` has the further
    fields of its tool part (M6). ``occurrence`` counts the calls of the message that have the same
    id, from 0. ``abandoned`` is true if the call was closed without an answer, ``interrupted`` if
    the work that it was part of ended before its answer: a result that arrives later replaces
    such a one.
    """

    message_id: str
    tool_id: str
    output: str
    status: Literal["running", "completed", "error"]
    duration_ms: float | None = None
    tokens: int
    large: dict[str, Any] | None = None
    occurrence: int = 0
    abandoned: bool = False
    interrupted: bool = False


class ContextsUsed(Event, type="contexts_used"):
    """Contexts and a skill were used; they belong to the next commit (M5)."""

    contexts: list[str]
    skill: dict[str, Any] | None = None


class ProjectAssigned(Event, type="project_assigned"):
    """A session without a project got one (M9)."""

    project: str


class FailedArchivesChanged(Event, type="failed_archives_changed"):
    """From here on commits treat archives that failed for good as the ``policy`` says (C5)."""

    policy: FailedArchives


class MemorySessionAssigned(Event, type="memory_session_assigned"):
    """The session got a synthetic id at a provider that has no sessions of its own (M10)."""

    provider: str
    memory_session_id: str


class CommitPrepared(Event, type="commit_prepared"):
    """The live tail, except for what is retained, became an archive (C1).

    The ranges are versions of this stream; those taken belong to the archive from here on, those
    retained stay live. The tail is not cleared in a second step, so no clear can be lost.
    ``usage_after`` and ``usage_until`` bound the versions of the ``contexts_used`` that belong to
    this commit.

    An adopted archive may hold messages that did not leave the live tail with it, because they
    stayed live or had left it before; ``repeated_count`` and ``repeated_tokens`` count these.
    """

    archive: int
    task_id: str
    takes: list[VersionRange]
    retains: list[VersionRange]
    message_count: int
    retained_count: int
    tokens: int
    keep_recent: int
    keep_turn_tokens: int | None = None
    usage_after: int
    usage_until: int
    usage_count: int
    repeated_count: int = 0
    repeated_tokens: int = 0


class SessionClosedEvent(Event, type="session_closed"):
    """The session takes no further messages or commits; open tasks are still completed."""

    reason: str | None = None


class SessionDeleted(Event, type="session_deleted"):
    """The session is gone for its users; its open tasks were abandoned in the same append."""

    reason: str | None = None
