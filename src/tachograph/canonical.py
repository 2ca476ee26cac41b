"""Records and counters as text: one spelling for each, which is what is stored, hashed and exported.

JSON in ASCII, keys sorted, what is absent left out. Reading gives back what was written, types included: the values of
an operation's attributes that are lists in JSON were tuples.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from tachograph.records import Event, Operation
from tachograph.tally import AgentTally, ModelTally, Tally, ToolTally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.records import Record

_write: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True, default=repr).encode
_text: Final = json.encoder.encode_basestring_ascii
_NOT_KEPT: Final = frozenset({"max_names", "max_requests", "open", "requests"})
_COUNTERS: Final = tuple(field.name for field in fields(Tally) if field.name not in _NOT_KEPT)
_TABLES: Final[dict[str, Any]] = {"models": ModelTally, "agents": AgentTally, "tools": ToolTally}


_make: Final = json.encoder.c_make_encoder  # type: ignore[attr-defined]  # typeshed leaves it out
# What the encoder makes anew for each text, made once: a quarter of the time a record takes. Only CPython has it.
_pieces: Final = None if _make is None else _make(None, repr, _text, None, ":", ",", True, False, True)  # noqa: FBT003


def _attributes_text(attributes: Mapping[str, Any]) -> str:
    return _write(attributes) if _pieces is None else "".join(_pieces(attributes, 0))


def record_text(record: Record) -> str:
    """A record as one line of JSON."""
    if isinstance(record, Operation):
        with contextlib.suppress(TypeError):  # a text that is none: below
            return _operation_text(record)
    return _write({name: value for name, value in zip(record._fields, record, strict=True) if value is not None})


def _operation_text(operation: Operation) -> str:
    # The same, put together by hand in half the time: there is one of these for each operation that is stored.
    (id_, kind, name, session_id, correlation_id, start_ns, end_ns, outcome, error_type, error_message,
     agent, parent_id, trace_id, user_id, attributes) = operation  # fmt: skip
    by = "" if agent is None else f'"agent":{_text(agent)},'
    end = "" if end_ns is None else f'"end_ns":{end_ns},'
    message = "" if error_message is None else f'"error_message":{_text(error_message)},'
    error = "" if error_type is None else f'"error_type":{_text(error_type)},'
    ended = "" if outcome is None else f'"outcome":{_text(outcome)},'
    parent = "" if parent_id is None else f'"parent_id":{_text(parent_id)},'
    trace = "" if trace_id is None else f',"trace_id":{_text(trace_id)}'
    user = "" if user_id is None else f',"user_id":{_text(user_id)}'
    return (
        f'{{{by}"attributes":{_attributes_text(attributes)},"correlation_id":{_text(correlation_id)},{end}{message}{error}'
        f'"id":{_text(id_)},"kind":{_text(kind)},"name":{_text(name)},{ended}{parent}'
        f'"session_id":{_text(session_id)},"start_ns":{start_ns}{trace}{user}}}'
    )


def record_from_text(text: str | bytes) -> Record:
    """The record that :func:`record_text` wrote.

    Raises:
        ValueError: for text that is no record.
    """
    try:
        found = json.loads(text)
        if "kind" not in found:
            return Event(**{"correlation_id": None, **found})
        facts = found.get("attributes", {})
        found["attributes"] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()
        }
        return Operation(**found)
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{text[:80]!r} is no record of an operation or event: {error}") from None


def tally_text(tally: Tally) -> str:
    """The counters of a tally: neither what is under way nor its list of calls."""
    found: dict[str, Any] = {}
    for name in _COUNTERS:
        value = getattr(tally, name)
        if name in _TABLES:
            value = {key: [getattr(row, field.name) for field in fields(row)] for key, row in value.items()}
        if value:
            found[name] = value
    return _write(found)


def tally_from_text(text: str | bytes, *, max_names: int = 200, max_requests: int = 100) -> Tally:
    """A tally with the counters that :func:`tally_text` wrote.

    Raises:
        ValueError: for text that is no tally.
    """
    try:
        found = json.loads(text)
        for name, row in _TABLES.items():
            found[name] = {key: row(*values) for key, values in found.get(name, {}).items()}
        return Tally(max_names=max_names, max_requests=max_requests, **found)
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{text[:80]!r} is no tally: {error}") from None
