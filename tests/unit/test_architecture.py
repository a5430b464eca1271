"""What may import what: the laws of the map, read from the source, so that no import has to run.

A law is a function from a tree of modules to the imports that break it. It is held against the tree
as shipped; and against a small tree that breaks it, so that a law which sees nothing is noticed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

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

# ---- the map ----------------------------------------------------------------------------------

BELOW = {
    "ground": (),
    "session": ("ground",),
    "projections": ("session",),
    "engine": ("projections",),
    "summary": ("engine",),
    "worker": ("summary",),
    "supervisor": ("worker",),
    "folder": ("engine",),
    "adoption": ("folder",),
    "audit": ("engine",),
    "exchange": ("audit",),
    "forensics": ("engine",),
    "faces": ("supervisor", "adoption", "exchange", "forensics"),
    "cli": ("faces", "http", "report"),
    "report": ("faces",),
    "http": ("faces",),
    "adapters": ("faces",),
    "examples": ("faces", "http"),
}
"""The levels (law 1): each folder, and those right below it. A folder may import itself and whatever
is below it, however far. `stores` and `testing` have laws of their own."""

FACES = {
    *("__init__", "log", "aio", "session_face", "async_session_face", "worker_face", "copying"),
    "message_streams",
    "supervisor_face",
    "chat_commands",
    "late_verbs",
    *("instrumentation", "open_telemetry"),
}
"""The modules right in `eventlog/` that are faces; every other one there is of the ground."""

FOUR_FACES = ("log", "aio", "session_face", "async_session_face", "late_verbs")
"""The faces, and what they share beside `eventlog.faces`, that import the verbs of the rooms above the
engine inside methods, so that nobody who only appends pays for them."""

SEAM = {
    f"eventlog.{name}"
    for name in (
        *("errors", "filesystem", "presence", "sqlite_driver"),
        *("store", "store_url", "telemetry"),
    )
}
"""All of eventlog that a store may know (L9)."""

FACE_ALONE = ("http", "adapters", "examples")
"""Folders that import `eventlog` and nothing inside it (law 4)."""

DRIVERS = {
    "google_crc32c": ("stores.files",),
    "nats": ("stores.jetstream",),
    "psycopg": ("stores.postgres",),
    "pysqlite3": ("sqlite_driver",),
    "sqlite3": ("sqlite_driver", "exchange.databases"),
    "eventlog.sqlite_driver": ("stores.sqlite",),
    "sqlite_utils": ("stores.sqlite",),
    "apsw": ("testing",),
}
"""Drivers, and the parts of the tree that import each; the testing kit may import all.

Other programs keep conversations in SQLite files. To read one is no business of our store, which
opens, migrates and writes its own; `exchange.databases` opens such a file read-only and with other
precautions, among them limits that Python's module alone has, and nothing else in `exchange` touches
a driver."""

PURE = ("session", "projections")
"""The domain (P3): what happens in it follows from its arguments alone."""

IMPURE = {
    *("asyncio", "io", "os", "pathlib", "platform", "random", "secrets", "shutil", "socket"),
    *("sqlite3", "subprocess", "tempfile", "threading", "time", "uuid"),
    "eventlog.clock.JumpWatch",
    "eventlog.clock.system_clock",
    "eventlog.filesystem",
    "eventlog.identifiers.draw_id",
    "eventlog.identifiers.new_id",
    "eventlog.telemetry",
    "eventlog.wakeups",
}
"""What reads a clock, a random source or the environment, does I/O, or waits."""

DRAWN_BY_USERS = {
    ("eventlog.session.messages", "eventlog.clock.system_clock"),
    ("eventlog.session.messages", "eventlog.identifiers.new_id"),
}
"""The one exception: `Message` is built by users, at the edge, and may be given no id and no time."""

MODULES_PER_FOLDER = 30
"""Law 5: a folder with more modules than these has sub-folders."""


class Import(NamedTuple):
    """One import: of which module, what, where, and whether it runs when the module is imported."""

    module: str
    name: str
    line: int
    is_eager: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


class Tree:
    """Modules by name, and what they import: at the top, in functions, for type checks alone."""

    def __init__(self, sources: Mapping[str, str], packages: Iterable[str] = ()) -> None:
        self.sources = dict(sources)
        self.packages = set(packages)
        """The modules that are the ``__init__`` of a folder."""

    @cached_property
    def imports(self) -> list[Import]:
        return [
            found
            for module, text in self.sources.items()
            for found in _imports(module, ast.parse(text))
        ]

    @cached_property
    def arrows(self) -> dict[str, set[str]]:
        """Each module, and the other ones of the tree that it imports."""
        arrows: dict[str, set[str]] = {module: set() for module in self.sources}
        for found in self.imports:
            target = self.module_of(found.name)
            if target is not None and target != found.module:
                arrows[found.module].add(target)
        return arrows

    def module_of(self, name: str) -> str | None:
        """Return the module of the tree that an imported name is, or is in."""
        while name not in self.sources:
            name, dot, _ = name.rpartition(".")
            if not dot:
                return None
        return name

    def part_of(self, module: str) -> str:
        """Return the folder that a module belongs to: a key of `BELOW`, `stores` or `testing`."""
        _, _, rest = module.partition(".")
        first, dot, _ = rest.partition(".")
        if dot or module in self.packages - {"eventlog"}:
            return first
        if first == "__main__":
            return "cli"
        return "faces" if (first or "__init__") in FACES else "ground"


def _imports(module: str, tree: ast.Module) -> Iterator[Import]:
    for node, is_eager in _walk(tree, is_eager=True):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)]
        else:
            continue
        yield from (Import(module, name, node.lineno, is_eager) for name in names)


def _walk(node: ast.AST, *, is_eager: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Yield the nodes below, and whether they run as the module is imported."""
    for child in ast.iter_child_nodes(node):
        lazy = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        lazy = lazy or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        yield child, is_eager and not lazy
        yield from _walk(child, is_eager=is_eager and not lazy)


