"""What is around a span, what is in it, and what each tells the others."""

from __future__ import annotations

from support.foreign_spans import CHAT, identifier, span
from tachograph import names
from tachograph.foreign import told
from tachograph.kin import NOTHING, NOWHERE, Within, around_those_in, inside_of, told_upwards

RUN = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk", "gen_ai.usage.input_tokens": 300}


def test_a_span_belongs_where_it_says() -> None:
    """Session and user are the span's own, else those around it; a conversation is a session for want of another."""
    around = NOWHERE._replace(session_id="around", user_id="ada", agent="boss")
    talk = {**CHAT, names.CONVERSATION_ID: "talk"}

    assert ["own", "around", "around", "talk"] == [
        inside_of(told(span(1, attributes)), place).session_id
        for attributes, place in (
            ({**talk, names.SESSION_ID: "own"}, around),
            (talk, around),
            (CHAT, around),
            (talk, NOWHERE),
        )
    ]
    assert ("ada", "boss") == inside_of(told(span(1, CHAT)), around)[2:4]


def test_stamps_say_the_agent_it_works_for() -> None:
    """What the processor stamped, when one of ours was around, says the agent, and that it is in a run."""
    place = inside_of(told(span(1, {**CHAT, names.RUN_BY: "cook"})), NOWHERE)

    assert ("cook", True) == (place.agent, place.in_run)


def test_a_call_that_repeats_still_is_around_those_in_it() -> None:
    """What lies in a call that is counted elsewhere is in a counted call as well."""
    place = around_those_in(told(span(1, CHAT)), NOWHERE, None)

    assert (True, None) == (place.in_call, place.nearest)


def test_what_a_call_says_is_told_to_those_around() -> None:
    """Tokens go up with what else an outer span may leave out; an agent's sums, and its calls, do not."""
    call = told_upwards(told(span(2, CHAT)), NOTHING)
    run = told_upwards(told(span(1, RUN, error="Broken")), call)

    assert {names.REQUEST_MODEL: "gpt-4.1", names.INPUT_TOKENS: 100, names.OUTPUT_TOKENS: 20} == call.call
    assert ({}, frozenset({"Broken"})) == (run.call, run.failures)


def test_a_servers_refusal_is_told_to_its_client_only() -> None:
    """What went wrong on the server's side goes up to the call, and no further."""
    call = {"mcp.method.name": "tools/call"}
    served = told_upwards(told(span(2, call, kind="SERVER", error="tool_error")), NOTHING)

    assert "tool_error" == served.refused
    assert told_upwards(told(span(1, call, kind="CLIENT")), served).refused is None
    assert Within(refused="tool_error") == told_upwards(told(span(1, {})), served)
    assert "0000000000000001" == identifier(1)
