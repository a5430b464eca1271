"""The example of the kit's README, as a user would test it: the bug is found, and then it is gone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import eventlog.testing
from eventlog.testing import CrashFound, Host, every_crash, survives_every_crash
from eventlog.testing.conformance import StoreConformance
from tests.shares import rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.testing import CrashReport

pytest_plugins = ["eventlog.testing.pytest_plugin"]

README = Path(eventlog.testing.__file__).with_name("README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SERVICE, TEST, MENDED, CONFORMANCE = BLOCKS


def names(*blocks: str) -> dict[str, Any]:
    """Run code of the README one block after the other; return what it defines."""
    defined: dict[str, Any] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), defined)  # noqa: S102 - our own README
    return defined


FIRST = rounds(40, 1)
"""The step that is crashed first: those before it create the log, which other tests crash."""


def in_a_share(test: str) -> str:
    """Let the README's test begin with the first step that is of interest here."""
    whole = "each_job_is_done_once)"
    assert whole in test
    return test.replace(whole, f"each_job_is_done_once, first={FIRST})")


def without_numbers(text: str) -> str:
    """Forget steps, offsets and counts, which other versions of SQLite and of the schema change."""
    return re.sub(r"\d+", "#", text)


def test_the_test_finds_the_bugs_of_the_agent() -> None:
    found = names(SERVICE, in_a_share(TEST))

    with pytest.raises(CrashFound) as caught:
        found["test_the_agent_survives_every_crash"]()

    said = without_numbers(str(caught.value))
    shown = README.split("It fails, and shows")[1].split("```")[1]
    for line in filter(None, shown.splitlines()):
        assert without_numbers(line.strip()) in said or line.strip() == "…", line


def test_the_test_passes_once_the_agent_is_mended(
    crash_everywhere: Callable[..., CrashReport],
) -> None:
    found = names(SERVICE, TEST, MENDED)

    every = rounds(6, 1)
    report = crash_everywhere(found["program"], found["each_job_is_done_once"], every=every)

    assert report.steps > 50
    assert report.points == len(range(1, report.steps + 1, every)) + 1
    assert report.images > 500 // every
    report.name = "program"
    shown = without_numbers(str(report)).rpartition(",")[0]
    assert f"`{shown}`" in without_numbers(README)


def test_it_takes_less_than_30_lines_of_test() -> None:
    assert len(TEST.splitlines()) < 30


def test_ids_alone_are_not_enough() -> None:
    """The other bug: a file that is emptied before it is written."""
    careless = re.sub(r" +with open.*?progress\)\n", "", MENDED, flags=re.DOTALL).replace(
        "session.extend", "progress.write_text(json.dumps(number - 1)), session.extend"
    )
    found = names(SERVICE, in_a_share(TEST), careless)

    with pytest.raises(CrashFound, match="JSONDecodeError"):
        found["test_the_agent_survives_every_crash"]()


def test_the_test_class_of_the_readme_is_the_suite(tmp_path: Path) -> None:
    suite = names(CONFORMANCE)["TestMyStore"]

    assert issubclass(suite, StoreConformance)
    assert suite().make_store(tmp_path).durability == "none"


# ---- the decorator and the fixture -------------------------------------------------------------


def nothing_is_torn(host: Host) -> None:
    path = host.folder / "note"
    assert not path.exists() or path.read_text() in ("", "whole")


@survives_every_crash(nothing_is_torn, power=False)
def write_a_note(host: Host) -> None:
    """Write a note in one piece, which a crash can tear."""
    (host.folder / "note").write_text("whole")


def test_a_decorated_program_is_a_test_without_arguments() -> None:
    with pytest.raises(CrashFound, match="nothing_is_torn failed after a crash at step 2"):
        write_a_note()
    assert write_a_note.__name__ == "write_a_note"


def test_a_program_that_takes_other_steps_each_time_is_refused() -> None:
    """Otherwise a crash point might never have been reached, and nobody would know."""
    lengths = iter((3, 2, 1, 1))

    def program(host: Host) -> None:
        for number in range(next(lengths)):
            host.files.make_folder(f"/home/{number}")

    with pytest.raises(AssertionError, match="must take the same steps whenever it runs"):
        every_crash(program, lambda host: None)


def test_a_check_that_sees_something_else_the_second_time_is_refused() -> None:
    """P3: a recovery that is not finished after one start is one that never is."""

    def check(host: Host) -> int:
        host.files.make_folder(f"/home/{len(host.files.names('/home'))}")
        return len(host.files.names("/home"))

    with pytest.raises(CrashFound, match="the first look saw 1, a second one 2"):
        every_crash(lambda host: host.files.open("/note"), check)


def test_the_host_fixture_is_a_computer(host: Host) -> None:
    (host.folder / "note").write_text("hello")

    assert host.files.names("/home") == ["note"]
