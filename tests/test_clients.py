"""Instrumentations of model clients: ours to switch on where nobody has, and off again if they are ours."""

from __future__ import annotations

import gc
import logging
import sys
import weakref
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.dependencies import DependencyConflictError
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from tachograph import clients, names, runtime, session
from tachograph.clients import Clients
from tachograph.guard import Guard
from tachograph.processors import SpanStamp
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tachograph.testing import Capture


class Client:
    """A client of a model."""

    def ask(self) -> str:
        return "answer"


class ClientInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the base class is untyped
    """An instrumentation of :class:`Client`, built on the same base class as the official ones."""

    needs: tuple[str, ...] = ()

    def instrumentation_dependencies(self) -> Collection[str]:
        return self.needs

    def _instrument(self, **given: Any) -> None:
        self.given = given
        tracer = trace.get_tracer("a.client", "1", given.get("tracer_provider"))
        original = Client.ask

        def ask(client: Client) -> str:
            attributes: Any = {names.OPERATION_NAME: "chat", names.REQUEST_MODEL: "m", names.INPUT_TOKENS: 7}
            span = tracer.start_span("chat m", kind=trace.SpanKind.CLIENT, attributes=attributes)
            with trace.use_span(span, end_on_exit=True), tracer.start_as_current_span("inside"):
                return original(client)

        self.original = original
        Client.ask = ask  # type: ignore[method-assign]

    def _uninstrument(self, **_: Any) -> None:
        Client.ask = self.original  # type: ignore[method-assign]


UNTOUCHED = Client.ask


@pytest.fixture
def instrumentor() -> Iterator[ClientInstrumentor]:
    """The instrumentation, as nobody has switched it on."""
    found = ClientInstrumentor()
    yield found
    vars(found).pop("instrument", None)
    if found.is_instrumented_by_opentelemetry:
        found.uninstrument()


def requests(captured: Capture) -> int:
    return captured.ledger.total().total_requests


def test_calls_of_a_client_are_counted(captured, instrumentor) -> None:
    """Switched on, a call of the client is a model call in the ledger, and its span goes where ours go."""
    assert captured.runtime.clients.switch_on(instrumentor)
    with session("s"):
        answer = Client().ask()

    assert "answer" == answer
    figures = captured.ledger.session_metrics("s")
    assert (1, 7) == (figures.total_requests, figures.total_prompt_tokens)
    assert ["inside", "chat m"] == [span.name for span in captured.spans]
    assert captured.spans_only.session_metrics("s") == figures


def test_without_a_provider_calls_are_counted_all_the_same(instrumentor) -> None:
    """Where nobody has set a provider the spans are private: they are counted, and the global provider stays unset."""
    with capture(sdk=False) as captured:
        before = trace.get_tracer_provider()
        captured.runtime.clients.switch_on(instrumentor)
        Client().ask()

        assert 1 == requests(captured)
        assert before is trace.get_tracer_provider()
        (call,) = captured.ledger.records()
        assert captured.runtime.process_session() == call.session_id


def test_a_provider_that_appears_later_is_followed(instrumentor) -> None:
    """Each span goes to the provider that is in force when it starts."""
    first, second = (TracerProvider(shutdown_on_exit=False) for _ in range(2))
    heard: list[tuple[TracerProvider, str]] = []
    for provider in (first, second):
        hear = lambda call, provider=provider: heard.append((provider, call.name))  # noqa: E731 - one line says it
        provider.add_span_processor(SpanStamp(Guard(strict=True), hear))
    in_force = [first]
    made = Clients(Guard(strict=True), lambda: in_force[0], lambda: None, {})
    made.switch_on(instrumentor)
    Client().ask()
    in_force[0] = second
    Client().ask()
    made.close()

    assert [(first, "m"), (second, "m")] == heard


def test_a_provider_that_cannot_be_had_costs_the_program_nothing(instrumentor) -> None:
    """Where looking for the provider fails, the call goes its way unrecorded."""
    guard = Guard()
    made = Clients(guard, lambda: 1 / 0, lambda: None, {})  # type: ignore[arg-type,return-value]
    made.switch_on(instrumentor)

    assert "answer" == Client().ask()
    assert guard.swallowed()
    made.close()


def test_what_we_switched_on_we_switch_off(instrumentor) -> None:
    """At the end the client is as it was, and nothing of ours is left on the instrumentation."""
    with capture() as captured:
        captured.runtime.clients.switch_on(instrumentor)
        assert captured.runtime.clients.switch_on(instrumentor)
        assert UNTOUCHED is not Client.ask

    assert UNTOUCHED is Client.ask
    assert not instrumentor.is_instrumented_by_opentelemetry
    assert "instrument" not in vars(instrumentor)


