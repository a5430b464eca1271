"""Sessions with withdrawals, holes, interrupted streams and turns that ended badly, taken elsewhere.

In a bundle, an imported bundle, a copy, a folder and back, and an export, such a session is what it was;
P1 to P8 hold wherever it comes to, and it goes on there in the same way (M13, M7, T1, T5, O1, A7).
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hypothesis import example, given
from hypothesis import strategies as st

import eventlog
from eventlog import Log, Message, Session
from eventlog.errors import ConflictError, InvalidError
from eventlog.exchange.bundle.importing import import_bundle
from eventlog.exchange.bundle.reading import read_bundle_bytes
from eventlog.exchange.bundle.store import BundleStore
from eventlog.exchange.bundle.writing import bundle_bytes
from eventlog.exchange.copying import copy_log
from eventlog.exchange.exporting import export
from eventlog.exchange.reading import read_conversations
from eventlog.records import START
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.files import FilesBacking
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import core_of
from eventlog.testing.model.laws import check_laws, state_bytes
from eventlog.testing.strategies import message_contents, texts
from tests.projections.test_adoption_roundtrip import Told, standing
from tests.shares import examples

if TYPE_CHECKING:
    from eventlog.store import Store

REFUSALS = (ConflictError, InvalidError)

CALL = {"type": "tool", "tool_name": "look", "tool_status": "pending"}


def steps() -> st.SearchStrategy[list[Any]]:
    """Draw what happens to a session: what is said, and what takes it back."""
    place, how = st.integers(0, 5), st.sampled_from(["end", "interrupt", "leave"])
    end = st.sampled_from(["complete", "fail", "leave"])
    return st.lists(
        st.one_of(
            *[st.tuples(st.just("append"), message_contents())] * 3,
            st.tuples(st.just("result"), texts(max_size=20)),
            st.tuples(st.just("commit"), st.integers(0, 3)),
            st.tuples(st.just("work"), texts(max_size=10)),
            st.tuples(st.just("withdraw"), st.integers(1, 3)),
            st.tuples(st.just("cut_out"), place),
            st.tuples(st.just("replace"), st.tuples(place, message_contents())),
            st.tuples(st.just("clear"), st.none()),
            st.tuples(st.just("stream"), st.tuples(texts(max_size=8), how)),
            st.tuples(st.just("turn"), st.tuples(st.sampled_from(["keep", "withdraw"]), end)),
        ),
        max_size=16,
    )


class Retold(Told):
    """Tells a story in which things are taken back."""

    def tell(self, program: list[Any]) -> None:
        for number, (step, argument) in enumerate(program, 1):
            self.clock.advance(1)
            with suppress(*REFUSALS):
                getattr(self, step)(argument, number)
        self.clock.advance(1_000)
        with self.session.turn("last") as turn:  # Whoever comes later finds nothing unfinished.
            turn.append(Message.user("the end", id="end"))

    def withdraw(self, last: int, number: int) -> None:
        self.session.withdraw(last=last)

    def cut_out(self, place: int, number: int) -> None:
        self.session.withdraw(message_ids=[self._live(place)])

    def replace(self, drawn: tuple[int, dict[str, Any]], number: int) -> None:
        place, content = drawn
        given = {**content, "id": f"m-{number}"}
        self.session.replace(message_ids=[self._live(place)], messages=[given])

    def clear(self, _: None, number: int) -> None:
        self.session.clear()

    def _live(self, place: int) -> str:
        live = [message.id for message in self.session.tail()]
        return live[place % len(live)] if live else "nothing"

    def stream(self, drawn: tuple[str, str], number: int, session: Session | None = None) -> None:
        text, how = drawn
        session = session or self.session
        message_id, fence, *_ = session.begin_message(message_id=f"m-{number}")
        tool_id = f"c-{number}"
        session.append_chunk(message_id, fence, 1, [{"type": "text", "text": text}])
        session.append_chunk(message_id, fence, 2, [{**CALL, "tool_id": tool_id}])
        self.calls.append((message_id, tool_id))
        if how == "end":
            session.end_message(message_id, fence)
        elif how == "interrupt":
            session.interrupt_message(message_id, fence)
        elif session is self.session:
            self.clock.advance(61)  # Its producer is not heard of any more.

    def turn(self, drawn: tuple[Any, str], number: int) -> None:
        on_error, how = drawn
        turn = self.session.begin_turn(f"t-{number}", on_error=on_error)
        turn.append(Message.user(f"input {number}", id=f"i-{number}"))
        self.stream(("half", "leave"), number, turn)
        if how == "complete":
            turn.end(number)
        elif how == "fail":
            turn.fail("no")
        else:
            self.clock.advance(700)


def in_a_bundle(store: Store) -> Store:
    data, _ = bundle_bytes(store, ["s"])
    return BundleStore(read_bundle_bytes(data))


def imported(store: Store) -> Store:
    data, _ = bundle_bytes(store, ["s"])
    target = MemoryStore()
    import_bundle(read_bundle_bytes(data), target)
    return target


def expect_the_same(store: Store, other: Store) -> None:
    """Assert that a store has the same session, to the byte, and that the laws hold in it."""
    mine = [record._replace(position=START) for record in store.read("s")]
    theirs = [record._replace(position=START) for record in other.read("s")]
    assert theirs == mine
    assert state_bytes(other, "s") == state_bytes(store, "s")
    assert shown(Log(other)) == shown(Log(store))
    check_laws(other)


def shown(log: Log) -> list[Any]:
    session = log.session("s", follow_folder=False)
    context = session.context()
    return [
        session.meta,
        session.tail(),
        session.history(),
        session.history(withdrawn=True),
        session.archives(),
        (context.messages, context.latest_archive_overview, context.stats),
        session.turns(),
    ]


def as_a_folder_has_it(log: Log) -> dict[str, Any]:
    """Return what a session shows but for what was withdrawn, of which a folder knows nothing.

    Nor does it know that contexts were cleared.
    """
    found = standing(log, "s", weighed=False)
    return {**found, "meta": found["meta"]._replace(withdrawn_count=0)}


def adopted(log: Log, root: Path) -> Log:
    log.session("s").materialize(root / "folder")
    other = eventlog.open("memory:", clock=FakeClock())
    other.adopt(root / "folder")
    return other


def go_on(log: Log) -> list[Any]:
    """Answer every call that was interrupted or awaits its result, commit, and return what is live."""
    session = log.session("s")
    for message in session.tail():
        for call in message.tools:
            if call.tool_status == "pending" or (call.model_extra or {}).get("interrupted"):
                session.record_tool_result(message.id, call.tool_id, "late but real")
    session.commit(keep_recent=1)
    return [[message.model_dump() for message in session.tail()], session.archives()[-1:]]


@examples(8, 1_000)
@given(program=steps())
@example(
    [("append", {"role": "user", "parts": []}), ("cut_out", 0), ("commit", 1), ("clear", None)]
)
@example([("stream", ("half", "leave")), ("turn", ("withdraw", "leave")), ("commit", 0)])
@example(
    [("turn", ("keep", "fail")), ("cut_out", 1), ("commit", 1), ("replace", (0, {"role": "user"}))]
)
def test_a_session_that_took_things_back_is_the_same_elsewhere(program: list[Any]) -> None:
    clock = FakeClock()
    with TemporaryDirectory() as root, Log(MemoryStore(), clock=clock, ids=NumberedIds()) as log:
        Retold(log, clock).tell(program)
        store = log.store
        check_laws(store)
        expect_the_same(store, in_a_bundle(store))
        expect_the_same(store, imported(store))
        with FilesBackingCopy(store) as copied:
            expect_the_same(store, copied)
        with adopted(log, Path(root)) as other:
            check_laws(other.store)
            expected, found = as_a_folder_has_it(log), as_a_folder_has_it(other)
            untold = {"context"} if core_of(log, "s").state.cleared else set[str]()
            assert {name for name in found if found[name] != expected[name]} <= untold
            assert go_on(other)[0] == go_on(log)[0]
            check_laws(other.store)
        check_laws(store)


class FilesBackingCopy:
    """A copy of a store in files, for as long as a block lasts."""

    def __init__(self, store: Store) -> None:
        self._backing = FilesBacking(segment_bytes=2_000)
        copy_log(store, self._backing.watch(), verify=True)

    def __enter__(self) -> Store:
        return self._backing.watch()

    def __exit__(self, *error: object) -> None:
        self._backing.close()


@examples(8, 1_000)
@given(program=steps())
def test_an_export_has_what_was_not_withdrawn(program: list[Any]) -> None:
    clock = FakeClock()
    with TemporaryDirectory() as root, Log(MemoryStore(), clock=clock, ids=NumberedIds()) as log:
        Retold(log, clock).tell(program)
        written = export("s", log.session("s").history(), "jsonl")
        assert not written.losses
        path = Path(root, "export.jsonl")
        path.write_text("".join(json.dumps(value) + "\n" for value in written.values), "utf-8")
        (found,) = read_conversations(path)
        with eventlog.open("memory:", clock=clock) as other:
            session = other.session("s", create=True)
            session.extend(found.messages)
            mine = [message.model_dump() for message in log.session("s").history()]
            assert [message.model_dump() for message in session.history()] == mine
            check_laws(other.store)
