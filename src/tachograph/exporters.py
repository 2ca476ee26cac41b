"""Exporters: those the ``OTEL_*`` variables ask for, and the one that answers in memory."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tachograph.codec import events_from_span, operation_from_span
from tachograph.config import ConfigError
from tachograph.cost import Prices
from tachograph.guard import Guard
from tachograph.ledger import Ledger
from tachograph.spans import from_sdk
from tachograph.traces import Traces
from tachograph.variables import OTLP_FILE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from tachograph.records import Operation

_SIGNALS: Final = ("traces", "metrics", "logs")
_GRPC_PORT: Final = 4317
_HOW: Final = {"prometheus": "; pip install 'tachograph[prometheus]'"}
OTLP_FILE: Final = "otlp_json_file"
"""Name of the exporter to a file."""

_PROTOCOLS: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


def asked_exporters(environ: Mapping[str, str]) -> dict[str, list[str]]:
    """Exporter names by signal, as the ``OTEL_*`` variables ask for them; nothing where they are silent.

    An endpoint alone asks for OTLP. Without a protocol it is gRPC on port 4317 and HTTP everywhere else: what
    listens on a port is known better than which default a program's version has. A file of OTLP, by our own variable,
    is beside whatever else is asked for.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return {}
    asked: dict[str, list[str]] = {}
    for signal in _SIGNALS:
        word = signal.upper()
        variables = (f"OTEL_EXPORTER_OTLP_{word}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        place = next((variable for variable in variables if environ.get(variable)), None)
        endpoint = None if place is None else environ[place]
        listed = environ.get(f"OTEL_{word}_EXPORTER") or ("otlp" if endpoint else "")
        for name in (part.strip() for part in listed.split(",")):
            if name in ("", "none"):
                continue
            if name == "otlp":
                variables = (f"OTEL_EXPORTER_OTLP_{word}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
                variable = next((variable for variable in variables if environ.get(variable)), None)
                if variable is not None:
                    protocol = environ[variable]
                else:
                    protocol = "grpc" if _port(endpoint) == _GRPC_PORT else "http/protobuf"
                if protocol.strip() not in _PROTOCOLS:
                    raise ConfigError(
                        f"{variable}={protocol!r} is not usable: expected one of: {', '.join(_PROTOCOLS)}; "
                        "nothing is exported"
                    )
                name = _PROTOCOLS[protocol.strip()]  # noqa: PLW2901 - the name to look up
                if endpoint is not None and not _is_place(endpoint, protocol.strip()):
                    example = "http://127.0.0.1:4317" if protocol.strip() == "grpc" else "http://127.0.0.1:4318"
                    raise ConfigError(
                        f"{place}={endpoint!r} is not usable: expected an address like {example}; nothing is exported"
                    )
            asked.setdefault(signal, []).append(name)
        if environ.get(OTLP_FILE_VARIABLE):
            asked.setdefault(signal, []).append(OTLP_FILE)
    return asked


def _is_place(endpoint: str, protocol: str) -> bool:
    """Whether anything could be sent there: by HTTP to a URL, by gRPC also to a name and port, or a socket's path."""
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        named = bool((parts.hostname or "").strip()) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    if protocol == "grpc":
        return named or parts.scheme not in ("", "http", "https")
    return named and parts.scheme in ("http", "https")


def _port(endpoint: str | None) -> int | None:
    try:
        return urlsplit(endpoint if endpoint and "://" in endpoint else f"//{endpoint or ''}").port
    except ValueError:
        return None


def make_exporter(signal: str, name: str) -> Any:
    """An exporter or metric reader by its entry point's name; its own settings it reads from the environment.

    Raises:
        ConfigError: for a name that nothing installed has, and for a page or file that cannot be had.
    """
    if name == OTLP_FILE:
        return _file_exporter(signal, os.environ[OTLP_FILE_VARIABLE])
    found = list(entry_points(group=f"opentelemetry_{signal}_exporter", name=name))
    if not found:
        known = sorted({point.name for point in entry_points(group=f"opentelemetry_{signal}_exporter")})
        raise ConfigError(
            f"OTEL_{signal.upper()}_EXPORTER={name!r}: no such exporter is installed; there are: "
            f"{', '.join([*known, 'none'])}{_HOW.get(name, '')}"
        )
    if name == "prometheus":
        from tachograph.scraped import ScrapedReader  # noqa: PLC0415 - of an extra

        return ScrapedReader()
    return found[0].load()()


def _file_exporter(signal: str, path: str) -> Any:
    from tachograph.otlp_file import EXPORTERS  # noqa: PLC0415 - loads what encodes OTLP

    path = os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - the program may go elsewhere
    if os.path.isdir(path) or not os.path.isdir(os.path.dirname(path)):  # noqa: PTH112, PTH120 - texts all along
        raise ConfigError(
            f"{OTLP_FILE_VARIABLE}={path!r} is not usable: expected the path of a file, in a folder that is there"
        )
    return EXPORTERS[signal](path)


class LedgerSpanExporter(SpanExporter):
    """An in-memory exporter whose spans answer at once: attach it to any provider.

    It reads sessions from spans alone, ours and those of the dialects in :mod:`tachograph.dialects`, so it knows what
    the spans know: nothing that was sampled out, and no event that had no span to be copied onto. Spans of others end
    before those around them; until these have ended, answers are by what is known so far.

    Args:
        ledger: take spans into this ledger; by default one of its own.
        prices: of the calls that other instrumentations recorded, over the published ones; our spans say the cost.
    """

    def __init__(
        self, ledger: Ledger | None = None, *, prices: Mapping[str, Mapping[str, float]] | None = None
    ) -> None:
        self.ledger = Ledger() if ledger is None else ledger
        self.guard = Guard()
        self._traces = Traces(prices=Prices(prices))
        self.ledger.attend(self._undecided)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take ended spans in: ours, and those of others that are worth a place."""
        self.guard(self._take_in, spans)
        return SpanExportResult.SUCCESS

    def _take_in(self, spans: Sequence[ReadableSpan]) -> None:
        for span in spans:
            self.guard(self._read, span)

    def _read(self, ended: ReadableSpan) -> None:
        span = from_sdk(ended)
        if span is None:
            return
        operation = operation_from_span(span)
        if operation is not None:
            self.ledger.apply(operation)
        for decided in self._traces.take(span):
            self.ledger.apply(decided)
        for event in events_from_span(span):
            self.ledger.apply(event)

    def _undecided(self) -> list[Operation]:
        return self.guard(self._traces.undecided, default=[])

    def shutdown(self) -> None:
        """Nothing more comes: what waits is decided. The ledger can still be read."""
        self.guard(self._settle)

    def _settle(self) -> None:
        for operation in self._traces.rest():
            self.ledger.apply(operation)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back from whoever reads."""
        return True
