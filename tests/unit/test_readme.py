"""The examples of the README and of the pages run as they stand, and print what their comments say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.typed_pages import PAGES, blocks_of

TREE = Path(__file__).parents[2]
README = TREE / "README.md"

RUN_AS_A_WHOLE = {
    "README.md": 6,
    "eventlog/docs/guide.md": 16,
    "eventlog/docs/runs.md": 3,
    "eventlog/docs/turns.md": 6,
    "eventlog/docs/tutorial.md": 4,
}
"""The pages whose blocks are one program, and how many of its lines say what is printed."""


@pytest.mark.parametrize("name", RUN_AS_A_WHOLE)
def test_the_examples_print_what_the_comments_beside_them_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of(TREE / name)
    namespace: dict[str, object] = {"__name__": "page"}

    for block in blocks:
        exec(compile(block, name, "exec"), namespace)  # noqa: S102 - our own page

    said = re.findall(r"^ *print\(.*\) +# (.*)$", "\n".join(blocks), re.MULTILINE)
    assert len(said) == RUN_AS_A_WHOLE[name]
    assert capsys.readouterr().out.splitlines() == said


def test_the_readme_is_a_front_page() -> None:
    """What it leaves out is on the pages; a link in it must work where the package is shown, too."""
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 200
    assert re.findall(r"(?<!!)\[[^\]]*\]\((?!https://)", text) == []
    assert all(len(line) <= 115 for line in text.splitlines())


def test_every_page_with_examples_is_type_checked() -> None:
    """``python -m tests.docs.typed_pages`` checks them, as CI does."""
    pages = [README, *TREE.glob("eventlog/docs/*.md"), *TREE.glob("eventlog/testing/*.md")]
    with_examples = {path for path in pages if blocks_of(path)}
    assert with_examples == {TREE / name for name in PAGES}
