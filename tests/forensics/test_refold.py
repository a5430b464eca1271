"""Folding again: other code, or a stored state, is caught at the first event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog import Message
from eventlog.errors import InvalidArgument
from eventlog.forensics.refold import footprints, read_footprints
from eventlog.projections import LiveTail
from eventlog.session import folding

if TYPE_CHECKING:
    from pathlib import Path

    from eventlog import Session
    from eventlog.projections.live_tail import LiveTailState
    from eventlog.recorded import Recorded


class Forgetful(LiveTail):
    """A fold that was changed: it overlooks results."""

    def apply(self, state: LiveTailState, recorded: Recorded) -> LiveTailState:
        return state if recorded.type == "tool_result_recorded" else super().apply(state, recorded)


def test_a_changed_fold_is_caught_at_the_first_event_it_treats_otherwise(session: Session) -> None:
    refolded = session.refold(LiveTail(), Forgetful())
    assert refolded.divergence is not None
    assert refolded.divergence.version == 4
    assert refolded.divergence.event.type == "tool_result_recorded"
    assert session.refold(LiveTail(), LiveTail()).divergence is None
    with pytest.raises(InvalidArgument, match="both"):
        session.refold(LiveTail())


def test_footprints_tell_other_code_at_the_first_event(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another version of the library came to is kept in a file of a line per event."""
    lines = [json.dumps(each._asdict()) for each in footprints(session._past)]
    kept = list(read_footprints(lines))
    assert kept == list(footprints(session._past))
    monkeypatch.setitem(folding._HANDLERS, "tool_result_recorded", lambda *given: None)
    differing = [
        old.version for old, new in zip(kept, footprints(session._past), strict=True) if old != new
    ]
    assert differing[0] == 4  # The tokens of the result are missing from there on.
    with pytest.raises(InvalidArgument, match="line 1"):
        list(read_footprints(["[]"]))


def test_a_snapshot_that_is_not_the_fold_is_reported(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/log.db"
    with eventlog.open(url) as log:
        session = log.session("s", create=True)
        for number in range(40):
            session.append(Message.user(str(number)))
        assert session.refold().snapshot == "none"
    with eventlog.open(url) as log:
        session = log.session("s")
        assert session.refold() == (41, "equal", None)
        blob = log.store.get_blob("snapshot/s/session")
        assert blob is not None
        header, _, data = blob.data.partition(b"\n")
        forged = data.replace(b'"total_message_count":40', b'"total_message_count":41')
        from hashlib import sha256

        fields = {**json.loads(header), "digest": sha256(forged).hexdigest()}
        log.store.put_blob("snapshot/s/session", json.dumps(fields).encode() + b"\n" + forged)
        refolded = session.refold()
        assert refolded.snapshot == "different"
        assert refolded.divergence is not None
        assert refolded.divergence[2:] == ("total_message_count", 41, 40)
        log.store.put_blob("snapshot/s/session", b"?")
        assert session.refold().snapshot == "not checked"
