"""A crash at each step of fixed scenarios, or at a share of them: P1 to P8 hold, and they can be finished.

A scenario is a list of actions, each of which may be repeated: a service that got no answer does
just that. It is run once without a crash to see how many steps it has and what it leads to. Then it
is run again for every step, with the power failing there: what is left is opened by another
process, checked, and the scenario finished from the action that had no answer.

In memory every third step is tried, on the other storage every 18th; with
``HYPOTHESIS_PROFILE=nightly`` each one.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from eventlog import (
    AutoCommitPolicy,
    Extraction,
    Finalizer,
    LeaseLost,
    Log,
    Message,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    Session,
    SessionClosed,
    Summary,
    SummaryRequest,
    Worker,
)
from eventlog.session.tasks.commands import Claim, ClaimTask, FinalizeArchive
from eventlog.session.tasks.events import OwnerData
from eventlog.testing import Host, every_crash
from eventlog.testing.clock import FakeClock
from eventlog.testing.crashing import Crash, Steps
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import execute
from eventlog.testing.model.backing import Backing, Process
from eventlog.testing.model.laws import check_laws, state_bytes
from tests.shares import Share

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from eventlog.store import Store

CHAT = "chat"
LEASE_SECONDS = 300.0


class World:
    """The processes of a scenario: all of them end when the power fails."""

    def __init__(self, backing: Backing) -> None:
        self.backing = backing
        self.clock = FakeClock()
        self.ids = NumberedIds()
        self.steps = Steps()
        self.auto_commit: AutoCommitPolicy | None = None
        self.claimed: tuple[str, int] = ("", 0)
        """The task and the fence of the last claim, as its worker remembers them."""
        self._processes: dict[int, Process] = {}
        self._next_failure: int | None = None

    def process(self, number: int = 0) -> Process:
        """Return one of the processes; it is started when it is first needed."""
        if number not in self._processes:
            self._processes[number] = Process(
                self.backing,
                clock=self.clock,
                ids=self.ids,
                estimate_tokens=len,
                steps=self.steps,
            )
        return self._processes[number]

    def session(self, number: int = 0) -> Session:
        log = self.process(number).log
        exists = log.exists(CHAT)
        return log.session(CHAT, create=not exists, auto_commit=self.auto_commit)

    def power_fails(self) -> None:
        """End all processes, leave what is stored, and let every lease run out."""
        self._kill()
        backing, self.backing = self.backing, self.backing.image()
        backing.close()
        self.steps = Steps()
        if self._next_failure is not None:
            self.steps.fail(self._next_failure)
            self._next_failure = None
        self.clock.advance(2 * LEASE_SECONDS)

    def then_fail(self, step: int) -> None:
        """Let the power fail once more, at a step of the processes that come after a failure."""
        self._next_failure = step

    def _kill(self) -> None:
        for process in self._processes.values():
            process.kill()
        self._processes.clear()

    def end(self) -> None:
        self._kill()
        self.backing.close()


Action: TypeAlias = "Callable[[World], object]"

# ---- actions ---------------------------------------------------------------------------------


def _user(name: str) -> Message:
    return Message.user(f"text of {name}", id=name, created_at="2026-01-01T00:00:00Z")


def append(name: str) -> Action:
    return lambda world: world.session().append(_user(name))


def extend(*names: str) -> Action:
    return lambda world: world.session().extend([_user(name) for name in names])


def call(name: str) -> Action:
    part = Message.call("look", {"for": "it"}, tool_id=f"call-{name}")
    message = Message.assistant(tools=(part,), id=name, created_at="2026-01-01T00:00:00Z")
    return lambda world: world.session().append(message)


def result(name: str) -> Action:
    return lambda world: world.session().record_tool_result(name, f"call-{name}", "found")


def large(*names: str) -> Action:
    """Append messages with a tool output that is kept beside the log, the same in all of them."""
    messages = [
        Message.tool(f"call-{name}", "large " * 4_000, id=name, created_at="2026-01-01T00:00:00Z")
        for name in names
    ]
    if len(messages) == 1:
        return lambda world: world.session().append(messages[0])
    return lambda world: world.session().extend(messages)


def large_result(name: str) -> Action:
    output = "found " * 4_000
    return lambda world: world.session().record_tool_result(name, f"call-{name}", output)


def used(uri: str) -> Action:
    return lambda world: world.session().used([uri], idempotency_key=f"used-{uri}")


def commit(key: str, keep_recent: int = 0) -> Action:
    return lambda world: world.session().commit(keep_recent, idempotency_key=key)


def retry(archive: str) -> Action:
    return lambda world: world.session().retry(archive, actor="ops", reason="mended")


def delete(world: World) -> None:
    """Delete the session; a repetition finds it deleted."""
    with suppress(SessionClosed):
        world.session().delete()


def close(world: World) -> None:
    world.session().close()


def commits_itself(messages: int) -> Action:
    """Set the session, which is created later, to be committed at a number of messages (C8)."""

    def settle(world: World) -> None:
        world.auto_commit = AutoCommitPolicy(messages=messages, idle_seconds=60)

    return settle


def time_passes(world: World) -> None:
    world.clock.advance(90)


def work(
    number: int = 0, *, first_attempts_fail: int = 0, fatally: bool = False, extract: bool = False
) -> Action:
    """Run a worker until nothing is due, with a model that may fail."""

    def run(world: World) -> int:
        def summarize(request: SummaryRequest) -> Summary:
            if fatally:
                raise NonRetryableError("prompt is too long")
            if request.attempt <= first_attempts_fail:
                raise RetryableError("the model is overloaded")
            overview = f"overview of {request.archive_id} after {request.previous_overview!r}"
            return Summary(overview=overview, abstract="short", usage={"total_tokens": 10})

        def memories(request: SummaryRequest) -> Extraction:
            return Extraction(memories={"facts": 2}, usage={"total_tokens": 3})

        worker = Worker(
            world.process(number).log,
            Finalizer(summarizer=summarize, memory_extractor=memories if extract else None),
            concurrency=1,  # One thing after another, so that every run has the same steps.
            lease_seconds=LEASE_SECONDS,
            retry=RetryPolicy(attempts=5),
            draw=lambda: 0.0,
        )
        return worker.run_once()

    return run


def claim(world: World) -> None:
    """Claim the first archive's task as a worker that will not be heard of for long."""
    log = world.process(0).log
    task = next(log.tasks(session=CHAT))
    owner = OwnerData(host="elsewhere", boot="", pid=1, started="")
    lease = int(LEASE_SECONDS * 1_000_000)
    claimed: Claim = execute(log, CHAT, ClaimTask(task.task_id, "slow", owner, lease, attempts=5))
    if claimed.fence is not None:
        world.claimed = (task.task_id, claimed.fence)


