"""Adopt a session folder that another program wrote, or only examine it (O4, O5).

The folder is read, examined and turned into a plan of events (`eventlog.adoption.rules` and
`eventlog.adoption.plan` are pure). Then dropped content goes into quarantine beside its file,
unknown files go into the blob area, and the plan goes into the log. In this order a crash leaves at
most spare copies, and adopting again writes the same ones.

The plan is one atomic append if the store takes it. A plan of more than `WHOLE_EVENTS` events, or
one that the store finds too large, is split. Until its last part is stored the session is
``adopting``: nobody else can write to it and no worker touches it. All ids follow from the folder's
content, so adopting again resumes where the last attempt stopped, or finds that it is complete. A
folder that has grown since is continued (`eventlog.adoption.continuing`): what is new is appended.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from eventlog.adoption.commands import (
    ADOPTED_KEY,
    BEGUN_KEY,
    Adoption,
    RecordAdoption,
)
from eventlog.adoption.continuing import adopted_key, begun_key, first_difference, read_before
from eventlog.adoption.foreign_folder import text_in
from eventlog.adoption.limits import FolderLimits
from eventlog.adoption.plan import (
    digest_of_files,
    folder_digests,
    plan_adoption,
    plan_continuation,
)
from eventlog.adoption.reading import read_contents
from eventlog.adoption.rules import Examined, examine
from eventlog.engine.blobs import put_value
from eventlog.error_text import shown
from eventlog.errors import (
    CorruptFolder,
    DuplicateEvent,
    FolderUnavailable,
    InvalidArgument,
    TooLarge,
    VersionConflict,
)
from eventlog.filesystem import FileSystem, LocalFiles
from eventlog.folder.refusing import absolute_path, folder_errors
from eventlog.folder.writing import Folder
from eventlog.identifiers import check_session_id
from eventlog.projections.folder_layout import quarantine_name

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from eventlog.adoption.continuing import Before
    from eventlog.adoption.foreign_folder import Contents
    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.finding import Finding
    from eventlog.records import Metadata
    from eventlog.session.command import Draft
    from eventlog.session.events import SessionCreated
    from eventlog.session.folder_events import AdoptionBegun

__all__ = ["adopt", "check_folder", "examine_folder"]

Status: TypeAlias = Literal["adopted", "continued", "already_adopted"]

WHOLE_EVENTS: Final = 20_000
"""Up to this many events a folder is adopted in one append: a transaction of about a second."""

NAMED: Final = 5
"""Up to this many changed files are named in an error."""


def examine_folder(
    path: str, files: FileSystem | None = None, *, limits: FolderLimits | None = None
) -> tuple[Finding, ...]:
    """Return what is wrong in a session folder and what adopting would do about it.

    Changes nothing. Raises as `adopt` does for a folder that is not a session's.
    """
    return examine(_read(files or LocalFiles(), path, limits)).findings


def check_folder(
    path: str,
    *,
    quarantine: bool = False,
    files: FileSystem | None = None,
    limits: FolderLimits | None = None,
) -> Examined:
    """Return a folder's session, reconciled; raise as `adopt` does if it is too damaged."""
    return _examined(_read(files or LocalFiles(), path, limits), quarantine=quarantine)


def _read(files: FileSystem, path: str, limits: FolderLimits | None) -> Contents:
    if limits is not None and not isinstance(limits, FolderLimits):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgument(f"limits is {shown(limits)}; it must be eventlog.FolderLimits")
    with _mapped_errors(path):
        return read_contents(files, path, limits or FolderLimits())


def _examined(contents: Contents, *, quarantine: bool) -> Examined:
    examined = examine(contents)
    for note in examined.notes:
        if note.hopeless or (note.refuses and not quarantine):
            finding = note.finding
            line = "" if finding.line is None else f", line {finding.line}"
            remedy = (
                "restore the file, or adopt another folder"
                if note.hopeless
                else "mend the line, or skip it and keep it in quarantine (--quarantine)"
            )
            raise CorruptFolder(f"{contents.path}/{finding.path}{line}: {finding.detail}; {remedy}")
    return examined


