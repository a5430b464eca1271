"""The example of the kit's README, as a user would test it: the bug is found, and then it is gone."""

from __future__ import annotations

import linecache
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

import eventlog.testing
from eventlog import Log, Message
from eventlog.stores.memory import MemoryStore
from eventlog.testing import CrashFound, Host, every_crash, survives_every_crash
from eventlog.testing.conformance import StoreConformance
from eventlog.testing.strategies import messages
from tests.shares import rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.testing import CrashReport

pytest_plugins = ["eventlog.testing.pytest_plugin"]

README = Path(eventlog.testing.__file__).with_name("README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SERVICE, TEST, MENDED, ASYNCHRONOUS, WORKER, CONFORMANCE = BLOCKS


def names(*blocks: str) -> dict[str, Any]:
    """Run code of the README one block after the other; return what it defines.

    The reports quote it by the names of the files that a user would put it in.
    """
    defined: dict[str, Any] = {"__name__": "readme"}
    for block in blocks:
        file = "test_agent.py" if "def test_" in block else "agent.py"
        linecache.cache[file] = (len(block), None, block.splitlines(keepends=True), file)
        exec(compile(block, file, "exec"), defined)  # noqa: S102 - our own README
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


@pytest.mark.parametrize(
    ("block", "program", "check"),
    [
        (ASYNCHRONOUS, "serve_on", "both_are_stored_once"),
        (WORKER, "finalise", "nothing_is_lost_or_left_running"),
    ],
)
def test_the_examples_for_asyncio_and_workers_pass(block: str, program: str, check: str) -> None:
    found = names(SERVICE, TEST, MENDED, block)

    report = every_crash(found[program], found[check], every=rounds(12, 1), first=FIRST)

    assert report.images > 5
    assert report.points > 1


def test_the_report_names_the_waiting_coroutine_and_the_event() -> None:
    found = names(SERVICE, TEST, MENDED, ASYNCHRONOUS)

    def refuse(host: Host) -> None:
        assert not host.open_log().exists("chat"), "refused"

    with pytest.raises(CrashFound) as caught:
        every_crash(found["serve_on"], refuse, first=FIRST)

    said = without_numbers(str(caught.value))
    assert "in serve: await session.append(Message.user(text, id=f" in said
    assert "storing session_created, message_appended (versions # to # of session 'chat')" in said
    where = str(caught.value).split("answers that its user has got")[0]
    assert "write /log.db" not in where  # What the store wrote comes later.
    assert "vfs" not in where


def test_a_finding_after_the_end_says_what_was_stored_last() -> None:
    def program(host: Host) -> None:
        host.open_log().session("chat", create=True).append(Message.user("hello"))

    def refuse(host: Host) -> None:
        assert not host.open_log().exists("chat"), "refused"

    with pytest.raises(CrashFound) as caught:
        every_crash(program, refuse, first=10_000)

    assert (
        "the program had ended, after session_created, message_appended (versions 1 to 2 of "
        "session 'chat'):\n    -\n" in str(caught.value)
    )


def test_a_program_that_crashes_before_any_event_says_so() -> None:
    def program(host: Host) -> None:
        (host.folder / "note").write_text("hello")

    def refuse(host: Host) -> None:
        raise AssertionError

    with pytest.raises(CrashFound) as caught:
        every_crash(program, refuse)

    assert "the program was here, before its first event:" in str(caught.value)
    assert 'in program: (host.folder / "note").write_text("hello")' in str(caught.value)


def test_the_first_crash_counts_when_cleaning_up_crashes_too() -> None:
    def program(host: Host) -> None:
        session = host.open_log().session("chat", create=True)
        host.told.append(host.steps.count)
        try:
            session.append(Message.user("the cause"))
        finally:
            session.append(Message.user("of a dead process"))

    def refuse(host: Host) -> None:
        assert not host.told, "the session was there"

    with pytest.raises(CrashFound, match=r"in program: session.append\(Message.user\(\"the cause"):
        every_crash(program, refuse, first=FIRST)


def test_progress_is_told_at_crash_points_and_ends_with_an_empty_line() -> None:
    def program(host: Host) -> None:
        (host.folder / "note").write_text("hello")

    lines: list[str] = []
    every_crash(program, lambda host: None, progress=lines.append)

    assert lines[0].startswith("program: crash at step 1 of ")
    assert lines[-1] == ""


def test_drawn_messages_are_messages() -> None:
    @given(message=messages())
    @settings(max_examples=20, database=None)
    def search(message: Message) -> None:
        with Log(MemoryStore()) as log:
            session = log.session("chat", create=True)
            assert session.append(message) == message
            assert session.append(message) == message  # Drawn again, it is the same one.
            assert session.version == 2

    search()


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
