"""What users of other tools have suffered from, and Tachograph promises: on smolagents, at some length."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased
from smolagents.models import ChatMessage, MessageRole

import tachograph
from support.agents import Lookup, Say, ScriptedModel, answer, caller, code, coder
from support.figures import billed, ran, used, without_times
from tachograph.testing import Capture, capture

if TYPE_CHECKING:
    from collections.abc import Callable

ASK = Say(calls=(("lookup", {"key": "a"}),))


def streams(count: int) -> list[Any]:
    """Streamed runs, each begun."""
    begun = [caller(ASK, answer(), tools=[Lookup()], name="agent").run("go", stream=True) for _ in range(count)]
    for stream in begun:
        next(stream)
    return begun


def in_threads(ends: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=end) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_tasks(ends: list[Callable[[], None]]) -> None:
    async def ended(end: Callable[[], None]) -> None:
        end()

    async def main() -> None:
        await asyncio.gather(*(asyncio.create_task(ended(end)) for end in ends))

    asyncio.run(main())


class TestManyStreams:
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("where", [in_threads, in_tasks])
    def test_read_elsewhere(
        self, captured: Capture, caplog: pytest.LogCaptureFixture, where: Callable[[list[Any]], None]
    ) -> None:
        """Many streams begun here and ended elsewhere, half of them abandoned: each ends once, nothing is left."""
        caplog.set_level(logging.DEBUG, logger="opentelemetry.context")
        before = otel_context.get_current()
        begun = streams(60)
        where([lambda: list(begun.pop())] * 30)
        begun.clear()
        gc.collect()

        metrics = captured.ledger.total()
        assert metrics.outcomes == {"abandoned": 30, "ok": 30}
        assert len([span for span in captured.spans if span.name == "invoke_agent agent"]) == 60
        assert captured.ledger.open_operations() == []
        assert "Failed to detach" not in caplog.text
        assert otel_context.get_current() is before

    def test_nothing_piles_up(self, captured: Capture) -> None:
        """After many runs, a tenth of them abandoned, there are no more threads or open operations than before."""
        threads = threading.active_count()
        agent = coder(tools=[Lookup()], name="agent")
        for number in range(100):
            agent.model.script = [code("lookup('a')"), code("final_answer(1)")]
            if number % 10:
                agent.run("go")
            else:
                agent.run("go", stream=True).close()

        assert threading.active_count() == threads
        assert captured.ledger.open_operations() == []
        assert captured.ledger.total().outcomes == {"abandoned": 10, "ok": 90}


class TestSampling:
    @pytest.mark.parametrize(
        "settings",
        [{"sampler": TraceIdRatioBased(0.01)}, {"sampler": ALWAYS_OFF}, {"sdk": False}],
        ids=["one-percent", "off", "no-sdk"],
    )
    def test_thousands_of_calls(self, settings: dict[str, Any]) -> None:
        """Thousands of calls, few or none of them sampled: the figures and the audit log are those of all of them."""
        written = []
        for conditions in ({}, settings):
            with capture(**conditions) as recorded:
                model = ScriptedModel(*[Say("hello")] * 2_000)
                with tachograph.session("s"):
                    for _ in range(2_000):
                        model.generate([])
            types = [entry["event_type"] for entry in recorded.ledger.audit_log()]
            written.append((without_times(recorded.ledger.session_metrics("s").to_dict()), types))
            assert used(recorded.ledger.total()) == billed(model)

        assert written[0] == written[1]

    def test_provider_that_does_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A program that has set a provider which does nothing gets the figures of one that exports everything."""
        written = []
        for provider in (None, trace.NoOpTracerProvider()):
            monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
            with capture(sdk=provider is None) as recorded, tachograph.session("s"):
                worker = caller(ASK, answer("found"), tools=[Lookup()], name="worker", description="works")
                coder(code("final_answer(worker(task='go'))"), managed_agents=[worker], name="boss").run("go")
            written.append(without_times(recorded.ledger.session_metrics("s").to_dict()))

        assert written[0] == written[1]
        assert written[0]["switches"] == {"boss_to_worker": 1}


class TestCanary:
    def test_no_content_leaves(self) -> None:
        """With capture off, prompts, answers, arguments, results, plans and errors' texts are in nothing written."""

        class Leaky(Lookup):
            description = "Looks the canary up."

            def forward(self, key: str) -> str:
                if key == "canary broken":
                    raise LookupError("canary")
                return "canary"

        worker = caller(
            *(Say(text="canary", calls=(("lookup", {"key": "canary"}),)), ConnectionError("canary")),
            tools=[Leaky()],
            instructions="canary",
            name="worker",
            description="The program's own words, as its name is.",
        )
        boss = coder(
            *(Say("canary plan"), code("worker(task='canary')"), code("lookup('canary broken')")),
            code("final_answer('canary')"),
            tools=[Leaky()],
            managed_agents=[worker],
            planning_interval=9,
            name="boss",
        )
        with capture(capture_errors="type") as recorded:
            boss.run("canary", additional_args={"token": "canary"})
            ScriptedModel(Say("canary")).generate([ChatMessage(role=MessageRole.USER, content="canary")])

            ledger = recorded.ledger
            written = [
                *(span.to_json() for span in recorded.spans),
                *(log.to_json() for log in recorded.logs),
                *recorded.points(),
                ledger.audit_log(),
                ledger.timeline().to_dict(),
                str(ledger.timeline()),
                ledger.total().to_dict(),
                ledger.stats(),
            ]
            assert ran(ledger.total())["lookup"] == (2, 1, 1, 0)
        assert "canary" not in str(written)

    def test_errors_texts_only_when_wanted(self, captured: Capture) -> None:
        """By default an error's text is written, so that the canary of the test above could have been seen."""
        with pytest.raises(Exception, match="canary"):
            caller(ConnectionError("canary"), name="agent").run("go")

        assert "canary" in str([span.to_json() for span in captured.spans])
        assert "canary" in str(captured.ledger.audit_log())
