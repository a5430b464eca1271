"""The context of a model: the latest overview and the messages that it does not cover (X1 to X5).

Pure functions over messages that were read before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from eventlog.argument_checks import check_count
from eventlog.session.chat.provider_messages import ProviderMessages
from eventlog.session.messages import Message
from eventlog.session.parts import (
    begins_round,
    is_plain,
    pair_up,
    readings_of,
    weigh,
    without_orphans,
)
from eventlog.session.reading import StoredMessage
from eventlog.session.tokens import TokenEstimator

__all__ = [
    "Context",
    "ContextStats",
    "SearchContext",
    "assemble",
    "fills",
    "last_whole",
    "paired",
    "truncated",
    "unique",
    "weighed_anew",
]

Entry = TypeVar("Entry")


class ContextStats(NamedTuple):
    """What a context includes, and what it leaves out.

    Of ``total`` messages that could be shown, ``included`` are shown and ``dropped`` are not. Of
    ``failed_archives``, whose finalisation failed for good, the messages themselves are candidates.
    ``active_tokens`` are those of the messages, ``archive_tokens`` those of the overview.
    """

    total: int
    included: int
    dropped: int
    failed_archives: int
    unreadable_overviews: int
    active_tokens: int
    archive_tokens: int


class Context(NamedTuple):
    """The latest overview of a completed archive, and the messages that it does not cover.

    ``latest_archive_overview`` is empty if there is none, or if it does not fit into the budget.
    ``estimated_tokens`` counts overview and messages together.
    """

    latest_archive_overview: str
    messages: tuple[Message, ...]
    estimated_tokens: int
    stats: ContextStats

    def to_chat(self) -> ProviderMessages:
        """Return what a chat API takes: the overview as a system message, then the messages.

        The ``losses`` of the list say what the format cannot carry.
        """
        from eventlog.session.chat.to_chat import to_chat  # Imported when first needed.

        return to_chat(self.messages, self.latest_archive_overview)

    def to_anthropic(self) -> ProviderMessages:
        """Return the list that Anthropic's messages API takes; its ``system`` has the overview."""
        from eventlog.session.chat.to_anthropic import to_anthropic

        return to_anthropic(self.messages, self.latest_archive_overview)

    def to_responses(self) -> ProviderMessages:
        """Return the list of input items that the Responses API takes, as `to_chat` does."""
        from eventlog.session.chat.to_responses import to_responses

        return to_responses(self.messages, self.latest_archive_overview)


class SearchContext(NamedTuple):
    """What a search over memories needs to understand a query."""

    query: str
    latest_archive_overview: str
    current_messages: tuple[Message, ...]


def assemble(
    overview: str,
    overview_tokens: int,
    messages: Sequence[StoredMessage],
    *,
    token_budget: int,
    total: int | None = None,
    failed_archives: int = 0,
    unreadable_overviews: int = 0,
) -> Context:
    """Build a context within a hard budget (X4).

    Messages come before the overview: of them whole rounds are dropped, the oldest first, but never
    the first user message nor the newest round. The overview is shown if it fits beside the rest.
    Results without a call before them are left out, since no model accepts them.

    ``messages`` may lack those in the middle that do not fit (`fills`); ``total`` then says how many
    there are.
    """
    kept = _within(paired(unique(messages)), token_budget)
    active = sum(entry.tokens for entry in kept)
    total = len(messages) if total is None else total
    if overview_tokens > token_budget - active:
        overview, overview_tokens = "", 0
    return Context(
        latest_archive_overview=overview,
        messages=tuple(entry.message for entry in kept),
        estimated_tokens=active + overview_tokens,
        stats=ContextStats(
            total=total,
            included=len(kept),
            dropped=total - len(kept),
            failed_archives=failed_archives,
            unreadable_overviews=unreadable_overviews,
            active_tokens=active,
            archive_tokens=overview_tokens,
        ),
    )


