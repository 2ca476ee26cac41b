"""The plugin in real pytest runs: its fixture, its markers, its options, and runs that know nothing of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import pytest_tachograph
import tachograph
from pytest_tachograph import hooks
from support.otlp_receiver import OtlpReceiver
from tachograph import runtime

if TYPE_CHECKING:
    from types import ModuleType

pytest_plugins = ["pytester"]

WORK = """
    import pytest
    import tachograph


    def work(tokens=100):
        with tachograph.agent("clerk"):
            with tachograph.model("gpt-4.1", provider="openai") as call:
                call.usage(input_tokens=tokens, output_tokens=10)
            with tachograph.tool("search"):
                pass
            tachograph.switch("boss")
"""


def ran(inside: pytest.Pytester, source: str, *arguments: str, **outcomes: int) -> pytest.RunResult:
    """What a run of a suite printed, which came out like this."""
    inside.makepyfile(WORK + source)
    result = inside.runpytest_inprocess(*arguments)
    result.assert_outcomes(**outcomes)
    return result


def lines(result: pytest.RunResult, *expected: str) -> None:
    """These lines were printed, in this order, each to be found by its beginning."""
    result.stdout.fnmatch_lines([f"{line}*".replace("[", "[[]") for line in expected])


# ----------------------------------------------------------------------------------------- runs that know nothing of it
def test_a_run_without_it_loads_nothing(inside: pytest.Pytester) -> None:
    """Where no test asks for anything, neither Tachograph nor OpenTelemetry is loaded, and no thread is started."""
    inside.makepyfile(
        """
        import sys
        import threading
        import pytest

        @pytest.mark.parametrize("number", range(3))
        def test_plain(number):
            loaded = {name.partition(".")[0] for name in sys.modules}
            assert "pytest_tachograph" in loaded
            assert not loaded & {"tachograph", "opentelemetry", "wrapt"}
            assert threading.active_count() == 1
        """
    )
    inside.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)


def test_an_old_pytest_is_let_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version whose hooks ours do not fit gets none, and goes on as without us."""
    for version in ((7, 4, 4), (6, 2), ()):
        manager = pytest.PytestPluginManager()
        monkeypatch.setattr(pytest, "version_tuple", version)
        pytest_tachograph.pytest_addoption(manager)
        assert not manager.has_plugin("tachograph-hooks")


@pytest.mark.parametrize("module", [tachograph, pytest_tachograph, hooks])
def test_pytest_does_not_mind_who_was_imported_before_it(module: ModuleType) -> None:
    """Pytest complains of a plugin's modules that it can rewrite no more, as under ``tachograph run -m pytest``.

    It does not of those that say that it need not.
    """
    assert "PYTEST_DONT_REWRITE" in (module.__doc__ or "")


def test_it_says_what_there_is(inside: pytest.Pytester) -> None:
    """Options are in the help, markers in the list of markers."""
    lines(inside.runpytest_inprocess("--help"), "figures of agents", "  --tachograph-baseline=FILE")
    lines(
        inside.runpytest_inprocess("--markers"),
        "@pytest.mark.tachograph_budget(",
        "@pytest.mark.tachograph_baseline(",
    )


# -------------------------------------------------------------------------------------------------------- the fixture
def test_a_test_asks_what_was_done(inside: pytest.Pytester) -> None:
    """Figures, names in order, events, and everything the ledger knows; nothing of it has to be set up."""
    ran(
        inside,
        """
    def test_it(tachograph_session):
        assert (0, [], []) == (tachograph_session.tokens, tachograph_session.tools, tachograph_session.events)
        work()
        session = tachograph_session
        assert (110, 0.00028, 1, 1, 0) == (
            session.tokens, session.cost, session.requests, session.tool_calls, session.errors
        )
        assert 0 < session.duration < 20
        assert (["clerk"], ["search"], ["gpt-4.1"]) == (session.agents, session.tools, session.models)
        assert [("clerk", "boss")] == session.switches
        assert "agent_switched clerk -> boss" in session.events
        session.assert_order("agent_processing_started clerk", "tool_execution_requested", "agent_switched")
        session.assert_budget(tokens=110, errors=0)
        assert 1 == len(session.audit_log(event_type="llm_request_completed"))
        assert "tool search" in str(session.timeline())
        assert [] == session.approvals()
        assert {"search"} == set(session.metrics.tools)
        assert session.session_id == session.audit_log()[0]["session_id"]
        assert "test_a_test_asks_what_was_done.py::test_it" == session.session_id
    """,
        passed=1,
    )


