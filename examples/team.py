"""Which of three offices should get solar panels first? A manager, a researcher and an analyst find out.

An ordinary smolagents program: it talks to the server at OPENAI_BASE_URL with the key in OPENAI_API_KEY.
"""

import tachograph.auto  # the only line that is not the program's own

import time
from typing import ClassVar

from rich.console import Console
from smolagents import AgentLogger, CodeAgent, LogLevel, OpenAIModel, Tool, ToolCallingAgent, tool

TASK = "Which of our offices in Lisbon, Oslo and Turin should get solar panels first, and when do they pay off?"

ROOF_M2 = {"Lisbon": 380, "Oslo": 610, "Turin": 520}
EUR_PER_KWH = {"Lisbon": 0.21, "Oslo": 0.12, "Turin": 0.31}


@tool
def roof_area(city: str) -> int:
    """Return the roof area of our office in a city that panels can cover, in square metres.

    Args:
        city: English name of the office's city.
    """
    if city not in ROOF_M2:
        message = f"we have no office in {city!r}, only in {', '.join(ROOF_M2)}"
        raise ValueError(message)
    return ROOF_M2[city]


@tool
def power_price(city: str) -> float:
    """Return what our office in a city pays for electricity, in euros per kilowatt-hour.

    Args:
        city: English name of the office's city.
    """
    return EUR_PER_KWH[city]


class SunHours(Tool):
    """A climate service, which takes its time."""

    name = "sun_hours"
    description = "Return the hours of full sun that a city gets per year."
    inputs: ClassVar = {"city": {"type": "string", "description": "English name of the city."}}
    output_type = "integer"

    hours: ClassVar = {"Lisbon": 1700, "Oslo": 950, "Turin": 1350}

    def forward(self, city: str) -> int:
        """Look one city up."""
        time.sleep(0.03)
        return self.hours[city]


def main() -> str:
    """Build the team, give it the task and return its answer."""
    # Streaming agents draw on the console at any verbosity, so it has to be quiet too.
    logger = AgentLogger(level=LogLevel.OFF, console=Console(quiet=True))
    researcher = ToolCallingAgent(
        tools=[SunHours(), roof_area],
        model=OpenAIModel("gpt-4.1-mini"),
        name="researcher",
        description="Looks up facts about our offices and their climate.",
        stream_outputs=True,
        max_steps=6,
        logger=logger,
    )
    analyst = CodeAgent(
        tools=[power_price],
        model=OpenAIModel("o4-mini"),
        name="analyst",
        description="Computes costs and payback times. Give it the facts as additional_args.",
        max_steps=4,
        logger=logger,
    )
    manager = CodeAgent(
        tools=[],
        model=OpenAIModel("gpt-4.1"),
        name="manager",
        managed_agents=[researcher, analyst],
        planning_interval=5,
        stream_outputs=True,
        max_steps=6,
        logger=logger,
    )
    return str(manager.run(TASK))


if __name__ == "__main__":
    print(main())
