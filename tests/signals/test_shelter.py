"""G7: no public synchronous call runs the library's inner parts where a signal handler can end them.

In the main thread that is at any point, except while Ctrl-C is held back and no other signal is handled.
So every method of the synchronous faces is called here once, with and without a handler of the
program, and the frames of the main thread are watched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import eventlog
from eventlog import Log, Message, Session
from eventlog.engine.shelter import Shelter
from eventlog.events import Event
from eventlog.projection import Projection
from eventlog.testing.interrupting import is_interrupt_held

if TYPE_CHECKING:
    from types import FrameType

    from eventlog.forensics.moment import Moment

INNER: Final = (
    *("stores", "projections", "eventlog.stores", "eventlog.projections"),
    *("eventlog.folder", "eventlog.adoption", "eventlog.audit"),
    *("eventlog.local_files", "eventlog.filesystem", "eventlog.descriptors", "eventlog.wakeups"),
    *("eventlog.engine.committer", "eventlog.engine.core_cache", "eventlog.engine.idle_watch"),
    *("eventlog.engine.large_output", "eventlog.engine.blobs", "eventlog.engine.reader"),
    *("eventlog.session.folding", "eventlog.session.tasks.folding"),
)
"""Modules that hold locks, change what threads share, or touch files."""

IMPORT: Final = "importlib._bootstrap._find_and_load"
"""What holds Python's lock on a module while that is imported."""

ALLOWED: Final = {
    ("eventlog.engine.committer", "reset"),  # Of a committer that is being made.
    ("eventlog.folder.attaching", "view"),
    ("eventlog.folder.follower", "view"),
}

NOT_CALLED: Final = {"store"}
"""`Log.store` gives the store away; what is called on it runs where it is called."""


