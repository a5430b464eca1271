"""Messages are read and written alike with msgspec and without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from eventlog.session.appended import AppendedData
from eventlog.session.appended_json import (
    ReadForFold,
    quicker_fold_reader,
    quicker_reader,
    quicker_writer,
)
from eventlog.session.folding import apply_message, apply_text
from eventlog.session.messages import ROLES, Message
from eventlog.session.state import SessionState
from eventlog.testing.conformance import make_record
from eventlog.testing.strategies import json_values, texts
from tests.shares import rounds

PLAIN: dict[str, Any] = {
    "id": "m-1",
    "role": "user",
    "parts": [{"type": "text", "text": "Hello"}],
    "created_at": "2026-01-01T00:00:00Z",
}
VALUES = st.one_of(
    texts(), json_values(), st.integers(), st.floats(), st.sampled_from([2**63, -(2**64), 1e16, ""])
)
PARTS = st.dictionaries(st.sampled_from(["text", "tool_id", "x"]), VALUES, max_size=2).map(
    lambda fields: {"type": "text", **fields}
)
MESSAGES = st.fixed_dictionaries(
    {
        "id": texts(),
        "role": st.sampled_from(ROLES),
        "parts": st.one_of(
            texts().map(lambda text: [{"type": "text", "text": text}]),
            st.lists(st.one_of(PARTS, PARTS.map(lambda part: dict(reversed(part.items()))))),
        ),
        "created_at": texts(),
    },
    optional={"metadata": VALUES},
)
TOKENS = st.one_of(st.integers(0, 10**6), st.integers(), st.booleans())


def _pydantic() -> Any:
    return TypeAdapter(AppendedData).validator.validate_json


def _outcome(read: Any, data: bytes) -> str:
    """Return what is read, the order of its fields included, or what the error says."""
    try:
        return repr(read(data))
    except ValidationError as error:
        return str(error)


def _folded(read: Any, data: bytes) -> object:
    state = SessionState("s")
    try:
        tokens, is_user, message = read(data)
        record = make_record("s", 1, data=data)
        if message is None:
            apply_text(state, record, tokens, is_user)
        else:
            apply_message(state, record, message, tokens)
    except (ValidationError, OverflowError) as error:  # Numbers of tokens that nobody can have.
        return str(error)
    return state


def _whole(data: bytes) -> ReadForFold:
    found = _pydantic()(data)
    return found["tokens"], False, found["message"]


def _written(message: dict[str, Any], tokens: object) -> bytes:
    return to_json({"message": message, "tokens": tokens})


def _check_read_alike(data: bytes) -> None:
    assert _outcome(quicker_reader(_pydantic()), data) == _outcome(_pydantic(), data)
    read_for_fold = quicker_fold_reader(_pydantic())
    assert _folded(read_for_fold, data) == _folded(_whole, data)
    if _outcome(_pydantic(), data).startswith("{") and read_for_fold(data)[2] is None:
        Message.model_validate(_pydantic()(data)["message"])  # It can be given back.


def test_msgspec_reads_and_writes_messages_of_one_text() -> None:
    """Without this the comparisons below would compare pydantic with itself."""

    def refuse(data: bytes) -> None:
        raise AssertionError(data)

    data = _written(PLAIN, 5)
    assert quicker_reader(refuse)(data) == {"message": PLAIN, "tokens": 5}
    assert quicker_fold_reader(refuse)(data) == (5, True, None)
    assert quicker_writer().__name__ == "write_quickly"


@pytest.mark.parametrize("version", ["0.18.6", "0.9", "", "dev"])
def test_an_older_msgspec_is_left_alone(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msgspec.__version__", version)
    read = _pydantic()
    assert quicker_reader(read) is read
    assert quicker_fold_reader(read)(_written(PLAIN, 5)) == (5, False, PLAIN)
    assert quicker_writer().__name__ == "_write"


@given(MESSAGES, TOKENS)
def test_what_was_written_is_read_alike(message: dict[str, Any], tokens: int) -> None:
    _check_read_alike(_written(message, tokens))


@given(MESSAGES, TOKENS)
def test_the_bytes_are_the_same(message: Any, tokens: int) -> None:
    assert quicker_writer()(message, tokens) == _written(message, tokens)


def test_every_character_is_written_as_the_same_bytes() -> None:
    write = quicker_writer()
    for first in range(0, 0x110000, 256):
        if not 0xD800 <= first < 0xE000:
            text = "".join(map(chr, range(first, first + 256)))
            message: Any = {**PLAIN, "parts": [{"type": "text", "text": text}]}
            assert write(message, 1) == _written(message, 1)


def test_half_a_character_is_refused_alike() -> None:
    message: Any = {**PLAIN, "parts": [{"type": "text", "text": "\ud800"}]}
    with pytest.raises(PydanticSerializationError):
        quicker_writer()(message, 1)


ODD = [
    json.dumps({"tokens": 1, "message": dict(reversed(PLAIN.items()))}).encode(),
    *(
        _written(PLAIN, 5).replace(old, new)
        for old, new in [
            (b":5}", b":5.0}"),
            (b":5}", b":5.5}"),
            (b":5}", b':"5"}'),
            (b":5}", b":true}"),
            (b":5}", b":-0}"),
            (b":5}", b":1e400}"),
            (b":5}", b":NaN}"),
            (b":5}", b":123456789012345678901234567890}"),
            (b":5}", b':5,"tokens":6}'),
            (b":5}", b':5,"more":%b1%b}' % (b"[" * 300, b"]" * 300)),
            (b":5}", b":5} "),
            (b":5}", b":5}x"),
            (b":5}", b":5"),
            (b'"Hello"', b'"\\ud800"'),
            (b'"Hello"', b'"\\ud83d\\ude00\\u0000\\/"'),
            (b'"Hello"', b'"\xff"'),
            (b'"Hello"', b'"\x01"'),
            (b'"Hello"', b"null"),
            (b'"Hello"', b'"Hello","more":1'),
            (b'"Hello"', b'"Hello","text":"Bye"'),
            (b'"Hello"}', b'"Hello"},{"type":"text","text":"Bye"}'),
            (b'"type":"text",', b""),
            (b'"type":"text"', b'"type":5'),
            (b'"role":"user"', b'"role":"somebody"'),
            (b'"role":"user"', b'"role":5'),
            (b'"m-1"', b'"%b"' % (b"m" * 500)),
            (b'"m-1"', b"null"),
            (b'"parts":[', b'"parts":{"a":['),
            (b'{"message"', b'\xef\xbb\xbf{"message"'),
        ]
    ),
    b"",
    b"null",
    b"[" * 5_000,
]


@pytest.mark.parametrize("data", ODD, ids=range(len(ODD)))
def test_what_nobody_writes_is_read_or_refused_alike(data: bytes) -> None:
    _check_read_alike(data)


@given(st.data())
def test_damaged_bytes_are_read_or_refused_alike(data: st.DataObject) -> None:
    whole = bytearray(_written(PLAIN, 5))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    _check_read_alike(bytes(whole))


WITHOUT = ["test_codec.py", "test_golden.py"]
"""They know the stored bytes; the nightly run takes all of `tests/unit` and `tests/storable`."""


def test_without_msgspec_the_suites_of_stored_bytes_pass(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "barred.py").write_text("import sys\nsys.modules['msgspec'] = None\n")
    folders = [root / "tests" / "unit" / name for name in WITHOUT]
    if rounds(0, 1):
        folders = [root / "tests" / "unit", root / "tests" / "storable"]
        ignored = [f"--ignore={__file__}"]
    else:
        ignored = []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "barred", "-p", "no:cacheprovider"]
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'inner'}", *ignored, *map(str, folders)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
