"""Turn an examined folder into the events that adopting it records, with their ids.

They are the events that the session would have had: the messages of an archive, the commit that
takes them, and those that bring its task to its state. A settled task is claimed and settled in the
same append. So everything that reads a log can read an adopted session. `AdoptionBegun` comes first
and `FolderAdopted` last; they hold the evidence and what only the folder knows.

Pure: the same folder always gives the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, cast

from eventlog.adoption.commands import ADOPTED_KEY, BEGUN_KEY, adoption_event_id
from eventlog.adoption.continuing import adopted_key, begun_key
from eventlog.adoption.foreign_folder import count_in, object_in, text_in, time_in
from eventlog.clock import parse_time
from eventlog.identifiers import derived_id, format_id
from eventlog.projections.folder_layout import HISTORY, archive_file
from eventlog.session.command import Draft
from eventlog.session.events import (
    CommitPrepared,
    MessageAppended,
    SessionClosedEvent,
    SessionCreated,
    VersionRange,
)
from eventlog.session.folder_events import (
    AdoptionBegun,
    AdoptionFindingRecorded,
    ArchiveAdopted,
    FolderAdopted,
    KeptFile,
)
from eventlog.session.message_data import message_key
from eventlog.session.parts import weigh
from eventlog.session.tasks.events import (
    ArchiveAbandoned,
    ArchiveFailed,
    ArchiveFinalized,
    CommitPublished,
    OwnerData,
    TaskClaimed,
    TokenUsage,
)
from eventlog.session.views import TOKEN_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventlog.adoption.continuing import Before
    from eventlog.adoption.foreign_folder import Contents, ForeignArchive
    from eventlog.adoption.lines import Line
    from eventlog.adoption.rules import Examined
    from eventlog.events import Event
    from eventlog.finding import Finding
    from eventlog.identifiers import EventId
    from eventlog.session.message_data import MessageData
    from eventlog.session.tokens import TokenEstimator

__all__ = ["digest_of_files", "folder_digests", "plan_adoption", "plan_continuation"]

WORKER: Final = "adoption"
"""The name of the worker that owns the tasks settled in the folder."""

_NOBODY: Final = OwnerData(host="", boot="", pid=0, started="")

DIGITS: Final = 32
"""Hexadecimal digits of a file's digest that are recorded: enough to notice a change."""


def folder_digests(contents: Contents) -> dict[str, str]:
    """Return the digest of every file by path; they show whether a folder has changed."""
    digests = {path: sha256(data).hexdigest() for path, data in contents.files.items()}
    digests.update({path: kept["sha256"] for path, kept in contents.kept.items()})
    digests.update(
        {path: sha256(why.encode()).hexdigest() for path, why in contents.unreadable.items()}
    )
    digests.update(
        {path: sha256(why.encode()).hexdigest() for path, why in contents.left_out.items()}
    )
    digests.update({f"{HISTORY}/{name}/": "" for name in contents.folders})
    return {path: digest[:DIGITS] for path, digest in sorted(digests.items())}


def digest_of_files(digests: Mapping[str, str]) -> str:
    """Return one digest of all files of a folder."""
    text = "".join(f"{path}\0{digest}\n" for path, digest in sorted(digests.items()))
    return sha256(text.encode()).hexdigest()


def plan_adoption(
    session: str,
    contents: Contents,
    examined: Examined,
    policies: SessionCreated,
    estimate: TokenEstimator,
) -> tuple[Draft, ...]:
    """Return all events of adopting a folder as a session, beginning with its creation."""
    digests = folder_digests(contents)
    plan = _Plan(
        session,
        digest_of_files(digests),
        _newest_copies(examined),
        estimate,
        stay={line.id for line in examined.live},
    )
    meta = examined.folder.meta or {}
    plan.record(_creation(meta, policies))
    plan.record(AdoptionBegun(path=contents.path, digests=digests), derived_id(session, BEGUN_KEY))
    for finding in examined.findings:
        plan.record(_finding_recorded(finding))
    waiting = _waiting(examined)
    keep_recent = count_in(meta, "keep_recent_count") or 0
    for archive, lines in examined.archives:
        plan.append_messages(lines)
        plan.commit(archive, lines, waiting[archive.number], keep_recent)
        plan.publish(archive)
    plan.append_messages(examined.live)
    adopted = _folder_adopted(examined, plan, _kept_files(contents, examined))
    plan.end(adopted, derived_id(session, ADOPTED_KEY))
    return tuple(plan.drafts)


