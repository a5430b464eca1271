"""The NATS JetStream store: a replicated log that survives the loss of its leader. Beta.

A session is a subject, and a record a message in it. An append is published with the sequence at
which its subject must end, several messages as one atomic batch, so the server compares and stores in
one step. If an answer is lost, the append is looked up by its event ids before it is tried again.
Trying again is safe: it can be stored only if the first attempt was not.
"""

from __future__ import annotations

import logging
import threading
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from nats.errors import ConnectionClosedError, Error, TimeoutError

from eventlog.errors import (
    CorruptLog,
    EventLogError,
    Indeterminate,
    TooLarge,
    UnavailableError,
    UnsupportedStore,
)
from eventlog.store import (
    ANY,
    START,
    Append,
    Appended,
    Durability,
    Expected,
    Finding,
    Head,
    IndexEntry,
    Position,
    Record,
    split_batch,
)
from eventlog.stores.jetstream.api import BATCH_LIMIT, publish
from eventlog.stores.jetstream.attempts import Attempts
from eventlog.stores.jetstream.batch import Batch
from eventlog.stores.jetstream.blobs import Blobs
from eventlog.stores.jetstream.checkpoint import Checkpoints, End
from eventlog.stores.jetstream.checks import findings, server_settings
from eventlog.stores.jetstream.errors import closed, mapped
from eventlog.stores.jetstream.index import Index
from eventlog.stores.jetstream.link import Link
from eventlog.stores.jetstream.messages import Message, Subjects, decode, encode_entries
from eventlog.stores.jetstream.notifications import Notifications
from eventlog.stores.jetstream.opening import (
    FORMAT,
    LogAddress,
    blob_stream,
    check_power,
    check_server,
    ensure,
    exists,
    split_url,
    tls_context,
)
from eventlog.stores.jetstream.reader import LAG_SECONDS, Reader
from eventlog.stores.jetstream.sessions import Sessions
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from nats.aio.client import Client

    from eventlog.store import Blob, EventId

__all__ = ["JetStreamStore", "has_log", "open_store"]

Answer = TypeVar("Answer")

MESSAGE_LIMIT: Final = 31 << 20
"""Maximum bytes of a message in JetStream's files, whatever max_payload says."""

HEADERS_BYTES: Final = 2_048
"""Room for the headers of a message, which count towards max_payload."""

NOTE_AT: Final = 1_024
"""Batches after which the end of the log is noted."""

ENTRIES_PAGE: Final = 256
"""Index entries per message, for entries without an append."""

_RAISE_PAYLOAD: Final = (
    "raise max_payload in the server's configuration (JetStream takes up to 31 MiB), or store less"
)

BATCH_BYTES: Final = 1 << 26
"""Bytes of data after which the rest of a batch is stored by another one."""


def open_store(url: str, location: str, options: dict[str, str]) -> JetStreamStore:
    """Open ``nats://host:4222``; several hosts of a cluster are separated by commas.

    ``?stream=NAME`` is the stream that holds the log (default ``eventlog``), ``?replicas=NUMBER`` the
    number of nodes that have a copy. ``?durability=power`` requires that the log survives a loss of
    power; the store verifies that at the nodes' monitoring ports, ``?monitor=URL,URL,URL``.
    ``?credentials=FILE`` is a NATS credentials file. ``?patience=SECONDS`` is how long a call is tried
    again while the cluster has no leader (default 15). ``?mode=ro`` reads and changes nothing.
    ``tls://`` or ``?tls=true`` requires TLS, with
    ``?tls_ca=FILE``, ``?tls_cert=FILE`` and ``?tls_key=FILE`` instead of the system's certificates.
    """
    return JetStreamStore(split_url(url, options))