def adopt(
    engine: Engine,
    path: str | os.PathLike[str],
    session_id: str | None,
    policies: SessionCreated,
    *,
    quarantine: bool,
    by: Metadata | None,
    limits: FolderLimits | None = None,
) -> Adoption:
    """Adopt a folder as a session with these policies; see `eventlog.Log.adopt`."""
    path = absolute_path(path)
    contents = _read(engine.files, path, limits)
    examined = _examined(contents, quarantine=quarantine)
    session = check_session_id(_name_of(path, examined) if session_id is None else session_id)
    core = engine.creating_core(session)
    if _has_other_content(core, contents):
        return _continue(engine, core, contents, examined, by)
    plan = plan_adoption(session, contents, examined, policies, engine.estimate_tokens)
    stored = _stored(engine, core, contents, plan)
    if stored < len(plan):
        with _mapped_errors(path):
            _keep_beside(engine, session, contents, examined)
        try:
            _record(engine, core, plan, stored, by)
        except VersionConflict:
            if _stored(engine, core, contents, plan) < len(plan):
                raise  # Otherwise another process has adopted the same folder meanwhile.
    is_new = stored < len(plan)
    return _adoption(session, examined, len(plan), "adopted" if is_new else "already_adopted")


# ---- a folder that has grown ------------------------------------------------------------------


def _has_other_content(core: Core, contents: Contents) -> bool:
    """Return whether a folder was adopted as this session when it had other content."""
    begun = core.reader.recorded_as(BEGUN_KEY)
    if begun is None:
        return False
    return cast("AdoptionBegun", begun.event).digests != folder_digests(contents)


def _continue(
    engine: Engine, core: Core, contents: Contents, examined: Examined, by: Metadata | None
) -> Adoption:
    """Append what is new in a folder that had been adopted; refuse one that is no continuation."""
    digest = digest_of_files(folder_digests(contents))
    begun = core.reader.recorded_as(begun_key(digest))
    base = begun.version - 1 if begun is not None else engine.store.head(core.session).version
    before = read_before(core.session, engine.store.read(core.session, until=base))
    _refuse_unless_continued(before, contents, examined)
    plan = plan_continuation(contents, examined, before, engine.estimate_tokens)
    ended = core.reader.recorded_as(adopted_key(digest))
    if ended is None:
        stored = engine.store.head(core.session).version - base
        with _mapped_errors(contents.path):
            _keep_beside(engine, core.session, contents, examined)
        try:
            _record(engine, core, plan, stored, by, base)
        except VersionConflict:
            if core.reader.recorded_as(adopted_key(digest)) is None:
                raise  # Otherwise another process has adopted the same folder meanwhile.
    status: Status = "continued" if ended is None else "already_adopted"
    return _adoption(core.session, examined, base + len(plan), status, len(before.messages))


def _refuse_unless_continued(before: Before, contents: Contents, examined: Examined) -> None:
    session = before.state.session_id
    if before.state.status == "adopting":
        _refuse_changes(session, contents, before.digests, "an adoption of it was cut off")
    difference = first_difference(before, examined)
    if difference is not None:
        _refuse_changes(session, contents, before.digests, difference)


def _keep_beside(engine: Engine, session: str, contents: Contents, examined: Examined) -> None:
    """Store what is dropped beside its file and unknown files beside the log, durably."""
    folder = Folder(engine.files, contents.path)
    for path, dropped in examined.dropped.items():
        folder.quarantine(path, dropped)
    for path, kept in contents.kept.items():
        data = folder.read(path)
        if data is None or put_value(engine.store, session, data) != kept["sha256"]:
            raise FolderUnavailable(
                contents.path,
                f"{path} changed while it was read",
                "stop the program that writes it, then try again",
            )


@contextmanager
def _mapped_errors(path: str) -> Generator[None]:
    """Map operating-system errors to ours; a missing folder is a wrong path."""
    try:
        with folder_errors(path, "nothing was adopted; check its permissions, then try again"):
            yield
    except FolderUnavailable as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise error.__cause__ from None
        if isinstance(error.__cause__, NotADirectoryError) and error.__cause__.filename == path:
            raise InvalidArgument(f"{path} is a file; name the folder of a session") from error
        raise


