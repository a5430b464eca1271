"""Draw every state machine of the library: the page ``eventlog/docs/machines.md``.

``python -m tests.docs.draw_machines`` writes it again, after a machine has changed.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

import eventlog
from eventlog import StateMachine

PAGE = Path(__file__).parents[2] / "eventlog" / "docs" / "machines.md"

HEAD = """\
# State machines

`StateMachine.diagram()` draws these machines, and your own. If a machine does not allow an event in the
current state, the command is refused with an error such as `SessionClosed` or `IllegalTransition`; the
same event in a stored history is reported by `eventlog verify`. `absent` is the state before the first
event.
"""

ABOUT = {
    "run": (
        "A run executes an inbound message as a turn, attempt after attempt. It is `backing_off` while "
        "it waits for\na restart, and `idle` before its first attempt or after its supervisor was "
        "stopped. Its task moves with it."
    ),
    "session": (
        "A session is created by its first event. While a folder is being adopted as a session, only "
        "the folder's\ncontent can be recorded. The files of a closed or deleted session can still be "
        "healed."
    ),
    "stream": (
        "A message that is written in chunks has this machine. Its end and the whole message are "
        "recorded in one\nappend."
    ),
    "task": (
        "Every task has this machine: finalising an archive, its follow-ups, and tasks of an "
        "application's own\nkinds. Events of archives are named `archive_…`, those of other tasks "
        "`task_…`. Whether a failed attempt is\nrepeated is decided when it fails: the machine "
        "allows both."
    ),
    "turn": (
        "One turn is open per session. A turn that was begun, and not completed, can be begun again: "
        "then what\nthe attempt before added is withdrawn in the same append."
    ),
}
"""The text about each machine."""


def machines() -> list[StateMachine]:
    """Return the machines of the modules named ``machine``, by name."""
    found = {
        value.name: value
        for module in pkgutil.walk_packages(eventlog.__path__, "eventlog.")
        if module.name.endswith(".machine")
        for value in vars(import_module(module.name)).values()
        if isinstance(value, StateMachine)
    }
    return [found[name] for name in sorted(found)]


def page() -> str:
    """Return the page as it should be."""
    parts = [HEAD]
    for machine in machines():
        parts += [
            f"## {machine.name}\n",
            f"{ABOUT[machine.name]}\n",
            f"```mermaid\n{machine.diagram()}```\n",
            machine.diagram("table"),
        ]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
