"""Metrics: the histograms and counters of ended operations, and the series keyed by session.

The former are low-cardinality, as the conventions want. Their points wait until a reader collects and are handed
over then, in its thread and before it looks: no work for a reader who is not there. The latter are observable: they
are read from the ledger when a reader collects, so they are exact, cost nothing where work is done, and are bounded
to the sessions last active.
"""

from __future__ import annotations

import functools
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation

from tachograph import names
from tachograph.facts import PENDING
from tachograph.series import forget_idle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import Meter, MeterProvider

    from tachograph.guard import Guard
    from tachograph.ledger import Ledger
    from tachograph.records import Operation
    from tachograph.views.session import SessionMetrics

_MAX_WAITING: Final = 2_048
"""Operations whose points wait for a reader; some tens of milliseconds of its work."""

_BATCH: Final = 64
"""Operations whose points are handed over where they ended, when more would wait; about a millisecond of work."""

_NOWHERE: Final = Context()
_SAMPLED: Final = trace.TraceFlags(trace.TraceFlags.SAMPLED)

_all: weakref.WeakSet[Instruments] = weakref.WeakSet()

_MODEL_POINT: Final = (
    names.PROVIDER_NAME,
    names.REQUEST_MODEL,
    names.RESPONSE_MODEL,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
)


_LATEST_TOKENS: Final = {
    names.INPUT_TOKENS: (names.INFERENCE_INPUT, names.CALL_INPUT),
    names.OUTPUT_TOKENS: (names.INFERENCE_OUTPUT, names.CALL_OUTPUT),
    names.CACHED_TOKENS: (names.INFERENCE_CACHED, None),
    names.REASONING_TOKENS: (names.INFERENCE_REASONING, None),
}
"""By what a call says: the counter, and the histogram of calls."""

_DECIDED: Final = (names.TOOL_NAME, names.APPROVAL_DECISION)
_PRICED: Final = _MODEL_POINT[:3]


