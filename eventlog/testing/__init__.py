"""Crash points, a simulated disk, and other tools to test a store or a service; see README.md here.

These names need nothing but eventlog. Strategies need hypothesis, SQLite on a simulated disk needs
apsw, and the conformance suite needs pytest; the extra ``testing`` installs all three.
"""

from __future__ import annotations

from eventlog.testing.clock import FakeClock
from eventlog.testing.crashing import Crash, CrashingStore, Steps
from eventlog.testing.disk.disk import Disk
from eventlog.testing.disk.fates import KEPT, LOST, Fate
from eventlog.testing.disk.files import DiskFiles
from eventlog.testing.exploring import CrashReport, crash_at, every_crash, survives_every_crash
from eventlog.testing.findings import CrashFound
from eventlog.testing.host import Call, Host
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.jumping import JumpingTime
from eventlog.testing.model.laws import check_laws
from eventlog.testing.model_server import (
    Breaks,
    Busy,
    CutOff,
    FakeModelServer,
    ModelRequest,
    Says,
    Stalls,
    TooLong,
)
from eventlog.testing.wrapping import FaultyStore, RecordingStore, SlowStore

__all__ = [
    "KEPT",
    "LOST",
    "Breaks",
    "Busy",
    "Call",
    "Crash",
    "CrashFound",
    "CrashReport",
    "CrashingStore",
    "CutOff",
    "Disk",
    "DiskFiles",
    "FakeClock",
    "FakeModelServer",
    "Fate",
    "FaultyStore",
    "Host",
    "JumpingTime",
    "ModelRequest",
    "NumberedIds",
    "RecordingStore",
    "Says",
    "SlowStore",
    "Stalls",
    "Steps",
    "TooLong",
    "check_laws",
    "crash_at",
    "every_crash",
    "survives_every_crash",
]
