"""The real Collector, Jaeger and Prometheus, each with the file of `collector-config/` on ports of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "collector-config"
GET = CONFIG / "engines" / "get.sh"
PATIENCE = 60
"""Seconds after which an engine that does not answer is taken for broken; CI's machine may be busy."""

LOOPBACK = "127.0.0.1"


def find() -> dict[str, Path]:
    """Where the programs are, by name; those that nobody has got are missing."""
    if not Path("/bin/bash").exists():
        return {}
    said = subprocess.run(["/bin/bash", str(GET), "--have"], capture_output=True, encoding="utf-8", check=False).stdout
    return {name: Path(path) for name, path in (line.split("\t") for line in said.splitlines())}


_PORTS = iter(random.sample(range(15_000, 32_000), 17_000))
"""Below those that the system gives to whoever connects (32768 and more on Linux, 49152 elsewhere): an engine binds a
port some time after it was found free, again after a crash, and in between it could be somebody's."""


def free_port() -> int:
    """A port of the loopback that is free, and that nobody else is given: neither by this nor by the system."""
    for port in _PORTS:
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind((LOOPBACK, port))
            return port
    raise RuntimeError("no port is free")


def wait_for(what: str, look: Callable[[], T], timeout: float = PATIENCE) -> T:
    """What `look` gives as soon as it is true; an engine that cannot be reached yet is asked again."""
    over = time.monotonic() + timeout
    while True:
        with contextlib.suppress(httpx.TransportError):
            found = look()
            if found:
                return found
        if time.monotonic() > over:
            raise TimeoutError(f"not within {timeout} s: {what}")
        time.sleep(0.05)  # they have no way to tell