def plan_continuation(
    contents: Contents, examined: Examined, before: Before, estimate: TokenEstimator
) -> tuple[Draft, ...]:
    """Return what adopting a folder that has grown records, after what is stored already.

    Archives that are there already are settled where the folder has got further with them.
    """
    session, digests = before.state.session_id, folder_digests(contents)
    digest = digest_of_files(digests)
    plan = _Plan(
        session,
        digest,
        _newest_copies(examined),
        estimate,
        stay={line.id for line in examined.live},
        offset=before.state.version,
        versions=dict(before.versions),
        tokens=dict(before.tokens),
        live=before.live,
        usage_after=before.state.usage_after,
    )
    begun = AdoptionBegun(path=contents.path, digests=digests)
    plan.record(begun, derived_id(session, begun_key(digest)))
    for finding in examined.findings:
        if (finding.kind, finding.path, finding.line, finding.detail) not in before.findings:
            plan.record(_finding_recorded(finding))
    waiting, tasks = _waiting(examined), before.tasks
    keep_recent = count_in(examined.folder.meta or {}, "keep_recent_count") or 0
    for archive, lines in examined.archives:
        if archive.number not in before.archives:
            plan.append_messages(lines)
            plan.commit(archive, lines, waiting[archive.number], keep_recent)
            plan.publish(archive)
        elif archive.number in tasks:
            plan.settle(archive, tasks[archive.number])
    plan.append_messages(examined.live)
    adopted = _folder_adopted(examined, plan, _kept_files(contents, examined))
    adopted = adopted.model_copy(
        update={
            "usage": _sum(adopted.usage, before.usage_here()),
            "memories": _sum(adopted.memories, before.memories_here()),
        }
    )
    plan.end(adopted, derived_id(session, adopted_key(digest)))
    return tuple(plan.drafts)


def _sum(counts: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, int]:
    names = dict.fromkeys([*counts, *more])
    return {name: counts.get(name, 0) + more.get(name, 0) for name in names}


