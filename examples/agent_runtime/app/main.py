"""The service: `uvicorn app.main:app`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from app.api.v1.endpoints import router
from app.config import AppConfig
from app.container import build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def startup(application: FastAPI) -> None:
    """Build the service's parts and start those that run by themselves."""
    application.state.services = build(AppConfig.from_env())
    application.state.services.start()


async def shutdown(application: FastAPI) -> None:
    """Stop what runs and write what is left."""
    await application.state.services.stop()


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncIterator[None]:
    """Start and stop with the server."""
    await startup(application)
    try:
        yield
    finally:
        await shutdown(application)


app = FastAPI(title="Agent Runtime", lifespan=lifespan)
app.include_router(router)