class Case:
    """A log with an archived session, another to be closed, and one that another program wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = eventlog.open(f"sqlite:///{folder / 'log.db'}?synchronous=off")
        self.session = self.log.session("s", create=True)
        part = {"type": "tool", "tool_id": "t", "tool_name": "cat", "tool_status": "pending"}
        self.call = Message.model_validate({"id": "call", "role": "assistant", "parts": [part]})
        self.session.extend([Message.user("one", id="m"), Message.assistant("two")])
        self.session.commit()
        eventlog.Worker(self.log).run_once()
        self.session.extend([Message.user("three"), self.call])
        self.task = self.session.queue_task("acme.index")
        self.archive = self.session.archives()[0].archive_id
        (folder / "foreign").mkdir()
        (folder / "foreign/messages.jsonl").write_text(
            '{"id": "a", "role": "user", "parts": [{"type": "text", "text": "hi"}]}\n'
        )


def record_result(case: Case) -> None:
    case.session.record_tool_result("call", "t", "x" * 30_000)


def read_result(case: Case) -> None:
    record_result(case)
    assert case.session.tool_output("call", "t").text == "x" * 30_000


def search_result(case: Case) -> None:
    record_result(case)
    assert case.session.search_tool_output("call", "t", "x")


def attach_and_detach(case: Case) -> None:
    case.session.attach_folder(case.folder / "f")
    case.session.detach_folder()


def look_at_a_moment(case: Case) -> None:
    record_result(case)
    case.session.context(record=True)
    moment = case.session.at(version=case.session.version)
    for name in public_names(type(moment)) - set(MOMENT_CALLS):
        seen = getattr(moment, name)
        if callable(seen):
            seen()
    for call in MOMENT_CALLS.values():
        call(case, moment)


def bisect_in_each_way(case: Case) -> None:
    case.session.bisect("tail['m'].role == 'nobody'")
    case.session.bisect("orphans")
    case.session.bisect(lambda moment: len(moment.history()) > 2)


def write_a_stream(case: Case) -> None:
    begun = case.session.begin_message()
    case.session.append_chunk(begun.message_id, begun.fence, 1, "x")
    said = Message.assistant("x", id=begun.message_id)
    case.session.end_message(begun.message_id, begun.fence, said)


def stream_and_follow(case: Case) -> None:
    with case.session.stream(message_id="streamed") as stream:
        stream.write("x")
    (*_, last) = case.session.follow_message("streamed")
    assert last.ended


def name_a_value(case: Case) -> None:
    with suppress(eventlog.EventLogError):
        case.session.value("0" * 64)


def interrupt_a_stream(case: Case) -> None:
    begun = case.session.begin_message()
    case.session.interrupt_message(begun.message_id, begun.fence)


def take_a_turn(case: Case) -> None:
    with case.session.turn("t"):
        case.session.append(Message.user("in a turn"))


def begin_and_hold_a_turn(case: Case) -> None:
    turn = case.session.begin_turn("t")
    held = case.session.held_turn(turn.fence)
    held.append(Message.user("in a turn that others began"))
    held.end()


def enqueue_and_stop(case: Case) -> None:
    run_id = case.session.enqueue(Message.user("to be run"))
    assert case.session.stop_run(run_id) == run_id


def save_and_resume(case: Case) -> None:
    case.log.save("s", case.folder / "saved")
    case.log.resume(case.folder / "saved")


def watch_and_look(case: Case) -> None:
    watch = case.session.watch(Count())
    case.session.append(Message.user("four"))
    assert watch.view


MOMENT_CALLS: Final[dict[str, Callable[[Case, Moment], object]]] = {
    "context_for_search": lambda case, moment: moment.context_for_search("q"),
    "archive": lambda case, moment: moment.archive(case.archive, hydrate=True),
    "tool_output": lambda case, moment: moment.tool_output("call", "t"),
    "search_tool_output": lambda case, moment: moment.search_tool_output("call", "t", "x"),
    "message": lambda case, moment: moment.message("m"),
    "project": lambda case, moment: moment.project(Count()),
    "value": lambda case, moment: moment.value("meta.pending_tokens"),
    "seen_as": lambda case, moment: None,  # For the library, which has the picture at hand.
}
"""What needs arguments; everything else of a moment is called without any."""

SESSION_CALLS: Final[dict[str, Callable[[Case], object]]] = {
    "id": lambda case: case.session.id,
    "version": lambda case: case.session.version,
    "meta": lambda case: case.session.meta,
    "refresh": lambda case: case.session.refresh(),
    "tail": lambda case: case.session.tail(1),
    "history": lambda case: case.session.history(hydrate=True),
    "context": lambda case: (case.session.context(), case.session.context(record=True)),
    "context_for_search": lambda case: case.session.context_for_search("q"),
    "truncated": lambda case: case.session.truncated(),
    "archive": lambda case: case.session.archive(case.archive, hydrate=True),
    "archives": lambda case: case.session.archives(),
    "tool_output": read_result,
    "search_tool_output": search_result,
    "at": look_at_a_moment,
    "diff": lambda case: case.session.diff(1, 4),
    "blame": lambda case: case.session.blame("meta.pending_tokens"),
    "bisect": bisect_in_each_way,
    "timeline": lambda case: case.session.timeline(text="one"),
    "why": lambda case: case.session.why(4, tree=True),
    "fork": lambda case: case.session.fork("f", edit=lambda recorded: recorded).tail(),
    "refold": lambda case: case.session.refold(),
    "append": lambda case: case.session.append(Message.user("four")),
    "extend": lambda case: case.session.extend([Message.user("four"), Message.user("five")]),
    "record_tool_result": record_result,
    "abandon_call": lambda case: case.session.abandon_call("call", "t"),
    "used": lambda case: case.session.used(["viking://x"]),
    "commit": lambda case: case.session.commit(),
    "retry": lambda case: case.session.retry(case.task),
    "abandon": lambda case: case.session.abandon(case.task),
    "queue_task": lambda case: case.session.queue_task("acme.other", {"a": 1}),
    "folder": lambda case: (case.session.attach_folder(case.folder / "f"), case.session.folder),
    "attach_folder": lambda case: (
        case.session.attach_folder(case.folder / "f"),
        case.session.append(Message.user("into the folder")),
    ),
    "detach_folder": attach_and_detach,
    "materialize": lambda case: case.session.materialize(case.folder / "f"),
    "heal": lambda case: (
        case.session.materialize(case.folder / "f"),
        case.session.heal(case.folder / "f"),
    ),
    "record": lambda case: case.session.record(Seen(what="x")),
    "assign_project": lambda case: case.session.assign_project("p"),
    "ensure_created": lambda case: case.session.ensure_created(),
    "memory_session": lambda case: case.session.memory_session("provider"),
    "clear": lambda case: case.session.clear(),
    "withdraw": lambda case: case.session.withdraw(last=1),
    "replace": lambda case: case.session.replace(
        messages=[Message.user("new")], message_ids=["call"]
    ),
    "message": lambda case: case.session.message("m"),
    "find": lambda case: list(case.session.find("a")),
    "watch": watch_and_look,
    "turn": take_a_turn,
    "turns": lambda case: case.session.turns(),
    "begin_turn": begin_and_hold_a_turn,
    "held_turn": begin_and_hold_a_turn,
    "enqueue": enqueue_and_stop,
    "stop_run": enqueue_and_stop,
    "begin_message": lambda case: case.session.begin_message(),
    "append_chunk": write_a_stream,
    "end_message": write_a_stream,
    "interrupt_message": interrupt_a_stream,
    "stream": stream_and_follow,
    "follow_message": stream_and_follow,
    "value": name_a_value,
    "streams": lambda case: case.session.streams(),
    "set_failed_archives": lambda case: case.session.set_failed_archives("skip"),
    "close": lambda case: case.session.close(),
    "delete": lambda case: case.session.delete(),
}

LOG_CALLS: Final[dict[str, Callable[[Case], object]]] = {
    "session": lambda case: case.log.session("new", create=True).append(Message.user("x")),
    "adopt": lambda case: case.log.adopt(case.folder / "foreign"),
    "sessions": lambda case: list(case.log.sessions()),
    "latest_session": lambda case: case.log.latest_session("w"),
    "exists": lambda case: case.log.exists("s"),
    "task": lambda case: case.log.task(case.task),
    "tasks": lambda case: list(case.log.tasks()),
    "retry": lambda case: case.log.retry(case.task),
    "abandon": lambda case: case.log.abandon(case.task),
    "commit_idle": lambda case: case.log.commit_idle(),
    "read": lambda case: list(case.log.read("s")),
    "read_all": lambda case: list(case.log.read_all()),
    "follow": lambda case: list(islice(case.log.follow(), 3)),
    "checkpoint": lambda case: next(case.log.follow(case.log.checkpoint(first_of(case)))),
    "position": lambda case: case.log.position(),
    "project": lambda case: case.log.project("s", Count()),
    "verify": lambda case: case.log.verify("s"),
    "bundle": lambda case: case.log.bundle(["s"], case.folder / "s.bundle"),
    "durability": lambda case: case.log.durability,
    "find": lambda case: list(case.log.find("a")),
    "health": lambda case: case.log.health(),
    "runs": lambda case: list(case.log.runs()),
    "save": save_and_resume,
    "resume": save_and_resume,
    "backup": lambda case: case.log.backup(case.folder / "backup.db"),
    "close": lambda case: case.log.close(),
}


class Seen(Event):
    """An event of an application."""

    event_type = "acme.sheltered"
    event_schema = 1
    what: str


class Count(Projection[int, int]):
    """How many records a session has; it is the user's, and folded where it is called."""

    name = "count"

    def initial(self) -> int:
        return 0

    def apply(self, state: int, recorded: eventlog.Recorded) -> int:
        return state + 1

    def view(self, state: int) -> int:
        return state


