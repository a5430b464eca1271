"""When an attempt is worth repeating, how long after, and what is told of it (F3, F4, F11)."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import (
    InvalidArgument,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    StoreUnavailable,
)
from eventlog.tasks.finalizer import EmptySummary
from eventlog.tasks.policy import ERROR_LENGTH, classify, redacted

# ---- classes of errors ------------------------------------------------------------------------


class HttpError(Exception):
    """What a client raises: the status on itself or on its response, under one of many names."""

    def __init__(self, text: str = "", **attributes: object) -> None:
        super().__init__(text)
        self.__dict__.update(attributes)


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
    ],
    ids=repr,
)
def test_what_stays_so_is_fatal(error: BaseException) -> None:
    """F4: no further cost."""
    assert classify(error) == "fatal"


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
    with pytest.raises(InvalidArgument, match="at least one attempt"):
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
    ],
)
def test_secrets_are_redacted_wherever_they_stand(secret: str) -> None:
    """F11."""
    text = redacted(RuntimeError(f"calling with key='{secret}' or {secret}, failed"))

    assert secret not in text
    assert secret.split()[-1] not in text
    assert text.count("[redacted]") == 2
    assert text.startswith("RuntimeError: calling with key=")


@pytest.mark.parametrize("text", ["task-abcdefgh1234", "risk-averse-people", "a bearer of news"])
def test_ordinary_words_are_not_secrets(text: str) -> None:
    assert redacted(text) == text


def test_an_error_is_cut_at_its_limit_after_redaction() -> None:
    secret = "sk-" + "a" * 100
    text = redacted("x" * (ERROR_LENGTH - 10) + " " + secret + "y" * 100)

    assert len(text) == ERROR_LENGTH
    assert "sk-" not in text
    assert text.endswith("…")
    assert redacted("x" * ERROR_LENGTH) == "x" * ERROR_LENGTH


def test_an_error_names_its_type() -> None:
    assert redacted(ValueError("no")) == "ValueError: no"
