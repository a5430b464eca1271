"""Generate the synchronous client from the asynchronous one: ``python -m tests.http.twin``.

A test compares what this returns with the module in the tree.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import eventlog

FOLDER: Final = Path(eventlog.__file__).parent / "http"
SOURCE: Final = FOLDER / "async_client.py"
TWIN: Final = FOLDER / "client.py"

_HEAD: Final = '"""The client of a log over HTTP; generated from `eventlog.http.async_client`."""'

_WORDS: Final = [
    (r"import asyncio\n", ""),
    (r"from itertools import count\n", "from itertools import count\nfrom time import sleep\n"),
    (r"asyncio\.sleep", "sleep"),
    (r"AsyncIterator, Awaitable, Callable, (.*)", r"Callable, Iterator, \1"),
    (r"Awaitable\[None\]", "None"),
    (r"httpx2\.AsyncBaseTransport", "httpx2.BaseTransport"),
    (r"eventlog\.AsyncLog", "eventlog.Log"),
    (r"eventlog\.AsyncSession", "eventlog.Session"),
    (r"AsyncClient", "Client"),
    (r"AsyncConnection", "Connection"),
    (r"AsyncIterator", "Iterator"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r'__all__ = \["Client", "ClientSession"\]', '__all__ = ["Client", "ClientSession"]'),
]  # fmt: skip


def generated() -> str:
    """Return the text of the synchronous client."""
    text = SOURCE.read_text("utf-8")
    text = _HEAD + text[text.index('"""', 3) + 3 :]
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    return _formatted(text)


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff"]
    fixed = _piped([*command, "check", "--select", "I,UP034", "--fix", "-q"], text)
    return _piped([*command, "format", "-q"], fixed)


def _piped(command: list[str], text: str) -> str:
    command = [*command, "--stdin-filename", str(TWIN), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    TWIN.write_text(generated(), "utf-8")
