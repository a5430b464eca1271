"""The options of `Worker` and `AsyncWorker`, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eventlog.argument_checks import check_count, check_seconds
from eventlog.storable import check_text
from eventlog.worker.finalizer import Finalizer
from eventlog.worker.retry_policy import Classifier, ResultClassifier, RetryPolicy

__all__ = ["Terms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The options of a worker; raises `InvalidArgument` for a number that is out of range."""

    finalizer: Finalizer
    concurrency: int
    lease_seconds: float
    attempt_timeout: float
    name: str
    retry: RetryPolicy
    classify: Classifier
    classify_result: ResultClassifier
    draw: Callable[[], float]

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_count("concurrency", self.concurrency, "attempts at once", lowest=1)
        check_seconds("lease_seconds", self.lease_seconds)
        check_seconds("attempt_timeout", self.attempt_timeout)
