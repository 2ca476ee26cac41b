"""The endpoints of OTLP over HTTP, under the paths every exporter adds to ``OTEL_EXPORTER_OTLP_ENDPOINT``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from tachograph.server.limits import path_of
from tachograph.server.receiver import replies
from tachograph.server.receiver.bodies import read_body
from tachograph.server.receiver.replies import RefusedError
from tachograph.server.receiver.wire import Sent, UndecodableError, check

if TYPE_CHECKING:
    from tachograph.server.receiver.inlet import Receiver
    from tachograph.server.receiver.wire import Checked, Signal

PATHS: Final[dict[str, Signal]] = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}

_PATIENCE: Final = 30.0
"""Seconds that a sender may take for a request's body."""

_ENCODINGS: Final = {"": False, "identity": False, "gzip": True}

_AT_ONCE: Final = 1024 * 1024
"""Bytes of protobuf that are looked at in a few milliseconds, so no thread is asked for it; a tenth of it in JSON."""

router: Final = APIRouter(include_in_schema=False)  # the protocol is described elsewhere


async def receive(request: Request) -> Response:
    """Take spans, log records or metrics in; the last are counted and not kept."""
    receiver: Receiver = request.app.state.receiver
    signal = PATHS[path_of(request.scope)]
    content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = content != replies.PROTOBUF
    try:
        checked = await _taken(request, receiver, signal, content)
    except RefusedError as error:
        receiver.refused()
        return replies.refused(error, is_json=is_json)
    except ClientDisconnect:
        receiver.refused()
        return Response(status_code=400)  # to nobody
    return replies.taken(signal, checked, is_json=is_json)


async def _taken(request: Request, receiver: Receiver, signal: Signal, content: str) -> Checked:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if content not in (replies.JSON, replies.PROTOBUF):
        known = f"{replies.PROTOBUF} or {replies.JSON}"
        raise RefusedError(415, f"Content-Type: {content[:80]!r} is not read here; send {known}", close=True)
    if encoding not in _ENCODINGS:
        raise RefusedError(415, f"Content-Encoding: {encoding[:80]!r} is not read here; send gzip or none", close=True)
    try:
        with anyio.fail_after(_PATIENCE):
            body = await read_body(request.stream(), receiver.room, gzipped=_ENCODINGS[encoding])
    except TimeoutError:
        raise RefusedError(408, f"the body did not come within {_PATIENCE:.0f} seconds", close=True) from None
    waits = False
    try:
        sent = Sent(signal, content == replies.JSON, body)
        if len(body) * (10 if sent.is_json else 1) <= _AT_ONCE:
            checked = check(sent)
        else:
            checked = await anyio.to_thread.run_sync(receiver.check, sent)
        if signal == "metrics" or not checked.taken:
            receiver.refused(checked)
            return checked
        waits = receiver.put(sent, checked)
    except UndecodableError as error:
        raise RefusedError(400, str(error)) from None
    finally:
        if not waits:
            receiver.room.give_back(len(body))
    if not waits:
        raise RefusedError(503, "the server is stopping", close=True)
    return checked


for path in PATHS:
    router.add_api_route(path, receive, methods=["POST"], name=PATHS[path], response_model=None)
