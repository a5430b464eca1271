"""The server takes what its description allows, and nothing else: values near the schemas (R9).

Requests are drawn along the schemas, with values at the edges and with fields of other forms in them.
The verdict on each is that of the schemas; no list of examples could name all the places where the
description and the server might differ. `test_described.py` searches more widely, and far more slowly.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote, urlencode

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eventlog
from eventlog import Message
from eventlog.http import ANY, Principal, create_app
from eventlog.http.application import ROUTES
from eventlog.http.openapi import document_of
from eventlog.http.routing import PREFIX, Operation
from eventlog.http.sent_messages import ITEMS
from eventlog.session.chat.items import is_item
from tests.http.contradictions import is_contradiction
from tests.shares import examples

DOCUMENT: Final = json.loads(json.dumps(document_of(ROUTES.operations)))

COMPONENTS: Final = DOCUMENT["components"]

REFUSED: Final = frozenset({400, 413, 415, 422})

TEXTS: Final = (
    *("", "x", "m", "a.b", "true", "0", "\x00", "a\x7f", "a\x85", "ä🙂", "y" * 256, "y" * 513),
    *("0" * 64, "00000000-0000-4000-8000-000000000000", "2026-11-30T12:00:00Z", "text", "tool"),
    *("user", "assistant", "function", "function_call", "reasoning", "tool_use", "input_text"),
)
NUMBERS: Final = (0, 1, 2, 1.0, 0.5, -1, 60, 61, 1_000, 1_001, 10_001, 2**53, 2**53 + 1, 2.0**60)

JUNK: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [*(None, True, False, 0, -1, 1.0, 0.5, "", "x", "\x00", "y" * 600), *([], {}, ["x"], [{}])]
)


def names_in(schema: Any) -> Iterator[str]:
    """Yield the names of the properties in a schema and below."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for inner in schema.values():
            yield from names_in(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from names_in(inner)


NAMES: Final = (
    *sorted({*names_in(COMPONENTS["schemas"])}),
    *("arguments", "chat_block", "chat_call", "chat_type", "input", "output", "tool_use_id"),
)


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Draw values that fit a schema, or nearly so."""
    return st.composite(lambda draw: drawn(draw, schema))()


Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]


def drawn(draw: Draw, schema: Any) -> Any:
    if isinstance(schema, bool) or draw(st.integers(0, 24)) == 24:
        return draw(JUNK)
    if "$ref" in schema:
        return drawn(draw, COMPONENTS["schemas"][schema["$ref"].rpartition("/")[2]])
    for way in ("anyOf", "oneOf"):
        if way in schema:
            rest = {name: value for name, value in schema.items() if name != way}
            return drawn(draw, merged(rest, draw(st.sampled_from(schema[way]))))
    if "const" in schema or "enum" in schema:
        return draw(st.sampled_from(schema.get("enum") or [schema["const"]]))
    kind = schema.get("type", "object" if "properties" in schema else "anything")
    kind = draw(st.sampled_from(kind)) if isinstance(kind, list) else kind
    return DRAWN_BY_TYPE[kind](draw, schema)


def drawn_list(draw: Draw, schema: dict[str, Any]) -> list[Any]:
    return [drawn(draw, schema.get("items", True)) for _ in range(draw(st.integers(0, 2)))]


def drawn_object(draw: Draw, schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        is_there = draw(st.integers(0, 19)) > 0 if name in required else not draw(st.integers(0, 2))
        if is_there and (inner is not False or draw(st.integers(0, 9)) == 0):
            found[name] = drawn(draw, inner)
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=1)):
        found.setdefault(name, draw(JUNK))
    return found


DRAWN_BY_TYPE: Final[dict[str, Callable[[Draw, dict[str, Any]], Any]]] = {
    "anything": lambda draw, _: draw(JUNK),
    "array": drawn_list,
    "boolean": lambda draw, _: draw(st.booleans()),
    "integer": lambda draw, _: draw(st.sampled_from(NUMBERS)),
    "null": lambda *_: None,
    "number": lambda draw, _: draw(st.sampled_from(NUMBERS)),
    "object": drawn_object,
    "string": lambda draw, _: draw(st.sampled_from(TEXTS)),
}


def merged(schema: dict[str, Any], branch: dict[str, Any]) -> dict[str, Any]:
    """Return what both schemas want, as far as drawing goes."""
    both = {**schema, **branch}
    for name, join in (("properties", dict), ("required", list)):
        if name in schema and name in branch:
            both[name] = join([*items(schema[name]), *items(branch[name])])
    return both


def items(found: Any) -> Any:
    return found.items() if isinstance(found, dict) else found


NOTHING: Final = object()
"""The body of a request that has none."""


class Drawn(NamedTuple):
    """A request, and whether it is as the description wants it."""

    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    is_sound: bool


def validator(schema: Any) -> Any:
    return jsonschema.Draft202012Validator({**schema, "components": COMPONENTS})


WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)


def text_fits(wanted: Any, text: str) -> bool:
    """Return whether a text in the query or the header is what a schema wants."""
    read: list[Any] = [text]
    if WHOLE.fullmatch(text):
        read.append(int(text))
    if text in ("true", "false"):
        read.append(text == "true")
    return any(map(wanted.is_valid, read))


def requests(operation: Operation) -> st.SearchStrategy[Drawn]:
    described = DOCUMENT["paths"][f"{PREFIX}{operation.path}"][operation.method.lower()]
    parameters = [it for it in described["parameters"] if it["in"] != "path"]
    schema = described.get("requestBody", {}).get("content", {}).get("application/json", {})
    texts = st.sampled_from([*TEXTS, "1", "2", '"2"', "-1", "1000", "1001", "false", '"a b"'])
    in_header = texts.filter(str.isascii)  # Others would come as other texts.
    wanted = {it["name"]: validator(it["schema"]) for it in parameters}
    wanted_body = validator(schema["schema"]) if schema else None

    @st.composite
    def draw_request(draw: Draw) -> Drawn:
        said: dict[str, dict[str, str]] = {"query": {}, "header": {}}
        is_sound = True
        for parameter in parameters:
            if parameter["required"] or draw(st.integers(0, 3)) == 0:
                name, place = parameter["name"], parameter["in"]
                text = said[place][name] = draw(in_header if place == "header" else texts)
                is_sound &= text_fits(wanted[name], text)
        body = NOTHING
        if wanted_body is not None:
            body = draw(values(schema["schema"]))
            is_sound &= wanted_body.is_valid(body)
        return Drawn(said["query"], said["header"], body, is_sound)

    return draw_request()


class Server:
    """The app of a log in which each operation has a session of its own."""

    def __init__(self, log: eventlog.Log) -> None:
        self._app = create_app(log, authorize=lambda _: Principal(ANY), hosts=("*",))
        self._runner = asyncio.Runner()
        for operation in ROUTES.operations:
            session = log.session(operation.name, create=True)
            session.append(Message.user("hello", id="m"))
            session.begin_turn("t").record_step("ask", {"answer": 42})

    def close(self) -> None:
        self._runner.close()

    def answer(self, operation: Operation, drawn: Drawn) -> tuple[int, Any]:
        return self._runner.run(self._answer(operation, drawn))

    async def _answer(self, operation: Operation, drawn: Drawn) -> tuple[int, Any]:
        content = b"" if drawn.body is NOTHING else json.dumps(drawn.body).encode()
        path = operation.path
        for name, value in paths_of(operation).items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        headers = {"host": "localhost", "content-type": "application/json", **drawn.headers}
        scope = {
            "type": "http",
            "method": operation.method,
            "path": path,
            "raw_path": f"{PREFIX}{path}".encode(),
            "query_string": urlencode(drawn.query).encode(),
            "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": content}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        answer = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(answer or b"null")


def paths_of(operation: Operation) -> dict[str, str]:
    there = {"session_id": operation.name, "message_id": "m", "turn_id": "t", "step": "ask"}
    return {name: there.get(name, "x") for _, name in operation.parameters}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with eventlog.open("memory:") as log:
        server = Server(log)
        yield server
        server.close()


WAITING: Final = "wait_seconds"


@pytest.mark.parametrize("name", [operation.name for operation in ROUTES.operations])
def test_the_server_refuses_what_the_description_forbids_and_nothing_else(
    name: str, server: Server
) -> None:
    operation = next(each for each in ROUTES.operations if each.name == name)

    @given(drawn=requests(operation))
    @examples(8, nightly=5_000)
    def send(drawn: Drawn) -> None:
        query, headers, body, is_sound = drawn
        if is_sound and is_contradiction(paths_of(operation), headers, body):
            return
        if is_sound and WAITING in query:
            drawn = drawn._replace(query={**query, WAITING: "0"})
        if is_sound and isinstance(body, dict) and WAITING in body:
            drawn = drawn._replace(body={**body, WAITING: 0})
        status, answer = server.answer(operation, drawn)
        if is_sound:
            is_repeated = status == 422 and answer["error"]["code"] == "duplicate_key"
            assert status < 500, answer
            assert is_repeated or status not in REFUSED, answer
        else:
            assert 400 <= status < 500, answer

    send()


def test_the_items_that_are_described_are_those_that_the_library_reads() -> None:
    from eventlog.session.chat import items

    read = {*vars(items)["_CALLS"], *vars(items)["_RESULTS"], *vars(items)["_OTHERS"]}
    assert {*ITEMS} == read
    assert all(is_item({"type": type_}) for type_ in ITEMS)
