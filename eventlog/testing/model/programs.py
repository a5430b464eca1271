"""Programs of commands, run on the library and on the model.

A `Program` has two processes on one storage, each with its own log, and one session that both use. The
model decides every command first; then the library runs it, and both answers must be equal. If a fault
interrupts a command, its outcome is in doubt: the state found afterwards must be one from before, during
or after the command, and the model continues with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventlog.errors import EventLogError, UnavailableError
from eventlog.log import Log
from eventlog.testing.clock import FakeClock
from eventlog.testing.crashing import Crash
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import core_of, execute
from eventlog.testing.model.backing import Process
from eventlog.testing.model.laws import archived_messages, check_laws, expect, state_bytes
from eventlog.testing.model.session import NEWEST, Refusal, SessionModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventlog.session.command import Command
    from eventlog.session.events import FailedArchives
    from eventlog.session.messages import Message
    from eventlog.session_face import Session
    from eventlog.testing.crashing import Fault, Steps
    from eventlog.testing.model.backing import Backing
    from eventlog.worker_face import Worker

__all__ = ["IN_DOUBT", "SESSION", "By", "Program", "shown"]

SESSION: Final = "chat-42"
BUDGET: Final = 1 << 40

Change = Callable[[SessionModel], Any]

IN_DOUBT: Final = object()
"""The result of `Program.run` if no answer arrived."""


class By(NamedTuple):
    """The process that runs a command, and the fault and step that interrupt it."""

    place: int
    after: int = 0
    """Counted from the command's first step; 0 for no fault."""
    fault: Fault = "power"