def lease_runs_out(world: World) -> None:
    world.clock.advance(2 * LEASE_SECONDS)


def finalize_late(world: World) -> None:
    """Try to complete with the fence of the slow worker (P5)."""
    log = world.process(0).log
    command = FinalizeArchive(
        *world.claimed, overview="late", abstract="late", covers=(1,), usage={}, follow_ups=()
    )
    with pytest.raises(LeaseLost):
        execute(log, CHAT, command)


SCENARIOS: dict[str, list[Action]] = {
    "append": [append("m1"), append("m2"), append("m3")],
    "extend": [extend("m1", "m2"), extend("m3", "m4", "m5"), append("m6")],
    "commit": [extend("m1", "m2"), used("memory://1"), commit("c1"), append("m3")],
    "commit that keeps": [
        extend("m1", "m2"),
        call("m3"),
        append("m4"),
        commit("c1", keep_recent=1),
        result("m3"),
        commit("c2", keep_recent=1),
    ],
    "two rapid commits and a worker": [
        extend("m1", "m2"),
        commit("c1"),
        append("m3"),
        commit("c2"),
        append("m4"),
        work(extract=True),
    ],
    "a summary that fails twice": [append("m1"), commit("c1"), work(first_attempts_fail=2)],
    "a retry after a failure for good": [
        append("m1"),
        commit("c1"),
        work(fatally=True),
        append("m2"),
        retry("archive_001"),
        work(),
    ],
    "another process finishes what one has claimed": [
        append("m1"),
        commit("c1"),
        claim,
        lease_runs_out,
        work(1),
        finalize_late,
    ],
    "a tool result for an archived message": [
        extend("m1", "m2"),
        call("m3"),
        append("m4"),
        result("m3"),
        commit("c1", keep_recent=1),
        work(),
        append("m5"),
    ],
    "large tool outputs": [
        large("m1"),
        large("m2", "m3"),
        call("m4"),
        large_result("m4"),
        commit("c1", keep_recent=1),
        work(),
    ],
    "automatic commits": [
        commits_itself(2),
        append("m1"),
        append("m2"),
        extend("m3", "m4", "m5"),
        append("m6"),
        time_passes,
        work(),
    ],
    "a session deleted with open tasks": [
        append("m1"),
        commit("c1"),
        append("m2"),
        commit("c2"),
        claim,
        delete,
    ],
    "a session closed, then worked on": [append("m1"), commit("c1"), close, work()],
}


def finish(world: World, actions: Sequence[Action]) -> int:
    """Carry out a scenario, beginning an action again when the power failed; count failures."""
    failures = 0
    for action in actions:
        while True:
            try:
                action(world)
            except Crash:
                failures += 1
                world.power_fails()
                check_laws(world.backing.watch(), attempts=5)
            else:
                break
    return failures


