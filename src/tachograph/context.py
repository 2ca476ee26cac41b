"""Session, correlation and current operation: in and out of the OpenTelemetry context.

One immutable :class:`Scope` travels in the OpenTelemetry context under one key, so it follows whatever already
carries that context (tasks, copied contexts, instrumented executors) and a token reset restores it exactly.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, create_key, detach, get_current, set_value

from tachograph import names

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar, Token

    from opentelemetry.trace import Span

MAX_ID_CHARS = 200
_MAX_ID_BITS = 4 * MAX_ID_CHARS
SCOPE_KEY: Final = create_key("tachograph")
"""Where a context has its scope, for who has no time to ask :func:`current`."""
_HANDED_ON_KEY = create_key("tachograph-handed-on")
_HANDED_ON = names.SESSION_ID, names.CORRELATION_ID, names.USER_ID
"""What goes into baggage: the first fields of a scope."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Scope(NamedTuple):
    """What holds around the code that runs now.

    ``operation`` is the recorder's live operation, ``note`` whatever a probe leaves for the probes that run
    inside its call; ``explicit`` says that somebody named the session.
    """

    session_id: str
    correlation_id: str | None = None
    user_id: str | None = None
    conversation_id: str | None = None
    operation: Any = None
    note: Any = None
    explicit: bool = False

    def noting(self, note: Any) -> Scope:
        """The same, with a note for what runs inside."""
        # Past its own constructor, as there is one for each tool that is asked for.
        return tuple.__new__(Scope, (*self[:5], note, self.explicit))


def _variable() -> ContextVar[Context] | None:
    token = attach(get_current())
    detach(token)
    return getattr(token, "var", None)


CURRENT: Final = _variable()
"""Where OpenTelemetry keeps the current context, for who has no time to ask; None if it is kept elsewhere."""

here: Final[Callable[[], Context]] = get_current if CURRENT is None else CURRENT.get
"""The current context, at a third of the cost of ``get_current``."""

enter: Final[Callable[[Context], Token[Context]]] = attach if CURRENT is None else CURRENT.set
leave: Final[Callable[[Token[Context]], None]] = detach if CURRENT is None else CURRENT.reset
"""Likewise ``attach`` and ``detach``, for one call: whoever enters leaves in the same function."""

_SPAN_KEY: Final = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))


def left(token: Token[Context]) -> bool:
    """Give the context back that was current before; False where the token is of another one, as is a host's slip."""
    try:
        token.var.reset(token)  # not OpenTelemetry's detach, which would log a traceback
    except (ValueError, RuntimeError):
        return False
    return True


def current(context: Context | None = None) -> Scope | None:
    """The scope of ``context``, by default of the code that runs now."""
    scope: Any = (here() if context is None else context).get(SCOPE_KEY)
    return scope  # type: ignore[no-any-return]  # nobody else has the key; a cast would cost as much as the look-up


def with_scope(scope: Scope, context: Context | None = None) -> Context:
    """A context like ``context`` (default: the current one), with ``scope`` in it."""
    return Context({**(here() if context is None else context), SCOPE_KEY: scope})


def with_operation(scope: Scope, span: Span | None, context: Context) -> Context:
    """A context like ``context``, with ``scope`` and ``span`` in it: both at once, as each alone is a copy more.

    Where it hands ids on, to be those of ``scope``.
    """
    values = {**context, SCOPE_KEY: scope}
    if span is not None:
        values[_SPAN_KEY] = span
    return handing_on(scope, Context(values)) if _HANDED_ON_KEY in values else Context(values)


def holds(context: Context, span: Span) -> bool:
    """Whether ``span`` is the current one in ``context``."""
    return context.get(_SPAN_KEY) is span


def from_baggage(context: Context | None = None) -> Scope | None:
    """A scope another service handed over in W3C baggage, if it did."""
    entries = baggage.get_all(context)
    session_id = entries.get(names.SESSION_ID)
    correlation_id = entries.get(names.CORRELATION_ID)
    if not session_id and not correlation_id:
        return None
    return Scope(
        session_id=clean_id(session_id) or "",
        correlation_id=clean_id(correlation_id),
        user_id=clean_id(entries.get(names.USER_ID)),
        explicit=bool(session_id),
    )


def into_baggage(scope: Scope, context: Context) -> Context:
    """``context`` with the scope's ids as baggage, which reaches every service called, third parties too."""
    for name, value in zip(_HANDED_ON, scope, strict=False):
        if value:
            context = baggage.set_baggage(name, value, context)
    return set_value(_HANDED_ON_KEY, scope[: len(_HANDED_ON)], context)


def handing_on(scope: Scope, context: Context) -> Context:
    """``context``, where ids that :func:`into_baggage` has put there are those that hold in ``scope``.

    In another session, which nobody has asked to hand on, there are none: better than wrong ones.
    """
    handed_on: Any = context.get(_HANDED_ON_KEY)
    if handed_on is None or handed_on == scope[: len(_HANDED_ON)]:
        return context
    for name in _HANDED_ON:
        context = baggage.remove_baggage(name, context)
    same = handed_on[0] == scope.session_id
    return into_baggage(scope, context) if same else set_value(_HANDED_ON_KEY, None, context)


def new_id() -> str:
    """A fresh id: 32 hex digits."""
    return os.urandom(16).hex()


def clean_id(value: object) -> str | None:
    """``value`` as an id that every backend can hold, or None where it cannot be one.

    Text loses control characters and surrounding space and is cut to 200 characters, with a digest so that two
    long ids stay two; whole numbers and UUIDs become text. Anything else is no id: we call no method of an object
    of the host, nor do we ask it for its class.
    """
    kind = type(value)
    if kind is str:
        given = cast("str", value)
        if given.isascii() and given.isprintable() and given == given.strip() and 0 < len(given) <= MAX_ID_CHARS:
            return given  # as nearly all are
    if kind is uuid.UUID:
        return cast("uuid.UUID", value).hex
    if issubclass(kind, str):
        text = str.__str__(cast("str", value))
    elif issubclass(kind, int) and kind is not bool:
        number = cast("int", value)
        # Python refuses to write very long numbers in tens.
        text = int.__repr__(number) if int.bit_length(number) <= _MAX_ID_BITS else int.__format__(number, "x")
    else:
        return None
    text = _CONTROL.sub("", text).strip().encode("utf-8", "replace").decode("utf-8")
    if len(text) > MAX_ID_CHARS:
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        text = f"{text[: MAX_ID_CHARS - 17]}-{digest}"
    return text or None
