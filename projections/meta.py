"""The metadata of a session, as in ``.meta.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventlog.projection import Projection
from eventlog.session.projection import SessionFold
from eventlog.session.state import SessionState
from eventlog.session.views import SessionMeta, session_meta

if TYPE_CHECKING:
    from eventlog.recorded import Recorded

__all__ = ["Meta"]

_FOLD: Final = SessionFold()


class Meta(Projection[SessionState, SessionMeta]):
    """The metadata that `Session.meta` returns, from any records.

    It is another view of the fold that opening a session replays, so it has that fold's name and
    shares its snapshots.
    """

    name = SessionFold.name
    schema = SessionFold.schema

    def initial(self) -> SessionState:
        return _FOLD.initial()

    def apply(self, state: SessionState, recorded: Recorded) -> SessionState:
        return _FOLD.apply(state, recorded)

    def view(self, state: SessionState) -> SessionMeta:
        return session_meta(state)

    def fingerprint(self) -> str:
        return _FOLD.fingerprint()

    def dump(self, state: SessionState) -> bytes:
        return _FOLD.dump(state)

    def load(self, data: bytes) -> SessionState:
        return _FOLD.load(data)
