"""An event-sourced state machine for the sessions of AI agents.

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
    MessageWithdrawn,
    NonRetryableError,
    OwnerMismatch,
    ProviderGone,
    RetryableError,
    SessionClosed,
    SessionNotFound,
    StoreUnavailable,
    TaskNotFound,
    TooLarge,
    ToolOutputNotFound,
    TurnClosed,
    TurnOpen,
    UnavailableError,
    UnknownEventType,
    UnsupportedFeature,
    UnsupportedStore,
    VersionConflict,
)
from eventlog.event_values import Value
from eventlog.events import Event
from eventlog.finding import Finding
from eventlog.log import Log, open_bundle
from eventlog.log import open as open
from eventlog.machine import StateMachine, Transition
from eventlog.projection import Projection, replay
from eventlog.recorded import Recorded
from eventlog.records import ANY, START, Metadata, Position, Record
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
from eventlog.session.tool_output import OutputMatch, ToolOutput
from eventlog.session.views import (
    ArchivedMessages,
    ArchiveView,
    SessionMeta,
    StoredMessage,
    TaskView,
    TurnView,
)
from eventlog.session_face import Session, Turn

if TYPE_CHECKING:
    from eventlog.adoption.commands import Adoption
    from eventlog.adoption.limits import FolderLimits
    from eventlog.aio import AsyncLog, open_async
    from eventlog.async_session_face import AsyncSession, AsyncTurn
    from eventlog.chat_commands import ChatCommands, ChatReply
    from eventlog.engine.health import Health
    from eventlog.engine.steps import step_digest
    from eventlog.engine.streams.reading import MessageUpdate, StreamView
    from eventlog.engine.turn_steps import RecordedStep
    from eventlog.engine.watch import Watch
    from eventlog.exchange.bundle.saved import cleanup, latest_saved
    from eventlog.forensics.async_moment import AsyncMoment
    from eventlog.forensics.bisect import Found
    from eventlog.forensics.causes import Cause
    from eventlog.forensics.diff import Change
    from eventlog.forensics.given import GivenContext
    from eventlog.forensics.moment import Moment
    from eventlog.forensics.refold import Refolded
    from eventlog.instrumentation import instrument
    from eventlog.message_streams import AsyncMessageStream, MessageStream
    from eventlog.session.attachment import FolderReport, FolderView
    from eventlog.session.runs.budget import RestartPolicy
    from eventlog.session.runs.view import RunView
    from eventlog.session.streams.commands import BegunMessage
    from eventlog.supervisor.providers import Provider
    from eventlog.supervisor.retrying import CallAttempt, retrying
    from eventlog.supervisor_face import PlainRun, Run, Supervisor
    from eventlog.trace_context import TraceContext
    from eventlog.worker.finalizer import Finalizer
    from eventlog.worker.requests import (
        EffectRequest,
        Extraction,
        Skills,
        StepResult,
        Summary,
        SummaryRequest,
        TaskRequest,
    )
    from eventlog.worker.retry_policy import RetryPolicy
    from eventlog.worker_face import AsyncWorker, Worker

__version__ = "0.1.0"

AdoptionFinding = FolderFinding = Finding
"""Further names of `Finding`, as earlier versions had them."""

__all__ = [
    "ANY",
    "START",
    "Adoption",
    "AdoptionFinding",
    "ArchiveNotFound",
    "ArchiveView",
    "ArchivedMessages",
    "AsyncLog",
    "AsyncMessageStream",
    "AsyncMoment",
    "AsyncSession",
    "AsyncTurn",
    "AsyncWorker",
    "AutoCommitPolicy",
    "BegunMessage",
    "CallAttempt",
    "Cause",
    "ChainBroken",
    "Change",
    "ChatCommands",
    "ChatReply",
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
    "FolderLimits",
    "FolderLocked",
    "FolderReport",
    "FolderUnavailable",
    "FolderView",
    "Found",
    "GivenContext",
    "Health",
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
    "MessageStream",
    "MessageUpdate",
    "MessageWithdrawn",
    "Metadata",
    "Moment",
    "NonRetryableError",
    "OtherPart",
    "OutputMatch",
    "OwnerMismatch",
    "PlainRun",
    "Position",
    "Projection",
    "Provider",
    "ProviderGone",
    "Record",
    "Recorded",
    "RecordedStep",
    "Refolded",
    "RestartPolicy",
    "RetryPolicy",
    "RetryableError",
    "Run",
    "RunView",
    "SearchContext",
    "Session",
    "SessionClosed",
    "SessionMeta",
    "SessionNotFound",
    "Skills",
    "StateMachine",
    "StepResult",
    "StoreUnavailable",
    "StoredMessage",
    "StreamView",
    "Summary",
    "SummaryRequest",
    "Supervisor",
    "TaskNotFound",
    "TaskRequest",
    "TaskView",
    "TextPart",
    "TooLarge",
    "ToolOutput",
    "ToolOutputNotFound",
    "ToolOutputPolicy",
    "ToolPart",
    "TraceContext",
    "Transition",
    "Turn",
    "TurnClosed",
    "TurnOpen",
    "TurnView",
    "UnavailableError",
    "UnknownEventType",
    "UnsupportedFeature",
    "UnsupportedStore",
    "Value",
    "VersionConflict",
    "Watch",
    "Worker",
    "cleanup",
    "instrument",
    "latest_saved",
    "open_async",
    "open_bundle",
    "replay",
    "retrying",
    "step_digest",
]

_LATER = {
    "cleanup": "eventlog.exchange.bundle.saved",
    "latest_saved": "eventlog.exchange.bundle.saved",
    "ChatReply": "eventlog.chat_commands",
    "ChatCommands": "eventlog.chat_commands",
    "CallAttempt": "eventlog.supervisor.retrying",
    "retrying": "eventlog.supervisor.retrying",
    "Provider": "eventlog.supervisor.providers",
    "PlainRun": "eventlog.supervisor_face",
    "Run": "eventlog.supervisor_face",
    "Supervisor": "eventlog.supervisor_face",
    "RestartPolicy": "eventlog.session.runs.budget",
    "RunView": "eventlog.session.runs.view",
    "Watch": "eventlog.engine.watch",
    "instrument": "eventlog.instrumentation",
    "Adoption": "eventlog.adoption.commands",
    "FolderLimits": "eventlog.adoption.limits",
    "AsyncLog": "eventlog.aio",
    "AsyncSession": "eventlog.async_session_face",
    "AsyncWorker": "eventlog.worker_face",
    "EffectRequest": "eventlog.worker.requests",
    "Extraction": "eventlog.worker.requests",
    "Finalizer": "eventlog.worker.finalizer",
    "FolderReport": "eventlog.session.attachment",
    "FolderView": "eventlog.session.attachment",
    "RetryPolicy": "eventlog.worker.retry_policy",
    "Skills": "eventlog.worker.requests",
    "StepResult": "eventlog.worker.requests",
    "Summary": "eventlog.worker.requests",
    "SummaryRequest": "eventlog.worker.requests",
    "TaskRequest": "eventlog.worker.requests",
    "TraceContext": "eventlog.trace_context",
    "Worker": "eventlog.worker_face",
    "open_async": "eventlog.aio",
    "AsyncMoment": "eventlog.forensics.async_moment",
    "AsyncTurn": "eventlog.async_session_face",
    "Cause": "eventlog.forensics.causes",
    "Change": "eventlog.forensics.diff",
    "Found": "eventlog.forensics.bisect",
    "GivenContext": "eventlog.forensics.given",
    "Health": "eventlog.engine.health",
    "Moment": "eventlog.forensics.moment",
    "Refolded": "eventlog.forensics.refold",
    "AsyncMessageStream": "eventlog.message_streams",
    "BegunMessage": "eventlog.session.streams.commands",
    "MessageStream": "eventlog.message_streams",
    "MessageUpdate": "eventlog.engine.streams.reading",
    "StreamView": "eventlog.engine.streams.reading",
    "RecordedStep": "eventlog.engine.turn_steps",
    "step_digest": "eventlog.engine.steps",
}
"""Names that are imported on first use. asyncio alone takes longer to import than everything else
together, and appending needs nothing of workers and folders."""


if not TYPE_CHECKING:  # Or type checkers would take any name for one of these.

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_LATER[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
