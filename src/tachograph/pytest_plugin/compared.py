"""A pytest run with a baseline: each test's figures are compared with it, or written to it.

With pytest-xdist the workers compare; what they are to write they hand to the process that started them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_tachograph import BASELINE
from tachograph.pytest_plugin.baselines import (
    EXACT,
    BaselineError,
    Tolerances,
    differences,
    read,
    taken,
    tolerances,
    tolerances_in,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tachograph.views.session import SessionMetrics

_COMPARED: Final = pytest.StashKey["Compared"]()
_HANDED: Final = "tachograph_baseline"


class Compared:
    """The baseline of one run, as a plugin of pytest.

    Args:
        path: of the file.
        allowed: tolerances for all tests.
        update: write it instead of comparing.
        worker: what is to be written goes to who started this process.
    """

    def __init__(self, path: Path, allowed: Tolerances, *, update: bool, worker: bool) -> None:
        self.path = path
        self.allowed = allowed
        self.update = update
        self._worker = worker
        self._taken: dict[str, dict[str, Any]] = {}
        self._told = ""
        try:
            self.known = read(path) if path.exists() or not update else {}
        except BaselineError:
            if not worker and not update:
                raise
            self.known = {}

    def judge(self, item: pytest.Item, metrics: SessionMetrics) -> None:
        """Compare the figures of a test that went well, or keep them to be written."""
        __tracebackhide__ = True
        now, before = taken(metrics), self.known.get(item.nodeid)
        allowed = {**self.allowed, **_marked(item)}
        if self.update:
            # What differs each time is no reason to change the file, unless somebody compares it.
            same = before is not None and not differences(before, now, dict.fromkeys(allowed, EXACT))
            self._taken[item.nodeid] = before if same and before is not None else now
            return
        if before is None:
            pytest.fail(f"{self.path.name} does not know this test; add it with --tachograph-update", pytrace=False)
        found = differences(before, now, allowed)
        if found:
            lines = [f"not as in {self.path.name}:", *(f"  {line}" for line in found)]
            pytest.fail("\n".join([*lines, "if that is right, take it with --tachograph-update"]), pytrace=False)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was taken, or hand it on."""
        if self._worker:
            session.config.workeroutput[_HANDED] = self._taken  # type: ignore[attr-defined]  # pytest-xdist's
        elif self.update and self._taken:
            changed = {id_ for id_, row in self._taken.items() if self.known.get(id_) != row}
            try:
                write(self.path, {**self.known, **self._taken})
            except BaselineError as error:
                raise pytest.UsageError(str(error)) from None
            count = f"{len(self._taken)} tests, {len(changed)} of them new or changed"
            self._told = f"baseline {self.path.name}: wrote the figures of {count}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker is done."""
        self._taken.update(getattr(node, "workeroutput", {}).get(_HANDED, {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was written."""
        if self._told:
            terminalreporter.write_line(self._told)


def configure(config: pytest.Config, named: str | None) -> None:
    """Have a baseline looked after in this run.

    Args:
        config: of pytest.
        named: the file, as it was said.

    Raises:
        pytest.UsageError: for options that make no sense, and a file that is none.
    """
    if not named:
        option = "--tachograph-update" if config.getoption("tachograph_update") else "--tachograph-tolerance"
        raise pytest.UsageError(f"{option}: say which file with --tachograph-baseline=FILE")
    told: str | None = config.getoption("tachograph_baseline")
    place = config.rootpath if told is None else config.invocation_params.dir
    limits = config.getoption("tachograph_tolerance") or config.getini("tachograph_tolerance")
    try:
        compared = Compared(
            place / named,
            tolerances_in(limits, "--tachograph-tolerance") if limits else {},
            update=config.getoption("tachograph_update"),
            worker=hasattr(config, "workerinput"),
        )
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_COMPARED] = compared
    config.pluginmanager.register(compared, "tachograph-baseline")


def known_to(item: pytest.Item) -> None:
    """See that the tolerances of a test are right, before it runs.

    Raises:
        ValueError: for what is no figure or no tolerance.
    """
    _marked(item)


def judge(item: pytest.Item, metrics: SessionMetrics) -> None:
    """Hold a test that went well against the baseline, if there is one."""
    __tracebackhide__ = True
    compared = item.config.stash.get(_COMPARED, None)
    if compared is not None:
        compared.judge(item, metrics)


def _marked(item: pytest.Item) -> Tolerances:
    found: Tolerances = {}
    for mark in item.iter_markers(BASELINE):  # the nearest first
        where = f"@pytest.mark.{BASELINE}"
        if mark.args:
            raise ValueError(f"{where}{mark.args}: give tolerances by name, such as tokens='10%', duration='50%'")
        found = {**tolerances(mark.kwargs, where), **found}
    return found
