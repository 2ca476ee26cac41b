"""Importing Tachograph costs a program nothing it would notice: no framework, exporter, thread, socket or file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.programs import Programs, program

if TYPE_CHECKING:
    from pathlib import Path

WATCH = """
    import json
    import os
    import sys
    import threading

    seen = []

    def watch(event, arguments):
        if event == "open":
            path, mode, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT) and path != os.devnull:
                seen.append([event, str(path)])
        elif event.startswith(("socket.", "subprocess.", "os.posix_spawn", "os.fork", "os.exec", "_thread.start")):
            seen.append([event, ""])
        elif event in ("os.putenv", "os.unsetenv", "os.chdir", "signal.signal", "sys.setprofile", "sys.settrace"):
            seen.append([event, ""])

    sys.dont_write_bytecode = True
    before = set(sys.modules)
    sys.addaudithook(watch)
    """
TELL = """
    loaded = {name.split(".")[0] for name in set(sys.modules) - before}
    deep = [name for name in sys.modules if f"{name}.".startswith(("opentelemetry.exporter.", "tachograph.cli."))]
    print(json.dumps({
        "seen": seen,
        "loaded": sorted(loaded - set(sys.stdlib_module_names)),
        "deep": deep,
        "threads": [thread.name for thread in threading.enumerate()],
    }))
    """
ALLOWED = {
    *("opentelemetry", "tachograph", "wrapt"),
    *("importlib_metadata", "packaging", "tomli", "typing_extensions", "zipp"),  # what those need on some Pythons
}
"""Beside Python's own."""


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


@pytest.mark.parametrize("module", ["tachograph", "tachograph.auto", "tachograph.instrumentor"])
def test_import_does_nothing(programs, module):
    """The import loads no framework and no exporter, starts no thread, opens no socket and writes no file."""
    done = programs.python(program(WATCH, f"import {module}", TELL))

    assert (done.code, done.stderr) == (0, "")
    told = done.told
    assert set() == set(told["loaded"]) - ALLOWED
    assert "tachograph" in told["loaded"]
    assert told["deep"] == []
    assert told["seen"] == []
    assert told["threads"] == ["MainThread"]


def test_public_functions_start_nothing_either(programs):
    """Reading figures and naming sessions without any start hooks nothing, sends nothing and writes nothing."""
    done = programs.python(
        program(
            WATCH,
            """
            import tachograph

            with tachograph.session("x") as session:
                figures = [session.metrics().total_requests, tachograph.metrics().to_dict(), tachograph.sessions()]
            tachograph.stats(), tachograph.audit_log(), tachograph.timeline(), tachograph.summary("x")
            """,
            TELL,
        ),
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
    )

    assert (done.code, done.stderr) == (0, "")
    assert (done.told["seen"], done.told["deep"], done.told["threads"]) == ([], [], ["MainThread"])


def test_the_watch_sees(programs):
    """The watching of this file is no decoration: what the tests forbid is seen when it happens."""
    done = programs.python(
        program(
            WATCH,
            """
            import smolagents
            import socket

            socket.socket().close()
            open("written", "w").close()
            thread = threading.Thread(target=threading.Event().wait, daemon=True, name="extra")
            thread.start()
            """,
            TELL,
        )
    )

    told = done.told
    assert done.code == 0
    assert "smolagents" in told["loaded"]
    assert {"open", "socket.__new__"} <= {event for event, _ in told["seen"]}
    assert told["threads"] == ["MainThread", "extra"]
