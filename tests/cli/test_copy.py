"""``eventlog copy``, and what commands say of a log in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import eventlog
from eventlog import Message

CommandLine = Any  # Of this folder's conftest, which cannot be imported from here.


@pytest.fixture
def files(tmp_path: Path) -> str:
    """The URL of a log in files that does not exist yet."""
    return f"files:///{tmp_path / 'log'}"


def fill(run: CommandLine) -> None:
    with eventlog.open(run.store) as log:
        for number in range(5):
            for name in ("a", "b"):
                log.session(name, create=True).append(Message.user(f"text {number} of {name}"))


def test_a_log_is_copied_and_verified(run: CommandLine, files: str) -> None:
    fill(run)

    answer = run("copy", run.store, files, "--verify")

    assert answer.code == 0
    first, second = answer.stdout.splitlines()
    assert first.startswith("12 records of 2 sessions copied, 0 already there, 0 large values; ")
    assert second == "12 records verified in the copy"
    assert answer.stderr == ""
    assert run("--store", files, "verify").code == 0
    assert run.json("--store", files, "ls") == run.json("ls")


def test_a_copy_that_is_run_again_takes_over_what_is_new(run: CommandLine, files: str) -> None:
    fill(run)
    run.json("copy", run.store, files)
    run("append", "a", "new")

    document = run.json("copy", run.store, files)

    assert (document["sessions"], document["records"]) == (1, 1)
    assert document["verified"] is None
    assert document["findings"] == []
    assert document["source"] == run.store
    assert document["destination"] == files


def test_another_history_is_a_conflict(run: CommandLine, files: str) -> None:
    fill(run)
    with eventlog.open(files) as log:
        log.session("b", create=True).append(Message.user("another"))

    answer = run("copy", run.store, files)

    assert answer.code == 4
    assert answer.stderr.startswith("eventlog: session 'b', version 1: the destination has")


def test_a_source_that_is_not_there_creates_nothing(run: CommandLine, files: str) -> None:
    answer = run("copy", run.store, files)

    assert answer.code == 3
    assert answer.stderr.startswith(f"eventlog: no log in {run.database()};")
    assert not Path(files.removeprefix("files:///")).exists()


def test_a_log_is_not_copied_onto_itself(run: CommandLine) -> None:
    answer = run("copy", run.store, run.store)

    assert answer.code == 2
    assert "SRC and DST are the same log; name two" in answer.stderr


def test_verify_and_doctor_name_what_a_flipped_bit_has_hit(run: CommandLine, files: str) -> None:
    """A1: session and version in each; the other sessions are as they were."""
    fill(run)
    run.json("copy", run.store, files)
    segment = Path(files.removeprefix("files:///"), "segments/0000000001.log")
    content = bytearray(segment.read_bytes())
    content[content.index(b"text 2 of b")] ^= 1
    segment.write_bytes(content)

    verified = run("--store", files, "verify", "--json")
    looked_over = run("--store", files, "doctor", "--json")

    assert (verified.code, looked_over.code) == (1, 1)
    (finding,) = verified.document["findings"]
    assert (finding["session_id"], finding["version"], finding["kind"]) == ("b", 4, "damaged")
    assert str(segment) in finding["detail"]
    assert [found["version"] for found in looked_over.document["findings"]] == [4]
    assert looked_over.document["index"]["compared"] is False
    assert "the index was not compared" in run("--store", files, "doctor").stdout
    assert run("--store", files, "verify", "a").code == 0


def test_a_log_in_files_that_is_not_there_is_not_created_by_looking(
    run: CommandLine, files: str
) -> None:
    answer = run("--store", files, "ls")

    assert answer.code == 3
    assert not Path(files.removeprefix("files:///")).exists()