def _name_of(path: str, examined: Examined) -> str:
    """Return the session id in the folder's metadata, or else the folder's name."""
    return text_in(examined.folder.meta, "session_id") or path.rpartition("/")[2]


# ---- what is already stored -------------------------------------------------------------------


def _stored(engine: Engine, core: Core, contents: Contents, plan: Sequence[Draft]) -> int:
    """Return how many of the plan's events are stored: none, a first part, or all of them.

    Raises `DuplicateEvent` if the session was adopted from other content, or was not adopted.
    """
    version = engine.store.head(core.session).version
    if not version:
        return 0
    begun = core.reader.recorded_as(BEGUN_KEY)
    if begun is None:
        raise DuplicateEvent(
            core.session,
            f"it already exists and was not adopted from {contents.path}; "
            "adopt the folder under another id (--session)",
        )
    if core.reader.recorded_as(ADOPTED_KEY) is not None:
        return len(plan)
    return version


def _refuse_changes(session: str, contents: Contents, before: Mapping[str, str], why: str) -> None:
    raise DuplicateEvent(
        session,
        f"it was adopted from this folder, which has changed since and does not continue it: {why}; "
        f"{_difference(before, folder_digests(contents))}"
        "; adopt the folder as it is now under another id (--session)",
    )


def _difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    both = before.keys() & now.keys()
    changes = {
        "changed": sorted(path for path in both if before[path] != now[path]),
        "new": sorted(now.keys() - before.keys()),
        "gone": sorted(before.keys() - now.keys()),
    }
    return "; ".join(
        f"{what}: {', '.join(paths[:NAMED])}{_more(len(paths) - NAMED)}"
        for what, paths in changes.items()
        if paths
    )


def _more(count: int) -> str:
    return f" and {count:,} more" if count > 0 else ""


# ---- recording --------------------------------------------------------------------------------


def _record(
    engine: Engine,
    core: Core,
    plan: Sequence[Draft],
    stored: int,
    by: Metadata | None,
    base: int = 0,
) -> None:
    """Record what is left of a plan; ``base`` is the session's version before all of it."""
    for start in range(stored, len(plan), WHOLE_EVENTS):
        _record_part(engine, core, plan, start, min(start + WHOLE_EVENTS, len(plan)), by, base)


def _record_part(
    engine: Engine,
    core: Core,
    plan: Sequence[Draft],
    start: int,
    stop: int,
    by: Metadata | None,
    base: int,
) -> None:
    """Record a part of the plan; if the store finds it too large, record two halves.

    The session's creation and `AdoptionBegun` stay in one append: between them anyone could write.
    """
    try:
        engine.execute(core, RecordAdoption(tuple(plan[start:stop])), by, base + start)
    except TooLarge:
        middle = max(2, (start + stop) // 2)
        if not start < middle < stop:
            raise
        _record_part(engine, core, plan, start, middle, by, base)
        _record_part(engine, core, plan, middle, stop, by, base)


def _adoption(
    session: str, examined: Examined, version: int, status: Status, known: int = 0
) -> Adoption:
    """Return what became of a folder, of whose messages the session had ``known`` before."""
    messages = {line.id for _, lines in examined.archives for line in lines}
    count = len(messages | {line.id for line in examined.live})
    return Adoption(
        session_id=session,
        status=status,
        version=version,
        live=len(examined.live),
        archives=len(examined.archives),
        messages=count,
        findings=examined.findings,
        quarantined=tuple(_beside(path, content) for path, content in examined.dropped.items()),
        imported=0 if status == "already_adopted" else count - known,
    )


def _beside(path: str, content: bytes) -> str:
    """Return the path at which `Folder.quarantine` keeps what is dropped from a file."""
    inside, slash, name = path.rpartition("/")
    return f"{inside}{slash}{quarantine_name(name, content)}"
