"""What telemetry says it comes from."""

from __future__ import annotations

import sys

import pytest

from tachograph.service import program_name, resource


def test_a_program_is_called_by_its_script_or_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's name is the module or script that was started, and never empty."""
    main = sys.modules["__main__"]
    for spec, argv, name in (
        (type("Spec", (), {"name": "shop.worker"}), ["x.py"], "shop.worker"),
        (type("Spec", (), {"name": "shop.__main__"}), ["x.py"], "shop"),
        (None, ["/srv/shop/serve.py", "--port"], "serve"),
        (None, ["-c"], "python"),
        (None, [""], "python"),
        (None, [], "python"),
    ):
        monkeypatch.setattr(main, "__spec__", spec, raising=False)
        monkeypatch.setattr(sys, "argv", argv)

        assert name == program_name()


@pytest.mark.parametrize(
    ("setting", "variable", "expected"),
    [(None, "", "serve"), ("shop", "", "shop"), ("shop", "service.name=mall", "mall")],
)
def test_a_service_is_called_by_variable_setting_or_program(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, variable: str, expected: str
) -> None:
    """The standard variable wins over the setting, and this over the program's name."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    monkeypatch.setattr(sys, "argv", ["/srv/serve.py"])
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", variable)

    assert expected == resource(setting).attributes["service.name"]
