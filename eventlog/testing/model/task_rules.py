"""Rules for tasks: single commands of workers, early or late; a whole worker; an operator's commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from eventlog.errors import NonRetryableError, RetryableError
from eventlog.session.commit import archive_id
from eventlog.session.tasks.commands import (
    Claim,
    ClaimTask,
    CompleteStep,
    FailAttempt,
    FinalizeArchive,
    ReleaseTask,
    RenewLease,
)
from eventlog.session.tasks.events import OwnerData, TokenUsage
from eventlog.session_face import Session
from eventlog.testing.crashing import Crash
from eventlog.testing.model.base_rules import ProgramMachine, actors, picks
from eventlog.testing.model.programs import IN_DOUBT, By
from eventlog.testing.model.session import SessionModel
from eventlog.worker.finalizer import Finalizer
from eventlog.worker.requests import Summary, SummaryRequest
from eventlog.worker.retry_policy import RetryPolicy
from eventlog.worker_face import Worker

__all__ = ["TaskRules"]

LEASE: Final = 300_000_000
"""Microseconds, as the library's default."""

FEIGNED_OWNER: Final = OwnerData(host="elsewhere", boot="", pid=1, started="")


class Owned(NamedTuple):
    """A lease that a worker believes it holds."""

    archive: int
    task_id: str
    fence: int

    @property
    def overview(self) -> str:
        return f"overview of {archive_id(self.archive)}"


