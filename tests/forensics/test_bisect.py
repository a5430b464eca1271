"""Bisect: the first event after which something holds, by expression, callable or name."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import eventlog
from eventlog import Finalizer, Message, Worker
from eventlog.chain import chained_record
from eventlog.errors import InvalidArgument
from eventlog.forensics.expression import LENGTH, STEPS, compile_expression
from eventlog.forensics.predicates import PREDICATES
from eventlog.identifiers import draw_id
from eventlog.records import Append
from tests.shares import examples

if TYPE_CHECKING:
    from eventlog import Log, Session
    from eventlog.testing.clock import FakeClock


@pytest.mark.parametrize(
    ("expression", "version"),
    [
        ("meta.message_count > 3", 6),
        ('tail["m-2"].parts["call-1"].tool_status == "completed"', 4),
        ('archives["archive_001"].state == "completed"', 11),
        ('count(tail["*"].role, "user") == 2', 6),
        ('len(tail) == 1 and status == "open" and meta.commit_count >= 1', 7),
        ('any(tail["*"].parts["text"].text) and not overview', 2),
        ('"attic" in tail["m-2"].parts["call-1"].tool_output', 4),
        ("4 <= meta.message_count < 5", 6),
        ("meta.total_message_count / meta.message_count == 4", 7),
        ("version % 5 == 0", 5),
        ("meta.message_count == 99", None),
        ('max(archives["*"].attempts) == 1', 9),
        ("-meta.message_count < -3 or False", 6),
        ("overview != ''", 11),
        ("len(findings) > 0", None),
    ],
)
def test_an_expression_finds_the_first_event(
    session: Session, expression: str, version: int | None
) -> None:
    found = session.bisect(expression)
    assert (None if found is None else found.version) == version
    compiled = compile_expression(expression)
    held = [compiled.holds(session.at(version=v).values()) for v in range(1, session.version + 1)]
    assert (held.index(True) + 1 if True in held else None) == version
    if found is not None:
        assert (found.before.version, found.after.version) == (found.version - 1, found.version)
        assert compiled.holds(found.after.values())


def test_a_callable_sees_moments(session: Session) -> None:
    found = session.bisect(lambda moment: len(moment.tail()) < moment.meta.total_message_count)
    assert found is not None
    assert found.version == 7
    kept: list[Any] = []
    session.bisect(kept.append)
    assert [moment.version for moment in kept] == list(range(1, 13))
    # A moment that was kept goes on being that moment.
    assert [moment.values()["version"] for moment in kept] == list(range(1, 13))
    with pytest.raises(InvalidArgument, match="is not a predicate"):
        session.bisect(7)  # type: ignore[arg-type]


def test_a_sound_session_breaks_no_promise(session: Session) -> None:
    for name in ("P1", "P2", "P3", "P4", "P5", "P6", "P7", "doubled_ids", "orphans", "first_error"):
        assert session.bisect(name) is None, name
    jump = session.bisect("token_jump")
    assert jump is not None
    assert jump.version == 12
    assert "tokens" in jump.reason


def test_errors_and_retries_are_found(log: Log, session: Session, clock: FakeClock) -> None:
    session.commit()
    failing = Finalizer(summarizer=lambda request: 1 / 0)  # type: ignore[arg-type,return-value]
    Worker(log, failing).run_once()
    clock.advance(60)
    Worker(log, Finalizer()).run_once()
    error, retry = session.bisect("first_error"), session.bisect("first_retry")
    assert error is not None
    assert "ZeroDivisionError" in error.reason
    assert retry is not None
    assert retry.version > error.version
    assert "attempt 2" in retry.reason
    for name in ("P1", "P2", "P3", "P4", "P5", "P6", "P7"):
        assert session.bisect(name) is None, name


def test_a_turn_that_is_begun_again_doubles_no_message_and_is_a_retry(
    log: Log, clock: FakeClock
) -> None:
    """What an attempt before had added was withdrawn: it may be added again under its ids."""
    session = log.session("turns", create=True)
    for attempt in range(3):
        with suppress(ConnectionError), session.turn("job", resume=True):
            session.append(Message.user("hello", id="m-1"))
            if attempt < 2:
                raise ConnectionError("the model went away")
        clock.advance(61)
    retry, error = session.bisect("first_retry"), session.bisect("first_error")
    assert session.bisect("doubled_ids") is None
    assert retry is not None
    assert (retry.event.type, retry.reason) == ("turn_begun", "attempt 2 of turn job")
    assert error is not None
    assert error.event.type == "turn_failed"


def test_an_id_that_is_doubled_after_a_withdrawal_of_others_is_found(session: Session) -> None:
    withdrawn = {"ranges": [[2, 2]], "count": 1, "tokens": 1}
    events = [CREATED, said("a"), said("b"), ("messages_withdrawn", withdrawn), said("a")]
    assert forged(events).bisect("doubled_ids") is None
    found = forged([*events, said("b")]).bisect("doubled_ids")
    assert found is not None
    assert (found.version, found.reason) == (6, "message b is already at version 3")


def test_a_call_of_a_model_that_is_tried_again_is_a_retry() -> None:
    run = {"task_id": "00000000-0000-7000-8000-000000000001", "attempt": 1, "call": "answer"}
    failed = {**run, "number": 1, "outcome": "failed", "error": "overloaded", "delay_seconds": 1.0}
    done = {**run, "number": 2, "outcome": "succeeded"}
    session = forged([CREATED, ("model_called", failed), ("model_called", done)])
    error, retry = session.bisect("first_error"), session.bisect("first_retry")
    assert error is not None
    assert (error.version, error.reason) == (2, "model_called: overloaded")
    assert retry is not None
    assert (retry.version, retry.reason) == (3, "try 2 of the call answer")


def forged(events: list[tuple[str, dict[str, Any]]]) -> Session:
    """Write a history that no command decides to write."""
    log = eventlog.open("memory:")
    previous, records = bytes(32), []
    for version, (type_, data) in enumerate(events, 1):
        body = eventlog_json(data)
        schema = 2 if type_ == "message_appended" else 1
        record = chained_record(
            previous, "s", version, draw_id(), type_, schema, version * 10**6, body, b"{}"
        )
        previous = record.hash
        records.append(record)
    log.store.append([Append("s", 0, tuple(records))])
    return log.session("s")


def eventlog_json(data: dict[str, Any]) -> bytes:
    import json

    return json.dumps(data).encode()


def said(id_: str, **part: Any) -> tuple[str, dict[str, Any]]:
    shown = part or {"type": "text", "text": "hi"}
    message = {"id": id_, "role": "user", "parts": [shown], "created_at": "2026-01-01T00:00:00Z"}
    return "message_appended", {"message": message, "tokens": 1}


def committed(
    archive: int, takes: Any, retains: Any = (), **more: Any
) -> tuple[str, dict[str, Any]]:
    fields = {
        "archive": archive,
        "task_id": f"t-{archive}",
        "takes": takes,
        "retains": list(retains),
        "message_count": 1,
        "retained_count": 0,
        "tokens": 1,
        "keep_recent": 0,
        "usage_after": 0,
        "usage_until": 0,
        "usage_count": 0,
    }
    return "commit_prepared", {**fields, **more}


def of_task(type_: str, number: int, **more: Any) -> tuple[str, dict[str, Any]]:
    return type_, {"task_id": f"t-{number}", **more}


def claimed(archive: int, attempt: int = 1, lease_until: int = 10**9) -> tuple[str, dict[str, Any]]:
    owner = {"host": "h", "pid": 1, "started": "1", "boot": "b"}
    return of_task(
        "task_claimed", archive, worker="w", attempt=attempt, lease_until=lease_until, owner=owner
    )


CREATED: tuple[str, dict[str, Any]] = ("session_created", {})


BEGUN = [CREATED, said("a"), committed(1, [[2, 2]]), of_task("commit_published", 1)]


@pytest.mark.parametrize(
    ("name", "events", "version"),
    [
        ("P5", [*BEGUN, claimed(1), of_task("lease_renewed", 1, fence=4, lease_until=1)], 6),
        ("P2", [CREATED, said("a"), committed(1, [[2, 2]]), said("a")], 4),
        (
            "P6",
            [
                CREATED,
                said("a"),
                committed(1, [[2, 2]]),
                of_task("commit_published", 1),
                claimed(1, 5),
            ],
            5,
        ),
        ("P7", [CREATED, said("a"), CREATED], 3),
        ("P7", [CREATED, said("a"), committed(1, [[2, 2]]), claimed(1)], 4),
        ("doubled_ids", [CREATED, said("a"), said("b"), said("a")], 4),
        (
            "orphans",
            [
                CREATED,
                (
                    "tool_result_recorded",
                    {
                        "message_id": "a",
                        "tool_id": "c",
                        "output": "",
                        "status": "completed",
                        "tokens": 0,
                    },
                ),
            ],
            2,
        ),
        ("orphans", [CREATED, said("a", type="tool_result", tool_use_id="c", content="x")], 2),
        ("first_error", [CREATED, said("a", type="tool", tool_id="c", tool_status="error")], 2),
    ],
)
def test_a_predicate_finds_what_no_command_writes(
    name: str, events: list[tuple[str, dict[str, Any]]], version: int
) -> None:
    found = forged(events).bisect(name)
    assert found is not None
    assert found.version == version
    assert found.reason


def test_an_archive_that_overtakes_another_is_found() -> None:
    """P5: the fold takes what is in the history, and the predicate says what is wrong with it."""
    done = of_task(
        "archive_finalized",
        2,
        archive=2,
        overview="o",
        abstract="a",
        covers=[2],
        usage={},
        session_usage={},
        follow_ups=[],
        fence=7,
    )
    events = [CREATED, said("a"), committed(1, [[2, 2]]), said("b"), committed(2, [[4, 4]])]
    events += [of_task("commit_published", 2), claimed(2), done]
    found = forged(events).bisect("P5")
    assert found is not None
    assert found.version == 8
    assert "archive_001" in found.reason


def test_every_predicate_is_documented() -> None:
    assert set(PREDICATES) == {
        *("P1", "P2", "P3", "P4", "P5", "P6", "P7"),
        *("token_jump", "doubled_ids", "orphans", "first_error", "first_retry"),
    }


# ---- the language -----------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "version": 3,
    "status": "open",
    "meta": {"message_count": 2, "pending_tokens": 9_000, "owner": None},
    "tail": {
        "m-1": {"id": "m-1", "role": "user", "parts": [{"type": "text", "text": "a" * 9_999}]}
    },
    "archives": {},
    "tasks": {},
    "overview": "x" * 100_000,
    "findings": [],
}


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "().__class__",
        "meta.__class__",
        "tail.keys()",
        "tail['m-1'].role.upper()",
        "open('x')",
        "len.__self__",
        "len(tail, tail)",
        "len(*tail)",
        "sum(x=1)",
        "[each for each in tail]",
        "(lambda: 1)()",
        "f'{meta}'",
        "meta if tail else 1",
        "tail[0]",
        "tail[1:2]",
        "(1, 2)",
        "[1]",
        "{}",
        "x := 1",
        "1 << 3",
        "2 ** 9",
        "~1",
        "9223372036854775808",
        "1e999",
        "b'x'",
        "1j",
        "...",
        "globals",
        "meta.no_such_field",
        "",
        "1 +",
        "not " * 200 + "1",
        "(" * 400 + "1" + ")" * 400,
        "-" * 900 + "1",
        "a" * (LENGTH + 1),
        "\0",
        "yield",
        "await x",
        "print",
        "'a' * 10",
        "tail < 3",
        "meta < tail",
    ],
)
def test_nothing_but_the_language_is_understood(text: str) -> None:
    with pytest.raises(InvalidArgument):
        compile_expression(text).value(VALUES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("meta.owner < 3", False),
        ("meta.pending_tokens / 0", None),
        ("meta.pending_tokens / 0 > 1", False),
        ("archives['archive_001'].state", None),
        ("archives['archive_001'].state == None", True),
        ("sum(archives['*'].tokens)", 0),
        ("min(archives['*'].tokens)", None),
        ("min(tail['*'].role)", "user"),
        ("len(tail['*'].role)", 1),
        ("len(status)", 4),
        ("'m-1' in tail", True),
        ("'user' in tail['*'].role", True),
        ("1 is 1", True),
        ("meta.pending_tokens.__class__", None),
        ("7 // 2 + 7 % 2 - 1.5", 2.5),
        ("tail['m-1'].parts['text'].type", "text"),
    ],
)
def test_the_language_says_what_it_says(text: str, value: Any) -> None:
    assert compile_expression(text).value(VALUES) == value


leaves = st.sampled_from(
    [
        *(
            "meta",
            "tail",
            "meta.pending_tokens",
            "tail['*']",
            "tail['*'].role",
            "overview",
            "version",
        ),
        *(
            "tail['m-1'].parts['text'].text",
            "None",
            "True",
            "'user'",
            "3",
            "0",
            "1.5",
            "x",
            "findings",
        ),
        *("__builtins__", "meta.__class__", "tail.__len__", "9e15", "'%s' % meta", "status"),
    ]
)


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.sampled_from(
        [
            "+",
            "-",
            "*",
            "/",
            "//",
            "%",
            "**",
            "<",
            "==",
            "in",
            "not in",
            "and",
            "or",
            ">=",
            "@",
            "is",
        ]
    )
    calls = st.sampled_from(["len", "any", "all", "min", "max", "sum", "count", "eval", "type"])
    return (
        st.builds(lambda left, op, right: f"({left} {op} {right})", inner, binary, inner)
        | st.builds(lambda name, given: f"{name}({given})", calls, inner)
        | st.builds(lambda first, second: f"count({first}, {second})", inner, inner)
        | st.builds(lambda value: f"(not {value})", inner)
        | st.builds(lambda value: f"(-{value})", inner)
        | st.builds(
            lambda value, name: f"{value}.{name}", inner, st.sampled_from(["role", "__dict__"])
        )
        | st.builds(lambda value: f"{value}['*']", inner)
    )


PLAIN = (type(None), bool, int, float, str, dict, list, tuple)


@examples(100, 16_000)
@given(st.recursive(leaves, nested, max_leaves=25) | st.text(max_size=80))
@example("overview in overview")
@example("count(tail['*'], tail['*'])")
def test_nothing_but_values_of_the_moment_can_be_reached(text: str) -> None:
    """Whatever is written: a plain value or `InvalidArgument`, within the budget, nothing changed."""
    before = repr(VALUES)
    began = time.perf_counter()
    try:
        value = compile_expression(text).value(VALUES)
    except InvalidArgument:
        pass
    else:
        assert type(value) in PLAIN
        if isinstance(value, (int, float)):
            assert abs(value) <= 1 << 63
    assert repr(VALUES) == before
    assert time.perf_counter() - began < 5  # Far above what the steps take on any machine.


def test_an_expression_ends_after_its_steps() -> None:
    """The budget counts what is visited, so no values are too many."""
    many = {**VALUES, "tail": {str(n): {"id": str(n), "role": "user"} for n in range(STEPS)}}
    for text in ("count(tail['*'].role, 'user')", "any(tail['*'].role == tail['*'].role)"):
        with pytest.raises(InvalidArgument, match="steps"):
            compile_expression(text).value(many)
    text = " or ".join(["'y' in overview"] * 50)
    with pytest.raises(InvalidArgument, match="steps"):
        compile_expression(text).value({**VALUES, "overview": "x" * 1_000_000})


def test_a_message_with_an_odd_shape_is_only_a_value(session: Session) -> None:
    session.append(
        Message.model_validate(
            {"id": "m-7", "role": "user", "parts": [{"type": "odd", "n": [1, {"a": 2}]}]}
        )
    )
    found = session.bisect('tail["m-7"].parts["odd"].n["*"] == None')
    assert found is None or found.version
