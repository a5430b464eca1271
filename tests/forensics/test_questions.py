"""Diff, blame, timeline and why: what changed, by which event, and because of what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import Message
from eventlog.errors import InvalidArgument
from eventlog.forensics.paths import child, differences, format_path, parse_path

if TYPE_CHECKING:
    from eventlog import Session


def test_a_diff_names_the_event_that_changed_each_path(session: Session) -> None:
    changes = {change.path: change for change in session.diff(6, 11)}
    assert changes["meta.commit_count"][1:4] == (0, 1, 7)
    assert changes["meta.message_count"][1:4] == (4, 1, 7)
    assert changes["tail[m-1]"].version == 7
    assert changes["tail[m-1]"].after is None
    assert "tail[m-4]" not in changes
    assert changes["archives[archive_001]"].version == 11
    assert changes["overview"].event.type == "archive_finalized"


def test_a_diff_goes_as_near_to_the_change_as_both_sides_have_it(session: Session) -> None:
    changes = {change.path: change for change in session.diff(3, 4)}
    part = "tail[m-2].parts[call-1]"
    assert changes[f"{part}.tool_status"][1:4] == ("running", "completed", 4)
    assert changes[f"{part}.tool_output"].after == "in the attic"
    assert "tail[m-2]" not in changes


def test_a_diff_backwards_is_the_same_the_other_way_round(session: Session) -> None:
    forwards, backwards = session.diff(2, 12), session.diff(12, 2)
    assert [(each.path, each.after, each.before, each.version) for each in backwards] == [
        each[:4] for each in forwards
    ]
    assert session.diff(5, 5) == ()


def test_diffs_of_every_pair_are_what_the_moments_show(session: Session) -> None:
    """Each change is true, nothing else differs, and blame says the same of each path."""
    head = session.version
    values = [session.at(version=each).values() for each in range(head + 1)]
    for low in range(0, head + 1, 3):
        for high in range(low, head + 1):
            changes = session.diff(low, high)
            found = {
                format_path(path): (old, new)
                for path, old, new in differences(values[low], values[high])
            }
            found.pop("version", None)
            assert {each.path: (each.before, each.after) for each in changes} == found
            for change in changes:
                last = session.blame(change.path, high)
                assert last is not None
                assert (last.path, last.version) == (change.path, change.version)


def test_blame_finds_the_last_event_that_changed_a_path(session: Session) -> None:
    last = session.blame("archives[archive_001].state")
    assert last is not None
    assert (last.before, last.after, last.version) == (
        "running",
        "completed",
        11,
    )
    earlier = session.blame("archives[archive_001].state", version=8)
    assert earlier is not None
    assert (earlier.before, earlier.after) == ("preparing", "pending")
    tail = session.blame("tail")
    assert tail is not None
    assert tail.version == 12
    assert "m-5" in tail.after
    assert session.blame("tail[m-99].role") is None
    with pytest.raises(InvalidArgument, match="nothing is called 'metta'"):
        session.blame("metta.version")


def test_a_timeline_shows_what_filters_admit(session: Session) -> None:
    def versions(**filters: Any) -> list[int]:
        return [recorded.version for recorded in session.timeline(**filters)]

    assert versions(types=["commit_prepared", "task_claimed"]) == [7, 9]
    assert versions(actor="finder") == [4]
    assert versions(text="THE ATTIC", types=["message_appended", "tool_result_recorded"]) == [4, 5]
    assert versions(text="nowhere") == []
    times = [recorded.time for recorded in session.timeline()]
    assert versions(since=times[3], until=times[3]) == [4, 5, 6]
    with pytest.raises(InvalidArgument):
        session.timeline(types="message_appended")
    with pytest.raises(InvalidArgument):
        session.timeline(since="noon")


def test_filters_change_no_state(session: Session) -> None:
    """What is hidden counts all the same."""
    session.timeline(types=["session_created"])
    assert session.at(version=6).meta.message_count == 4


def test_why_follows_causes_up_to_their_beginning(session: Session) -> None:
    assert [cause.version for cause in session.why(11)] == [11, 10, 9, 8, 7]
    assert [cause.version for cause in session.why(4)] == [4, 3]
    assert session.why(4)[1].reason == "the message that made the call call-1"


def test_why_believes_what_the_metadata_name(session: Session) -> None:
    cause = session.timeline(types=["tool_result_recorded"])[0].event_id
    session.append(Message.assistant("because"), causation_id=cause)
    session.append(Message.assistant("of another"), causation_id="elsewhere")
    assert [each.version for each in session.why(13)] == [13, 4, 3]
    (outside,) = session.why(14)
    assert outside.outside == "elsewhere"
    tree = session.why(3, tree=True)
    assert [(each.version, each.depth) for each in tree] == [(3, 0), (4, 1), (13, 2)]


names = st.text(min_size=1, max_size=8)


@given(st.sampled_from(["meta", "tail", "archives"]), st.lists(names, max_size=4))
def test_a_path_is_read_back_as_it_was_written(root: str, rest: list[str]) -> None:
    path = (root, *rest)
    assert parse_path(format_path(path)) == path


@pytest.mark.parametrize(
    "text", ["", "1", "meta.", "meta..x", "tail[", "tail[]", 'tail["x]', "a b"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a path"):
        parse_path(text)


def test_lists_are_gone_through_by_id() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "tool", "tool_id": "c"}, {"type": "text"}]
    assert child(parts, "text~2") is parts[2]
    assert child(parts, "c") is parts[1]
    assert child([1, 2], "0") is None
