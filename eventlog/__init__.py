"""eventlog: an event-sourced state machine for the sessions of AI agents.

Every operation is one append-only event; live messages, metadata, archives, task states and files
are replays of those events::

    import eventlog
    from eventlog import Message

    with eventlog.open("sqlite:///agent.db") as log:
        session = log.session("chat-42", create=True)
        session.append(Message.user("How do I deploy?"))
        session.commit()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eventlog.errors import (
    ArchiveNotFound,
    ChainBroken,
    CommitBlocked,
    ConflictError,
    CorruptError,
    CorruptFolder,
    CorruptLog,
    DuplicateEvent,
    EventLogError,
    FolderLocked,
    FolderUnavailable,
    HistoryConflict,
    IllegalTransition,
    Indeterminate,
    InvalidArgument,
    InvalidError,
    InvalidMessage,
    LeaseLost,
    LogClosed,
    NonRetryableError,
    RetryableError,
    SessionClosed,
    SessionNotFound,
    StoreUnavailable,
    TaskNotFound,
    TooLarge,
    ToolOutputNotFound,
    UnavailableError,
    UnknownEventType,
    UnsupportedStore,
    VersionConflict,
)
from eventlog.events import Event
from eventlog.log import Log, open
from eventlog.machine import StateMachine, Transition
from eventlog.projection import Projection, replay
from eventlog.records import ANY, START, Metadata, Position, Record, Recorded
from eventlog.session.commit import CommitResult
from eventlog.session.context import Context, ContextStats, SearchContext
from eventlog.session.messages import (
    ContextPart,
    ImagePart,
    Message,
    OtherPart,
    TextPart,
    ToolPart,
)
from eventlog.session.policies import AutoCommitPolicy, ToolOutputPolicy
from eventlog.session.session import Session
from eventlog.session.tool_output import OutputMatch, ToolOutput
from eventlog.session.views import ArchivedMessages, ArchiveView, SessionMeta, TaskView
from eventlog.store import Finding

if TYPE_CHECKING:
    from eventlog.aio import AsyncLog, open_async
    from eventlog.session.adoption import Adoption, AdoptionFinding
    from eventlog.session.aio import AsyncSession
    from eventlog.session.attachment import FolderReport, FolderView
    from eventlog.session.folder_events import FolderFinding
    from eventlog.tasks.finalizer import Finalizer
    from eventlog.tasks.policy import RetryPolicy
    from eventlog.tasks.requests import (
        EffectRequest,
        Extraction,
        Skills,
        StepResult,
        Summary,
        SummaryRequest,
        TaskRequest,
    )
    from eventlog.tasks.worker import AsyncWorker, Worker

__version__ = "0.1.0"

__all__ = [
    "ANY",
    "START",
    "Adoption",
    "AdoptionFinding",
    "ArchiveNotFound",
    "ArchiveView",
    "ArchivedMessages",
    "AsyncLog",
    "AsyncSession",
    "AsyncWorker",
    "AutoCommitPolicy",
    "ChainBroken",
    "CommitBlocked",
    "CommitResult",
    "ConflictError",
    "Context",
    "ContextPart",
    "ContextStats",
    "CorruptError",
    "CorruptFolder",
    "CorruptLog",
    "DuplicateEvent",
    "EffectRequest",
    "Event",
    "EventLogError",
    "Extraction",
    "Finalizer",
    "Finding",
    "FolderFinding",
    "FolderLocked",
    "FolderReport",
    "FolderUnavailable",
    "FolderView",
    "HistoryConflict",
    "IllegalTransition",
    "ImagePart",
    "Indeterminate",
    "InvalidArgument",
    "InvalidError",
    "InvalidMessage",
    "LeaseLost",
    "Log",
    "LogClosed",
    "Message",
    "Metadata",
    "NonRetryableError",
    "OtherPart",
    "OutputMatch",
    "Position",
    "Projection",
    "Record",
    "Recorded",
    "RetryPolicy",
    "RetryableError",
    "SearchContext",
    "Session",
    "SessionClosed",
    "SessionMeta",
    "SessionNotFound",
    "Skills",
    "StateMachine",
    "StepResult",
    "StoreUnavailable",
    "Summary",
    "SummaryRequest",
    "TaskNotFound",
    "TaskRequest",
    "TaskView",
    "TextPart",
    "TooLarge",
    "ToolOutput",
    "ToolOutputNotFound",
    "ToolOutputPolicy",
    "ToolPart",
    "Transition",
    "UnavailableError",
    "UnknownEventType",
    "UnsupportedStore",
    "VersionConflict",
    "Worker",
    "open",
    "open_async",
    "replay",
]

_LATER = {
    "Adoption": "eventlog.session.adoption",
    "AdoptionFinding": "eventlog.session.adoption",
    "AsyncLog": "eventlog.aio",
    "AsyncSession": "eventlog.session.aio",
    "AsyncWorker": "eventlog.tasks.worker",
    "EffectRequest": "eventlog.tasks.requests",
    "Extraction": "eventlog.tasks.requests",
    "Finalizer": "eventlog.tasks.finalizer",
    "FolderFinding": "eventlog.session.folder_events",
    "FolderReport": "eventlog.session.attachment",
    "FolderView": "eventlog.session.attachment",
    "RetryPolicy": "eventlog.tasks.policy",
    "Skills": "eventlog.tasks.requests",
    "StepResult": "eventlog.tasks.requests",
    "Summary": "eventlog.tasks.requests",
    "SummaryRequest": "eventlog.tasks.requests",
    "TaskRequest": "eventlog.tasks.requests",
    "Worker": "eventlog.tasks.worker",
    "open_async": "eventlog.aio",
}
"""Names that are imported when first asked for. asyncio alone takes longer to import than all the
rest together; what workers and folders need is not needed to append."""


if not TYPE_CHECKING:  # Or type checkers would take any name for one of these.

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_LATER[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
