"""G7: a signal handler that raises in a synchronous call leaves a usable log, and no half of it."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

import eventlog
from eventlog import EventLogError, Log, LogClosed, Message, MessageStream, Session, Turn
from eventlog.records import Append, Appended
from eventlog.stores.memory import MemoryStore
from eventlog.testing.interrupting import Interrupted, Interrupter

if TYPE_CHECKING:
    from eventlog.store import Store

PATIENCE_SECONDS: Final = 30.0
"""How long the other thread may take before it counts as hung."""

SHARE: Final = {"memory": 17, "sqlite": 29, "files": 29, "postgres": 151, "nats": 151}
"""Every how manyth point is tried, unless all are: see ``--every-interrupt``."""

MAIN: Final = threading.main_thread().ident or 0

LARGE: Final = "x" * 30_000


class Operation(NamedTuple):
    """What is interrupted, and what a reader may find of it: nothing or all."""

    act: Callable[[Log, Session, Path], object]
    seen: Callable[[Log, Session], int]
    whole: int


def _messages(_: Log, session: Session) -> int:
    return sum(message.id != "after" for message in session.history()) - 2


def _large(log: Log, session: Session) -> int:
    if not _messages(log, session):
        return 0
    assert session.tool_output("large", "t").text == LARGE
    return 1


def _adopted(log: Log, _: Session) -> int:
    return len(log.session("adopted").history()) if log.exists("adopted") else 0


FOREIGN: Final = "".join(
    f'{{"id": "{id}", "role": "user", "parts": [{{"type": "text", "text": "hi"}}]}}\n'
    for id in "ab"
)

# Built beforehand: building a message is no call of a log.
ONE: Final = Message.user("hello", id="m")
TWO: Final = [Message.user("a", id="a"), Message.user("b", id="b")]
_part: dict[str, Any] = {"type": "tool", "tool_id": "t", "tool_name": "cat"}
_part |= {"tool_status": "completed", "tool_output": LARGE}
LARGE_ONE: Final = Message.model_validate({"id": "large", "role": "assistant", "parts": [_part]})


def _nothing(_: Log, __: Session) -> int:
    return 0


def _in_turn(_: Log, session: Session, __: Path) -> None:
    with session.turn("t") as turn:
        if not turn.done:
            session.append(ONE)


def _turn(log: Log, session: Session) -> int:
    """Return how many messages a turn has left, if it has come to an end."""
    if any(turn.state == "open" for turn in session.turns()):
        return -1  # Its owner is alive, so it would stay open.
    return _messages(log, session)


def _streamed(_: Log, session: Session, __: Path) -> None:
    with session.stream(message_id="m") as out:
        out.write("hello")


def _stream(log: Log, session: Session) -> int:
    return -1 if session.streams() else _messages(log, session)


UNAVOIDABLE: Final = tuple(
    f"{method.__code__.co_filename}:{method.__code__.co_firstlineno} in __exit__"
    for method in (Turn.__exit__, MessageStream.__exit__)
)
"""Where a handler runs before the first line of the method that would end what is open. The lease ends
then, since nobody renews it any more."""

OPERATIONS: Final = {
    "append": Operation(lambda _, s, __: s.append(ONE), _messages, 1),
    "extend": Operation(lambda _, s, __: s.extend(TWO), _messages, 2),
    "commit": Operation(lambda _, s, __: s.commit(), lambda _, s: len(s.archives()), 1),
    "large output": Operation(lambda _, s, __: s.append(LARGE_ONE), _large, 1),
    "history": Operation(lambda _, s, __: list(s.history()), _nothing, 0),
    "tail": Operation(lambda _, s, __: s.tail(), _nothing, 0),
    "new session": Operation(
        lambda log, _, __: log.session("other", create=True).append(ONE), _nothing, 0
    ),
    "follow": Operation(lambda log, _, __: next(log.follow()), _nothing, 0),
    "verify": Operation(lambda log, _, __: log.verify("s"), _nothing, 0),
    "attach": Operation(
        lambda _, s, folder: s.attach_folder(folder / "attached"),
        lambda _, s: int(s.folder is not None),
        1,
    ),
    "adopt": Operation(
        lambda log, _, folder: log.adopt(folder / "foreign", "adopted"), _adopted, 2
    ),
    "turn": Operation(_in_turn, _turn, 1),
    "stream": Operation(_streamed, _stream, 1),
    "close": Operation(lambda log, _, __: log.close(), _nothing, 0),
}


class Place:
    """An empty log for each trial, on one store."""

    def __init__(self, name: str, folder: Path, server_url: Callable[[object], str] | None) -> None:
        self.name = name
        self._folder, self._server_url = folder, server_url
        self._number = 0
        self._url = ""
        self._kept: Store | None = None

    @property
    def folder(self) -> Path:
        """The folder of the present trial; a foreign session is in it."""
        return self._folder / f"trial-{self._number}"

    def next(self) -> str:
        """Prepare for another trial; return the URL of its log."""
        self._number += 1
        (self.folder / "foreign").mkdir(parents=True)
        (self.folder / "foreign/messages.jsonl").write_text(FOREIGN)
        match self.name:
            case "memory":
                self._url = "memory:"
            case "sqlite":
                self._url = f"sqlite:///{self.folder / 'log.db'}?synchronous=off"
            case "files":
                self._url = f"files:///{self.folder / 'log'}?synchronous=off"
            case _:
                assert self._server_url is not None
                self._url = self._server_url((self._folder, self._number))
        return self._url

    def open(self) -> Log:
        log = eventlog.open(self.next())
        self._kept = log.store if self.name == "memory" else None
        return log

    def reopen(self) -> Log:
        return eventlog.open(self._url) if self._kept is None else Log(self._kept)


@pytest.fixture(params=["memory", "sqlite", "files", "postgres", "nats"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server_url: Callable[[object], str] | None = None
    if request.param == "postgres":
        schema = request.getfixturevalue("postgres_schema")
        server_url = partial(schema, request.getfixturevalue("newest_postgres"))
    elif request.param == "nats":
        nats_log = request.getfixturevalue("nats_log")
        server_url = partial(nats_log, request.getfixturevalue("nats_server"))
    return Place(request.param, tmp_path, server_url)


def in_another_thread(function: Callable[[], object], where: str) -> None:
    """Call it, wait for it with a bound, and raise what it raised."""
    errors: list[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive(), f"hung after an interrupt at {where}"
    if errors:
        raise AssertionError(f"refused after an interrupt at {where}") from errors[0]


# Raised in a function that pydantic calls, the exception becomes a warning, and it runs on.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
# Raised while a generator is dropped, it is written to stderr.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_interrupt_at_any_point_leaves_a_usable_log_and_no_half_call(
    name: str, place: Place, points: Counter[str], request: pytest.FixtureRequest
) -> None:
    operation = OPERATIONS[name]
    step = 1 if request.config.getoption("--every-interrupt") else SHARE[place.name]
    for at in count(1, step):
        log = place.open()
        session = log.session("s", create=True)
        session.extend([Message.user("one"), Message.assistant("two")])
        interrupter = Interrupter(at)
        if not interrupter.run(partial(operation.act, log, session, place.folder)):
            in_another_thread(log.close, "no point")
            break
        points[f"{name} on {place.name}"] += 1
        if interrupter.place in UNAVOIDABLE:
            in_another_thread(log.close, interrupter.place)
            continue
        # At once: what was interrupted has come to its end, one way or the other.
        _go_on(log, session, operation, interrupter.place, may_be_closed=name == "close")
        with closing(place.reopen()) as again:
            stored = again.session("s")
            assert operation.seen(again, stored) in (0, operation.whole), interrupter.place
            assert again.verify("s") == []
    assert at > 1


# What was just opened is dropped, and says that nobody closed it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_opening_leaves_a_log_that_can_be_opened(
    place: Place, points: Counter[str], request: pytest.FixtureRequest
) -> None:
    step = 1 if request.config.getoption("--every-interrupt") else SHARE[place.name]
    for at in count(1, step):
        url, opened = place.next(), list[Log]()
        interrupter = Interrupter(at)
        ended = interrupter.run(partial(_open_into, opened, url))
        if ended:
            points[f"open on {place.name}"] += 1
        in_another_thread(partial(_use, opened, url), interrupter.place)
        if not ended:
            break
    assert at > 1


def _open_into(logs: list[Log], url: str) -> None:
    logs.append(eventlog.open(url))


def _use(logs: list[Log], url: str) -> None:
    """Use the log that was opened all the same, or open it."""
    with logs[0] if logs else eventlog.open(url) as log:
        log.session("s", create=True).append(ONE)
        assert [message.id for message in log.session("s").tail()] == ["m"]


def _go_on(
    log: Log, session: Session, operation: Operation, where: str, *, may_be_closed: bool
) -> None:
    found: list[int] = []

    def use() -> None:
        try:
            found.append(operation.seen(log, session))
            session.append(Message.user("more", id="after"))
            assert [message.id for message in session.tail()][-1] == "after"
        except LogClosed:
            assert may_be_closed
        log.close()

    in_another_thread(use, where)
    assert found in ([], [0], [operation.whole]), where


class Held(MemoryStore):
    """Holds the first append until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        self.entered.set()
        assert self.released.wait(PATIENCE_SECONDS)
        return super().append(batch)


