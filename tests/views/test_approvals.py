"""What was a human asked, and what came of it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import MOMENT, SECOND, event, operation
from tachograph import names
from tachograph.clip import as_json
from tachograph.views.approvals import approvals_view, changes

if TYPE_CHECKING:
    from tachograph.records import Operation

ASKED = {names.TOOL_CALL_ID: "c", names.TOOL_NAME: "drop"}


def asked(number: int = 1, *, took: float | None = None, at: float = 0, **facts: Any) -> Operation:
    """An approval, by the last words of its attributes' names."""
    words = {"decision": names.APPROVAL_DECISION, "timeout": names.APPROVAL_TIMEOUT, "late": names.APPROVAL_LATE}
    attributes = ASKED | {words[name]: value for name, value in facts.items()}
    return operation(number, "approval", "drop", at=at, took=took, attributes=attributes)


@pytest.mark.parametrize(
    ("record", "after", "expected"),
    [
        (asked(), 0, "pending"),
        (asked(timeout=5.0), 5, "pending"),
        (asked(timeout=5.0), 6, "EXPIRED"),
        (asked(took=10, decision="REJECT"), 60, "REJECT"),
        (asked(took=10), 60, "EXPIRED"),
    ],
)
def test_an_approval_is_what_became_of_it(record: Operation, after: int, expected: str) -> None:
    """An approval is pending, expired or decided, at the moment it is asked about."""
    (row,) = approvals_view([record], MOMENT + after * SECOND)
    assert expected == row["status"]
    assert [row] == approvals_view([record], MOMENT + after * SECOND, pending=expected == "pending")
    assert [] == approvals_view([record], MOMENT + after * SECOND, pending=expected != "pending")


def test_a_pending_one_has_waited_until_now() -> None:
    """The time that one waits which nobody has decided goes on; it is never negative."""
    assert [3_000.0] == [row["waiting_ms"] for row in approvals_view([asked()], MOMENT + 3 * SECOND)]
    assert [0.0] == [row["waiting_ms"] for row in approvals_view([asked()], MOMENT - SECOND)]


@pytest.mark.parametrize(
    "record", [asked(timeout=5.0), asked(took=60_000, timeout=5.0, decision="EXPIRED", late="APPROVE")]
)
def test_one_that_expired_has_waited_as_long_as_it_could(record: Operation) -> None:
    """The time that one has waited ends with its time, though nobody ever decides, or somebody too late."""
    assert [5_000.0] == [row["waiting_ms"] for row in approvals_view([record], MOMENT + 90 * SECOND)]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([operation(2, "tool", "drop", at=20, took=5, attributes=ASKED)], (2, "ok", 5.0)),
        ([operation(2, "tool", "drop", at=20, took=None, attributes=ASKED)], (2, None, None)),
        (
            [operation(n, "tool", "drop", at=at, took=5, attributes=ASKED) for n, at in ((2, 30), (3, 20))],
            (3, "ok", 5.0),
        ),
        ([operation(2, "tool", "drop", at=5, took=1, attributes=ASKED)], None),
        ([operation(9, "tool", "drop", at=-5, took=50, attributes=ASKED)], (9, "ok", 50.0)),
        ([operation(2, "tool", "drop", at=20, took=0, outcome="refused", attributes=ASKED)], None),
        ([operation(2, "tool", "drop", at=20, took=0, outcome="waiting", attributes=ASKED)], None),
        ([operation(2, "tool", "drop", at=20, took=5, session="other", attributes=ASKED)], None),
        ([operation(2, "tool", "drop", at=20, took=5)], None),
        ([], None),
    ],
    ids=["after", "open", "first", "before", "around", "refused", "waiting", "session", "no id", "none"],
)
def test_the_execution_is_the_call_that_was_decided_on(
    calls: list[Operation], expected: tuple[int, str, float] | None
) -> None:
    """It is the first call of that id in that session that ran after the decision, or the one that asked itself."""
    approval = asked(took=10, decision="APPROVE")._replace(parent_id=f"{9:016x}")
    (row,) = approvals_view([*calls, event(1, "message_added"), approval], MOMENT)
    found = row["execution"]
    assert expected == (None if found is None else (int(found["id"], 16), found["outcome"], found["duration_ms"]))


def test_approvals_are_listed_once_and_oldest_first() -> None:
    """Of a record that is there open and ended the ended one counts, in order of the question."""
    records = [asked(2, at=5), asked(1), asked(2, at=5, took=1, decision="EDIT")]
    assert [("pending", 1), ("EDIT", 2)] == [
        (row["status"], int(row["id"], 16)) for row in approvals_view(records, MOMENT)
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('{"a":1}', None, None),
        ('{"a":1}', '{"a":1}', {}),
        (
            '{"a":1,"b":2}',
            '{"a":3,"c":4}',
            {"added": {"c": 4}, "removed": {"b": 2}, "changed": {"a": {"from": 1, "to": 3}}},
        ),
        (None, '{"a":1}', {"changed": {"": {"from": None, "to": {"a": 1}}}}),
        ("cut {", "text", {"changed": {"": {"from": "cut {", "to": "text"}}}),
        ("[1]", "[1]", {}),
    ],
)
def test_changes_are_what_differs(before: str | None, after: str | None, expected: dict[str, Any] | None) -> None:
    """What was added, removed and changed is told apart; of what is no table the whole is."""
    assert expected == changes(before, after)


_tables = st.dictionaries(
    st.text(max_size=3), st.none() | st.booleans() | st.integers() | st.text(max_size=3), max_size=4
)


@given(_tables, _tables)
def test_changes_lead_from_one_version_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    """With what was removed taken away, added put in and changed replaced, the original is what it was edited to."""
    found = changes(as_json(before), as_json(after))
    assert found is not None
    made = {key: value for key, value in before.items() if key not in found.get("removed", {})}
    made |= found.get("added", {}) | {key: change["to"] for key, change in found.get("changed", {}).items()}
    assert after == made
