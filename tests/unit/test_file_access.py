"""One layer reaches files: every other module goes through it, or is listed here with its reason.

What opens, renames, removes or lists by itself follows links, blocks on FIFOs and has predictable
names. So the source of the package is searched for such calls.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import eventlog

PACKAGE = Path(eventlog.__file__).parent

OF_OS = {
    *("open", "fdopen", "rename", "renames", "replace", "link", "symlink", "unlink", "remove"),
    *(
        "mkdir",
        "makedirs",
        "rmdir",
        "removedirs",
        "scandir",
        "listdir",
        "walk",
        "fwalk",
        "truncate",
    ),
    *("chmod", "chown", "lchown", "utime", "mkfifo", "mknod", "readlink", "umask"),
}
"""Functions of `os` that reach a file by its name, or change what new files are like."""

OF_PATHS = {
    *("read_bytes", "read_text", "write_bytes", "write_text", "touch", "hardlink_to", "symlink_to"),
    *("iterdir", "glob", "rglob", "rmdir", "unlink", "mkdir", "chmod", "rename"),
}
"""Methods of `pathlib.Path` that do; ``replace`` and ``open`` are recognised by their object."""

REACHING = OF_OS | OF_PATHS | {"open"}
"""The methods and functions that may reach files, by their last name."""

OF_MODULES = {"shutil", "tempfile", "glob", "fileinput"}
"""Modules that do nothing else."""

OWN_VERBS = {"folder", "files", "_files", "_machine", "disk", "self", "log", "store"}
"""What has verbs of the same names and is the layer, or above it."""

LAYER = {"descriptors.py", "local_files.py"}

ELSEWHERE = {
    "cli/application.py": "/dev/null in place of a closed pipe",
    "cli/demo.py": "the demo's own new folder",
    "cli/demonstration/story.py": "the transcript in the package",
    "cli/docs.py": "the pages in the package",
    "cli/export.py": "a new file that a user names",
    "cli/fork.py": "the file that a user names",
    "cli/refold.py": "the file that a user names, new where it is written",
    "cli/import_.py": "the file that a user names, which may be a pipe, and stdin",
    "cli/opening.py": "is there a log at the path that a user names",
    "exchange/backup.py": "a new SQLite file beside the one that a user names, and its name",
    "exchange/databases.py": "a copy of a SQLite file and its journals, opened through the layer",
    "exchange/quarantine.py": "a new file beside the one that a user names",
    "presence.py": "files of a lock beside the store, and /proc",
    "report/document.py": "the page in the package",
    "stores/postgres/schema.py": "the migrations in the package",
    "stores/sqlite/errors.py": "/dev/null, to find out whether descriptors are exhausted",
    "stores/sqlite/evidence.py": "a copy of a SQLite file and its journal in a new folder",
    "stores/sqlite/schema.py": "the migrations in the package",
    "stores/sqlite/wal.py": "/proc",
    "engine/owner.py": "/proc",
}
"""Modules that reach files by themselves, and which."""


def calls_in(text: str) -> Iterator[str]:
    """Yield the calls of a module that reach files."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            module = node.module if isinstance(node, ast.ImportFrom) else None
            yield from (name for name in names if module is None and name in OF_MODULES)
            if module in OF_MODULES:
                yield str(module)
            if module in ("os", "io"):
                yield from (f"{module}.{name}" for name in names if name in OF_OS)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr not in REACHING:
                continue  # To write an expression as text costs most.
            called = ast.unparse(node.func)
            owner, _, name = called.rpartition(".")
            if (
                called in ("open", "io.open")
                or (owner == "os" and name in OF_OS)
                or (name in OF_PATHS and owner.rpartition(".")[2] not in OWN_VERBS and owner)
                or (name == "open" and owner.endswith(("path", "copy", "Path()")))
            ):
                yield called


def modules() -> Iterator[tuple[str, str]]:
    for folder in (PACKAGE, PACKAGE / "stores", PACKAGE / "projections"):
        for path in sorted(folder.glob("**/*.py")):
            name = path.relative_to(PACKAGE).as_posix()
            if not name.startswith("testing/"):  # The kit simulates disks and runs servers.
                yield name, path.read_text("utf-8")


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    """The calls that reach files, by module."""
    return {name: calls for name, text in modules() if (calls := sorted(set(calls_in(text))))}


def test_only_the_layer_reaches_files(found: dict[str, list[str]]) -> None:
    assert found.keys() - LAYER - ELSEWHERE.keys() == set(), found


def test_no_exception_is_out_of_date(found: dict[str, list[str]]) -> None:
    assert ELSEWHERE.keys() - found.keys() == set()


def test_the_umask_is_left_alone() -> None:
    assert [name for name, text in modules() if "umask(" in text] == []


@pytest.mark.parametrize(
    "line",
    [
        "open('x')",
        "import os\nos.open('x', 0)",
        "from os import replace",
        "Path('x').read_bytes()",
        "self.path.unlink()",
        "path.open('rb')",
        "import shutil",
        "from tempfile import mkdtemp",
    ],
)
def test_a_module_that_reaches_files_by_itself_would_be_found(line: str) -> None:
    assert list(calls_in(line))
