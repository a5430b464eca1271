"""What may import what: read from the source, so that no import has to run for it."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import eventlog
from eventlog import errors
from eventlog.errors import (
    ConflictError,
    CorruptError,
    EventLogError,
    InvalidError,
    NonRetryableError,
    RetryableError,
    UnavailableError,
)

PACKAGE = Path(eventlog.__file__).parent
TREE = Path(__file__).parents[2]

EDGES = ("eventlog.cli", "eventlog.folder", "eventlog.http", "eventlog.testing")
"""Parts that stand outside of the core: they may open stores by name."""

PURE = (
    "eventlog.chain",
    "eventlog.machine",
    "eventlog.projection",
    "eventlog.session.folding",
    "eventlog.session.folder_folding",
    "eventlog.session.message_folding",
    "eventlog.session.stepping",
    "eventlog.session.tasks.folding",
    "eventlog.session.commit_due",
    "eventlog.session.keeping",
    "eventlog.session.message_data",
    "eventlog.session.pending",
    "eventlog.session.reading",
    "eventlog.session.values",
    "eventlog.session.auto_commit",
    "eventlog.session.command",
    "eventlog.session.commands",
    "eventlog.session.commit",
    "eventlog.session.context",
    "eventlog.session.events",
    "eventlog.session.projection",
    "eventlog.session.folder_events",
    "eventlog.session.index",
    "eventlog.session.machine",
    "eventlog.session.policies",
    "eventlog.session.shared_dict",
    "eventlog.session.state",
    "eventlog.session.tokens",
    "eventlog.session.tool_output",
    "eventlog.session.views",
    "eventlog.session.window",
    "eventlog.session.tasks.commands",
    "eventlog.session.tasks.events",
    "eventlog.session.tasks.machine",
    "eventlog.worker.retry_policy",
    "eventlog.session.tasks.state",
)
"""Modules of which P3 asks that they read no clock, no random source and no environment."""

IMPURE = frozenset(
    {
        "asyncio",
        "io",
        "os",
        "pathlib",
        "platform",
        "random",
        "secrets",
        "shutil",
        "socket",
        "sqlite3",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "uuid",
        "eventlog.clock.system_clock",
        "eventlog.identifiers.draw_id",
        "eventlog.identifiers.new_id",
    }
)


def modules() -> dict[str, Path]:
    """Return the shipped modules by name."""
    found: dict[str, Path] = {}
    for path in sorted(PACKAGE.glob("**/*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(["eventlog", *(part for part in parts if part != "__init__")])
        found[name] = path
    for folder in ("stores", "projections"):  # Linked folders, which a glob does not enter.
        for path in sorted((PACKAGE / folder).glob("*.py")):
            stem = "" if path.stem == "__init__" else f".{path.stem}"
            found[f"eventlog.{folder}{stem}"] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Yield what a module imports, at its top, in functions or for type checks alone."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_the_scan_sees_the_whole_tree() -> None:
    assert {"eventlog", "eventlog.stores.sqlite.store", "eventlog.projections.meta"} <= set(MODULES)
    assert "eventlog.store.Store" in set(imports("eventlog.log"))
    assert any(is_of(found, "sqlite3") for found in imports("eventlog.stores.sqlite.store"))


@pytest.mark.parametrize("name", MODULES)
def test_the_core_knows_no_store_and_no_projection(name: str) -> None:
    """L9: a store is opened by the name of its module alone."""
    if any(is_of(name, part) for part in (*EDGES, "eventlog.stores", "eventlog.projections")):
        return
    for found in imports(name):
        assert not is_of(found, "eventlog.stores"), found
        assert not is_of(found, "eventlog.projections"), found
        assert not is_of(found, "eventlog.testing"), found


@pytest.mark.parametrize("name", [name for name in MODULES if is_of(name, "eventlog.stores")])
def test_no_store_knows_another(name: str) -> None:
    own = name.rpartition(".")[2].partition("_")[0]
    for found in imports(name):
        if is_of(found, "eventlog.stores"):
            module = found.removeprefix("eventlog.stores.").partition(".")[0]
            assert module.partition("_")[0] == own, found
        assert not is_of(found, "eventlog.session"), found
        assert not is_of(found, "eventlog.tasks"), found


@pytest.mark.parametrize("name", [name for name in MODULES if is_of(name, "eventlog.projections")])
def test_projections_know_no_store_and_are_pure(name: str) -> None:
    for found in imports(name):
        assert not is_of(found, "eventlog.stores"), found
        assert not any(is_of(found, impure) for impure in IMPURE), found


@pytest.mark.parametrize("name", PURE)
def test_decisions_and_folds_do_no_input_or_output(name: str) -> None:
    """P3."""
    for found in imports(name):
        assert not any(is_of(found, impure) for impure in IMPURE), found


@pytest.mark.parametrize("name", MODULES)
def test_drivers_are_imported_by_their_stores_alone(name: str) -> None:
    if any(is_of(name, part) for part in (*EDGES, "eventlog.stores")):
        return
    drivers = ("sqlite3", "sqlite_utils", "apsw", "psycopg", "nats")
    assert not [found for found in imports(name) if any(is_of(found, it) for it in drivers)]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for(name: str) -> None:
    text = MODULES[name].read_text("utf-8")
    assert not text or ast.get_docstring(ast.parse(text))


# ---- what importing takes ---------------------------------------------------------------------

NOT_NEEDED_TO_APPEND = {
    "asyncio",
    "click",
    "sqlite3",
    "sqlite_utils",
    "structlog",
    "transitions",
    "eventlog.aio",
    "eventlog.copying",
    "eventlog.folder.attaching",
    "eventlog.projections",
    "eventlog.adoption.commands",
    "eventlog.async_session_face",
    "eventlog.session.attachment",
    "eventlog.session.folder_events",
    "eventlog.session.tasks.commands",
    "eventlog.worker.finalizer",
    "eventlog.worker.retry_policy",
    "eventlog.worker.requests",
    "eventlog.worker.worker",
    "eventlog.testing",
}
"""B11: what is imported when it is first needed."""


def in_a_fresh_process(program: str) -> list[str]:
    """Return the words that a program prints which has imported nothing yet."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(TREE)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_the_package_imports_what_appending_takes_and_no_more() -> None:
    imported = in_a_fresh_process("import eventlog, sys; print(*sys.modules)")
    assert "eventlog.session.commands" in imported
    assert not NOT_NEEDED_TO_APPEND & set(imported)


