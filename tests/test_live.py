"""An operation under way: what is learned of it, and what runs inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.context import get_current, set_value
from opentelemetry.trace import get_current_span

from tachograph import names, session
from tachograph.context import current
from tachograph.live import Start, run_of

if TYPE_CHECKING:
    from tachograph.testing import Capture


def test_what_is_unknown_takes_nothing_back(captured: Capture) -> None:
    """A later fact replaces an earlier one; None says nothing."""
    live = captured.runtime.recorder.begin(Start("model", "m"))
    live.add({names.INPUT_TOKENS: 3, names.OUTPUT_TOKENS: None})
    live.add({names.INPUT_TOKENS: None, names.OUTPUT_TOKENS: 2})
    assert live.later == {names.INPUT_TOKENS: 3, names.OUTPUT_TOKENS: 2}


def test_its_context_is_that_of_what_runs_inside(captured: Capture) -> None:
    """Operation, ids and span are in it, on top of what is in the context it is made from."""
    with session("s", correlation_id="c", user_id="u", conversation=True):
        live = captured.runtime.recorder.begin(Start("agent", "boss"))
    context = live.context(set_value("theirs", 1, get_current()))
    scope = current(context)
    assert scope is not None
    assert (scope.session_id, scope.correlation_id, scope.user_id, scope.conversation_id) == ("s", "c", "u", "s")
    assert (scope.operation, scope.explicit, scope.note) == (live, True, None)
    assert (get_current_span(context), context["theirs"]) == (live.span, 1)


def test_an_operation_is_in_the_innermost_run(captured: Capture) -> None:
    """An agent's own operation is its run; anything else has the run it was begun in, if any."""
    recorder = captured.runtime.recorder
    run = recorder.begin(Start("agent", "boss"))
    tool = recorder.begin(Start("tool", "t", parent=run))
    alone = recorder.begin(Start("tool", "t"))
    assert [run_of(live) for live in (None, run, tool, alone)] == [None, run, run, None]
