"""What may leave, how long, and with what masked. Pure functions."""

from __future__ import annotations

import itertools
import re

MAX_ERROR_CHARS = 1_000
MASK = "[redacted]"
"""What stands in the place of a secret."""
SIGN = "\N{REPLACEMENT CHARACTER}"
"""What stands in the place of what does not show itself."""
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_KEY_END = 40

# What names a secret: after an underscore too (OPENAI_API_KEY, access_token), in JSON, and in JSON inside of JSON.
_NAMED = (
    r"(?<![^\W_])(?:api[_-]?key|access[_-]?key|private[_-]?key|secret(?:[_-]?key)?|token|password|passwd|passphrase|"
    r"authorization)\b\\?[\"']?\s*[:=]\s*"
)

_NAMES = ("key", "secret", "token", "passw", "passphrase", "authorization")
_PREFIXES = ("sk", "pk", "rk", "hf", "npm", "ghp", "gho", "ghu", "ghr", "ghs", "github_pat", "glpat")

# Shapes of credentials people meet in error texts and prompts, each with words one of which is in whatever has it: to
# look for these first is ten times faster. What names the secret, the first group, is kept, and the rest is masked;
# with a second group only where that is made of what no word is made of.
_SECRETS = tuple(
    (words, re.compile(pattern, re.IGNORECASE | re.DOTALL))
    for words, pattern in (
        (("-----begin",), r"()-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"),
        (("bearer", "basic"), r"(\b(?:bearer|basic)\s+)([\w.~+/=-]{8,})"),
        (_NAMES, rf"({_NAMED}\\?\")[^\"\\\r\n]+"),  # in quotes, up to the closing one
        (_NAMES, rf"({_NAMED}\\?')[^'\\\r\n]+"),
        (_NAMES, rf"({_NAMED}[\"']?)[^\s\"',;&\\]{{4,}}"),
        (("://",), r"(://[^/\s:@]*:)[^/\s]+(?=@)"),  # to the last @: people forget to escape one in a password
        (
            (*(prefix + sign for prefix in _PREFIXES for sign in ("-", "_")), "xox"),
            r"()\b((?:sk|pk|rk|hf|npm|gh[pousr]|github_pat|xox[abprs]|glpat)[-_][\w-]{8,})",
        ),
        (("aiza",), r"()\bAIza[\w-]{30,}"),
        (("akia", "asia"), r"()\bA(?:KI|SI)A[0-9A-Z]{16}\b"),
        # Only where a run of such characters begins: tried at every eyJ in a run, the work would be quadratic.
        (("eyj",), r"()(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+"),
    )
)
_LONG_WORD = 24
_SECRET_KEYS = (
    "apikey",
    "accesskey",
    "authorization",
    "credential",
    "credentials",
    "cookie",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "secret",
    "secretkey",
    "token",
)


_SHORT = 200
_SHORTEST = 6
"""Characters that the shortest thing there is to mask has: ``://:a@``."""
_HINT = re.compile("|".join(re.escape(word) for words, _ in _SECRETS for word in words), re.IGNORECASE)
"""For short texts one search for any of the words is faster than one for each; for long ones it is not."""


def redacted(text: str) -> str:
    """``text`` with what looks like a credential replaced by ``[redacted]``."""
    if len(text) < _SHORT and (len(text) < _SHORTEST or not _HINT.search(text)):
        return text
    lowered = text.lower()
    for words, secret in _SECRETS:
        if any(word in lowered for word in words):
            text = secret.sub(_masked, text)
    return text


def _masked(found: re.Match[str]) -> str:
    if found.re.groups > 1 and not _random(found[2]):
        return found[0]
    return f"{found[1]}{MASK}"


def _random(word: str) -> bool:
    """Whether a word is more like a key than like language: digits, signs, capitals in the middle, sheer length."""
    return (
        (len(word) >= _LONG_WORD and word.isalnum())
        or any(char.isdigit() or char in "+/=" for char in word)
        or sum(before.islower() and after.isupper() for before, after in itertools.pairwise(word)) > 1
    )


def names_a_secret(key: str) -> bool:
    """Whether a key of a table is the name of a secret: ``password``, ``apiKey``, ``X-Auth-Token``."""
    return "".join(char for char in key[-_KEY_END:].lower() if char.isalnum()).endswith(_SECRET_KEYS)


def cut(text: str, limit: int, *, more: int = 0) -> str:
    """The first ``limit`` characters of ``text``, and how many there were besides.

    Args:
        text: what to cut.
        limit: characters to keep; what says that it was cut comes after them.
        more: characters that were left off ``text`` before.
    """
    lost = max(0, len(text) - limit) + more
    return f"{text[:limit]}… [{lost} more characters]" if lost else text


def printable(text: str, *, kept: str = "") -> str:
    """``text`` for people: what does not show itself (escapes, marks that turn writing around) is replaced by a sign.

    A name may be a model's invention. Joiners and their opposites stay: they turn nothing around, and without them
    Persian and Hindi are misspelt and emoji fall apart.

    Args:
        text: of whatever origin, for one line of a terminal.
        kept: what else may stand in it, where it has lines.
    """
    if text.isprintable():
        return text
    kept += _JOINERS
    return "".join(char if char.isprintable() or char in kept else SIGN for char in text)


def error_text(error: BaseException, *, limit: int = MAX_ERROR_CHARS) -> str:
    """What an exception says, masked and cut.

    Raises:
        Exception: whatever the exception's own ``__str__`` raises; callers are inside the guard.
    """
    # Cut first: masking is linear in what it reads, and an error may quote a whole document.
    text = str(error)
    head = text[: 4 * limit]
    return cut(redacted(head), limit, more=len(text) - len(head))
