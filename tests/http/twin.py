"""Generate the synchronous client from the asynchronous one: ``python -m tests.http.twin``.

A test compares what this returns with the modules in the tree.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import eventlog

FOLDER: Final = Path(eventlog.__file__).parent / "http" / "clients"
NAMES: Final = ("client", "client_session", "client_stream", "connection")
"""The modules that are generated; each from the one with ``async_`` before its name."""

_WORDS: Final = [
    (r"import asyncio\n", ""),
    (r"from datetime import datetime\n", "from datetime import datetime\nfrom time import sleep\n"),
    (r"from asyncio import Lock", "from threading import Lock"),
    (r"asyncio\.sleep", "sleep"),
    (r"AsyncIterator, Awaitable, Callable, (.*)", r"Callable, Iterator, \1"),
    (r"Awaitable, Callable\n", "Callable\n"),
    (r"Awaitable\[None\]", "None"),
    (r"httpx2\.AsyncBaseTransport", "httpx2.BaseTransport"),
    (r"eventlog\.AsyncLog", "eventlog.Log"),
    (r"eventlog\.AsyncSession", "eventlog.Session"),
    (r"eventlog\.AsyncTurn", "eventlog.Turn"),
    (r"eventlog\.AsyncMessageStream", "eventlog.MessageStream"),
    (r"AsyncClient", "Client"),
    (r"AsyncConnection", "Connection"),
    (r"AsyncIterator", "Iterator"),
    (r"AsyncRepeating", "Repeating"),
    (r"\basync_(outcome|shielded|client\w*|connection)\b", r"\1"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
]


def generated(name: str) -> str:
    """Return the text of a synchronous module."""
    text = (FOLDER / f"async_{name}.py").read_text("utf-8")
    head = f'"""The plain twin; generated from `eventlog.http.clients.async_{name}`."""'
    text = head + text[text.index('"""', 3) + 3 :]
    begin = text.index("\n")
    said, text = text[:begin], text[begin:]
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    return _formatted(FOLDER / f"{name}.py", said + text)


def _formatted(path: Path, text: str) -> str:
    command = [sys.executable, "-m", "ruff"]
    fixed = _piped([*command, "check", "--select", "F401,I,UP034", "--fix", "-q"], path, text)
    return _piped([*command, "format", "-q"], path, fixed)


def _piped(command: list[str], path: Path, text: str) -> str:
    command = [*command, "--stdin-filename", str(path), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for module in NAMES:
        (FOLDER / f"{module}.py").write_text(generated(module), "utf-8")
