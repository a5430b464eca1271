"""Events to bytes and back, old schemas lifted (L10), users' own types (L16)."""

from __future__ import annotations

import json
import types
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eventlog import CorruptLog, Event, InvalidArgument, Metadata, Record, UnknownEventType
from eventlog.codec import decode_event, decode_metadata, encode_event, encode_metadata
from eventlog.events import event_class
from eventlog.session.events import MessageAppended, ProjectAssigned
from eventlog.testing.conformance import make_record
from eventlog.testing.strategies import json_values, texts


def _split_name(data: dict[str, Any]) -> dict[str, Any]:
    first, _, last = data.pop("name").partition(" ")
    return {**data, "first": first, "last": last}


def _add_country(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "country": "unknown"}


class Registered(
    Event, type="acme.registered", schema=3, upcasters={1: _split_name, 2: _add_country}
):
    first: str
    last: str
    country: str


def stored(data: bytes, *, type: str = "acme.registered", schema: int = 3) -> Record:
    return make_record("s", 7, data=data, type=type)._replace(schema=schema)


# ---- schemas ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "data", "country"),
    [
        (1, b'{"name":"Ada Lovelace"}', "unknown"),
        (2, b'{"first":"Ada","last":"Lovelace"}', "unknown"),
        (3, b'{"first":"Ada","last":"Lovelace","country":"UK"}', "UK"),
    ],
)
def test_every_schema_that_ever_was_is_read(schema: int, data: bytes, country: str) -> None:
    event = decode_event(stored(data, schema=schema))

    assert event == Registered(first="Ada", last="Lovelace", country=country)


@pytest.mark.parametrize(
    "upcasters", [None, {}, {1: _split_name}, {2: _add_country}, {1: _split_name, 3: _add_country}]
)
def test_a_chain_of_upcasters_with_a_hole_is_refused_at_definition(upcasters: Any) -> None:
    """L10: not when the first old record is met."""
    with pytest.raises(InvalidArgument, match=r"schema 3, so it needs upcasters from each of"):
        types.new_class(
            "Holed", (Event,), {"type": "acme.holed", "schema": 3, "upcasters": upcasters}
        )
    with pytest.raises(UnknownEventType):
        event_class("acme.holed", 1)


def test_an_upcaster_that_chokes_makes_the_record_corrupt() -> None:
    with pytest.raises(CorruptLog, match=r"not fit schema 2 of acme\.registered"):
        decode_event(stored(b'{"first":"Ada"}', schema=2))


@pytest.mark.parametrize("data", [b"{}", b'{"x":1}', b"[]", b"7"])
def test_an_upcaster_that_misses_a_field_makes_the_record_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptLog, match="version 7"):
        decode_event(stored(data, schema=1))


# ---- what cannot be read ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "schema", "advice"),
    [
        ("acme.unheard_of", 1, "import the module that defines it before reading"),
        ("unheard_of", 1, "written by a newer eventlog; upgrade it"),
        ("acme.registered", 4, "only schemas up to 3 are known here; upgrade"),
        ("message_appended", 3, "only schemas up to 2 are known here; upgrade"),
    ],
)
def test_a_type_that_nothing_reads_says_what_to_do(type_: str, schema: int, advice: str) -> None:
    """P10: what, where, and what to do."""
    with pytest.raises(UnknownEventType) as caught:
        decode_event(stored(b"{}", type=type_, schema=schema))

    assert str(caught.value) == f"event type {type_!r} with schema {schema}: {advice}"
    assert (caught.value.type, caught.value.schema) == (type_, schema)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "EOF"),
        (b"{", "EOF"),
        (b"[]", "object"),
        (b'{"last":"L","country":"UK"}', "first: Field required"),
        (b'{"first":7,"last":"L","country":"UK"}', "first: Input should be a valid string"),
        (b'{"first":"\xff","last":"L","country":"UK"}', "Invalid JSON"),
    ],
)
def test_data_that_is_not_of_its_schema_says_where_and_why(data: bytes, problem: str) -> None:
    with pytest.raises(CorruptLog) as caught:
        decode_event(stored(data))

    text = str(caught.value)
    assert text.startswith(
        "session 's', version 7: the data does not fit schema 3 of acme.registered"
    )
    assert problem in text
    assert text.endswith("run `eventlog verify`")


