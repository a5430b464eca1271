"""The store conformance suite: one class to subclass, for the whole contract of a store (L9).

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

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "eventlog.testing.conformance_appends",
    "eventlog.testing.conformance_base",
    "eventlog.testing.conformance_model",
    "eventlog.testing.conformance_reads",
    "eventlog.testing.conformance_scale",
    "eventlog.testing.conformance_shared",
    "eventlog.testing.conformance_sides",
)

from eventlog.testing.conformance_appends import AppendContract
from eventlog.testing.conformance_base import draft, make_record, must_append, unplaced
from eventlog.testing.conformance_model import ModelContract
from eventlog.testing.conformance_reads import ReadContract
from eventlog.testing.conformance_scale import ScaleConformance
from eventlog.testing.conformance_shared import SharedConformance
from eventlog.testing.conformance_sides import (
    BlobContract,
    IndexContract,
    LifeContract,
)

__all__ = [
    "ScaleConformance",
    "SharedConformance",
    "StoreConformance",
    "draft",
    "make_record",
    "must_append",
    "unplaced",
]


class StoreConformance(
    AppendContract, ReadContract, IndexContract, BlobContract, LifeContract, ModelContract
):
    """Everything that a store promises, by topic; subclass it and say how the store is opened."""
