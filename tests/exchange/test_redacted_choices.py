"""A4, P5: what events choose from fixed words stays when texts are taken out, so that they still decode."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import eventlog
from eventlog import events
from eventlog.exchange.bundle.redacting import redacted_record
from eventlog.recorded import Recorded
from eventlog.testing.clock import FakeClock
from tests.report.conftest import refund_twice, tell


def _classes() -> dict[str, type]:
    """Return the library's events by the names of their types."""
    for module in events._seldom:
        import_module(module)
    return {
        name: found
        for name, found in events._registry.items()
        if found.__module__.startswith("eventlog.")
    }


def _choices(hint: Any, name: str, seen: set[Any]) -> Iterator[tuple[str, str]]:
    """Yield the words that a type lets its fields be, with the name of each field."""
    if typing.get_origin(hint) is typing.Literal:
        yield from ((name, word) for word in typing.get_args(hint) if isinstance(word, str))
        return
    for inner in typing.get_args(hint):
        yield from _choices(inner, name, seen)
    if isinstance(hint, type) and hint.__module__.startswith("eventlog.") and hint not in seen:
        seen.add(hint)
        for field, inner in typing.get_type_hints(hint, include_extras=True).items():
            if typing.get_origin(inner) is not typing.ClassVar:
                yield from _choices(inner, field, seen)


def test_every_word_that_an_event_chooses_from_a_list_stays() -> None:
    words = {
        (type_, name, word)
        for type_, found in _classes().items()
        for name, word in _choices(found, "", set())
    }
    changed = []
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        session.append(eventlog.Message.user("hello"))
        record = next(iter(log.read("s"))).record
    for type_, name, word in sorted(words):
        data = f'{{"{name}":"{word}"}}'.encode()
        made = record._replace(type=type_, data=data)
        if redacted_record(made, "texts", keeps_values=True).record.data != data:
            changed.append((type_, name, word))

    assert ("turn_begun", "on_error", "keep") in words
    assert changed == []


@pytest.mark.parametrize("story", [tell, refund_twice])
@pytest.mark.parametrize("redaction", ["secrets", "texts"])
def test_every_event_of_a_story_decodes_when_texts_are_taken_out(
    story: Any, redaction: Any
) -> None:
    clock = FakeClock()
    with eventlog.open("memory:", clock=clock) as log:
        for recorded in log.read(story(log, clock).id):
            kept = Recorded(redacted_record(recorded.record, redaction, keeps_values=True).record)
            assert type(kept.event) is type(recorded.event)
