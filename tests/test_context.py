"""Ids that every backend can hold, and a scope that travels where the OpenTelemetry context travels."""

from __future__ import annotations

import contextvars
import enum
import runpy
import threading
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry import context as otel
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, detach, get_current, set_value
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, set_span_in_context

from tachograph import context
from tachograph.context import (
    MAX_ID_CHARS,
    Scope,
    clean_id,
    current,
    enter,
    from_baggage,
    here,
    holds,
    into_baggage,
    leave,
    new_id,
    with_scope,
)


# ------------------------------------------------------------------------------------------------------------ ids
class _Text(str):
    """A text that tells nobody what it says."""

    __slots__ = ()

    def __str__(self) -> str:
        raise AssertionError("asked")

    __repr__ = strip = encode = __str__


class _Number(int):
    """A number that tells nobody what it is."""

    def __str__(self) -> str:
        raise AssertionError("asked")

    __repr__ = __format__ = __str__


class _Untouchable:
    """Something of the host's that nobody may touch, and that says it is a text."""

    @property
    def __class__(self) -> Any:
        raise AssertionError("asked")

    def __str__(self) -> str:
        raise AssertionError("asked")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("asked")

    __bool__ = __repr__ = __str__
    __hash__ = None


class _Word(str, enum.Enum):
    CHAT = "chat-42"


