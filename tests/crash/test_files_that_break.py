"""A session in four files, as programs without a log keep it: the kit finds what is wrong (K5).

`FourFiles` is right, at a price: it synchronises everything, in an order that its recovery knows.
Each of the broken variants leaves one thing out, and must be found.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import strategies as st

from eventlog.testing import Crash, CrashFound, Fate, Host, crash_at, every_crash
from eventlog.testing.crashes import calls, crashes

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.testing.crashes import CrashProgram

LIVE: Final = "/home/messages.jsonl"
META: Final = "/home/.meta.json"
HISTORY: Final = "/home/history"


class FourFiles:
    """Live messages, how many there are, archives of them, and a marker in each archive."""

    def __init__(self, host: Host) -> None:
        self.files = host.files
        if "history" not in self.files.names("/home"):
            self.files.make_folder(HISTORY)
            self.sync_folder("/home")
        self.recover()

    # ---- what a service does -------------------------------------------------------------------

    def add(self, text: str) -> None:
        file = self.files.open(LIVE)
        file.append(json.dumps(text).encode() + b"\n")
        self.sync(file)
        self.sync_folder("/home")
        self.write_count(len(self.live()))

    def commit(self) -> None:
        """Archive what is live: archive, clear, marker, in this order."""
        messages = self.files.read(LIVE) if "messages.jsonl" in self.files.names("/home") else b""
        folder = f"{HISTORY}/archive_{len(self.archives()) + 1:03}"
        self.files.make_folder(folder)
        self.sync_folder(HISTORY)
        self.replace(f"{folder}/messages.jsonl", messages)
        self.clear()
        self.write_count(0)
        self.replace(f"{folder}/.done", b"")

    def clear(self) -> None:
        file = self.files.open(LIVE, empty=True)
        self.sync(file)
        self.sync_folder("/home")

    def recover(self) -> None:
        """Finish a commit whose clear is done, take back one whose clear is not; cut a torn tail."""
        whole = "".join(f"{json.dumps(text)}\n" for text in self.live()).encode()
        if "messages.jsonl" in self.files.names("/home") and self.files.read(LIVE) != whole:
            self.replace(LIVE, whole)
        for archive in self.archives():
            folder = f"{HISTORY}/{archive}"
            if ".done" not in self.files.names(folder):
                if self.live() or "messages.jsonl" not in self.files.names(folder):
                    for name in self.files.names(folder):
                        self.files.remove(f"{folder}/{name}")
                    self.files.remove(folder)
                    self.sync_folder(HISTORY)
                else:
                    self.replace(f"{folder}/.done", b"")

    # ---- what is there -------------------------------------------------------------------------

    def live(self) -> list[str]:
        if "messages.jsonl" not in self.files.names("/home"):
            return []
        lines = self.files.read(LIVE).split(b"\n")
        return [json.loads(line) for line in lines[:-1]]

    def archives(self) -> list[str]:
        return self.files.names(HISTORY)

    def archived(self) -> list[str]:
        contents = (
            self.files.read(f"{HISTORY}/{name}/messages.jsonl")
            for name in self.archives()
            if ".done" in self.files.names(f"{HISTORY}/{name}")
        )
        return [json.loads(line) for content in contents for line in content.splitlines()]

    # ---- how it is written ---------------------------------------------------------------------

    def write_count(self, count: int) -> None:
        self.replace(META, json.dumps({"message_count": count}).encode())

    def replace(self, path: str, content: bytes) -> None:
        file = self.files.open(f"{path}.tmp", empty=True)
        file.append(content)
        self.sync(file)
        self.files.rename(f"{path}.tmp", path)
        self.sync_folder(path.rpartition("/")[0])

    def sync(self, file: Any) -> None:
        file.sync()

    def sync_folder(self, path: str) -> None:
        self.files.sync_folder(path)


class NeverSynced(FourFiles):
    """The naive commit: every write in its place, and no fsync at all."""

    def sync(self, file: Any) -> None:
        pass

    def sync_folder(self, path: str) -> None:
        pass


class UnsyncedClear(FourFiles):
    """Synchronises everything but the clear."""

    def clear(self) -> None:
        self.files.open(LIVE, empty=True)


class CountingHeal(FourFiles):
    """Replaces the count unsynchronised, and heals by it: more lines than counted are dropped."""

    def write_count(self, count: int) -> None:
        file = self.files.open(f"{META}.tmp", empty=True)
        file.append(json.dumps({"message_count": count}).encode())
        file.sync()
        self.files.rename(f"{META}.tmp", META)

    def recover(self) -> None:
        super().recover()
        counted = 0
        if ".meta.json" in self.files.names("/home"):
            counted = json.loads(self.files.read(META))["message_count"]
        live = self.live()
        if len(live) > counted:
            kept = "".join(f"{json.dumps(text)}\n" for text in live[len(live) - counted :])
            self.replace(LIVE, kept.encode())


CANARIES: Final = (NeverSynced, UnsyncedClear, CountingHeal)


def checks(kind: type[FourFiles]) -> Callable[[Host], Any]:
    """Make the check of a kind: each message that was acknowledged is there, once (P1, P2)."""

    def each_message_is_there_once(host: Host) -> Any:
        session = kind(host)
        live, archived = session.live(), session.archived()
        told = Counter(call.arguments[0] for call in host.told if call.name == "add")
        doubt = host.in_doubt
        maybe = told + Counter(doubt.arguments if doubt and doubt.name == "add" else ())
        found = Counter(live + archived)
        assert found in (told, maybe), f"live {live}, archived {archived}, acknowledged {told}"
        return live, archived

    return each_message_is_there_once


programs = crashes(calls("add", st.sampled_from("ab")) | calls("commit"), max_steps=24)


def add_commit_add(host: Host) -> None:
    session = FourFiles(host)
    host.call(session.add, "a")
    host.call(session.add, "b")
    host.call(session.commit)
    host.call(session.add, "c")


def test_four_files_that_synchronise_everything_survive_every_crash(points: Counter[str]) -> None:
    """Nothing is found where nothing is wrong, a crash of the recovery included."""
    report = every_crash(add_commit_add, checks(FourFiles), recovery=True)

    assert report.steps > 30
    assert report.recoveries > 20
    points["files"] += report.points
    points["files, images"] += report.images


def test_four_files_that_synchronise_everything_survive_random_programs(
    search: Callable[..., tuple[int, CrashProgram | None]],
) -> None:
    ran, found = search(programs, FourFiles, checks(FourFiles), 400)

    assert found is None
    assert ran >= 400


@pytest.mark.parametrize("kind", CANARIES, ids=lambda kind: kind.__name__)
def test_each_broken_variant_is_found_and_shrinks_to_a_few_calls(
    kind: type[FourFiles],
    search: Callable[..., tuple[int, CrashProgram | None]],
    canaries: list[str],
) -> None:
    """What is shown of it is plain Python, to be pasted into a test, and fails there, too."""
    check = checks(kind)
    ran, found = search(programs, kind, check, 1_000)

    assert found is not None, f"{kind.__name__} was not found in {ran} programs"
    assert len(found.calls) <= 2
    assert kind is not UnsyncedClear or [call.name for call in found.calls] == ["add", "commit"]
    canaries.append(f"found {kind.__name__} after {ran} programs: {found}")
    names: dict[str, Any] = {"Host": Host, "Fate": Fate, "Crash": Crash, "suppress": suppress}
    names |= {kind.__name__: kind, check.__name__: check}
    exec(found.code(kind.__name__, check.__name__), names)  # noqa: S102 - what a reader would do
    with pytest.raises(AssertionError, match="acknowledged"):
        names["test_a_crash_that_was_found"]()


def test_a_finding_tells_the_whole_story() -> None:
    """The trace with the fatal step, each fate, the disk before and after, what repeats it."""

    def program(host: Host) -> None:
        session = UnsyncedClear(host)
        host.call(session.add, "hello")
        host.call(session.commit)

    with pytest.raises(CrashFound) as caught:
        every_crash(program, checks(UnsyncedClear))

    text = str(caught.value)
    assert "each_message_is_there_once failed after a crash at step 28" in text
    assert "LOST   truncate /home/messages.jsonl to 0" in text
    assert ">  28" in text
    assert "<- the power failed here" in text
    before, after = text.split("the disk before")[1].split("the disk after")
    assert "/home/messages.jsonl  0 bytes  ''" in before
    assert "/home/messages.jsonl  8 bytes  '\"hello\"\\n'" in after
    assert "crash_at(program, each_message_is_there_once, step=28, fate=Fate(" in text
    with pytest.raises(CrashFound, match="step 28"):
        crash_at(program, checks(UnsyncedClear), step=28, fate=caught.value.finding.fate)


def test_a_finding_in_a_crash_of_the_recovery_is_repeated_too() -> None:
    """A recovery that loses what it had read: it empties the file before it writes it again."""

    def program(host: Host) -> None:
        file = host.files.open("/home/note")
        file.append(b"whole")
        file.sync()
        host.files.sync_folder("/home")
        host.told.append("whole")

    def careless(host: Host) -> None:
        if host.told:
            content = host.files.read("/home/note")
            assert content == b"whole", content
            host.files.open("/home/note", empty=True).append(content)

    every_crash(program, careless, power=False)
    with pytest.raises(CrashFound, match="recovery=") as caught:
        every_crash(program, careless, power=False, recovery=True)

    call = caught.value.finding.code.splitlines()[-1]
    names = {"program": program, "careless": careless, "Fate": Fate, "crash_at": crash_at}
    with pytest.raises(CrashFound):
        eval(call, names)
