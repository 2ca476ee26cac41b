"""Records and counters as text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from support.records import History, event, events, histories, ledger_of, opened, operation, writings
from tachograph import names
from tachograph.canonical import record_from_text, record_text, tally_from_text, tally_text

if TYPE_CHECKING:
    from support.records import Written
    from tachograph.records import Event


@given(writings())
def test_an_operation_read_is_the_operation_written(written: Written) -> None:
    """Writing an operation down and reading it gives the same operation."""
    assert written.record == record_from_text(record_text(written.record))


@given(events())
def test_an_event_read_is_the_event_written(written: Event) -> None:
    """Writing an event down and reading it gives the same event."""
    assert written == record_from_text(record_text(written))


@given(histories())
def test_a_tally_read_is_the_tally_written(history: History) -> None:
    """Counters survive being written down; what is under way and the list of calls are not among them."""
    tally = ledger_of(history.live())._tallies.total

    assert replace(tally, open={}, requests=type(tally.requests)()) == tally_from_text(tally_text(tally))


@given(writings(), events())
def test_the_spelling_is_jsons(written: Written, happened: Event) -> None:
    """What is put together by hand is what JSON with sorted keys and nothing between makes of the record."""
    for record in (written.record, opened(written.record), happened):
        fields = {name: value for name, value in record._asdict().items() if value is not None}

        assert json.dumps(fields, sort_keys=True, separators=(",", ":")) == record_text(record)


def test_a_field_of_another_type_is_spelled_too() -> None:
    """A name that is no text, as only a foreign record could have, costs no record."""
    strange = operation(1)._replace(name=3)

    assert strange == record_from_text(record_text(strange))


def test_one_record_has_one_spelling() -> None:
    """The order in which facts were learned makes no difference to the text."""
    facts = {names.INPUT_TOKENS: 1, names.OUTPUT_TOKENS: 2}

    assert record_text(operation(1, attributes=facts)) == record_text(
        operation(1, attributes=dict(reversed(facts.items())))
    )


def test_text_is_one_line_of_ascii() -> None:
    """Whatever a payload holds is one line that every tool can carry, lone surrogates too."""
    text = record_text(event(1, "message_added", content="zwölf\n\ud800"))

    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text)["payload"]["content"] == "zwölf\n\ud800"


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "null", "{}", '{"kind":"model"}', '{"kind":"model","attributes":3}', "{" * 10_000]
)
def test_what_is_no_record_is_said(text: str) -> None:
    """Text that is no record raises an error that shows it."""
    with pytest.raises(ValueError, match="is no record of an operation or event"):
        record_from_text(text)


@pytest.mark.parametrize("text", ["", "[]", "1", '{"models":{"m":[1,2,3,4,5,6,7,8,9]}}', '{"nonsense":1}'])
def test_what_is_no_tally_is_said(text: str) -> None:
    """Text that is no tally raises an error that shows it."""
    with pytest.raises(ValueError, match="is no tally"):
        tally_from_text(text)
