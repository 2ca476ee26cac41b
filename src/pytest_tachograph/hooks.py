"""Options, markers and the fixture.

Loads nothing but pytest; what a test asks for is in :mod:`tachograph.pytest_plugin`.

PYTEST_DONT_REWRITE: it asserts nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_tachograph import BASELINE, BUDGET, FIXTURE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tachograph.pytest_plugin.recorded import RecordedSession

_SESSION: Final = pytest.StashKey[Any]()
"""Of a test: what is recorded while it runs."""

_MARKERS: Final = (
    f"{BUDGET}(tokens=..., cost=..., tool_calls=..., errors=..., ...): what the agents in a test may use at most",
    f"{BASELINE}(tokens='10%', ...): how far a test's figures may be from those in the file of --tachograph-baseline",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line and of the settings file."""
    group = parser.getgroup("tachograph", "figures of agents (tachograph)")
    group.addoption(
        "--tachograph-baseline",
        metavar="FILE",
        help="compare the figures of each test that uses tachograph_session with those in this file",
    )
    group.addoption(
        "--tachograph-update",
        action="store_true",
        help="write the figures of the tests that pass to that file instead of comparing them",
    )
    group.addoption(
        "--tachograph-tolerance",
        metavar="LIMITS",
        help="how far figures may be from the baseline: 10%%, or tokens=10%%,tool_calls=1,duration=50%% "
        "(default: not at all, and durations are not compared)",
    )
    parser.addini("tachograph_baseline", "file of --tachograph-baseline, relative to the root directory")
    parser.addini("tachograph_tolerance", "as --tachograph-tolerance")


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known; where there is a baseline, have it looked after."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    named = config.getoption("tachograph_baseline") or config.getini("tachograph_baseline")
    if named or config.getoption("tachograph_update") or config.getoption("tachograph_tolerance"):
        from tachograph.pytest_plugin import compared  # noqa: PLC0415 - loads OpenTelemetry, where a baseline is named

        compared.configure(config, named)


@pytest.fixture
def tachograph_session(request: pytest.FixtureRequest) -> Iterator[RecordedSession]:
    """What the agents do in this test: tokens, cost, tools, switches, errors, events, to be asserted on."""
    from tachograph.pytest_plugin import recorded  # noqa: PLC0415 - loads OpenTelemetry, where somebody asks for it

    with recorded.of_test(request.node) as session:
        request.node.stash[_SESSION] = session
        try:
            yield session
        finally:
            del request.node.stash[_SESSION]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test with a budget is recorded, whether or not it names the fixture."""
    if item.get_closest_marker(BUDGET) is not None:
        names: list[str] = getattr(item, "fixturenames", [FIXTURE])
        if FIXTURE not in names:
            names.insert(0, FIXTURE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that went well is held against its budget and the baseline; with one that failed its figures are shown."""
    try:
        yield
        session = item.stash.get(_SESSION, None)
        if session is not None:
            session.judge(item)
    except (Exception, pytest.fail.Exception):
        session = item.stash.get(_SESSION, None)
        if session is not None:
            item.add_report_section("call", "tachograph", session.summary())
        raise
