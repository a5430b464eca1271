"""`help` of everything public states laws, without the numbers of rules."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from eventlog import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBER = re.compile(r"\b[A-Z][0-9]{1,2}\b")

PUBLIC_MODULES = (
    "eventlog",
    "eventlog.copying",
    "eventlog.errors",
    "eventlog.projections",
    "eventlog.projections.archives",
    "eventlog.projections.live_tail",
    "eventlog.projections.meta",
    "eventlog.projections.tasks",
    "eventlog.projections.usage",
    "eventlog.store",
    "eventlog.stores.files",
    "eventlog.stores.jetstream",
    "eventlog.stores.memory",
    "eventlog.stores.postgres",
    "eventlog.stores.sqlite",
    "eventlog.testing",
    "eventlog.testing.conformance",
    "eventlog.testing.crashes",
    "eventlog.testing.machine",
    "eventlog.testing.pytest_plugin",
    "eventlog.testing.strategies",
)
"""The modules that users import from."""


def documented(name: str, value: Any, seen: set[int]) -> Iterator[tuple[str, str]]:
    """Yield what `help` prints of a public object and of its public members, with their names."""
    value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    if id(value) in seen:
        return
    seen.add(id(value))
    text = getattr(value, "__doc__", None)
    if isinstance(text, str):
        yield name, text
    if inspect.isclass(value):
        for base in value.__mro__:
            if base.__module__.startswith("eventlog"):
                for member, found in vars(base).items():
                    if not member.startswith("_"):
                        yield from documented(f"{name}.{member}", found, seen)


def public_docstrings() -> list[tuple[str, str]]:
    seen: set[int] = set()
    found: list[tuple[str, str]] = []
    for name in PUBLIC_MODULES:
        module = import_module(name)
        found.append((name, module.__doc__ or ""))
        for member in getattr(module, "__all__", ()):
            found += documented(f"{name}.{member}", getattr(module, member), seen)
    return found


PUBLIC = public_docstrings()


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_help_of_a_public_module_states_laws_instead_of_numbers(name: str) -> None:
    numbered = {
        f"{found}: {number}"
        for found, text in PUBLIC
        if found == name or found.rpartition(".")[0].startswith(name)
        for number in NUMBER.findall(text)
    }
    assert not numbered


def test_the_search_for_docstrings_sees_methods_properties_and_inherited_members() -> None:
    names = {name for name, _ in PUBLIC}
    assert {
        "eventlog.Log.session",
        "eventlog.AsyncSession.append",
        "eventlog.Log.durability",
        "eventlog.store.Store.append",
        "eventlog.testing.conformance.StoreConformance",
    } <= names
    assert len(names) > 300


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn: dict[str, str | None] = {"EventLogError": None}
    above = ["EventLogError"]
    for branch, name in re.findall(r"^([ │├└─]+) (\w+)", errors.__doc__ or "", re.MULTILINE):
        if "──" in branch:
            depth = branch.index("──") // 4
            above[depth:] = [name]
            drawn[name] = above[depth - 1]

    raised = {getattr(errors, name) for name in errors.__all__}
    library = {error for error in raised if issubclass(error, errors.EventLogError)}
    assert drawn == {
        error.__name__: next((base.__name__ for base in error.__mro__[1:] if base in library), None)
        for error in library
    }
