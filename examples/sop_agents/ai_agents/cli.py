"""The command line: `python -m ai_agents.cli --repository DIR TASK…`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ai_agents.sop import choose_sop
from ai_agents.supervisor_agents.code_generation_supervisor_agent import CodeGenerationSupervisorAgent
from ai_agents.supervisor_agents.repo_analysis_supervisor_agent import RepoAnalysisSupervisorAgent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ai_agents.supervisor_agents.base_supervisor_agent import BaseSupervisorAgent

SUPERVISORS: dict[str, type[BaseSupervisorAgent]] = {
    supervisor.name: supervisor for supervisor in (CodeGenerationSupervisorAgent, RepoAnalysisSupervisorAgent)
}
"""By the folder that its procedures are in."""


def main(arguments: Sequence[str]) -> int:
    """Do the tasks one after the other, each with the supervisor whose procedure it calls for."""
    parser = argparse.ArgumentParser(prog="ai_agents", description="Let agents work on a repository.")
    parser.add_argument("--repository", type=Path, default=Path(), help="where to work (the current directory)")
    parser.add_argument("tasks", nargs="+", metavar="task", help="what to do")
    options = parser.parse_args(arguments)
    for task in options.tasks:
        supervisor = SUPERVISORS[choose_sop(task).category.partition("/")[0]]
        print(f"  {supervisor(options.repository).run(task)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
