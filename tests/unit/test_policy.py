"""Which errors are tried again, after which delay, and what is shown of them (F3, F4, F11)."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import (
    CorruptLog,
    InvalidArgument,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    StoreUnavailable,
    Summary,
)
from eventlog.redaction import ERROR_LENGTH, redacted
from eventlog.worker.finalizer import EmptySummary
from eventlog.worker.retry_policy import (
    ERROR_TEXT_LENGTH,
    classify,
    classify_result,
    retry_after,
)

# ---- classes of errors ------------------------------------------------------------------------


class HttpError(Exception):
    """What a client raises: the status on itself or on its response, under one of many names."""

    def __init__(self, text: str = "", **attributes: object) -> None:
        super().__init__(text)
        self.__dict__.update(attributes)


def raised_from(error: Exception, cause: Exception) -> Exception:
    """Return an error as ``raise error from cause`` leaves it."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        RetryableError("worth it"),
        RetryableError("prompt is too long, says the raiser, but worth it"),
        StoreUnavailable("locked"),
        HttpError(status_code=500),
        HttpError(status_code=503),
        HttpError(status=429),
        HttpError(http_status=408),
        HttpError(code=409),
        HttpError(response=SimpleNamespace(status_code=502)),
        ConnectionError("reset"),
        socket.gaierror("no such host"),
        TimeoutError(),
        asyncio.CancelledError(),
        EmptySummary("empty"),
        RuntimeError("nothing is known of it"),
        HttpError("a number that is no status", code=7),
        HttpError("Rate limit: too many tokens per minute", status_code=429),
        RuntimeError("rate_limit_error: too many tokens per minute"),
        RuntimeError("overloaded_error"),
        raised_from(RuntimeError("it failed"), HttpError(status_code=503)),
        ExceptionGroup("all", [TimeoutError(), HttpError(status_code=500)]),
    ],
    ids=repr,
)
def test_what_may_pass_is_transient(error: BaseException) -> None:
    assert classify(error) == "transient"


@pytest.mark.parametrize(
    "error",
    [
        NonRetryableError("no"),
        HttpError(status_code=400),
        HttpError(status_code=401),
        HttpError(status_code=404),
        HttpError(response=SimpleNamespace(status_code=413)),
        HttpError("Prompt is too long", status_code=500),
        RuntimeError("maximum context length exceeded"),
        RuntimeError("prompt too long: 210000 tokens > 200000 maximum"),
        ValueError("invalid payload"),
        KeyError("missing"),
        TypeError("wrong"),
        AttributeError("wrong"),
        CorruptLog("the archive cannot be read"),
        InvalidArgument("the step has no name"),
        RuntimeError("Input is too long for requested model"),
        RuntimeError("{'code': 'context_length_exceeded'}"),
        raised_from(RuntimeError("it failed"), HttpError(status_code=422)),
        raised_from(RuntimeError("it failed"), raised_from(OSError(), HttpError(status=400))),
        ExceptionGroup("all", [TimeoutError(), HttpError(status_code=400)]),
    ],
    ids=repr,
)
def test_what_stays_so_is_fatal(error: BaseException) -> None:
    """F4: no further cost."""
    assert classify(error) == "fatal"


# ---- results that are errors ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error_class"),
    [
        ("Prompt is too long", "fatal"),
        ("  prompt is too long: 210000 tokens > 200000 maximum\n", "fatal"),
        ("API Error: 400 prompt is too long: 210000 tokens", "fatal"),
        ("{'error': {'message': 'maximum context length is 8192'}}", "fatal"),
        ("Error code: 401 - invalid x-api-key", "fatal"),
        ("API Error: 529 overloaded", "transient"),
        ("Error: 503 Service Unavailable", "transient"),
        ("error: rate limit reached", "transient"),
        ("# Deploying\n\nThe prompt is too long.", None),
        ("The user found that the prompt is too long.", None),
        ("Errors were corrected; 404 pages remain.", None),
        ("Error handling was discussed.", None),
        ("Error: 503 " + "x" * ERROR_TEXT_LENGTH, None),
        ("", None),
    ],
)
def test_an_error_that_was_returned_as_text_is_told_from_a_result(
    text: str, error_class: str | None
) -> None:
    """F4."""
    assert classify_result(text) == error_class
    assert classify_result(Summary(overview=text, abstract="Error: 503")) == error_class


@pytest.mark.parametrize("result", [None, 7, {"error": "Prompt is too long"}, ["Error: 503"]])
def test_what_is_no_text_is_a_result(result: object) -> None:
    assert classify_result(result) is None