def test_tests_are_strangers_to_each_other(inside: pytest.Pytester) -> None:
    """Each test has a session and a ledger of its own, whatever sessions its program names, threads included."""
    ran(
        inside,
        """
    import threading

    @pytest.mark.parametrize("number", range(3))
    def test_it(tachograph_session, number):
        with tachograph.session("the same in each"):
            work()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert 220 == tachograph_session.tokens
        assert {"the same in each", tachograph_session.session_id} == set(tachograph.sessions())
        assert tachograph_session.session_id.endswith(f"test_it[{number}]")
    """,
        passed=3,
    )


def test_an_async_test(inside: pytest.Pytester) -> None:
    """Coroutines, and what they start, are recorded like anything else."""
    ran(
        inside,
        """
    import asyncio

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    async def one():
        async with tachograph.agent("clerk"):
            await asyncio.sleep(0)

    @pytest.mark.anyio
    @pytest.mark.tachograph_budget(agent_runs=3)
    async def test_it(tachograph_session):
        await asyncio.gather(*(one() for _ in range(3)))
        assert ["clerk"] * 3 == tachograph_session.agents

    @pytest.mark.anyio
    @pytest.mark.tachograph_budget(agent_runs=0)
    async def test_over():
        await one()
    """,
        passed=1,
        failed=1,
    )


def test_a_real_framework(inside: pytest.Pytester) -> None:
    """An unchanged agent program is recorded, and its framework is as it was afterwards."""
    ran(
        inside,
        """
    from smolagents import MultiStepAgent
    from support.agents import Lookup, Say, answer, caller

    def test_it(tachograph_session):
        agent = caller(Say(calls=(("lookup", {"key": "a"}),)), answer(), tools=[Lookup()], name="clerk")
        assert "done" == agent.run("go")
        assert 220 == tachograph_session.tokens
        assert ["lookup", "final_answer"] == tachograph_session.tools

    def test_afterwards():
        assert not hasattr(vars(MultiStepAgent)["run"], "__wrapped__")
    """,
        passed=2,
    )


def test_a_program_that_starts_it_itself(inside: pytest.Pytester) -> None:
    """``init()`` in a test is the program's to call, with settings of its own; the test sees what it records."""
    ran(
        inside,
        """
    from tachograph import runtime

    def test_init(tachograph_session):
        work()
        started = tachograph.init(thresholds={"total_tokens": 100}, service_name="mine")
        assert started is runtime.present()
        work()
        assert 220 == tachograph_session.tokens
        assert ["tool_execution_requested search"] * 2 == [
            event for event in tachograph_session.events if event.startswith("tool_execution_requested")
        ]
        assert "threshold_exceeded total_tokens" in tachograph_session.events

    def test_nothing_is_left_running():
        assert runtime.present() is None

    def test_auto(tachograph_session):
        import tachograph.auto
        work()
        assert 110 == tachograph_session.tokens

    def test_shutdown(tachograph_session):
        work()
        tachograph.shutdown()
        work()
        assert 110 == tachograph_session.tokens
    """,
        passed=4,
    )
    assert None is runtime.present()


def test_a_program_that_was_started_before(inside: pytest.Pytester) -> None:
    """What was recording before waits, with all it has, and its settings go for the tests too."""
    outer = tachograph.init(prices={"house-model": {"input": 1_000_000, "output": 0}}, store=False)
    with tachograph.session("before"), tachograph.tool("earlier"):
        pass
    ran(
        inside,
        """
    def test_it(tachograph_session):
        with tachograph.model("house-model") as call:
            call.usage(input_tokens=3, output_tokens=1)
        assert 3.0 == tachograph_session.cost
        assert [] == tachograph_session.tools
    """,
        passed=1,
    )
    assert outer is runtime.present()
    assert ["before"] == tachograph.sessions()
    with tachograph.session("after"), tachograph.tool("later"):
        pass
    assert ["before", "after"] == tachograph.sessions()