@dataclass(slots=True)
class _Plan:
    """The events so far, and the state of the session that follows from them."""

    session: str
    digest: str
    contents: Mapping[str, MessageData]
    """The content of every message, by id."""
    estimate: TokenEstimator
    stay: set[str]
    """The messages that are live in the end: no commit takes them."""
    offset: int = 0
    """The version of the session before the first of these events."""
    drafts: list[Draft] = field(default_factory=list[Draft])
    versions: dict[str, int] = field(default_factory=dict[str, int])
    tokens: dict[str, int] = field(default_factory=dict[str, int])
    live: list[str] = field(default_factory=list[str])
    usage_after: int = 0

    def record(self, event: Event, event_id: EventId | None = None) -> int:
        """Add an event to the plan; return the version that it will have."""
        event_id = event_id or adoption_event_id(self.session, self.digest, len(self.drafts))
        self.drafts.append(Draft(event, event_id))
        return self.version

    @property
    def version(self) -> int:
        """The version of the session after these events."""
        return self.offset + len(self.drafts)

    def end(self, adopted: FolderAdopted, event_id: EventId) -> None:
        """Plan the end of the adoption, and of the session where its folder says so."""
        self.record(adopted, event_id)
        if text_in(adopted.meta, "status") in ("closed", "deleted"):
            self.record(SessionClosedEvent(reason="it was closed in its folder"))

    def append_messages(self, lines: Iterable[Line]) -> None:
        """Add the messages that are not in the plan yet."""
        for line in lines:
            if line.id in self.versions:
                continue
            data = self.contents[line.id]
            tokens = self.tokens[line.id] = weigh(self.estimate, data)
            event = MessageAppended.trusted({"message": data, "tokens": tokens})
            event_id = derived_id(self.session, message_key(line.id))
            self.versions[line.id] = self.record(event, event_id)
            self.live.append(line.id)

    def commit(
        self, archive: ForeignArchive, lines: Sequence[Line], waiting: set[str], keep: int
    ) -> None:
        """Add the commit of an archive; messages that it retains, or a later one takes, stay live."""
        taken = {line.id for line in lines}
        remaining = [
            name for name in self.live if name not in taken or name in self.stay or name in waiting
        ]
        repeated = taken - (set(self.live) - set(remaining))
        self.live = remaining
        until = self.version
        prepared = CommitPrepared(
            archive=archive.number,
            task_id=self._task_id(archive),
            takes=self._ranges(taken),
            retains=self._ranges(self.live),
            message_count=len(taken),
            retained_count=len(self.live),
            tokens=sum(self.tokens[name] for name in taken),
            keep_recent=keep,
            usage_after=self.usage_after,
            usage_until=until,
            usage_count=0,
            repeated_count=len(repeated),
            repeated_tokens=sum(self.tokens[name] for name in repeated),
        )
        self.usage_after = until
        self.record(prepared)
        self.record(
            ArchiveAdopted(
                archive=archive.number, meta=archive.meta, done=archive.done, failed=archive.failed
            )
        )

    def publish(self, archive: ForeignArchive) -> None:
        """Publish an archive's commit and bring its task to the state that the folder gives."""
        task_id = self._task_id(archive)
        self.record(CommitPublished(task_id=task_id))
        self.settle(archive, task_id)

    def settle(self, archive: ForeignArchive, task_id: str) -> None:
        """Bring a task that waits to where the folder says that it is."""
        match archive.state:
            case "pending":
                pass
            case "abandoned":
                self.record(ArchiveAbandoned(task_id=task_id, reason=archive.error))
            case "failed":
                self._claim(task_id)
                self.record(ArchiveFailed(task_id=task_id, error=archive.error))
            case "completed":
                self.record(_finalized(task_id, self._claim(task_id), archive))

    def _claim(self, task_id: str) -> int:
        """Claim a task with an expired lease: it is settled in the same append."""
        claimed = TaskClaimed(
            task_id=task_id, worker=WORKER, owner=_NOBODY, attempt=1, lease_until=0
        )
        return self.record(claimed)

    def _task_id(self, archive: ForeignArchive) -> str:
        return format_id(derived_id(self.session, f"{ADOPTED_KEY}\0task", archive.number))

    def _ranges(self, names: Iterable[str]) -> list[VersionRange]:
        return _joined(sorted(self.versions[name] for name in names))


def _joined(versions: Iterable[int]) -> list[VersionRange]:
    """Join consecutive ascending versions into ranges."""
    ranges: list[VersionRange] = []
    for version in versions:
        if ranges and ranges[-1][1] == version - 1:
            ranges[-1] = (ranges[-1][0], version)
        else:
            ranges.append((version, version))
    return ranges


def _newest_copies(examined: Examined) -> dict[str, MessageData]:
    files = [*(lines for _, lines in examined.archives), examined.live]
    return {line.id: line.data for lines in files for line in lines}


def _waiting(examined: Examined) -> dict[int, set[str]]:
    """Return, by archive, the messages that stay live after its commit and that a later one takes.

    They are those that it retained, and those of earlier archives that no archive up to it took.
    """
    waiting: dict[int, set[str]] = {}
    later: set[str] = set()
    for archive, lines in reversed(examined.archives):
        taken = {line.id for line in lines}
        waiting[archive.number] = taken & archive.retained & later
        later |= taken
    staying: set[str] = set()
    for archive, lines in examined.archives:
        staying = (staying - {line.id for line in lines}) | waiting[archive.number]
        waiting[archive.number] = staying
    return waiting


def _creation(meta: Mapping[str, Any], policies: SessionCreated) -> SessionCreated:
    named = {
        name: text_in(meta, name) or None
        for name in ("owner", "project", "workspace", "provider", "model")
    }
    named["owner"] = named["owner"] or text_in(meta, "created_by_user_id") or None
    return policies.model_copy(update=named)


