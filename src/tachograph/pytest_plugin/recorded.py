"""What the agents do in one test: recorded by a runtime of its own, and asked about by the test."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

from pytest_tachograph import BUDGET
from tachograph import names, runtime
from tachograph.frameworks import IntegrationError
from tachograph.pytest_plugin import compared
from tachograph.pytest_plugin.budgets import budget_of, exceeded, limits_of
from tachograph.pytest_plugin.figures import FIGURES
from tachograph.summary import session_summary
from tachograph.testing import capture
from tachograph.views.approvals import approvals_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tachograph.config import Config
    from tachograph.testing import Capture
    from tachograph.views.audit import Entry
    from tachograph.views.session import SessionMetrics
    from tachograph.views.timeline import Timeline

T = TypeVar("T")

_SUBJECTS: Final = ("tool_name", "agent_type", "model", "task_name", "role", "operation", "metric")
"""Fields of an audit entry that say what it is about."""

_SHOWN: Final = 60
"""Events listed in the message of an assertion."""

_NOT_TAKEN_OVER: Final = frozenset({"enabled", "session_id", "store", "summary"})
"""Settings of the program that a test is recorded without."""


class RecordedSession:
    """Everything that is recorded while a test runs, whatever sessions the program puts it into.

    Figures are those of this moment. What nobody put into a session is in ``session_id``, the test's own.
    """

    def __init__(self, captured: Capture, session_id: str, budget: Mapping[str, float]) -> None:
        self.session_id = session_id
        self.captured = captured
        self.budget = budget

    # ------------------------------------------------------------------------------------------------------ figures
    @property
    def metrics(self) -> SessionMetrics:
        """All figures; see :func:`tachograph.session_metrics`."""
        return self.captured.ledger.total()

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.metrics.total_tokens

    @property
    def cost(self) -> float | None:
        """Dollars; None where a model's price is not known."""
        return FIGURES["cost"].of(self.metrics)

    @property
    def requests(self) -> int:
        """Model calls."""
        return self.metrics.total_requests

    @property
    def tool_calls(self) -> int:
        """Tool calls asked for, refused ones included."""
        return self.metrics.tool_calls

    @property
    def errors(self) -> int:
        """Agent runs that failed, each failure once, however many agents it was handed up through."""
        return self.metrics.errors

    @property
    def duration(self) -> float:
        """Seconds of outermost agent runs."""
        return self.metrics.processing_duration_ms / 1_000

    # --------------------------------------------------------------------------------------------- what, in its order
    @property
    def agents(self) -> list[str]:
        """Agents that ran, in the order in which the runs began."""
        return self._each("agent_processing_started", "agent_type")

    @property
    def tools(self) -> list[str]:
        """Tools that were asked for, in that order."""
        return self._each("tool_execution_requested", "tool_name")

    @property
    def models(self) -> list[str]:
        """Models that were called, in that order."""
        return self._each("llm_request_started", "model")

    @property
    def switches(self) -> list[tuple[str, str]]:
        """Hand-overs, from whom to whom, in their order."""
        return [(entry["from_agent"], entry["to_agent"]) for entry in self.audit_log(event_type="agent_switched")]

    @property
    def events(self) -> list[str]:
        """What happened, in its order: ``"llm_request_started gpt-4.1"``, ``"agent_switched manager -> clerk"``."""
        return [described(entry) for entry in self.audit_log()]

    def _each(self, event_type: str, field: str) -> list[str]:
        return [entry[field] for entry in self.audit_log(event_type=event_type)]

    # ------------------------------------------------------------------------------------------------------- in detail
    def audit_log(self, **filters: Any) -> list[Entry]:
        """Who did, asked and decided what, oldest first; filters as in :func:`tachograph.audit_log`."""
        return self.captured.ledger.audit_log(**filters)

    def timeline(self) -> Timeline:
        """What happened when, inside what."""
        return self.captured.ledger.timeline()

    def approvals(self) -> list[dict[str, Any]]:
        """What humans were asked, and what they decided."""
        return approvals_view(self.captured.ledger.records(), self.captured.runtime.recorder.now())

    def summary(self) -> str:
        """The figures in a few lines, for people."""
        return session_summary(dataclasses.replace(self.metrics, session_id=self.session_id))

    # ------------------------------------------------------------------------------------------------------ assertions
    def assert_order(self, *steps: str) -> None:
        """These happened, in this order; others may have happened before, between and after them.

        Args:
            steps: each an event's type, or that and what it is about, as in :attr:`events`.

        Raises:
            AssertionError: naming the first step that did not happen where it should, and what did happen.
            ValueError: for what is no type of an event.
        """
        __tracebackhide__ = True
        for step in steps:
            _known_type(step)
        happened, at = self.events, 0
        for number, step in enumerate(steps):
            found = next((n for n in range(at, len(happened)) if _is(happened[n], step)), None)
            if found is None:
                after = f"after {steps[number - 1]!r}" if number else "at all"
                raise AssertionError(f"{step!r} did not happen {after}; what happened:\n{_listed(happened, at)}")
            at = found + 1

    def assert_budget(self, **limits: float) -> None:
        """No figure is over its limit; as the marker ``tachograph_budget``, for what has happened so far.

        Raises:
            AssertionError: naming each figure that is, with actual and allowed.
            ValueError: for what is no figure, or no limit.
        """
        __tracebackhide__ = True
        over = exceeded(limits_of(limits, "assert_budget"), self.metrics)
        if over:
            raise AssertionError(_over_budget(over))

    def judge(self, item: pytest.Item) -> None:
        """Hold the test that went well against its budget and the baseline; it fails by what is over."""
        __tracebackhide__ = True
        metrics = self.metrics
        over = exceeded(self.budget, metrics)
        if over:
            pytest.fail(_over_budget(over), pytrace=False)
        compared.judge(item, metrics)


