"""The story of ``eventlog demo``: the same session twice, once with its worker killed half-way.

Both runs have the same clock and the same ids. So all that the crash does not cause is equal to the
byte, and every difference comes from the crash.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import eventlog
from eventlog.cli.demonstration.scenes import (
    Check,
    Committed,
    Compared,
    Killed,
    Opened,
    Recovered,
    Reopened,
    Scene,
)
from eventlog.cli.demonstration.worker import DRAFT, STOPPED, demo_finalizer
from eventlog.cli.documents import session_document
from eventlog.clock import Clock, parse_time
from eventlog.engine.owner import this_process
from eventlog.errors import UnavailableError
from eventlog.identifiers import EventId, IdSource
from eventlog.log import Log
from eventlog.recorded import Recorded
from eventlog.session.commit import CommitResult
from eventlog.session.messages import Message
from eventlog.session.tasks.events import StepCompleted
from eventlog.session_face import Session
from eventlog.store import Finding
from eventlog.worker_face import Worker

__all__ = ["play"]

LEASE_SECONDS: Final = 300
"""A worker's lease: when it ends, its owner counts as gone, unless proven dead before."""


class Story(NamedTuple):
    """The packaged transcript, cut where the session is committed."""

    session_id: str
    before: tuple[Message, ...]
    between: tuple[Message, ...]
    after: tuple[Message, ...]
    keep_recent: int