def _finding_recorded(finding: Finding) -> AdoptionFindingRecorded:
    return AdoptionFindingRecorded(
        rule=finding.kind,
        path=finding.path,
        line=finding.line,
        detail=finding.detail,
        action=finding.action,
        message_ids=list(finding.message_ids),
    )


def _finalized(task_id: str, fence: int, archive: ForeignArchive) -> ArchiveFinalized:
    return ArchiveFinalized(
        task_id=task_id,
        fence=fence,
        archive=archive.number,
        overview=archive.overview,
        abstract=archive.abstract,
        covers=list(archive.covers),
        usage=TokenUsage(),
        session_usage=TokenUsage(),
        follow_ups=[],
    )


def _folder_adopted(examined: Examined, plan: _Plan, files: list[KeptFile]) -> FolderAdopted:
    meta = examined.folder.meta or {}
    highest = max((archive.number for archive, _ in examined.archives), default=0)
    return FolderAdopted(
        created_at=time_in(meta, "created_at"),
        updated_at=time_in(meta, "updated_at"),
        last_message_at=time_in(meta, "last_message_at") or _last_message_at(plan),
        last_commit_at=time_in(meta, "last_commit_at"),
        total_message_count=_total(examined, len(plan.versions)),
        commit_count=max(highest, _commits(meta)),
        keep_recent=count_in(meta, "keep_recent_count") or 0,
        memories=_memories(meta),
        usage=_usage(meta),
        meta=dict(meta),
        files=files,
    )


def _kept_files(contents: Contents, examined: Examined) -> list[KeptFile]:
    """Return the kept files; an archive's files move to the folder name it gets here."""
    own = {archive.folder: archive.number for archive, _ in examined.archives}
    files: list[KeptFile] = []
    for path, kept in contents.kept.items():
        folder = "/".join(path.split("/")[:2])
        inside = path.removeprefix(f"{folder}/")
        kept_at = archive_file(own[folder], inside) if folder in own else path
        files.append({**kept, "path": kept_at})
    return files


def _last_message_at(plan: _Plan) -> int:
    """Return the time of the newest message that has one."""
    times: list[int] = []
    for data in plan.contents.values():
        try:
            times.append(parse_time(data["created_at"]))
        except ValueError:
            continue
    return max(times, default=0)


def _total(examined: Examined, known: int) -> int:
    """Return how many messages the session ever had.

    The folder's count is used only if messages are missing; otherwise they are counted.
    """
    recorded_count = count_in(examined.folder.meta, "total_message_count") or 0
    indexes = [archive.number for archive, _ in examined.archives]
    whole = indexes == list(range(1, len(indexes) + 1)) and all(
        archive.lines is not None for archive, _ in examined.archives
    )
    whole = whole and len(indexes) >= _commits(examined.folder.meta or {})
    return known if whole else max(known, recorded_count)


def _commits(meta: Mapping[str, Any]) -> int:
    """Return how many commits the folder counts: archive numbers up to there are not used again."""
    count = count_in(meta, "commit_count") or 0
    return count if count < 1_000_000_000 else 0


def _memories(meta: Mapping[str, Any]) -> dict[str, int]:
    """Return the memories by category; their total is computed here."""
    counts = _counts(object_in(meta, "memories_extracted"))
    return {category: count for category, count in counts.items() if category != "total"}


def _counts(fields: Mapping[str, Any]) -> dict[str, int]:
    counts = {name: count_in(fields, name) for name in fields}
    return {name: count for name, count in counts.items() if count is not None}


def _usage(meta: Mapping[str, Any]) -> TokenUsage:
    """Return the session's token use according to the folder, in the kinds that are counted here."""
    counts = _counts(object_in(meta, "llm_token_usage"))
    usage = {kind: counts[kind] for kind in TOKEN_KINDS if counts.get(kind)}
    embedding = count_in(object_in(meta, "embedding_token_usage"), "total_tokens")
    return cast("TokenUsage", {**usage, "embedding_tokens": embedding} if embedding else usage)
