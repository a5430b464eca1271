"""The built-in projections: views of a session's records."""

if __name__ != "eventlog.projections":
    raise ImportError(
        "import eventlog.projections: under another name every class would exist twice"
    )

from eventlog.projections.archives import ArchiveContents, Archives
from eventlog.projections.folder_files import FolderState, SessionFolder, folder_files
from eventlog.projections.live_tail import LiveTail
from eventlog.projections.meta import Meta
from eventlog.projections.runs import Runs, RunsView
from eventlog.projections.tasks import Tasks
from eventlog.projections.usage import CommitUsage, SessionUsage, Usage

__all__ = [
    "ArchiveContents",
    "Archives",
    "CommitUsage",
    "FolderState",
    "LiveTail",
    "Meta",
    "Runs",
    "RunsView",
    "SessionFolder",
    "SessionUsage",
    "Tasks",
    "Usage",
    "folder_files",
]
