"""``tachograph doctor``: what is hooked, what is not and why, where it exports, which settings are in force."""

from __future__ import annotations

import json
import platform
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from support.otlp_receiver import OtlpReceiver
from support.programs import Finished, Programs, script
from support.story import write_story
from tachograph.config import Config
from tachograph.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

DOCTOR = (script("tachograph"), "doctor")
NOWHERE = "nowhere (set OTEL_EXPORTER_OTLP_ENDPOINT to export)"


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def installed(programs: Programs, name: str, version: str) -> dict[str, str]:
    """Say that a distribution is installed, and give the variables for it."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    programs.write(f"site/{name.replace('-', '_')}-{version}.dist-info/METADATA", metadata)
    return {"PYTHONPATH": str(programs.directory / "site")}


def examined(programs: Programs, **variables: str) -> tuple[Finished, dict[str, Any]]:
    done = programs.run(*DOCTOR, "--json", **variables)
    return done, json.loads(done.stdout)


def row(rows: list[dict[str, Any]], key: str, value: str) -> dict[str, Any]:
    (found,) = [each for each in rows if each[key] == value]
    return found


# ------------------------------------------------------------------------------------------------- all is well
def test_all_is_well(programs):
    """Where nothing is wrong the exit code is 0, every hook is there and every setting says where it is from."""
    done, found = examined(programs)

    assert (done.code, done.stderr, found["problems"]) == (0, "", [])
    assert (VERSION, platform.python_version()) == (found["tachograph"], found["python"])
    framework, *clients = found["integrations"]
    assert ["openai", "anthropic"] == [client["name"] for client in clients]
    assert (
        framework["name"],
        framework["state"],
        framework["note"],
        framework["also_active"],
    ) == ("smolagents", "installed", "", [])
    place = str(programs.directory / "data" / "tachograph" / "store.db")
    assert {"path": place, "recording": "tachograph run", "state": "not there yet"} == found["store"]
    hooks = {hook["hook"] for hook in found["hooks"]}
    assert {
        "smolagents.agents.MultiStepAgent.run",
        "smolagents.models.OpenAIModel.generate_stream",
        "smolagents.tools.Tool.__call__",
        "smolagents.local_python_executor.timeout",
    } <= hooks
    assert {(True, "")} == {(hook["hooked"], hook["why"]) for hook in found["hooks"]}
    assert dict.fromkeys(("traces", "metrics", "logs"), NOWHERE) == found["export"]
    assert [
        {
            "setting": name,
            "value": list(default) if isinstance(default := getattr(Config(), name), tuple) else default,
            "from": "default",
            "variable": setting.variable,
            "meaning": setting.meaning,
        }
        for name, setting in Config.settings().items()
    ] == found["settings"]


def test_text_and_json_say_the_same(programs):
    """The text names every framework, hook, signal, setting and problem that the JSON has."""
    variables = {
        "COLUMNS": "200",
        "TACHOGRAPH_MAX_NAMES": "few [or many]",
        "TACHOGRAPH_SESSION_ID": "chat-1",
        **installed(programs, "openinference-instrumentation-smolagents", "0.1.43"),
    }

    _, found = examined(programs, **variables)
    done = programs.run(*DOCTOR, **variables)

    assert (done.code, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert f"tachograph {VERSION} on Python {platform.python_version()}" == lines[0]
    words = [
        *(
            part
            for each in found["integrations"]
            for part in (each["name"], each["version"] or "-", *each["also_active"])
        ),
        *(each["hook"] for each in found["hooks"]),
        *(part for pair in found["export"].items() for part in pair),
        *(part for each in found["settings"] for part in (each["setting"], each["variable"], each["meaning"])),
        *found["problems"],
    ]
    assert [word for word in words if word not in done.stdout] == []
    assert any("session_id" in line and "chat-1" in line and "TACHOGRAPH_SESSION_ID" in line for line in lines)
    assert "Problems" in lines
    assert "No problems." not in lines


def test_python_m_tachograph(programs):
    """``python -m tachograph doctor`` is the same command."""
    by_module = programs.run(sys.executable, "-m", "tachograph", "doctor")

    assert programs.run(*DOCTOR) == by_module
    assert "No problems." in by_module.stdout.splitlines()


# ------------------------------------------------------------------------------------------------- settings
def test_settings_say_where_they_are_from(programs):
    """A value is shown with the variable or the file that set it; the variable wins over the file."""
    file = programs.write("pyproject.toml", "[tool.tachograph]\nmax_names = 7\nmax_open = 8\n")

    done, found = examined(programs, TACHOGRAPH_MAX_OPEN="9", OTEL_SERVICE_NAME="shop")

    assert (done.code, found["problems"]) == (0, [])
    shown = {each["setting"]: (each["value"], each["from"]) for each in found["settings"]}
    assert (7, f"{file} [tool.tachograph] max_names") == shown["max_names"]
    assert shown["max_open"] == (9, "TACHOGRAPH_MAX_OPEN")
    assert shown["service_name"] == ("shop", "OTEL_SERVICE_NAME")
    assert shown["max_sessions"] == (1_000, "default")


def test_secrets_are_not_shown(programs):
    """The audit key is said to be set, and not what it is."""
    for how in ((), ("--json",)):
        done = programs.run(*DOCTOR, *how, TACHOGRAPH_AUDIT_KEY="hush")

        assert "***" in done.stdout
        assert "hush" not in done.stdout + done.stderr


# ------------------------------------------------------------------------------------------------- problems
@pytest.mark.parametrize(
    ("variables", "problems"),
    [
        (
            {
                "OTEL_TRACES_EXPORTER": "nonsense",
                "TACHOGRAPH_INTEGRATIONS": "langgraf",
                "TACHOGRAPH_MAX_NAMES": "0",
            },
            [
                "TACHOGRAPH_MAX_NAMES: '0' is not usable: expected",
                "TACHOGRAPH_INTEGRATIONS: 'langgraf': no such integration",
                "traces are not exported: OTEL_TRACES_EXPORTER='nonsense': no such exporter",
            ],
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "morse",
                "OTEL_TRACES_EXPORTER": "otlp",
                "TACHOGRAPH_CONFIG": "missing.toml",
            },
            ["TACHOGRAPH_CONFIG=missing.toml: cannot be read", "OTEL_EXPORTER_OTLP_PROTOCOL='morse' is not usable"],
        ),
    ],
    ids=["values", "files and protocols"],
)
def test_problems_are_named_and_the_exit_code_says_so(programs, variables, problems):
    """What is wrong and can be mended is a line among the problems, and the exit code is 1."""
    done, found = examined(programs, **variables)

    assert (done.code, done.stderr, len(found["problems"])) == (1, "", len(problems))
    assert all(map(str.startswith, found["problems"], problems))


def test_a_framework_that_cannot_be_imported_is_a_problem(programs):
    """A framework that is installed and breaks when it is imported is shown as waiting, with the reason."""
    programs.write("site/smolagents/__init__.py", "raise ImportError('libwhatever.so is missing')")

    done, found = examined(programs, PYTHONPATH=str(programs.directory / "site"))

    assert (done.code, found["hooks"]) == (1, [])
    assert found["problems"] == ["smolagents cannot be imported: ImportError: libwhatever.so is missing"]
    assert row(found["integrations"], "name", "smolagents")["state"] == "waiting"


def test_a_framework_that_is_built_differently_is_a_problem(programs):
    """Hooks that are not there are named, one by one, and among the problems."""
    programs.write(
        "site/sitecustomize.py",
        """
        import smolagents.agents

        del smolagents.agents.MultiStepAgent._finalize_step
        """,
    )

    done, found = examined(programs, PYTHONPATH=str(programs.directory / "site"))

    assert done.code == 1
    missing = [hook for hook in found["hooks"] if not hook["hooked"]]
    assert [hook["hook"] for hook in missing] == ["smolagents.agents.MultiStepAgent._finalize_step"]
    assert "this version of the framework is built differently" in missing[0]["why"]
    (problem,) = found["problems"]
    assert "not there to hook: smolagents.agents.MultiStepAgent._finalize_step" in problem


# ------------------------------------------------------------------------------------------------- versions, others
def test_a_version_newer_than_tested_is_hooked_and_said_to_be(programs):
    """A framework newer than the tests have seen is hooked; its row says that nobody has tried."""
    done, found = examined(programs, **installed(programs, "smolagents", "1.99.0"))

    framework = row(found["integrations"], "name", "smolagents")
    assert (done.code, framework["state"], framework["version"]) == (0, "installed", "1.99.0")
    assert framework["note"] == "newer than 1.26, the newest version tested"


def test_other_instrumentors_beside_us_are_shown(programs):
    """Another instrumentor of the same framework is named with its version, and is no problem."""
    done, found = examined(programs, **installed(programs, "openinference-instrumentation-smolagents", "0.1.43"))

    framework = row(found["integrations"], "name", "smolagents")
    assert (done.code, found["problems"]) == (0, [])
    assert framework["also_active"] == ["openinference-instrumentation-smolagents 0.1.43"]


def test_instrumentations_of_model_clients_beside_us_are_shown(programs):
    """Another instrumentation of the model's client is named with its version and with what it does beside us."""
    variables = installed(programs, "opentelemetry-instrumentation-openai-v2", "2.4b0")
    done, found = examined(programs, **variables)
    said = programs.run(*DOCTOR, COLUMNS="200", **variables).stdout

    shown = row(found["beside"], "name", "opentelemetry-instrumentation-openai-v2")
    assert (done.code, found["problems"]) == (0, [])
    assert shown["version"] == "2.4b0"
    assert "a second time" in shown["effect"]
    assert f"opentelemetry-instrumentation-openai-v2 2.4b0 is installed too: {shown['effect']}" in said


