"""The distribution: it holds the whole tree, and works beside folders of the same names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.packaging

TREE = Path(__file__).parents[2]
SHIPPED = ("*.py", "*.sql", "*.json", "*.typed", "*.md", "*.html", "*.css", "*.js", "*.svg")
"""What the folders of the package may hold; its pages are shown by ``eventlog docs``."""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist from a copy of the tree, which building would leave traces in, and the wheel from
    the sdist; return their folder."""
    copy = tmp_path_factory.mktemp("tree") / "tree"
    ignored = shutil.ignore_patterns(
        ".git", "__pycache__", "build", "dist", "*.egg-info", ".*_cache", "*.db*"
    )
    shutil.copytree(TREE, copy, symlinks=True, ignore=ignored)
    target = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--no-isolation", "-o", str(target)], copy)
    return target


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (built,) = distributions.glob("*.whl")
    return built


def _run(command: list[str], folder: Path) -> str:
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


def _tree_files() -> set[str]:
    """Return what should be in the wheel, by the names that it should have there."""
    expected: set[str] = set()
    for folder, package in (
        ("eventlog", "eventlog"),
        ("stores", "eventlog/stores"),
        ("projections", "eventlog/projections"),
    ):
        root = TREE / folder
        for pattern in SHIPPED:
            for path in root.glob(f"**/{pattern}"):  # A glob does not enter the linked folders.
                if "__pycache__" not in path.parts:
                    expected.add(f"{package}/{path.relative_to(root).as_posix()}")
    return expected


def test_the_sdist_has_the_changelog_and_the_tests(distributions: Path, tmp_path: Path) -> None:
    (built,) = distributions.glob("*.tar.gz")
    shutil.unpack_archive(built, tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    names = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    tests = {
        path.relative_to(TREE).as_posix()
        for path in (TREE / "tests").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {"CHANGELOG.md", "README.md", "LICENSE", "pyproject.toml"} <= names
    assert tests <= names
    assert len(tests) > 300


def test_the_metadata_has_the_readme(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = archive.read(name).decode()
    assert "Description-Content-Type: text/markdown" in metadata
    assert (TREE / "README.md").read_text("utf-8") in metadata


def test_the_wheel_holds_the_whole_tree_and_nothing_else(wheel: Path) -> None:
    """A new sub-package is easily missing from the wheel."""
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {name for name in names if ".dist-info/" not in name}

    assert shipped == _tree_files()
    assert {
        "eventlog/docs/rules.md",
        "eventlog/py.typed",
        "eventlog/stores/README.md",
        "eventlog/stores/sqlite/1_log.sql",
    } <= shipped


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    text = archive.read(metadata).decode()

    assert wheel.name.startswith("eventlog_sessions-")
    assert "Name: eventlog-sessions\n" in text
    assert "License-Expression: Apache-2.0\n" in text
    assert "Requires-Dist: pydantic" in text
    (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "eventlog = eventlog.cli:main" in archive.read(points).decode()


def test_modules_in_the_wheel_are_the_ones_of_the_tree(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    for name in _tree_files():
        assert archive.read(name) == (TREE / name).read_bytes(), name


PROGRAM = """
import eventlog
import projections
import stores
from eventlog.projections import LiveTail
from eventlog.stores.sqlite import SQLiteStore

assert stores.OURS and projections.OURS
assert eventlog.__file__.startswith(PREFIX), eventlog.__file__
with eventlog.open("sqlite:///agent.db") as log:
    session = log.session("s", create=True)
    session.append(eventlog.Message.user("hello"))
    session.commit()
    assert isinstance(log.store, SQLiteStore)
    assert eventlog.Worker(log).run_once() == 1
    print(log.project("s", LiveTail()), session.archives()[0].state)
"""


FACES = {
    "eventlog.copying": ("CopyReport", "copy_log"),
    "eventlog.errors": ("EventLogError", "VersionConflict"),
    "eventlog.projections": ("LiveTail",),
    "eventlog.projections.archives": ("Archives",),
    "eventlog.projections.live_tail": ("LiveTail",),
    "eventlog.projections.meta": ("Meta",),
    "eventlog.projections.tasks": ("Tasks",),
    "eventlog.projections.usage": ("Usage",),
    "eventlog.store": ("Blob", "Finding", "Store", "repeated"),
    "eventlog.stores.files": ("FilesStore", "open_store"),
    "eventlog.stores.jetstream": ("JetStreamStore", "has_log", "open_store"),
    "eventlog.stores.memory": ("MemoryStore", "open_store"),
    "eventlog.stores.postgres": ("PostgresStore", "has_log", "open_store"),
    "eventlog.stores.sqlite": ("SQLiteStore", "open_store"),
    "eventlog.testing": ("FakeClock", "every_crash"),
    "eventlog.testing.conformance": ("StoreConformance", "SharedConformance", "ScaleConformance"),
    "eventlog.testing.machine": ("SessionMachine", "TaskMachine"),
    "eventlog.testing.pytest_plugin": ("host", "crash_everywhere"),
    "eventlog.testing.strategies": ("messages",),
}
"""What users import from where, beside the names of `eventlog` itself: it must not move."""

IMPORTING = """
import inspect
from importlib import import_module

import eventlog

for module, names in {**FACES, "eventlog": eventlog.__all__}.items():
    found = import_module(module)
    assert found.__file__.startswith(PREFIX), found.__file__
    for name in names:
        getattr(found, name)
from eventlog import *

assert inspect.isfunction(replay) and replay is eventlog.replay
print(len(set(dir()) & set(eventlog.__all__)) == len(eventlog.__all__))
"""


class Service(NamedTuple):
    """An environment with the wheel, and a service's folder."""

    python: Path
    folder: Path
    prefix: str

    def run(self, program: str) -> str:
        program = program.replace("PREFIX", repr(self.prefix)).replace("FACES", repr(FACES))
        return _run([str(self.python), "-c", program], self.folder).strip()


@pytest.fixture(scope="module")
def service(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A service may have its own ``stores`` and ``projections``, installed and beside it."""
    root = tmp_path_factory.mktemp("service")
    place, folder = root / "venv", root / "service"
    venv.create(place, with_pip=False)
    paths = {"base": str(place), "platbase": str(place), "installed_base": str(place)}
    packages = Path(sysconfig.get_path("purelib", vars=paths))
    zipfile.ZipFile(wheel).extractall(packages)
    for parent in (packages, folder):
        for name in ("stores", "projections"):
            (parent / name).mkdir(parents=True)
            (parent / name / "__init__.py").write_text("OURS = True\n")
    # The dependencies are the ones of this environment: no network is needed.
    installed = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "dependencies.pth").write_text("\n".join(installed))
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    return Service(python, folder, str(place))


def test_an_installed_wheel_works_beside_a_services_own_folders(service: Service) -> None:
    assert service.run(PROGRAM) == "() completed"


def test_every_public_name_is_imported_from_where_it_has_always_been(service: Service) -> None:
    assert service.run(IMPORTING) == "True"


SOURCES = ("*.md", "*.py", "*.toml", "*.sql", "*.css", "*.js", "*.mjs", "*.html")


def test_no_file_holds_a_merge_that_was_not_settled() -> None:
    files = [path for pattern in SOURCES for path in TREE.rglob(pattern)]
    assert {TREE / "CHANGELOG.md", TREE / "eventlog" / "log.py"} <= set(files)
    marks = tuple(mark * 7 + " " for mark in "<>")
    unsettled = [
        path.relative_to(TREE).as_posix()
        for path in files
        if any(line.startswith(marks) for line in path.read_text("utf-8").splitlines())
    ]
    assert unsettled == []