def fills(
    messages: Sequence[StoredMessage], token_budget: int, question: StoredMessage | None
) -> bool:
    """Return whether the newest messages fill a budget, so that none before them fits in.

    Beside them there is only room for the first ``question`` of the user. The oldest of their rounds,
    which may have begun before them, does not fit any more.
    """
    entries = paired(unique(messages))
    total = sum(entry.tokens for entry in entries)
    if question is not None and all(entry.version != question.version for entry in entries):
        total += question.tokens
    return total > token_budget and len(_rounds(entries)) > 1


def truncated(
    messages: Sequence[StoredMessage], *, keep_first_user: bool = True, recent: int = 20
) -> tuple[StoredMessage, ...]:
    """Return the first user message and the last ``recent`` ones, tool pairs whole (X6)."""
    check_count("recent", recent, "messages")
    whole = paired(messages)
    newest = last_whole(whole, recent)
    start = len(whole) - len(newest)
    first = next((place for place, entry in enumerate(whole) if _asks(entry)), start)
    head = (whole[first],) if keep_first_user and first < start else ()
    return (*head, *newest)


def paired(messages: Sequence[StoredMessage]) -> list[StoredMessage]:
    """Return the messages without results that have no call before them."""
    data = without_orphans([entry.data for entry in messages])
    return [
        entry if kept is entry.data else entry._replace(data=kept)
        for entry, kept in zip(messages, data, strict=True)
        if kept is not None
    ]


def last_whole(messages: Sequence[StoredMessage], last: int) -> Sequence[StoredMessage]:
    """Return the ``last`` messages, and those before them that keep calls with their results."""
    start = max(0, len(messages) - last)
    return messages[pair_up([entry.data for entry in messages]).whole_from(start) :]


def weighed_anew(
    messages: Sequence[StoredMessage], estimate: TokenEstimator
) -> list[StoredMessage]:
    """Return the messages with new weights where older records left parts out (M11)."""
    return [
        entry
        if entry.schema > 1 or is_plain(entry.data)
        else entry._replace(tokens=max(entry.tokens, weigh(estimate, entry.data)))
        for entry in messages
    ]


def unique(messages: Sequence[StoredMessage]) -> list[StoredMessage]:
    """Return the messages with each id once, at its first place."""
    seen: dict[str, StoredMessage] = {}
    for entry in messages:
        seen.setdefault(entry.data["id"], entry)
    return list(seen.values())


def _within(messages: list[StoredMessage], token_budget: int) -> list[StoredMessage]:
    total = sum(entry.tokens for entry in messages)
    if total <= token_budget:
        return messages
    first_user = next((entry for entry in messages if _asks(entry)), None)
    kept = _rounds(messages)
    while len(kept) > 1 and total > token_budget:
        dropped = kept.pop(0)
        total -= sum(entry.tokens for entry in dropped if entry is not first_user)
    rest = [entry for turn in kept for entry in turn]
    if first_user is None or any(entry is first_user for entry in rest):
        return rest
    return [first_user, *rest]


def _asks(entry: StoredMessage) -> bool:
    """Return whether this is a user message that says something, not just one with results."""
    data = entry.data
    return data["role"] == "user" and (is_plain(data) or begins_round(readings_of(data)))


def _rounds(messages: Sequence[StoredMessage]) -> list[list[StoredMessage]]:
    """Split into rounds; those that share a call and its result are one."""
    glued = pair_up([entry.data for entry in messages]).glued
    places = split_rounds(
        range(len(messages)), lambda place: not glued[place] and _asks(messages[place])
    )
    return [[messages[place] for place in places_of_round] for places_of_round in places]


def split_rounds(entries: Sequence[Entry], begins: Callable[[Entry], bool]) -> list[list[Entry]]:
    """Split entries into rounds; ``begins`` returns whether an entry begins one."""
    rounds: list[list[Entry]] = []
    for entry in entries:
        if begins(entry) or not rounds:
            rounds.append([])
        rounds[-1].append(entry)
    return rounds
