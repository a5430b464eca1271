"""Files that are odd, damaged or hostile: findings and typed errors, and never anything else (P10)."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.errors import EventLogError
from eventlog.exchange.examining import examine
from eventlog.exchange.notes import Notes
from eventlog.exchange.reading import read_conversations
from tests.exchange.samples import OPENHANDS, SAMPLES
from tests.shares import examples

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

DEEP = json.loads("[" * 150 + "]" * 150)

ODD = st.one_of(
    st.sampled_from(
        [
            None, True, False, 0, -1, 10**400, float("nan"), float("inf"), 1e300, "", "\0", "\ud83d",
            "user", "tool", [], {}, [[]], [{}], [None], ["x"], {"type": "text"}, {"type": "tool_use"},
            {"role": "user"}, {"": 1}, {"\ud83d": "\udc00"}, "x" * 600, "2026-01-01", DEEP, 3.5,
        ]
    ),
    st.text(max_size=3),
)  # fmt: skip
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["replace", "remove", "rename", "repeat", "insert"]), st.integers(0), ODD
    ),
    min_size=1,
    max_size=4,
)
CUTS = st.lists(
    st.tuples(
        st.sampled_from(["cut", "zeros", "insert", "glue", "double", "bom", "crlf", "latin"]),
        st.integers(0, 5_000),
    ),
    max_size=2,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in a value: what holds it, and under which key or index."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        pairs: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return []
    for key, inner in pairs:
        found += [(value, key), *places(inner)]
    return found


def moved(value: Any, moves: list[tuple[str, int, Any]]) -> Any:
    """Return a value that somebody has changed at a few places."""
    for move, number, drawn in moves:
        odd = json.loads(json.dumps(drawn))  # A copy: nothing is to be in itself.
        choices = places(value)
        if not choices:
            return odd
        holder, key = choices[number % len(choices)]
        match move:
            case "replace":
                holder[key] = odd
            case "remove":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[odd if isinstance(odd, str) else "x"] = holder.pop(key)
            case "repeat" if isinstance(holder, list):
                holder.append(json.loads(json.dumps(holder[key])))
            case "insert" if isinstance(holder, list):
                holder.insert(key, odd)
            case _:
                holder[key] = odd
    return value


def bytes_of(name: str, moves: list[tuple[str, int, Any]]) -> bytes:
    """Return the sample of a format, changed; lines stay lines."""
    raw = SAMPLES[name].decode()
    try:
        value = json.loads(raw)
    except ValueError:
        changed = moved([json.loads(line) for line in raw.splitlines()], moves)
        entries: list[Any] = changed if isinstance(changed, list) else [changed]
        return "".join(json.dumps(entry) + "\n" for entry in entries).encode()
    return json.dumps(moved(value, moves)).encode()


def damaged(data: bytes, cuts: list[tuple[str, int]]) -> bytes:
    for cut, number in cuts:
        place = number % (len(data) + 1)
        before, after = data[:place], data[place:]
        match cut:
            case "cut":
                data = before
            case "zeros":
                data = before + bytes(7) + after
            case "insert":
                data = before + b'{"role": "user", "content": "x"}\n' + after
            case "glue":
                data = data.replace(b"\n", b"", 1)
            case "double":
                data = data + b"\n" + before
            case "bom":
                data = b"\xef\xbb\xbf" + data
            case "crlf":
                data = data.replace(b"\n", b"\r\n")
            case _:
                data = before + b"\xe9\xff" + after
    return data


def look_over(path: Path) -> None:
    """Read a file in every way; what can be read of it is whole."""
    examined = examine(path)
    for found in examined.conversations:
        assert len({message.id for message in found.messages}) == len(found.messages)
        assert not found.lines or len(found.lines) == len(found.messages)
        for message in found.messages:
            message.model_dump_json()
    for noted in examined.findings:
        noted.finding.detail.encode()
    for notes in (Notes(str(path)), Notes(str(path), mends=False)):
        try:
            list(read_conversations(path, notes))
        except EventLogError as error:
            str(error).encode()


@pytest.mark.parametrize("name", SAMPLES)
@given(moves=MOVES, cuts=CUTS)
@examples(12, 600)
def test_whatever_is_in_a_file_is_read_or_a_finding(
    name: str, moves: list[tuple[str, int, Any]], cuts: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(damaged(bytes_of(name, moves), cuts))
        look_over(path)


@given(moves=MOVES, cuts=CUTS)
@examples(12, 600)
def test_whatever_is_in_an_event_folder_is_read_or_a_finding(
    moves: list[tuple[str, int, Any]], cuts: list[tuple[str, int]]
) -> None:
    events = moved(json.loads(json.dumps(list(OPENHANDS.values()))), moves)
    with tempfile.TemporaryDirectory() as folder:
        for number, event in enumerate(events if isinstance(events, list) else [events]):
            data = json.dumps(event).encode()
            Path(folder, f"{number}.json").write_bytes(damaged(data, cuts[: number % 3]))
        for found in examine(Path(folder)).conversations:
            assert len({message.id for message in found.messages}) == len(found.messages)


@given(st.binary(max_size=200))
@examples(40, 3_000)
def test_any_bytes_are_a_file_or_findings(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        look_over(path)


ODD_FILES: dict[str, bytes] = {
    "empty": b"",
    "blank": b"\n\n \r\n",
    "a mark alone": b"\xef\xbb\xbf",
    "zeros": bytes(4_096),
    "half a word": b"nul",
    "a number": b"17\n",
    "a text": b'"role"\n',
    "nested": b"[" * 100_000,
    "nested objects": b'{"messages":' * 50_000,
    "a long number": b'{"role":"user","content":"x","n":' + b"9" * 10_000 + b"}\n",
    "a key twice": b'{"role":"user","role":"robot","content":"x"}\n',
    "another encoding": '{"role":"user","content":"x"}'.encode("utf-16"),
    "a long line": b'{"role":"user","content":"' + b"x" * 3_000_000 + b"\n",
    "many braces": b'{"' * 200_000 + b"\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20,
}


@pytest.mark.parametrize("name", ODD_FILES)
def test_odd_files_are_answered_in_words(run: CommandLine, name: str) -> None:
    path = run.folder / "odd"
    path.write_bytes(ODD_FILES[name])
    for words in (["doctor"], ["import"], ["import", "--quarantine"]):
        answer = run(words[0], str(path), *words[1:])
        assert answer.code in (0, 1, 2), answer
        assert "Traceback" not in answer.stderr
    assert run("doctor", str(path)).code in (1, 2)


def test_a_folder_and_a_missing_file_are_answered_in_words(run: CommandLine) -> None:
    (run.folder / "empty").mkdir()
    for name in ("empty", "missing"):
        for verb in ("doctor", "import"):
            answer = run(verb, str(run.folder / name))
            assert answer.code in (2, 3), answer
            assert name in answer.stderr
            assert "Traceback" not in answer.stderr
