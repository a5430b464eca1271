"""What all methods of a session share: its engine, its core, and the turn that the caller is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventlog.engine.turn_context import fence_of, steps_of
from eventlog.records import ANY, Expected, Metadata
from eventlog.session.views import SessionMeta, session_meta

if TYPE_CHECKING:
    from eventlog.engine.core import Core
    from eventlog.engine.engine import Engine
    from eventlog.engine.turn_steps import TurnSteps
    from eventlog.forensics.past import Past
    from eventlog.session.command import Command
    from eventlog.session.turns.state import TurnFence

__all__ = ["Base"]


class Base:
    """What all methods of a session share: its engine, its core, and the turn that the caller is in."""

    def __init__(self, engine: Engine, core: Core) -> None:
        self._engine = engine
        self._core = core
        self._known_past: Past | None = None

    def _do(self, command: Command[Any], by: Metadata | None, expected: Expected = ANY) -> Any:
        return self._engine.execute(self._core, command, by, expected, fence=self._fence)

    @property
    def _fence(self) -> TurnFence | None:
        """The fence of the turn that the calling code is part of, if it is part of one."""
        return fence_of(self._core)

    @property
    def _steps(self) -> TurnSteps | None:
        """The steps of that turn."""
        return steps_of(self._core)

    @property
    def id(self) -> str:
        """The session's id."""
        return self._core.session

    @property
    def version(self) -> int:
        """The number of records that were folded so far."""
        return self._core.state.version

    @property
    def meta(self) -> SessionMeta:
        """The metadata as of `version`, without I/O; `refresh` folds what others have recorded."""
        return session_meta(self._engine.shelter.read(self._core.snapshot_of_state))