# ---- hints of services ------------------------------------------------------------------------

MOMENT = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RetryableError("busy", retry_after=30), 30),
        (RetryableError("busy", retry_after=0.5), 0.5),
        (RetryableError("busy"), 0),
        (HttpError(retry_after=7), 7),
        (HttpError(retry_after=-7), 0),
        (HttpError(retry_after="soon"), 0),
        (HttpError(response=SimpleNamespace(headers={"Retry-After": "12"})), 12),
        (HttpError(response=SimpleNamespace(headers={"retry-after-ms": "1500"})), 1.5),
        (
            HttpError(
                response=SimpleNamespace(headers={"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT"})
            ),
            60,
        ),
        (
            HttpError(
                response=SimpleNamespace(headers={"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"})
            ),
            0,
        ),
        (HttpError(response=SimpleNamespace(headers={"retry-after": "later"})), 0),
        (HttpError(response=SimpleNamespace(headers={"retry-after": "inf"})), 0),
        (HttpError(response=SimpleNamespace(headers=None)), 0),
        (HttpError(retry_after=86_400), 3_600),
        (raised_from(RuntimeError("it failed"), HttpError(retry_after=3)), 3),
    ],
)
def test_a_service_says_for_how_long_it_wants_to_be_left_alone(
    error: Exception, seconds: float
) -> None:
    """F4: in the ways that the usual clients pass on; an hour at most."""
    assert retry_after(error, MOMENT) == seconds * 1_000_000


# ---- delays -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (5_000, 60)]
)
def test_the_longest_delay_doubles_up_to_the_cap(attempt: int, seconds: int) -> None:
    assert RetryPolicy().delay(attempt, 1.0) == seconds * 1_000_000


@given(st.integers(1, 100), st.floats(0, 1))
def test_the_delay_is_drawn_from_nothing_to_the_longest(attempt: int, drawn: float) -> None:
    """F3: full jitter."""
    policy = RetryPolicy(attempts=9, base_seconds=0.5, cap_seconds=20.0)

    delay = policy.delay(attempt, drawn)

    assert delay == int(policy.delay(attempt, 1.0) * drawn)
    assert 0 <= delay <= 20_000_000


@pytest.mark.parametrize(
    "options", [{"attempts": 0}, {"attempts": -1}, {"base_seconds": -0.1}, {"cap_seconds": -1.0}]
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match=f"{next(iter(options))} is "):
        RetryPolicy(**options)  # type: ignore[arg-type]


# ---- error texts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        "sk-abcdefgh12345678",
        "sk-proj-abc_DEF-1234567890",
        "pk-abcdefgh12345678",
        "ghp_abcdefghij0123456789",
        "gho_abcdefghij0123456789",
        "github_pat_11ABCDEFG0123456789_abc",
        "xoxb-123456789-abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "Bearer abc.def-ghi_jkl~+/=",
        "bearer\tabcdef123",
        "sk_live_abcdefgh12345678",
        "glpat-abcdefghij0123456789",
        "hf_abcdefghij0123456789",
        "AIzaSyA-abcdefghijklmnopqrstu",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP",
    ],
)
def test_secrets_are_redacted_wherever_they_stand(secret: str) -> None:
    """F11."""
    text = redacted(RuntimeError(f"calling with key='{secret}' or {secret}, failed"))

    assert secret not in text
    assert secret.rsplit(maxsplit=1)[-1] not in text
    assert text.count("[redacted]") == 2
    assert text.startswith("RuntimeError: calling with key=")


@pytest.mark.parametrize("text", ["task-abcdefgh1234", "risk-averse-people", "a bearer of news"])
def test_ordinary_words_are_not_secrets(text: str) -> None:
    assert redacted(text) == text


def test_a_password_in_an_address_is_redacted() -> None:
    text = redacted("cannot reach https://ada:hunter2@example.org/v1")

    assert text == "cannot reach https://[redacted]@example.org/v1"


def test_an_error_is_cut_at_its_limit_after_redaction() -> None:
    secret = "sk-" + "a" * 100
    text = redacted("x" * (ERROR_LENGTH - 10) + " " + secret + "y" * 100)

    assert len(text) == ERROR_LENGTH
    assert "sk-" not in text
    assert text.endswith("…")
    assert redacted("x" * ERROR_LENGTH) == "x" * ERROR_LENGTH


def test_an_error_names_its_type() -> None:
    assert redacted(ValueError("no")) == "ValueError: no"
