"""Sessions and their conversations."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.services.write_behind import WriteBehind

if TYPE_CHECKING:
    from app.models.schemas import LLMResponse, Message
    from app.services.database import Database


@dataclass
class Session:
    """One user's conversation with the agents."""

    session_id: str
    system_prompt: str = ""
    approval_timeout_seconds: float | None = None
    messages: list[Message] = field(default_factory=list)
    last_change: str = "created"
    deleted: bool = False


class SessionManager(WriteBehind):
    """Creates, changes and deletes sessions."""

    def __init__(self, database: Database, interval_seconds: float) -> None:
        super().__init__(interval_seconds)
        self._database = database
        self._sessions: dict[str, Session] = {}

    async def create(
        self, session_id: str, system_prompt: str | None = None, approval_timeout_seconds: float | None = None
    ) -> Session:
        """Begin a session.

        Raises:
            ValueError: if there is one of that id.
        """
        if session_id in self._sessions:
            raise ValueError(f"there is a session {session_id!r} already; choose another id")
        session = Session(session_id, system_prompt or "", approval_timeout_seconds)
        self._sessions[session_id] = session
        self._changed.add(session_id)
        return session

    def get(self, session_id: str) -> Session | None:
        """Return a session, or None if there is none of that id or it has been deleted."""
        session = self._sessions.get(session_id)
        return None if session is None or session.deleted else session

    async def get_or_create(self, session_id: str) -> Session:
        """Return a session, begun if need be."""
        return self.get(session_id) or await self.create(session_id)

    async def append_message(
        self, session_id: str, role: str, content: str, name: str | None = None, **fields: Any
    ) -> None:
        """Add a message to the conversation.

        Args:
            session_id: whose conversation.
            role: user, assistant or tool.
            content: its text.
            name: the agent that speaks, for the role assistant.
            fields: what else belongs to a message of that role: tool_calls, tool_call_id.
        """
        spoken_by = {} if name is None else {"name": name}
        self._sessions[session_id].messages.append({"role": role, "content": content, **spoken_by, **fields})
        await self.update(session_id, update_type="message_added")

    async def update(self, session_id: str, update_type: str) -> None:
        """Have a session written, as it has changed; `update_type` says in what way."""
        self._sessions[session_id].last_change = update_type
        self._changed.add(session_id)

    async def add_usage(self, session_id: str, response: LLMResponse) -> None:
        """Enter what a model call has used on the session's account."""
        await self._database.save_usage(session_id, response.model, response.prompt_tokens, response.completion_tokens)

    async def delete(self, session_id: str, *, soft_delete: bool = True) -> None:
        """End a session; a soft deletion keeps its row, marked.

        Raises:
            KeyError: if there is none of that id.
        """
        session = self._sessions[session_id]
        session.deleted = True
        session.last_change = "deleted"
        if not soft_delete:
            session.messages.clear()
        self._changed.add(session_id)

    async def _write(self, session_id: str) -> None:
        session = self._sessions[session_id]
        messages = json.dumps(session.messages, ensure_ascii=False)
        await self._database.save_session(session_id, session.system_prompt, messages, session.last_change)
