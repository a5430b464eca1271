"""The machines: the compiled table and the declared `transitions` machine agree on every path."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transitions import MachineError

from eventlog import StateMachine, Transition
from eventlog.machine import ABSENT
from eventlog.session.machine import SESSION_MACHINE
from eventlog.session.runs.machine import RUN_ENDS, RUN_MACHINE, WAITING
from eventlog.session.tasks.machine import OPEN_STATES, POLLER_VIEW, TASK_MACHINE

MACHINES = [SESSION_MACHINE, TASK_MACHINE, RUN_MACHINE]
each_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)


def oracle(machine: StateMachine) -> Any:
    """Return a model that the declared machine drives."""
    model = SimpleNamespace()
    machine.declaration().add_model(model)
    return model


@each_machine
@given(data=st.data())
def test_table_and_declaration_agree_on_every_path(
    machine: StateMachine, data: st.DataObject
) -> None:
    model, state = oracle(machine), ABSENT
    for event in data.draw(st.lists(st.sampled_from(sorted(machine.events)), max_size=25)):
        following = machine.table.get((state, event))
        if following is None:
            with pytest.raises(MachineError):
                model.trigger(event)
        else:
            model.trigger(event)
            state = following
        assert model.state == state


@each_machine
def test_table_and_declaration_agree_on_every_single_step(machine: StateMachine) -> None:
    declared = machine.declaration()
    steps = {
        (transition.source, trigger): transition.dest
        for trigger, event in declared.events.items()
        for transitions in event.transitions.values()
        for transition in transitions
    }
    assert steps == machine.table
    assert set(declared.states) == set(machine.states)


@each_machine
def test_every_state_can_be_reached(machine: StateMachine) -> None:
    reached = {ABSENT}
    while True:
        further = {target for (source, _), target in machine.table.items() if source in reached}
        if further <= reached:
            break
        reached |= further
    assert reached == set(machine.states)


@each_machine
def test_the_diagram_draws_each_step_once(machine: StateMachine) -> None:
    first, *arrows = machine.diagram().splitlines()
    steps = [arrow.strip().split(": ") for arrow in arrows if not arrow.endswith(" --> [*]")]
    drawn = [(arrow, event) for arrow, events in steps for event in events.split("<br/>")]

    assert first == "stateDiagram-v2"
    assert len(arrows) == len(set(arrows))
    assert len(drawn) == len(machine.table)
    for (source, event), target in machine.table.items():
        assert (f"{'[*]' if source == ABSENT else source} --> {target}", event) in drawn


@each_machine
def test_the_table_of_a_machine_has_each_step_once(machine: StateMachine) -> None:
    _, _, *rows = machine.diagram("table").splitlines()
    cells = [row.strip("| ").split(" | ") for row in rows]
    steps = {
        (source, event.strip("`")): source if target == "unchanged" else target
        for event, sources, target in cells
        for source in sources.split(", ")
    }
    assert steps == machine.table


def test_the_diagram_marks_the_states_that_nothing_leaves() -> None:
    ends = [line.split()[0] for line in TASK_MACHINE.diagram().splitlines() if "> [*]" in line]
    assert ends == ["completed", "abandoned"]


def test_the_task_machine_is_the_specified_one() -> None:
    """The table of the specification, line by line; follow-ups have the same under other names."""
    unfinished = ["preparing", "pending", "running", "retry", "terminal_failed"]
    waiting = ["pending", "running", "retry"]
    assert TASK_MACHINE.table == {
        (ABSENT, "commit_prepared"): "preparing",
        (ABSENT, "task_queued"): "pending",
        ("preparing", "commit_published"): "pending",
        ("pending", "task_claimed"): "running",
        ("retry", "task_claimed"): "running",
        ("running", "lease_renewed"): "running",
        ("running", "step_completed"): "running",
        ("running", "lease_expired"): "retry",
        ("running", "task_released"): "pending",
        ("running", "attempt_failed"): "retry",
        ("running", "archive_finalized"): "completed",
        ("running", "task_completed"): "completed",
        ("running", "archive_failed"): "terminal_failed",
        ("retry", "archive_failed"): "terminal_failed",
        ("running", "task_failed"): "terminal_failed",
        ("retry", "task_failed"): "terminal_failed",
        ("terminal_failed", "retry_requested"): "pending",
        **{(state, "archive_abandoned"): "abandoned" for state in unfinished},
        **{(state, "task_abandoned"): "abandoned" for state in unfinished},
        (ABSENT, "message_enqueued"): "pending",
        ("pending", "run_started"): "running",
        ("retry", "run_started"): "running",
        ("running", "run_crashed"): "retry",
        ("running", "run_released"): "pending",
        ("running", "run_stop_requested"): "running",
        ("running", "model_called"): "running",
        **{(state, "run_completed"): "completed" for state in waiting},
        **{(state, "run_failed"): "terminal_failed" for state in waiting},
        **{(state, "run_cancelled"): "abandoned" for state in waiting},
        **{(state, "run_abandoned"): "abandoned" for state in [*waiting, "terminal_failed"]},
    }


def test_the_task_of_a_run_moves_as_the_run_does() -> None:
    """R5: both machines allow the same steps, and each state of a run is one state of its task."""
    of_task = {
        ABSENT: ABSENT,
        "idle": "pending",
        "running": "running",
        "backing_off": "retry",
        "completed": "completed",
        "failed": "terminal_failed",
        "cancelled": "abandoned",
        "abandoned": "abandoned",
    }
    assert set(of_task) == set(RUN_MACHINE.states)
    for (state, event), target in RUN_MACHINE.table.items():
        assert TASK_MACHINE.table[of_task[state], event] == of_task[target], (state, event)
    assert {RUN_MACHINE.table["running", event] for event in RUN_ENDS} == set(RUN_ENDS.values())
    assert {*RUN_MACHINE.states} - {ABSENT, *RUN_ENDS.values()} == WAITING


def test_every_task_state_has_a_word_for_pollers() -> None:
    """F11."""
    assert POLLER_VIEW.keys() == set(TASK_MACHINE.states) - {ABSENT}
    assert set(POLLER_VIEW.values()) == {"pending", "running", "completed", "failed"}
    assert {state for state, word in POLLER_VIEW.items() if word in ("pending", "running")} == set(
        OPEN_STATES
    )


def test_nothing_leads_out_of_an_end() -> None:
    assert not [step for step in TASK_MACHINE.table if step[0] in ("completed", "abandoned")]
    ends = [target for (state, _), target in SESSION_MACHINE.table.items() if state == "deleted"]
    assert set(ends) == {"deleted"}  # Its files may still be healed.


def test_a_machines_fingerprint_changes_with_its_table_only() -> None:
    """L12: snapshots of another machine are dropped."""
    steps = [Transition("begun", (ABSENT,), "open"), Transition("ended", ("open",), "done")]
    machine = StateMachine("acme", ["open", "done"], steps)

    assert machine.fingerprint == StateMachine("acme", ["done", "open"], steps[::-1]).fingerprint
    more = [*steps, Transition("ended", ("done",), "done")]
    assert machine.fingerprint != StateMachine("acme", ["open", "done"], more).fingerprint
    assert machine.fingerprint != StateMachine("other", ["open", "done"], steps).fingerprint


def test_users_declare_machines_of_their_own() -> None:
    """L16: with the same table, oracle and diagram as the built-in ones."""
    machine = StateMachine(
        "acme.order",
        states=["placed", "paid"],
        transitions=[
            Transition("acme.placed", (ABSENT,), "placed"),
            Transition("acme.paid", ("placed",), "paid"),
        ],
    )

    assert machine.table["placed", "acme.paid"] == "paid"
    assert machine.events == {"acme.placed", "acme.paid"}
    assert "[*] --> placed: acme.placed" in machine.diagram()
    assert oracle(machine).trigger("acme.placed")