def outcome(backing: Backing) -> dict[str, Any]:
    """Return all that a scenario leads to, but for ids and times that are drawn on the way."""
    log = Log(backing.watch())
    session = log.session(CHAT)
    context = session.context()
    meta = session.meta
    return {
        "history": [message.model_dump() for message in session.history()],
        "whole": [message.model_dump() for message in session.history(hydrate=True)],
        "tail": [message.id for message in session.tail()],
        "archives": [
            (view.archive_id, view.state, view.message_count) for view in session.archives()
        ],
        "context": [message.id for message in context.messages],
        "overview": context.latest_archive_overview,
        "tasks": sorted((task.kind, task.state) for task in log.tasks()),
        "status": meta.status,
        "usage": meta.llm_token_usage,
        "memories": meta.memories_extracted,
        "counts": (meta.message_count, meta.total_message_count, meta.commit_count),
    }


def memory_share(share: Share) -> Share:
    """Return the steps that are crashed in memory, where they are quick: more of them."""
    every = min(share.every, 3)
    return Share(every, 1 + share.first % every)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_at_any_step_leaves_what_can_be_finished(
    name: str,
    storage: str,
    make_backing: Callable[[], Backing],
    share: Share,
    points: Counter[str],
) -> None:
    """P1 to P8 hold after the crash, and the end is as if there had been none."""
    actions = SCENARIOS[name]
    calm = World(make_backing())
    finish(calm, actions)
    expected, steps = outcome(calm.backing), calm.steps.count
    calm.end()
    every, first = memory_share(share) if storage == "memory" else share
    for step in range(first, steps + 1, every):
        world = World(make_backing())
        world.steps.fail(step)
        assert finish(world, actions) == 1, f"step {step} of {steps} was never reached"
        points[storage] += 1
        assert outcome(world.backing) == expected, calm.steps.trace[:step]
        check_laws(world.backing.watch(), attempts=5)
        _reopens_to_the_same_bytes(world)
        world.end()


def _reopens_to_the_same_bytes(world: World) -> None:
    """P3: the next process, and one on a copy of the storage, read the same."""
    before = state_bytes(world.backing.watch(), CHAT)
    world.power_fails()
    assert state_bytes(world.backing.watch(), CHAT) == before


class HostBacking:
    """SQLite on the disk of a host, as the storage of a scenario: the host's steps count."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def open(self, steps: Steps) -> Store:
        return self._host.open_store()

    def watch(self) -> Store:
        return self._host.after_crash().open_store()

    def kill(self, store: Store) -> None:
        """All processes of the host end together."""

    def image(self) -> HostBacking:
        return HostBacking(self._host.after_crash())

    def close(self) -> None:
        """The host is its maker's."""


def host_with_a_log() -> Host:
    host = Host()
    host.open_store()
    return host


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_power_failure_at_any_write_of_sqlite_leaves_a_log_that_keeps_its_promises(
    name: str, share: Share, points: Counter[str]
) -> None:
    """K3: at every write and sync, with every fate of what was not synchronised: P1 to P8 hold."""

    def scenario(host: Host) -> None:
        world = World(HostBacking(host))
        world.steps, world.clock, world.ids = host.steps, host.clock, host.ids
        for action in SCENARIOS[name]:
            action(world)

    def laws_hold(host: Host) -> bytes:
        store = host.open_store()
        check_laws(store, attempts=5)
        return state_bytes(store, CHAT)

    report = every_crash(
        scenario, laws_hold, make_host=host_with_a_log, every=share.every, first=share.first
    )

    assert report.points == len(range(share.first, report.steps + 1, share.every)) + 1
    assert report.steps > 14
    points["sqlite on a simulated disk"] += report.points
    points["sqlite on a simulated disk, images"] += report.images


def test_a_crash_while_a_crash_is_made_good_changes_nothing(
    storage: str, make_backing: Callable[[], Backing], share: Share, points: Counter[str]
) -> None:
    """A share of all pairs of steps: the second failure strikes what follows the first."""
    actions = [append("m1"), commit("c1")]
    calm = World(make_backing())
    finish(calm, actions)
    expected, steps = outcome(calm.backing), calm.steps.count
    calm.end()
    pairs = list(product(range(1, steps + 1), repeat=2))
    for first, second in pairs[share.first - 1 :: share.every]:
        world = World(make_backing())
        world.steps.fail(first)
        world.then_fail(second)
        finish(world, actions)
        points[storage] += 1
        assert outcome(world.backing) == expected
        check_laws(world.backing.watch())
        world.end()
