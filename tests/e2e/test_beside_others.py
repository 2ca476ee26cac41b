"""Beside other instrumentations of the same program: nothing is counted twice, nothing is lost, one trace.

The others are real, so these tests have environments of their own, which `.ci/run` makes:

    pip install -e '.[test,beside]' && pytest -n 0 -m beside -k 'not openai-v2'
    pip install -e '.[test,beside-openai-v2]' && pytest -n 0 -m beside -k openai-v2
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripted_llm import Reply, ScriptedLLM
from support.otlp_receiver import OtlpReceiver
from support.programs import Programs, program, script
from tachograph import names
from team_script import script as team_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.otlp_receiver import ReceivedSpan

pytestmark = pytest.mark.beside

EXAMPLES = Path(__file__).parents[2] / "examples"
USAGE = {
    "prompt_tokens": names.INPUT_TOKENS,
    "completion_tokens": names.OUTPUT_TOKENS,
    "cached_tokens": names.CACHED_TOKENS,
    "reasoning_tokens": names.REASONING_TOKENS,
}
WAYS = ("plain", "streamed models", "streamed runs")
"""How the team is run, each in a session of this name."""

DIRECT = "direct"
"""A model that the program asks itself, outside of any agent: nobody's business but the other instrumentation's."""


@dataclass(frozen=True)
class Other:
    """Another instrumentation.

    Args:
        packages: that it comes in.
        source: what a program does to switch it on.
        in_runs: the scopes of what it makes of a team's run.
        in_direct: those of what it makes of a direct call to a model.
        doubles: it exports the tokens of agents' model calls as well, and cannot be told not to.
    """

    packages: tuple[str, ...]
    source: str
    in_runs: frozenset[str] = frozenset()
    in_direct: frozenset[str] = frozenset()
    doubles: bool = False


OPENAI = "opentelemetry.instrumentation.genai.openai"
OPENAI_V2 = "opentelemetry.instrumentation.openai_v2"
SMOLAGENTS = "opentelemetry.instrumentation.genai.smolagents"
INFERENCE = ("openinference.instrumentation.smolagents", "openinference.instrumentation.openai")
HTTP = "opentelemetry.instrumentation.httpx"

OTHERS = {
    "genai-openai": Other(
        packages=("opentelemetry-instrumentation-genai-openai",),
        source=f"from {OPENAI} import OpenAIInstrumentor; OpenAIInstrumentor().instrument()",
        in_direct=frozenset({OPENAI}),
    ),
    "genai-openai and httpx": Other(
        packages=("opentelemetry-instrumentation-genai-openai", "opentelemetry-instrumentation-httpx"),
        source=f"""
            from {OPENAI} import OpenAIInstrumentor; OpenAIInstrumentor().instrument()
            from {HTTP} import HTTPX2ClientInstrumentor; HTTPX2ClientInstrumentor().instrument()
            """,
        in_runs=frozenset({HTTP}),
        in_direct=frozenset({HTTP, OPENAI}),
    ),
    "genai-smolagents": Other(
        packages=("opentelemetry-instrumentation-genai-smolagents",),
        source=f"from {SMOLAGENTS} import SmolagentsInstrumentor; SmolagentsInstrumentor().instrument()",
        in_runs=frozenset({SMOLAGENTS}),
    ),
    "openinference": Other(
        packages=("openinference-instrumentation-smolagents", "openinference-instrumentation-openai"),
        source=f"""
            from {INFERENCE[0]} import SmolagentsInstrumentor; SmolagentsInstrumentor().instrument()
            from {INFERENCE[1]} import OpenAIInstrumentor; OpenAIInstrumentor().instrument()
            """,
        in_runs=frozenset(INFERENCE),
        in_direct=frozenset({INFERENCE[1]}),
    ),
    "openai-v2": Other(
        packages=("opentelemetry-instrumentation-openai-v2",),
        source=f"from {OPENAI_V2} import OpenAIInstrumentor; OpenAIInstrumentor().instrument()",
        in_runs=frozenset({OPENAI_V2}),
        in_direct=frozenset({OPENAI_V2}),
        doubles=True,
    ),
}

START = f"""
    import sys

    sys.path.insert(0, {str(EXAMPLES)!r})
    """

WORK = f"""
    import openai
    import tachograph
    import team
    from told import tell


    def built(of, **changed):
        return lambda **given: of(**{{**given, **changed}})


    class StreamedRuns(team.CodeAgent):
        def run(self, *args, **kwargs):
            *_, last = super().run(*args, **kwargs, stream=True)
            return last.output


    coder, caller, answers = team.CodeAgent, team.ToolCallingAgent, []
    for way in {WAYS!r}:
        if way == "plain":
            team.CodeAgent = built(coder, stream_outputs=False)
            team.ToolCallingAgent = built(caller, stream_outputs=False)
        else:
            team.CodeAgent = StreamedRuns if way == "streamed runs" else coder
            team.ToolCallingAgent = caller
        with tachograph.session(way):
            answers.append(team.main())
    with tachograph.session({DIRECT!r}):
        openai.OpenAI().chat.completions.create(model={DIRECT!r}, messages=[{{"role": "user", "content": "hello"}}])
    tell(
        answers=answers,
        by_model={{way: tachograph.session_metrics(way).tokens_by_model for way in {(*WAYS, DIRECT)!r}}},
        stats={{name: tachograph.stats()[name] for name in ("open_operations", "swallowed")}},
    )
    """

OURS = "import tachograph.auto"
PYTHON = (sys.executable, "app.py")
STARTS: dict[str, Callable[[Other], tuple[tuple[str, ...], str]]] = {
    "theirs, then our import": lambda other: (PYTHON, program(START, other.source, OURS, WORK)),
    "our import, then theirs": lambda other: (PYTHON, program(START, OURS, other.source, WORK)),
    "both after the framework": lambda other: (PYTHON, program(START, "import smolagents", OURS, other.source, WORK)),
    "opentelemetry-instrument": lambda other: (
        (script("opentelemetry-instrument"), *PYTHON),
        program(START, other.source, WORK),
    ),
    "tachograph run": lambda other: (
        (script("tachograph"), "run", "app.py"),
        program(START, other.source, WORK),
    ),
}


@dataclass
class Ran:
    """What came of a program: what it said, what was billed to it, what it exported."""

    told: Any
    bill: dict[str, dict[str, int]]
    spans: list[ReceivedSpan]
    tokens_measured: float

    def exported(self, scope: str | None = None) -> dict[str, Counter[str]]:
        """Usage per model, summed over all exported spans or those of one scope."""
        sums: dict[str, Counter[str]] = {}
        for span in self.spans:
            if scope is None or span.scope == scope:
                model = str(span.attributes.get(names.REQUEST_MODEL))
                for field, name in USAGE.items():
                    if span.attributes.get(name):
                        sums.setdefault(model, Counter())[field] += span.attributes[name]
        return sums

    def trace_of(self, session: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.attributes.get(names.SESSION_ID) == session]


def require(packages: tuple[str, ...]) -> None:
    """Have these packages, or skip with a word on how to; where the whole truth is wanted, fail."""
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    missing = [package for package in packages if package not in installed]
    if missing:
        message = f"not installed here: {', '.join(missing)}; the head of this file says how"
        (pytest.fail if "CI" in os.environ else pytest.skip)(message)


def run(programs: Programs, command: tuple[str, ...], source: str, **variables: str) -> Ran:
    programs.write("app.py", source)
    replies = {model: list(each) * len(WAYS) for model, each in team_script().items()}
    replies[DIRECT] = [Reply("hello", prompt_tokens=7, completion_tokens=3)]
    with ScriptedLLM(replies) as llm, OtlpReceiver() as receiver:
        done = programs.run(
            *command,
            OPENAI_BASE_URL=llm.base_url,
            OPENAI_API_KEY="none",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint,
            TACHOGRAPH_SUMMARY="0",
            OTEL_METRIC_EXPORT_INTERVAL="3600000",  # once, at the end: a point's last value is its total
            **variables,
        )
        assert (done.code, done.stderr) == (0, "")
        bill = {model: vars(entry) for model, entry in llm.bill().items()}
        measured = sum(point.sum for point in receiver.metrics if point.metric == names.TOKEN_USAGE)
        return Ran(done.told, bill, receiver.spans, measured)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def billed(bill: dict[str, int]) -> dict[str, int]:
    return {field: bill[field] for field in USAGE if bill[field]}


def assert_counted_once(ran: Ran, *, direct: bool) -> None:
    """The host's results are those of the script, and our figures and spans are the bill, in one trace per run.

    So is, of the direct call, what another instrumentation recorded (``direct``).
    """
    bill = dict(ran.bill)
    asked = bill.pop(DIRECT)
    assert len(set(ran.told["answers"])) == 1
    assert ran.told["answers"][0].startswith("Turin first")
    assert {model: len(replies) * len(WAYS) for model, replies in team_script().items()} == {
        model: entry["requests"] for model, entry in bill.items()
    }

    by_model = ran.told["by_model"]
    for model, entry in bill.items():
        counted: Counter[str] = sum((Counter(by_model[way][model]) for way in WAYS), Counter())
        assert {"requests": entry["requests"], **billed(entry)} == {
            field: counted[field] for field in ("requests", *USAGE) if counted[field]
        }
    counted_directly = {
        model: (of["requests"], of["prompt_tokens"], of["completion_tokens"]) for model, of in by_model[DIRECT].items()
    }
    assert counted_directly == ({DIRECT: (1, asked["prompt_tokens"], asked["completion_tokens"])} if direct else {})
    assert {model: billed(entry) for model, entry in bill.items()} == ran.exported(names.SCOPE)
    for way in WAYS:
        assert by_model[way] == by_model[WAYS[0]]
        assert len({span.trace_id for span in ran.trace_of(way)}) == 1
        assert len([span for span in ran.trace_of(way) if span.parent_span_id is None]) == 1
    assert {*WAYS, DIRECT} >= {span.attributes.get(names.SESSION_ID) for span in ran.spans}
    assert ran.told["stats"] == {"open_operations": 0, "swallowed": {}}


def assert_exported_once(ran: Ran) -> None:
    """Whoever sums usage over all spans, or over the token metric, has the bill."""
    exported = ran.exported()
    tokens = sum(entry[field] for entry in exported.values() for field in ("prompt_tokens", "completion_tokens"))
    assert tokens == ran.tokens_measured
    exported.setdefault(DIRECT, Counter(billed(ran.bill[DIRECT])))  # taken down only where a client is instrumented
    assert {model: billed(entry) for model, entry in ran.bill.items()} == exported


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", OTHERS)
def test_nothing_is_counted_twice_beside(programs, name, start) -> None:
    """In each order of installing, ledger and exported usage are the server's bill, and the host's results its own."""
    other = OTHERS[name]
    require(other.packages)
    command, source = STARTS[start](other)

    ran = run(programs, command, source, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="openai,smolagents,httpx,httpx2")

    assert_counted_once(ran, direct=bool(other.in_direct - {HTTP}))
    for way in WAYS:
        assert {names.SCOPE, *other.in_runs} == {span.scope for span in ran.trace_of(way)}
    assert other.in_direct == {span.scope for span in ran.trace_of(DIRECT)}
    if other.doubles:
        (theirs,) = other.in_runs
        everything = {model: billed(entry) for model, entry in ran.bill.items()}
        shown = {"prompt_tokens", "completion_tokens"}
        assert {model: {field: entry[field] for field in shown} for model, entry in ran.exported(theirs).items()} == {
            model: {field: entry[field] for field in shown} for model, entry in everything.items()
        }
    else:
        assert_exported_once(ran)


def test_everything_at_once_as_the_launcher_finds_it(programs) -> None:
    """With every instrumentation that is installed switched on by ``opentelemetry-instrument``, our figures stand."""
    require(OTHERS["genai-openai"].packages + OTHERS["genai-smolagents"].packages + OTHERS["openinference"].packages)

    ran = run(programs, (script("opentelemetry-instrument"), *PYTHON), program(START, WORK))

    assert_counted_once(ran, direct=True)
    assert_exported_once(ran)
    assert {names.SCOPE, OPENAI, SMOLAGENTS, HTTP, *INFERENCE} == {span.scope for span in ran.spans}


@pytest.mark.parametrize("name", OTHERS)
def test_doctor_says_who_else_is_there(programs, name) -> None:
    """``tachograph doctor`` names every other instrumentation, and says of the one that doubles that it does."""
    other = OTHERS[name]
    require(other.packages)

    done = programs.run(script("tachograph"), "doctor", COLUMNS="300")

    for package in other.packages:
        if package != "opentelemetry-instrumentation-httpx":  # does something else
            assert f"{package} {importlib.metadata.version(package)} is installed too" in done.stdout
    assert other.doubles == ("a second time" in done.stdout)
