"""Every part of a message counts tokens and is shown, in every format (M2, M11, X4)."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import AutoCommitPolicy, Log, Message, Session, Worker
from eventlog.cli.conversation import conversation
from eventlog.session.messages import message_data
from eventlog.session.parts import (
    estimate_media,
    message_text,
    output_of,
    pair_up,
    read_part,
    readings_of,
    weigh,
)
from eventlog.session.tokens import estimate_tokens
from tests.shares import examples

PICTURE = "iVBORw0KGgo" * 40
LOG = "The linker could not find the symbol _start in module boot. " * 6
Turn = dict[str, Any]


# ---- one conversation in five shapes ----------------------------------------------------------


def own_shape(id_: str, question: str, name: str, given: Any, output: str) -> list[Turn]:
    call = {"type": "tool", "tool_id": id_, "tool_name": name, "tool_input": given}
    result = {"type": "tool", "tool_id": id_, "tool_output": output, "tool_status": "completed"}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
    return [
        {"role": "user", "parts": [{"type": "text", "text": question}, image]},
        {"role": "assistant", "parts": [{"type": "text", "text": "Looking."}, call]},
        {"role": "tool", "parts": [result]},
        {"role": "assistant", "parts": [{"type": "text", "text": f"It was {output}"}]},
    ]


def anthropic_shape(id_: str, question: str, name: str, given: Any, output: str) -> list[Turn]:
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    call = {"type": "tool_use", "id": id_, "name": name, "input": given}
    content = [{"type": "text", "text": output}]
    result = {"type": "tool_result", "tool_use_id": id_, "content": content}
    return [
        {
            "role": "user",
            "parts": [{"type": "text", "text": question}, {"type": "image", "source": source}],
        },
        {"role": "assistant", "parts": [{"type": "text", "text": "Looking."}, call]},
        {"role": "user", "parts": [result]},
        {"role": "assistant", "parts": [{"type": "text", "text": f"It was {output}"}]},
    ]


def responses_shape(id_: str, question: str, name: str, given: Any, output: str) -> list[Turn]:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"}
    arguments = json.dumps(given, separators=(",", ":"))
    call = {"type": "function_call", "call_id": id_, "name": name, "arguments": arguments}
    result = {"type": "function_call_output", "call_id": id_, "output": output}
    return [
        {"role": "user", "parts": [{"type": "input_text", "text": question}, image]},
        {"role": "assistant", "parts": [{"type": "output_text", "text": "Looking."}, call]},
        {"role": "tool", "parts": [result]},
        {"role": "assistant", "parts": [{"type": "output_text", "text": f"It was {output}"}]},
    ]


def sdk_shape(id_: str, question: str, name: str, given: Any, output: str) -> list[Turn]:
    image = {"type": "file", "mediaType": "image/png", "data": PICTURE}
    call = {"type": "tool-call", "toolCallId": id_, "toolName": name, "input": given}
    value = {"type": "text", "value": output}
    result = {"type": "tool-result", "toolCallId": id_, "toolName": name, "output": value}
    return [
        {"role": "user", "parts": [{"type": "text", "text": question}, image]},
        {"role": "assistant", "parts": [{"type": "text", "text": "Looking."}, call]},
        {"role": "tool", "parts": [result]},
        {"role": "assistant", "parts": [{"type": "text", "text": f"It was {output}"}]},
    ]


def gemini_shape(id_: str, question: str, name: str, given: Any, output: str) -> list[Turn]:
    def part(**fields: Any) -> Turn:
        return {"type": next(iter(fields)), **fields}

    inline = {"mimeType": "image/png", "data": PICTURE}
    call = {"id": id_, "name": name, "args": given}
    result = {"id": id_, "name": name, "response": {"output": output}}
    return [
        {"role": "user", "parts": [part(text=question), part(inlineData=inline)]},
        {"role": "assistant", "parts": [part(text="Looking."), part(functionCall=call)]},
        {"role": "user", "parts": [part(functionResponse=result)]},
        {"role": "assistant", "parts": [part(text=f"It was {output}")]},
    ]


SHAPES = [own_shape, anthropic_shape, responses_shape, sdk_shape, gemini_shape]
ROUNDS = 6


def in_shape(shape: Callable[..., list[Turn]]) -> list[Message]:
    turns = [
        turn
        for number in range(ROUNDS)
        for turn in shape(
            f"call_{number}",
            f"Why did build {number} of the nightly branch fail?",
            "read_log",
            {"path": f"logs/build-{number}.log"},
            f"{LOG}Build {number} stopped.",
        )
    ]
    return [Message(id=f"m{place}", **turn) for place, turn in enumerate(turns)]


@pytest.fixture
def log() -> Iterator[Log]:
    with eventlog.open("memory:") as log:
        yield log


def said(log: Log, messages: list[Message], **options: Any) -> Session:
    session = log.session("s", create=True, **options)
    for message in messages:
        session.append(message)
    return session


def whole(messages: tuple[Message, ...]) -> bool:
    """Return whether each result has its call before it, and each call its result."""
    pairs = pair_up([message_data(message) for message in messages])
    return not pairs.orphans and not pairs.open


def test_one_conversation_weighs_the_same_in_every_shape(log: Log) -> None:
    """M2: within a tenth; the images weigh their estimate in each."""
    weights = []
    for shape in SHAPES:
        with eventlog.open("memory:") as each:
            weights.append(said(each, in_shape(shape)).meta.pending_tokens)

    assert min(weights) > ROUNDS * 1_000
    without_images = [weight - ROUNDS * 1_000 for weight in weights]
    assert max(without_images) <= 1.1 * min(without_images), weights


def test_a_conversation_is_committed_at_the_same_messages_in_every_shape() -> None:
    policy = AutoCommitPolicy(pending_tokens=2_000, keep_recent=3)
    commits: list[list[int]] = []
    for shape in SHAPES:
        with eventlog.open("memory:") as log:
            session = said(log, in_shape(shape), auto_commit=policy)
            commits.append([archive.message_count for archive in session.archives()])

    assert len(commits[0]) > 1
    assert commits == [commits[0]] * len(SHAPES)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_commit_and_no_view_parts_a_call_from_its_result(
    shape: Callable[..., list[Turn]],
) -> None:
    """C3: at every number of messages to keep."""
    messages = in_shape(shape)
    for keep in range(len(messages) + 1):
        with eventlog.open("memory:") as log:
            session = said(log, messages)
            assert whole(session.tail(last=keep))
            assert whole(session.truncated(recent=keep))
            assert whole(session.context_for_search("?", max_messages=keep).current_messages)
            session.commit(keep_recent=keep)
            assert whole(session.tail()), keep
            assert keep <= len(session.tail()) <= keep + 1
            assert session.history() == tuple(session.history())
            assert whole(session.history()[: len(messages) - len(session.tail())])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("budget", [0, 1_200, 1_500, 2_500, 4_000, 128_000])
def test_a_context_has_whole_pairs_within_its_budget(
    shape: Callable[..., list[Turn]], budget: int, log: Log
) -> None:
    """X4."""
    session = said(log, in_shape(shape))

    context = session.context(budget)

    assert whole(context.messages)
    assert context.messages[0].id == "m0"
    assert context.estimated_tokens <= budget or len(context.messages) == 5


@pytest.mark.parametrize("shape", SHAPES)
def test_an_overview_has_the_same_facts_in_every_shape(
    shape: Callable[..., list[Turn]], log: Log
) -> None:
    session = said(log, in_shape(shape))
    session.commit()
    Worker(log).run_once()

    overview = session.context().latest_archive_overview

    assert "**Looked up:** `read_log`(path=logs/build-5.log) →" in overview
    assert "Why did build 0 of the nightly branch fail?" in overview
    assert "Image `image/png`" in overview
    assert f"{ROUNDS} tool calls" in overview
    assert "without result" not in overview.lower()


# ---- single parts -----------------------------------------------------------------------------

PARTS: list[dict[str, Any]] = [
    {"type": "input_text", "text": "needle"},
    {"type": "output_text", "text": "needle", "annotations": []},
    {"type": "refusal", "refusal": "needle"},
    {"type": "thinking", "thinking": "needle", "signature": "s"},
    {"type": "redacted_thinking", "data": "needle"},
    {"type": "reasoning", "text": "needle"},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "needle"}]},
    {"type": "tool_use", "id": "t", "name": "needle", "input": {"a": 1}},
    {"type": "tool_result", "tool_use_id": "t", "content": "needle"},
    {"type": "web_search_tool_result", "tool_use_id": "t", "content": [{"title": "needle"}]},
    {"type": "function_call", "call_id": "t", "name": "f", "arguments": '{"a": "needle"}'},
    {"type": "function_call_output", "call_id": "t", "output": "needle"},
    {"type": "custom_tool_call", "call_id": "t", "name": "f", "input": "needle"},
    {"type": "tool-call", "toolCallId": "t", "toolName": "needle", "input": {}},
    {"type": "tool-result", "toolCallId": "t", "output": {"type": "json", "value": ["needle"]}},
    {"type": "tool-needle", "toolCallId": "t", "state": "input-available", "input": {}},
    {
        "type": "dynamic-tool",
        "toolName": "f",
        "toolCallId": "t",
        "state": "output-error",
        "errorText": "needle",
    },
    {"type": "functionCall", "functionCall": {"name": "needle", "args": {}}},
    {"type": "functionResponse", "functionResponse": {"name": "f", "response": {"x": "needle"}}},
    {"type": "audio", "audio": {"transcript": "needle", "id": "a"}},
    {"type": "document", "source": {"type": "text", "data": "needle"}},
    {"type": "file", "file": {"filename": "needle.pdf", "file_data": "data:application/pdf;,x"}},
    {"type": "image", "source": {"type": "url", "url": "https://needle.example"}},
    {"type": "chat_part", "chat_part": {"functionCall": {"name": "needle", "args": {}}}},
    {"type": "never_heard_of", "deep": {"inside": ["needle"]}},
    {"type": "tool_use", "broken": "needle"},
    {"type": "tool_result", "content": 7, "is_error": "needle"},
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: str(part["type"]))
def test_a_part_of_any_type_weighs_and_is_shown(part: dict[str, Any], log: Log) -> None:
    session = said(log, [Message.model_validate({"role": "assistant", "parts": [part]})])

    assert session.meta.pending_tokens > 0
    stored = message_data(session.tail()[0])
    shown = " ".join(
        str(getattr(line, "renderable", line)) for line in conversation([dict(stored)])
    )
    assert "needle" in shown


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"reasoning_content": "pondered"}, "pondered"),
        ({"function_call": {"name": "f", "arguments": '{"a": "pondered"}'}}, 'f{"a": "pondered"}'),
        ({"audio": {"id": "a", "transcript": "pondered"}}, "pondered"),
        ({"refusal": "pondered"}, "pondered"),
    ],
)
def test_fields_of_a_message_that_reach_a_model_weigh(fields: dict[str, Any], text: str) -> None:
    assert message_text(message_data(Message.assistant(**fields))) == text


def test_media_weigh_a_stated_estimate_that_can_be_replaced() -> None:
    class Counter:
        def __call__(self, text: str) -> int:
            return len(text)

        def media(self, kind: str, size: int | None) -> int:
            return {"image": 7}.get(kind, 0)

    url = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    data = message_data(Message.model_validate({"role": "user", "parts": [url]}))

    assert weigh(estimate_tokens, data) == estimate_media("image", None) == 1_000
    assert weigh(Counter(), data) == 7
    assert estimate_media("audio", 50_000) == 100
    with eventlog.open("memory:", estimate_tokens=Counter()) as log:
        session = log.session("s", create=True)
        session.append({"role": "user", "parts": [url]})
        assert session.meta.pending_tokens == 7


def test_a_large_result_of_a_foreign_shape_is_kept_beside_its_message(log: Log) -> None:
    """M6: the preview keeps the shape, and the output is read back and hydrated to the letter."""
    content = [{"type": "text", "text": "long. " * 10_000}, {"type": "text", "text": "end"}]
    parts = [{"type": "tool_result", "tool_use_id": "t", "content": content}]
    session = said(
        log,
        [
            Message.model_validate(
                {
                    "role": "assistant",
                    "parts": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}],
                }
            ),
            Message.model_validate({"id": "r", "role": "user", "parts": parts}),
        ],
    )

    stored = message_data(session.tail()[1])["parts"][0]

    assert session.meta.pending_tokens < 1_000
    assert 1_900 < len(stored["content"]) <= 2_000
    assert session.tool_output("r", "t", offset=60_001).text == "end"
    assert [part.model_dump() for part in session.history(hydrate=True)[1].parts] == parts
    assert session.append(
        Message.model_validate(
            {"id": "r", "role": "user", "parts": parts, "created_at": session.tail()[1].created_at}
        )
    )
    assert session.version == 3


def test_a_large_part_of_an_unknown_type_is_kept_too(log: Log) -> None:
    part = {"type": "acme.dump", "rows": ["row"] * 10_000, "note": "n"}
    session = said(log, [Message.model_validate({"role": "assistant", "parts": [part]})])

    assert session.meta.pending_tokens < 1_000
    assert session.history(hydrate=True)[0].parts[0].model_dump() == part


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text("ab \u4f1a{", max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner),
    max_leaves=8,
)
_names = st.sampled_from(
    [str(part["type"]) for part in PARTS]
    + ["tool-x", "x_tool_result", "x_call_output", "mystery", "image_url2", "message"]
)
_fields = st.dictionaries(
    st.sampled_from(
        [
            "text", "content", "id", "tool_use_id", "call_id", "name", "input", "arguments", "output",
            "toolCallId", "state", "source", "data", "functionCall", "summary", "tool_status",
        ]
    ),
    _values,
    max_size=5,
)  # fmt: skip
_parts = st.builds(lambda type_, fields: {**fields, "type": type_}, _names, _fields)


@examples(40, 4_000)
@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant", "tool"]), st.lists(_parts, max_size=3)),
        max_size=8,
    ),
    st.integers(0, 400),
)
def test_a_budget_is_hard_for_parts_of_every_type(
    turns: list[tuple[str, list[dict[str, Any]]]], budget: int
) -> None:
    """X4: reading never raises, nothing is weightless, and no result is without its call."""
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        for role, parts in turns:
            session.append(Message.model_validate({"role": role, "parts": parts}))
        context = session.context(budget)
        tail = [message_data(message) for message in session.tail()]

    weights = sum(weigh(estimate_tokens, message_data(each)) for each in context.messages)
    assert weights <= context.estimated_tokens
    if context.estimated_tokens > budget:
        asked = [each for each in context.messages if each.role == "user"]
        kept = pair_up([message_data(each) for each in context.messages])
        begins = [
            place
            for place, each in enumerate(context.messages)
            if each in asked and not kept.glued[place]
        ]
        assert len(begins) <= 2
    assert not pair_up([message_data(each) for each in context.messages]).orphans
    for data in tail:
        for part in data["parts"]:
            found = read_part(part)
            assert found.text or found.media or _says_nothing(part), part


def _says_nothing(part: dict[str, Any]) -> bool:
    """Return whether a part of a known type has only empty texts."""
    readings = readings_of({"parts": [part], "id": "", "role": "", "created_at": ""})
    return all(not found.is_unknown for found in readings)


# ---- one place --------------------------------------------------------------------------------

PACKAGE = Path(eventlog.__file__).parent
FREE = (
    *("session/parts/", "session/chat/", "exchange/", "testing/", "http/sent_messages.py"),
    *("session/messages.py", "session/streams/content.py"),
)
"""Where the type of a part may be tested: the parts themselves, their models, foreign formats
and what is checked against the library from outside."""


def _asks_for_a_type(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that compare, match or look up ``part["type"]`` or ``part.get("type")``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is_type(node.slice) and _is_part(node.value):
            yield node.lineno
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and node.args
            and _is_type(node.args[0])
            and _is_part(node.func.value)
        ):
            yield node.lineno
        if isinstance(node, ast.MatchMapping) and any(map(_is_type, node.keys)):
            yield node.lineno
        if isinstance(node, ast.Name) and node.id in _MODELS:
            yield node.lineno


_MODELS = {"TextPart", "ContextPart", "ImagePart", "OtherPart"}


def _is_type(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == "type"


def _is_part(node: ast.expr) -> bool:
    return "part" in ast.unparse(node)


def test_no_other_module_asks_for_the_type_of_a_part() -> None:
    """M2: a shape that is new is taught in one place."""
    asking = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not str(path.relative_to(PACKAGE)).startswith(FREE)
        for line in _asks_for_a_type(ast.parse(path.read_text("utf-8")))
    ]
    assert asking == []


@pytest.mark.parametrize(
    "source",
    [
        'part["type"] == "text"',
        'parts[0].get("type") in KNOWN',
        'match part:\n    case {"type": "tool"}:\n        pass',
        "isinstance(part, TextPart)",
    ],
)
def test_a_module_that_asks_for_a_type_is_found(source: str) -> None:
    assert list(_asks_for_a_type(ast.parse(source)))


def test_an_output_has_one_place_in_every_shape() -> None:
    for part in PARTS:
        output = output_of(part)
        found = read_part(part)
        assert (output is not None) == bool(found.slot and _reaches(part, found.slot)), part


def _reaches(part: Any, slot: tuple[str, ...]) -> bool:
    for name in slot:
        part = part.get(name) if isinstance(part, dict) else None
    return part is not None
