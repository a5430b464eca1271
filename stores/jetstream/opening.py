"""Open a log in JetStream: two streams, configured so that nothing is ever dropped.

``{stream}`` has the records and their index entries. Nothing in it can be deleted or purged, nothing
expires, and what does not fit is refused. So its sequences have no gaps: a missing one was lost.
``{stream}-blobs`` has the newest value of each blob. Other configurations are refused.
"""

from __future__ import annotations

import json
import logging
import re
from ssl import SSLContext, create_default_context
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, get_args
from urllib.parse import urlsplit
from urllib.request import urlopen

from nats.errors import NoRespondersError
from nats.js.errors import APIError

from eventlog.errors import InvalidArgument, StoreUnavailable, UnsupportedStore
from eventlog.store import Durability
from eventlog.store_url import public_url
from eventlog.stores.jetstream.api import ask
from eventlog.telemetry import log_fact

if TYPE_CHECKING:
    from nats.aio.client import Client

__all__ = [
    "FORMAT",
    "LogAddress",
    "blob_stream",
    "check_power",
    "check_server",
    "ensure",
    "exists",
    "split_url",
    "tls_context",
]

FORMAT: Final = 1
"""The format number in the metadata of the streams."""

MARK: Final = "eventlog.format"

OLDEST: Final = (2, 12)
"""The oldest server that has atomic batches."""

QUORUM: Final = 3
"""The number of replicas that survives the loss of one, with its disk."""

MONITOR_SECONDS: Final = 5.0

_OPTIONS: Final = (
    "stream",
    "replicas",
    "durability",
    "monitor",
    "credentials",
    "patience",
    "tls",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "mode",
)
_WRITE: Final = (
    "write nats://user:password@host:4222,host:4222, with ?stream=NAME, ?replicas=NUMBER, "
    "?durability=process|power, ?monitor=URL,URL, ?credentials=FILE, ?patience=SECONDS and ?mode=ro if "
    "need be; "
    "tls:// or ?tls=true for TLS, with ?tls_ca=FILE, ?tls_cert=FILE and ?tls_key=FILE; / and @ in a "
    "password as %2F and %40"
)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EXISTS: Final = 10058
_ABSENT: Final = 10059
_NO_CLUSTER: Final = 10074


class LogAddress(NamedTuple):
    """Where a log is, and the options for it."""

    hosts: tuple[str, ...]
    user: str = ""
    """``name:password`` or a token, as written in the URL."""
    stream: str = "eventlog"
    replicas: int | None = None
    """How many nodes have a copy; None means the existing number, or 3 for a new log in a cluster."""
    durability: Durability = "process"
    monitors: tuple[str, ...] = ()
    credentials: str | None = None
    patience: float = 15.0
    """Seconds for which a call is tried again while a cluster has no leader."""
    reads_only: bool = False
    tls: tuple[str | None, str | None, str | None] | None = None
    """The files of authorities, certificate and key for TLS; None for a connection without."""

    def __repr__(self) -> str:
        return f"<LogAddress {self.where}>"  # Without the password.

    @property
    def where(self) -> str:
        """The name of the log in messages, without the password."""
        return f"NATS stream {self.stream!r} at {','.join(self.hosts)}"


def split_url(url: str, options: dict[str, str]) -> LogAddress:
    """Parse a URL and its options; raise `InvalidArgument` if they are invalid."""
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    durability = options.get("durability", "process")
    stream = options.get("stream", "eventlog")
    if options.keys() - set(_OPTIONS) or not hosts or parts.path.strip("/"):
        raise InvalidArgument(f"{public_url(url)} cannot be opened: {_WRITE}")
    for host in hosts.split(","):
        if not _is_address(host):
            raise InvalidArgument(
                f"{public_url(url)} cannot be opened: a host is a name or an address with a port "
                f"from 1 to 65535 after it, such as host:4222; {_WRITE}"
            )
    if durability == "none" or durability not in get_args(Durability):
        raise InvalidArgument(f"durability={durability!r}: choose process or power")
    if options.get("mode", "rw") not in ("rw", "ro"):
        raise InvalidArgument(f"mode={options['mode']!r}: choose one of rw, ro")
    if not _NAME.fullmatch(stream):
        raise InvalidArgument(f"stream={stream!r}: take 1 to 64 of A-Z, a-z, 0-9, _ and -")
    return LogAddress(
        hosts=tuple(hosts.split(",")),
        user=user,
        stream=stream,
        replicas=int(_number(options, "replicas")) if "replicas" in options else None,
        durability=cast("Durability", durability),
        monitors=tuple(filter(None, options.get("monitor", "").split(","))),
        credentials=options.get("credentials"),
        patience=_number(options, "patience") if "patience" in options else 15.0,
        reads_only=options.get("mode") == "ro",
        tls=_tls_files(parts.scheme, options),
    )