@contextlib.contextmanager
def of_test(item: pytest.Item) -> Iterator[RecordedSession]:
    """Record while a test runs.

    What is recording before waits. What the test or its program starts instead goes on in the same ledger, by its own
    settings, and is stopped at the end.
    """
    budget = _right(lambda: budget_of(item.iter_markers(BUDGET), f"@pytest.mark.{BUDGET}"))
    _right(lambda: compared.known_to(item))
    before = runtime.present()
    settings = {} if before is None else _given(before.config)
    environ = {name: value for name, value in os.environ.items() if name.startswith("TACHOGRAPH_")}
    capturing = capture(strict=False, environ=environ, **{**settings, "enabled": True, "session_id": item.nodeid})
    with contextlib.ExitStack() as stack:
        wrong = "tachograph cannot be started as its settings ask for: {}"
        captured = _right(lambda: stack.enter_context(capturing), wrong)
        captured.runtime.automatic = True  # a program that says what it wants takes over
        yield RecordedSession(captured, captured.runtime.process_session(), budget)


def _right(read: Callable[[], T], otherwise: str = "{}") -> T:
    """What ``read`` gives; what somebody has written wrong fails the test in one line, without our traceback."""
    try:
        return read()
    except (ValueError, IntegrationError) as error:
        wrong = otherwise.format(error)
    pytest.fail(wrong, pytrace=False)


def _given(config: Config) -> dict[str, Any]:
    """What a program has said in code, which goes for its tests too."""
    return {
        name: getattr(config, name)
        for name, source in config.sources.items()
        if source.startswith("init(") and name not in _NOT_TAKEN_OVER
    }


def described(entry: Entry) -> str:
    """An audit entry in a few words: its type, and what it is about."""
    if entry["event_type"] == "agent_switched":
        return f"agent_switched {entry['from_agent']} -> {entry['to_agent']}"
    about = next((entry[name] for name in _SUBJECTS if entry.get(name)), None)
    return entry["event_type"] if about is None else f"{entry['event_type']} {about}"


def _is(happened: str, step: str) -> bool:
    return happened == step or happened.partition(" ")[0] == step


def _known_type(step: str) -> None:
    word = step.partition(" ")[0]
    if word not in names.EVENTS:
        near = difflib.get_close_matches(word, names.EVENTS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names.EVENTS)}"
        raise ValueError(f"{step!r}: {word!r} is no type of an event; {hint}")


def _listed(happened: list[str], at: int) -> str:
    if not happened:
        return "  nothing"
    first = max(0, min(at - _SHOWN // 2, len(happened) - _SHOWN))
    lines = [
        f"{'>' if number == at else ' '} {number + 1:4}  {happened[number]}"
        for number in range(first, min(len(happened), first + _SHOWN))
    ]
    return "\n".join(lines + (["> after the last of these"] if at == len(happened) else []))


def _over_budget(lines: list[str]) -> str:
    return "\n".join(["over budget:", *(f"  {line}" for line in lines)])
