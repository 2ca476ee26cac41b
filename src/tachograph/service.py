"""What telemetry of this process says it comes from: the service, and which instance of it."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.resources import Resource

_INSTANCE: Final = "service.instance.id"


def resource(service_name: str | None) -> Resource:
    """The resource of providers that are ours.

    Args:
        service_name: what settings call the service; None leaves that to the standard variables, or to the program.
    """
    found = Resource.create()
    if str(found.attributes.get("service.name", "")).startswith("unknown_service"):
        found = found.merge(Resource({"service.name": service_name or program_name()}))
    # Newer SDKs make the instance's id themselves, anew in a process that is forked off.
    return found if _INSTANCE in found.attributes else _OfProcess(dict(found.attributes))


def program_name() -> str:
    """What to call the service: the script, or the module it was started as."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    return Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in ("", "-c", "-") else "python"


class _OfProcess(Resource):
    """A resource that is another instance in each process, also one that was forked off."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        super().__init__(attributes)
        self._instance: tuple[int, str] = 0, ""

    @property
    def attributes(self) -> Any:
        """Those given, and the id of this process."""
        if self._instance[0] != os.getpid():
            self._instance = os.getpid(), str(uuid.uuid4())
        return {**super().attributes, _INSTANCE: self._instance[1]}
