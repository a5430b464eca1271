"""The suite finds every store that breaks the contract (K5)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SOURCE = Path(__file__).with_name("broken.py").read_text("utf-8")
BROKEN = {
    f"Test{node.name}"
    for node in ast.parse(SOURCE).body
    if isinstance(node, ast.ClassDef) and "MemoryStore" in map(ast.unparse, node.bases)
}


class FirstFailures:
    """Notes the first test that fails over each store, and passes over the rest of that store."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if item.nodeid.split("::")[1] in self.found:
            pytest.skip("it was found already")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            _, store, test = report.nodeid.split("::")
            self.found[store] = test


def run(pytester: pytest.Pytester, selected: str) -> dict[str, str]:
    """Run the suite over all the broken stores; return what found each of them."""
    pytester.makepyfile(test_broken=SOURCE)
    failures = FirstFailures()
    pytester.runpytest_inprocess(
        "--quiet", "--tb=no", "-p", "no:cacheprovider", "-k", selected, plugins=[failures]
    )
    return failures.found


def test_each_store_that_breaks_the_contract_is_found(pytester: pytest.Pytester) -> None:
    found = run(pytester, "not any_program")

    assert len(BROKEN) >= 15
    assert found.keys() == BROKEN


def test_random_programs_find_some_of_them_too(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which programs they are does not matter here, so they are not made short."""
    monkeypatch.setattr("hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS", 0.1)
    found = run(pytester, "any_program and (EagerIndex or VersionsFirst)")

    assert found.keys() == {"TestEagerIndex", "TestVersionsFirst"}