def first_of(case: Case) -> eventlog.Recorded:
    return next(case.log.read_all())


def public_names(face: type) -> set[str]:
    return {name for name in dir(face) if not name.startswith("_")} - NOT_CALLED


def test_every_public_method_of_the_synchronous_faces_is_called_here() -> None:
    assert public_names(Session) == set(SESSION_CALLS)
    assert public_names(Log) == set(LOG_CALLS)


def is_ours(importing: FrameType | None) -> bool:
    """Return whether the library itself imports; pydantic does so when it first needs a model."""
    while importing is not None and "importlib" in importing.f_code.co_filename:
        importing = importing.f_back
    module = "" if importing is None else str(importing.f_globals.get("__name__"))
    return module.partition(".")[0] in ("eventlog", "stores", "projections")


@contextmanager
def watched() -> Generator[set[str]]:
    """Yield the inner functions that the main thread begins meanwhile."""
    assert threading.current_thread() is threading.main_thread()
    found: set[str] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and not is_interrupt_held():
            module, name = str(frame.f_globals.get("__name__")), frame.f_code.co_name
            is_inner = any(module == inner or module.startswith(f"{inner}.") for inner in INNER)
            is_inner |= f"{module}.{name}" == IMPORT and is_ours(frame.f_back)
            # What is being made is its maker's alone.
            if is_inner and name != "__init__" and (module, name) not in ALLOWED:
                found.add(f"{module}.{name}")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)


def call_what_imports_late(folder: Path) -> None:
    """Make the calls that import more than opening a log and appending to it do."""
    log = eventlog.open(f"sqlite:///{folder / 'log.db'}?synchronous=off")
    session = log.session("s", create=True)
    session.append(Message.user("x"))
    session.attach_folder(folder / "f")
    log.verify("s")
    session.at(version=1).values()
    session.diff(0, 1)
    session.bisect("orphans")
    session.timeline()
    session.why(1)
    session.refold()
    session.fork("f")
    log.bundle(["s"], folder / "s.bundle")
    session.queue_task("acme.index")
    log.close()