@contextmanager
def signalled(store: Held, handle: Callable[[], object]) -> Generator[None]:
    """Send the main thread a signal while the store is in the middle of an append."""
    handled = threading.Event()

    def once(*_: object) -> None:
        if not handled.is_set():
            handled.set()
            handle()

    def strike() -> None:
        assert store.entered.wait(PATIENCE_SECONDS)
        # A signal just before a thread begins to wait is seen when the next one ends the wait.
        while not handled.wait(0.01):
            signal.pthread_kill(MAIN, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, once)
    striking = threading.Thread(target=strike, daemon=True)
    striking.start()
    try:
        yield
    finally:
        striking.join(PATIENCE_SECONDS)
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_may_use_the_log_itself() -> None:
    """It runs while the call that it interrupts is under way."""
    store, answers = Held(), list[int]()

    with Log(store) as log:
        session, other = log.session("s", create=True), log.session("other", create=True)

        def handle() -> None:
            answers.append(len(other.history()))
            store.released.set()

        with signalled(store, handle):
            session.append(ONE)

    assert answers == [0]


def test_a_signal_handler_may_use_the_log_at_any_point_of_a_call(place: Place) -> None:
    """No lock of the log is held by the main thread, or the handler would wait for itself."""
    calls: dict[str, Callable[[Log, Session], object]] = {
        "append": lambda _, s: s.append(Message.user("one more")),
        "meta": lambda _, s: s.refresh(),
        "session": lambda log, _: log.session("other", create=True),
        "tail": lambda _, s: s.tail(),
        "commit idle": lambda log, _: log.commit_idle(),
    }
    with place.open() as log, alarm(PATIENCE_SECONDS):
        session = log.session("s", create=True)
        session.append(ONE)

        def handle() -> None:
            assert session.tail()[0] == ONE
            log.session("other", create=True).append(Message.user("from the handler"))
            assert session.meta.session_id == "s"

        for call in calls.values():
            for at in count(1, 7):
                interrupter = Interrupter(at, handle)
                if not interrupter.run(partial(call, log, session)):
                    break
        assert log.verify("s") == log.verify("other") == []


