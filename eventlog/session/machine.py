"""The machine of a session: it is created once, and closed or deleted once.

A session that is being adopted from a folder accepts what the folder holds and nothing else.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from eventlog.machine import ABSENT, StateMachine, Transition
from eventlog.session.turns.machine import TURN_MACHINE

__all__ = ["SESSION_MACHINE", "SessionStatus"]

SessionStatus: TypeAlias = Literal["absent", "open", "adopting", "closed", "deleted"]
"""The states of the machine; ``absent`` is a session that has no event yet."""

SESSION_MACHINE: Final = StateMachine(
    "session",
    states=["open", "adopting", "closed", "deleted"],
    transitions=[
        Transition("session_created", (ABSENT,), "open"),
        Transition("message_appended", ("open",), "open"),
        Transition("tool_result_recorded", ("open",), "open"),
        Transition("messages_withdrawn", ("open",), "open"),
        *(Transition(event, ("open",), "open") for event in sorted(TURN_MACHINE.events)),
        Transition("contexts_used", ("open",), "open"),
        Transition("project_assigned", ("open",), "open"),
        Transition("memory_session_assigned", ("open",), "open"),
        Transition("failed_archives_changed", ("open",), "open"),
        Transition("commit_prepared", ("open",), "open"),
        Transition("adoption_begun", ("open",), "adopting"),
        Transition("adoption_finding_recorded", ("adopting",), "adopting"),
        Transition("message_appended", ("adopting",), "adopting"),
        Transition("commit_prepared", ("adopting",), "adopting"),
        Transition("archive_adopted", ("adopting",), "adopting"),
        Transition("folder_adopted", ("adopting",), "open"),
        Transition("session_closed", ("open",), "closed"),
        Transition("session_deleted", ("open", "adopting", "closed"), "deleted"),
        # The files of a session outlive it, and must not change what it is.
        *(
            Transition(event, (state,), state)
            for event in ("folder_attached", "folder_detached", "folder_healed")
            for state in ("open", "closed", "deleted")
        ),
    ],
)
