"""G5: secrets of every known form are redacted, and everything else is left unchanged."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import pytest

import eventlog
from eventlog import EventLogError, redaction, store_url
from eventlog.cli.command import Invocation
from eventlog.redaction import (
    ERROR_LENGTH,
    MARK,
    redact,
    redacted,
    redacted_with_causes,
)
from eventlog.store_url import public_url
from eventlog.stores.jetstream.opening import split_url
from tests.growing import grows, no_collections

V: Final = "hUnter2xQ9zT7"
LONG: Final = "Zk3" + "aB9" * 14

FORMS: Final = (
    # Found by an outsider with 99 forms of their own.
    f"curl -u admin:{V} https://acme.example",
    f"curl --user 'admin:{V}' https://acme.example",
    f"machine api.example login bob password {V}",
    f"https://api.telegram.org/bot123456789:AAH{LONG}/getMe",
    f'{{"auths":{{"r.io":{{"auth":"{LONG}=="}}}}}}',
    f'Authorization: Digest username="u", response="{V}"',
    f"Authorization: AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature={LONG}",
    f"Private-Lines: 14\n{LONG}\n{LONG}\nPrivate-MAC: 00",
    f"FlyV1 fm2_{LONG}",
    f"dt0c01.ABCDEFG2ABCD.{'ABCDEFG2ABC' * 3}",
    f"pscale_tkn_{LONG}",
    f"{LONG[:14]}.atlasv1.{LONG}",
    f"HRKU-{LONG}",
    f"Passwort: {V}",
    f"the password is {V}",
    # A name and a value.
    f"password={V}",
    f"password = {V}",
    f"Password: {V}",
    f"PGPASSWORD={V} psql",
    f"DB_PASSWORD={V}",
    f"db.password={V}",
    f"passwd={V}",
    f"pwd={V};",
    f"passphrase: {V}",
    f"sslpassword={V} host=h",
    f"host=h password='{V} {V}' user=u",
    f'password="{V}, {V}"',
    f'{{"password": "{V}"}}',
    f"{{'password': '{V}'}}",
    f'{{\\"password\\": \\"{V}\\"}}',
    f'{{"password":"{V}\\"{V}"}}',
    f'{{"api_key": "{V}"}}',
    f'{{"apiKey":"{V}"}}',
    f"api-key: {V}",
    f"X-Api-Key: {V}",
    f"OPENAI_API_KEY={V}",
    f"api_key={V}",
    f"client_secret={V}",
    f"secret: {V}",
    f'"secret" => "{V}"',
    f"<password>{V}</password>",
    f"--password {V}",
    f"--api-key={V}",
    f"--token {V}",
    f"AccountName=a;AccountKey={LONG}==;EndpointSuffix=x",
    f"SharedAccessKey={LONG}=",
    f"aws_access_key_id={V}",
    f"aws_secret_access_key={LONG}",
    f"AWS_SECRET_ACCESS_KEY: {LONG}",
    f"aws_session_token={LONG}//{LONG}",
    f'"SessionToken": "{LONG}"',
    f'"SecretAccessKey": "{LONG}"',
    f"access_token={V}",
    f"refresh_token={V}",
    f'{{"token": "{V}"}}',
    f"token={V}",
    f"token: {V}",
    f"auth_token='{V}'",
    f"private_key={V}",
    # Headers and schemes.
    f"Authorization: Bearer {V}",
    f"Authorization: Basic {LONG}==",
    f"Authorization: Token {V}",
    f"authorization: token {V}",
    f"Authorization: ApiKey {V}",
    f"Authorization: {V}",
    f"'Authorization': 'Bearer {V}'",
    f'"Proxy-Authorization": "Basic {LONG}"',
    f"Bearer {V}",
    f"Bearer: {V}",
    f"bearer\t{V}",
    "Basic dXNlcjpwYXNzd29yZA==",
    "Basic dXNlcjpwYXNz",
    f"Token {V}",
    f"Cookie: session={V}; other={V}",
    f"Set-Cookie: sid={V}; HttpOnly",
    f"GET /x?X-Amz-Signature={LONG}&a=1",
    f"https://x.blob.core.windows.net/c?sv=1&sig={LONG}%3D",
    f"GET /maps?key={LONG}",
    # PEM.
    f"-----BEGIN RSA PRIVATE KEY-----\n{LONG}\n{LONG}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\\n{LONG}\\n-----END PRIVATE KEY-----",
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{LONG}",
    f"-----BEGIN EC PRIVATE KEY-----{LONG}-----END EC PRIVATE KEY-----",
    f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{LONG}\n-----END ENCRYPTED PRIVATE KEY-----",
    f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{LONG}\n-----END PGP PRIVATE KEY BLOCK-----",
    # URLs.
    f"postgresql://u:{V}@h/db",
    f"postgresql://u:{V}/{V}@h/db",
    f"postgresql://u:{V}@{V}@h/db",
    f"postgresql://u:{V}%40{V}@h:5432/db?x=1",
    f"postgres://u:{V}?{V}@h/db",
    f"postgresql://u@h/db?password={V}&x=1",
    f"postgresql://u@h/db?sslmode=x&sslpassword={V}",
    f"redis://:{V}@h:6379/0",
    f"https://u:{V}@h/path",
    f"https://{V}@github.com/x.git",
    f"nats://{V}@h:4222",
    f"nats://u:{V}@h:4222,h2:4222",
    f"tls://{V}@h:4222",
    f"nats://h:4222?token={V}",
    f"amqp://u:{V}@h//",
    "https://hooks.slack.com/services/T00000000/B00000000/hUnter2xQ9zT7hUnter2xQ9z",
    # Prefixes of providers.
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    f"sk-{LONG}",
    f"sk-proj-{LONG}",
    f"sk-ant-api03-{LONG}",
    f"sk_live_{LONG}",
    f"rk_test_{LONG}",
    f"ghp_{LONG}",
    f"gho_{LONG}",
    f"github_pat_{LONG}",
    f"glpat-{LONG}",
    f"hf_{LONG}",
    f"xoxb-12345-{LONG}",
    f"xoxp-12345-{LONG}",
    f"xapp-1-{LONG}",
    f"AIza{LONG}",
    f"ya29.{LONG}",
    f"GOCSPX-{LONG}",
    f"npm_{LONG}",
    f"pypi-{LONG}",
    f"SG.{LONG}.{LONG}",
    "dop_v1_" + "0a1b" * 16,
    "shpat_" + "0a1b" * 8,
    f"gsk_{LONG}",
    f"xai-{LONG}",
    f"pplx-{LONG}",
    f"nvapi-{LONG}",
    f"r8_{LONG}",
    f"whsec_{LONG}",
    f"lin_api_{LONG}",
    f"hvs.{LONG}",
    "dapi" + "0a1b" * 8,
    "SK" + "0a1b" * 8,
    "12345678:" + "aB9_x" * 7,
    "SU" + "ABCDEFG2" * 7,
    f"eyJhbGciOiJIUzI1NiJ9.{LONG}.{LONG}",
)

HARMLESS: Final = (
    "password authentication failed for user 'ada'",
    "no password supplied",
    "the password is wrong",
    "max_tokens=4096, prompt_tokens: 12",
    '{"total_tokens": 123456789}',
    "unexpected token: identifier",
    "unexpected token at line 12",
    "the token limit is 128000",
    "a bearer of news",
    "bearer instruments are rare",
    "basic understanding of things",
    "Basic Understanding",
    "task-abcdefgh1234",
    "risk-averse-people",
    "a secret garden",
    "idempotency_key='order-17'",
    "the key is 'abc'",
    "password=None",
    '"api_key": null',
    "session_id=0190f5e2-7b1c-7d3e-8a52-0123456789ab",
    "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "2026-11-30T04:00:00Z",
    "https://example.org/a/b?page=2#x",
    "postgresql://ada@db.example.org:5432/log?schema=x",
    "sqlite:///srv/agent.db",
    "mail ada@example.org at 10:30",
    "git@github.com:ada/repo.git",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "author: Ada Lovelace",
    "0190f5e2 sky-blue skip-this-one",
)


def secrets_in(text: str) -> list[str]:
    """Return what of a form must never be seen again."""
    known = [V, LONG, "dXNlcjpwYXNz", "IOSFODNN7", "0a1b0a1b", "aB9_xaB9", "ABCDEFG2ABC"]
    return [secret for secret in known if secret in text]


def _long_s(text: str) -> str:
    return text.replace("s", "\u017f").replace("k", "\u212a")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("around", ["{}", "401 from the provider: {} (try again)", "x\n{}\ny"])
def test_a_secret_of_a_known_form_is_redacted(form: str, around: str) -> None:
    assert secrets_in(form)

    text = redact(around.format(form))

    assert secrets_in(text) == []
    assert MARK in text
    assert redact(text) == text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "change", [str, str.upper, str.lower, _long_s], ids=["as it is", "upper", "lower", "long s"]
)
def test_the_words_of_a_form_hide_no_match_of_its_pattern(
    form: str, change: Callable[[str], str]
) -> None:
    """G5: a pattern is passed over where its words are missing, whatever case they are in."""
    text = change(form)
    lowered = text.lower().replace("\u017f", "s")

    forms, groups = redaction._compiled()
    for pattern, _, needed in forms:
        if pattern.search(text):
            words = [groups[place] for place in needed]
            assert all(any(word in lowered for word in each) for each in words), pattern.pattern


@pytest.mark.parametrize("around", ["{}", "see {}, please", "/{}/", "=\u0663{}", "é{}é", "a{}"])
def test_keys_that_providers_mark_are_found_among_long_words_as_in_the_whole_text(
    around: str,
) -> None:
    """G5: the pattern of all of them is tried where there are as many characters without a blank."""
    prefixed = redaction._prefixed()
    for form in FORMS:
        text = around.format(form)
        assert redaction._RUN.sub(redaction._without_keys, text) == prefixed.sub(MARK, text), text
    parse: Any = vars(re)["_parser"].parse
    shortest, _ = parse(redaction._PREFIXED).getwidth()
    assert redaction._RUN.search("a" * shortest)
    assert not redaction._RUN.search("a" * (shortest - 1))
    assert sum(bool(prefixed.search(form)) for form in FORMS) >= 40


def test_the_table_has_more_forms_than_were_reported() -> None:
    assert len(set(FORMS)) >= 65


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("form", [form for form in FORMS if "://" in form and form.count(" ") == 0])
def test_no_url_is_shown_with_a_secret(form: str) -> None:
    if "hooks.slack" not in form and "telegram" not in form and "key=" not in form:
        assert secrets_in(public_url(form)) == []


@pytest.mark.parametrize(
    "piece",
    [
        "a", "-", "password=", "password='", 'token="', "-----BEGIN PRIVATE KEY-----", "://", "://a:",
        "@", "eyJ", "eyJaaaaaaaa.", "Bearer ", "Basic a", '\\"', "sk-", "Authorization: ", "<password>",
        " ", "=", "password=)", "://:@", "1", "token ", "a.", "xoxb-", "cookie:",
    ],
)  # fmt: skip
def test_redaction_takes_linear_time(piece: str) -> None:
    """G6: eight times the text takes about eight times as long, whatever it holds."""

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        with no_collections():
            begin = time.process_time()
            redact(text)
            return (
                time.process_time() - begin + 0.001
            )  # What is too short to compare counts as equal.

    assert not grows(partial(seconds, 5_000), partial(seconds, 40_000), 25)


@pytest.mark.parametrize(
    "url",
    [
        f"sqlite:///x.db?password={V}",
        f"files:///x?password={V}",
        f"memory:?password={V}",
        f"mysql://u:{V}@h/db",
        f"nats://u:{V}@h:port",
        f"postgresql://u:{V}@h:port/db",
        f"postgresql://u:{V}/{V}@127.0.0.1:1/db",
    ],
)
def test_an_url_that_cannot_be_opened_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(EventLogError) as caught:
        eventlog.open(url)

    assert V not in str(caught.value)


def test_an_error_is_redacted_before_it_is_cut() -> None:
    assert V not in redacted(RuntimeError("x" * 480 + f" password={V}"))


@pytest.mark.parametrize(
    "url", [f"nats://u:{V}@h:4222", f"nats://{V}@h:4222", f"tls://u:{V}@h:4222?stream=x"]
)
def test_no_repr_has_a_password(url: str) -> None:
    location = url.partition("://")[2]
    _, _, options = store_url.split_url(url)

    assert V not in repr(split_url(f"nats://{location}", options))
    assert V not in repr(Invocation(url))


# ---- causes -----------------------------------------------------------------------------------

Raised = TypeVar("Raised", bound=BaseException)


def _raised_from(error: Raised, cause: BaseException) -> Raised:
    error.__cause__ = cause
    return error


class _Closed(Exception):
    """An error whose text, cause and members cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    @property
    def __cause__(self) -> BaseException | None:  # type: ignore[override]
        raise RuntimeError("no cause")


