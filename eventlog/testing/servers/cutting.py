"""Cut a session's connection at every protocol message: each command takes effect once (K6)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from eventlog.errors import UnavailableError
from eventlog.log import open as open_log
from eventlog.session.messages import Message
from eventlog.testing.model.laws import check_laws, expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventlog.testing.servers.wire import CuttingProxy

__all__ = ["commit_through_cuts", "say_through_cuts", "until_it_answers"]

Answer = TypeVar("Answer")


def until_it_answers(call: Callable[[], Answer]) -> tuple[Answer, list[UnavailableError]]:
    """Repeat a call until it does not fail; return its answer, and how it failed before."""
    failures: list[UnavailableError] = []
    while True:
        try:
            return call(), failures
        except UnavailableError as error:
            failures.append(error)


def say_through_cuts(proxy: CuttingProxy, through: str, direct: str) -> None:
    """Append a message, cut anywhere and repeated; each must be there once, in order (P1, P8).

    ``through`` is the URL of the log behind the proxy, ``direct`` that beside it.
    """
    with open_log(through) as log, open_log(direct) as beside:
        session = log.session("chat", create=True)
        said = [session.append(Message.user("first", id="m0")).id]
        for number in proxy.each_cut():
            message = Message.user("hello", id=f"m{number}")
            proxy.cut_at(number)
            until_it_answers(partial(session.append, message))
            said.append(message.id)
        heard = [message.id for message in beside.session("chat").history()]
        expect("what was said", heard, said)
        expect("what a commit takes", session.commit(idempotency_key="c").archived, len(said))
        check_laws(beside.store)


def commit_through_cuts(proxy: CuttingProxy, through: str, direct: str) -> None:
    """Commit, cut anywhere and repeated: each returns the archive that it made (C1, L4)."""
    with open_log(through) as log, open_log(direct) as beside:
        session = log.session("chat", create=True)
        given: list[str | None] = []
        for number in proxy.each_cut():
            session.append(Message.user("hello"))
            proxy.cut_at(number)
            result, _ = until_it_answers(partial(session.commit, idempotency_key=f"c{number}"))
            given.append(result.archive_id)
        made = [view.archive_id for view in beside.session("chat").archives()]
        expect("archives", made, [f"archive_{number:03d}" for number in range(1, len(given) + 1)])
        expect("archives that commits returned", given, made)
        check_laws(beside.store)
