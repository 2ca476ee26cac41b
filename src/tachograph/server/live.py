"""What happens, as it happens: the audit log as a stream of server-sent events."""

import time
from collections.abc import Iterable
from typing import Annotated, Any, Final

import anyio
import anyio.abc
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tachograph.server.answers import UNREADABLE, json_text, problem
from tachograph.server.broadcast import Broadcast, Client
from tachograph.server.questions import Filters
from tachograph.views.audit import Entry, kinds_of

router: Final = APIRouter(prefix="/events", tags=["events"])


class Stream(Response):
    """The answer to one who listens: as long as the client and the server live.

    Args:
        broadcast: what tells it.
        filters: which entries it wants.
        last_event_id: of the entry it saw last, if it was here before.
    """

    media_type = "text/event-stream"

    def __init__(self, broadcast: Broadcast, filters: dict[str, Any], last_event_id: str | None) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})  # or a proxy gathers what is to arrive at once
        del self.headers["content-length"]
        self._broadcast = broadcast
        self._filters = filters
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Tell until somebody ends it."""
        with self._broadcast.joined(self._filters) as client:
            begun = self._begun(client)  # before anything waits, or what is new meanwhile would be told twice
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._until_gone, receive, client)
                tasks.start_soon(self._until_over, client, tasks)
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await self._tell(client, begun, send)
        # A client that takes nothing does not take the end either; the server closes the connection then.
        with anyio.move_on_after(1):
            await send({"type": "http.response.body", "body": b""})

    def _begun(self, client: Client) -> str:
        text = "retry: 1000\n\n"  # milliseconds after which a client that was cut off comes back
        if self._last_event_id is None:
            return text
        missed = self._broadcast.since(self._last_event_id)
        if missed is None:
            return f"{text}event: gap\ndata: {json_text({'last_event_id': self._last_event_id})}\n\n"
        return text + _events(filter(client.wants, missed))

    async def _until_gone(self, receive: Receive, client: Client) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        client.end()

    async def _until_over(self, client: Client, tasks: anyio.abc.TaskGroup) -> None:
        await client.over.wait()
        tasks.cancel_scope.cancel()

    async def _tell(self, client: Client, begun: str, send: Send) -> None:
        broadcast, text, told = self._broadcast, begun, 0.0
        while not client.over.is_set():
            if not text and time.monotonic() >= told + broadcast.heartbeat:
                text = ":\n\n"
            if text:
                with anyio.move_on_after(broadcast.patience) as sending:
                    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                if sending.cancel_called:
                    client.end()
                told = time.monotonic()
            text = _events(await client.take(broadcast.every))
            if not text:
                try:
                    await broadcast.look()
                except UNREADABLE:
                    client.end()  # who comes back is told why


def _events(entries: Iterable[Entry]) -> str:
    return "".join(_event(entry) for entry in entries)


def _event(entry: Entry) -> str:
    # An id of more than a line would be an event of its own.
    event_id: str = entry["event_id"]
    line = f"id: {event_id}\n" if event_id.isprintable() else ""
    return f"{line}data: {json_text(entry)}\n\n"


@router.get(
    "/live",
    response_class=Response,  # which says nothing of the type, so that problems are described as the JSON they are
    responses={
        200: {
            "description": "entries of the audit log, each as JSON, with its `event_id` as the event's id",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
    summary="What happens, as it happens",
)
async def live(
    request: Request,
    filters: Annotated[Filters, Query()],
    last_event_id: Annotated[str | None, Header(description="of the entry seen last: begin after it")] = None,
) -> Response:
    """New entries of the audit log as server-sent events, until the client goes or the server stops.

    With `Last-Event-ID` it begins after that entry; where the entry is too old to be known, an event `gap` says so. A
    client that takes too little is cut off, and may come back.
    """
    wanted = filters.named()
    try:
        kinds_of(wanted["event_type"], wanted["category"])
    except ValueError as error:
        return problem(422, str(error))
    broadcast: Broadcast = request.app.state.live
    if broadcast.full:
        return problem(503, "as many listen as may, or the server stops; try again later", {"Retry-After": "5"})
    await broadcast.look()
    return Stream(broadcast, wanted, last_event_id)
