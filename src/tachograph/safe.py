"""For a program's own telemetry code: what fails in it is counted and logged, and goes no further."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tachograph import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def safe(name: str | Callable[..., Any] | None = None, *, default: Any = None) -> Any:
    """A decorator: the function gives ``default`` instead of raising, coroutine functions too.

    Args:
        name: what its failures are counted as; the function's own name by default.
        default: given instead.
    """
    if callable(name):
        return safe(None, default=default)(name)

    def decorate(function: F) -> F:
        site = name or getattr(function, "__qualname__", None) or type(function).__qualname__
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                try:
                    return await function(*args, **kwargs)
                except Exception as error:  # noqa: BLE001 - handed to the guard, which counts it
                    return runtime.current().guard.keep(site, error, default)

        else:

            @functools.wraps(function)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                try:
                    return function(*args, **kwargs)
                except Exception as error:  # noqa: BLE001 - handed to the guard, which counts it
                    return runtime.current().guard.keep(site, error, default)

        return cast("F", guarded)

    return decorate


def error_summary() -> dict[str, int]:
    """Failures kept from the program so far, Tachograph's own and those of :func:`safe`, by where they happened."""
    return runtime.current().guard.swallowed()


def reset_errors() -> None:
    """Forget them: they are counted, and the first of each is logged, anew."""
    runtime.current().guard.reset()
