"""A small log with everything in it, and damage to it that no checksum of the store finds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import eventlog
from eventlog import AutoCommitPolicy, Message, ToolOutputPolicy, Worker
from eventlog.filesystem import LocalFiles
from eventlog.session.tasks.commands import ClaimTask
from eventlog.sqlite_driver import sqlite3
from eventlog.stores.files.blobs import BlobFiles
from eventlog.stores.files.checksum import checksum_named
from eventlog.stores.files.frames import (
    FRAME_BYTES,
    HEADER_BYTES,
    read_frame_header,
    read_header,
)
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import core_of, execute

OWNER: Any = {"host": "h", "boot": "b", "pid": 1, "started": "1"}


def fill(url: str) -> None:
    """Write a log with sessions, archives in several states, tasks, large values and snapshots."""
    log = eventlog.open(
        url,
        clock=FakeClock(),
        ids=NumberedIds(),
        tool_output=ToolOutputPolicy(inline_characters=600, preview_characters=500),
    )
    chat = log.session("chat", create=True, owner="ada", workspace="/work")
    for number in range(6):
        chat.append(Message.user(f"text {number}", id=f"m{number}"))
    chat.used(["viking://a"], {"uri": "viking://skill"})
    chat.commit(keep_recent=2)
    Worker(log).run_once()
    tools = [
        {"type": "tool", "tool_id": "big", "tool_name": "t", "tool_status": "completed",
         "tool_output": "x" * 900},
        {"type": "tool", "tool_id": "open", "tool_name": "t", "tool_status": "pending"},
    ]  # fmt: skip
    chat.append({"id": "calls", "role": "assistant", "parts": tools})
    chat.append(Message.user("next"))
    chat.commit(keep_recent=1)
    task = next(iter(log.tasks(state="pending", kind="finalise"))).task_id
    execute(log, "chat", ClaimTask(task, "w", OWNER, 10**6, attempts=3))
    chat.queue_task("acme.own", {"n": 1})
    other = log.session("other", create=True, auto_commit=AutoCommitPolicy(idle_seconds=60))
    other.append(Message.user("text 1", id="m1"))
    other.commit()
    other.append(Message.user("idle"))
    gone = log.session("gone", create=True)
    gone.append(Message.user("text"))
    gone.close()
    for name in ("chat", "other"):
        core_of(log, name).write_snapshot()
    log.close()


def mutate_row(path: Path, draw: random.Random) -> str:
    """Change one column of one row of a SQLite log; return what was done."""
    connection = sqlite3.connect(path)
    try:
        table = draw.choice(TABLES)
        rows = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        if not rows:
            return f"{table} is empty"
        key, columns = KEYS[table]
        names = key.split(", ")
        chosen = connection.execute(
            f"SELECT {key}, * FROM {table} LIMIT 1 OFFSET {draw.randrange(rows)}"
        )
        found = chosen.fetchone()
        column = draw.choice(columns)
        described = [each[0] for each in chosen.description]
        old = found[len(names) + described[len(names):].index(column)]  # fmt: skip
        new = value_like(old, draw)
        where = " AND ".join(f"{name} IS ?" for name in names)
        try:
            connection.execute(
                f"UPDATE {table} SET {column} = ? WHERE {where}", (new, *found[: len(names)])
            )
            connection.commit()
        except (sqlite3.IntegrityError, OverflowError) as error:
            return f"refused: {error}"
        return f"{table}.{column} of {found[: len(names)]!r:.60}: {old!r:.60} -> {new!r:.80}"
    finally:
        connection.close()


TABLES = ("records", "records", "records", "streams", "record_runs", "record_ids", "progress",
          "entries", "entries", "entries", "blobs", "blobs")  # fmt: skip

KEYS: dict[str, tuple[str, list[str]]] = {
    "records": ("position", ["position", "stream", "version", "event_id", "type", "schema", "time",
                             "hash", "metadata", "data", "data", "data"]),
    "streams": ("stream", ["stream", "name"]),
    "record_runs": ("stream, first", ["stream", "first", "positions"]),
    "record_ids": ("event_id, stream", ["event_id", "stream", "version"]),
    "progress": ("name", ["name", "position"]),
    "entries": ("key", ["key", "value", "value", "value"]),
    "blobs": ("key", ["key", "revision", "data", "data"]),
}  # fmt: skip

NUMBERS = (0, 1, -1, 2, 7, 1 << 31, 1 << 62, -(1 << 62), (1 << 63) - 1, 10**17)
TEXTS = ("", "x", "chat", "{", "{}", "[]", "null", "7", "[1,2]", "\0", "é" * 300, "a/b", "task_claimed",
         "commit_prepared", "acme.own")  # fmt: skip
BYTES = (b"", b"\xff\xfe", b"\0" * 16, b"\0" * 32, b"{}", b"x" * 100, b"\n")


def value_like(old: Any, draw: random.Random) -> Any:
    """Return another value for a column: a damaged one, or one of another type."""
    if draw.random() < 0.5 and isinstance(old, (str, bytes)) and old:
        return damaged(old, draw)
    if draw.random() < 0.4 and isinstance(old, int):
        return old + draw.choice((-1, 1, 5, 1000, -1000))
    return draw.choice((*NUMBERS, 1.5, -0.5, 1e300, *TEXTS, *BYTES))


def damaged(old: str | bytes, draw: random.Random) -> str | bytes:
    """Damage a text or bytes: a JSON value inside, one place, or the end."""
    text = old if isinstance(old, str) else old.decode("utf-8", "replace")
    if draw.random() < 0.6 and text[:1] in "{[":
        head, rest = text.split("\n", 1) if "\n" in text else (text, None)
        try:
            document = json.loads(head)
        except ValueError:
            pass
        else:
            changed = json.dumps(change(document, draw))
            joined = changed if rest is None else f"{changed}\n{rest}"
            return joined if isinstance(old, str) else joined.encode()
    place = draw.randrange(len(old))
    if isinstance(old, str):
        new = draw.choice(("", "\0", "9", '"', "\U0001f600", "}"))
        return old[:place] + new + old[place + draw.choice((0, 1, 40, len(old))) :]
    piece = draw.choice((b"", b"\0", b"9", b"\xff", b"}"))
    return old[:place] + piece + old[place + draw.choice((0, 1, 40, len(old))) :]


def change(document: Any, draw: random.Random) -> Any:
    """Change one value somewhere in a JSON document, or drop or add a key."""
    if isinstance(document, dict) and document and draw.random() < 0.9:
        key = draw.choice(sorted(document))
        changed = dict(document)
        if draw.random() < 0.15:
            del changed[key]
        else:
            changed[key] = change(document[key], draw)
        return changed
    if isinstance(document, list) and document and draw.random() < 0.8:
        place = draw.randrange(len(document))
        return [*document[:place], change(document[place], draw), *document[place + 1 :]]
    if isinstance(document, int) and draw.random() < 0.4:
        return document + draw.choice((-1, 1, 1000))
    return draw.choice(
        (None, True, 0, -1, 1 << 40, 1 << 70, 10**17, 1.5, 1e300, "", "x", "a/b", "\0", [], [[]],
         [1], [[1, 2]], [["a", 2]], {}, {"x": 1}, {"type": []}, "running", "pending", "completed")
    )  # fmt: skip


def reseal_frame(folder: Path, draw: random.Random) -> str:
    """Change the body of one frame of a files log, and give it the checksum that fits."""
    path = folder / "segments" / "0000000001.log"
    data = bytearray(path.read_bytes())
    found = read_header(bytes(data[:HEADER_BYTES]))
    assert found is not None
    header = found[1]
    checksum = checksum_named(header.checksum, str(path))
    places, offset = [], HEADER_BYTES
    while (frame := read_frame_header(bytes(data), offset)) is not None:
        places.append((offset, frame))
        offset += frame.size
    offset, frame = draw.choice(places)
    body = bytearray(data[offset + FRAME_BYTES : offset + frame.size])
    what = _change_body(body, draw)
    start = offset + FRAME_BYTES
    data[start : start + len(body)] = body
    rest = bytes(data[offset + 8 : offset + frame.size])
    data[offset + 4 : offset + 8] = checksum.over(rest, header.salt).to_bytes(4)
    path.write_bytes(data)
    for cache in (folder / "index").glob("*"):
        cache.unlink()
    return f"frame at {offset}: {what}"


def _change_body(body: bytearray, draw: random.Random) -> str:
    """Change some bytes in place, so that the frame keeps its length."""
    old = bytes(body)
    if draw.random() < 0.4:
        for piece, new in draw.sample(SAME_LENGTH, len(SAME_LENGTH)):
            if piece in body:
                place = body.index(piece)
                body[place : place + len(piece)] = new
                return f"{piece!r} -> {new!r}"
    place = draw.randrange(len(body))
    size = draw.choice((1, 1, 2, 4, 8))
    new = draw.choice((b"\0", b"\xff", b"9", b'"', b"}", draw.randbytes(1))) * size
    body[place : place + size] = new[: len(body) - place]
    return f"{old[place : place + size]!r} -> {new!r} at {place}"


SAME_LENGTH = [
    (b'"tokens":2', b'"tokens":-'), (b'"parts":[{', b'"parts":[[['), (b'"type":"text"', b'"typo":"text"'),
    (b'"role":"user"', b'"role":"usxr"'), (b'"state":"pending"', b'"state":"pensive"'),
    (b"commit_prepared", b"task_completedx"), (b"message_appended", b"session_created_"),
    (b'"takes":[[', b'"takes":[9,'), (b'"archive":1', b'"archive":0'), (b'"fence":', b'"fxnce":'),
    (b'"created_at"', b'"created_xx"'), (b'"message_id"', b'"message_ix"'), (b'"owner":null', b'"owner":7777'),
]  # fmt: skip


def damage_blob(folder: Path, draw: random.Random) -> str:
    """Change a blob of a files log, with a checksum that fits if it draws so."""
    path = draw.choice(sorted((folder / "blobs").glob("*/*.blob")))
    data = path.read_bytes()
    if draw.random() < 0.5:
        place = draw.randrange(len(data))
        path.write_bytes(data[:place] + draw.choice(BYTES) + data[place + 1 :])
        return f"{path.name} at {place}"
    blobs = BlobFiles(LocalFiles(), str(folder / "blobs"))
    key = blobs.key_at(str(path))
    assert key is not None
    found = blobs.get(key)
    assert found is not None
    new = damaged(found.data, draw)
    blobs.put(key, new if isinstance(new, bytes) else new.encode(), found.revision)
    return f"blob {key}"
