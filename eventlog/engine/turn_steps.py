"""The steps of one attempt at a turn: the names that it used, and what earlier attempts finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from eventlog.engine.steps import StepNames, StoredOutput
from eventlog.session.commands import AppendMessages
from eventlog.session.events import MessageAppended
from eventlog.session.messages import Message
from eventlog.session.turns.events import TurnStepCompleted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventlog.engine.core import Core
    from eventlog.recorded import Recorded
    from eventlog.session.message_data import MessageData

__all__ = ["FoundStep", "RecordedStep", "TurnSteps"]


class RecordedStep(NamedTuple):
    """A finished step: its name, its output, and the messages that were recorded with it."""

    name: str
    output: Any
    messages: tuple[Message, ...]


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
        self._begun = 0

    def resume(self, finished: Mapping[str, int], begun: int = 0) -> None:
        """Take in the steps to read back: the versions of their records, by name.

        Those behind version ``begun`` are this attempt's, so their messages are there already.
        """
        self._finished, self._begun = dict(finished), begun

    def look(self) -> None:
        """Take in what the attempt recorded since, also by others that hold its fence (I/O)."""
        turn = self._core.refresh().turn
        if turn is not None and turn.begun == self._begun:
            self._finished = dict(turn.steps)

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
        is_own = 0 < self._begun < recorded.version
        again = None if is_own else self._append_again(recorded.version, event.messages)
        return FoundStep(output, again)

    def recorded(self, name: str, digest: str) -> RecordedStep | None:
        """Read a finished step with its messages, of this attempt or an earlier one (I/O)."""
        self.look()
        found, version = self.find(name, digest), self._finished.get(name, 0)
        if found is None:
            return None
        event = cast("TurnStepCompleted", cast("Recorded", self._core.reader.record(version)).event)
        again = self._append_again(version, event.messages)
        return RecordedStep(name, found.output, () if again is None else again.messages)

    def again(self, name: str, digest: str) -> AppendMessages | None:
        """Return the command that appends the messages of an earlier attempt's step again (I/O)."""
        self.look()
        found = self.find(name, digest)
        return None if found is None else found.append

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
