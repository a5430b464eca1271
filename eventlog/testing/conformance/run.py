"""The conformance suite over the store that the environment names: `eventlog.testing.report` runs it."""

from __future__ import annotations

import os
from pathlib import Path

from eventlog.store import Store
from eventlog.testing.conformance.suite import StoreConformance
from eventlog.testing.report import TARGET, open_target

__all__ = ["TestStore"]


class TestStore(StoreConformance):
    """The whole contract."""

    def make_store(self, folder: Path) -> Store:
        return open_target(os.environ[TARGET], folder)
