"""The conformance suite as a report: the promises that a store keeps, and what is broken in others."""

from __future__ import annotations

import inspect
import os
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast
from uuid import uuid4

import pytest

from eventlog.engine.opening import open_store
from eventlog.store import Store

__all__ = ["TARGET", "Promise", "Report", "examine", "open_target"]

TARGET: Final = "EVENTLOG_CONFORMANCE"
"""The variable that names the store to the tests that pytest runs."""

_SUITE: Final = "eventlog.testing.conformance.run"
_LINES_SHOWN: Final = 8


@dataclass
class Promise:
    """One promise of a store, and the failures that were seen."""

    topic: str
    text: str
    advice: str
    """What the contract says about it."""
    tried: int = 0
    failures: list[str] = field(default_factory=list[str])

    @property
    def holds(self) -> bool:
        return self.tried > 0 and not self.failures


@dataclass
class Report:
    """All promises of a store, in the order of the suite."""

    target: str
    promises: list[Promise]
    missing: list[str]
    """The methods of `eventlog.store.Store` that the store lacks, with their purpose."""

    @property
    def holds(self) -> bool:
        return not self.missing and all(promise.holds for promise in self.promises)


class _Collector:
    """Collects what pytest runs and finds."""

    def __init__(self) -> None:
        self.promises: dict[str, Promise] = {}
        self.broken: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            function: Any = getattr(item, "function")  # noqa: B009 - pytest types no function
            name = _key(item.nodeid)
            suite: Any = getattr(item, "cls")  # noqa: B009 - as above
            contract = next(part.__name__ for part in suite.__mro__ if name in vars(part))
            topic = contract.removesuffix("Contract").lower()
            advice = inspect.cleandoc(function.__doc__ or "")
            self.promises.setdefault(name, Promise(topic, _sentence(name), advice))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        promise = self.promises[_key(report.nodeid)]
        promise.tried += report.when == "call"
        if report.failed:
            promise.failures.append(_seen(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(report.longreprtext)


def examine(target: str) -> Report:
    """Run the suite over a store; ``target`` is as `open_target` has it.

    Raises what opening the store raises, so that a typing error is not reported as failures.
    """
    with TemporaryDirectory() as folder:
        store = open_target(target, Path(folder))
        missing = _missing(store)
        if not missing:
            store.close()
    if missing:
        return Report(target, [], missing)
    collector = _Collector()
    os.environ[TARGET] = target
    # The suite needs no plugin; those that are installed take seconds, or run tests in another order.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()) as said:
        options = ["-q", "-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider"]
        # The folders of its tests are removed with it: a store may have left files open in them.
        pytest.main(
            [*options, "--basetemp", f"{folder}/tests", "--pyargs", _SUITE], plugins=[collector]
        )
    if collector.broken or not collector.promises:
        raise RuntimeError("\n".join([*collector.broken, said.getvalue()]))
    return Report(target, list(collector.promises.values()), [])


def open_target(target: str, folder: Path) -> Store:
    """Open the store that a target names, in a folder that is empty unless it was opened before.

    A target is a URL, in which ``{folder}`` stands for the folder and ``{name}`` for a name that is
    unique to it; or ``package.module:callable``, which is called with the folder.
    """
    module, colon, name = target.partition(":")
    if colon and module and name.isidentifier():
        opener: Any = getattr(import_module(module), name)
        return cast("Store", opener(folder))
    marker = folder / ".name"
    if not marker.exists():
        marker.write_text(f"t{uuid4().hex[:12]}")
    return open_store(target.format(folder=folder, name=marker.read_text()))


def _missing(store: object) -> list[str]:
    verbs = [name for name, _ in inspect.getmembers(Store) if not name.startswith("_")]
    return [
        f"{verb}: {inspect.getdoc(inspect.getattr_static(Store, verb))}".splitlines()[0]
        for verb in verbs
        if not hasattr(store, verb)
    ]


def _key(nodeid: str) -> str:
    return nodeid.rpartition("::")[2].partition("[")[0]


def _sentence(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


def _seen(report: pytest.TestReport) -> str:
    """Return the line of the suite that failed, and what it saw."""
    said: Any = report.longrepr
    crash = getattr(said, "reprcrash", None)
    if crash is None:
        return str(said)
    lines = [line for line in crash.message.splitlines() if line.strip()][:_LINES_SHOWN]
    case = report.nodeid.partition("[")[2]
    where = f"{'/'.join(Path(crash.path).parts[-2:])}:{crash.lineno}"
    return "\n".join([f"{where}{f', case [{case}' if case else ''}:", *lines])