def is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def read_tree() -> Tree:
    """Read the modules as shipped; a glob does not enter the linked folders by itself."""
    sources: dict[str, str] = {}
    packages: set[str] = set()
    for folder in (PACKAGE, PACKAGE / "stores", PACKAGE / "projections"):
        for path in sorted(folder.glob("**/*.py")):
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            name = ".".join(["eventlog", *(part for part in parts if part != "__init__")])
            sources[name] = path.read_text("utf-8")
            if path.stem == "__init__":
                packages.add(name)
    return Tree(sources, packages)


SHIPPED = read_tree()


# ---- the laws ---------------------------------------------------------------------------------


def arrows_up(tree: Tree) -> list[str]:
    """Law 1: arrows run down."""
    wrong: list[str] = []
    for found in tree.imports:
        target = tree.module_of(found.name)
        if target is None:
            continue
        here, there = tree.part_of(found.module), tree.part_of(target)
        if here not in ("stores", "testing") and there != here and there not in below(here):
            wrong.append(f"{found} ({here} → {there})")
    return wrong


def below(folder: str) -> set[str]:
    """Return all folders below one."""
    found: set[str] = set()
    for lower in BELOW[folder]:
        found |= {lower} | below(lower)
    return found


def circles(tree: Tree) -> list[str]:
    """No module imports itself by way of others, not even for type checks (HOUSE §3)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[str] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        path.append(module)
        for target in sorted(tree.arrows[module]):
            if target not in order:
                visit(target)
            if target in path:
                lowest[module] = min(lowest[module], lowest[target])
        if lowest[module] == order[module]:
            place = path.index(module)
            if len(path) - place > 1:
                found.append(" ⇄ ".join(sorted(path[place:])))
            del path[place:]

    for module in tree.sources:
        if module not in order:
            visit(module)
    return found


def stores_that_know_more_than_the_seam(tree: Tree) -> list[str]:
    """L9: a store knows the seam and its own folder, and no other store."""
    wrong: list[str] = []
    for found in tree.imports:
        target = tree.module_of(found.name)
        if target is None or tree.part_of(found.module) != "stores" or target in SEAM:
            continue
        own = ".".join(found.module.split(".")[:3])
        if not is_of(target, own):
            wrong.append(str(found))
    return wrong


def stores_and_kits_imported_by_name(tree: Tree) -> list[str]:
    """L9: the library opens a store by the name of its module, and ships without the testing kit."""
    return [
        str(found)
        for found in tree.imports
        if tree.part_of(found.module) not in ("stores", "testing")
        and tree.part_of(tree.module_of(found.name) or "eventlog") in ("stores", "testing")
    ]


def eager_imports_of_the_four_faces(tree: Tree) -> list[str]:
    """Law 1: the faces import the rooms above the engine inside methods."""
    rooms = below("faces") - below("engine") - {"engine"}
    return [
        str(found)
        for found in tree.imports
        if (
            found.module in [f"eventlog.{name}" for name in FOUR_FACES]
            or is_of(found.module, "eventlog.faces")
        )
        and found.is_eager
        and tree.part_of(tree.module_of(found.name) or "eventlog") in rooms
    ]


def imports_past_the_face(tree: Tree) -> list[str]:
    """Law 4: HTTP and adapters import public names of `eventlog`, and nothing inside it."""
    wrong: list[str] = []
    for found in tree.imports:
        own = tree.part_of(found.module)
        if own not in FACE_ALONE or not is_of(found.name, "eventlog"):
            continue
        is_public = found.name.partition(".")[2] in {*eventlog.__all__, ""}
        if not is_public and not is_of(found.name, f"eventlog.{own}"):
            wrong.append(str(found))
    return wrong


def impure_imports_of_the_domain(tree: Tree) -> list[str]:
    """P3: decisions and folds read no clock, no random source and no environment."""
    return [
        str(found)
        for found in tree.imports
        if tree.part_of(found.module) in PURE
        and any(is_of(found.name, impure) for impure in IMPURE)
        and (found.module, found.name) not in DRAWN_BY_USERS
    ]


def drivers_out_of_place(tree: Tree) -> list[str]:
    """A driver is imported by its store, and by the testing kit."""
    return [
        str(found)
        for found in tree.imports
        for driver, parts in DRIVERS.items()
        if is_of(found.name, driver)
        and not any(is_of(found.module, f"eventlog.{part}") for part in parts)
        and not is_of(found.module, "eventlog.testing")
    ]


def crowded_folders(tree: Tree) -> list[str]:
    """Law 5."""
    crowds: dict[str, int] = {}
    for module in tree.sources:
        folder = module.rpartition(".")[0]
        if module not in tree.packages:
            crowds[folder] = crowds.get(folder, 0) + 1
    flat = {
        folder for folder in crowds if not any(is_of(it, folder) for it in tree.packages - {folder})
    }
    return [
        f"{folder} has {count} modules"
        for folder, count in crowds.items()
        if count > MODULES_PER_FOLDER and folder in flat
    ]


Law = Callable[[Tree], list[str]]

BROKEN: list[tuple[Law, dict[str, str], str]] = [
    (
        arrows_up,
        {"eventlog.session.state": "import eventlog.engine.core", "eventlog.engine.core": ""},
        "eventlog.session.state:1 imports eventlog.engine.core (session → engine)",
    ),
    (
        arrows_up,
        {
            "eventlog.worker.worker": "def f():\n    from eventlog.folder.follower import Follower",
            "eventlog.folder.follower": "",
        },
        "eventlog.worker.worker:2 imports eventlog.folder.follower.Follower (worker → folder)",
    ),
    (
        arrows_up,
        {
            "eventlog.codec": "if TYPE_CHECKING:\n    from eventlog.session.state import SessionState",
            "eventlog.session.state": "",
        },
        "eventlog.codec:2 imports eventlog.session.state.SessionState (ground → session)",
    ),
    (
        circles,
        {
            "eventlog.records": "from importlib import import_module\nimport_module('eventlog.codec')",
            "eventlog.codec": "if TYPE_CHECKING:\n    from eventlog.chain import chain_hash",
            "eventlog.chain": "def f():\n    from eventlog.records import Record",
        },
        "eventlog.chain ⇄ eventlog.codec ⇄ eventlog.records",
    ),
    (
        circles,
        {"eventlog": "from eventlog.log import Log", "eventlog.log": "from eventlog import Event"},
        "eventlog ⇄ eventlog.log",
    ),
    (
        stores_that_know_more_than_the_seam,
        {
            "eventlog.stores.mine.store": "from eventlog.records import Record",
            "eventlog.records": "",
        },
        "eventlog.stores.mine.store:1 imports eventlog.records.Record",
    ),
    (
        stores_that_know_more_than_the_seam,
        {
            "eventlog.stores.mine": "from eventlog.stores.memory import MemoryStore",
            "eventlog.stores.memory": "from eventlog.store import Store",
            "eventlog.store": "",
        },
        "eventlog.stores.mine:1 imports eventlog.stores.memory.MemoryStore",
    ),
    (
        stores_and_kits_imported_by_name,
        {
            "eventlog.cli.doctor": "def f():\n    import eventlog.stores.sqlite",
            "eventlog.stores.sqlite": "",
        },
        "eventlog.cli.doctor:2 imports eventlog.stores.sqlite",
    ),
    (
        eager_imports_of_the_four_faces,
        {
            "eventlog.log": "from eventlog.worker.worker import Worker\n"
            "def f():\n    from eventlog.worker.worker import Worker",
            "eventlog.worker.worker": "",
        },
        "eventlog.log:1 imports eventlog.worker.worker.Worker",
    ),
    (
        imports_past_the_face,
        {
            "eventlog.http.app": "import eventlog\nfrom eventlog import Log\n"
            "from eventlog.http.routes import routes\nfrom eventlog.engine.core import Core",
        },
        "eventlog.http.app:4 imports eventlog.engine.core.Core",
    ),
    (
        imports_past_the_face,
        {"eventlog.adapters.other": "from eventlog import log"},
        "eventlog.adapters.other:1 imports eventlog.log",
    ),
    (
        impure_imports_of_the_domain,
        {"eventlog.session.runs.machine": "def f():\n    from time import monotonic"},
        "eventlog.session.runs.machine:2 imports time.monotonic",
    ),
    (
        impure_imports_of_the_domain,
        {"eventlog.projections.tasks": "from eventlog.clock import format_time, system_clock"},
        "eventlog.projections.tasks:1 imports eventlog.clock.system_clock",
    ),
    (
        drivers_out_of_place,
        {
            "eventlog.stores.postgres.store": "import psycopg",
            "eventlog.engine.reader": "import psycopg.errors",
        },
        "eventlog.engine.reader:1 imports psycopg.errors",
    ),
    (
        drivers_out_of_place,
        {
            "eventlog.sqlite_driver": "import sqlite3",
            "eventlog.stores.sqlite.store": "import sqlite3",
        },
        "eventlog.stores.sqlite.store:1 imports sqlite3",
    ),
    (
        drivers_out_of_place,
        {
            "eventlog.sqlite_driver": "",
            "eventlog.stores.sqlite.store": "from eventlog.sqlite_driver import sqlite3",
            "eventlog.exchange.databases": "from eventlog.sqlite_driver import sqlite3",
        },
        "eventlog.exchange.databases:1 imports eventlog.sqlite_driver.sqlite3",
    ),
    (
        crowded_folders,
        {f"eventlog.engine.module_{number}": "" for number in range(31)},
        "eventlog.engine has 31 modules",
    ),
]
"""A law, a tree that breaks it in one place, and what the law says of that."""

LAWS = list(dict.fromkeys(law for law, _, _ in BROKEN))


def name_of(law: object) -> str:
    return getattr(law, "__name__", "")


@pytest.mark.parametrize(("law", "sources", "said"), BROKEN, ids=name_of)
def test_a_law_sees_what_breaks_it(law: Law, sources: dict[str, str], said: str) -> None:
    assert law(Tree(sources, {"eventlog"})) == [said]


@pytest.mark.parametrize("law", LAWS, ids=name_of)
def test_the_tree_keeps_the_laws_of_the_map(law: Law) -> None:
    assert law(SHIPPED) == []


def test_the_scan_sees_the_whole_tree() -> None:
    """The linked folders and their sub-folders, functions and type checks included."""
    assert {"eventlog", "eventlog.stores.sqlite.store", "eventlog.projections.meta"} <= set(
        SHIPPED.sources
    )
    on_disk = {*PACKAGE.rglob("*.py"), *(TREE / "stores").rglob("*.py")}
    assert len(SHIPPED.sources) == len(on_disk) + len(list((TREE / "projections").rglob("*.py")))
    assert "eventlog.errors" in SHIPPED.arrows["eventlog.store"]
    assert "eventlog.stores.sqlite.store" in SHIPPED.arrows["eventlog.stores.sqlite"]


def test_every_folder_has_its_place_on_the_map() -> None:
    parts = {SHIPPED.part_of(module) for module in SHIPPED.sources}
    assert parts <= {*BELOW, "stores", "testing"}


def test_the_packages_of_the_wheel_are_the_folders_of_the_tree() -> None:
    settings = tomllib.loads((TREE / "pyproject.toml").read_text("utf-8"))
    assert set(settings["tool"]["setuptools"]["packages"]) == SHIPPED.packages
    assert all(module.rpartition(".")[0] in {*SHIPPED.packages, ""} for module in SHIPPED.sources)


def test_every_module_says_what_it_is_for() -> None:
    sources = {name: text for name, text in SHIPPED.sources.items() if text}
    assert len(sources) > 300
    assert [name for name, text in sources.items() if not ast.get_docstring(ast.parse(text))] == []


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
    "eventlog.faces.async_base",
    "eventlog.session.attachment",
    "eventlog.session.folder_events",
    "eventlog.session.tasks.commands",
    "eventlog.worker.finalizer",
    "eventlog.worker.retry_policy",
    "eventlog.worker.requests",
    "eventlog.worker.worker",
    "eventlog.worker_face",
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
        if error in (NonRetryableError, RetryableError, errors.ProviderGone):
            continue  # Raised by users' callables and read by the worker.
        assert issubclass(error, EventLogError), name
        assert len([kind for kind in kinds if issubclass(error, kind)]) == (
            0 if error is EventLogError else 1
        ), name


def test_errors_are_defined_in_one_place() -> None:
    """Others are for within: they never leave the library."""
    within = {
        "CacheDamaged",
        "EmptySummary",
        "NotThere",
        "RequestRefused",
        "Unstorable",
        "UnusableResult",
    }
    elsewhere = {
        node.name
        for name, text in SHIPPED.sources.items()
        if name != "eventlog.errors" and SHIPPED.part_of(name) not in ("cli", "examples", "testing")
        for node in ast.walk(ast.parse(text))
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
