"""The model-based state machines, under their public name."""

from eventlog.testing.model.machine import SessionMachine, TaskMachine

__all__ = ["SessionMachine", "TaskMachine"]