def test_every_public_name_is_there_and_listed_before_it_is_imported() -> None:
    listed = in_a_fresh_process("import eventlog; print(*dir(eventlog))")
    assert set(eventlog.__all__) <= set(listed)
    taken = in_a_fresh_process("from eventlog import *; print(*dir())")
    assert set(eventlog.__all__) <= set(taken)


def test_a_name_that_is_not_public_is_missing() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        eventlog.Nonsense  # type: ignore[attr-defined]  # noqa: B018


# ---- errors -----------------------------------------------------------------------------------


def test_every_error_has_the_one_root_and_is_of_one_kind() -> None:
    kinds = {ConflictError, InvalidError, CorruptError, UnavailableError}
    for name in errors.__all__:
        error = getattr(errors, name)
        if error in (NonRetryableError, RetryableError):
            continue  # Raised by users' callables and read by the worker.
        assert issubclass(error, EventLogError), name
        assert len([kind for kind in kinds if issubclass(error, kind)]) == (
            0 if error is EventLogError else 1
        ), name


def test_errors_are_defined_in_one_place() -> None:
    """Others are for within: they never leave the library."""
    within = {"CacheDamaged", "EmptySummary", "UnusableResult"}
    elsewhere = {
        node.name
        for name, path in MODULES.items()
        if name != "eventlog.errors" and not any(is_of(name, part) for part in EDGES)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(
            "Error" in ast.unparse(base) or "Exception" in ast.unparse(base) for base in node.bases
        )
    }
    assert elsewhere == within


def test_every_error_is_exported() -> None:
    assert set(errors.__all__) <= set(eventlog.__all__)


# ---- the tree ---------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["stores", "projections"])
def test_a_second_copy_under_another_name_is_refused(folder: str) -> None:
    """DESIGN: every class would exist twice."""
    result = subprocess.run(
        [sys.executable, "-c", f"import {folder}"],
        cwd=TREE,
        env={"PYTHONPATH": str(TREE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert f"ImportError: import eventlog.{folder}: under another name" in result.stderr


def test_every_module_can_be_imported() -> None:
    for module in pkgutil.walk_packages(eventlog.__path__, "eventlog."):
        if not module.name.endswith("__main__"):
            assert inspect.ismodule(importlib.import_module(module.name))
