"""What writing a message in chunks needs of its log: an engine has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from eventlog.clock import Clock
    from eventlog.engine.committer import Request
    from eventlog.engine.core import Core
    from eventlog.engine.streams.recovery import StreamRecovery
    from eventlog.records import Metadata
    from eventlog.session.command import Command
    from eventlog.session.tokens import TokenEstimator
    from eventlog.session.turns.state import TurnFence

__all__ = ["StreamHost"]


class StreamHost(Protocol):
    """The parts of an engine that producers use."""

    monotonic: Clock | None
    estimate_tokens: TokenEstimator
    recovery: StreamRecovery

    def execute(
        self,
        core: Core,
        command: Command[Any],
        metadata: Metadata | None = None,
        *,
        fence: TurnFence | None = None,
    ) -> Any:
        """Decide, store and fold a command; return its result."""
        ...

    def answer(self, request: Request) -> Any:
        """Decide, store and fold a request; return its result."""
        ...

    def submit(self, request: Request) -> None:
        """Queue a request whose answer is awaited elsewhere."""
        ...
