"""Metrics for Prometheus to scrape from the process itself: ``OTEL_METRICS_EXPORTER=prometheus``.

It listens on loopback unless ``OTEL_EXPORTER_PROMETHEUS_HOST`` says otherwise, and no longer than it is wanted.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import start_http_server

from tachograph.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST_VARIABLE: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
PORT_VARIABLE: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"
_PORT: Final = 9_464
_MOST: Final = 65_535


def place(environ: Mapping[str, str]) -> tuple[str, int]:
    """Host and port to listen on.

    Raises:
        ConfigError: for a port that is none.
    """
    said = environ.get(PORT_VARIABLE, "").strip() or str(_PORT)
    if not said.isdecimal() or int(said) > _MOST:
        raise ConfigError(f"{PORT_VARIABLE}={said!r} is not usable: expected a whole number from 0 to {_MOST}")
    return environ.get(HOST_VARIABLE, "").strip() or "127.0.0.1", int(said)


class ScrapedReader(PrometheusMetricReader):
    """A metric reader with the page that it is read by.

    Raises:
        ConfigError: where it cannot listen; it names the address and the variables.
    """

    def __init__(self) -> None:
        host, port = place(os.environ)
        super().__init__()
        try:
            self._server, self._thread = start_http_server(port, host)
        except OSError as error:
            super().shutdown()
            raise ConfigError(
                f"cannot listen on {host}:{port} for Prometheus: {error.strerror or error}; "
                f"set {HOST_VARIABLE} or {PORT_VARIABLE}"
            ) from None

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Stop listening, and leave the registry as it was."""
        super().shutdown(timeout_millis, **kwargs)
        self._server.shutdown()
        self._server.server_close()
