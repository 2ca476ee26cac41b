"""The service's SQLite database; every query passes `Database.execute`."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    session_id TEXT PRIMARY KEY,
    system_prompt TEXT NOT NULL,
    messages TEXT NOT NULL,
    last_change TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS contexts (
    session_id TEXT PRIMARY KEY,
    current_agent TEXT NOT NULL,
    switches INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS usage (
    session_id TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS decisions (
    session_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    original_arguments TEXT NOT NULL,
    decision TEXT NOT NULL,
    modified_arguments TEXT,
    feedback TEXT
);
"""


class Database:
    """One connection, which a worker thread uses, one query at a time."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.executescript(_SCHEMA)
        self._lock = asyncio.Lock()

    async def execute(
        self, operation: str, sql: str, parameters: Sequence[object] = (), session_id: str | None = None
    ) -> list[Any]:
        """Run one statement in a transaction of its own and return its rows.

        Args:
            operation: what it is for, such as "save_session"; errors name it.
            sql: the statement, with question marks for the parameters.
            parameters: their values.
            session_id: the session it is about, where it is about one.

        Raises:
            RuntimeError: when SQLite refuses.
        """
        async with self._lock:
            try:
                return await asyncio.to_thread(self._run, sql, parameters)
            except sqlite3.Error as error:
                raise RuntimeError(f"{operation} failed for session {session_id!r}: {error}") from error

    async def save_session(self, session_id: str, system_prompt: str, messages: str, last_change: str) -> None:
        """Write a session, its messages as JSON."""
        sql = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?)"
        await self.execute("save_session", sql, (session_id, system_prompt, messages, last_change), session_id)

    async def save_context(self, session_id: str, current_agent: str, switches: int) -> None:
        """Write which agent a session is with."""
        sql = "INSERT OR REPLACE INTO contexts VALUES (?, ?, ?)"
        await self.execute("save_context", sql, (session_id, current_agent, switches), session_id)

    async def save_usage(self, session_id: str, model: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Write what one model call has used."""
        sql = "INSERT INTO usage VALUES (?, ?, ?, ?)"
        await self.execute("save_usage", sql, (session_id, model, prompt_tokens, completion_tokens), session_id)

    async def save_decision(self, session_id: str, *columns: str | None) -> None:
        """Write a human's decision: request, call, tool, original arguments, decision, modified arguments, feedback."""
        sql = "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        await self.execute("save_decision", sql, (session_id, *columns), session_id)

    async def total_tokens(self, session_id: str) -> int:
        """Return the tokens that a session has used."""
        sql = "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM usage WHERE session_id = ?"
        rows = await self.execute("total_tokens", sql, (session_id,), session_id)
        return int(rows[0][0])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _run(self, sql: str, parameters: Sequence[object]) -> list[Any]:
        with self._connection:
            return self._connection.execute(sql, parameters).fetchall()
