"""What may leave, how long, and with what masked. Pure functions."""

from __future__ import annotations

import re

MAX_ERROR_CHARS = 1_000
_MASK = "[redacted]"

# Shapes of credentials people meet in error texts. Each keeps what names the secret and masks the secret itself.
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}",
        r"(\b(?:api[_-]?key|access[_-]?key|secret|token|password|passwd|authorization)\b[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&]{4,}",
        r"(://[^/\s:@]*:)[^/\s@]+(?=@)",
        r"()\b(?:sk|pk|rk|hf|gh[pousr]|xox[abprs]|glpat)[-_][\w-]{8,}",
        r"()\bAKIA[0-9A-Z]{16}\b",
        r"()\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+",
    )
)


def redacted(text: str) -> str:
    """``text`` with what looks like a credential replaced by ``[redacted]``."""
    for secret in _SECRETS:
        text = secret.sub(rf"\1{_MASK}", text)
    return text


def cut(text: str, limit: int) -> str:
    """``text`` of at most ``limit`` characters, visibly cut."""
    if len(text) <= limit:
        return text
    tail = f"… [{len(text) - limit} more characters]"
    return text[:limit] + tail


def error_text(error: BaseException, *, limit: int = MAX_ERROR_CHARS) -> str:
    """What an exception says, masked and cut.

    Raises:
        Exception: whatever the exception's own ``__str__`` raises; callers are inside the guard.
    """
    # Cut first: masking is linear in what it reads, and an error may quote a whole document.
    return cut(redacted(cut(str(error), 4 * limit)), limit)
