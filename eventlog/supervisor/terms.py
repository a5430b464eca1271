"""The options of a supervisor, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eventlog.argument_checks import check_count, check_seconds
from eventlog.session.runs.budget import RestartPolicy
from eventlog.storable import check_text
from eventlog.supervisor.providers import Provider, checked_providers
from eventlog.worker.retry_policy import Classifier, ResultClassifier

__all__ = ["Terms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The options of a supervisor; raises `InvalidArgument` for one that is out of range."""

    providers: tuple[Provider, ...]
    restarts: RestartPolicy
    stale_seconds: float
    concurrency: int
    lease_seconds: float
    name: str
    classify: Classifier
    classify_result: ResultClassifier
    draw: Callable[[], float]

    def __post_init__(self) -> None:
        checked_providers(self.providers)
        check_text("name", self.name)
        check_count("concurrency", self.concurrency, "runs at once", lowest=1)
        check_seconds("lease_seconds", self.lease_seconds)
        check_seconds("stale_seconds", self.stale_seconds)
