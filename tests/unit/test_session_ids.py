"""Ids that look like paths, like escapes, or like each other, on every store (M1)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import eventlog
from eventlog import Finalizer, Log, Message, NonRetryableError, Summary, SummaryRequest, Worker
from eventlog.audit.index_check import compare_index
from eventlog.errors import InvalidArgument, SessionNotFound
from eventlog.identifiers import check_session_id, from_key_part, key_part
from eventlog.session.index import archive_prefix, keys_under, session_key, session_of_entry
from eventlog.session.policies import AutoCommitPolicy

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # one emoji, of three that are joined

IDS = (
    *("a", "a/b", "a/", "/", "..", "../../etc/passwd", "a%2Fb", "a\\b", "a\\sb", "a/000000001"),
    *(FAMILY, f"{FAMILY}/{FAMILY}", "/" * 255, "\\" * 255, "\u4f1a" * 85),
)

parts = st.sampled_from(
    ["a", "b", "/", "\\", "..", ".", "%", "%2F", "\\s", "\\e", "é", FAMILY, " ", "~"]
)
session_ids = (
    st.lists(parts, min_size=1, max_size=6)
    .map("".join)
    .filter(lambda text: len(text.encode()) <= 255)
)


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"])),
)
@example("a/b", "a%2Fb")
@example("", "\\e")
@example("a\\sb", "a/b")
@example("\n", "\\x0a")
def test_different_texts_have_different_key_parts_without_slashes(one: str, other: str) -> None:
    assert from_key_part(key_part(one)) == one
    assert "/" not in key_part(one)
    assert (key_part(one) == key_part(other)) == (one == other)
    assert key_part(one)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1)
)
def test_an_id_that_was_allowed_before_is_its_own_key_part(session: str) -> None:
    """M1: what is stored under it stays where it is."""
    assert key_part(session) == session
    assert session_key(session) == f"session/{session}"


@given(session_ids, session_ids)
def test_no_prefix_of_one_session_meets_the_keys_of_another(one: str, other: str) -> None:
    start, end = keys_under(archive_prefix(one))
    key = f"{archive_prefix(other)}000000001"

    assert (start <= key < end) == (one == other)
    assert session_of_entry(key, b"{}") == other


def test_an_id_of_256_bytes_or_with_a_control_character_is_refused() -> None:
    for wrong in ("", "/" * 256, "a/\n", "\x7f", "\ud800"):
        with pytest.raises(InvalidArgument):
            check_session_id(wrong)


def summarize(request: SummaryRequest) -> Summary:
    return Summary(overview=f"of {request.session_id!r}", abstract="short")


def tell_apart(log: Log, session_ids: tuple[str, ...]) -> None:
    """Use sessions in every way that leads through keys, and assert that none sees another's."""
    for number, session_id in enumerate(session_ids):
        session = log.session(
            session_id,
            create=True,
            workspace="w",
            auto_commit=AutoCommitPolicy(idle_seconds=1e6),
        )
        session.append(Message.user(f"message {number}", id="m"))
        session.append(
            Message.model_validate(
                {
                    "id": "call",
                    "role": "assistant",
                    "parts": [
                        {
                            "type": "tool",
                            "tool_id": "t/1",
                            "tool_name": "read",
                            "tool_status": "completed",
                            "tool_output": f"{number} " * 10_001,
                        }
                    ],
                }
            )
        )
        for _ in range(1 + number % 2):
            session.commit()
            session.append(Message.user("more"))
    Worker(log, Finalizer(summarizer=summarize)).run_once()

    assert sorted(log.sessions()) == sorted(session_ids)
    assert sorted(log.sessions(workspace="w")) == sorted(session_ids)
    uris: list[str] = []
    for number, session_id in enumerate(session_ids):
        session = log.session(session_id)
        archives = session.archives()
        assert [view.archive_id for view in archives] == ["archive_001", "archive_002"][
            : 1 + number % 2
        ]
        assert {view.state for view in archives} == {"completed"}
        assert session.archive("archive_001").overview == f"of {session_id!r}"
        assert session.history()[0].text == f"message {number}"
        output = session.tool_output("call", "t/1")
        assert output.text == f"{number} " * 10_001
        assert [task.session_id for task in log.tasks(session=session_id)] == [session_id] * len(
            archives
        )
        assert log.verify(session_id) == []
        uris += [view.archive_uri for view in archives]
    assert len(set(uris)) == len(uris)


