"""The rules of the house, as code: what a reviewer would otherwise have to remember."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import tachograph
from tachograph import names
from tachograph.config import Config
from tachograph.integrations import REGISTRY
from tachograph.variables import NO_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tachograph"
TESTS = ROOT / "tests"
MODULES = {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text("utf-8")) for path in SOURCE.rglob("*.py")}
TEST_FILES = sorted(TESTS.rglob("test_*.py"))
README = (ROOT / "README.md").read_text("utf-8")


def texts(tree: ast.Module) -> Iterator[str]:
    """The string constants of a module that say something to the program: all but docstrings."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def within(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every node of a module with the name of the innermost function or class it is in."""

    def walk(node: ast.AST, place: str) -> Iterator[tuple[str, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            name = f"{place}.{child.name}".strip(".") if inside else place
            yield name, child
            yield from walk(child, name)

    return walk(tree, "")


# ------------------------------------------------------------------------------------------------------------- names
NO_WIRE_NAMES = {
    "approvals.py": {"tachograph: %s"},
    "guard.py": {"tachograph.failure_swallowed at %s: %s"},
    "integrations/__init__.py": {"tachograph.integrations.smolagents"},
    "integrations/wrapping/calls.py": {
        'tachograph: %s: gave a %s, and was over with that; write until = "exhausted" to follow it'
    },
    "integrations/wrapping/found.py": {'tachograph: %s: %s = "%s": %s'},
    "lines.py": {"tachograph.requests"},
    "runtime/__init__.py": {"tachograph: "},
    "runtime/assembly.py": {"tachograph: %s", "tachograph.session_misused: %s; enter and leave it in one"},
    "sessions.py": {
        "tachograph.id_cleaned: an id that was %s; give a text of 1 to 200 printable characters",
    },
}
"""What looks like a name on the wire and is none: lines of the log, lines for people, a module's path."""

WIRE_NAMES = {
    *names.ATTRIBUTES,
    *names.FORMER,
    *names.METRICS,
    *names.LATEST_METRICS,
    names.AUDIT_HEAD,
    names.MODEL_DETAILS,
    names.MODEL_EXCEPTION,
    *(f"tachograph.{event}" for event in names.EVENTS),
}


def test_names_on_the_wire_are_spelled_in_one_place() -> None:
    """An attribute, metric or event is named by its constant of ``names``, never by its spelling."""
    spelled = {
        module: found
        for module, tree in MODULES.items()
        if module != "names.py"
        and (
            found := {
                text
                for text in texts(tree)
                if text in WIRE_NAMES
                or (
                    re.match(r"gen_ai\.", text) and not module.startswith("dialects/")
                )  # theirs, where they are not ours
                or re.match(r"tachograph[.:]", text)
                or re.fullmatch(r"tachograph\.\w+", text)
            }
        )
    }

    assert NO_WIRE_NAMES == spelled


def test_constants_of_names_are_in_its_tables() -> None:
    """A dotted name in ``names`` is a row of one of its tables, so that documentation and checks know it."""
    dotted = {text for text in texts(MODULES["names.py"]) if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", text)}

    assert dotted <= {*WIRE_NAMES}


# --------------------------------------------------------------------------------------------------------- exceptions
SWALLOWS = {
    ("guard.py", "Guard.__call__"): "the one place; what it keeps is counted and logged",
    ("guard.py", "Guard.keep"): "likewise",
    ("safe.py", "safe.decorate.guarded"): "the program's own failure, which it wants kept: handed to the guard",
    ("subscriptions.py", "Subscription._deliver"): "the handler's failure: handed to the guard",
    ("subscriptions.py", "Subscription._deliver_on_loop"): "likewise",
    ("built.py", "Built.build"): "said in one line: the host runs on without that exporter",
    ("cli/doctor.py", "examine"): "shown as a problem: to say what cannot be imported is the command's purpose",
    ("integrations/smolagents/run.py", "text_of"): "the program's property fails: it costs a name and no more",
    ("streams.py", "_generator"): "handed on to the host's generator, which it was thrown into",
    ("streams.py", "Stream._simply"): "likewise; where it fails to skip an item, that is looked at through the guard",
    ("streams.py", "_async_generator"): "likewise",
}
"""Where an exception of any kind may be caught and not raised again, and why."""


def _catches_everything(handler: ast.AST) -> bool:
    if isinstance(handler, ast.ExceptHandler):
        caught = [] if handler.type is None else [*getattr(handler.type, "elts", (handler.type,))]
        everything = handler.type is None or any(getattr(kind, "id", "") in _EVERYTHING for kind in caught)
        last = handler.body[-1]
        return everything and not (isinstance(last, ast.Raise) and last.exc is None)
    if isinstance(handler, ast.Call) and ast.unparse(handler.func).endswith("suppress"):
        return any(getattr(kind, "id", "") in _EVERYTHING for kind in handler.args)
    return False


_EVERYTHING = ("Exception", "BaseException")


def test_exceptions_are_swallowed_in_few_places() -> None:
    """Outside the guard nothing swallows exceptions of any kind, but for a short list with reasons."""
    found = {
        (module, place) for module, tree in MODULES.items() for place, node in within(tree) if _catches_everything(node)
    }

    assert SWALLOWS.keys() == found


# -------------------------------------------------------------------------------------------------------------- door
def test_the_door_is_sorted_and_complete() -> None:
    """``__all__`` is sorted and has every public name of the package, and nothing else."""
    public = {
        name
        for name, value in vars(tachograph).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and str(getattr(value, "__module__", "")).startswith("tachograph")
    }

    assert sorted(tachograph.__all__) == tachograph.__all__
    assert public | {"__version__", "events"} == set(tachograph.__all__)


def test_everything_public_is_documented() -> None:
    """Every public function and class says what it does, and the README shows every public function."""
    for name in tachograph.__all__:
        value = getattr(tachograph, name)
        if callable(value):
            assert value.__doc__, name
        if callable(value) and not isinstance(value, type):
            assert re.search(rf"(tachograph\.|`){name}\b", README), f"{name} is not in the README"


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is(module: str) -> None:
    """A file begins with a sentence that says what it is for."""
    documentation = ast.get_docstring(MODULES[module])

    assert documentation
    assert documentation.splitlines()[0].endswith((".", "?", ":", "``")), documentation.splitlines()[0]


# ------------------------------------------------------------------------------------------------------------- tests
TESTED_ELSEWHERE = {
    "__init__.py": "test_house.py",
    "__main__.py": "cli/test_doctor.py",
    "auto.py": "e2e/test_ways_in.py",
    "instrumentor.py": "e2e/test_ways_in.py",
    "records.py": "test_codec.py",
    "variables.py": "test_house.py",
    "version.py": "cli/test_run.py",
    "cli/__init__.py": "cli/test_main.py",
    "cli/started.py": "cli/test_run.py",
    "cli/start/sitecustomize.py": "cli/test_run.py",
    "dialects/__init__.py": "dialects/test_recorded.py",
    "export/__init__.py": "export/test_session.py",
    "integrations/__init__.py": "test_frameworks.py",
    "pages/__init__.py": "pages/test_markup.py",
    "pytest_plugin/__init__.py": "pytest_plugin/test_hooks.py",
    "runtime/__init__.py": "runtime/test_current.py",
    "server/__init__.py": "test_house.py",
    "server/receiver/__init__.py": "server/receiver/test_routes.py",
    "sources/__init__.py": "sources/test_sqlite.py",
    "store/__init__.py": "test_house.py",
    "views/__init__.py": "test_house.py",
}
"""Modules without a test file of their own name, and where they are tested: values, doors and starters."""


def _test_of(module: str) -> str:
    path = Path(module)
    if path.parts[0] in ("integrations", "sources") and len(path.parts) > 2:  # one of several files has one test file
        return f"{path.parts[0]}/test_{path.parts[1]}.py"
    return (path.parent / f"test_{path.name}").as_posix()


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_test_file(module: str) -> None:
    """Tests mirror the tree: whoever looks for the tests of a file finds them under its name."""
    assert (TESTS / TESTED_ELSEWHERE.get(module, _test_of(module))).is_file()


def test_no_exception_is_out_of_date() -> None:
    """A module that has a test file of its own needs no exception, and one that is gone neither."""
    assert [] == [
        module for module in TESTED_ELSEWHERE if module not in MODULES or (TESTS / _test_of(module)).is_file()
    ]


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.relative_to(TESTS).as_posix())
def test_every_test_says_its_rule(file: Path) -> None:
    """A test has a docstring of one sentence, which is the rule it proves."""
    silent = [
        node.name
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
        and not re.search(r"[.?]$", (ast.get_docstring(node) or "").strip())
    ]

    assert [] == silent


# ------------------------------------------------------------------------------------------------------------ README
@pytest.mark.parametrize("setting", Config.settings())
def test_every_setting_is_in_the_readme(setting: str) -> None:
    """The README's table has a row for each setting, with its variable and the default that is in force."""
    rows = [line for line in README.splitlines() if line.startswith(f"| `{setting}` |")]
    default = getattr(Config(), setting)

    assert 1 == len(rows)
    _, _, variable, shown, meaning, _ = (cell.strip() for cell in rows[0].split("|"))
    assert f"`{Config.settings()[setting].variable}`" == variable
    assert meaning
    if isinstance(default, bool):
        assert str(int(default)) == shown
    elif isinstance(default, (int, float)):
        assert f"{default:,}" == shown
    elif isinstance(default, str):
        assert default == shown
    elif default:
        assert ",".join(default) == shown


def test_the_readme_has_no_setting_that_is_gone() -> None:
    """What the README says can be set can be set."""
    variables = set(re.findall(r"\bTACHOGRAPH_[A-Z_]+\b", README))

    assert variables == {
        *NO_SETTINGS,
        *(setting.variable for setting in Config.settings().values() if setting.variable.startswith("TACHOGRAPH_")),
    }


@pytest.mark.parametrize("integration", REGISTRY, ids=lambda integration: integration.name)
def test_every_integration_is_in_the_readme(integration: object) -> None:
    """The README's table has a row for each framework, with the versions that are tested."""
    oldest, newest = (".".join(map(str, version)) for version in (integration.oldest, integration.newest))
    row = rf"^\| {integration.name} \| {re.escape(oldest)} – {re.escape(newest)} \| \S"  # noqa: RUF001

    assert 1 == len(re.findall(row, README, flags=re.MULTILINE))
