"""Two tasks for agents that work by procedures, in a scratch git repository, all on this machine.

It needs no key and no network; the models are played by a scripted server. It needs git.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import model_script
from ai_agents.cli import main as cli
from scripted_llm import ScriptedLLM

FILES = {
    "README.md": "# Shop\n\nRun `python shop.py`.\n",
    "prices.py": "def add_up(prices):\n    return sum(prices)\n",
    "shop.py": "from prices import add_up\n\nprint(add_up([3, 4]))\n",
}


def git(repository: Path, *arguments: str) -> str:
    """Run git in a repository, as somebody whose own settings do not matter, and return what it prints."""
    somebody = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
    somebody |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in somebody.items()}
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(  # noqa: S603 - our own command
        ["git", *arguments],  # noqa: S607 - the git that there is
        cwd=repository,
        env={**os.environ, **settings, **somebody},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    ).stdout


def create_repository(repository: Path) -> None:
    """Begin a repository with one commit."""
    for name, text in FILES.items():
        (repository / name).write_text(text, "utf-8")
    git(repository, "init", "--quiet")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "A shop")


def main() -> None:
    """Start the models, let the agents work, and print what they changed and the bill."""
    with tempfile.TemporaryDirectory() as directory, ScriptedLLM(model_script.script()) as llm:
        os.environ |= {"OPENAI_BASE_URL": llm.base_url, "OPENAI_API_KEY": "no key is needed here"}
        repository = Path(directory)
        create_repository(repository)
        cli(["--repository", directory, model_script.EXPLAIN, model_script.RENAME])
        git(repository, "add", "--all")
        print(git(repository, "diff", "--cached", "--stat"))
        print(f"The model server billed {llm.total_tokens:,} tokens.")


if __name__ == "__main__":
    main()
