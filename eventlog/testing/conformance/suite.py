"""The one class of the conformance suite: every topic of a store's contract."""

from __future__ import annotations

from eventlog.testing.conformance.appends import AppendContract
from eventlog.testing.conformance.model import ModelContract
from eventlog.testing.conformance.reads import ReadContract
from eventlog.testing.conformance.sides import (
    BlobContract,
    IndexContract,
    LifeContract,
)

__all__ = ["StoreConformance"]


class StoreConformance(
    AppendContract, ReadContract, IndexContract, BlobContract, LifeContract, ModelContract
):
    """Everything that a store promises, by topic; subclass it and say how the store is opened."""
