"""Baselines: tolerances as they are said, what is compared, and the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import histories, ledger_of
from tachograph.pytest_plugin.baselines import (
    BaselineError,
    Tolerance,
    differences,
    read,
    taken,
    tolerance,
    tolerances,
    tolerances_in,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = taken(ledger_of([]).total())


def came_to(**figures: Any) -> dict[str, Any]:
    """What a test came to: nothing but this."""
    return {**NOTHING, **figures}


# ------------------------------------------------------------------------------------------------------- tolerances
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("10%", Tolerance(0.1, share=True)),
        (" 2.5 % ", Tolerance(0.025, share=True)),
        ("3", Tolerance(3, share=False)),
        (0.5, Tolerance(0.5, share=False)),
        (0, Tolerance(0, share=False)),
    ],
)
def test_a_tolerance_is_a_share_or_a_number(said: Any, expected: Tolerance) -> None:
    """Of the baseline's figure, or of whatever the figure counts."""
    assert expected == tolerance(said, "here")


@pytest.mark.parametrize("said", ["", "much", "-1", "-10%", "nan", None, True, [1]])
def test_a_tolerance_that_is_none_is_refused(said: Any) -> None:
    """The error names who said it and the value, and shows what one looks like."""
    with pytest.raises(ValueError, match=r"here: tokens: .* is no tolerance; give a share such as '10%'"):
        tolerances({"tokens": said}, "here")


def test_tolerances_of_the_command_line() -> None:
    """One without a name is for all; the others are for a figure, or for what is counted by name."""
    assert {
        "": Tolerance(0.1, share=True),
        "tokens": Tolerance(0.05, share=True),
        "tools": Tolerance(2, share=False),
    } == tolerances_in("10%, tokens=5%,tools = 2", "option")
    with pytest.raises(ValueError, match=r"option: 'token' is no figure; did you mean tokens\?"):
        tolerances_in("token=5%", "option")
    with pytest.raises(ValueError, match="option: '' is no tolerance"):
        tolerances_in("5%,", "option")


# --------------------------------------------------------------------------------------------------------- compared
def test_what_differs_is_named_with_both_and_how_far() -> None:
    """Figures and what is counted by name; what is within its tolerance, up or down, is not named."""
    before = came_to(tokens=1_000, requests=4, tool_calls=3, cost=0.5, tools={"search": 3}, switches={"a_to_b": 1})
    now = came_to(tokens=1_101, requests=5, tool_calls=1, cost=None, tools={"read": 1}, switches={"a_to_b": 1})
    allowed = tolerances_in("0,tokens=10%,requests=1,tool_calls=50%", "x")
    assert [
        "tokens        1,000 -> 1,101  (+10.1%, allowed ±10 %)",
        "cost          0.500000 USD -> unknown  (allowed ±0)",
        "tool_calls    3 -> 1  (-66.7%, allowed ±50 %)",
        "tools.read    0 -> 1  (allowed ±0)",
        "tools.search  3 -> 0  (-100.0%, allowed ±0)",
    ] == differences(before, now, allowed)
    assert [] == differences(before, {**before, "tokens": 900}, allowed)


def test_a_duration_is_compared_where_somebody_says_how_far() -> None:
    """It is never the same twice, so neither nothing nor a tolerance for all says anything of it."""
    before, now = came_to(duration=1.0), came_to(duration=1.6)
    assert [] == differences(before, now, {})
    assert [] == differences(before, now, tolerances_in("1%", "x"))
    assert [] == differences(before, now, tolerances_in("duration=60%", "x"))
    assert ["duration  1.000 s -> 1.600 s  (+60.0%, allowed ±50 %)"] == differences(
        before, now, tolerances_in("duration=50%", "x")
    )


def test_what_an_older_baseline_does_not_have_is_not_compared() -> None:
    """A figure that came later is no difference; one of a later version that is not known here is passed over."""
    assert [] == differences({"tokens": 1, "of_tomorrow": 3}, came_to(tokens=1, requests=7, cost=1.0), {})


@given(histories(), histories())
def test_nothing_differs_from_itself_and_anything_else_does(one: Any, other: Any) -> None:
    """Whatever happened: what is equal but for durations has no difference, and what is not has one, both ways."""
    first, second = (taken(ledger_of(each.live()).total()) for each in (one, other))
    assert [] == differences(first, first, {})
    same = {**first, "duration": 0} == {**second, "duration": 0}
    # Names without a count are none.
    empty = any(
        not count for figures in (first, second) for table in ("tools", "models") for count in figures[table].values()
    )
    assert same == (not differences(first, second, {})) == (not differences(second, first, {})) or empty


# --------------------------------------------------------------------------------------------------------- the file
@given(st.dictionaries(st.text(max_size=5), st.fixed_dictionaries({"tokens": st.integers(0), "cost": st.none()})))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, tests: dict[str, Any]) -> None:
    """Any ids and figures come back as they were."""
    path = tmp_path_factory.mktemp("baseline") / "deep" / "baseline.json"
    written = {name.encode("utf-8", "replace").decode(): row for name, row in tests.items()}
    write(path, written)
    assert written == read(path)


def test_a_file_is_for_people_and_for_version_control(tmp_path: Path) -> None:
    """One figure a line, tests in order of their ids, the last line ended; nothing else is left in the folder."""
    path = tmp_path / "baseline.json"
    for _ in range(2):
        write(path, {"b": {"tokens": 1}, "a": {"tokens": 2}})
    lines = path.read_text("utf-8").splitlines(keepends=True)
    assert ['    "a": {\n', '    "b": {\n'] == [line for line in lines if line.endswith('": {\n')][1:]
    assert "}\n" == lines[-1]
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"tests": {}}',
        b'{"tachograph_baseline": 2, "tests": {}}',
        b'{"tachograph_baseline": 1, "tests": []}',
        b'{"tachograph_baseline": 1, "tests": {"a": 3}}',
        b'{"tachograph_baseline": 1, "tests": {"a": {"tokens": "3"}}}',
        b'{"tachograph_baseline": 1, "tests": {"a": {"tools": [1]}}}',
        b'{"tachograph_baseline": 1, "tests": {"a": {"tools": {"t": "x"}}}}',
    ],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error names the file and how to make another."""
    path = tmp_path / "baseline.json"
    path.write_bytes(content)
    with pytest.raises(BaselineError, match=r"baseline\.json: is no baseline.*--tachograph-update"):
        read(path)
    with pytest.raises(BaselineError, match=r"missing\.json: no such file; make it with --tachograph-update"):
        read(tmp_path / "missing.json")


def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """The error names the file; what is there stays, and nothing is left beside it."""
    (tmp_path / "baseline.json").mkdir()
    (tmp_path / "baseline.json" / "x").touch()
    with pytest.raises(BaselineError, match=r"baseline\.json: cannot be written: "):
        write(tmp_path / "baseline.json", {})
    assert [tmp_path / "baseline.json"] == list(tmp_path.iterdir())


def test_a_file_is_json(tmp_path: Path) -> None:
    """Other tools can read it."""
    write(tmp_path / "b.json", {"a": came_to(tokens=3)})
    assert {"tachograph_baseline": 1, "tests": {"a": came_to(tokens=3)}} == json.loads(
        (tmp_path / "b.json").read_text()
    )