CASES: Final = [
    *((f"Session.{name}", call) for name, call in SESSION_CALLS.items()),
    *((f"Log.{name}", call) for name, call in LOG_CALLS.items()),
]


@pytest.mark.parametrize("call", [call for _, call in CASES], ids=[name for name, _ in CASES])
def test_no_inner_part_runs_in_the_main_thread(
    call: Callable[[Case], object], tmp_path: Path
) -> None:
    case = Case(tmp_path)
    try:
        with watched() as found:
            call(case)
    finally:
        case.log.close()

    assert found == set()


APPENDING: Final = ("append", "attach_folder", "turn", "watch")


@pytest.mark.parametrize("name", APPENDING)
def test_no_inner_part_runs_in_the_main_thread_of_a_program_with_a_handler(
    name: str, tmp_path: Path
) -> None:
    case = Case(tmp_path)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with watched() as found:
            SESSION_CALLS[name](case)
    finally:
        signal.signal(signal.SIGUSR1, before)
        case.log.close()

    assert found == set()


def test_what_is_imported_late_is_not_imported_by_the_main_thread(tmp_path: Path) -> None:
    """In a process of its own, since only the first call imports."""
    program = (
        "import sys, pathlib; from tests.signals import test_shelter as t\n"
        "with t.watched() as found: t.call_what_imports_late(pathlib.Path(sys.argv[1]))\n"
        "print(*sorted(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []


def test_a_log_is_opened_and_written_by_another_thread(tmp_path: Path) -> None:
    with watched() as found, eventlog.open(f"files:///{tmp_path / 'log'}") as log:
        log.session("s", create=True).append(Message.user("x"))

    assert found == set()


def test_a_log_is_closed_while_python_is_ending(tmp_path: Path) -> None:
    """Other threads are stopped then: who waited for one would wait for ever."""
    program = (
        "import atexit, sys, eventlog\n"
        "class Owner:\n"
        "    def __init__(self, url):\n"
        "        self.log = eventlog.open(url)\n"
        "        self.session = self.log.session('s', create=True)\n"
        "        self.append = self.session.append\n"
        "    def __del__(self):\n"
        "        self.append({'role': 'user', 'content': 'last'})\n"
        "        self.log.close()\n"
        "owner = Owner(sys.argv[1])\n"
        "atexit.register(owner.append, {'role': 'user', 'content': 'at exit'})\n"
    )
    url = f"sqlite:///{tmp_path / 'log.db'}"

    done = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stderr == ""
    with eventlog.open(url) as log:
        said = [message.text for message in log.session("s").tail()]
    assert said == ["at exit", "last"]


def test_where_no_thread_can_be_started_the_main_thread_does_it_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert Shelter().write(threading.get_ident) == threading.main_thread().ident
    try:
        raise ValueError("being handled, and no interrupt")
    except ValueError:
        assert Shelter().write(threading.get_ident) == threading.main_thread().ident


def served(shelter: Shelter) -> tuple[list[int], threading.Thread]:
    """Have a new shelter answer through its pipe; return the pipe and the thread."""
    before = set(threading.enumerate())
    while not (pipe := list(shelter._idle[0].pipe if shelter._idle else [])):
        assert shelter.write(lambda: "through a lock") == "through a lock"
    (thread,) = set(threading.enumerate()) - before
    assert shelter.write(lambda: "through the pipe") == "through the pipe"
    return pipe, thread


def test_a_pipe_for_answers_is_closed_with_its_thread() -> None:
    shelter = Shelter()
    pipe, thread = served(shelter)

    shelter.dismiss()
    thread.join(60)

    for each in pipe:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(each)


def test_an_answer_arrives_although_somebody_closed_the_pipe_for_it() -> None:
    shelter = Shelter()
    pipe, thread = served(shelter)
    for each in pipe:
        os.close(each)

    assert shelter.write(lambda: "all the same") == "all the same"
    thread.join(60)
    assert shelter.write(lambda: "by another thread") == "by another thread"


def test_the_watch_finds_what_does_run_in_the_main_thread(tmp_path: Path) -> None:
    """Or the tests before it could not fail."""
    with eventlog.open(f"sqlite:///{tmp_path / 'log.db'}") as log, watched() as found:
        log.store.tip()

    assert "eventlog.stores.sqlite.store.tip" in found
