"""A session recorded live, and who may be asked about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tachograph
from scripted_llm import ScriptedLLM
from support.serving import asking
from tachograph.export import session_export
from tachograph.server import create_app
from tachograph.testing import capture
from team_script import script

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tachograph.ledger import Ledger


@pytest.fixture(scope="package")
def quickstart() -> Ledger:
    """The ledger of the quickstart's team, run on the real framework."""
    with pytest.MonkeyPatch.context() as patch, ScriptedLLM(script()) as llm, capture() as captured:
        patch.setenv("OPENAI_BASE_URL", llm.base_url)
        patch.setenv("OPENAI_API_KEY", "none")
        import team  # noqa: PLC0415 - it imports tachograph.auto, which is to find the capture running

        with tachograph.session("quickstart"):
            team.main()
    return captured.ledger  # nothing is hooked any more, whatever is tested meanwhile


@pytest.fixture(scope="package")
def client(quickstart: Ledger) -> Iterator[httpx.Client]:
    """Asks the quickstart's ledger over a socket."""
    with asking(create_app(quickstart, export=session_export)) as client:
        yield client
