"""Answers: JSON every parser reads, private headers, problems in a sentence."""

from __future__ import annotations

import json
import math
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import ledger_of, operation
from support.serving import asking
from tachograph.ledger import Ledger
from tachograph.server import create_app
from tachograph.server.answers import PRIVATE, json_text
from tachograph.sources import SourceError

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(_VALUES)
def test_json_says_what_was_said(value):
    """What JSON can say is read back as it was, lone surrogates included, from plain ASCII."""
    text = json_text(value)

    assert value == json.loads(text)
    assert text.isascii()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number(value):
    """What JSON has no number for is null, wherever it stands."""
    assert {"a": [None, {"b": None}, [1.5]]} == json.loads(json_text({"a": [value, {"b": value}, (1.5,)]}))


def test_odd_values():
    """A value that JSON does not know is shown as text instead of breaking the answer."""
    assert {"a": "1j"} == json.loads(json_text({"a": 1j}))


@pytest.mark.parametrize(
    "path", ["/health", "/events/metrics", "/nowhere", "/events/audit-log?limit=x", "/openapi.json"]
)
def test_every_answer_is_private(path):
    """Whatever is asked, found or not, understood or not, the answer is not kept, sniffed, framed or run."""
    with asking(create_app(Ledger())) as client:
        answer = client.get(path)

    assert PRIVATE == {name: answer.headers[name] for name in PRIVATE}
    assert "set-cookie" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "server" not in answer.headers


class Broken(Ledger):
    """A ledger whose reading fails as told."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def metrics(self):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        SourceError("x.db: is locked; try again"),
        OSError("x.db: gone"),
        sqlite3.DatabaseError("disk image is malformed"),
    ],
)
def test_a_source_that_cannot_be_read(error):
    """A source that cannot be read is status 503 with the reason in a sentence, and never a traceback."""
    with asking(create_app(Broken(error))) as client:
        answer = client.get("/events/metrics")

    assert 503 == answer.status_code
    assert {"detail": f"what was recorded cannot be read now: {error}"} == answer.json()
    assert "5" == answer.headers["retry-after"]


def test_a_fault_of_ours(caplog):
    """A fault of ours is status 500 without a word of what it was, which is in the log of whoever serves."""
    with asking(create_app(Broken(RuntimeError("secret detail")))) as client:
        answer = client.get("/events/metrics")

    assert 500 == answer.status_code
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "no-store" == answer.headers["cache-control"]
    assert "secret detail" in caplog.text


def test_figures_without_a_number():
    """A record whose tokens are no number breaks no answer."""
    ledger = ledger_of([operation(1, attributes={"gen_ai.usage.input_tokens": math.nan})])
    with asking(create_app(ledger)) as client:
        answer = client.get("/events/metrics/session/s")

    assert 200 == answer.status_code
    assert answer.json()["total_prompt_tokens"] is None
