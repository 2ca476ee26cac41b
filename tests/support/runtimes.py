"""Work for the runtime in force, and classes to be hooked as an integration would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph import runtime
from tachograph.live import Start
from tachograph.probes import Probe

if TYPE_CHECKING:
    from tachograph.runtime.assembly import Runtime


def work(name: str = "t") -> Any:
    """One operation in the runtime in force."""
    recorder = runtime.current().recorder
    live = recorder.begin(Start("tool", name))
    recorder.end(live)
    return live.record


class Host:
    """A class of the program's, hooked by the tests."""

    def run(self) -> str:
        return "ran"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)


class Plain:
    """One that has no ``__init_subclass__``."""

    def run(self) -> str:
        return "ran"


def hook(running: Runtime) -> None:
    """Hook the tests' classes as an integration would."""
    for root in (Host, Plain):
        running.hooks.install_family(
            root, ("run",), lambda owner, attribute: Probe(owner, attribute, began=lambda _: Start("tool", "run"))
        )
