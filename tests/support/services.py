"""Three services, each a process: a gateway asks an agent service, whose agent uses a tool service."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from support.programs import script

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from support.programs import Programs

SERVICE = '''
"""A web service: instrumented as people do it, on a port of the system's choosing, until it is told to stop."""

import os
import socket
import sys

import httpx
import tachograph
import uvicorn
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

tachograph.init()
HTTPXClientInstrumentor().instrument()
app = FastAPI()


def serve():
    FastAPIInstrumentor.instrument_app(app)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off")).run(sockets=[listener])
'''

GATEWAY = """
from service import app, httpx, serve, sys, tachograph


@app.get("/ask/{session}/{request}")
def ask(session: str, request: str, quietly: bool = False):
    with tachograph.session(session, correlation_id=request, user_id="ada", propagate=not quietly):
        return httpx.get(f"{sys.argv[1]}/research/tea", timeout=60).json()


serve()
"""

AGENT = """
from service import app, httpx, serve, sys, tachograph


@app.get("/research/{thing}")
def research(thing: str):
    with tachograph.agent("researcher"):
        with tachograph.model("gpt-4.1", provider="openai") as call:
            call.usage(input_tokens=100, output_tokens=10)
        return httpx.get(f"{sys.argv[1]}/price/{thing}", timeout=60).json()


serve()
"""

TOOL = """
from service import app, serve, tachograph


@app.get("/price/{thing}")
def price(thing: str):
    with tachograph.tool("price"):
        return {"answer": f"{thing} costs 4"}


serve()
"""


class Services(NamedTuple):
    """The three of them, at work."""

    gateway: str
    processes: list[subprocess.Popen[str]]

    def ask(self, session: str, request: str, **given: Any) -> Any:
        """One request of a user, from gateway to tool and back."""
        return httpx.get(f"{self.gateway}/ask/{session}/{request}", params=given, timeout=60).json()

    def end(self) -> list[int]:
        """Stop them as an operator would; their exit codes."""
        for process in self.processes:
            process.terminate()
        return [process.wait(60) for process in self.processes]


@contextlib.contextmanager
def services(programs: Programs, **variables: str) -> Iterator[Services]:
    """The three of them, called gateway, agents and tools, with these variables."""
    programs.write("service.py", SERVICE)
    with contextlib.ExitStack() as running:
        address, processes = "", []
        for name, source in (("tools", TOOL), ("agents", AGENT), ("gateway", GATEWAY)):
            programs.write(f"{name}.py", source)
            command = script("tachograph"), "run", f"{name}.py", address
            process = running.enter_context(programs.start(*command, OTEL_SERVICE_NAME=name, **variables))
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port, process.communicate()[1]
            address = f"http://127.0.0.1:{port}"
            processes.append(process)
        yield Services(address, processes)
