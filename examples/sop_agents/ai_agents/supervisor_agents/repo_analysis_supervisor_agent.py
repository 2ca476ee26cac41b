"""The supervisor that explains repositories."""

from __future__ import annotations

from ai_agents.supervisor_agents.base_supervisor_agent import BaseSupervisorAgent


class RepoAnalysisSupervisorAgent(BaseSupervisorAgent):
    """Explains a repository and changes nothing."""

    name = "repo_analysis"