class Program:
    """Two processes, one session, and the model of it."""

    def __init__(self, backing: Backing, failed_archives: FailedArchives = "block") -> None:
        self.backing = backing
        self.clock = FakeClock()
        self.ids = NumberedIds()
        self.model = SessionModel(failed_archives=failed_archives)
        self.ran: Counter[str] = Counter()
        """How many commands, refusals, crashes and cuts there were."""
        self._sound = True
        """Whether nothing wrong was found so far."""
        self._observer = Log(backing.watch())
        self.processes = [self._start(), self._start()]
        self.sessions = [self._open(0), self._open(1)]

    # ---- commands -----------------------------------------------------------------------------

    def run(self, by: By, change: Change, call: Callable[[Session], Any]) -> Any:
        """Run a command in a process and in the model; return the answer, or `IN_DOUBT`.

        ``change`` takes the model and returns the expected answer, or raises `Refusal`; if it returns
        None, the answer is not compared.
        """
        after, answer, refusal = self._foresee(change)
        steps = self._begin(by)
        struck = len(steps.struck)
        found = None
        try:
            found = call(self.sessions[by.place])
        except Crash:
            self.crash(by.place, [self.model, after])
            return IN_DOUBT
        except UnavailableError:
            if len(steps.struck) == struck:
                raise
            self.ran["cuts"] += 1
            self.settle([self.model, after])
            return IN_DOUBT
        except EventLogError as error:
            if refusal is None or not isinstance(error, refusal.errors):
                raise
            self.ran["refusals"] += 1
        else:
            if refusal is not None and not refusal.optional:
                raise AssertionError(f"expected {refusal}, got {found!r}")
            if answer is not None:
                expect("answer", found, answer)
            self.model = after
        self._look()
        return found if refusal is None else None

    def append(self, by: By, messages: list[dict[str, Any]]) -> None:
        """Append one message, or extend by several."""

        def call(session: Session) -> list[dict[str, Any]]:
            if len(messages) == 1:
                return [shown(session.append(messages[0]))]
            return [shown(message) for message in session.extend(messages)]

        def change(model: SessionModel) -> list[dict[str, Any]]:
            model.append(self.clock.now, messages)
            return messages

        self.run(by, change, call)

    def commit(
        self,
        by: By,
        keep_recent: int = 0,
        keep_turn_tokens: int | None = None,
        key: str | None = None,
    ) -> None:
        """Commit what is live."""

        def call(session: Session) -> tuple[str, int, str | None]:
            result = session.commit(
                keep_recent, keep_turn_tokens=keep_turn_tokens, idempotency_key=key
            )
            return (result.status, result.archived, result.archive_id)

        def change(model: SessionModel) -> tuple[str, int, str | None]:
            return model.commit(self.clock.now, keep_recent, keep_turn_tokens, key)

        self.run(by, change, call)

    def _begin(self, by: By) -> Steps:
        """Plan the fault for a command."""
        self.ran["commands"] += 1
        self._sound = False
        steps = self.processes[by.place].steps
        steps.spare()
        if by.after:
            steps.fail(steps.count + by.after, by.fault)
        return steps

    def _foresee(self, change: Change) -> tuple[SessionModel, Any, Refusal | None]:
        after = self.model.copy()
        try:
            return after, change(after), None
        except Refusal as refusal:
            return self.model, None, refusal

    def work(
        self,
        by: By,
        worker: Worker,
        change: Callable[[SessionModel], int],
        on_the_way: Sequence[SessionModel],
    ) -> None:
        """Run a worker and its model; ``on_the_way`` are the states that it passes through.

        Cuts become power failures: a worker counts them as failed attempts, which the model does
        not know.
        """
        after = self.model.copy()
        completed = change(after)
        self._begin(by._replace(fault="power"))
        try:
            found = worker.run_once()
        except Crash:
            self.crash(by.place, [self.model, *on_the_way, after])
            return
        self.model = after
        if found != completed:
            self.check()  # Where the states differ says more than how many tasks do.
        expect("completed tasks", found, completed)
        self._look()

    def execute(self, by: By, command: Command[Any]) -> Any:
        """Run a command of a worker's process."""
        log = self.processes[by.place].log
        return execute(log, SESSION, command)

    def write_snapshot(self, by: By, *, damaged: bool) -> None:
        """Let a process store a snapshot, and damage it on request."""
        core = core_of(self.processes[by.place].log, SESSION)
        if not core.state.version:
            return
        self._begin(by)
        try:
            core.write_snapshot()
        except Crash:
            self.crash(by.place, [self.model])
            return
        store = self.backing.watch()
        key = f"snapshot/{SESSION}/session"
        blob = store.get_blob(key)
        if damaged and blob is not None:
            store.put_blob(key, blob.data[:-1] + b"?")
        self._look()

    def task_id(self, index: int) -> str:
        """Return the id of the task that finalises an archive."""
        return self._observer.session(SESSION).archives()[index - 1].task_id

    # ---- processes that end and start ---------------------------------------------------------

    def crash(self, place: int, candidates: Sequence[SessionModel]) -> None:
        """End a process abruptly, find out what it left, and start another in its place."""
        self.ran["crashes"] += 1
        self.processes[place].kill()
        self.settle(candidates)
        self._replace(place)

    def restart(self, place: int) -> None:
        """End a process properly and start another in its place."""
        self.ran["restarts"] += 1
        self.processes[place].end()
        self._replace(place)
        self.check()

    def settle(self, candidates: Sequence[SessionModel]) -> None:
        """Continue with the possible state that is found; there must be one."""
        found = self.seen()
        self.model = next(
            (model for model in reversed(candidates) if model.shown() == found), candidates[-1]
        )
        self.check()

    def end(self) -> None:
        """Check once more, unless that failed already, and release everything."""
        try:
            if self._sound:
                self.check()
                self._check_image()
        finally:
            for process in self.processes:
                process.kill()
            self.backing.close()

    def _check_image(self) -> None:
        """P3: a copy of the storage replays to the same bytes."""
        copied = self.backing.image()
        try:
            if self.model.version:
                original = state_bytes(self.backing.watch(), SESSION)
                expect("state of a copy (P3)", state_bytes(copied.watch(), SESSION), original)
        finally:
            copied.close()

    def _replace(self, place: int) -> None:
        self.processes[place] = self._start()
        self.sessions[place] = self._open(place)

    def _start(self) -> Process:
        return Process(self.backing, clock=self.clock, ids=self.ids, estimate_tokens=len)

    def _open(self, place: int) -> Session:
        return self.processes[place].log.session(
            SESSION,
            create=self.model.status in ("absent", "open"),
            failed_archives="block" if self.model.failed_archives == "block" else "skip",
        )

    # ---- comparing ----------------------------------------------------------------------------

    def check(self) -> None:
        """Assert the laws, and that everything visible is as in the model."""
        self._sound = False
        seen, expected = self.seen(), self.model.shown()
        for name in expected:
            expect(name, seen[name], expected[name])
        check_laws(self.backing.watch(), attempts=self.model.attempts)
        self._sound = True

    def _look(self) -> None:
        """Assert the minimum: the number of records, and the live messages."""
        version = self.backing.watch().head(SESSION).version
        expect("version", version, self.model.version)
        if version:
            live = [message.id for message in self._observer.session(SESSION).tail()]
            expect("live", live, self.model.live)
        self._sound = True

    def seen(self) -> dict[str, Any]:
        """Return everything visible of the session, in the form of `SessionModel.shown`."""
        log = Log(self.backing.watch())
        if not log.exists(SESSION):
            return SessionModel().shown()
        session = log.session(SESSION)
        archived = archived_messages(list(log.read(SESSION)))
        context = session.context(token_budget=BUDGET)
        state = core_of(log, SESSION).state
        return {
            "version": session.version,
            "status": session.meta.status,
            "live": [shown(message) for message in session.tail()],
            "history": [shown(message) for message in session.history()],
            "archives": [
                (view.archive_id, view.state, view.attempts, archived[view.number])
                for view in session.archives()
            ],
            "overview": context.latest_archive_overview,
            "context": [shown(message) for message in context.messages],
            "newest": [_ids(session.tail(last=last)) for last in NEWEST],
            "truncated": [
                _ids(session.truncated(keep_first_user=False, recent=last)) for last in NEWEST
            ],
            "live_tokens": state.window.tokens,
            "used": state.usage_count,
            "summaries_paid": session.meta.llm_token_usage["total_tokens"],
        }


def _ids(messages: Sequence[Message]) -> list[str]:
    return [message.id for message in messages]


def shown(message: Message) -> dict[str, Any]:
    """Return a message as it was given, without a generated time."""
    fields = message.model_dump(mode="json", exclude_unset=True)
    fields.pop("created_at", None)
    return fields
