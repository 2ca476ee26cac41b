"""Runs with a baseline: written, compared, updated, and what is said where there is none."""

from __future__ import annotations

import json

import pytest

pytest_plugins = ["pytester"]

SUITE = """
    import os
    import pytest
    import tachograph


    def work(tokens):
        with tachograph.agent("clerk"), tachograph.model("gpt-4.1", provider="openai") as call:
            call.usage(input_tokens=tokens, output_tokens=10)


    def test_steady(tachograph_session):
        work(100)

    def test_drifting(tachograph_session):
        work(100 + int(os.environ.get("DRIFT", "0")))

    @pytest.mark.tachograph_baseline(tokens="50%", prompt_tokens="50%", cost=1)
    def test_tolerant(tachograph_session):
        work(100 + int(os.environ.get("DRIFT", "0")))

    def test_without():
        pass
"""
BASELINE = "--tachograph-baseline=kept/b.json"
UPDATE = "--tachograph-update"


@pytest.fixture
def suite(inside: pytest.Pytester) -> pytest.Pytester:
    """A suite of three tests that are recorded, and one that is not."""
    inside.makepyfile(test_suite=SUITE)
    return inside


def text(suite: pytest.Pytester) -> str:
    return (suite.path / "kept" / "b.json").read_text("utf-8")


def test_a_baseline_is_written_and_holds(suite: pytest.Pytester) -> None:
    """Written once, it is what the tests come to; writing it again changes nothing, as nothing has changed."""
    written = suite.runpytest_inprocess(BASELINE, UPDATE)
    written.assert_outcomes(passed=4)
    written.stdout.fnmatch_lines(["baseline b.json: wrote the figures of 3 tests, 3 of them new or changed"])
    before = text(suite)
    suite.runpytest_inprocess(BASELINE).assert_outcomes(passed=4)
    again = suite.runpytest_inprocess(BASELINE, UPDATE)
    again.stdout.fnmatch_lines(["baseline b.json: wrote the figures of 3 tests, 0 of them new or changed"])
    assert before == text(suite)


def test_what_drifts_fails(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each figure with what it was, what it is and what is allowed; the marker of a test gives it tolerances."""
    suite.runpytest_inprocess(BASELINE, UPDATE)
    monkeypatch.setenv("DRIFT", "22")
    result = suite.runpytest_inprocess(BASELINE)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "not as in b.json:",
            "  tokens         110 -> 132  (+20.0%, allowed ±0)",
            "  prompt_tokens  100 -> 122  (+22.0%, allowed ±0)",
            "  cost           0.000280 USD -> 0.000324 USD  (+15.7%, allowed ±0)",
            "if that is right, take it with --tachograph-update",
        ]
    )
    suite.runpytest_inprocess(BASELINE, "--tachograph-tolerance=25%").assert_outcomes(passed=4)
    suite.runpytest_inprocess(BASELINE, "--tachograph-tolerance=tokens=25%").assert_outcomes(passed=3, failed=1)
    monkeypatch.setenv("DRIFT", "80")
    suite.runpytest_inprocess(BASELINE, "--tachograph-tolerance=90%").assert_outcomes(passed=3, failed=1)

    taken = suite.runpytest_inprocess(BASELINE, UPDATE, "-k", "drifting")
    taken.stdout.fnmatch_lines(["baseline b.json: wrote the figures of 1 tests, 1 of them new or changed"])
    tests = json.loads(text(suite))["tests"]
    assert [190, 110, 110] == [
        tests[f"test_suite.py::test_{name}"]["tokens"] for name in ("drifting", "steady", "tolerant")
    ]


def test_only_what_passes_is_written(suite: pytest.Pytester) -> None:
    """A test that fails leaves its figures in the baseline as they were, and is no reason to lose the others'."""
    suite.makepyfile(test_more="def test_fails(tachograph_session):\n    assert False\n")
    suite.runpytest_inprocess(BASELINE, UPDATE).assert_outcomes(passed=4, failed=1)
    assert 3 == len(json.loads(text(suite))["tests"])


def test_a_test_that_is_not_in_it_fails(suite: pytest.Pytester) -> None:
    """A new test says that it is to be added."""
    suite.runpytest_inprocess(BASELINE, UPDATE, "-k", "steady")
    result = suite.runpytest_inprocess(BASELINE, "-k", "not tolerant")
    result.assert_outcomes(passed=2, failed=1, deselected=1)
    result.stdout.fnmatch_lines(["b.json does not know this test; add it with --tachograph-update"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([BASELINE], "*b.json: no such file; make it with --tachograph-update"),
        ([UPDATE], "*--tachograph-update: say which file with --tachograph-baseline=FILE"),
        (["--tachograph-tolerance=1%"], "*--tachograph-tolerance: say which file with --tachograph-baseline=FILE"),
        ([BASELINE, UPDATE, "--tachograph-tolerance=x=1"], "*--tachograph-tolerance: 'x' is no figure; there are: *"),
        (["--tachograph-baseline=test_suite.py"], "*test_suite.py: is no baseline: *"),
    ],
)
def test_options_that_make_no_sense(suite: pytest.Pytester, arguments: list[str], said: str) -> None:
    """No test runs; one line names the option or file, and the fix."""
    result = suite.runpytest_inprocess(*arguments)
    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines([said])


def test_a_baseline_that_is_broken_can_be_made_anew(suite: pytest.Pytester) -> None:
    """An update needs nothing of the file that is there."""
    (suite.path / "kept").mkdir()
    (suite.path / "kept" / "b.json").write_text("<<<<<<< merge conflict")
    suite.runpytest_inprocess(BASELINE, UPDATE).assert_outcomes(passed=4)
    suite.runpytest_inprocess(BASELINE).assert_outcomes(passed=4)


def test_settings_of_the_project(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """File and tolerances may stand in the settings of pytest; the file then is one of the root directory."""
    suite.makepyprojecttoml(
        "[tool.pytest.ini_options]\ntachograph_baseline = 'kept/b.json'\ntachograph_tolerance = '25%'\n"
    )
    suite.runpytest_inprocess(UPDATE).assert_outcomes(passed=4)
    monkeypatch.setenv("DRIFT", "22")
    (suite.path / "elsewhere").mkdir()
    monkeypatch.chdir(suite.path / "elsewhere")
    suite.runpytest_inprocess("..").assert_outcomes(passed=4)
    suite.runpytest_inprocess("..", "--tachograph-tolerance=1%").assert_outcomes(passed=3, failed=1)
