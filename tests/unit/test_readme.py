"""The README's examples run as they stand, and print what their comments say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"


def test_the_examples_print_what_the_comments_beside_them_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    namespace: dict[str, object] = {"__name__": "readme"}

    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)  # noqa: S102 - our own README

    said = re.findall(r"^ *print\(.*\) +# (.*)$", "\n".join(blocks), re.MULTILINE)
    assert len(said) == 19
    assert capsys.readouterr().out.splitlines() == said
