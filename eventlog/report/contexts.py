"""The contexts of a session for a report: those recorded as given, and those where turns began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventlog.errors import CorruptError
from eventlog.exchange.bundle.redacting import redacted_message
from eventlog.forensics.given import made_again
from eventlog.forensics.moment import Moment
from eventlog.session.messages import message_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventlog.exchange.bundle.format import Redaction
    from eventlog.forensics.past import Past
    from eventlog.recorded import Recorded
    from eventlog.report.tables import Tables
    from eventlog.session.messages import Message

__all__ = ["CONTEXTS", "contexts"]

CONTEXTS: Final = 50
"""How many contexts of each kind are shown: the newest."""


def contexts(
    past: Past, found: Sequence[Recorded], tables: Tables, redaction: Redaction | None
) -> list[dict[str, Any]]:
    """Return the contexts of some events in order: given ones, and as they were where turns began.

    The second kind is built by today's code, and says so.
    """
    given = [each for each in found if each.type == "context_given"][-CONTEXTS:]
    begun = [each for each in found if each.type == "turn_begun"][-CONTEXTS:]
    made = _Maker(past, tables, redaction)
    documents = [*made.each(given, made.given), *made.each(begun, made.built)]
    return sorted(documents, key=lambda document: document["version"])


class _Maker:
    """Makes documents of contexts."""

    def __init__(self, past: Past, tables: Tables, redaction: Redaction | None) -> None:
        self._past = past
        self._tables = tables
        self._redaction: Redaction | None = redaction

    @staticmethod
    def each(events: Iterable[Recorded], make: Any) -> Iterable[dict[str, Any]]:
        for recorded in events:
            try:
                yield make(recorded)
            except CorruptError as error:
                yield {"version": recorded.version, "problem": str(error)}

    def given(self, recorded: Recorded) -> dict[str, Any]:
        found = made_again(self._past, recorded)
        return {
            "version": found.version,
            "kind": "given",
            "as_of": found.as_of,
            "actor": found.actor or "",
            "overview": self._overview(found.latest_archive_overview),
            "messages": self._messages(found.messages),
            "token_budget": found.token_budget,
            "estimated_tokens": found.estimated_tokens,
            "total": found.total,
            "dropped": found.dropped,
            "estimator": found.estimator,
            "is_exact": found.is_exact,
        }

    def built(self, recorded: Recorded) -> dict[str, Any]:
        version = recorded.version
        context = Moment(self._past, version).context()
        return {
            "version": version,
            "kind": "built",
            "as_of": version,
            "actor": "",
            "overview": self._overview(context.latest_archive_overview),
            "messages": self._messages(context.messages),
            "token_budget": 128_000,
            "estimated_tokens": context.estimated_tokens,
            "total": len(context.messages),
            "dropped": 0,
            "estimator": "",
            "is_exact": False,
        }

    def _messages(self, messages: Iterable[Message]) -> list[int]:
        masked = (redacted_message(message_data(each), self._redaction) for each in messages)
        return [self._tables.value(data) for data in masked]

    def _overview(self, text: str) -> int:
        # An overview is masked as a text of a message is.
        part = {"type": "text", "text": text}
        masked = redacted_message({"parts": [part]}, self._redaction)
        return self._tables.value(masked["parts"][0]["text"])
