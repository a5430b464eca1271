"""``doctor`` finds files of this package that another distribution overwrote."""

from __future__ import annotations

import hashlib
import sys
from base64 import urlsafe_b64encode
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

import eventlog.cli
from eventlog import Message
from eventlog.cli.installed import Installed, examine_installation
from tests.cli.conftest import CommandLine


def distribution(folder: Path, name: str, files: dict[str, str]) -> Distribution:
    """Install files as pip does, with a list of their digests."""
    record: list[str] = []
    for file, text in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record.append(f"{file},sha256={digest},{len(text)}")
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text("\n".join([*record, f"{info.name}/RECORD,,"]) + "\n")
    return PathDistribution(info)


OURS = {"eventlog/__init__.py": "ours", "eventlog/log.py": "ours, too", "bin/eventlog": "run"}


def test_files_as_installed_are_no_finding(tmp_path: Path) -> None:
    found = examine_installation(
        [
            distribution(tmp_path, "eventlog-sessions", OURS),
            distribution(tmp_path, "other", {"other/eventlog/__init__.py": "", "eventlog.py": ""}),
        ]
    )
    assert found == Installed((), ())
    assert found.sentence() == ""


def test_a_foreign_distribution_that_overwrote_a_file_is_named(tmp_path: Path) -> None:
    found = examine_installation(
        [
            distribution(tmp_path, "eventlog_sessions", OURS),
            distribution(tmp_path, "eventlog", {"eventlog/__init__.py": "theirs"}),
        ]
    )
    assert found == Installed(("eventlog/__init__.py",), ("eventlog",))
    assert found.sentence() == (
        "not as installed, overwritten by the distribution eventlog: eventlog/__init__.py; run "
        "`pip uninstall eventlog`, then `pip install --force-reinstall eventlog-sessions`"
    )


def test_a_file_that_an_uninstallation_took_along_is_a_finding(tmp_path: Path) -> None:
    ours = distribution(tmp_path, "eventlog-sessions", OURS)
    (tmp_path / "eventlog/log.py").unlink()
    assert examine_installation([ours]).changed == ("eventlog/log.py",)


def test_a_foreign_distribution_is_a_warning_before_it_does_harm(tmp_path: Path) -> None:
    theirs = distribution(tmp_path, "eventlog", {"eventlog/other.py": "theirs"})
    found = examine_installation([distribution(tmp_path, "eventlog-sessions", OURS), theirs])
    assert (found.changed, found.foreign) == ((), ("eventlog",))
    assert "too: installing or removing it changes files of ours" in found.sentence()


def test_doctor_says_it_and_exits_with_1(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with eventlog.open(run.store) as log:
        log.session("chat-1", create=True).append(Message.user("hello"))
    assert run("doctor").code == 0
    found = Installed(("eventlog/log.py",), ("eventlog",))
    monkeypatch.setattr("eventlog.cli.doctor.examine_installation", lambda: found)
    answer = run("doctor")
    assert answer.code == 1
    assert "not as installed" in answer.stdout
    document = run("doctor", "--json").document
    assert document["installation"] == {"changed": ["eventlog/log.py"], "foreign": ["eventlog"]}


def test_a_command_line_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Installed(("eventlog/__init__.py",), ("eventlog",))
    monkeypatch.setattr("eventlog.cli.installed.examine_installation", lambda: found)
    monkeypatch.setitem(sys.modules, "eventlog.cli.application", None)
    with pytest.raises(SystemExit, match="eventlog: not as installed, overwritten by"):
        eventlog.cli.main()

    monkeypatch.setattr("eventlog.cli.installed.examine_installation", lambda: Installed((), ()))
    with pytest.raises(ImportError):
        eventlog.cli.main()


def test_doctor_and_verify_say_what_they_do_not_look_at(run: CommandLine) -> None:
    with eventlog.open(run.store) as log:
        log.session("chat-1", create=True).append(Message.user("hello"))
    for command, other in (("doctor", "`eventlog verify`"), ("verify", "`eventlog doctor`")):
        assert other in run(command).stdout.split("not looked at:")[1]
