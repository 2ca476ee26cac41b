"""What can be asked: every question that fits the description is answered, every other refused; none is a failure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from support.records import event, ledger_of, opened, operation
from support.serving import serving
from tachograph.export import session_export
from tachograph.server import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "s3cret"  # noqa: S105 - a test's


def ledger():
    return ledger_of(
        [
            operation(1, "agent", "manager", session="session-123"),
            operation(2, session="session-123", parent=1),
            opened(operation(3, "approval", "write_file", session="session-123")),
            event(4, "message_added", session="session-123", text="\ud800 \0"),
            operation(5, session="\ud800", outcome="error", error_type="ValueError"),
        ]
    )


def described(url: str, **headers: str) -> schemathesis.openapi.OpenApiSchema:
    """The description that is served; the stream apart, which does not end by itself."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
    return schema.exclude(path="/events/live")


@pytest.fixture(scope="module")
def unlocked() -> Iterator[schemathesis.openapi.OpenApiSchema]:
    with serving(create_app(ledger(), export=session_export)) as url:
        yield described(url)


@pytest.fixture(scope="module")
def locked() -> Iterator[schemathesis.openapi.OpenApiSchema]:
    with serving(create_app(ledger(), token=TOKEN, export=session_export)) as url:
        yield described(url, Authorization=f"Bearer {TOKEN}")


def ask(schema: schemathesis.openapi.OpenApiSchema, path: str, count: int, **headers: str) -> None:
    """Ask at random: ``count`` questions that fit the description, and as many that do not."""
    bounds = settings(max_examples=count, derandomize=True, database=None, suppress_health_check=list(HealthCheck))

    @bounds
    @given(schema[path]["GET"].as_strategy())
    def fitting(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers)

    @bounds
    @given(schema[path]["GET"].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def unfitting(case: schemathesis.Case) -> None:
        # What is wrong by type may be right as text, and in an address everything is text.
        case.call_and_validate(headers=headers, excluded_checks=[CHECKS.get_one("negative_data_rejection")])

    fitting()
    with contextlib.suppress(Unsatisfiable):  # there is nothing to ask wrongly
        unfitting()


PATHS = (
    "/health",
    "/events/metrics",
    "/events/metrics/sessions",
    "/events/metrics/session/{session_id}",
    "/events/audit-log",
    "/events/stats",
    "/events/timeline",
    "/events/approvals",
    "/events/export/{session_id}",
)


def test_every_path_is_asked(unlocked):
    """What follows asks every path there is."""
    assert set(PATHS) == {operation.ok().path for operation in unlocked.get_all_operations()}


@pytest.mark.parametrize("path", PATHS)
def test_at_random(unlocked, path):
    """Whatever is asked is answered as described, or refused as described, and is never an error of the server's."""
    ask(unlocked, path, 25)


@pytest.mark.parametrize("path", PATHS)
def test_at_random_with_a_token(locked, path):
    """The same holds where a token is needed, without which nothing is answered."""
    ask(locked, path, 10, Authorization=f"Bearer {TOKEN}")


@pytest.mark.long
@pytest.mark.parametrize("path", PATHS)
def test_at_random_for_long(unlocked, path):
    """The same, for as long as it takes to be sure."""
    ask(unlocked, path, 2_000)
