"""Whether the server is there and can read."""

from __future__ import annotations

import pytest

from support.records import ledger_of, operation
from support.serving import asking
from tachograph.ledger import Ledger
from tachograph.server import create_app
from tachograph.sources import SourceError
from tachograph.sources.sqlite import SqliteSource


def test_health():
    """A server that can read says so, and nothing of what it reads."""
    with asking(create_app(ledger_of([operation(1)]), token="t")) as client:  # noqa: S106 - a test's
        answer = client.get("/health")

    assert (200, {"status": "ok"}) == (answer.status_code, answer.json())


class Unreadable(Ledger):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def session_count(self, *, deleted: bool = False) -> int:
        raise self.error


@pytest.mark.parametrize("error", [SourceError("/home/ada/secret.db: gone"), OSError("/home/ada/secret.db")])
def test_a_source_that_cannot_be_read(error):
    """One that cannot read says so with status 503, and not where it reads."""
    with asking(create_app(Unreadable(error))) as client:
        answer = client.get("/health")

    assert (503, {"status": "unavailable"}) == (answer.status_code, answer.json())


def test_a_store_that_was_damaged(tmp_path):
    """A store that is damaged while it is served is unavailable, and its questions are answered by status 503."""
    path = tmp_path / "sessions.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    source = SqliteSource(path)
    with asking(create_app(source)) as client:
        health, figures = client.get("/health"), client.get("/events/metrics/session/a")
    source.close()

    assert (503, 503) == (health.status_code, figures.status_code)
    assert str(path) not in health.text
    assert str(path) in figures.json()["detail"]
