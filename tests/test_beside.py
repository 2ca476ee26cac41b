"""How others that see a model call are told to leave it to us; the real ones are in e2e/test_beside_others.py."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType

import pytest
from opentelemetry.context import get_value

from support.agents import Say, ScriptedModel, answer, caller
from tachograph import beside
from tachograph.testing import capture

HELPER = "opentelemetry.util.genai.invocation"
KEY = "inference"


@dataclass
class InferenceData:
    """What the helper wants to find under its key."""


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The helper of the official instrumentations, as far as we look at it."""
    module = ModuleType(HELPER)
    module.CLIENT_INFERENCE_CONTEXT_KEY = KEY
    module.InferenceData = InferenceData
    monkeypatch.setitem(sys.modules, HELPER, module)
    return module


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other instrumentation, whatever this environment has."""
    monkeypatch.delitem(sys.modules, HELPER, raising=False)


class Asking(ScriptedModel):
    """A model whose client asks whether its call is taken down."""

    def __init__(self, *script: Say) -> None:
        super().__init__(*script)
        self.found: list[object] = []

    def generate(self, *args, **kwargs):
        self.found.append(get_value(KEY))
        return super().generate(*args, **kwargs)

    def generate_stream(self, *args, **kwargs):
        self.found.append(get_value(KEY))
        yield from super().generate_stream(*args, **kwargs)


def found_by(*, streamed: bool) -> list[object]:
    agent = caller(stream_outputs=streamed)
    agent.model = Asking(Say(calls=(("nothing", {}),)), answer())
    agent.run("go")
    return agent.model.found


def test_nothing_is_claimed_where_nobody_asks(nobody) -> None:
    """Without the helper imported nothing is put into the context, and it is not imported for that."""
    assert beside.claim() is None
    assert HELPER not in sys.modules


def test_nothing_is_claimed_from_a_helper_of_another_make(helper) -> None:
    """A helper that has no such names, as older ones have not, is left alone."""
    del helper.InferenceData

    assert beside.claim() is None


@pytest.mark.parametrize("streamed", [False, True])
def test_each_model_call_is_claimed_by_itself(captured, helper, streamed) -> None:
    """Inside a model call the client finds the claim, another one in each call, and none outside."""
    first, second = found_by(streamed=streamed)

    assert type(first) is type(second) is InferenceData
    assert first is not second
    assert get_value(KEY) is None


def test_a_helper_that_fails_costs_the_host_nothing(helper) -> None:
    """A claim that cannot be made is a swallowed failure of ours; the call and its record are as ever."""
    helper.InferenceData = lambda: 1 / 0
    with capture(strict=False) as captured:
        assert found_by(streamed=False) == [None, None]

    assert captured.ledger.total().total_requests == 2
