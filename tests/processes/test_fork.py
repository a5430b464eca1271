"""A process that forks with an open log: each child gets its own connection (L15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import eventlog
from eventlog.testing.model.laws import check_laws
from tests.shares import rounds

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    Script = Any  # Of this folder's conftest, which cannot be imported from here.


@pytest.mark.parametrize("how", ["idle", "busy"])
@pytest.mark.parametrize("time", range(rounds(1, 9)))
@pytest.mark.parametrize("log", ["sqlite:///{}/log.db", "files:///{}/log?writers=many"])
def test_parent_and_children_write_without_losing_a_message(
    how: str,
    time: int,
    log: str,
    tmp_path: Path,
    start: Callable[..., Script],
    account: Counter[str],
) -> None:
    """P1: everything acknowledged to parent, thread and children is there after they have ended."""
    url = log.format(tmp_path)
    family = start("forked.py", url, how)
    acknowledged = family.rest()
    assert family.process.returncode == 0
    with eventlog.open(url) as opened:
        stored = [message.id for message in opened.session("s1").history()]
        assert sorted(stored) == sorted(acknowledged)
        for name in {message_id.partition("-")[0] for message_id in stored}:
            numbers = [int(one.partition("-")[2]) for one in stored if one.startswith(f"{name}-")]
            assert numbers == sorted(numbers)
        check_laws(opened.store)
        opened.session("s1").append(eventlog.Message.user("afterwards"))
    account[f"forks of a log that was {how}"] += 3


def test_a_child_that_leaves_the_block_of_a_turn_leaves_the_turn_to_its_parent(
    tmp_path: Path, start: Callable[..., Script]
) -> None:
    """T5: what a child's exception ends is the child."""
    url = f"sqlite:///{tmp_path}/log.db"
    script = start("forked_in_turn.py", url)
    script.rest()
    assert script.process.returncode == 0
    with eventlog.open(url) as log:
        session = log.session("s")
        assert [turn.state for turn in session.turns()] == ["completed"]
        assert [message.text for message in session.tail()] == ["question", "half and half"]
