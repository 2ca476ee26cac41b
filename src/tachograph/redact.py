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
        # After an underscore too: OPENAI_API_KEY, access_token.
        (
            r"((?<![^\W_])(?:api[_-]?key|access[_-]?key|secret(?:[_-]?key)?|token|password|passwd|authorization)\b"
            r"[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&]{4,}"
        ),
        r"(://[^/\s:@]*:)[^/\s]+(?=@)",  # to the last @: people forget to escape one in a password
        r"()\b(?:sk|pk|rk|hf|gh[pousr]|xox[abprs]|glpat)[-_][\w-]{8,}",
        r"()\bAKIA[0-9A-Z]{16}\b",
        # Only where a run of such characters begins: tried at every eyJ in a run, the work would be quadratic.
        r"()(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+",
    )
)


def redacted(text: str) -> str:
    """``text`` with what looks like a credential replaced by ``[redacted]``."""
    for secret in _SECRETS:
        text = secret.sub(rf"\1{_MASK}", text)
    return text


def cut(text: str, limit: int, *, more: int = 0) -> str:
    """The first ``limit`` characters of ``text``, and how many there were besides.

    Args:
        text: what to cut.
        limit: characters to keep; what says that it was cut comes after them.
        more: characters that were left off ``text`` before.
    """
    lost = max(0, len(text) - limit) + more
    return f"{text[:limit]}… [{lost} more characters]" if lost else text


def printable(text: str) -> str:
    """``text`` for one line of a terminal: a name may be a model's invention, line breaks and escapes included."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def error_text(error: BaseException, *, limit: int = MAX_ERROR_CHARS) -> str:
    """What an exception says, masked and cut.

    Raises:
        Exception: whatever the exception's own ``__str__`` raises; callers are inside the guard.
    """
    # Cut first: masking is linear in what it reads, and an error may quote a whole document.
    text = str(error)
    head = text[: 4 * limit]
    return cut(redacted(head), limit, more=len(text) - len(head))
