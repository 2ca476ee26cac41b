"""Jaeger's query API over HTTP, as far as it is asked here: version 3, whose spans are OTLP in JSON.

That version has no search by attributes over HTTP, so ids of traces are found as Jaeger's own page finds them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from tachograph import names
from tachograph.redact import printable
from tachograph.sources import SourceError
from tachograph.sources.otlp import from_json
from tachograph.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tachograph.sources.jaeger.place import Place
    from tachograph.spans import Batch, ReadEvent, ReadSpan

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of the longest answer that is read."""

_TIMEOUT: Final = 60.0
"""Seconds that Jaeger may take over an answer: it looks through all of a time for it."""

_SHOWN: Final = 200
_STALE: Final = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)
"""How it shows that the other side has closed a connection that was kept."""


class TooLongError(Exception):
    """An answer is longer than is read; a shorter time may have a shorter one."""


class Found(NamedTuple):
    """What was found in a time: how many traces, which, and what they say where that was asked for."""

    traces: frozenset[str]
    batches: tuple[Batch, ...] = ()


class Api:
    """Questions to one Jaeger, over one connection: for one thread at a time.

    Every question raises :class:`~tachograph.sources.SourceError` where there is no answer, with the reason and the
    fix, and :class:`TooLongError` for one longer than :data:`MAX_ANSWER`.

    Args:
        place: where it is.
        headers: sent with each question.
    """

    def __init__(self, place: Place, headers: Mapping[str, str]) -> None:
        self._place = place
        self._headers = {"Accept": "application/json", **headers}
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection. The next question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --------------------------------------------------------------------------------------------------- questions
    def services(self) -> list[str]:
        """Names of all services that have sent anything."""
        answer = self._ask("/api/v3/services")
        found = self._json(answer).get("services") or [] if answer is not None else None
        if not isinstance(found, list):
            raise self._is_none("it does not list services")
        return [name for name in found if isinstance(name, str)]

    def traces(self, service: str, start_ns: int, end_ns: int, limit: int) -> Found:
        """Traces of a service with spans that began in a time, whole, at most so many."""
        answer = self._ask(
            "/api/v3/traces",
            {
                "query.service_name": service,
                "query.start_time_min": _moment(start_ns),
                "query.start_time_max": _moment(end_ns),
                "query.num_traces": limit,
                "query.raw_traces": "true",  # else it moves spans to where it thinks that clocks should have been
            },
        )
        return self._found(answer)

    def trace(self, trace_id: str) -> Found:
        """One trace; nothing where it is not there."""
        return self._found(self._ask(f"/api/v3/traces/{quote(trace_id, safe='')}", {"raw_traces": "true"}))

    def search(self, service: str, attribute: str, value: str, start_ns: int, end_ns: int, limit: int) -> Found:
        """Ids of traces of a service with a span that began in a time and has this attribute, at most so many."""
        query = {
            "service": service,
            "tags": json.dumps({attribute: value}),
            "start": start_ns // 1_000,
            "end": end_ns // 1_000 + 1,
            "limit": limit,
        }
        answer = self._ask("/api/traces", query)
        listed = self._json(answer).get("data") if answer is not None else []
        try:
            return Found(frozenset(str(trace["traceID"]) for trace in listed or ()))
        except (KeyError, TypeError):
            raise self._is_none("it lists no traces") from None

    # ----------------------------------------------------------------------------------------------------- answers
    def _found(self, answer: bytes | None) -> Found:
        batches: list[Batch] = []
        for part in self._parts(answer or b""):
            result = part.get("result")
            if not isinstance(result, dict):
                raise self._is_none(f"it says {shown(part)}")
            try:
                batches += map(_as_sent, from_json.batches(result))
            except ValueError as error:
                raise self._is_none(str(error)) from None
        return Found(frozenset(span.trace_id for batch in batches for span in batch.spans), tuple(batches))

    def _parts(self, answer: bytes) -> Iterator[dict[str, Any]]:
        """The results of an answer: one, or a stream of them."""
        text, at = answer.decode("utf-8", "replace").strip(), 0
        while at < len(text):
            try:
                part, at = _decode(text, at)
            except (RecursionError, ValueError):
                raise self._is_none(f"it says {shown(text)}") from None
            yield part if isinstance(part, dict) else {}
            at += len(text[at : at + _SHOWN]) - len(text[at : at + _SHOWN].lstrip())

    def _json(self, answer: bytes) -> dict[str, Any]:
        return next(self._parts(answer), {})

    def _ask(self, path: str, query: Mapping[str, Any] | None = None) -> bytes | None:
        """The answer; None where Jaeger says that there is nothing."""
        target = f"{self._place.path}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            status, answer = self._exchange(target)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise SourceError(f"{self._place.written}: {self._reason(error)}") from None
        if status == HTTPStatus.OK:
            return answer
        said = self._said(answer)
        if status == HTTPStatus.NOT_FOUND and said is not None:
            return None
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise SourceError(
                f"{self._place.written}: does not let us in ({status}); set the header it wants: "
                "TACHOGRAPH_JAEGER_HEADERS='authorization=Bearer …'"
            )
        if said is None:
            raise self._is_none(f"it answers {status} to {path}")
        raise SourceError(f"{self._place.written}: cannot answer ({status}): {shown(said)}")

    def _exchange(self, target: str) -> tuple[int, bytes]:
        kept = self._connection
        try:
            return self._once(target)
        except _STALE:
            self.close()
            if kept is None:
                raise
            return self._once(target)

    def _once(self, target: str) -> tuple[int, bytes]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        connection.request("GET", target, headers=self._headers)
        response = connection.getresponse()
        answer = response.read(MAX_ANSWER + 1)
        if len(answer) > MAX_ANSWER:
            self.close()
            raise TooLongError
        return response.status, answer

    def _connect(self) -> http.client.HTTPConnection:
        place = self._place
        if place.secure:
            # Its own authority, where it has one, is named by SSL_CERT_FILE, as for everything that uses OpenSSL.
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(place.host, place.port, timeout=_TIMEOUT, context=context)
        return http.client.HTTPConnection(place.host, place.port, timeout=_TIMEOUT)

    # ---------------------------------------------------------------------------------------------------- troubles
    def _reason(self, error: Exception) -> str:
        if isinstance(error, ssl.SSLError):
            return (
                f"no secure connection: {getattr(error, 'verify_message', '') or error.reason or error}; jaeger:// "
                "asks without TLS, and SSL_CERT_FILE names the authority of a certificate"
            )
        if isinstance(error, TimeoutError):
            return f"has not answered within {_TIMEOUT:.0f} s; read a shorter time: ?since=1h"
        if isinstance(error, (http.client.HTTPException, *_STALE)):
            return f"does not answer as HTTP does ({type(error).__name__}); give the port of Jaeger's page: 16686"
        why = getattr(error, "strerror", None) or error
        return f"cannot be reached: {why}; is a Jaeger running there, and its query API on port {self._place.port}?"

    def _said(self, answer: bytes) -> str | None:
        """What Jaeger says is wrong; None where it is not Jaeger that answers."""
        try:
            wrong = json.loads(answer)
            wrong = wrong.get("error") or wrong["errors"][0]
            return str(wrong.get("message") or wrong["msg"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
            return None

    def _is_none(self, why: str) -> SourceError:
        written = self._place.written
        try:
            status, answer = self._exchange(f"{self._place.path}/api/services")
            old = status == HTTPStatus.OK and isinstance(json.loads(answer).get("data"), list)
        except (OSError, http.client.HTTPException, AttributeError, ValueError, RecursionError, TooLongError):
            old = False
        self.close()
        if old:
            return SourceError(
                f"{written}: this Jaeger is too old, {why}; its query API v3 is needed: Jaeger 2.0 or newer"
            )
        return SourceError(f"{written}: is no Jaeger, {why}; give the address of its page, as a rule on port 16686")


_REMARKS: Final = "@jaeger@"
_WARNINGS: Final = "@jaeger@warnings"


def _as_sent(batch: Batch) -> Batch:
    """A batch without what Jaeger has changed.

    It gives a span that took no time a nanosecond, and remarks on it; of lists it keeps the JSON.
    """
    return batch._replace(spans=[_span_as_sent(span) for span in batch.spans])


def _span_as_sent(span: ReadSpan) -> ReadSpan:
    warnings = span.attributes.get(_WARNINGS)
    if warnings is not None:
        attributes = {name: value for name, value in span.attributes.items() if not name.startswith(_REMARKS)}
        lengthened = "egative duration" in str(warnings)
        span = span._replace(attributes=attributes, end_ns=span.start_ns if lengthened else span.end_ns)
    return span._replace(events=tuple(map(_event_as_sent, span.events))) if span.events else span


def _event_as_sent(event: ReadEvent) -> ReadEvent:
    lists = {name: _list(event.attributes[name]) for name in names.LIST_FIELDS & event.attributes.keys()}
    return event._replace(attributes={**event.attributes, **lists}) if lists else event


def _list(value: Any) -> Any:
    with contextlib.suppress(TypeError, ValueError, RecursionError):
        found = json.loads(value)
        if isinstance(found, list):
            return found
    return value


_decode: Final = json.JSONDecoder().raw_decode


def shown(value: Any) -> str:
    """Something that was answered, for people: on one line, its beginning."""
    text = value if isinstance(value, str) else json.dumps(value)
    return repr(printable(" ".join(text.split())[:_SHOWN]))


def _moment(moment_ns: int) -> str:
    # To the nanosecond: between two halves of a time nothing may be lost.
    return f"{timestamp(moment_ns)[:19]}.{moment_ns % 1_000_000_000:09}Z"
