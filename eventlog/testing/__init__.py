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
from eventlog.testing.wrapping import FaultyStore, RecordingStore, SlowStore

__all__ = [
    "KEPT",
    "LOST",
    "Call",
    "Crash",
    "CrashFound",
    "CrashReport",
    "CrashingStore",
    "Disk",
    "DiskFiles",
    "FakeClock",
    "Fate",
    "FaultyStore",
    "Host",
    "JumpingTime",
    "NumberedIds",
    "RecordingStore",
    "SlowStore",
    "Steps",
    "check_laws",
    "crash_at",
    "every_crash",
    "survives_every_crash",
]
