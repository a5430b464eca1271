"""The options of a supervisor, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eventlog.argument_checks import check_callable, check_count, check_seconds
from eventlog.error_text import shown
from eventlog.errors import InvalidArgument
from eventlog.session.runs.budget import RestartPolicy
from eventlog.storable import check_text
from eventlog.supervisor.providers import Provider
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
        if not isinstance(self.restarts, RestartPolicy):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(f"restarts is {shown(self.restarts)}; it must be a RestartPolicy")
        check_callable("classifier", self.classify)
        check_callable("result_classifier", self.classify_result)
        check_callable("draw", self.draw)
        check_text("name", self.name)
        check_count("concurrency", self.concurrency, "runs at once", lowest=1)
        check_seconds("lease_seconds", self.lease_seconds)
        check_seconds("stale_seconds", self.stale_seconds)