@pytest.mark.parametrize(
    ("given_id", "cleaned"),
    [
        ("chat-42", "chat-42"),
        ("  spaced out \n", "spaced out"),
        ("a\x00b\x1fc\x7fd\x9fe\u2028f\u2029g", "abcdefg"),
        ("line\r\nfeed", "linefeed"),
        ("Ünïcødé-会話-🙂", "Ünïcødé-会話-🙂"),
        ("half \ud83d of a pair", "half ? of a pair"),
        ("", None),
        (" \t\n", None),
        ("\x00\x01", None),
        (42, "42"),
        (0, "0"),
        (-1, "-1"),
        (uuid.UUID(int=7), f"{7:032x}"),
        (_Text("chat-42"), "chat-42"),
        (_Number(42), "42"),
        (_Word.CHAT, "chat-42"),
        (True, None),
        (None, None),
        (1.5, None),
        (b"bytes", None),
        (["list"], None),
        (_Untouchable(), None),
        (str, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_becomes_of_an_id(given_id: Any, cleaned: str | None) -> None:
    """Text is cleaned, whole numbers and UUIDs become text, anything else is no id and is not touched."""
    assert cleaned == clean_id(given_id)


def test_long_ids_stay_apart() -> None:
    """An id over the limit is cut, with a digest, so that two that begin alike are still two."""
    longest = "x" * MAX_ID_CHARS
    cut = [clean_id("x" * 10_000 + end) for end in ("a", "b")]

    assert longest == clean_id(longest)
    assert [MAX_ID_CHARS] * 2 == [len(text or "") for text in cut]
    assert cut[0] != cut[1]
    assert all(text.startswith("x" * (MAX_ID_CHARS - 17) + "-") for text in cut if text)
    assert MAX_ID_CHARS == len(clean_id(10**100_000) or "")


@given(st.text(alphabet=st.characters(), max_size=400) | st.integers() | st.uuids())
def test_a_cleaned_id_is_clean(given_id: Any) -> None:
    """Whatever comes in, what comes out is no id, or a clean one that cleaning changes no more."""
    cleaned = clean_id(given_id)

    if cleaned is None:
        assert isinstance(given_id, str)
        return
    assert 1 <= len(cleaned) <= MAX_ID_CHARS
    assert cleaned == cleaned.strip()
    assert [] == [character for character in cleaned if character in "\u2028\u2029" or 127 <= ord(character) < 160]
    assert cleaned.isprintable() or min(map(ord, cleaned)) >= 32
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert cleaned == clean_id(cleaned)


@given(
    st.text(alphabet="ab", min_size=MAX_ID_CHARS - 2, max_size=MAX_ID_CHARS + 2), st.text(alphabet="ab", min_size=190)
)
def test_two_ids_stay_two(one: str, other: str) -> None:
    """Clean ids of any length are equal after cleaning only where they were before."""
    assert (one == other) == (clean_id(one) == clean_id(other))


def test_a_new_id_is_new() -> None:
    """Each minted id is 32 hex digits and differs from the others."""
    minted = {new_id() for _ in range(1_000)}

    assert 1_000 == len(minted)
    assert {32} == {len(text) for text in minted}
    assert minted == {clean_id(text) for text in minted}


# ---------------------------------------------------------------------------------------------------------- scope
def test_a_scope_is_where_its_context_is() -> None:
    """A scope is read from the context it was put into, by default the current one, and leaves with it."""
    scope = Scope("s")
    context = with_scope(scope)

    assert current() is None
    assert scope is current(context)
    token = attach(context)
    try:
        assert scope is current()
        assert current(Context()) is None
        assert scope is current(set_value("other", 1))
    finally:
        detach(token)
    assert current() is None


def test_the_current_context_is_opentelemetrys() -> None:
    """What we enter is current for OpenTelemetry and whoever asks it, and what was before is when we leave."""
    before, inside = get_current(), set_value("inside", "yes")
    token = enter(inside)
    try:
        assert (inside, inside) == (get_current(), here())
    finally:
        leave(token)
    assert before is get_current() is here()


def test_a_context_kept_elsewhere_is_left_to_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenTelemetry keeps its context in no context variable, it is asked for it each time."""
    asked: list[Any] = [Context, lambda _: object(), lambda _: None]
    for name, function in zip(("get_current", "attach", "detach"), asked, strict=True):
        monkeypatch.setattr(otel, name, function)
    module = runpy.run_path(str(context.__file__))

    assert [None, *asked] == [module[name] for name in ("CURRENT", "here", "enter", "leave")]


def test_the_span_of_a_context() -> None:
    """A span is held by the context that was made with it, and by no other."""
    span, other = NonRecordingSpan(INVALID_SPAN_CONTEXT), NonRecordingSpan(INVALID_SPAN_CONTEXT)
    around = set_span_in_context(span, Context())

    assert (True, False, False) == (holds(around, span), holds(around, other), holds(Context(), span))


def test_a_scope_is_added_to_what_is_there() -> None:
    """Putting a scope into a context keeps what else is in it, and changes neither."""
    base = set_value("other", 1, Context())
    context = with_scope(Scope("s"), base)

    assert {"other": 1} == dict(base)
    assert 1 == context["other"]
    assert 2 == len(context)


def test_a_scope_goes_with_a_copied_context_and_not_with_a_thread() -> None:
    """Copies of the context take the scope along; a plain thread starts without it."""
    seen: list[Any] = []
    token = attach(with_scope(Scope("s")))
    try:
        copied = contextvars.copy_context()
        for work in (lambda: seen.append(current()), lambda: copied.run(lambda: seen.append(current()))):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    finally:
        detach(token)

    assert [None, Scope("s")] == seen


# --------------------------------------------------------------------------------------------------------- baggage
@pytest.mark.parametrize(
    ("entries", "scope"),
    [
        ({}, None),
        ({"user.id": "u"}, None),
        ({"session.id": "s"}, Scope("s", explicit=True)),
        ({"session.id": "s", "user.id": "u"}, Scope("s", user_id="u", explicit=True)),
        ({"tachograph.correlation.id": "c"}, Scope("", "c")),
        (
            {"session.id": "s", "tachograph.correlation.id": "c", "user.id": "u"},
            Scope("s", "c", "u", explicit=True),
        ),
        (
            {"session.id": " s\x00 ", "tachograph.correlation.id": "\n", "user.id": "u\x00"},
            Scope("s", user_id="u", explicit=True),
        ),
    ],
)
def test_a_scope_handed_over_in_baggage(entries: dict[str, str], scope: Scope | None) -> None:
    """Ids that another service sent as baggage are a scope, cleaned like any; without one of the ids there is none."""
    context = Context()
    for name, value in entries.items():
        context = baggage.set_baggage(name, value, context)
    token = attach(context)
    try:
        assert scope == from_baggage()
    finally:
        detach(token)


@given(session_id=st.text(min_size=1, max_size=50), correlation_id=st.none() | st.text(min_size=1, max_size=50))
def test_ids_survive_the_wire(session_id: str, correlation_id: str | None) -> None:
    """What goes out as W3C baggage comes in as the same ids in the next service."""
    sent = Scope(clean_id(session_id) or "s", clean_id(correlation_id), "user", explicit=True)
    headers: dict[str, str] = {}
    W3CBaggagePropagator().inject(headers, into_baggage(sent, Context()))
    token = attach(W3CBaggagePropagator().extract(headers, context=Context()))
    try:
        assert sent == from_baggage()
    finally:
        detach(token)


def test_only_what_is_known_goes_into_baggage() -> None:
    """A scope without user or request puts neither into the baggage."""
    context = into_baggage(Scope("s", conversation_id="never sent"), get_current())

    assert {"session.id": "s"} == dict(baggage.get_all(context))
