"""Archives that workers finish while something happens to them, and the check afterwards (P5, F1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.log import open as open_log
from eventlog.session.messages import Message
from eventlog.testing.model.laws import check_laws, expect

if TYPE_CHECKING:
    from typing import Any

__all__ = ["check_finished", "leave_archives"]


def leave_archives(url: str, sessions: int, archives: int) -> None:
    """Create sessions with a number of archives each, for workers to finish."""
    with open_log(url) as log:
        for number in range(sessions):
            session = log.session(f"s{number:03d}", create=True)
            for _ in range(archives):
                session.append(Message.user("Why did the deployment fail?"))
                session.commit()


def check_finished(url: str, sessions: int, archives: int, *, attempts: int) -> None:
    """Assert that all archives are completed, each once and in the order of its session.

    ``attempts`` is how many the workers gave a task.
    """
    wanted = [f"archive_{number:03d}" for number in range(1, archives + 1)]
    with open_log(url) as log:
        names = list(log.sessions())
        expect("sessions", len(names), sessions)
        for name in names:
            views = {view.task_id: view for view in log.session(name).archives()}
            expect(f"archives of {name}", [view.archive_id for view in views.values()], wanted)
            expect("their states", {view.state for view in views.values()}, {"completed"})
            for type_ in ("step_completed", "archive_finalized"):
                events: list[Any] = [one.event for one in log.read(name) if one.type == type_]
                finished = [views[event.task_id].archive_id for event in events]
                expect(f"the archives of {name} by its {type_}", finished, wanted)
        check_laws(log.store, attempts=attempts)
