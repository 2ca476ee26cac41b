"""Which frameworks are hooked, and how it stands with each: for the start, for ``stats()`` and for the doctor."""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
import weakref
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from tachograph.integrations import MODEL_CLIENTS, REGISTRY, Integration
from tachograph.probes import Hooks, when_imported

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.clients import Clients
    from tachograph.config import Config
    from tachograph.guard import Guard


_SWITCHED_OFF: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
"""OpenTelemetry's own variable: what is named there is switched on by nobody but the program itself."""


class IntegrationError(RuntimeError):
    """An integration that was asked for by name cannot be installed; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Status:
    """How it stands with one integration. ``state`` is installed, waiting, refused, absent or failed."""

    integration: Integration
    state: str
    version: str | None
    note: str = ""


class Frameworks:
    """Hooks what is installed, now or as soon as it is imported.

    Args:
        hooks: to install through.
        guard: around what happens while the host imports a framework.
        complain: told, in one line each, of what cannot be hooked.
        clients: switches on instrumentations of model clients.
    """

    def __init__(self, hooks: Hooks, guard: Guard, complain: Callable[[str], None], clients: Clients) -> None:
        self._clients = clients
        self._hooks = hooks
        self._guard = guard
        self._complain = complain
        self.statuses: dict[str, Status] = {}

    def hook(self, config: Config) -> None:
        """Hook every integration that settings ask for, now or as soon as its framework is imported.

        Raises:
            IntegrationError: for one asked for by name that cannot be installed.
        """
        wanted = config.integrations
        every = (*REGISTRY, *MODEL_CLIENTS)
        known = {integration.name for integration in every}
        place = config.sources.get("integrations", "integrations")
        problems = [
            f"{place}: {name!r}: no such integration; there are: {', '.join(sorted(known))}"
            for name in wanted
            if name not in known
        ]
        for integration in every:
            if wanted and integration.name not in wanted:
                self.statuses[integration.name] = Status(
                    integration, "absent", None, "not among the settings' integrations"
                )
                continue
            status = self._examine(integration)
            self.statuses[integration.name] = status
            if status.state != "waiting":
                if wanted:
                    problems.append(f"{place}: {integration.name}: {status.note}")
                elif status.state == "refused":
                    self._complain(f"{integration.name} is not instrumented: {status.note}")
                continue
            # Weak, as a hook on an import cannot be taken back, and this one may be stopped before it comes.
            when_imported(integration.module, functools.partial(_imported, weakref.ref(self), status))
            if integration.instrumentor and integration.loader not in sys.modules:
                # The program may import it itself, and with it the client: then it is not ready when the client is.
                when_imported(integration.loader, functools.partial(_imported, weakref.ref(self), status))
        if problems:
            raise IntegrationError("; ".join(problems))

    @staticmethod
    def _examine(integration: Integration) -> Status:
        try:
            installed = version(integration.package)
        except PackageNotFoundError:
            return Status(integration, "absent", None, f"not installed; pip install 'tachograph[{integration.name}]'")
        if integration.instrumentor and integration.name in _switched_off():
            return Status(integration, "absent", installed, f"switched off by {_SWITCHED_OFF}")
        numbers = tuple(int(part) for part in re.findall(r"\d+", installed)[:2])
        oldest, newest = (".".join(map(str, bound)) for bound in (integration.oldest, integration.newest))
        if numbers < integration.oldest:
            return Status(
                integration,
                "refused",
                installed,
                f"{integration.package} {installed} is older than {oldest}, the first version supported; "
                f"pip install -U {integration.package}",
            )
        note = "" if numbers[:2] <= integration.newest else f"newer than {newest}, the newest version tested"
        return Status(integration, "waiting", installed, note)

    def imported(self, status: Status) -> None:
        """A framework was imported."""
        self._guard(self._load, status)

    def _load(self, status: Status) -> None:
        if self._hooks.uninstalled or self.statuses[status.integration.name].state == "installed":
            return
        name = status.integration.name
        self.statuses[name] = Status(status.integration, "failed", status.version, "see the log")
        try:
            note = self._switch_on(status) if status.integration.instrumentor else self._install(status)
        except Exception as error:
            self._complain(f"{name} {status.version} is not fully instrumented: {type(error).__name__}: {error}")
            raise
        if note is None:
            self.statuses[name] = status
            return
        self.statuses[name] = Status(status.integration, "installed", status.version, note)
        missing = [hook.label for hook in self._hooks.rows.values() if not hook.hooked and not hook.optional]
        if missing:
            self._complain(f"{name} {status.version}: not there to hook: {', '.join(missing)}; see tachograph doctor")

    def _install(self, status: Status) -> str:
        importlib.import_module(status.integration.loader).install(self._hooks)
        return status.note

    def _switch_on(self, status: Status) -> str | None:
        """None where it is being imported right now: it tells when it has been."""
        module = importlib.import_module(status.integration.loader)
        instrumentor = getattr(module, status.integration.instrumentor, None)
        if instrumentor is None:
            return None
        return status.note if self._clients.switch_on(instrumentor()) else "switched on by the program itself"


def _switched_off() -> set[str]:
    return {name.strip() for name in os.environ.get(_SWITCHED_OFF, "").split(",")}


def _imported(waiting: weakref.ref[Frameworks], status: Status, _: object) -> None:
    frameworks = waiting()
    if frameworks is not None:
        frameworks.imported(status)
