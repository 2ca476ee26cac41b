"""What waits for a human, on a page."""

from __future__ import annotations

from support.pages import words
from support.records import ledger_of, operation
from tachograph import names
from tachograph.ledger import Ledger
from tachograph.pages import approvals
from tachograph.pages.frame import frame


def shown(source) -> str:
    return approvals.page(source, frame(source, "approvals"))


def test_what_waits(source):
    """An approval says what is asked, for whom, why, with which arguments, since when, and how to decide."""
    said = words(shown(source))

    for part in ("write_file waiting", "writes <files>", "session chat-42", "path a.py", 'decide("call_7", "APPROVE")'):
        assert part in said


def test_only_what_nobody_decided_on():
    """One that was decided is not there; one whose time is up is, and is said to have expired."""
    late = {names.APPROVAL_TIMEOUT: 1.0, names.TOOL_CALL_ID: "c"}
    page = shown(
        ledger_of(
            [
                operation(1, "approval", "decided", took=5),
                operation(2, "approval", "late", took=None, outcome=None, attributes=late),
            ]
        )
    )

    assert "decided" not in words(page)
    assert "late expired" in words(page)
    assert "tachograph.decide" not in page


def test_arguments_of_any_shape():
    """Arguments that are no table, or of which only the names are known, are shown as what they are."""
    facts = ({names.APPROVAL_ARGUMENTS: "[1, <2>]"}, {names.APPROVAL_NAMES: ("path", "<mode>")})
    asked = [operation(n, "approval", "w", took=None, outcome=None, attributes=f) for n, f in enumerate(facts, 1)]
    page = shown(ledger_of(asked))

    assert "arguments path, <mode>" in words(page)
    assert "<2>" not in page


def test_nothing_waits():
    """Where nothing waits the page says so."""
    assert "Nothing waits for a human." in words(shown(Ledger()))
