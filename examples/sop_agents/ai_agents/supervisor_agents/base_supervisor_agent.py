"""What a supervisor is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from smolagents import CodeAgent

from ai_agents.models import SUPERVISOR_MODEL, create_model, quiet
from ai_agents.sop import choose_sop
from ai_agents.tools import create_tool
from ai_agents.yaml_agents import create_agent_from_yaml

if TYPE_CHECKING:
    from ai_agents.micro_agents.base_micro_agent import BaseMicroAgent


class BaseSupervisorAgent:
    """Does one kind of task by its procedure, with the help of micro agents.

    Args:
        repository: where it works; the current directory by default.
    """

    name = "supervisor"
    max_steps = 6

    def __init__(self, repository: Path | None = None) -> None:
        self.repository = repository or Path()
        self._tasks = 0

    def run(self, task: str) -> str:
        """Do a task by the procedure that fits it and return the answer."""
        self._tasks += 1
        sop = choose_sop(task)
        return self.run_task(f"{self.name}_{self._tasks}", task, sop.category, sop.text)

    def run_task(self, task_id: str, description: str, sop_category: str, procedure: str) -> str:
        """Do one task.

        Args:
            task_id: what to call it.
            description: what is to be done.
            sop_category: the procedure to do it by, such as "code_generation/simple".
            procedure: its text.
        """
        print(f"{task_id}, by {sop_category}: {description}")
        agent = CodeAgent(
            tools=[create_tool("file_reader", self.repository)],
            model=create_model(SUPERVISOR_MODEL),
            managed_agents=[micro_agent.get_code_agent() for micro_agent in self.micro_agents()],
            name=self.name,
            description=type(self).__doc__ or "",
            instructions=procedure,
            max_steps=self.max_steps,
            stream_outputs=True,
            logger=quiet(),
        )
        return str(agent.run(description))

    def micro_agents(self) -> list[BaseMicroAgent]:
        """Return the micro agents it can ask."""
        return [create_agent_from_yaml("search_agent", self.repository)]
