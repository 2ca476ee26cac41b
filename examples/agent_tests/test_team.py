"""What a test suite of agents looks like: `team.py`, held to its answer, its way there, and its budget.

    pytest examples/agent_tests
    pytest examples/agent_tests --tachograph-baseline=examples/agent_tests/baseline.json

No key and no network: the models are played by a scripted server, so that the figures are the same each time.
"""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent))  # where the program is

from scripted_llm import ScriptedLLM
from team_script import script


@pytest.fixture(autouse=True)
def models(monkeypatch):
    """The models, which the program finds in its environment."""
    with ScriptedLLM(script()) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield server


@pytest.fixture
def answer(tachograph_session):
    """What the team answers; it is recorded while it works, as the test that asks for this is."""
    import team  # noqa: PLC0415 - its imports take a second

    return team.main()


def test_answer(answer, models, tachograph_session):
    """The team finds the right office; what is recorded is what the provider charges for."""
    assert answer.startswith("Turin first")
    assert tachograph_session.tokens == models.total_tokens
    assert tachograph_session.requests == sum(bill.requests for bill in models.bill().values())


@pytest.mark.tachograph_budget(tokens=25_000, cost=0.05, requests=12, tool_calls=15, errors=0, duration=60)
@pytest.mark.tachograph_baseline(tokens="5%", prompt_tokens="5%", completion_tokens="5%", cost="5%")
def test_budget(answer):
    """It does so within its budget; the recorded figures may not drift by more than a twentieth."""


def test_the_way_there(answer, tachograph_session):
    """The facts come first, one of them after a mistake; then comes the analysis, and nobody else is asked."""
    assert tachograph_session.agents == ["manager", "researcher", "analyst"]
    assert tachograph_session.switches == [("manager", "researcher"), ("manager", "analyst")]
    tachograph_session.assert_order(
        "agent_processing_started manager",
        "agent_switched manager -> researcher",
        "tool_execution_requested sun_hours",
        "tool_execution_failed roof_area",
        "agent_processing_completed researcher",
        "agent_switched manager -> analyst",
        "tool_execution_requested power_price",
        "agent_processing_completed manager",
    )
    assert tachograph_session.metrics.tools["roof_area"]["requested"] == 4
    assert tachograph_session.metrics.tools["roof_area"]["failed"] == 1
    assert tachograph_session.metrics.recovered_errors_by_agent == {"researcher": {"AgentToolExecutionError": 1}}
    assert tachograph_session.errors == 0