class Instruments:
    """All instruments of :func:`tachograph.names.metrics_of`, on one meter.

    Args:
        meter: a proxy meter is fine; what it makes comes to life when a provider is set.
        ledger: where the observable ones read.
        guard: around the callbacks, which a reader's thread runs.
        sessions: how many sessions have series of their own.
        by_correlation: series per request within a session instead of per session.
        latest: by the newest GenAI conventions.
        provider: the meter's; without one it is the global one of the moment.
    """

    def __init__(
        self,
        meter: Meter,
        ledger: Ledger,
        guard: Guard,
        *,
        sessions: int,
        by_correlation: bool,
        latest: bool = False,
        provider: MeterProvider | None = None,
    ) -> None:
        self._ledger = ledger
        self._guard = guard
        self._sessions = sessions
        self._by_correlation = by_correlation
        self.enabled = True
        self._given = provider
        self.catch_up: Callable[[], Callable[[], object] | None] = lambda: None
        """Gives who hears of decisions that were made elsewhere; a meter holds this, and is not to hold that."""
        self._judged = False
        self._most = 0
        self._waiting: deque[Operation] = deque()
        calls = self._latest_model if latest else self._model
        self._writers = {"model": calls, "tool": self._tool, "agent": self._agent, "approval": self._approval}
        self._observed: dict[str, Callable[[], Iterable[Observation]]] = {
            names.SESSIONS_ACTIVE: self._active_sessions,
            names.APPROVALS_PENDING: self._pending,
            names.SWALLOWED: self._swallowed,
            names.EVICTED: self._evicted,
            names.SESSION_REQUESTS: self._per_session(_requests),
            names.SESSION_TOKENS: self._per_session(_tokens),
            names.SESSION_TOOL_CALLS: self._per_session(lambda metrics: [(metrics.tool_calls, {})]),
            names.SESSION_SWITCHES: self._per_session(lambda metrics: [(metrics.agent_switches, {})]),
            names.SESSION_ERRORS: self._per_session(lambda metrics: [(metrics.errors, {})]),
            names.SESSION_ACTIVE: self._per_session(lambda metrics: [(metrics.active_requests, {})]),
            names.SESSION_APPROVALS: self._per_session(_approvals),
            names.SESSION_COST: self._per_session(_cost),
            names.SESSION_DURATION: self._per_session(lambda m: [(m.processing_duration_ms / 1_000, {})]),
        }
        self._made: dict[str, Any] = {}
        for metric in names.metrics_of(latest=latest).values():
            about = {"unit": metric.unit, "description": metric.brief}
            if metric.instrument == "histogram":
                made: Any = meter.create_histogram(
                    metric.name, explicit_bucket_boundaries_advisory=metric.buckets, **about
                )
            elif metric.instrument == "counter":
                made = meter.create_counter(metric.name, **about)
            else:
                callbacks = [self._callback(metric.name)]
                if metric.instrument == "observable_gauge":
                    made = meter.create_observable_gauge(metric.name, callbacks, **about)
                else:
                    made = meter.create_observable_counter(metric.name, callbacks, **about)
            self._made[metric.name] = made
        _all.add(self)

    # ----------------------------------------------------------------------------------------- ended operations
    def ended(self, operation: Operation) -> None:
        """Record an ended operation; by its trace id, if it has one, the SDK links the points to the trace."""
        if operation.kind not in self._writers:
            return
        # The record and nothing else: it holds no object of the host, and the garbage collector has one thing to visit.
        self._waiting.append(operation)
        if not self._judged:
            self._judge()
        if len(self._waiting) > self._most:
            self.settle(max(0, self._most - _BATCH))

    def _judge(self) -> None:
        """How many may wait: only the SDK's readers are known to ask the observable instruments, and first."""
        module = type(self.provider).__module__
        self._judged = not module.startswith("opentelemetry.metrics")  # the API's stand-in may give way to any other
        self._most = _MAX_WAITING if module.startswith("opentelemetry.") else 0

    def settle(self, leave: int = 0) -> None:
        """Hand over the points that wait, all but the newest ``leave`` operations'."""
        # Takes no lock, as a reader's thread holds the SDK's when it asks.
        waiting = self._waiting
        while len(waiting) > leave:
            try:
                operation = waiting.popleft()
            except IndexError:  # another thread took it
                return
            self._guard(self._writers[operation.kind], operation, _context_of(operation))

    def after_fork(self) -> None:
        """A child process: what waits is handed over by the parent."""
        self._waiting.clear()

    def switched(self, source: str, target: str, context: Context) -> None:
        """Record a hand-over between agents."""
        self._made[names.SWITCHES].add(1, {names.SWITCH_FROM: source, names.SWITCH_TO: target}, context)

    def _model(self, call: Operation, context: Context) -> None:
        facts = call.attributes
        point = _point_of(call)
        # Tokens first: their points carry no error type, and what a failed call used is billed too.
        usage = self._made[names.TOKEN_USAGE]
        for name, token_type in ((names.INPUT_TOKENS, "input"), (names.OUTPUT_TOKENS, "output")):
            if name in facts:
                usage.record(facts[name], {**point, names.TOKEN_TYPE: token_type}, context)
        self._rest_of_call(call, point, context, names.FIRST_CHUNK, names.MODEL_DURATION)

    def _latest_model(self, call: Operation, context: Context) -> None:
        facts = call.attributes
        point = _point_of(call)
        # Nobody says how many tokens were of pictures or sound.
        by_modality = {**point, names.TOKEN_MODALITY: "unknown"}
        for name, (total, of_call) in _LATEST_TOKENS.items():
            if name in facts:
                self._made[total].add(facts[name], by_modality, context)
                if of_call is not None:
                    self._made[of_call].record(facts[name], point, context)
        self._rest_of_call(call, point, context, names.INFERENCE_FIRST_CHUNK, names.INFERENCE_DURATION)

    def _rest_of_call(
        self, call: Operation, point: dict[str, Any], context: Context, first_chunk: str, duration: str
    ) -> None:
        facts = call.attributes
        if names.COST in facts:
            self._made[names.SPENT].add(
                facts[names.COST], {name: point[name] for name in _PRICED if name in point}, context
            )
        if names.TIME_TO_FIRST_CHUNK in facts:
            self._made[first_chunk].record(facts[names.TIME_TO_FIRST_CHUNK], point, context)
        if call.outcome == "error":
            point[names.ERROR_TYPE] = call.error_type
        self._made[duration].record(_span_seconds(call), point, context)

    def _tool(self, call: Operation, context: Context) -> None:
        if call.outcome in ("refused", "waiting") or call.attributes.get(names.HUMAN_WAIT):
            return
        point: dict[str, Any] = {names.TOOL_NAME: call.name}
        for name in (names.TOOL_TYPE, names.AGENT_NAME):
            if name in call.attributes:
                point[name] = call.attributes[name]
        if call.outcome == "error":
            point[names.ERROR_TYPE] = call.error_type
        self._made[names.TOOL_DURATION].record(_worked_seconds(call), point, context)

    def _agent(self, run: Operation, context: Context) -> None:
        point: dict[str, Any] = {}
        if names.AGENT_NAME in run.attributes:
            point[names.AGENT_NAME] = run.name
        if run.outcome == "error":
            point[names.ERROR_TYPE] = run.error_type
            self._made[names.AGENT_ERRORS].add(
                1, {names.AGENT_NAME: run.name, names.ERROR_TYPE: run.error_type or ""}, context
            )
        self._made[names.AGENT_DURATION].record(_span_seconds(run), point, context)

    def _approval(self, asked: Operation, context: Context) -> None:
        point = {name: asked.attributes[name] for name in _DECIDED if name in asked.attributes}
        self._made[names.APPROVALS].add(1, point, context)
        self._made[names.APPROVAL_WAIT].record(_span_seconds(asked), point, context)

    # ------------------------------------------------------------------------------------------- at collection
    @property
    def provider(self) -> MeterProvider:
        """The provider of the meter, as it is now."""
        return self._given or metrics.get_meter_provider()

    def observed(self, name: str) -> list[Observation]:
        """What an observable instrument shows now; and all that waits is handed over."""
        self.settle()
        if not self.enabled:
            return []
        observed: list[Observation] = self._guard(lambda: list(self._observed[name]()), default=[])
        return observed

    def _callback(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        # Without a line of our own between the reader and the guard.
        return functools.partial(self._guard, self._collected, name, default=())

    def _collected(self, name: str, _: CallbackOptions) -> Iterable[Observation]:
        # A meter makes an instrument once and keeps its first callback, so this one answers for those of runtimes
        # to come. An instrument cannot be taken back, so one that was stopped falls silent.
        if names.SESSION_ID in names.METRICS[name].attributes:
            self._guard(forget_idle, self.provider, name)
        here = [instruments for instruments in list(_all) if instruments.provider is self.provider]
        return [found for instruments in here for found in instruments.observed(name)]

    def _per_session(
        self, figures: Callable[[SessionMetrics], Iterable[tuple[float, dict[str, str]]]]
    ) -> Callable[[], Iterable[Observation]]:
        def observe() -> Iterable[Observation]:
            if not self._sessions:
                return
            for session_id, correlation_id, session in self._ledger.recent(
                self._sessions, correlations=self._by_correlation
            ):
                ids = {names.SESSION_ID: session_id}
                if correlation_id is not None:
                    ids[names.CORRELATION_ID] = correlation_id
                for value, attributes in figures(session):
                    yield Observation(value, {**ids, **attributes})

        return observe

    def _active_sessions(self) -> Iterable[Observation]:
        yield Observation(self._ledger.stats()["active_sessions"])

    def _pending(self) -> Iterable[Observation]:
        catch_up = self.catch_up()
        if catch_up is not None:
            catch_up()
        for tool, decisions in self._ledger.total().hitl.items():
            # At zero too, once there were any: what is pending no more is to be seen.
            yield Observation(decisions.get(PENDING, 0), {names.TOOL_NAME: tool})

    def _evicted(self) -> Iterable[Observation]:
        yield Observation(sum(self._ledger.stats()["evicted"].values()))

    def _swallowed(self) -> Iterable[Observation]:
        for site, count in self._guard:
            yield Observation(count, {names.SWALLOWED_SITE: site})


def _point_of(call: Operation) -> dict[str, Any]:
    facts = call.attributes
    return {names.OPERATION_NAME: "chat", **{name: facts[name] for name in _MODEL_POINT if name in facts}}


def _context_of(operation: Operation) -> Context:
    if operation.trace_id is None:
        return _NOWHERE
    ids = int(operation.trace_id, 16), int(operation.id, 16)
    span = trace.NonRecordingSpan(trace.SpanContext(*ids, is_remote=False, trace_flags=_SAMPLED))
    return trace.set_span_in_context(span, _NOWHERE)


def _span_seconds(operation: Operation) -> float:
    # The conventions want a duration to equal its span's, a stream's consumer included.
    return max(0, (operation.end_ns or operation.start_ns) - operation.start_ns) / 1_000_000_000


def _worked_seconds(operation: Operation) -> float:
    """That of its span, but for what a human took to decide."""
    human: float = operation.attributes.get(names.HUMAN_SECONDS, 0.0)
    return max(0.0, _span_seconds(operation) - human)


def _requests(metrics: SessionMetrics) -> list[tuple[float, dict[str, str]]]:
    return [
        (metrics.successful_requests, {names.OUTCOME: "ok"}),
        (metrics.failed_requests, {names.OUTCOME: "error"}),
        (metrics.incomplete_requests, {names.OUTCOME: "incomplete"}),
    ]


def _approvals(metrics: SessionMetrics) -> list[tuple[float, dict[str, str]]]:
    counts: dict[str, int] = {}
    for decisions in metrics.hitl.values():
        for decision, count in decisions.items():
            counts[decision] = counts.get(decision, 0) + count
    # Those of none too: what is pending no more is to be seen at zero.
    return [(count, {names.APPROVAL_DECISION: decision}) for decision, count in counts.items()]


def _cost(metrics: SessionMetrics) -> list[tuple[float, dict[str, str]]]:
    amount = metrics.cost["amount"]
    return [] if amount is None else [(amount, {})]


def _tokens(metrics: SessionMetrics) -> list[tuple[float, dict[str, str]]]:
    return [
        (metrics.total_prompt_tokens, {names.TOKEN_TYPE: "input"}),
        (metrics.total_completion_tokens, {names.TOKEN_TYPE: "output"}),
    ]
