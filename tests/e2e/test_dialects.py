"""Other people's packages, each alone and each beside our hooks: a session's figures are the server's bill.

Packages, clients and connections are real, so these tests have environments of their own, which `.ci/run` makes:

    pip install -e '.[dialect-openinference]' && pytest -n 0 -m dialect -k openinference tests/e2e/test_dialects.py

and likewise for ``dialect-openllmetry``, ``dialect-pydantic-ai``, ``dialect-mcp`` and ``dialect-google-adk``; the
official packages are in the environments of ``test_beside_others.py``. With ``RECORD_SPANS=1`` the spans of those that
run alone are kept for ``tests/dialects/test_recorded.py``.
"""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING

import pytest

from support.dialect_programs import SPEAKERS, figures, speak
from support.programs import Programs
from support.recorded_spans import keep
from tachograph.sources.otlp import OtlpSource

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.dialect


def require(packages: tuple[str, ...]) -> None:
    """Have these packages, or skip with a word on how to; where the whole truth is wanted, fail."""
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    missing = [package for package in packages if package not in installed]
    if missing:
        message = f"not installed here: {', '.join(missing)}; the head of this file says how"
        (pytest.fail if "CI" in os.environ else pytest.skip)(message)


@pytest.mark.parametrize("hooks", [False, True], ids=["alone", "beside our hooks"])
@pytest.mark.parametrize("name", SPEAKERS)
def test_figures_are_the_bill(tmp_path: Path, name: str, hooks: bool) -> None:  # noqa: FBT001 - a case
    """What exporter, hooks and the file of spans answer is what the server has billed, each call once."""
    speaker = SPEAKERS[name]
    require(speaker.packages)

    spoken = speak(speaker, Programs(tmp_path), **({"OURS": "1"} if hooks else {}))

    file = OtlpSource(spoken.spans)
    answers = {**spoken.totals, "file": file.total().to_dict()}
    expected = figures(speaker, spoken.bill, hooked=hooks)
    assert ["exporter", *(["hooks"] if hooks else []), "file"] == list(answers)
    for answer in answers.values():
        assert expected == {name: answer[name] for name in expected}
    ours = hooks and bool(speaker.hooked)  # then the session is the one that our hooks know of
    for sessions in (*spoken.sessions.values(), file.sessions()):
        assert 1 == len(sessions)
        assert ours or speaker.session in (None, sessions[0])
        assert hooks or speaker.session is not None or sessions == ["unattributed"]
    assert [{}, {}] == spoken.swallowed
    if not hooks and "RECORD_SPANS" in os.environ:
        keep(name, spoken, speaker.packages)
