"""The model-based state machines, under the name that users import them by."""

from eventlog.testing.model.machine import SessionMachine, TaskMachine

__all__ = ["SessionMachine", "TaskMachine"]