def test_a_recorded_error_has_what_it_was_raised_from_and_the_errors_of_a_group() -> None:
    key = "sk-0123456789abcdef"
    reset = _raised_from(ConnectionResetError("reset"), OSError(f"socket of {key}"))
    inner = ExceptionGroup("two", [reset, ValueError(key)])
    error = _raised_from(RuntimeError("the call failed"), inner)

    assert redacted_with_causes(error) == (
        "RuntimeError: the call failed (from ExceptionGroup: two (2 sub-exceptions) "
        "[ConnectionResetError: reset (from OSError: socket of [redacted]); ValueError: [redacted]])"
    )
    assert redacted_with_causes(ValueError("alone")) == "ValueError: alone"
    told = _raised_from(RuntimeError("the callable raised SystemExit(3)"), SystemExit(3))
    assert redacted_with_causes(told) == "RuntimeError: the callable raised SystemExit(3)"


def test_each_of_many_long_causes_gets_a_share() -> None:
    members = [OSError(f"{number} " + "x" * 10_000) for number in range(4)]
    text = redacted_with_causes(
        _raised_from(RuntimeError("y" * 10_000), ExceptionGroup("g", members))
    )
    assert len(text) <= ERROR_LENGTH
    assert all(f"OSError: {number} x" in text for number in range(4))


def test_what_is_behind_an_error_is_bounded_whatever_it_is() -> None:
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    assert redacted_with_causes(first) == "RuntimeError: first (from RuntimeError: second)"

    many = ExceptionGroup("many", [ValueError(str(number)) for number in range(100_000)])
    assert redacted_with_causes(many).endswith("ValueError: 10; …]")

    def in_a_group(error: Exception) -> Exception:
        return ExceptionGroup("g", [error])

    deep: Exception = ValueError("the innermost")
    for _ in range(400):
        deep = in_a_group(deep)
    assert redacted_with_causes(deep).count("ExceptionGroup") == 6

    assert "its text cannot be read" in redacted_with_causes(_Closed())
    assert "its text cannot be read" in redacted_with_causes(ExceptionGroup("g", [_Closed()]))
    assert redacted_with_causes(RuntimeError("\ud83d")) == "RuntimeError: \\ud83d"