# ---- what goes through ------------------------------------------------------------------------


@given(st.dictionaries(texts().filter(lambda name: name.isidentifier()), json_values()))
def test_unknown_fields_make_the_round_trip(fields: dict[str, Any]) -> None:
    """L10: what a newer writer added is kept, in the event and in the bytes."""
    known = {"first": "Ada", "last": "L", "country": "UK"}
    data = json.dumps({**fields, **known}, ensure_ascii=False).encode()

    event = decode_event(stored(data))

    assert json.loads(encode_event(event)) == {**fields, **known}
    assert event.model_extra == {name: fields[name] for name in fields if name not in known}


@given(texts(max_size=40))
def test_any_text_is_stored_as_utf8_and_read_back(text: str) -> None:
    event = ProjectAssigned(project=text)

    data = encode_event(event)

    assert decode_event(stored(data, type="project_assigned", schema=1)) == event
    assert json.loads(data) == {"project": text}


def test_text_is_not_escaped_more_than_json_needs() -> None:
    assert encode_event(ProjectAssigned(project="\u4f1a\U0001f600")) == (
        '{"project":"\u4f1a\U0001f600"}'.encode()
    )


def test_a_lone_surrogate_cannot_be_stored() -> None:
    message: Any = {"id": "m", "role": "user", "parts": [], "created_at": "", "x": "\ud800"}
    event = MessageAppended.model_construct(message=message, tokens=0)

    with pytest.raises(InvalidArgument, match="cannot be stored as JSON"):
        encode_event(event)


def test_an_event_is_frozen() -> None:
    event = ProjectAssigned(project="p")

    with pytest.raises(ValidationError):
        event.project = "q"  # type: ignore[misc]


# ---- types of users' own ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["order_placed", "message_appended"])
def test_names_without_a_dot_belong_to_the_library(name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"use a prefix of your own, such as 'acme.{name}'"):
        types.new_class("Mine", (Event,), {"type": name})

    assert event_class("message_appended", 1) is MessageAppended


@pytest.mark.parametrize(
    "name",
    ["", "Acme.placed", "acme.", ".placed", "acme..placed", "acme placed", "acme.plac\u00e9d"],
)
def test_a_type_is_lower_case_words_with_dots(name: str) -> None:
    with pytest.raises(InvalidArgument, match="use lower-case words"):
        types.new_class("Mine", (Event,), {"type": name})


def test_one_name_belongs_to_one_class() -> None:
    with pytest.raises(InvalidArgument, match="already defined by"):
        types.new_class("Impostor", (Event,), {"type": "acme.registered"})
    assert event_class("acme.registered", 3) is Registered


def test_a_module_that_is_loaded_again_defines_its_events_again() -> None:
    def define() -> type[Event]:
        class Reloaded(Event, type="acme.reloaded"):
            pass

        return Reloaded

    assert define() is not define()


def test_an_abstract_base_has_no_type_of_its_own() -> None:
    class Order(Event):
        order_id: str

    class Placed(Order, type="acme.base_placed"):
        pass

    assert event_class("acme.base_placed", 1) is Placed
    assert not hasattr(Order, "event_type")


# ---- metadata ---------------------------------------------------------------------------------


@given(st.lists(st.none() | texts(), min_size=7, max_size=7))
def test_metadata_is_read_back(fields: list[str | None]) -> None:
    metadata = Metadata(*cast("Any", fields))
    record = make_record("s", 1)._replace(metadata=encode_metadata(metadata))

    assert decode_metadata(record) == metadata


def test_no_metadata_is_an_empty_object() -> None:
    assert encode_metadata(Metadata()) == b"{}"
    assert encode_metadata(Metadata(actor="ada")) == b'{"actor":"ada"}'


def test_metadata_fields_of_a_newer_version_are_passed_over() -> None:
    record = make_record("s", 1)._replace(metadata=b'{"actor":"ada","mood":"good"}')

    assert decode_metadata(record) == Metadata(actor="ada")


@pytest.mark.parametrize("metadata", [b"", b"[]", b"7", b"{"])
def test_metadata_that_is_no_object_is_corrupt(metadata: bytes) -> None:
    record = make_record("s", 1)._replace(metadata=metadata)

    with pytest.raises(CorruptLog, match="the metadata is not a JSON object"):
        decode_metadata(record)
