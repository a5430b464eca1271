"""The machine of a message that is written in chunks: it ends once, whole or interrupted."""

from __future__ import annotations

from typing import Final

from eventlog.machine import ABSENT, StateMachine, Transition

__all__ = ["STREAM_MACHINE"]

STREAM_MACHINE: Final = StateMachine(
    "stream",
    states=["streaming", "ended", "interrupted"],
    transitions=[
        Transition("message_begun", (ABSENT,), "streaming"),
        Transition("chunk_appended", ("streaming",), "streaming"),
        Transition("result_kept", ("streaming",), "streaming"),
        Transition("message_ended", ("streaming",), "ended"),
        Transition("message_interrupted", ("streaming",), "interrupted"),
    ],
)
