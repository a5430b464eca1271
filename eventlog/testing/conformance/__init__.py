"""The store conformance suite: one class to subclass, for the whole contract of a store.

`eventlog.store.Store` is the contract; a class that passes this suite is a store. The suite needs
pytest, hypothesis, and a way to open the store::

    from eventlog.testing.conformance import StoreConformance

    class TestMyStore(StoreConformance):
        def make_store(self, folder):
            return MyStore(folder / "log")

Override `stored_data` too if the bytes in storage can be read without the store. For a store that
several processes may write to, use `SharedConformance` as well, and for one that holds a service's
sessions `ScaleConformance`. The suite does not test what survives a crash; for that, see the crash
kit of `eventlog.testing`.
"""

import pytest

pytest.register_assert_rewrite(
    "eventlog.testing.conformance.appends",
    "eventlog.testing.conformance.base",
    "eventlog.testing.conformance.model",
    "eventlog.testing.conformance.reads",
    "eventlog.testing.conformance.scale",
    "eventlog.testing.conformance.shared",
    "eventlog.testing.conformance.sides",
)

from eventlog.testing.conformance.base import draft, make_record, must_append, unplaced
from eventlog.testing.conformance.scale import ScaleConformance
from eventlog.testing.conformance.shared import SharedConformance
from eventlog.testing.conformance.suite import StoreConformance

__all__ = [
    "ScaleConformance",
    "SharedConformance",
    "StoreConformance",
    "draft",
    "make_record",
    "must_append",
    "unplaced",
]