def test_a_signal_handler_may_write_to_the_stream_that_it_interrupts_and_close_its_log() -> None:
    """Closing ends the message in another thread, which waits for no lock of the one interrupted."""
    with alarm(PATIENCE_SECONDS):
        for at in count(1):
            log = eventlog.open("memory:")
            out = log.session("s", create=True).stream(message_id="m").__enter__()

            def handle(log: Log = log, out: MessageStream = out) -> None:
                out.write("from the handler")
                log.close()

            if not Interrupter(at, handle).run(partial(_write, out)):
                log.close()
                break
    assert at > 10


def _write(out: MessageStream) -> None:
    with suppress(EventLogError):  # Which says that the handler has closed the log.
        out.write("hello")


@contextmanager
def alarm(seconds: float) -> Generator[None]:
    """End whatever hangs in the main thread."""

    def hung(*_: object) -> None:
        raise AssertionError("hung")

    before = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_write_under_way_is_stored_wholly_before_its_caller_hears_of_the_signal() -> None:
    store = Held()

    def handle() -> None:
        store.released.set()
        raise Interrupted

    with Log(store) as log:
        session = log.session("s", create=True)
        with pytest.raises(Interrupted), signalled(store, handle):
            session.append(ONE)

        assert [message.id for message in session.history()] == ["m"]
