"""The API is searched from its own description by schemathesis: no check of it may fail (R9).

The requests are drawn from the schema, or violate it somewhere. The suite sends a fixed share; the
nightly profile 500 to each operation, half of each kind, and all of the cases at the edges of the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, TypeAlias, cast
from urllib.parse import parse_qs, urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.python.asgi import get_client
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
)
from starlette.requests import Request

import eventlog
from eventlog import Message
from eventlog.http import ANY, Principal, create_app
from eventlog.http.application import ROUTES
from eventlog.http.limits import WAIT_SECONDS
from tests.http.contradictions import is_contradiction
from tests.shares import NIGHTLY, examples

HEADERS: Final = {"Authorization": "Bearer a-token-that-nobody-draws"}

THERE: Final = {"session_id": "s", "message_id": "m", "turn_id": "t", "step": "ask"}
"""What is there, so that requests reach the insides of the operations."""

STATES: Final = ["404", "409", "410", "412"]
"""Statuses that a request gets for the state of a session, whatever it says: `If-Match` names a version
that may have passed (412), and a session may be closed (410)."""

CONFIG: Final = {
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", *STATES]},
        "negative_data_rejection": {
            "expected-statuses": ["401", "403", "405", "415", "422", *STATES]
        },
    }
}

REPEATED: Final = "duplicate_key"
"""The code of a request with a key that an earlier one had; its status, 422, is that of invalid ones."""

Check: TypeAlias = Callable[["Case[Any]"], None]

EDGES: Final = 60
"""Of how many cases at the edges of the schema the suite sends one."""


def authorize(request: Request) -> Principal | None:
    is_known = request.headers.get("authorization") == HEADERS["Authorization"]
    return Principal(ANY) if is_known else None


@pytest.fixture(scope="module")
def described() -> Iterator[Any]:
    """The description, as schemathesis reads it from an app with one session."""
    with eventlog.open("memory:") as log:
        session = log.session("s", create=True)
        session.append(Message.user("hello", id="m"))
        session.begin_turn("t").record_step("ask", {"answer": 42})
        app = create_app(log, authorize=authorize, hosts=("*",))
        config = SchemathesisConfig.from_dict(CONFIG)
        described = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
        with get_client(
            cast("Any", app)
        ) as client:  # One for all requests: each starts a thread and a loop.
            yield described, client


@pytest.fixture(params=[operation.name for operation in ROUTES.operations])
def operation(request: pytest.FixtureRequest, described: tuple[Any, Any]) -> Any:
    return described[0].find_operation_by_id(request.param)


@pytest.fixture
def check(described: tuple[Any, Any]) -> Check:
    return partial(check_answer, client=described[1])


def check_answer(case: Case[Any], client: Any) -> None:
    """Send a request and look at the answer with every check of schemathesis."""
    if is_contradiction(case.path_parameters or {}, case.headers or {}, case.body):
        return
    do_not_wait(case)
    response = case.call(headers=HEADERS, session=client)
    excluded: list[Any] = []
    if response.status_code == 422 and response.json()["error"]["code"] == REPEATED:
        excluded.append(positive_data_acceptance)
    if is_lost(case, str(response.request.url)):
        excluded.append(negative_data_rejection)
    case.validate_response(response, excluded_checks=excluded)


def is_lost(case: Case[Any], url: str) -> bool:
    """Return whether a parameter was not sent: without a value it has no form in a query.

    If that is all that makes a request wrong, there is nothing to refuse.
    """
    sent = parse_qs(urlsplit(url).query, keep_blank_values=True)
    return not {*(case.query or {})} <= {*sent}


def do_not_wait(case: Case[Any]) -> None:
    """Let a request that may wait, for an event or a turn, wait for nothing."""
    for said in (case.query, case.body):
        if isinstance(said, dict) and isinstance(seconds := said.get("wait_seconds"), int | float):
            said["wait_seconds"] = 0 if 0 <= seconds <= WAIT_SECONDS else seconds


UNHEALTHY: Final = (
    *(HealthCheck.too_slow, HealthCheck.data_too_large),
    *(HealthCheck.filter_too_much, HealthCheck.large_base_example),
)
"""How schemathesis draws is its own affair."""


def search(count: int) -> settings:
    return settings(examples(count, nightly=250), suppress_health_check=UNHEALTHY)


def test_what_the_description_allows_is_taken(operation: Any, check: Check) -> None:
    @given(
        case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE), is_there=st.booleans()
    )
    @search(2)
    def send(case: Case[Any], is_there: bool) -> None:
        if is_there:
            case.path_parameters.update(
                {name: THERE[name] for name in {*THERE} & {*case.path_parameters}}
            )
        check(case)

    send()


def test_what_the_description_forbids_is_refused(operation: Any, check: Check) -> None:
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @search(2)
    def send(case: Case[Any]) -> None:
        check(case)

    send()


def test_what_is_at_an_edge_of_the_description_is_answered_as_it_says(
    operation: Any, check: Check
) -> None:
    cases = operation.schema.iter_coverage_cases(
        operation,
        generation_modes=[*GenerationMode],
        generation_config=operation.schema.config.generation_for(operation=operation),
    )
    for number, case in enumerate(cases):
        if NIGHTLY or number % EDGES == 0:
            check(case)