class TaskRules(ProgramMachine):
    """Claims, and writes with any fence that was ever given, however late."""

    def __init__(self) -> None:
        super().__init__()
        self.owned: list[Owned] = []

    @precondition(lambda self: self.model.archives)
    @rule(by=actors, pick=picks, proven_gone=st.booleans(), oldest_first=st.booleans())
    def claim(self, by: By, pick: int, proven_gone: bool, oldest_first: bool) -> None:
        head = self.model.lane_head()
        index = head.index if head is not None and oldest_first else self.archive(pick)
        gone = self.model.archives[index - 1].fence if proven_gone else None
        self._claim(by, index, gone)

    @precondition(lambda self: self.model.lane_head() is not None)
    @rule(by=actors, ends=st.lists(st.sampled_from(["lost", "lost", "failed"]), max_size=4))
    def attempts_end(self, by: By, ends: list[str]) -> None:
        """Let one worker after another claim the next task, and fail or die."""
        for end in ends:
            head = self.model.lane_head()
            if head is None:
                return
            claimed = len(self.owned)
            self._claim(by, head.index)
            if end == "failed" and len(self.owned) > claimed:
                self.fail(by, pick=0, fatal=False, delay=0)
            self.program.clock.advance(LEASE / 1_000_000 + 1)

    @precondition(lambda self: self.model.lane_head() is not None)
    @rule(by=actors, rival=actors, late=st.sampled_from(["renew", "summarize", "finalize", "fail"]))
    def owner_is_late(self, by: By, rival: By, late: str) -> None:
        """Let a lease end while its worker is busy, another claim the task, and the first one write."""
        head, before = self.model.lane_head(), len(self.owned)
        assert head is not None
        self._claim(by, head.index)
        self.program.clock.advance(LEASE / 1_000_000 + 1)
        self._claim(rival, head.index)
        if len(self.owned) < before + 2:
            return
        if late == "fail":
            self.fail(by, pick=1, fatal=False, delay=0)
        else:
            {"renew": self.renew, "summarize": self.summarize, "finalize": self.finalize}[late](
                by, 1
            )

    def _claim(self, by: By, index: int, gone: int | None = None) -> None:
        task_id = self.program.task_id(index)
        command = ClaimTask(task_id, "worker", FEIGNED_OWNER, LEASE, self.model.attempts, gone)

        def change(model: SessionModel) -> tuple[int | None]:
            return (model.claim(self.now, index, LEASE, gone),)

        def call(session: Session) -> tuple[int | None]:
            claim: Claim = self.program.execute(by, command)
            return (claim.fence,)

        answer = self.program.run(by, change, call)
        if answer is not IN_DOUBT and answer[0] is not None:
            self.owned.append(Owned(index, task_id, answer[0]))

    @precondition(lambda self: self.owned)
    @rule(by=actors, pick=picks)
    def renew(self, by: By, pick: int) -> None:
        self._write(
            by,
            pick,
            lambda owned: RenewLease(owned.task_id, owned.fence, LEASE),
            lambda model, owned: model.renew(self.now, owned.archive, owned.fence, LEASE),
        )

    @precondition(lambda self: self.owned)
    @rule(by=actors, pick=picks)
    def release(self, by: By, pick: int) -> None:
        self._write(
            by,
            pick,
            lambda owned: ReleaseTask(owned.task_id, owned.fence, "stopped"),
            lambda model, owned: model.release(self.now, owned.archive, owned.fence),
        )

    @precondition(lambda self: self.owned)
    @rule(by=actors, pick=picks)
    def summarize(self, by: By, pick: int) -> None:
        def command(owned: Owned) -> CompleteStep:
            covers = list(self.model.covers(owned.archive))
            output = {"overview": owned.overview, "abstract": "short", "covers": covers}
            paid = TokenUsage(total_tokens=1)
            return CompleteStep(owned.task_id, owned.fence, "summary", output, paid)

        def change(model: SessionModel, owned: Owned) -> None:
            model.summarize(self.now, owned.archive, owned.fence, owned.overview)

        self._write(by, pick, command, change)

    @precondition(lambda self: self.owned)
    @rule(by=actors, pick=picks)
    def finalize(self, by: By, pick: int) -> None:
        def command(owned: Owned) -> FinalizeArchive:
            return FinalizeArchive(
                owned.task_id,
                owned.fence,
                overview=owned.overview,
                abstract="short",
                covers=self.model.covers(owned.archive),
                usage={},
                follow_ups=(),
            )

        def change(model: SessionModel, owned: Owned) -> None:
            model.finalize(self.now, owned.archive, owned.fence, owned.overview)

        self._write(by, pick, command, change)

    @precondition(lambda self: self.owned)
    @rule(by=actors, pick=picks, fatal=st.booleans(), delay=st.sampled_from([0, 5_000_000]))
    def fail(self, by: By, pick: int, fatal: bool, delay: int) -> None:
        def command(owned: Owned) -> FailAttempt:
            return FailAttempt(
                owned.task_id, owned.fence, "broken", fatal, self.model.attempts, delay
            )

        def change(model: SessionModel, owned: Owned) -> None:
            model.fail(self.now, owned.archive, owned.fence, delay, fatal=fatal)

        self._write(by, pick, command, change)

    def _write(
        self,
        by: By,
        pick: int,
        command: Callable[[Owned], Any],
        change: Callable[[SessionModel, Owned], None],
    ) -> None:
        """Write as a worker that once held a lease, which may now be another's (P5)."""
        owned = self.owned[-1 - pick % len(self.owned)]
        self.program.run(
            by,
            lambda model: change(model, owned),
            lambda session: self.program.execute(by, command(owned)),
        )

    # ---- operators ----------------------------------------------------------------------------

    @precondition(lambda self: self.model.archives)
    @rule(by=actors, pick=picks, beyond=st.sampled_from([0, 0, 0, 1]))
    def retry(self, by: By, pick: int, beyond: int) -> None:
        index = self.archive(pick) + beyond
        self.program.run(
            by,
            lambda model: model.retry(self.now, index),
            lambda session: session.retry(archive_id(index), actor="ops"),
        )

    @precondition(lambda self: len(self.model.archives) > 1)
    @rule(by=actors, pick=picks)
    def abandon(self, by: By, pick: int) -> None:
        index = self.archive(pick)
        self.program.run(
            by,
            lambda model: model.abandon(self.now, index),
            lambda session: session.abandon(archive_id(index), actor="ops"),
        )

    # ---- a whole worker -----------------------------------------------------------------------

    @precondition(lambda self: self.model.archives)
    @rule(
        by=actors,
        script=st.lists(st.sampled_from(["ok", "ok", "transient", "fatal", "crash"]), max_size=4),
    )
    def work(self, by: By, script: list[str]) -> None:
        """Run a worker until nothing is due; ``script`` gives the outcome of each summary."""
        on_the_way: list[SessionModel] = []

        def change(model: SessionModel) -> int:
            outcomes = _then_ok(script)
            return model.work(
                self.now,
                LEASE,
                lambda: next(outcomes),
                lambda state: on_the_way.append(state.copy()),
            )

        self.program.work(by, self._worker(by, script), change, on_the_way)

    def _worker(self, by: By, script: list[str]) -> Worker:
        outcomes = _then_ok(script)
        process = self.program.processes[by.place]

        async def summarize(request: SummaryRequest) -> Summary:
            match next(outcomes):
                case "ok":
                    overview = f"overview of {request.archive_id}"
                    return Summary(overview=overview, abstract="short", usage={"total_tokens": 1})
                case "transient":
                    raise RetryableError("try again")
                case "fatal":
                    raise NonRetryableError("it will not do")
                case _:
                    process.steps.die()
                    raise Crash("in the middle of the summary")

        return Worker(
            process.log,
            Finalizer(summarizer=summarize),
            lease_seconds=LEASE / 1_000_000,
            retry=RetryPolicy(attempts=self.model.attempts),
            draw=lambda: 0.0,
        )


def _then_ok(script: list[str]) -> Iterator[str]:
    yield from script
    while True:
        yield "ok"
