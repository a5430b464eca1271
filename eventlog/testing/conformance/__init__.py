"""The store conformance suite: one class to subclass, for the whole contract of a store.

The law is `eventlog.store.Store`; a store is one if this passes, whatever lies behind it. It needs
pytest and hypothesis, and nothing but a way to open the store::

    from eventlog.testing.conformance import StoreConformance

    class TestMyStore(StoreConformance):
        def make_store(self, folder):
            return MyStore(folder / "log")

Override `stored_data` too where the bytes in storage can be read past the store. A store that
several processes may write to takes `SharedConformance` as well, and one that is to hold a service's
sessions `ScaleConformance`. What is not here is what survives a crash: see the crash kit of
`eventlog.testing`.
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
