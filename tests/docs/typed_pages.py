"""``python -m tests.docs.typed_pages``: the examples of README and pages under ``mypy --strict`` (U6).

All blocks of a page are one module, as a reader types them one after the other. A page of fragments has
its names from a block of ours. mypy's cache of the tree makes it a matter of seconds.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

__all__ = ["PAGES", "blocks_of", "check"]

TREE: Final = Path(__file__).parents[2]

PAGES: Final[Mapping[str, str]] = {
    "README.md": "",
    "eventlog/docs/guide.md": "",
    "eventlog/docs/tutorial.md": "",
    "eventlog/docs/turns.md": "",
    "eventlog/docs/web-services.md": "",
    "eventlog/testing/README.md": "",
    "eventlog/docs/streams.md": "",
    "eventlog/docs/http.md": "from eventlog import AsyncLog, Message\n\nlog: AsyncLog\n",
    "eventlog/docs/operations.md": "",
    "eventlog/docs/report.md": "",
    "eventlog/docs/runs.md": "",
}
"""The pages, and what stands before the blocks of those that are fragments."""


def blocks_of(path: Path) -> list[str]:
    """Return the Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


def modules() -> Iterator[tuple[str, str]]:
    """Yield the name and the source of a module for each page."""
    for page, before in PAGES.items():
        name = re.sub(r"\W", "_", page.removesuffix(".md")).lower()
        yield f"page_{name}", "\n".join([before, *blocks_of(TREE / page)])


def check() -> str:
    """Return what mypy finds in the examples; empty if nothing."""
    with TemporaryDirectory() as folder:
        for name, source in modules():
            Path(folder, f"{name}.py").write_text(source, "utf-8")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
                *("--config-file", str(TREE / "pyproject.toml")),
                *("--disable-error-code", "no-redef"),  # A page may show a function once more.
                *map(str, sorted(Path(folder).glob("*.py"))),
            ],
            cwd=TREE,
            capture_output=True,
            text=True,
            check=False,
        )
    return done.stdout + done.stderr


if __name__ == "__main__":
    found = check()
    sys.exit(found or 0)
