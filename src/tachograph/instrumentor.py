"""The entry point of ``opentelemetry-instrument``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

from tachograph import runtime

if TYPE_CHECKING:
    from collections.abc import Collection


class TachographInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the base class is untyped
    """Starts Tachograph the way ``import tachograph.auto`` does."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: each framework is looked for by itself."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        runtime.start(
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
            logger_provider=kwargs.get("logger_provider"),
            automatic=True,
        )

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the base class's signature
        runtime.stop()