def test_settings_of_the_project_hold(inside: pytest.Pytester) -> None:
    """Tables and prices in ``pyproject.toml`` are those of the tests; one that is wrong fails them, in one line."""
    # A run inside is not told of what it imports: its finders are those of this process.
    settings = """
        [tool.tachograph.prices.house-model]
        input = 1000000
        output = 0

        [[tool.tachograph.wrap]]
        target = "app:answer"
        as = "model"
        model = "=house-model"
        input_tokens = "result"
        output_tokens = 0
        """
    inside.makepyprojecttoml(settings)
    inside.makepyfile(app="def answer(number): return number")
    source = """
    def test_it(tachograph_session):
        import app
        assert 5 == app.answer(5)
        assert (5, 5.0) == (tachograph_session.tokens, tachograph_session.cost)
    """
    inside.makepyfile(source)
    inside.runpytest_subprocess().assert_outcomes(passed=1)
    inside.makepyprojecttoml("[tool.tachograph]\nmax_records = 'many'\n")
    lines(
        ran(inside, source, errors=1),
        "tachograph cannot be started as its settings ask for: *max_records: 'many' is not usable",
    )


def test_nothing_is_sent_anywhere(inside: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment asks for export and for a store, tests do neither."""
    monkeypatch.setenv("TACHOGRAPH_STORE", "kept.db")
    with OtlpReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_endpoint)
        ran(inside, "\n    def test_it(tachograph_session):\n        work()\n", passed=1)
        assert ([], [], []) == (receiver.spans, receiver.metrics, receiver.logs)
    assert not (inside.path / "kept.db").exists()


def test_the_figures_of_a_test_that_failed_are_shown(inside: pytest.Pytester) -> None:
    """With its own failure comes a summary; a test that passes is silent, and one that is skipped is skipped."""
    result = ran(
        inside,
        """
    def test_wrong(tachograph_session):
        work()
        assert ["read"] == tachograph_session.tools

    @pytest.mark.tachograph_budget(tokens=0)
    def test_fails_by_itself():
        work()
        pytest.fail("by itself")

    def test_right(tachograph_session):
        work()

    def test_skipped(tachograph_session):
        pytest.skip("not today")

    @pytest.mark.xfail(strict=True)
    @pytest.mark.tachograph_budget(tokens=0)
    def test_expected():
        work()
    """,
        failed=2,
        passed=1,
        skipped=1,
        xfailed=1,
    )
    lines(
        result, "E*At index 0 diff: 'read' != 'search'", "*Captured tachograph call", "Tachograph · session", "  agents"
    )
    lines(result, "*by itself", "*Captured tachograph call", "  models    1 request")
    assert 0 == result.stdout.str().count("over budget")


def test_an_order_that_was_not_kept(inside: pytest.Pytester) -> None:
    """The failure names the step, after what it did not happen, and what did happen; a wrong word is a mistake."""
    result = ran(
        inside,
        """
    def test_order(tachograph_session):
        work()
        tachograph_session.assert_order("tool_execution_requested search", "llm_request_started gpt-4.1")

    def test_never(tachograph_session):
        tachograph_session.assert_order("agent_error")

    def test_word(tachograph_session):
        with pytest.raises(ValueError, match="'agent_switch' is no type of an event; did you mean agent_switched"):
            tachograph_session.assert_order("agent_switch a -> b")
        with pytest.raises(ValueError, match="'x' is no type of an event; there are: "):
            tachograph_session.assert_order("x")
    """,
        failed=2,
        passed=1,
    )
    lines(
        result,
        "E*'llm_request_started gpt-4.1' did not happen after 'tool_execution_requested search'; what happened:",
        "E * 3  llm_request_started gpt-4.1",
        "E *> * 6  tool_execution_started search",
    )
    lines(result, "E*'agent_error' did not happen at all; what happened:", "E*nothing")


# ------------------------------------------------------------------------------------------------------------- budgets
def test_a_budget_names_each_figure_that_is_over(inside: pytest.Pytester) -> None:
    """Actual and allowed, without a traceback of ours; the test need not name the fixture."""
    result = ran(
        inside,
        """
    @pytest.mark.tachograph_budget(tokens=50, cost=1.0, tool_calls=0, errors=0, duration=60)
    def test_over():
        work()

    @pytest.mark.tachograph_budget(tokens=110, tool_calls=1)
    def test_within():
        work()

    def test_asserted(tachograph_session):
        work()
        tachograph_session.assert_budget(requests=0)
    """,
        passed=1,
        failed=2,
    )
    lines(
        result,
        "over budget:",
        "  tokens      110, allowed 50, 120.0% over",
        "  tool_calls  1, allowed 0 (1 search)",
        "*Captured tachograph call",
    )
    lines(result, "E*over budget:", "E*requests  1, allowed 0")
    assert "pytest_tachograph" not in result.stdout.str()


def test_budgets_of_classes_and_modules(inside: pytest.Pytester) -> None:
    """A mark on a class or module is for all its tests, of unittest too; the nearest counts for each figure."""
    ran(
        inside,
        """
    import unittest

    pytestmark = pytest.mark.tachograph_budget(tokens=120, requests=5)

    @pytest.mark.tachograph_budget(tokens=0)
    class TestStrict:
        def test_over(self):
            work()

        @pytest.mark.tachograph_budget(tokens=1_000)
        def test_within(self):
            work(500)

        @pytest.mark.tachograph_budget(tokens=1_000)
        def test_requests_of_the_module(self):
            [work(1) for _ in range(6)]

    class Old(unittest.TestCase):
        def test_within(self):
            work()

        def test_over(self):
            work(200)
    """,
        passed=2,
        failed=3,
    )


def test_a_mark_that_makes_no_sense(inside: pytest.Pytester) -> None:
    """The test does not run, and one line says what is wrong with its mark."""
    result = ran(
        inside,
        """
    @pytest.mark.tachograph_budget(token=50)
    def test_name():
        raise SystemExit("it runs")

    @pytest.mark.tachograph_budget(50)
    def test_no_name():
        raise SystemExit("it runs")

    @pytest.mark.tachograph_baseline(tokens="much")
    def test_tolerance(tachograph_session):
        raise SystemExit("it runs")
    """,
        errors=3,
    )
    lines(
        result,
        "@pytest.mark.tachograph_budget: 'token' is no figure; did you mean tokens?",
        "*@pytest.mark.tachograph_budget(50,): give limits by name",
        "*@pytest.mark.tachograph_baseline: tokens: 'much' is no tolerance",
    )
    assert "During handling" not in result.stdout.str()


# --------------------------------------------------------------------------------------------------- several processes
PARALLEL = (
    WORK
    + """
    @pytest.mark.parametrize("number", range(8))
    @pytest.mark.tachograph_budget(requests=1)
    def test_it(tachograph_session, number):
        work(number)
        assert number + 10 == tachograph_session.tokens
    """
)


def test_in_parallel(inside: pytest.Pytester) -> None:
    """With workers of pytest-xdist each test is recorded for itself, and all that they record is one baseline."""
    inside.makepyfile(test_it=PARALLEL)
    written = inside.runpytest_subprocess("-n", "2", "--tachograph-baseline=b.json", "--tachograph-update")
    written.assert_outcomes(passed=8)
    lines(written, "baseline b.json: wrote the figures of 8 tests, 8 of them new or changed")
    tests: dict[str, Any] = json.loads((inside.path / "b.json").read_text())["tests"]
    assert {f"test_it.py::test_it[{n}]": n + 10 for n in range(8)} == {
        name: row["tokens"] for name, row in tests.items()
    }


@pytest.mark.long
def test_workers_compare(inside: pytest.Pytester) -> None:
    """Workers fail the tests that are not as in the baseline; where there is none the run does not begin."""
    inside.makepyfile(test_it=PARALLEL)
    parallel = ("-n", "2", "--tachograph-baseline=b.json")
    assert pytest.ExitCode.USAGE_ERROR == inside.runpytest_subprocess(*parallel).ret
    inside.runpytest_inprocess("--tachograph-baseline=b.json", "--tachograph-update").assert_outcomes(passed=8)
    kept = (inside.path / "b.json").read_text()
    inside.runpytest_subprocess(*parallel).assert_outcomes(passed=8)
    (inside.path / "b.json").write_text(kept.replace('"tokens": 17,', '"tokens": 18,'))
    inside.runpytest_subprocess(*parallel).assert_outcomes(passed=7, failed=1)
