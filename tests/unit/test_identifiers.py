"""Ids: what they look like, that they ascend, and that a key always gives the same one."""

from __future__ import annotations

import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import InvalidArgument
from eventlog.identifiers import (
    _uuid7_source,
    check_session_id,
    derived_id,
    draw_id,
    format_id,
    new_id,
    parse_id,
)

# ---- drawn ids --------------------------------------------------------------------------------


def test_a_drawn_id_is_a_uuid_of_version_7() -> None:
    """RFC 9562: 48 bits of milliseconds, version, 12 bits of counter, variant, 62 random bits."""
    draw = _uuid7_source(lambda: 0x0123_4567_89AB, lambda: b"\xff" * 8)

    first, second = draw(), draw()

    assert format_id(first) == "01234567-89ab-7000-bfff-ffffffffffff"
    assert format_id(second) == "01234567-89ab-7001-bfff-ffffffffffff"
    assert uuid.UUID(bytes=first).version == 7
    assert uuid.UUID(bytes=first).variant == uuid.RFC_4122


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=60))
def test_ids_ascend_whatever_the_clock_does(times: list[int]) -> None:
    """If the clock does not move, or goes back, new ids still come after the last one."""
    clock = iter(times)
    draw = _uuid7_source(lambda: next(clock), bytes)

    ids = [draw() for _ in times]

    assert ids == sorted(set(ids))


def test_more_ids_in_a_millisecond_than_the_counter_holds_take_the_next_one() -> None:
    draw = _uuid7_source(lambda: 1_000, bytes)

    ids = [draw() for _ in range(0x1000 + 2)]

    assert ids == sorted(set(ids))
    assert format_id(ids[0xFFF]) == "00000000-03e8-7fff-8000-000000000000"
    assert format_id(ids[0x1000]) == "00000000-03e9-7000-8000-000000000000"


def test_a_forked_child_draws_other_randomness_than_its_parent() -> None:
    """L15: what was fetched from the system before the fork is not used by both."""
    script = (
        "import os, sys\n"
        "from eventlog.identifiers import new_id\n"
        "new_id()\n"
        "child = os.fork()\n"
        "sys.stdout.write(new_id()[-16:] + ' ')\n"
        "sys.stdout.flush()\n"
        "child and os.waitpid(child, 0)\n"
    )
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    one, other = printed.stdout.split()
    assert one != other


def test_the_librarys_own_source_gives_ids_of_now() -> None:
    ids = [draw_id() for _ in range(1_000)]

    assert ids == sorted(set(ids))
    assert {uuid.UUID(bytes=event_id).version for event_id in ids} == {7}
    assert uuid.UUID(new_id()).version == 7


# ---- derived ids ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("session", "key", "number", "expected"),
    [
        ("a", "session_created", 0, "4db318ca-6a42-88f2-a6d6-89ef033d60d1"),
        ("chat-42", "message-1", 0, "4cba4ab8-3e48-89ff-a23c-4f17bf493657"),
        ("chat-42", "message-1", 1, "d07e4c7a-2396-8859-a141-fc4d13efbdbc"),
        ("\u4f1a\u8bdd", "\U0001f600", 2, "9a6408a7-5075-8f02-99a5-498b313cffb8"),
    ],
)
def test_a_derived_id_stays_the_same_for_ever(
    session: str, key: str, number: int, expected: str
) -> None:
    """L3: logs hold these ids; another one would make every repetition a new event."""
    assert format_id(derived_id(session, key, number)) == expected


@given(st.text(max_size=9), st.text(max_size=9), st.integers(0, 9))
def test_a_derived_id_is_a_uuid_of_version_8(session: str, key: str, number: int) -> None:
    value = uuid.UUID(bytes=derived_id(session, key, number))

    assert (value.version, value.variant) == (8, uuid.RFC_4122)


def test_a_key_that_is_a_uuid_of_version_7_is_the_first_id_itself() -> None:
    key = new_id()

    assert format_id(derived_id("s", key)) == format_id(derived_id("t", key)) == key
    assert uuid.UUID(bytes=derived_id("s", key, 1)).version == 8


@pytest.mark.parametrize(
    "key",
    [
        "0192F0C1-7A5E-7B3C-9D21-5E6F70819203",
        "0192f0c17a5e7b3c9d215e6f70819203",
        "0192f0c17-a5e-7b3c-9d21-5e6f70819203",
        "0192f0c1-7a5e-4b3c-9d21-5e6f70819203",
        "0192f0c1-7a5e-7b3c-1d21-5e6f70819203",
        "0192f0c1-7a5e-7b3c-9d21-5e6f7081920\u0663",
        "0192f0c1-7a5e-7b3c-9d21-5e6f70819203\n",
    ],
)
def test_what_is_no_canonical_uuid_of_version_7_is_a_key_like_any_other(key: str) -> None:
    """Or else two keys would have one id."""
    assert uuid.UUID(bytes=derived_id("s", key)).version == 8


def test_session_key_and_number_each_make_another_id() -> None:
    ids = {
        derived_id("s", "k"),
        derived_id("t", "k"),
        derived_id("s", "l"),
        derived_id("s", "k", 1),
        derived_id("sk", ""),
        derived_id("", "sk"),
    }
    assert len(ids) == 6


# ---- text -------------------------------------------------------------------------------------


@given(st.binary(min_size=16, max_size=16))
def test_the_text_of_an_id_is_read_back(value: bytes) -> None:
    assert format_id(value) == str(uuid.UUID(bytes=value))
    assert parse_id(format_id(value)) == value
    assert parse_id(format_id(value).upper()) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "01234567-89ab-7000-bfff-fffffffffff",
        "0123456789ab7000bfffffffffffffff",
        "{01234567-89ab-7000-bfff-ffffffffffff}",
        "0123456-789ab-7000-bfff-ffffffffffff",
        "01234567-89ab-7000-bfff-fffffffffffg",
    ],
)
def test_text_that_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="not the text of a UUID"):
        parse_id(text)


# ---- session ids ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "session",
    [
        "a",
        "chat-42",
        "\u4f1a\u8bdd",
        "\U0001f600",
        "with space",
        "...",
        "a.b",
        "~",
        "a/b",
        "..",
        "a\\b",
        "x" * 255,
    ],
)
def test_any_text_without_control_characters_may_name_a_session(session: str) -> None:
    assert check_session_id(session) == session


@pytest.mark.parametrize(
    ("session", "reason"),
    [
        ("", "0 bytes"),
        ("x" * 256, "256 bytes"),
        ("\u4f1a" * 86, "258 bytes"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("\x7f", "control character"),
        ("\x85", "control character"),
        ("a\ud800", "lone surrogate"),
    ],
)
def test_a_session_id_that_could_trick_somebody_is_refused(session: str, reason: str) -> None:
    """M1, P10: the text says what is wrong with it."""
    with pytest.raises(InvalidArgument, match=reason):
        check_session_id(session)


@pytest.mark.parametrize("session", [b"bytes", 42, None, ["list"]])
def test_a_session_id_is_text(session: object) -> None:
    with pytest.raises(InvalidArgument, match="must be text, not"):
        check_session_id(session)  # type: ignore[arg-type]
