"""What a type checker tells users who fill in the library's signatures."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

mypy_api = pytest.importorskip("mypy.api", reason="mypy is in the extra `dev`")

TREE = Path(__file__).parents[2]

USE = """
import eventlog
from eventlog import AsyncLog, AsyncWorker, Log, TraceContext, Worker


def use(log: Log, trace: TraceContext) -> None:
    Worker(log, concurency=8, lease_seconds="x")
    Worker(log, concurrency=8, lease_seconds=60.0, name="nightly")
    list(log.tasks(state="retry"))
    list(log.tasks(state="failed"))
    list(log.tasks(state="done"))
    log.session("s").append({"role": "user"}, causation_id="c", trace=trace)
    log.session("s").append({"role": "user"}, trace=7)


async def use_async(log: AsyncLog) -> None:
    AsyncWorker(log, concurency=8, lease_seconds="x")
    reveal_type(await eventlog.open_async("memory:"))
    async with eventlog.open_async("memory:") as opened:
        reveal_type(opened)
"""

EXPECTED = [
    ('Worker(log, concurency=8, lease_seconds="x")', "call-arg"),
    ('Worker(log, concurency=8, lease_seconds="x")', "arg-type"),
    ('list(log.tasks(state="done"))', "arg-type"),
    ('log.session("s").append({"role": "user"}, trace=7)', "arg-type"),
    ('AsyncWorker(log, concurency=8, lease_seconds="x")', "call-arg"),
    ('AsyncWorker(log, concurency=8, lease_seconds="x")', "arg-type"),
]


def test_a_wrong_option_is_an_error_of_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use = tmp_path / "use.py"
    use.write_text(USE, "utf-8")
    # As from an installed package: only the file that uses it is looked over.
    monkeypatch.setenv("MYPYPATH", str(TREE))
    monkeypatch.chdir(tmp_path)
    options = ["--strict", "--follow-imports=silent", "--config-file=", "--no-error-summary"]

    said, trouble, _ = mypy_api.run(
        [*options, f"--python-executable={sys.executable}", "--cache-dir=cache", "use.py"]
    )

    lines = USE.splitlines()
    errors = re.findall(r"^use\.py:(\d+): error: .*\[([a-z-]+)\]$", said, re.MULTILINE)
    assert trouble == ""
    found = [(lines[int(line) - 1].strip(), code) for line, code in errors]
    assert sorted(found) == sorted(EXPECTED), said
    assert said.count('Revealed type is "eventlog.aio.AsyncLog"') == 2, said
