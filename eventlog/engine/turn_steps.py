"""The steps of one attempt at a turn: the names that it used, and what earlier attempts finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from eventlog.engine.steps import StepNames, StoredOutput
from eventlog.session.commands import AppendMessages
from eventlog.session.events import MessageAppended
from eventlog.session.messages import Message
from eventlog.session.turns.events import TurnStepCompleted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventlog.engine.core import Core
    from eventlog.session.message_data import MessageData

__all__ = ["FoundStep", "TurnSteps"]


class FoundStep(NamedTuple):
    """A step that an earlier attempt finished."""

    output: Any
    append: AppendMessages | None
    """The command that appends its messages again."""


class TurnSteps:
    """Functions and streams have one space of names (T3)."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.names = StepNames()
        self._finished: dict[str, int] = {}

    def resume(self, finished: Mapping[str, int]) -> None:
        """Take in the steps to read back: the versions of their records, by name."""
        self._finished = dict(finished)

    def find(self, name: str, digest: str) -> FoundStep | None:
        """Read a step of an earlier attempt with the same arguments (I/O)."""
        version = self._finished.get(name)
        recorded = None if version is None else self._core.reader.record(version)
        if recorded is None or not isinstance(recorded.event, TurnStepCompleted):
            return None
        event = recorded.event
        if event.digest != digest:
            return None
        output = StoredOutput(event.output, event.blob).read(self._core)
        return FoundStep(output, self._append_again(recorded.version, event.messages))

    def _append_again(self, version: int, count: int) -> AppendMessages | None:
        """Return the command that appends the messages of a step once more, as they were stored."""
        if not count:
            return None
        data: list[MessageData] = []
        tokens: list[int] = []
        for at in range(version + 1, version + 1 + count):
            recorded = self._core.reader.record(at)
            event = None if recorded is None else recorded.event
            if isinstance(event, MessageAppended):
                data.append(event.message)
                tokens.append(event.tokens)
        messages = tuple(Message.model_validate(each) for each in data)
        return AppendMessages(messages, tuple(data), tuple(tokens), reuses=True)
