"""Every file of `collector-config/` is one that its program takes, and they agree with each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from support.engines import CONFIG, GET
from tachograph import names

pytestmark = pytest.mark.engines

COLLECTORS = {
    "collector.yaml": ["collector.yaml"],
    "collector.yaml with debug.yaml": ["collector.yaml", "debug.yaml"],
    "fleet.yaml": ["fleet.yaml"],
}
DASHBOARDS = sorted((CONFIG / "grafana" / "dashboards").glob("*.json"))
RULES_TEST = Path(__file__).parents[1] / "data" / "rules_test.yml"


def run(*command: str | Path, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("files", COLLECTORS.values(), ids=COLLECTORS)
def test_the_collector_takes_each_configuration(programs, files, tmp_path):
    """The Collector's own `validate` has nothing to say about any configuration."""
    places = [part for file in files for part in ("--config", CONFIG / file)]

    assert (0, "") == run(programs["otelcol"], "validate", *places, TACHOGRAPH_COLLECTOR_DIR=str(tmp_path))


def test_prometheus_takes_its_configuration_and_rules(programs):
    """`promtool` finds the configuration and every rule valid."""
    assert run(programs["promtool"], "check", "config", CONFIG / "prometheus.yml")[0] == 0
    code, said = run(programs["promtool"], "check", "rules", "--lint=all", "--lint-fatal", CONFIG / "rules.yml")
    assert code == 0, said


def test_alerts_fire_when_they_should(programs, tmp_path):
    """On made-up days each rule records the exact increase, and each alert fires at its limit and not before."""
    test = tmp_path / "rules_test.yml"
    test.write_text(RULES_TEST.read_text("utf-8").replace("rules.yml", str(CONFIG / "rules.yml")), "utf-8")

    code, said = run(programs["promtool"], "test", "rules", test)

    assert code == 0, said
    alerts = set(re.findall(r"alert: (\w+)", (CONFIG / "rules.yml").read_text("utf-8")))
    assert alerts == set(re.findall(r"alertname: (\w+)", RULES_TEST.read_text("utf-8")))


def test_what_is_scraped_is_well_formed(programs, examples, backends):
    """`promtool check metrics` finds nothing wrong with what the Collector shows of ours."""
    page = httpx.get(backends.collector.metrics, headers={"Accept": "text/plain"}).text
    assert "gen_ai_client_token_usage_sum" in page

    done = subprocess.run(
        [str(programs["promtool"]), "check", "metrics"], input=page, capture_output=True, encoding="utf-8", check=False
    )

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_versions_are_the_same_everywhere():
    """Containers and programs built from source are of the same versions, and the files they mount are there."""
    compose = yaml.safe_load((CONFIG / "compose.yaml").read_text("utf-8"))
    images = dict(service["image"].rsplit(":", 1) for service in compose["services"].values())
    builder = (CONFIG / "engines" / "otelcol" / "builder.yaml").read_text("utf-8")
    (jaeger,) = re.findall(r"jaegertracing/jaeger v1\.(\d+)\.(\d+)", (CONFIG / "engines/jaeger/go.mod").read_text())

    assert images["otel/opentelemetry-collector-contrib"] == yaml.safe_load(builder)["dist"]["version"]
    # The Go module is still numbered as version 1: 1.76.0 is 2.13.0.
    assert images["jaegertracing/jaeger"] == f"2.{int(jaeger[0]) - 63}.{jaeger[1]}"
    for service in compose["services"].values():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            assert source in compose["volumes"] or (CONFIG / source).exists(), mount


def test_both_configurations_take_out_the_same():
    """A fleet's Collector takes out no less content than a laptop's, and both all that we can be told to send."""
    laptop, fleet = (yaml.safe_load((CONFIG / file).read_text("utf-8")) for file in ("collector.yaml", "fleet.yaml"))

    assert laptop["processors"]["transform/content"] == fleet["processors"]["transform/content"]
    for statements in laptop["processors"]["transform/content"].values():
        if isinstance(statements, list):
            assert "|".join(sorted(names.CONTENT_FIELDS)) in str(statements)


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_dashboards_are_whole(file):
    """Panels have ids and places of their own, and ask only for data that the provisioning brings."""
    board = json.loads(file.read_text("utf-8"))
    provisioned = yaml.safe_load((CONFIG / "grafana/provisioning/datasources/tachograph.yaml").read_text("utf-8"))
    known = {source["uid"]: source["type"] for source in provisioned["datasources"]}

    assert len(board["panels"]) == len({panel["id"] for panel in board["panels"]})
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    for source in (
        *(panel["datasource"] for panel in board["panels"]),
        *(target["datasource"] for panel in board["panels"] for target in panel["targets"]),
        *(variable["datasource"] for variable in board["templating"]["list"]),
    ):
        assert known[source["uid"]] == source["type"]


def test_getting_says_what_is_missing(tmp_path):
    """`get.sh --have` gets nothing, and says by its exit code that something is missing; a wrong name is named."""
    assert (1, "") == run(GET, "--have", TACHOGRAPH_ENGINES=str(tmp_path))
    code, said = run(GET, "--have", "grafana", TACHOGRAPH_ENGINES=str(tmp_path))
    assert code == 2
    assert "'grafana'" in said
    assert [] == list(tmp_path.iterdir())