def _is_address(host: str) -> bool:
    """Return whether a text is a host with or without a port; IPv6 addresses are in brackets."""
    try:
        parts = urlsplit(f"nats://{host}")
        port = parts.port
    except ValueError:
        return False
    return bool(parts.hostname) and "@" not in host and (port is None or port > 0)


def _tls_files(
    scheme: str, options: dict[str, str]
) -> tuple[str | None, str | None, str | None] | None:
    given = options.get("tls", "true" if scheme == "tls" else "")
    if given not in ("", "true", "false") or (given == "false" and scheme == "tls"):
        raise InvalidArgument(f"tls={given!r}: write true or false; tls:// is always true")
    files = options.get("tls_ca"), options.get("tls_cert"), options.get("tls_key")
    if given != "true" and not any(files):
        return None
    if given == "false" or (files[1] is None) != (files[2] is None):
        raise InvalidArgument("tls_cert and tls_key go together, and with ?tls=true")
    return files


def tls_context(place: LogAddress) -> SSLContext | None:
    """Return how to speak TLS with the servers, or None; raise `InvalidArgument` for its files."""
    if place.tls is None:
        return None
    authorities, certificate, key = place.tls
    try:
        context = create_default_context(cafile=authorities)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"the files for TLS cannot be used ({error}); check ?tls_ca, ?tls_cert and ?tls_key"
        ) from error
    return context


def _number(options: dict[str, str], name: str) -> float:
    try:
        number = float(options[name])
    except ValueError:
        number = -1.0
    if not 0 < number <= 3_600 or (name == "replicas" and number not in (1, 2, 3, 4, 5)):
        raise InvalidArgument(f"{name}={options[name]!r}: {_WRITE}")
    return number


def blob_stream(stream: str) -> str:
    """Return the name of the stream that has the blobs of a log."""
    return f"{stream}-blobs"


def check_server(client: Client, where: str) -> None:
    """Refuse a server that is too old for atomic batches."""
    version = client.connected_server_version
    if (version.major, version.minor) < OLDEST:
        raise UnsupportedStore(
            f"{where}: the server is version {version.major}.{version.minor}; the log needs "
            f"{OLDEST[0]}.{OLDEST[1]} or newer for its atomic batches, upgrade it"
        )


async def ensure(client: Client, place: LogAddress) -> dict[str, Any]:
    """Create the streams of a log, or check the existing ones; return the settings in force.

    Raises `UnsupportedStore` for streams that are not a log's; for a log that is only read,
    `StoreUnavailable` if there is none.
    """
    try:
        await ask(client, "INFO", {})
    except NoRespondersError as error:
        raise UnsupportedStore(
            f"{place.where}: there is no JetStream; enable JetStream in the server's configuration"
        ) from error
    try:
        found = await _ensure_stream(client, place, _log_config(place, place.replicas or QUORUM))
    except APIError as error:
        if error.err_code != _NO_CLUSTER or place.replicas is not None:
            raise
        found = await _ensure_stream(client, place, _log_config(place, 1))
    blobs = _blob_config(blob_stream(place.stream), int(found["num_replicas"]))
    await _ensure_stream(client, place, blobs)
    return found


async def exists(client: Client, place: LogAddress) -> bool:
    """Return whether a stream with the log's name exists, even another program's."""
    try:
        await ask(client, f"STREAM.INFO.{place.stream}", {})
    except APIError as error:
        if error.err_code != _ABSENT:
            raise
        return False
    return True


def _log_config(place: LogAddress, replicas: int) -> dict[str, Any]:
    name = place.stream
    config = _config(name, replicas, [f"{name}.s.*", f"{name}.i"])
    return {**config, "deny_delete": True, "deny_purge": True}


def _blob_config(name: str, replicas: int) -> dict[str, Any]:
    return {**_config(name, replicas, [f"{name}.>"]), "max_msgs_per_subject": 1}


