"""Requests of OTLP as anybody's SDK sends them: spans of others, by a few words, in both encodings."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.otlp_files import to_base64, with_ids
from tachograph import names
from tachograph.server.receiver.wire import Sent

START = 1_700_000_000_000_000_000
CHAT = {
    names.OPERATION_NAME: "chat",
    names.REQUEST_MODEL: "gpt-4.1",
    names.INPUT_TOKENS: 100,
    names.OUTPUT_TOKENS: 10,
}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Attributes as OTLP has them in JSON."""
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list() | tuple():
            return {"arrayValue": {"values": [_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": attributes(value)}}
    return {"stringValue": value}


def span(number: int, values: dict[str, Any], *, parent: int | None = None, trace: int = 1, **more: Any) -> Any:
    """A span of somebody else's."""
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{number:016x}",
        **({} if parent is None else {"parentSpanId": f"{parent:016x}"}),
        "name": "something",
        "kind": 3,
        "startTimeUnixNano": str(START + number),
        "endTimeUnixNano": str(START + number + 1_000_000),
        "attributes": attributes(values),
        **more,
    }


def request(*spans: Any, scope: str = "theirs", **resource: Any) -> dict[str, Any]:
    """A request with spans of one program."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes(resource)},
                "scopeSpans": [{"scope": {"name": scope}, "spans": list(spans)}],
            }
        ]
    }


def as_json(document: Any) -> Sent:
    return Sent("traces", is_json=True, body=json.dumps(document).encode())


def as_protobuf(document: dict[str, Any]) -> Sent:
    message = json_format.ParseDict(with_ids(document, to_base64), ExportTraceServiceRequest())
    return Sent("traces", is_json=False, body=message.SerializeToString())


def nested(levels: int) -> bytes:
    """A request in protobuf whose one attribute is a list in a list and so on."""
    value = b""
    for _ in range(levels):
        value = field(5, field(1, value))
    attribute = field(9, field(1, b"deep") + field(2, value))
    return field(1, field(2, field(2, attribute)))


def field(number: int, content: bytes) -> bytes:
    """A message, text or bytes as a field of a message in protobuf."""
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content
