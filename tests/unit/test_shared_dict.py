"""Dictionaries that share common content, compared with plain ones."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from eventlog.session.shared_dict import SMALL, SharedDict
from tests.shares import examples

_keys = st.integers(0, 3 * SMALL)
_steps = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 3), _keys, st.integers()),
    st.tuples(st.just("set all"), st.integers(0, 3), _keys, st.integers(1, 3 * SMALL)),
    st.tuples(st.just("remove"), st.integers(0, 3), _keys, st.just(0)),
    st.tuples(st.just("remove all"), st.integers(0, 3), _keys, st.integers(1, 3 * SMALL)),
    st.tuples(st.just("copy"), st.integers(0, 3), st.integers(0, 3), st.just(0)),
)


def take(
    shared: SharedDict[int, int], plain: dict[int, int], step: str, key: int, value: int
) -> None:
    """Change both in the same way."""
    count = value if step.endswith("all") else 1
    for place in range(key, key + count):
        if step.startswith("set"):
            shared[place] = plain[place] = value + place
        elif place in plain:
            del shared[place]
            del plain[place]
        else:
            with pytest.raises(KeyError):
                del shared[place]


@examples(100, 12_000)
@given(st.lists(_steps, max_size=30))
def test_copies_go_their_own_ways_as_those_of_plain_dictionaries_do(
    program: list[tuple[str, int, int, int]],
) -> None:
    """Whatever is copied and changed in turn: the same entries in the same order."""
    shared = [SharedDict[int, int]() for _ in range(4)]
    plain: list[dict[int, int]] = [{} for _ in range(4)]
    for step, which, key, value in program:
        if step == "copy":
            shared[which], plain[which] = shared[key].copy(), plain[key].copy()
        else:
            take(shared[which], plain[which], step, key, value)
        for one, other in zip(shared, plain, strict=True):
            assert list(one.items()) == list(other.items())
            assert list(one) == list(other)
            assert len(one) == len(other)
            assert one == other
            assert [one.get(key, -1) for key in range(8)] == [other.get(k, -1) for k in range(8)]
            assert [key in one for key in range(8)] == [key in other for key in range(8)]


def test_what_is_not_there_is_missing_as_in_any_dictionary() -> None:
    shared = SharedDict[int, str](dict.fromkeys(range(SMALL + 1), ""))
    copied = shared.copy()
    del copied[3]

    for key in (3, -1):
        with pytest.raises(KeyError):
            copied[key]
    assert shared[3] == ""


def test_copying_and_changing_a_large_one_takes_next_to_no_room() -> None:
    shared = SharedDict[int, int]({key: key for key in range(50_000)})

    tracemalloc.start()
    for key in range(1_000):
        shared = shared.copy()
        shared[key % 200] = -1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 100_000
    assert sum(value == -1 for value in shared.values()) == 200


def test_it_is_validated_and_written_as_a_plain_dictionary_is() -> None:
    adapter = TypeAdapter(SharedDict[int, str])
    shared = SharedDict[int, str](dict.fromkeys(range(SMALL + 1), "x")).copy()
    shared[7] = "y"

    written = adapter.dump_json(shared)

    assert written == TypeAdapter(dict[int, str]).dump_json(dict(shared))
    assert adapter.validate_json(written) == shared
    with pytest.raises(ValueError, match="valid integer"):
        adapter.validate_json(b'{"a": "x"}')
