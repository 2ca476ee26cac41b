"""Records as files of OTLP, in every form that others write them in."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from support.records import event, ledger_of, operation
from tachograph import names
from tachograph.export import otlp_lines
from tachograph.guard import Guard
from tachograph.sources.otlp import OtlpSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tachograph.records import Record


def source(*paths: Path) -> OtlpSource:
    return OtlpSource(*paths, guard=Guard(strict=True))


def write(tmp_path: Path, *documents: Any) -> Path:
    file = tmp_path / "file.jsonl"
    file.write_bytes(as_lines(list(documents)))
    return file


# --------------------------------------------------------------------------------------- files, from JSON lines
def requests(*records: Record, told: bool = True) -> list[dict[str, Any]]:
    """Records as requests; untold they look as a program's own, which says nothing of what is not there."""
    found = [json.loads(line) for line in otlp_lines(ledger_of(records))]
    if not told:
        for request in found:
            for resource in (*request.get("resourceSpans", ()), *request.get("resourceLogs", ())):
                resource["resource"] = {"attributes": [{"key": "service.name", "value": {"stringValue": "app"}}]}
    return found


def as_lines(documents: list[Any]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def as_messages(documents: list[Any]) -> list[bytes]:
    """The same requests in protobuf."""
    return [message(document).SerializeToString() for document in documents]


def message(document: dict[str, Any]) -> Any:
    kind = next(iter(document))
    made = {"resourceSpans": TracesData, "resourceLogs": LogsData, "resourceMetrics": MetricsData}[kind]()
    return json_format.ParseDict(with_ids(document, to_base64), made)


def prefixed(messages: list[bytes]) -> bytes:
    return b"".join(len(each).to_bytes(4, "big") + each for each in messages)


def with_ids(value: Any, change: Callable[[str], str]) -> Any:
    """A document with its ids in another spelling."""
    if isinstance(value, list):
        return [with_ids(item, change) for item in value]
    if isinstance(value, dict):
        ids = ("traceId", "spanId", "parentSpanId")
        return {key: change(item) if key in ids else with_ids(item, change) for key, item in value.items()}
    return value


def to_base64(hex_id: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_id)).decode()


def to_hex(base64_id: str) -> str:
    return base64.b64decode(base64_id).hex()


def snake(value: Any) -> Any:
    """A document with underscores in the names of its fields."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if isinstance(value, dict):
        return {
            "".join(f"_{char.lower()}" if char.isupper() else char for char in key): snake(item)
            for key, item in value.items()
        }
    return value


def numbers(value: Any) -> Any:
    """A document with 64-bit numbers as numbers, and enumerations as words."""
    if isinstance(value, list):
        return [numbers(item) for item in value]
    if isinstance(value, dict):
        found = {
            key: int(item) if key in ("intValue", "startTimeUnixNano", "endTimeUnixNano", "timeUnixNano") else item
            for key, item in value.items()
        }
        if "spanId" in found and "kind" in found:
            found["kind"] = "SPAN_KIND_CLIENT"
        if found.get("code") == 2:
            found["code"] = "STATUS_CODE_ERROR"
        return {key: numbers(item) for key, item in found.items()}
    return value


RECORDS = [
    operation(
        1,
        "agent",
        "manager",
        took=5_000,
        outcome="error",
        error_type="ValueError",
        error_message="it broke — ü",
        trace_id=f"{0xABC:032x}",
        user_id="ada",
        attributes={names.AGENT_NAME: "manager", names.RECOVERED: ("A", "B")},
    ),
    operation(
        2,
        at=10,
        parent=1,
        agent="manager",
        trace_id=f"{0xABC:032x}",
        attributes={names.INPUT_TOKENS: 2**40, names.OUTPUT_TOKENS: 7, names.ACTIVE_SECONDS: 0.25},
    ),
    operation(3, "tool", "search", at=20, parent=1, outcome="refused", took=0, error_type="ToolError"),
    operation(4, "tool", "search", at=30, session="other", attributes={names.HUMAN_WAIT: True}),
    event(1, "agent_registered", agent_type="manager", tools=["a", "b"], nothing=None, more={"deep": [1, 0.5]}),
    event(2, "agent_switched", at=40, session="other", from_agent="a", to_agent="b", inside=4),
]
METRICS = {
    "resourceMetrics": [
        {
            "resource": {},
            "scopeMetrics": [
                {"scope": {"name": "x"}, "metrics": [{"name": "a", "sum": {"dataPoints": [{"asInt": "1"}]}}]}
            ],
        }
    ]
}
DOCUMENTS = requests(*RECORDS)
MIXED = [METRICS, *DOCUMENTS, METRICS]
FORMS: dict[str, bytes] = {
    "json lines": as_lines(DOCUMENTS),
    "json lines with metrics, blanks and CRLF": as_lines(MIXED).replace(b"\n", b"\r\n\r\n"),
    "json lines without the last line's end": as_lines(DOCUMENTS).rstrip(),
    "json lines with a mark before them": b"\xef\xbb\xbf" + as_lines(DOCUMENTS),
    "a document": json.dumps({key: value for each in DOCUMENTS for key, value in each.items()}).encode(),
    "a document on many lines": json.dumps({k: v for each in DOCUMENTS for k, v in each.items()}, indent=2).encode(),
    "an array": json.dumps(MIXED).encode(),
    "an array on many lines": json.dumps(MIXED, indent=1).encode(),
    "parts of requests": as_lines([part for each in DOCUMENTS for parts in each.values() for part in parts]),
    "a trace store's answer": as_lines(
        [{"batches": each["resourceSpans"]} if "resourceSpans" in each else each for each in DOCUMENTS]
    ),
    "ids in base64": as_lines(with_ids(DOCUMENTS, to_base64)),
    "ids in base64 without padding": as_lines(with_ids(DOCUMENTS, lambda id_: to_base64(id_).rstrip("="))),
    "ids in capitals": as_lines(with_ids(DOCUMENTS, str.upper)),
    "names with underscores": as_lines(snake(DOCUMENTS)),
    "numbers as numbers": as_lines(numbers(DOCUMENTS)),
    "everything twice": as_lines(DOCUMENTS) * 2,
    "protobuf with lengths": prefixed(as_messages(MIXED)),
}