def test_sessions_whose_ids_look_like_paths_are_told_apart(log: Log) -> None:
    tell_apart(log, IDS)


def test_the_sessions_are_found_again_after_the_log_was_opened_anew(log_url: str) -> None:
    if log_url == "memory:":
        pytest.skip("a log in memory ends with its process")
    chosen = ("a", "a/b", "a%2Fb", "a\\b", "..", FAMILY)
    with eventlog.open(log_url) as log:
        for session_id in chosen:
            log.session(session_id, create=True).append(Message.user(session_id))

    with eventlog.open(log_url) as log:
        assert sorted(log.sessions()) == sorted(chosen)
        assert [log.session(each).tail()[0].text for each in chosen] == list(chosen)
        with pytest.raises(SessionNotFound):
            log.session("a/c")


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(session_ids, min_size=2, max_size=5, unique=True))
@example(["a", "a/b", "a/b/"])
@example(["%", "%25", "/"])
def test_any_such_ids_are_told_apart(chosen: list[str]) -> None:
    with eventlog.open("memory:") as log:
        tell_apart(log, tuple(chosen))


@pytest.fixture(params=["a/b", "../a", FAMILY, "a\\b"])
def strange(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Log, str]]:
    with eventlog.open(f"sqlite:///{tmp_path / 'log.db'}") as log:
        session = log.session(request.param, create=True)
        session.append(Message.user("hello"))
        session.commit()
        yield log, request.param


def test_a_folder_of_such_a_session_stays_within_itself(
    strange: tuple[Log, str], tmp_path: Path
) -> None:
    log, session_id = strange
    folder = tmp_path / "out" / "folder"
    folder.parent.mkdir()
    log.session(session_id).materialize(folder)

    assert [path.name for path in folder.parent.iterdir()] == ["folder"]
    with eventlog.open("memory:") as other:
        assert other.adopt(folder).session_id == session_id
        assert other.session(session_id).history()[0].text == "hello"


def test_a_bundle_and_a_fork_keep_such_an_id(strange: tuple[Log, str], tmp_path: Path) -> None:
    log, session_id = strange
    log.bundle([session_id], tmp_path / "case.zip")
    fork = log.session(session_id).fork(f"{session_id}/fork")

    with eventlog.open_bundle(tmp_path / "case.zip") as case:
        assert list(case.sessions()) == [session_id]
        assert [view.archive_id for view in case.session(session_id).archives()] == ["archive_001"]
    assert (
        fork.archives()[0].archive_uri
        == f"eventlog://{key_part(session_id + '/fork')}/history/archive_001"
    )
    assert len(log.session(session_id).archives()) == 1
    assert log.verify(fork.id) == []


def fail(request: SummaryRequest) -> Summary:
    raise NonRetryableError("prompt too long")


def test_owners_turns_and_blocked_sessions_are_told_apart(log: Log) -> None:
    """Every kind of entry that one session has is verified, and is not taken for another's."""
    chosen = ("a", "a/b", "a%2Fb", "a\\b")
    for session_id in chosen:
        session = log.session(session_id, create=True, owner="o/1", workspace="w/1")
        session.append(Message.user("x"))
        session.commit()
        with session.turn("b/turn"):
            session.append(Message.user("y"))
    Worker(log, Finalizer(summarizer=fail)).run_once()

    assert sorted(log.sessions(owner="o/1", workspace="w/1")) == sorted(chosen)
    assert list(log.sessions(owner="o")) == []
    for session_id in chosen:
        assert log.session(session_id).meta.blocked_by == "archive_001"
        assert [turn.turn_id for turn in log.session(session_id).turns()] == ["b/turn"]
        assert log.verify(session_id) == []
    open_turn = log.session("a/b").turn("open")
    open_turn.__enter__()
    assert [log.verify(session_id) for session_id in chosen] == [[]] * 4
    open_turn.__exit__(None, None, None)
    assert compare_index(log.store) == []


def test_keys_and_uris_say_which_of_similar_ids_is_meant() -> None:
    ids = ["a", "a/b", "a%2Fb", "a\\b", "a\\sb"]
    assert len({key_part(each) for each in ids}) == len(ids)
    for one, other in product(ids, ids):
        assert session_key(one).startswith(session_key(other) + "/") is False
