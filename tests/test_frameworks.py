"""Which frameworks are hooked, now or when they are imported, and how it stands with those that are not."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tachograph import frameworks, runtime
from tachograph.config import Config
from tachograph.frameworks import Frameworks, IntegrationError
from tachograph.guard import Guard
from tachograph.integrations import Integration
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tachograph.probes import Hooks

LOADER = """
from tachograph.probes import Probe
import winch

def install(hooks):
    hooks.install(Probe(winch.Winch, "pull", began=lambda call: None))
    hooks.install(Probe(winch.Winch, "maybe", optional=True))
    {more}
"""
MISSING = 'hooks.install(Probe(winch.Winch, "gone"))'
BROKEN = 'raise ZeroDivisionError("ours")'


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    """Hooks that record nowhere."""
    with capture() as captured:
        captured.runtime.hooks.rows.clear()
        yield captured.runtime.hooks


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place where packages are installed, with a registry that knows the one framework ``winch``."""
    monkeypatch.syspath_prepend(tmp_path)
    row = Integration("winch", "winch", "winch", "winch_loader", (1, 24), (1, 26))
    monkeypatch.setattr(frameworks, "REGISTRY", (row,))
    monkeypatch.setattr(frameworks, "MODEL_CLIENTS", ())
    yield tmp_path
    for name in ("winch", "winch_loader"):
        sys.modules.pop(name, None)


def install(site: Path, version: str | None = "1.25.3", more: str = "") -> None:
    """Install the framework, and our loader for it."""
    (site / "winch.py").write_text("class Winch:\n    def pull(self):\n        return 'pulled'\n")
    (site / "winch_loader.py").write_text(LOADER.format(more=more))
    if version is not None:
        metadata = site / f"winch-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: winch\nVersion: {version}\n")
    importlib.invalidate_caches()


class Hooked:
    """A start of the test's own: what was complained of, and how it stands."""

    def __init__(self, hooks: Hooks, *, strict: bool = True, **settings: Any) -> None:
        self.complaints: list[str] = []
        self.guard = Guard(strict=strict)
        self.frameworks = Frameworks(hooks, self.guard, self.complaints.append, runtime.current().clients)
        self.hook = lambda: self.frameworks.hook(Config.read(settings, environ={}))

    @property
    def state(self) -> str:
        """How it stands with the framework."""
        return self.frameworks.statuses["winch"].state

    @property
    def note(self) -> str:
        """And why."""
        return self.frameworks.statuses["winch"].note


@pytest.mark.parametrize("imported", ["before", "after"])
def test_a_framework_is_hooked_whenever_it_is_imported(site: Path, hooks: Hooks, imported: str) -> None:
    """A framework that is imported already is hooked at once, another one as soon as it is imported."""
    install(site)
    hooked = Hooked(hooks)
    if imported == "before":
        importlib.import_module("winch")
    hooked.hook()
    if imported == "after":
        assert ("waiting", {}) == (hooked.state, hooks.rows)
        importlib.import_module("winch")

    assert ("installed", "", []) == (hooked.state, hooked.note, hooked.complaints)
    assert hasattr(importlib.import_module("winch").Winch.pull, "__wrapped__")
    hooked.hook()
    assert 2 == len(hooks.rows)


def test_a_framework_that_is_not_there_is_no_news(site: Path, hooks: Hooks) -> None:
    """What is not installed is absent, with the command that would install it, and nobody is told."""
    hooked = Hooked(hooks)
    hooked.hook()

    assert ("absent", []) == (hooked.state, hooked.complaints)
    assert "pip install 'tachograph[winch]'" in hooked.note


@pytest.mark.parametrize("version", ["1.23.9", "0.99", "1"])
def test_a_framework_that_is_too_old_is_left_alone_and_said(site: Path, hooks: Hooks, version: str) -> None:
    """A version below the oldest supported is not hooked, and one line says why and what to do."""
    install(site, version)
    hooked = Hooked(hooks)
    hooked.hook()
    importlib.import_module("winch")

    assert "refused" == hooked.state
    assert [f"winch is not instrumented: winch {version} is older than 1.24"] == [
        complaint.partition(",")[0] for complaint in hooked.complaints
    ]
    assert "pip install -U winch" in hooked.note
    assert not hasattr(importlib.import_module("winch").Winch.pull, "__wrapped__")


@pytest.mark.parametrize("version", ["1.24.0", "1.26.7", "1.24rc1"])
def test_a_tested_version_has_no_note(site: Path, hooks: Hooks, version: str) -> None:
    """Versions within the tested range are hooked without a word."""
    install(site, version)
    importlib.import_module("winch")
    hooked = Hooked(hooks)
    hooked.hook()

    assert ("installed", "") == (hooked.state, hooked.note)


@pytest.mark.parametrize("version", ["1.27.0", "2.0"])
def test_a_newer_version_is_hooked_and_said_to_be_untested(site: Path, hooks: Hooks, version: str) -> None:
    """A version above the newest tested is hooked, and its row says so."""
    install(site, version)
    importlib.import_module("winch")
    hooked = Hooked(hooks)
    hooked.hook()

    assert ("installed", "newer than 1.26, the newest version tested", []) == (
        hooked.state,
        hooked.note,
        hooked.complaints,
    )