@dataclass
class Engine:
    """One program: started, asked whether it is ready, ended; its output goes to a file."""

    command: list[str]
    directory: Path
    ready: str
    environment: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        return (self.directory / "output").read_text("utf-8", "replace")

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        try:
            wait_for(f"{self.command[0]} is ready", self._is_ready)
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.command[0]} ended with {self._process.returncode}:\n{self.output[-4_000:]}")
        return httpx.get(self.ready, timeout=5).status_code == httpx.codes.OK

    def send(self, number: int) -> None:
        """Send a signal: SIGSTOP and SIGCONT for a stall."""
        os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it, by SIGKILL as if it had crashed; ending twice is fine."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def read(path: Path) -> list[dict[str, Any]]:
    """A file of OTLP-JSON, as the Collector's file exporter writes it; a last line may be half written."""
    lines = path.read_text("utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


@dataclass
class Collector:
    """The Collector with a configuration as it is shipped, but for its addresses."""

    engine: Engine
    directory: Path
    otlp: str
    metrics: str
    own_metrics: str

    @property
    def file(self) -> Path:
        """Where the file exporter writes everything."""
        return self.directory / "tachograph.jsonl"


@dataclass
class Jaeger:
    """Jaeger with its database on disk."""

    engine: Engine
    otlp: str
    api: str

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, as its query API (v3) has them in OTLP-JSON, each with its `scope` and `resource`."""
        answer = httpx.get(f"{self.api}/api/v3/traces/{trace_id}", timeout=30)
        return [] if answer.status_code == httpx.codes.NOT_FOUND else spans_of(_resources(answer))

    def traces(self, service: str) -> list[dict[str, Any]]:
        """All spans of the traces of a service in the last day."""
        query = {
            "query.service_name": service,
            "query.start_time_min": _moment(-86_400),
            "query.start_time_max": _moment(86_400),
            "query.num_traces": "20000",
        }
        answer = httpx.get(f"{self.api}/api/v3/traces", params=query, timeout=60)
        return [] if answer.status_code == httpx.codes.NOT_FOUND else spans_of(_resources(answer))

    def found_by(self, service: str, **tags: str) -> set[str]:
        """Ids of the traces of a service that its page finds by tags: query API v3 has no such question over HTTP."""
        query = {"service": service, "tags": json.dumps(tags), "lookback": "1d", "limit": "20000"}
        answer = httpx.get(f"{self.api}/api/traces", params=query, timeout=60)
        answer.raise_for_status()
        return {trace["traceID"] for trace in answer.json()["data"]}


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def _resources(answer: httpx.Response) -> list[dict[str, Any]]:
    answer.raise_for_status()
    # A stream of results, each a line, where they are many.
    found = [json.loads(line) for line in answer.text.splitlines() if line.strip()]
    return [part for each in found for part in each["result"]["resourceSpans"]]


def spans_of(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """OTLP-JSON's spans in one list, each with its scope's name and its resource's attributes."""
    return [
        {**span, "scope": scope["scope"]["name"], "resource": resource["resource"]["attributes"]}
        for resource in resources
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


@dataclass
class Prometheus:
    """Prometheus, which scrapes each second."""

    engine: Engine
    api: str

    def query(self, expression: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """What an instant query answers: series with their labels and `value`."""
        moment = {} if at is None else {"time": str(at)}
        answer = httpx.post(f"{self.api}/api/v1/query", data={"query": expression, **moment}, timeout=30).json()
        assert answer["status"] == "success", f"{expression}: {answer['error']}"
        return list(answer["data"]["result"])

    def number(self, expression: str) -> float:
        """The one value of a query; 0 where nothing matches."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else 0.0

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """The exemplars of the series that a query uses."""
        span = {"start": str(time.time() - 3_600), "end": str(time.time() + 60)}
        answer = httpx.get(
            f"{self.api}/api/v1/query_exemplars", params={"query": expression, **span}, timeout=30
        ).json()
        return [exemplar for series in answer["data"] for exemplar in series["exemplars"]]


class Engines:
    """Starts engines in one directory; ends all of them.

    Args:
        programs: where they are, as :func:`find` says.
        directory: a temporary one.
    """

    def __init__(self, programs: dict[str, Path], directory: Path) -> None:
        self.programs = programs
        self.directory = directory
        self._running: list[Engine] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._running:
            engine.end(signal.SIGKILL)  # nobody looks at what they would write in the end

    def _started(self, engine: Engine) -> Engine:
        self._running.append(engine)
        engine.start()
        return engine

    def collector(self, *configs: str, name: str = "collector", traces_to: str = "", **variables: str) -> Collector:
        """The Collector, by files of `collector-config/`; traces go to `traces_to`, as ``host:port``."""
        directory = self.directory / name
        directory.mkdir(parents=True, exist_ok=True)
        grpc, http, metrics, own, health = (free_port() for _ in range(5))
        places = directory / "places.yaml"
        places.write_text(
            f"""
receivers: {{otlp: {{protocols: {{
  grpc: {{endpoint: "{LOOPBACK}:{grpc}"}}, http: {{endpoint: "{LOOPBACK}:{http}"}}}}}}}}
exporters: {{prometheus: {{endpoint: "{LOOPBACK}:{metrics}"}}}}
extensions: {{health_check: {{endpoint: "{LOOPBACK}:{health}"}}}}
service: {{telemetry: {{metrics: {{readers: [
  {{pull: {{exporter: {{prometheus: {{host: "{LOOPBACK}", port: {own}}}}}}}}}]}}}}}}
""",
            "utf-8",
        )
        engine = Engine(
            [
                str(self.programs["otelcol"]),
                *(part for config in (configs or ("collector.yaml",)) for part in ("--config", str(CONFIG / config))),
                "--config",
                str(places),
            ],
            directory,
            f"http://{LOOPBACK}:{health}/",
            {
                "TACHOGRAPH_COLLECTOR_DIR": str(directory),
                "JAEGER_ENDPOINT": traces_to or f"{LOOPBACK}:{free_port()}",
                **variables,
            },
        )
        return Collector(
            self._started(engine),
            directory,
            f"http://{LOOPBACK}:{http}",
            f"http://{LOOPBACK}:{metrics}/metrics",
            f"http://{LOOPBACK}:{own}/metrics",
        )

    def jaeger(self) -> Jaeger:
        """Jaeger, by `jaeger.yaml`."""
        directory = self.directory / "jaeger"
        directory.mkdir(parents=True, exist_ok=True)
        otlp, http, grpc, own, health = (free_port() for _ in range(5))
        places = directory / "places.yaml"
        places.write_text(
            f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "{LOOPBACK}:{otlp}"}}}}}}}}
extensions:
  jaeger_query: {{http: {{endpoint: "{LOOPBACK}:{http}"}}, grpc: {{endpoint: "{LOOPBACK}:{grpc}"}}}}
  healthcheckv2: {{http: {{endpoint: "{LOOPBACK}:{health}"}}}}
service: {{telemetry: {{metrics: {{readers: [
  {{pull: {{exporter: {{prometheus: {{host: "{LOOPBACK}", port: {own}}}}}}}}}]}}}}}}
""",
            "utf-8",
        )
        engine = Engine(
            [str(self.programs["jaeger"]), "--config", str(CONFIG / "jaeger.yaml"), "--config", str(places)],
            directory,
            f"http://{LOOPBACK}:{health}/status",
            # It records what it is asked, sends that to port 4317, and waits long for who may be there when it ends.
            {"JAEGER_DIR": str(directory / "data"), "OTEL_TRACES_SAMPLER": "always_off"},
        )
        return Jaeger(self._started(engine), f"{LOOPBACK}:{otlp}", f"http://{LOOPBACK}:{http}")

    def prometheus(self, collector: Collector) -> Prometheus:
        """Prometheus, by `prometheus.yml` and its rules, both of them in a hurry."""
        directory = self.directory / "prometheus"
        directory.mkdir(parents=True, exist_ok=True)
        port = free_port()
        config = (CONFIG / "prometheus.yml").read_text("utf-8")
        for said, here in (
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ("evaluation_interval: 30s", "evaluation_interval: 1s"),
            (f"{LOOPBACK}:8889", httpx.URL(collector.metrics).netloc.decode()),
            (f"{LOOPBACK}:8887", httpx.URL(collector.own_metrics).netloc.decode()),
        ):
            assert said in config, said
            config = config.replace(said, here)
        (directory / "prometheus.yml").write_text(config, "utf-8")
        rules = (CONFIG / "rules.yml").read_text("utf-8").replace("interval: 30s", "interval: 1s")
        (directory / "rules.yml").write_text(rules, "utf-8")
        address = f"{LOOPBACK}:{port}"
        engine = Engine(
            [
                str(self.programs["prometheus"]),
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                "--enable-feature=exemplar-storage",
                f"--web.listen-address={address}",
            ],
            directory,
            f"http://{address}/-/ready",
        )
        return Prometheus(self._started(engine), f"http://{address}")
