"""Ids of every kind: acknowledged and read back equal, everywhere, or refused with what to do (M1, P10)."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import eventlog
from eventlog import InvalidArgument, Log
from eventlog.audit.index_check import compare_index
from eventlog.cli.application import application
from eventlog.exchange.copying import copy_log
from eventlog.exchange.exporting import export
from eventlog.report import report_pieces
from eventlog.stores.memory import MemoryStore
from eventlog.testing.clock import FakeClock
from eventlog.testing.identifiers import NumberedIds
from eventlog.testing.inside import engine_of
from tests.shares import examples
from tests.storable.ids import KINDS, Kind, ids, kinds, session_ids, spellings, used

if TYPE_CHECKING:
    from collections.abc import Iterable

USES = st.lists(st.tuples(kinds(), ids()), max_size=5)
NUMBERS = count()


def fill(log: Log, session_id: str, uses: Iterable[tuple[Kind, str]]) -> list[tuple[Kind, str]]:
    """Use ids in all their spellings; return those that were taken, each once."""
    session = log.session(session_id, create=True)
    session.ensure_created()
    taken: dict[tuple[str, str], tuple[Kind, str]] = {}
    for kind, id_ in uses:
        for spelling in spellings(id_):
            # A message is one, however it was recorded.
            place = ("message" if "message" in kind.name else kind.name, spelling)
            if place not in taken and used(session, kind, spelling):
                taken[place] = (kind, spelling)
    return list(taken.values())


def expect_there(log: Log, session_id: str, taken: Iterable[tuple[Kind, str]]) -> None:
    session = log.session(session_id, follow_folder=False)
    for kind, id_ in taken:
        assert kind.is_there(log, session, id_), (kind.name, id_)
    assert log.exists(session_id)
    assert session_id in list(log.sessions())
    assert log.verify(session_id) == []


@settings(
    examples(4, 200),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(session_id=session_ids(), uses=USES)
def test_an_id_is_read_back_equal_from_every_store(
    log: Log, session_id: str, uses: list[tuple[Kind, str]]
) -> None:
    session_id = f"{session_id}{next(NUMBERS)}"
    taken = fill(log, session_id, uses)
    expect_there(log, session_id, taken)
    with_nothing_known = Log(engine_of(log).store.inner)
    expect_there(with_nothing_known, session_id, taken)
    assert compare_index(log.store) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@examples(15, 2_000)
@given(id_=ids())
def test_an_id_of_any_kind_is_taken_or_refused_and_nothing_between(kind: Kind, id_: str) -> None:
    with eventlog.open("memory:") as log:
        taken = fill(log, "s", [(kind, id_)])
        expect_there(log, "s", taken)
        is_text = not any("\ud800" <= each <= "\udfff" for each in id_)
        if not is_text or not id_ or len(id_) > 512:
            assert id_ not in [each for _, each in taken] or kind.name in (
                "step",
                "named stream",
                "call",
            )


@examples(25, 4_000)
@given(id_=ids())
def test_an_id_of_a_session_is_taken_or_refused(id_: str) -> None:
    with eventlog.open("memory:") as log:
        for spelling in spellings(id_):
            try:
                fill(log, spelling, [(KINDS[0], "m")])
            except InvalidArgument as refusal:
                assert "cannot be a session id" in str(refusal)
                assert spelling not in list(log.sessions())
            else:
                expect_there(log, spelling, [(KINDS[0], "m")])


@examples(4, 600)
@given(session_id=session_ids(), uses=USES)
def test_an_id_goes_everywhere_that_its_session_goes(
    session_id: str, uses: list[tuple[Kind, str]]
) -> None:
    """Into a bundle, a copy, a fork, a report, a folder and out of it, and an export."""
    with (
        TemporaryDirectory() as root,
        Log(MemoryStore(), clock=FakeClock(), ids=NumberedIds()) as log,
    ):
        taken = fill(log, session_id, uses)
        log.bundle([session_id], Path(root, "case.zip"))
        with eventlog.open_bundle(Path(root, "case.zip")) as case:
            expect_there(case, session_id, taken)
        copied = MemoryStore()
        copy_log(log.store, copied, verify=True)
        expect_there(Log(copied), session_id, taken)
        fork = log.session(session_id).fork(f"{session_id}/fork")
        expect_there(log, fork.id, [each for each in taken if each[0].name != "queued message"])
        pieces, summary = report_pieces(log, [session_id])
        assert "".join(pieces)
        assert summary.is_sound

        in_folders = [(kind, id_) for kind, id_ in taken if kind.is_in_folders]
        log.session(session_id).materialize(Path(root, "folder"))
        with eventlog.open("memory:") as other:
            assert other.adopt(Path(root, "folder")).session_id == session_id
            expect_there(other, session_id, in_folders)
        written = export(session_id, log.session(session_id).history(), "jsonl").values
        with eventlog.open("memory:") as other:
            session = other.session(session_id, create=True)
            session.ensure_created()
            session.extend(json.loads(json.dumps(value)) for value in written)
            expect_there(other, session_id, in_folders)


@examples(2, 150)
@given(session_id=session_ids(), uses=USES)
def test_an_id_is_the_same_on_the_command_line(
    session_id: str, uses: list[tuple[Kind, str]]
) -> None:
    """`show`, `ls`, `append`, `bundle` and `report` take the id that `ls` lists, and print it whole."""
    with TemporaryDirectory() as root:
        url = f"sqlite:///{root}/log.db"
        with eventlog.open(url) as log:
            taken = fill(log, session_id, uses)
            said = [message.id for message in log.session(session_id).history()]
            turns = [turn.turn_id for turn in log.session(session_id).turns()]

        def run(*words: str) -> str:
            result = CliRunner(env={"EVENTLOG_STORE": url}).invoke(application, list(words))
            assert result.exit_code == 0, result.output
            return result.stdout

        assert [entry["session_id"] for entry in json.loads(run("ls", "--json"))] == [session_id]
        shown = json.loads(run("show", "--json", "--", session_id))
        assert [message["id"] for message in shown["tail"]] == said
        run("bundle", "-o", f"{root}/case.zip", "--", session_id)
        run("report", "-o", f"{root}/case.html", "--", session_id)
        with eventlog.open_bundle(Path(root, "case.zip")) as case:
            expect_there(case, session_id, taken)
            assert [turn.turn_id for turn in case.session(session_id).turns()] == turns
