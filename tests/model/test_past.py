"""Looking back at random programs: what was live at a version is what is seen at that version."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis.stateful import invariant, run_state_machine_as_test

from eventlog.exchange.bundle.reading import read_bundle_bytes
from eventlog.exchange.bundle.store import BundleStore
from eventlog.exchange.bundle.writing import bundle_bytes
from eventlog.exchange.copying import copy_log
from eventlog.forensics.moment import Moment
from eventlog.log import Log
from eventlog.session_face import Session
from eventlog.testing.files import FilesBacking
from eventlog.testing.inside import core_of
from eventlog.testing.machine import SessionMachine
from eventlog.testing.model.backing import Backing, MemoryBacking
from eventlog.testing.model.laws import expect
from eventlog.testing.model.programs import BUDGET, SESSION, shown
from eventlog.testing.model.session import NEWEST

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from hypothesis import settings


def seen(session: Session | Moment) -> dict[str, Any]:
    """Return everything that a session and a moment both show."""
    context = session.context(token_budget=BUDGET)
    return {
        "version": session.version,
        "meta": session.meta._asdict(),
        "tail": [shown(message) for message in session.tail()],
        "history": [shown(message) for message in session.history()],
        "archives": session.archives(),
        "context": (context.latest_archive_overview, context.messages, context.stats),
        "newest": [[each.id for each in session.tail(last=last)] for last in NEWEST],
        "truncated": [each.id for each in session.truncated(recent=3)],
    }


class PastPrograms(SessionMachine):
    """Programs that note after every command what is to be seen, and compare it at the end."""

    compared = 0

    def make_backing(self) -> Backing:
        return MemoryBacking()

    @invariant()
    def note_what_is_live(self) -> None:
        if not hasattr(self, "program"):
            return
        log = Log(self.program.backing.watch())
        if not log.exists(SESSION):
            return
        noted: dict[int, Any] = vars(self).setdefault("noted", {})
        session = log.session(SESSION)
        if session.version not in noted:
            tasks = tuple(log.tasks(SESSION))
            live = {**seen(session), "tasks": tasks}
            noted[session.version] = (copy.deepcopy(live), core_of(log, SESSION).state.copy())

    def teardown(self) -> None:
        noted: dict[int, Any] = self.__dict__.get("noted", {})
        if noted:
            self.compare(noted)
        super().teardown()

    def compare(self, noted: dict[int, Any]) -> None:
        """A3: `at(v)` is the state that was live at v, for every v at which an append ended."""
        log = Log(self.program.backing.watch())
        session = log.session(SESSION)
        for version, (live, state) in noted.items():
            moment = session.at(version=version)
            assert moment.was_live
            expect(f"at version {version}", {**seen(moment), "tasks": moment.tasks()}, live)
            expect(f"state at version {version}", moment._core.state, state)
            type(self).compared += 1
        self.compare_elsewhere(session, sorted(noted)[:: max(1, len(noted) // 2)])

    def compare_elsewhere(self, session: Session, versions: list[int]) -> None:
        """The same through a bundle, and in a copy on another store."""
        store = self.program.backing.watch()
        data, _ = bundle_bytes(store, [SESSION])
        copied = FilesBacking(segment_bytes=2_000)
        copy_log(store, copied.watch())
        for elsewhere in (BundleStore(read_bundle_bytes(data)), copied.watch()):
            other = Log(elsewhere).session(SESSION)
            for version in versions:
                expected = seen(session.at(version=version))
                expect(f"elsewhere at {version}", seen(other.at(version=version)), expected)
        copied.close()


def test_at_a_version_is_what_was_live_at_it(
    examples: Callable[[int], settings], programs: Counter[str]
) -> None:
    """A3, for programs of messages, commits, workers, crashes and clocks that jump."""
    run_state_machine_as_test(PastPrograms, settings=examples(15))
    programs["versions looked back at"] += PastPrograms.compared
    assert PastPrograms.compared > 100