# ------------------------------------------------------------------------------------------------------ export
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_where_it_exports_is_said_and_nothing_is_sent(programs, protocol):
    """Each signal's exporter and endpoint are shown, what is left out too; looking sends nothing there."""
    with OtlpReceiver() as receiver:
        endpoint = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint
        done, found = examined(
            programs,
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_LOGS_EXPORTER="none",
        )
        sent = [*receiver.spans, *receiver.metrics, *receiver.logs]

    exporter = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}[protocol]
    assert (done.code, done.stderr, sent) == (0, "", [])
    assert {
        "traces": f"{exporter} to {endpoint}",
        "metrics": f"{exporter} to {endpoint}",
        "logs": NOWHERE,
    } == found["export"]


# ------------------------------------------------------------------------------------------------------- store
def test_where_records_are_kept_is_said(programs):
    """The store's place is shown, whether every program records into it, and how much it has; looking makes none."""
    path = programs.directory / "here.db"

    _, found = examined(programs, TACHOGRAPH_STORE=str(path))
    assert ({"path": str(path), "recording": "every program", "state": "not there yet"}, False) == (
        found["store"],
        path.exists(),
    )

    write_story(path)
    done, found = examined(programs, TACHOGRAPH_STORE=str(path))
    shown = programs.run(*DOCTOR, COLUMNS="200", TACHOGRAPH_STORE=str(path)).stdout
    assert (0, True) == (done.code, re.fullmatch(r"3 sessions, [\d.]+ kB", found["store"]["state"]) is not None)
    assert str(path) in shown
    assert found["store"]["state"] in shown


def test_a_store_that_cannot_be_made_is_a_problem(programs):
    """A place in which there can be no store is named among the problems before anything is lost there."""
    path = programs.write("notes.txt", "no folder") / "store.db"

    done, found = examined(programs, TACHOGRAPH_STORE=str(path))

    assert (1, "cannot be made") == (done.code, found["store"]["state"])
    assert [f"store {path}: {path.parent} is no folder; name another place in TACHOGRAPH_STORE"] == found["problems"]


def test_a_store_that_cannot_be_read_is_a_problem(programs):
    """A file that is no store is named among the problems, with what to do."""
    path = programs.write("notes.txt", "nothing of ours\n" * 100)

    done, found = examined(programs, TACHOGRAPH_STORE=str(path))

    assert (1, "cannot be read") == (done.code, found["store"]["state"])
    assert any(str(path) in problem for problem in found["problems"])
