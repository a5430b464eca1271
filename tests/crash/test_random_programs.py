"""Random programs on SQLite that loses power: the laws hold, and repeating a call is safe (P8)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import DuplicateEvent, Log, Message
from eventlog.audit.index_check import rebuild_index
from eventlog.recorded import Recorded
from eventlog.records import Append, Appended
from eventlog.stores.memory import MemoryStore
from eventlog.stores.sqlite.lookup import Lookup
from eventlog.testing import Host, check_laws
from eventlog.testing.crashes import calls, crashes
from eventlog.testing.model.laws import state_bytes
from eventlog.testing.strategies import commands, histories
from tests.shares import examples

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from eventlog.testing.crashes import CrashProgram

AT = "2026-01-01T00:00:00Z"


class Client:
    """Appends one message after another, each with its own id."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.session = host.open_log().session("chat", create=True)

    def say(self, text: str) -> None:
        self.session.append(Message.user(text, id=f"m{len(self.host.told)}", created_at=AT))

    def commit(self) -> None:
        self.session.commit(idempotency_key=f"c{len(self.host.told)}")


def everything_is_there_once(host: Host) -> list[str]:
    """Ask again for what was in doubt, as the client does; then each message is there once."""
    client = Client(host)
    doubt = host.in_doubt
    if doubt is not None:
        host.call(getattr(client, doubt.name), *doubt.arguments)
    said = [f"m{number}" for number, call in enumerate(host.told) if call.name == "say"]
    stored = [message.id for message in client.session.history()]
    assert stored == said
    if stored:
        check_laws(host.open_store())
    return stored


def host_with_a_log() -> Host:
    host = Host()
    host.open_store()
    return host


programs = crashes(calls("say", st.sampled_from("ab")) | calls("commit"), max_steps=12)


def test_a_client_that_asks_again_is_stored_once(
    search: Callable[..., tuple[int, CrashProgram | None]], points: Counter[str]
) -> None:
    ran, found = search(programs, Client, everything_is_there_once, 40, make_host=host_with_a_log)

    assert found is None
    points["clients that ask again"] += ran


def test_an_append_that_is_not_idempotent_is_found(
    search: Callable[..., tuple[int, CrashProgram | None]],
    canaries: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """K5: a store that knows none of the ids that it has stored."""

    def know_nothing(*_: object) -> dict[tuple[int, bytes], int]:
        return {}

    monkeypatch.setattr(Lookup, "stored", know_nothing)

    ran, found = search(programs, Client, everything_is_there_once, 500, make_host=host_with_a_log)

    assert found is not None
    assert len(found.calls) <= 2
    canaries.append(f"found an append that is not idempotent after {ran} programs: {found}")


# ---- any commands ------------------------------------------------------------------------------


class Talk:
    """A session that gets the same message more than once, sometimes in another batch."""

    def __init__(self, host: Host) -> None:
        self.session = host.open_log().session("chat", create=True)
        self.append, self.commit, self.used = (
            self.session.append,
            self.session.commit,
            self.session.used,
        )

    def extend(self, messages: list[dict[str, Any]]) -> None:
        with suppress(DuplicateEvent):
            self.session.extend(messages)


def laws_hold(host: Host) -> bytes:
    store = host.open_store()
    check_laws(store)
    appended = [call.arguments[0]["id"] for call in host.told if call.name == "append"]
    stored = {message.id for message in Talk(host).session.history()} if appended else set()
    assert stored.issuperset(appended)
    return state_bytes(store, "chat")


def test_the_laws_hold_after_a_crash_of_any_program_of_commands(
    search: Callable[..., tuple[int, CrashProgram | None]], points: Counter[str]
) -> None:
    ran, found = search(
        crashes(commands(), max_steps=12), Talk, laws_hold, 40, make_host=host_with_a_log
    )

    assert found is None
    points["random programs of commands"] += ran


@examples(30)
@given(history=histories())
def test_histories_are_those_of_a_session_that_keeps_the_laws(
    history: tuple[Recorded, ...],
) -> None:
    store = MemoryStore()
    for recorded in history:
        (answer,) = store.append([Append("chat", recorded.version - 1, (recorded.record,))])
        assert isinstance(answer, Appended)
    rebuild_index(store)  # A history has no entries of its own.

    assert not history or Log(store).verify("chat") == []
    assert [recorded.version for recorded in history] == list(range(1, len(history) + 1))