class StoryClock:
    """A clock that stands still until the story moves it."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


# ---- the play ---------------------------------------------------------------------------------


class Ending(NamedTuple):
    """How one run of the story ended."""

    session: dict[str, Any]
    events: list[Recorded]
    findings: list[Finding]


def play(folder: Path) -> Iterator[Scene]:
    """Run the story in a folder, scene by scene; the last one holds the checks."""
    story, clock, ids = read_story(), StoryClock(), numbered_ids()
    crashed, calm = folder / "crashed.db", folder / "calm.db"
    with _open(crashed, clock, ids) as log:
        yield from _until_the_second_commit(log, clock, story, crashed)
        version = log.session(story.session_id).version
    clock.advance(1)
    killed = _killed_worker(_url(crashed), clock.now)
    with _open(crashed, clock, ids) as log:
        yield Killed(*killed, list(log.read(story.session_id, after=version - 2)))
        at_crash = session_document(log, story.session_id)
        yield Reopened(at_crash, _last_task_state(log))
        yield _recover(log, clock, story, at_crash["version"])
        with_crash = _end(log, clock, story)
    without_crash = _without_crash(calm, story)
    checks = [
        Check("the worker was killed while it held the archive", killed[1] < 0),
        Check("every message was there when the log was reopened", _is_whole(at_crash, story)),
        Check("no overview was shown before its archive was finalised", _is_honest(at_crash)),
    ]
    yield _compare(with_crash, without_crash, checks, (crashed, calm))


def _compare(
    with_crash: Ending, without_crash: Ending, checks: list[Check], files: tuple[Path, Path]
) -> Compared:
    findings = with_crash.findings + without_crash.findings
    digests = digest(with_crash.session), digest(without_crash.session)
    drafts = sum(_is_draft(recorded) for recorded in with_crash.events)
    checks += [
        Check("the crash counts as an attempt", _attempts(with_crash.session) == [1, 2]),
        Check("the finished step was not repeated", drafts == 2),
        Check("every hash and every step verifies", not findings),
        Check("the end is the same as without the crash", digests[0] == digests[1]),
    ]
    return Compared(checks, *digests, findings, len(with_crash.events), files)


def _until_the_second_commit(
    log: Log, clock: StoryClock, story: Story, file: Path
) -> Iterator[Scene]:
    """Play the story until the first archive is finalised and the second is waiting."""
    session = log.session(story.session_id, create=True)
    _tell(session, clock, story.before)
    document = session_document(log, session.id)
    yield Opened(file, log.durability, document["tail"], list(log.read(session.id)))
    result = _commit(session, clock, story)
    clock.advance(1)
    Worker(log, demo_finalizer(), name="worker-1").run_once()
    yield Committed(result, session_document(log, session.id))
    _tell(session, clock, story.between)
    result = _commit(session, clock, story)
    yield Committed(result, session_document(log, session.id))


def _recover(log: Log, clock: StoryClock, story: Story, version: int) -> Recovered:
    """Let the next worker finish what the dead one began."""
    is_proven = bool(this_process()["boot"])
    clock.advance(3 if is_proven else LEASE_SECONDS + 1)
    Worker(log, demo_finalizer(), name="worker-2").run_once()
    return Recovered(list(log.read(story.session_id, after=version)), is_proven)


def _without_crash(file: Path, story: Story) -> Ending:
    """Run the same story without a crash."""
    clock = StoryClock()
    with _open(file, clock, numbered_ids()) as log:
        for _ in _until_the_second_commit(log, clock, story, file):
            pass
        clock.advance(1)
        Worker(log, demo_finalizer(), name="worker-1").run_once()
        return _end(log, clock, story)


def _end(log: Log, clock: StoryClock, story: Story) -> Ending:
    """Append the remaining messages, and read the outcome."""
    _tell(log.session(story.session_id), clock, story.after)
    return Ending(
        session=session_document(log, story.session_id),
        events=list(log.read(story.session_id)),
        findings=log.verify(story.session_id),
    )


def _tell(session: Session, clock: StoryClock, messages: tuple[Message, ...]) -> None:
    for message in messages:
        clock.now = parse_time(message.created_at)
        session.append(message)


def _commit(session: Session, clock: StoryClock, story: Story) -> CommitResult:
    clock.advance(1)
    return session.commit(keep_recent=story.keep_recent)


def _open(file: Path, clock: Clock, ids: IdSource) -> Log:
    return eventlog.open(_url(file), clock=clock, ids=ids)


def _url(file: Path) -> str:
    return f"sqlite:///{quote(str(file))}"


def read_story() -> Story:
    """Read the packaged transcript."""
    content = json.loads(
        files("eventlog.cli.demonstration").joinpath("transcript.json").read_text("utf-8")
    )
    messages = [Message.model_validate(message) for message in content["messages"]]
    first, second, third = content["parts"]
    return Story(
        session_id=content["session_id"],
        before=tuple(messages[:first]),
        between=tuple(messages[first : first + second]),
        after=tuple(messages[first + second : first + second + third]),
        keep_recent=content["keep_recent"],
    )


def numbered_ids() -> IdSource:
    """Return a source of UUIDv7s with the time n and nothing random: the same in every run."""
    numbers = count(1)

    def draw() -> EventId:
        value = (next(numbers) << 80) | (0x7 << 76) | (0b10 << 62)
        return EventId(value.to_bytes(16, "big"))

    return draw


# ---- the crash --------------------------------------------------------------------------------


def _killed_worker(url: str, now: int) -> tuple[int, int]:
    """Start a worker in another process and kill it between two of its writes.

    Returns its process id and its exit code (the negative number of the signal).
    """
    root = str(Path(eventlog.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-m", "eventlog.cli.demonstration.worker", url, str(now)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        process.kill()
        exit_code = process.wait()
    if said != STOPPED:
        raise UnavailableError(f"the demo's worker ended early, with exit code {exit_code}")
    return process.pid, exit_code


# ---- what must hold ---------------------------------------------------------------------------


def digest(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a session as canonical JSON, without what a crash may change.

    That is the number of events and the number of attempts: they record that there was a crash.
    """
    archives = [
        {name: value for name, value in archive.items() if name != "attempts"}
        for archive in document["archives"]
    ]
    kept = {**document, "archives": archives}
    del kept["version"]
    text = json.dumps(kept, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _is_whole(document: dict[str, Any], story: Story) -> bool:
    """Return whether each message so far is either archived or live, and not both."""
    found = [message["id"] for archive in document["archives"] for message in archive["messages"]]
    found += [message["id"] for message in document["tail"]]
    return found == [message.id for message in (*story.before, *story.between)]


def _is_honest(document: dict[str, Any]) -> bool:
    """Return whether a model sees the first overview, and as messages what it does not cover."""
    first, second = document["archives"]
    shown = [message["id"] for message in (*second["messages"], *document["tail"])]
    return (
        second["overview"] is None
        and document["overview"] == first["overview"]
        and document["context"]["messages"] == shown
    )


def _attempts(document: dict[str, Any]) -> list[int]:
    return [archive["attempts"] for archive in document["archives"]]


def _is_draft(recorded: Recorded) -> bool:
    event = recorded.event
    return isinstance(event, StepCompleted) and event.step == DRAFT


def _last_task_state(log: Log) -> str:
    return [task.state for task in log.tasks()][-1]
