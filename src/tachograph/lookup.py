"""Where settings are looked up: in arguments, then in the environment, then in a TOML file.

The first place that says something of a setting counts. The file is the one that ``TACHOGRAPH_CONFIG`` names, or else
the nearest ``pyproject.toml``, and its table ``[tool.tachograph]``.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tachograph.variables import CONFIG_FILE_VARIABLE, NO_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class Setting:
    """How one field of :class:`tachograph.config.Config` is read and what it means."""

    variable: str
    read: Callable[[Any], Any]
    meaning: str
    secret: bool = False

    def shown(self, value: Any) -> Any:
        """A value of this setting as people may see it."""
        return "***" if self.secret and value is not None else value


def look_up(
    known: Mapping[str, Setting],
    arguments: Mapping[str, Any],
    environ: Mapping[str, str],
    directory: Path | None,
    problem: Callable[[str], None],
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that are said, and the place that each is from.

    Args:
        known: all settings there are, by name.
        arguments: given in code.
        environ: the environment. An empty variable counts as unset.
        directory: where the search for ``pyproject.toml`` starts; the working directory by default.
        problem: told of each bad value and unknown name, as one line; where it returns, the value is left out.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in arguments.keys() - known.keys() - {"wrap"}:
        problem(f"init({name}=…): no such setting; there are: {', '.join(known)}")
    variables = {setting.variable for setting in known.values()}
    for variable in sorted(environ.keys() - variables - NO_SETTINGS):
        if variable.startswith("TACHOGRAPH_"):
            near = difflib.get_close_matches(variable, variables, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(variables))}"
            problem(f"{variable}: no such setting; {hint}")
    table, file = _table(environ, directory, problem)
    for name in table.keys() - known.keys() - {"wrap"}:
        problem(f"{file}: [tool.tachograph] {name}: no such setting; there are: {', '.join(known)}")
    for name, setting in known.items():
        for place, value in (
            (f"init({name}=…)", arguments.get(name)),
            (setting.variable, environ.get(setting.variable) or None),
            (f"{file} [tool.tachograph] {name}", table.get(name)),
        ):
            if value is None:
                continue
            try:
                values[name], sources[name] = setting.read(value), place
            except ValueError as error:
                problem(f"{place}: {str(setting.shown(value))[:80]!r} is not usable: {error}")
            break
    if "wrap" in arguments or "wrap" in table:
        given = "wrap" in arguments
        values["wrap"] = (arguments if given else table)["wrap"]
        sources["wrap"] = "init(wrap=…)" if given else file
    return values, sources


def _table(
    environ: Mapping[str, str], directory: Path | None, problem: Callable[[str], None]
) -> tuple[dict[str, Any], str]:
    """The ``[tool.tachograph]`` table in force and the file it is from."""
    named = environ.get(CONFIG_FILE_VARIABLE)
    file = Path(named) if named else _nearest_project(directory)
    if file is None:
        return {}, ""
    try:
        tool = tomllib.loads(file.read_text("utf-8")).get("tool")
        table = tool.get("tachograph") if isinstance(tool, dict) else None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # Somebody else's broken pyproject.toml is not ours to report; one named for us is.
        if named:
            problem(f"{CONFIG_FILE_VARIABLE}={named}: cannot be read: {error}; give the path of a TOML file")
        return {}, ""
    if table is None:
        if named:
            problem(f"{CONFIG_FILE_VARIABLE}={named}: has no [tool.tachograph]; write that, and the settings under it")
        return {}, ""
    if not isinstance(table, dict):
        problem(f"{file}: tool.tachograph is not a table; write [tool.tachograph] and the settings under it")
        return {}, ""
    return table, str(file)


def _nearest_project(directory: Path | None) -> Path | None:
    try:
        start = directory or Path.cwd()
        files = (place / "pyproject.toml" for place in (start, *start.parents))
        return next((file for file in files if file.is_file()), None)
    except OSError:  # the working directory was removed, or is not ours to look into
        return None
