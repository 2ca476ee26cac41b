"""A session to take along."""

from __future__ import annotations

import json

from support.records import ledger_of, operation
from support.serving import asking
from tachograph.export import session_export
from tachograph.ledger import Ledger
from tachograph.server import create_app


def test_export(client, quickstart):
    """The export of a session is the one Python makes."""
    expected = json.loads(json.dumps(session_export(quickstart, "quickstart")))

    assert expected == client.get("/events/export/quickstart").json()
    assert expected["tasks"]


def test_of_a_session_nobody_has_heard_of():
    """Nothing is no export: status 404 with a sentence that names the id."""
    with asking(create_app(ledger_of([operation(1)]), export=session_export)) as client:
        answer = client.get("/events/export/nobody")

    assert 404 == answer.status_code
    assert "'nobody'" in answer.json()["detail"]


def test_without_an_export():
    """An app that was given no way to export has no such endpoint, nor says that it has."""
    with asking(create_app(Ledger())) as client:
        assert 404 == client.get("/events/export/a").status_code
        assert "/events/export/{session_id}" not in client.get("/openapi.json").json()["paths"]


def test_a_fault_in_the_export():
    """A key that is missing while the export is made is a fault of ours, not a session nobody has heard of."""

    def broken(*_):
        raise KeyError("name")

    with asking(create_app(ledger_of([operation(1)]), export=broken)) as client:
        assert 500 == client.get("/events/export/s").status_code
