"""The series of a gauge that nobody observes any more, which the SDK would keep for good."""

from __future__ import annotations

from typing import Any


def forget_idle(provider: Any, name: str) -> None:
    """Make the SDK drop the series of the gauge ``name`` that were not observed since they were last collected.

    It keeps the series of every attribute set there ever was, and when they are 2,000 it makes one of all further
    ones: a process with many sessions would lose them all. It has no way to say so, hence the look inside. Where it
    is built differently nothing is dropped. To be called from the gauge's own callback, under the SDK's lock.

    Args:
        provider: the meter provider; that of the API, or anybody's, has nothing to drop.
        name: of an observable gauge.
    """
    consumer = getattr(provider, "_measurement_consumer", None)
    for storage in getattr(consumer, "_reader_storages", {}).values():
        for instrument, streams in getattr(storage, "_instrument_view_instrument_matches", {}).items():
            if instrument.name == name:
                for stream in streams:
                    series = getattr(stream, "_attributes_aggregation", {})
                    for key in [key for key, value in series.items() if getattr(value, "_value", value) is None]:
                        del series[key]
