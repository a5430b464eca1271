"""The events of a session: what its people and programs did.

Those that move a task are in `eventlog.tasks.events`. Nested payloads are typed dictionaries: they
are validated like models at a third of the cost, and folds read them as they are.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic cannot read typing's before 3.12

from eventlog.events import Event
from eventlog.session.messages import MessageData
from eventlog.session.policies import AutoCommitPolicy, ToolOutputPolicy
from eventlog.tasks.events import TokenUsage

__all__ = [
    "AdoptionBegun",
    "AdoptionFindingRecorded",
    "ArchiveAdopted",
    "CommitPrepared",
    "ContextsUsed",
    "FailedArchives",
    "FolderAdopted",
    "FolderAttached",
    "FolderDetached",
    "FolderFinding",
    "FolderHealed",
    "KeptFile",
    "MemorySessionAssigned",
    "MessageAppended",
    "ProjectAssigned",
    "SessionClosedEvent",
    "SessionCreated",
    "SessionDeleted",
    "ToolResultRecorded",
    "VersionRange",
]

FailedArchives = Literal["block", "skip"]
"""What a commit does about an earlier archive that failed for good (C5)."""

VersionRange = tuple[int, int]
"""The versions from the first to the last, both included."""


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


class MessageAppended(Event, type="message_appended"):
    """A message joined the live tail; ``tokens`` is what the estimator said of it."""

    message: MessageData
    tokens: int


class ToolResultRecorded(Event, type="tool_result_recorded"):
    """The result of a tool call arrived after the message that made the call.

    Where ``output`` is a preview of what is kept elsewhere, ``large`` has the further fields of the
    tool part that tell of it (M6).
    """

    message_id: str
    tool_id: str
    output: str
    status: Literal["running", "completed", "error"]
    duration_ms: float | None = None
    tokens: int
    large: dict[str, Any] | None = None


class ContextsUsed(Event, type="contexts_used"):
    """Contexts and a skill were used; they belong to the next commit (M5)."""

    contexts: list[str]
    skill: dict[str, Any] | None = None


class ProjectAssigned(Event, type="project_assigned"):
    """A session without a project got one (M9)."""

    project: str


class MemorySessionAssigned(Event, type="memory_session_assigned"):
    """A provider without sessions of its own got a synthetic id for this one (M10)."""

    provider: str
    memory_session_id: str


class CommitPrepared(Event, type="commit_prepared"):
    """The live tail, less what is retained, became an archive (C1).

    The ranges are versions of this stream; those taken belong to the archive from here on, those
    retained stay live. There is nothing to clear, so no clear can be lost. ``usage_after`` and
    ``usage_until`` bound the versions whose ``contexts_used`` belong to this commit.

    An adopted archive may hold messages that did not leave the live tail by it, because they stayed
    live or had left it before; ``repeated_count`` and ``repeated_tokens`` are theirs.
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
    """The session takes no further messages or commits; open tasks go on to their end."""

    reason: str | None = None


class SessionDeleted(Event, type="session_deleted"):
    """The session is gone for its users; its open tasks were abandoned in the same append."""

    reason: str | None = None


class AdoptionBegun(Event, type="adoption_begun"):
    """A folder that another program wrote is being taken over (O4).

    Until `FolderAdopted` the session takes nothing but what the folder holds. ``digests`` has the
    first 32 hexadecimal digits of the SHA-256 of every file, by its path in the folder.
    """

    path: str
    digests: dict[str, str]


class AdoptionFindingRecorded(Event, type="adoption_finding_recorded"):
    """Something in the adopted folder was not as it should be, and what was made of it."""

    rule: str
    path: str
    line: int | None = None
    detail: str
    action: str
    message_ids: list[str]


class ArchiveAdopted(Event, type="archive_adopted"):
    """What an adopted archive's own files say beside its messages and summaries, to the letter.

    None stands for a file that is not there, or that is no JSON object.
    """

    archive: int
    meta: dict[str, Any] | None = None
    done: dict[str, Any] | None = None
    failed: dict[str, Any] | None = None


class KeptFile(TypedDict):
    """A file that means nothing here but belongs to the session: its bytes are in the blob area."""

    path: str
    size: int
    sha256: str


class FolderAdopted(Event, type="folder_adopted"):
    """The folder was taken over entirely: the session goes on from here.

    Times are in microseconds, 0 where nothing is known. They, the counts and the token usage are
    what the folder says where its messages cannot tell better; ``meta`` is the whole of its
    metadata, unknown keys included.
    """

    created_at: int
    updated_at: int
    last_message_at: int
    last_commit_at: int
    total_message_count: int
    commit_count: int
    keep_recent: int
    memories: dict[str, int]
    usage: TokenUsage
    meta: dict[str, Any]
    files: list[KeptFile]


class FolderAttached(Event, type="folder_attached"):
    """The files in the folder at ``path`` follow this session from here on (O2)."""

    path: str


class FolderDetached(Event, type="folder_detached"):
    """The folder's files stay as they are; they follow the session no longer."""

    path: str


class FolderFinding(TypedDict):
    """A file of a session folder that was not what the records say.

    ``found`` and ``expected`` are SHA-256 in hex, or None where there was, or is to be, no file.
    ``dropped`` counts the lines, or for other files the contents, that the file no longer has;
    ``message_ids`` names the first hundred messages among them. What the log does not hold itself
    is kept in the file ``quarantine``.
    """

    path: str
    problem: Literal["missing", "different", "unexpected", "temporary"]
    found: str | None
    expected: str | None
    dropped: int
    message_ids: list[str]
    quarantine: str | None


class FolderHealed(Event, type="folder_healed"):
    """A folder was not what the records say, and was made so (O3)."""

    path: str
    findings: list[FolderFinding]
