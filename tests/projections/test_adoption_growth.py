"""A folder that grew since it was adopted: what is new is appended, anything else is refused (O4)."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import DuplicateEvent, Log, Message, Worker
from eventlog.adoption import adopting
from eventlog.audit.verify import verify_session
from eventlog.log import engine_of
from tests.shares import examples


@dataclass
class Foreign:
    """Another program that keeps a session in a folder."""

    root: Path
    live: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    commits: int = 0
    count: int = 0

    def say(self, number: int = 1) -> Foreign:
        for _ in range(number):
            self.count += 1
            text = {"type": "text", "text": f"text {self.count}"}
            time = f"2026-05-25T07:{self.count // 60:02}:{self.count % 60:02}.000Z"
            role = "user" if self.count % 2 else "assistant"
            self.live.append(
                {"id": f"m{self.count}", "role": role, "parts": [text], "created_at": time}
            )
        return self.write()

    def commit(self, keep: int = 0, *, done: bool = True) -> Foreign:
        taken = self.live[: len(self.live) - keep]
        if taken:
            self.commits += 1
            folder = self.root / "history" / f"archive_{self.commits:03}"
            folder.mkdir(parents=True)
            lines(folder / "messages.jsonl", taken)
            self.live = self.live[len(taken) :]
            if done:
                self.finish(self.commits)
        return self.write()

    def finish(self, number: int) -> Foreign:
        folder = self.root / "history" / f"archive_{number:03}"
        (folder / ".overview.md").write_text(f"# Overview {number}", "utf-8")
        (folder / ".abstract.md").write_text(f"Abstract {number}", "utf-8")
        (folder / ".done").write_text("{}", "utf-8")
        return self

    def write(self) -> Foreign:
        self.root.mkdir(exist_ok=True)
        lines(self.root / "messages.jsonl", self.live)
        meta = {
            "session_id": "s",
            "message_count": len(self.live),
            "total_message_count": self.count,
            "commit_count": self.commits,
            "llm_token_usage": {"prompt_tokens": 10 * self.commits},
        }
        (self.root / ".meta.json").write_text(json.dumps(meta), "utf-8")
        return self


def lines(path: Path, values: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")


def seen(log: Log, name: str = "s") -> dict[str, Any]:
    """Return what a user sees of a session."""
    session = log.session(name)
    meta = session.meta
    return {
        "tail": [message.id for message in session.tail()],
        "history": [message.id for message in session.history()],
        "archives": [
            (view.archive_id, view.state, view.message_count) for view in session.archives()
        ],
        "counts": (meta.message_count, meta.total_message_count, meta.commit_count),
        "usage": dict(meta.llm_token_usage),
        "overview": session.context().latest_archive_overview,
    }


def sound(log: Log) -> bool:
    store = log.store
    return not [
        found for session in log.sessions() for found in verify_session(store, session).findings
    ]


@pytest.fixture
def log() -> Iterator[Log]:
    with eventlog.open("memory:") as log:
        yield log


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path / "s").say(4).commit(1).say(1)


def test_what_is_new_is_appended(log: Log, foreign: Foreign) -> None:
    log.adopt(foreign.root)
    foreign.say(2).commit(1, done=False).say(1)

    adoption = log.adopt(foreign.root)

    assert (adoption.status, adoption.imported, adoption.messages) == ("continued", 3, 8)
    assert adoption.version == log.session("s").version
    again = log.adopt(foreign.root)
    assert again == adoption._replace(status="already_adopted", imported=0)
    log.adopt(foreign.root, "fresh")
    assert seen(log) == seen(log, "fresh")
    assert seen(log)["archives"][1] == ("archive_002", "pending", 3)
    assert sound(log)
    foreign.finish(2).say(1)
    assert log.adopt(foreign.root).imported == 1
    assert log.session("s").context().latest_archive_overview == "# Overview 2"
    assert sound(log)


def test_what_a_worker_here_has_done_meanwhile_stays(log: Log, foreign: Foreign) -> None:
    foreign.commit(done=False)
    log.adopt(foreign.root)
    assert Worker(log).run_once() == 1
    ours = log.session("s").context().latest_archive_overview
    foreign.finish(2).say(1)

    assert log.adopt(foreign.root).status == "continued"

    assert log.session("s").context().latest_archive_overview == ours
    assert sound(log)


def test_a_session_goes_on_from_a_folder_that_grew(log: Log, foreign: Foreign) -> None:
    log.adopt(foreign.root)
    foreign.say(2)
    log.adopt(foreign.root)
    session = log.session("s")

    session.append(Message.user("more"))
    assert session.commit().archive_id == "archive_002"
    Worker(log).run_once()

    assert sound(log)
    assert len(session.history()) == 8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda live: [*live[:-1], {**live[-1], "role": "system"}], "message 5, 'm5', says some"),
        (lambda live: [*live[:1], {**live[0], "id": "x"}, *live[1:]], "message 5 is 'x' in the fo"),
        (lambda live: live[:-1], "message 5, 'm5', is gone"),
        (lambda live: list(reversed(live)), "'m5' in the folder, and 'm4' in the session"),
    ],
    ids=["edited", "inserted", "gone", "reversed"],
)
def test_a_folder_that_does_not_go_on_is_refused_with_the_first_difference(
    log: Log, foreign: Foreign, change: Any, said: str
) -> None:
    log.adopt(foreign.root)
    before = seen(log), log.session("s").version
    lines(foreign.root / "messages.jsonl", change(foreign.live))

    with pytest.raises(DuplicateEvent) as caught:
        log.adopt(foreign.root)

    assert said in str(caught.value)
    assert "changed: messages.jsonl" in str(caught.value)
    assert (seen(log), log.session("s").version) == before


def test_a_folder_whose_archives_changed_is_refused(log: Log, foreign: Foreign) -> None:
    foreign.commit()
    log.adopt(foreign.root)
    archive = foreign.root / "history" / "archive_001" / "messages.jsonl"
    whole = archive.read_text("utf-8")
    archive.write_text("".join(whole.splitlines(keepends=True)[:-1]), "utf-8")
    with pytest.raises(DuplicateEvent, match="message 3 is 'm4' in the folder"):
        log.adopt(foreign.root)
    archive.write_text(whole, "utf-8")
    shutil.rmtree(foreign.root / "history" / "archive_002")
    with pytest.raises(DuplicateEvent, match="message 4, 'm4', is gone"):
        log.adopt(foreign.root)


def test_a_session_that_went_on_by_itself_is_not_mixed_with_its_folder(
    log: Log, foreign: Foreign
) -> None:
    log.adopt(foreign.root)
    log.session("s").append(Message.user("mine", id="mine"))
    foreign.say(1)

    with pytest.raises(DuplicateEvent, match="message 6 is 'm6' in the folder, and 'mine' in the"):
        log.adopt(foreign.root)


def test_a_continuation_that_was_cut_off_goes_on(
    log: Log, foreign: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.adopt(foreign.root)
    foreign.say(9).commit(2).say(2)
    monkeypatch.setattr(adopting, "WHOLE_EVENTS", 5)
    store = engine_of(log).store.inner
    stopped = store.append
    calls = iter(range(99))

    def two_parts(batch: Any) -> Any:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return stopped(batch)

    monkeypatch.setattr(store, "append", two_parts)
    with pytest.raises(KeyboardInterrupt):
        log.adopt(foreign.root)
    monkeypatch.setattr(store, "append", stopped)

    assert log.adopt(foreign.root).status == "continued"

    log.adopt(foreign.root, "fresh")
    assert seen(log) == seen(log, "fresh")
    assert sound(log)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 3)),
        st.tuples(st.just("commit"), st.integers(0, 3)),
        st.tuples(st.just("commit, and nothing more"), st.integers(0, 3)),
        st.tuples(st.just("finish"), st.just(0)),
        st.tuples(st.just("adopt"), st.just(0)),
    ),
    max_size=14,
)


@given(STEPS)
@examples(15, 600)
def test_adopting_step_by_step_is_adopting_at_the_end(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, eventlog.open("memory:") as log:
        foreign = Foreign(Path(folder, "s")).say(1)
        waiting: list[int] = []
        for step, number in steps:
            match step:
                case "say":
                    foreign.say(number)
                case "commit" | "commit, and nothing more":
                    before = foreign.commits
                    foreign.commit(number, done=step == "commit" and not waiting)
                    if foreign.commits > before and (waiting or step != "commit"):
                        waiting.append(foreign.commits)
                case "finish":
                    if waiting:
                        foreign.finish(waiting.pop(0))
                case _:
                    log.adopt(foreign.root)
        log.adopt(foreign.root)
        log.adopt(foreign.root, "fresh")
        assert seen(log) == seen(log, "fresh")
        assert sound(log)