def _config(name: str, replicas: int, subjects: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "description": "A log of eventlog. Publish nothing here.",
        "subjects": subjects,
        "storage": "file",
        "num_replicas": replicas,
        "retention": "limits",
        "discard": "new",
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "allow_direct": True,
        "allow_atomic": True,
        # Repetitions are recognised by their event ids; the server need not remember any.
        "duplicate_window": 100_000_000,
        "metadata": {MARK: str(FORMAT)},
    }


async def _ensure_stream(
    client: Client, place: LogAddress, config: dict[str, Any]
) -> dict[str, Any]:
    name = config["name"]
    try:
        answer = await ask(client, f"STREAM.INFO.{name}", {})
    except APIError as error:
        if error.err_code != _ABSENT:
            raise
        if place.reads_only:
            raise StoreUnavailable(f"{place.where}: there is no log; check ?stream=NAME") from error
        try:
            answer = await ask(client, f"STREAM.CREATE.{name}", config)
        except APIError as error:
            if error.err_code != _EXISTS:
                raise
            answer = await ask(client, f"STREAM.INFO.{name}", {})  # Another process was faster.
    found: dict[str, Any] = answer["config"]
    _refuse_foreign(found, config, place)
    return found


def _refuse_foreign(found: dict[str, Any], wanted: dict[str, Any], place: LogAddress) -> None:
    """Refuse a stream of another program or of a newer eventlog, or one with other settings."""
    name = wanted["name"]
    metadata: dict[str, str] = found.get("metadata") or {}
    mark = metadata.get(MARK)
    if mark is None:
        raise UnsupportedStore(
            f"{place.where}: the stream {name!r} is another program's; choose another name "
            "for the log with ?stream=NAME"
        )
    if mark != str(FORMAT):
        raise UnsupportedStore(
            f"{place.where}: the stream {name!r} has format {mark}, and this eventlog knows {FORMAT}; "
            "upgrade it"
        )
    for setting, value in wanted.items():
        actual = found.get(setting, False if value is False else None)
        if setting in ("metadata", "description", "duplicate_window") or actual == value:
            continue
        if setting == "num_replicas":
            if place.replicas is None:
                continue
            advice = f"open the log with ?replicas={actual}, or change the stream with the nats CLI"
        else:
            advice = "set it back with the nats CLI: the present setting loses or refuses records"
        raise UnsupportedStore(
            f"{place.where}: the stream {name!r} has {setting} = {json.dumps(actual)}, and "
            f"{json.dumps(value)} is needed; {advice}"
        )


def check_power(place: LogAddress, replicas: int) -> str:
    """Refuse servers that may lose records in a loss of power, if ``power`` is required (P9).

    Returns what is known about them. Only a server's monitoring port shows whether it syncs before it
    answers.
    """
    synced = [_syncs_always(monitor, place.where) for monitor in place.monitors]
    if place.durability != "power":
        synced_text = "always" if synced and all(synced) else "not always"
        return (
            f"{synced_text} on {sum(synced)} of {len(synced)} nodes asked"
            if synced
            else "not asked"
        )
    if replicas < QUORUM:
        raise UnsupportedStore(
            f"{place.where} has {replicas} replica(s), and durability=power needs {QUORUM}: one "
            "that is damaged goes on with fewer records, and says nothing; open a log on a cluster "
            "with ?replicas=3, or with ?durability=process"
        )
    for monitor, always in zip(place.monitors, synced, strict=True):
        if not always:
            raise UnsupportedStore(
                f"{place.where}: the server at {monitor} syncs only now and then, so a loss of power "
                "can lose what was acknowledged; set sync_interval: always in the jetstream section "
                "of its configuration, or open the log with ?durability=process"
            )
    if len(synced) < replicas:
        log_fact(
            logging.WARNING,
            "durability_unverified",
            stream=place.stream,
            replicas=replicas,
            verified=len(synced),
            advice="name the monitoring port of every node with ?monitor=URL,URL,URL",
        )
    return f"always on {len(synced)} of {replicas} nodes, the others unasked"


def _syncs_always(monitor: str, where: str) -> bool:
    url = f"{monitor.rstrip('/')}/jsz"
    if not url.startswith(("http://", "https://")):
        raise InvalidArgument(f"monitor={monitor!r}: write http://host:8222")
    try:
        with urlopen(url, timeout=MONITOR_SECONDS) as answer:  # noqa: S310 - checked above
            return json.load(answer).get("config", {}).get("sync_always") is True
    except (OSError, ValueError) as error:
        raise StoreUnavailable(
            f"{where}: the monitoring port at {monitor} does not answer ({error}); check "
            "?monitor=URL, and http: in the server's configuration"
        ) from error
