"""Recorded sessions over HTTP: pages, the in-house systems' endpoints, live events, an OpenAPI description.

:func:`serve` listens by itself; :func:`create_app` gives the same as an app to mount into an existing one. Each concern
has a file: ``app`` assembles, ``auth`` says who may ask, ``rest`` and ``live`` answer programs, ``browse`` people.
"""

from __future__ import annotations

try:
    from tachograph.server.app import create_app
    from tachograph.server.listen import ListenError, serve
    from tachograph.server.receiver import Receiver
except ModuleNotFoundError as error:
    if error.name not in ("anyio", "fastapi", "jinja2", "starlette", "uvicorn"):
        raise
    raise ModuleNotFoundError(
        f"serving needs {error.name}, which is not installed; pip install 'tachograph[server]'",
        name=error.name,
    ) from None

__all__ = ["ListenError", "Receiver", "create_app", "serve"]
