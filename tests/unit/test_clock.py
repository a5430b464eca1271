"""Time as text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.clock import format_time, parse_time, system_clock

END_OF_TIME = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_767_323_045_000_006, "2026-01-02T03:04:05.000006Z"),
        (END_OF_TIME, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_written_with_six_digits_and_z(microseconds: int, text: str) -> None:
    assert format_time(microseconds) == text
    assert parse_time(text) == microseconds


@given(st.integers(0, END_OF_TIME))
def test_a_written_time_is_read_back(microseconds: int) -> None:
    assert parse_time(format_time(microseconds)) == microseconds


@given(st.lists(st.integers(0, END_OF_TIME), min_size=2))
def test_written_times_sort_as_times_do(times: list[int]) -> None:
    assert [format_time(time) for time in sorted(times)] == sorted(map(format_time, times))


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T04:04:05.000006+01:00",
        "2026-01-02T03:04:05.000006+00:00",
        "2026-01-01T22:04:05.000006-05:00",
    ],
)
def test_an_offset_is_reckoned_with(text: str) -> None:
    assert parse_time(text) == 1_767_323_045_000_006


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-02T03:04:05", "2026-13-01T00:00:00Z"])
def test_text_without_a_time_or_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


def test_the_systems_clock_counts_microseconds() -> None:
    before = system_clock()

    assert before <= system_clock() < before + 60_000_000
    assert format_time(before).startswith("20")
