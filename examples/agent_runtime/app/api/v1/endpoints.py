"""What the service can be asked for."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, model_validator

from app.container import Services  # noqa: TC001 - FastAPI reads the annotations
from app.models.schemas import AgentType, HITLDecision, StreamChunk
from app.services.hitl_manager import ApprovalExpiredError, NotPendingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from typing_extensions import Self

_logger = logging.getLogger(__name__)

router = APIRouter(prefix="/agent")


class NewSession(BaseModel):
    """A session to begin; one with nothing special about it begins with its first message."""

    session_id: str
    system_prompt: str = ""
    approval_timeout_seconds: Annotated[float | None, Field(gt=0)] = None


class UserMessage(BaseModel):
    """A message, for the agent chosen or whoever the orchestrator chooses."""

    session_id: str
    message: str
    agent_type: AgentType | None = None


class UserDecision(BaseModel):
    """A decision about a tool call that waits."""

    session_id: str
    call_id: str
    decision: HITLDecision
    modified_arguments: dict[str, Any] | None = None
    feedback: str | None = None

    @model_validator(mode="after")
    def _changes_what_it_says(self) -> Self:
        if (self.decision is HITLDecision.EDIT) != (self.modified_arguments is not None):
            raise ValueError("modified_arguments belong to the decision EDIT, and to no other")
        return self


def services(request: Request) -> Services:
    """Return the running service's parts."""
    running: Services = request.app.state.services
    return running


@router.post("/sessions", status_code=HTTPStatus.CREATED)
async def create_session(body: NewSession, parts: Annotated[Services, Depends(services)]) -> None:
    """Begin a session with settings of its own."""
    try:
        await parts.sessions.create(body.session_id, body.system_prompt, body.approval_timeout_seconds)
    except ValueError as error:
        raise HTTPException(HTTPStatus.CONFLICT, str(error)) from error


@router.post("/message/stream")
async def message_stream(
    body: UserMessage,
    parts: Annotated[Services, Depends(services)],
    x_correlation_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Answer a message with server-sent events, the last of which is `done` or `error`."""

    async def events() -> AsyncIterator[str]:
        try:
            async for chunk in parts.orchestrator.process_message(
                body.session_id, body.message, body.agent_type, x_correlation_id
            ):
                yield chunk.sse()
        except Exception as error:  # the answer has begun, so only the stream itself can say so
            _logger.exception("session %s: no answer", body.session_id)
            yield StreamChunk(type="error", content=f"{type(error).__name__}: {error}").sse()
        else:
            yield StreamChunk(type="done").sse()

    return StreamingResponse(events(), media_type="text/event-stream")


@router.post("/hitl/decision", status_code=HTTPStatus.NO_CONTENT)
async def hitl_decision(body: UserDecision, parts: Annotated[Services, Depends(services)]) -> None:
    """Take a user's decision about a tool call that waits."""
    try:
        await parts.hitl.decide(body.session_id, body.call_id, body.decision, body.modified_arguments, body.feedback)
    except NotPendingError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from error
    except ApprovalExpiredError as error:
        raise HTTPException(HTTPStatus.GONE, str(error)) from error


@router.get("/sessions/{session_id}")
async def show_session(session_id: str, parts: Annotated[Services, Depends(services)]) -> dict[str, Any]:
    """Tell how long a conversation is, who it is with, and what it has used."""
    session = parts.sessions.get(session_id)
    if session is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no session {session_id!r}")
    context = await parts.contexts.get_or_create(session_id)
    return {
        "session_id": session_id,
        "agent": context.current_agent.value,
        "messages": len(session.messages),
        "total_tokens": await parts.database.total_tokens(session_id),
    }


@router.delete("/sessions/{session_id}", status_code=HTTPStatus.NO_CONTENT)
async def delete_session(session_id: str, parts: Annotated[Services, Depends(services)]) -> None:
    """End a session; its row stays, marked as deleted."""
    if parts.sessions.get(session_id) is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no session {session_id!r}")
    await parts.sessions.delete(session_id, soft_delete=True)