def test_one_asked_for_by_name_must_be_there(site: Path, hooks: Hooks) -> None:
    """An integration asked for by name that cannot be had is an error; all that is wrong is said at once."""
    with pytest.raises(IntegrationError, match=r"'pigeon': no such integration; there are: winch.*; .*winch: not inst"):
        Hooked(hooks, integrations=["winch", "pigeon"]).hook()
    install(site, "1.0")
    with pytest.raises(IntegrationError, match=r"older than 1\.24"):
        Hooked(hooks, integrations=["winch"]).hook()


def test_one_that_is_not_asked_for_stays_away(site: Path, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where settings name integrations, the others are absent, and said to be so for that reason."""
    install(site)
    other = Integration("davit", "winch", "winch", "winch_loader", (1, 24), (1, 26))
    monkeypatch.setattr(frameworks, "REGISTRY", (*frameworks.REGISTRY, other))
    hooked = Hooked(hooks, integrations=["davit"])
    hooked.hook()

    assert ("absent", "not among the settings' integrations") == (hooked.state, hooked.note)
    assert "waiting" == hooked.frameworks.statuses["davit"].state


def test_what_a_framework_lacks_is_said_once(site: Path, hooks: Hooks) -> None:
    """A framework built differently is hooked where it can be, and one line names what is not there to hook."""
    install(site, more=MISSING)
    importlib.import_module("winch")
    hooked = Hooked(hooks)
    hooked.hook()

    assert "installed" == hooked.state
    assert ["winch 1.25.3: not there to hook: winch.Winch.gone; see tachograph doctor"] == hooked.complaints


def test_an_integration_that_fails_harms_no_import(site: Path, hooks: Hooks) -> None:
    """Where hooking raises, the program's import succeeds, one line says so and the failure is counted."""
    install(site, more=BROKEN)
    hooked = Hooked(hooks, strict=False)
    hooked.hook()

    assert "pulled" == importlib.import_module("winch").Winch().pull()
    assert "failed" == hooked.state
    assert ["winch 1.25.3 is not fully instrumented: ZeroDivisionError: ours"] == hooked.complaints
    assert 1 == sum(hooked.guard.swallowed().values())


def test_a_framework_imported_while_recording_is_off_is_hooked(site: Path, hooks: Hooks) -> None:
    """Recording that is off for a while looks at nothing, and misses no framework."""
    install(site)
    hooked = Hooked(hooks)
    hooked.hook()
    hooks.enabled = False
    importlib.import_module("winch")

    assert "installed" == hooked.state


def test_a_stop_before_the_import_hooks_nothing(site: Path, hooks: Hooks) -> None:
    """A framework imported after the stop is left as it is, whether or not anybody still holds what was started."""
    install(site)
    hooked, forgotten = Hooked(hooks), Hooked(hooks)
    hooked.hook()
    forgotten.hook()
    del forgotten
    hooks.uninstall()
    importlib.import_module("winch")

    assert "waiting" == hooked.state
    assert not hasattr(importlib.import_module("winch").Winch.pull, "__wrapped__")


# --------------------------------------------------------------------------------------------------- model clients
INSTRUMENTATION = """
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
import winch


class WinchInstrumentor(BaseInstrumentor):
    def instrumentation_dependencies(self):
        return ()

    def _instrument(self, **given):
        winch.Winch.on = True

    def _uninstrument(self, **given):
        del winch.Winch.on
"""


@pytest.fixture
def client(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The place, with a registry that knows ``winch`` as a model's client with an instrumentation of its own."""
    row = Integration(
        "winch", "winch", "winch", "winch_instrumentation", (1, 24), (1, 26), instrumentor="WinchInstrumentor"
    )
    monkeypatch.setattr(frameworks, "REGISTRY", ())
    monkeypatch.setattr(frameworks, "MODEL_CLIENTS", (row,))
    install(site)
    (site / "winch_instrumentation.py").write_text(INSTRUMENTATION)
    yield site
    sys.modules.pop("winch_instrumentation", None)


@pytest.mark.parametrize("first", ["winch", "winch_instrumentation"])
def test_a_clients_instrumentation_is_switched_on(hooks, client, first) -> None:
    """As soon as the client is imported its instrumentation is on, also where that is what imports the client."""
    hooked = Hooked(hooks)
    hooked.hook()
    assert "waiting" == hooked.frameworks.statuses["winch"].state
    importlib.import_module(first)

    assert sys.modules["winch"].Winch.on
    assert ("installed", "") == (hooked.frameworks.statuses["winch"].state, hooked.frameworks.statuses["winch"].note)
    assert [] == hooked.complaints


@pytest.mark.parametrize(
    ("settings", "variable"), [({"integrations": "smolagents"}, ""), ({}, "other, winch")], ids=["settings", "variable"]
)
def test_a_client_can_be_left_alone(hooks, client, monkeypatch, settings, variable) -> None:
    """Left out of the settings' integrations, or named in OpenTelemetry's own variable, it is not switched on."""
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", variable)
    if settings:
        row = Integration("smolagents", "smolagents", "smolagents", "tachograph.integrations.smolagents", (1,), (9,))
        monkeypatch.setattr(frameworks, "REGISTRY", (row,))
    hooked = Hooked(hooks, **settings)
    hooked.hook()
    winch = importlib.import_module("winch")

    assert not hasattr(winch.Winch, "on")
    assert "absent" == hooked.frameworks.statuses["winch"].state
