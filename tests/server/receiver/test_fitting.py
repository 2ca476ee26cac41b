"""Records of others are cut to a size that the ledger can keep ten thousand of."""

from __future__ import annotations

import pytest

from support.records import event, operation
from tachograph import names
from tachograph.canonical import record_from_text, record_text
from tachograph.server.receiver.fitting import LARGEST, fit_event, fit_operation, weight

LONG = "x" * 1_000_000


def test_what_fits_stays_as_it_is():
    """Records of a usual size are the same afterwards, types included."""
    ours = operation(1, "agent", "manager", attributes={names.RECOVERED: ("A", "B"), "text": "y" * 10_000})
    told = event(1, "agent_registered", tools=["a", "b"], more={"deep": [1, 0.5]})

    assert ours == fit_operation(ours)
    assert told == fit_event(told)


@pytest.mark.parametrize(
    "field", ["name", "session_id", "correlation_id", "error_type", "agent", "parent_id", "user_id"]
)
def test_ids_and_names_are_short(field):
    """However long an id or a name is, it is cut to 200 characters."""
    assert 200 >= len(getattr(fit_operation(operation(1)._replace(**{field: LONG})), field))


@pytest.mark.parametrize(
    "attributes",
    [
        {"a": LONG},
        {"a": LONG, "b": "short", "c": 7},
        {"a": [LONG] * 10},
        {"a": {"b": {"c": LONG}}},
        {f"{LONG}{number}": number for number in range(10)},
        {f"name {number}": LONG for number in range(1_000)},
        {f"name {number}": number for number in range(100_000)},
        {"a": list(range(100_000))},
    ],
)
def test_attributes_are_cut(attributes):
    """Whatever is large in them, a record's text stays small, and can be read again."""
    text = record_text(fit_operation(operation(1, attributes=attributes)))

    assert len(text) < 3 * LARGEST
    assert record_from_text(text)
    assert len(record_text(fit_event(event(1, "agent_registered", **attributes)))) < 3 * LARGEST


def test_what_is_short_beside_something_huge_is_kept():
    """One large value is cut, and the others are not."""
    attributes = {names.INPUT_TOKENS: 7, "large": LONG, "small": "whole"}

    cut = fit_operation(operation(1, attributes=attributes)).attributes

    assert (7, "whole") == (cut[names.INPUT_TOKENS], cut["small"])
    assert cut["large"].startswith("xxx")


def test_what_is_counted_by_name_is_short():
    """Agents of a switch and types of errors are names too."""
    long = {names.SWITCH_FROM: "a" * 300, names.SWITCH_TO: "b", names.RECOVERED: ("c" * 300,)}

    cut = fit_operation(operation(1, "agent", attributes=long)).attributes

    assert (200, "b", [200]) == (
        len(cut[names.SWITCH_FROM]),
        cut[names.SWITCH_TO],
        [len(name) for name in cut[names.RECOVERED]],
    )
    assert 200 == len(fit_event(event(1, "agent_switched", from_agent="a" * 300)).payload["from_agent"])


def test_what_is_in_no_session_is_unattributed():
    """But for events that make none."""
    assert "unattributed" == fit_operation(operation(1, session="")).session_id
    assert "unattributed" == fit_event(event(1, "agent_switched", session="")).session_id
    assert "" == fit_event(event(1, "system_startup", session="")).session_id


def test_an_error_s_text_is_cut():
    """A message is as long as anything else may be."""
    assert LARGEST == len(fit_operation(operation(1, error_message=LONG)).error_message)


def test_weighing_stops_where_it_is_enough():
    """A value is not looked through further than it takes to see that it is too heavy."""

    class Endless(list):
        def __iter__(self):
            yield "x" * 100
            pytest.fail("looked on")

    assert 100 < weight({"a": "x" * 50, "b": "x" * 60}, 100)
    assert weight([], 10) < weight(["some", "thing"], 100)
    assert 8 == weight(Endless(), 10)  # of another type than is read from the wire: not looked into