def has_log(url: str) -> bool:
    """Return whether there is a log, or another program's stream, at a URL."""
    place = split_url(url, dict(parse_qsl(urlsplit(url).query)))

    async def greet(client: Client) -> None:
        check_server(client, place.where)

    link = Link(
        place.hosts,
        place.where,
        user=place.user,
        credentials=place.credentials,
        tls=tls_context(place),
        greet=greet,
    )
    try:
        return link.run(lambda client: exists(client, place))
    except Error as error:
        raise mapped(error, place.where) from error
    finally:
        link.close()


class JetStreamStore:
    """A log in one stream of a NATS cluster; see `eventlog.store.Store` for the contract."""

    reads_types = True

    def __init__(self, place: LogAddress) -> None:
        self.place = place
        self.durability: Durability = place.durability
        self.reads_only = place.reads_only
        self._where = place.where
        self._subjects = Subjects(place.stream)
        self._start()
        try:
            config: dict[str, Any] = self._call(lambda client: ensure(client, place))
            self._replicas = int(config["num_replicas"])
            self._synced = check_power(place, self._replicas)
            self._wait_for_leaders()
            self._expect_end()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._closed = False
        self._lock = threading.RLock()
        self._max_payload = MESSAGE_LIMIT
        self._notifications = Notifications(self._subjects.notifications)
        self._link = Link(
            self.place.hosts,
            self._where,
            user=self.place.user,
            credentials=self.place.credentials,
            tls=tls_context(self.place),
            greet=self._greet,
        )
        self._reader = Reader(self._call, self._subjects, self._where)
        self._sessions = Sessions(self._reader)
        self._checkpoints = Checkpoints(self.get_blob, self.put_blob)
        self._index = Index(self._reader, self._subjects, self._checkpoints)
        self._checked = 0
        self._newest: Message | None = None
        self._unnoted = 0

    def _wait_for_leaders(self) -> None:
        """Let reads wait for a leader that lags, if the leader may have changed."""
        self._reader.lag_seconds = LAG_SECONDS if self._replicas > 1 else 0.0

    def _expect_end(self) -> None:
        """Read the noted end of the log; if the log lacks it, also the noted end of each session.

        The log is opened all the same, for inspection: reading what is missing raises.
        """
        end = self._checkpoints.end()
        if end is None:
            return
        self._reader.expect(end)
        try:
            self._reader.check_end()
        except CorruptLog as error:
            log_fact(logging.ERROR, "records_lost", stream=self.place.stream, error=str(error))
            kept = self._checkpoints.index()
            noted = {end.stream: end.version}
            self._reader.expect_versions({**kept.versions, **noted} if kept else noted)

    async def _greet(self, client: Client) -> None:
        check_server(client, self._where)
        self._max_payload = min(client.max_payload, MESSAGE_LIMIT)
        await self._notifications.listen(client)

    # ---- requests -----------------------------------------------------------------------------

    def _call(self, work: Callable[[Client], Coroutine[Any, Any, Answer]]) -> Answer:
        """Do something that may be done twice, until it succeeds or ``patience`` is used up."""
        attempts = Attempts(self.place.patience, self._where)
        while True:
            self._refuse_if_closed()
            try:
                return self._link.run(work)
            except Error as error:
                attempts.failed(error, certainly=True)

    def _store(self, messages: Sequence[Message], attempts: Attempts) -> int | None:
        """Store messages, all or none; return the sequence of the first.

        Returns None if they were not stored or the outcome is unknown: then the caller looks up what
        is stored, and may try again. Raises when ``patience`` is used up.
        """
        self._refuse_if_closed()
        newest = self._reader.newest
        try:
            first = self._link.run(lambda client: self._publish(client, messages))
        except (TimeoutError, ConnectionClosedError) as error:
            attempts.failed(error, certainly=False)
        except Error as error:
            attempts.failed(error, certainly=True)
        else:
            self._refuse_reuse(messages, first, newest)
            return first
        return None

    async def _publish(self, client: Client, messages: Sequence[Message]) -> int:
        first = await publish(client, messages)
        await self._notifications.announce(client)
        return first

    def _refuse_reuse(self, messages: Sequence[Message], first: int, newest: int) -> None:
        """Raise if the server has assigned a sequence twice."""
        if first <= newest and messages[0].subject.startswith(f"{self.place.stream}."):
            raise CorruptLog(
                f"{self._where} gave position {first} to a new record, but position {newest} was "
                "seen in it before: the server lost records, and goes on in their place; stop, "
                "look, restore it"
            )

    def _refuse_if_read_only(self) -> None:
        if self.reads_only:
            raise UnsupportedStore(
                f"{self._where} was opened with mode=ro; open it without to write to it"
            )

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise closed(self._where)

    # ---- appending ----------------------------------------------------------------------------

    def append(self, batch: Sequence[Append]) -> list[Appended | EventLogError]:
        answers: list[Appended | EventLogError] = []
        with self._lock:
            self._refuse_if_closed()
            self._refuse_if_read_only()
            self._check_end()
            for part in split_batch(batch, max_bytes=BATCH_BYTES, max_records=BATCH_LIMIT):
                try:
                    answers += self._append(part)
                except UnavailableError as error:
                    if not answers or isinstance(error, Indeterminate):
                        raise
                    raise Indeterminate(str(error)) from error
        self._notifications.notify()
        return answers

    def _check_end(self) -> None:
        """On a new connection, check that the log still has its known end."""
        if self._checked != self._link.connections or self._checked == 0:
            self._reader.check_end()
            self._checked = self._link.connections

    def _append(self, appends: Sequence[Append]) -> list[Appended | EventLogError]:
        refused = [self._too_large(append) for append in appends]
        if any(refused):
            taken = [
                append for append, error in zip(appends, refused, strict=True) if error is None
            ]
            answers = iter(self._append(taken))
            return [next(answers) if error is None else error for error in refused]
        attempts = Attempts(self.place.patience, self._where)
        try:
            return self._decide_and_store(appends, attempts)
        except UnavailableError as error:
            raise attempts.in_doubt(error) from error

    def _decide_and_store(
        self, appends: Sequence[Append], attempts: Attempts
    ) -> list[Appended | EventLogError]:
        looked: set[str] = set()
        while True:
            work = Batch(self._subjects, appends, self._sessions.suppose(appends))
            unsure = work.contested - looked
            if not unsure:
                first = self._store(work.messages, attempts) if work.messages else 0
                if first is not None:
                    self._stored(work, first)
                    return work.answers(first)
                looked = set()
                unsure = set(work.changed)
            for stream in unsure:
                self._sessions.look(stream)
            looked |= unsure

    def _stored(self, work: Batch, first: int) -> None:
        if work.messages:
            self._sessions.stored(work.changed, first)
            self._index.stored(work.messages, first)
            sequence = first + len(work.messages) - 1
            self._newest = work.messages[-1]._replace(sequence=sequence)
            self._unnoted += 1
            if self._unnoted >= NOTE_AT:
                self._note_end()

    def _note_end(self) -> None:
        """Note the end of the log, for processes that open it later."""
        last, self._unnoted = self._newest, 0
        if last is None:
            return
        record = decode(last, self._subjects.session_of(last.subject) or "").record
        self._checkpoints.note_end(
            End(last.sequence, record.stream, record.version, record.hash.hex())
        )

    def _too_large(self, append: Append) -> TooLarge | None:
        """Return the error for an append that the server would not take, or None."""
        count = len(append.records)
        if count > BATCH_LIMIT:
            what = "the number of records of one append"
            advice = "append them in several steps"
            return TooLarge(append.stream, what, count, BATCH_LIMIT, advice)
        room = self._max_payload - HEADERS_BYTES
        sizes = [len(record.data) + len(record.metadata) for record in append.records]
        if append.entries:
            sizes[-1] += len(encode_entries(append.entries))
        if max(sizes) <= room:
            return None
        return TooLarge(
            append.stream, "the number of bytes of one record", max(sizes), room, _RAISE_PAYLOAD
        )

    # ---- reading ------------------------------------------------------------------------------

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
        types: Sequence[str] = (),
    ) -> Iterator[Record]:
        most = None if types else limit
        found = self._reader.read(stream, after=after, until=until, limit=most, reverse=reverse)
        chosen = (each.record for each in found if not types or each.record.type in types)
        return islice(chosen, limit)

    def read_all(
        self, *, after: Position = START, types: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Record]:
        records = self._reader.read_all(after)
        chosen = (record for record in records if not types or record.type in types)
        return islice(chosen, limit)

    def head(self, stream: str) -> Head:
        return self._reader.head(stream)

    def tip(self) -> Position:
        return self._reader.tip()

    def find(self, stream: str, ids: Sequence[EventId]) -> dict[EventId, int]:
        with self._lock:
            known = self._sessions.look(stream).ids
            return {event_id: known[event_id] for event_id in ids if event_id in known}

    def wait(self, after: Position, timeout: float) -> bool:
        return self._notifications.wait_beyond(after, self.tip, timeout)

    # ---- index entries and blobs --------------------------------------------------------------

    def scan(self, start: str, end: str, limit: int | None = None) -> Iterator[tuple[str, bytes]]:
        yield from self._index.scan(start, end, limit)

    def put_index(self, entries: Sequence[IndexEntry]) -> None:
        self._refuse_if_read_only()
        messages = [
            Message(0, self._subjects.entries, {}, data) for data in self._entry_pages(entries)
        ]
        for start in range(0, len(messages), BATCH_LIMIT):
            part = messages[start : start + BATCH_LIMIT]
            attempts = Attempts(self.place.patience, self._where)
            while self._store(part, attempts) is None:
                continue  # Storing it twice does no harm.

    def _entry_pages(self, entries: Sequence[IndexEntry]) -> Iterator[bytes]:
        """Encode index entries in as many messages as they need."""
        for start in range(0, len(entries), ENTRIES_PAGE):
            page = entries[start : start + ENTRIES_PAGE]
            data = encode_entries(page)
            if len(data) <= self._max_payload - HEADERS_BYTES:
                yield data
            elif len(page) == 1:
                limit = self._max_payload - HEADERS_BYTES
                what = "the number of bytes of an index entry"
                raise TooLarge(page[0][0], what, len(data), limit, _RAISE_PAYLOAD)
            else:
                for entry in page:
                    yield from self._entry_pages([entry])

    def put_blob(self, key: str, data: bytes, expected: Expected = ANY) -> int:
        self._refuse_if_read_only()
        attempts = Attempts(self.place.patience, self._where)
        try:
            return self._blobs.put(
                key, data, expected, lambda messages: self._store(messages, attempts)
            )
        except UnavailableError as error:
            raise attempts.in_doubt(error) from error

    def get_blob(self, key: str) -> Blob | None:
        return self._blobs.get(key)

    @property
    def _blobs(self) -> Blobs:
        part = self._max_payload - HEADERS_BYTES
        return Blobs(self._call, blob_stream(self.place.stream), part)

    # ---- the log as a whole -------------------------------------------------------------------

    def check(self) -> list[Finding]:
        found = self._call(lambda client: findings(client, self.place.stream))
        try:
            self._reader.check_end()
        except CorruptLog as error:
            found.append(Finding(error.stream, error.version, "lost", str(error)))
            found += self._reader.lost()
        return found

    def settings(self) -> dict[str, str]:
        settings = self._call(lambda client: server_settings(client, self.place.stream))
        return {**settings, "sync_interval": self._synced, "schema": str(FORMAT)}

    def reopen_after_fork(self) -> None:
        """Leave the connection to the parent, and begin with none."""
        if not self._closed:
            self._link.abandon()
            self._start()
            self._wait_for_leaders()

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                if self._unnoted:
                    self._note_end()
                    self._index.keep()
                self._closed = True
                self._link.close()
                self._notifications.notify()
