"""What the three models of `team.py` answer: a run of it uses up every reply, in this order for each model."""

from __future__ import annotations

from scripted_llm import Reply, ToolCall

_PLAN = """\
## 1. Facts survey
We have three offices: Lisbon, Oslo and Turin. We still need the sun, the roof area and the price of power of each.

## 2. Plan
1. Ask the researcher for the sun and the roof area of each office.
2. Ask the analyst for the payback time of each installation.
3. Recommend the office that earns its panels back first.
"""

_RESEARCH = """\
Thought: I need the facts about all three offices before anything can be computed.
<code>
facts = researcher(task="Find the full-sun hours per year and the usable roof area of our offices in Lisbon, Oslo "
                        "and Turin. Report one line per office.")
print(facts)
</code>"""

_ANALYSE = """\
Thought: The facts are complete, so the analyst can compute the payback times.
<code>
offices = {
    "Lisbon": {"sun_hours": 1700, "roof_m2": 380},
    "Oslo": {"sun_hours": 950, "roof_m2": 610},
    "Turin": {"sun_hours": 1350, "roof_m2": 520},
}
ranking = analyst(
    task="Compute after how many years solar panels pay for themselves on each of the offices given as `offices`.",
    additional_args={"offices": offices},
)
print(ranking)
</code>"""

_CONCLUDE = """\
Thought: Turin pays back first although Lisbon is sunnier, because power is dearer there.
<code>
final_answer("Turin first: its panels pay for themselves in 4.2 years, before Lisbon (5.1) and Oslo (15.3).")
</code>"""

_COMPUTE = """\
Thought: The payback time is the price of the installation divided by what it saves each year.
<code>
payback = {}
for city, office in offices.items():
    peak_kw = 0.2 * office["roof_m2"]
    saved_per_year = 0.8 * peak_kw * office["sun_hours"] * power_price(city)
    payback[city] = round((12000 + 1300 * peak_kw) / saved_per_year, 1)
print(payback)
</code>"""

_REPORT = """\
Thought: All three are computed; I report them, the shortest first.
<code>
ranking = sorted(payback, key=payback.get)
final_answer("\\n".join(f"{city}: {payback[city]} years" for city in ranking))
</code>"""

_FACTS = """\
Lisbon: 1700 full-sun hours per year, 380 m2 of roof
Oslo: 950 full-sun hours per year, 610 m2 of roof
Turin: 1350 full-sun hours per year, 520 m2 of roof"""

_CITIES = ("Lisbon", "Oslo", "Turin")


def script() -> dict[str, list[Reply]]:
    """Return the replies of each model, by model id."""
    return {
        "gpt-4.1": [
            Reply(_PLAN, prompt_tokens=1184, completion_tokens=118, delay=0.05, chunk_delay=0.002),
            Reply(_RESEARCH, prompt_tokens=2391, completion_tokens=92, delay=0.04, chunk_delay=0.002),
            Reply(
                _ANALYSE,
                prompt_tokens=2672,
                completion_tokens=171,
                cached_tokens=2304,
                delay=0.03,
                chunk_delay=0.002,
            ),
            Reply(
                _CONCLUDE,
                prompt_tokens=2981,
                completion_tokens=74,
                cached_tokens=2560,
                delay=0.03,
                chunk_delay=0.002,
            ),
        ],
        "gpt-4.1-mini": [
            Reply(
                tool_calls=[ToolCall("sun_hours", {"city": city}) for city in _CITIES],
                prompt_tokens=1406,
                completion_tokens=58,
                delay=0.03,
                chunk_delay=0.002,
            ),
            Reply(
                tool_calls=[ToolCall("roof_area", {"city": "Lissabon"})],
                prompt_tokens=1523,
                completion_tokens=17,
                cached_tokens=1280,
                delay=0.02,
                chunk_delay=0.002,
            ),
            Reply(
                tool_calls=[ToolCall("roof_area", {"city": city}) for city in _CITIES],
                prompt_tokens=1619,
                completion_tokens=55,
                cached_tokens=1408,
                delay=0.02,
                chunk_delay=0.002,
            ),
            Reply(
                tool_calls=[ToolCall("final_answer", {"answer": _FACTS})],
                prompt_tokens=1740,
                completion_tokens=88,
                cached_tokens=1536,
                delay=0.03,
                chunk_delay=0.002,
            ),
        ],
        "o4-mini": [
            Reply(_COMPUTE, prompt_tokens=2214, completion_tokens=743, reasoning_tokens=576, delay=0.05),
            Reply(
                _REPORT,
                prompt_tokens=2467,
                completion_tokens=213,
                cached_tokens=2176,
                reasoning_tokens=128,
                delay=0.04,
            ),
        ],
    }
