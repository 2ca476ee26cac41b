"""What senders are told, in their own encoding."""

from __future__ import annotations

import json

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tachograph.server.receiver.replies import RefusedError, refused, taken
from tachograph.server.receiver.wire import Checked


def test_all_taken_is_the_empty_message():
    """Where nothing was refused there is no partial success in the answer."""
    in_json, in_protobuf = (taken("traces", Checked(3), is_json=is_json) for is_json in (True, False))

    assert (200, b"{}", "application/json") == (in_json.status_code, in_json.body, in_json.media_type)
    assert (200, b"", "application/x-protobuf") == (in_protobuf.status_code, in_protobuf.body, in_protobuf.media_type)


def test_what_was_refused_is_counted_in_the_answer():
    """A partial success says how many and why, in the words of its kind of telemetry."""
    checked = Checked(1, 2, "span 2: has no end")

    in_json = json.loads(taken("traces", checked, is_json=True).body)
    in_protobuf = ExportTraceServiceResponse.FromString(taken("traces", checked, is_json=False).body).partial_success
    of_logs = ExportLogsServiceResponse.FromString(taken("logs", checked, is_json=False).body).partial_success
    of_metrics = json.loads(taken("metrics", checked, is_json=True).body)

    assert {"partialSuccess": {"rejectedSpans": "2", "errorMessage": "span 2: has no end"}} == in_json
    assert (2, "span 2: has no end") == (in_protobuf.rejected_spans, in_protobuf.error_message)
    assert 2 == of_logs.rejected_log_records
    assert "2" == of_metrics["partialSuccess"]["rejectedDataPoints"]


def test_a_warning_without_anything_refused_is_told():
    """A message may stand alone, with a count of zero."""
    answer = taken("traces", Checked(1, 0, "resource: odd"), is_json=True)

    assert {"partialSuccess": {"rejectedSpans": "0", "errorMessage": "resource: odd"}} == json.loads(answer.body)


@pytest.mark.parametrize(("status", "code"), [(400, 3), (408, 4), (413, 8), (415, 3), (503, 14)])
def test_a_refusal_is_a_status(status, code):
    """A request of which nothing is taken is answered by a status; only 503 says to come back."""
    error = RefusedError(status, "because \ud800")

    in_json, in_protobuf = (refused(error, is_json=is_json) for is_json in (True, False))

    assert {"code": code, "message": "because \\ud800"} == json.loads(in_json.body)
    message = Status.FromString(in_protobuf.body)
    assert (status, code, "because \\ud800") == (in_protobuf.status_code, message.code, message.message)
    assert ("1" if status == 503 else None) == in_json.headers.get("retry-after")
    assert "connection" not in in_json.headers
    assert "close" == refused(RefusedError(413, "", close=True), is_json=True).headers["connection"]