def test_what_somebody_else_switched_on_stays_on(instrumentor) -> None:
    """Where the program has switched it on it is the program's, before and after; its spans are heard of."""
    with capture() as captured:
        instrumentor.instrument(tracer_provider=captured.runtime.providers._explicit)
        assert not captured.runtime.clients.switch_on(instrumentor)
        Client().ask()
        assert 1 == requests(captured)

    assert instrumentor.is_instrumented_by_opentelemetry
    assert UNTOUCHED is not Client.ask


def test_the_program_may_switch_it_on_later(captured, instrumentor, caplog) -> None:
    """A program that switches it on itself has it, with what it says, with no warning, and keeps it."""
    captured.runtime.clients.switch_on(instrumentor)
    theirs = captured.runtime.providers._explicit
    with caplog.at_level(logging.WARNING):
        instrumentor.instrument(tracer_provider=theirs)
    Client().ask()
    captured.runtime.stop()

    assert [] == caplog.records
    assert {"tracer_provider": theirs} == instrumentor.given
    assert 1 == requests(captured)
    assert instrumentor.is_instrumented_by_opentelemetry


def test_switched_on_with_no_provider_it_is_heard_of_until_the_end(instrumentor, caplog) -> None:
    """Whoever switches it on for the global provider has it, we hear of calls where there is none, and it stays on."""
    with capture(sdk=False) as captured, caplog.at_level(logging.WARNING):
        captured.runtime.clients.switch_on(instrumentor)
        instrumentor.instrument(something="said")
        Client().ask()
        assert 1 == requests(captured)
        assert [] == caplog.records
        instrumentor.instrument()
        assert ["Attempting to instrument while already instrumented"] == caplog.messages

    assert {"something": "said"} == instrumentor.given
    assert instrumentor.is_instrumented_by_opentelemetry


def test_what_the_launcher_switched_on_is_heard_of_until_the_end(instrumentor, monkeypatch) -> None:
    """What ``opentelemetry-instrument`` has switched on, with no provider to write to, is heard of, and stays on."""
    monkeypatch.setitem(sys.modules, clients._LAUNCHER, ModuleType("launcher"))
    instrumentor.instrument()
    with capture(sdk=False) as captured:
        assert captured.runtime.clients.switch_on(instrumentor)
        Client().ask()
        assert 1 == requests(captured)

    assert {} == instrumentor.given
    assert instrumentor.is_instrumented_by_opentelemetry


def test_the_program_may_switch_it_off(captured, instrumentor, caplog) -> None:
    """A program that switches ours off has it off; at our end nothing is said of it."""
    captured.runtime.clients.switch_on(instrumentor)
    with caplog.at_level(logging.WARNING):
        instrumentor.uninstrument()
        Client().ask()
        captured.runtime.stop()

    assert [] == caplog.records
    assert 0 == requests(captured)
    assert "instrument" not in vars(instrumentor)


def test_one_runtime_hands_it_to_the_next_and_back(instrumentor) -> None:
    """A runtime that takes over has the calls; when it ends, the one before goes on, unless that has ended."""
    with capture() as outer:
        outer.runtime.clients.switch_on(instrumentor)
        with capture() as inner:
            inner.runtime.clients.switch_on(instrumentor)
            Client().ask()
        outer.runtime.hooks.enabled = True
        Client().ask()
        assert (1, 1) == (requests(outer), requests(inner))
        with capture() as inner:
            inner.runtime.clients.switch_on(instrumentor)
            outer.runtime.stop()
            assert instrumentor.is_instrumented_by_opentelemetry

    assert UNTOUCHED is Client.ask


def test_a_client_of_another_version_is_refused_aloud(captured, instrumentor, monkeypatch) -> None:
    """An instrumentation that does not support the client's version says so, and is not on."""
    monkeypatch.setattr(ClientInstrumentor, "needs", ("pytest < 1",))
    with pytest.raises(DependencyConflictError):
        captured.runtime.clients.switch_on(instrumentor)

    assert "instrument" not in vars(instrumentor)


def test_a_stopped_runtime_is_let_go(instrumentor) -> None:
    """What is on after us, and providers that outlive us, keep no runtime alive."""
    with capture() as captured:
        captured.runtime.clients.switch_on(instrumentor)
        Client().ask()
        provider = captured.runtime.providers._explicit
        reference = weakref.ref(captured.runtime)
    instrumentor.given = {}
    del captured
    gc.collect()

    assert provider is not None
    assert reference() is None
    assert runtime._current is None or runtime._current is not reference()
