"""Whether a module is where Python would look for it, found out without importing anything."""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

from tachograph.integrations.wrapping.tables import near

_IS_RUN: Final = "is the program that is run, which is known as __main__ then; put the callable into another module"


def absent(module: str) -> str:
    """Why a module cannot be imported as it seems; empty where it can.

    At the start of Python the program's own directory is not in the path yet, and a server may add the working
    directory later; both are looked into all the same.
    """
    first, *rest = module.split(".")
    if module in sys.modules:
        return ""
    running, asked = _program()
    if module == running:
        return _IS_RUN
    places = _places(first)
    if places is None:
        return f"there is no module {first} where Python looks now; it is wrapped if it comes to be imported"
    known = first
    for part in rest:
        there = [found.name for found in pkgutil.iter_modules(places)]
        inner = [str(Path(place, part)) for place in places]
        if part not in there and not any(Path(place).is_dir() for place in inner):
            return f"there is no module {part} in {known}; {near(part, there)}"
        known, places = f"{known}.{part}", inner
    package = any(Path(place).is_dir() for place in places)
    return _IS_RUN if module == f"{asked}.__main__" or (module == asked and not package) else ""


def _program() -> tuple[str, str]:
    """The module that is run, or else what ``-m`` names while Python has not looked for it yet; empty for neither."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return str(spec.name), ""
    if sys.argv[:1] == ["-m"]:
        return "", sys.orig_argv[-len(sys.argv)].removeprefix("-m")
    file = Path(sys.argv[0] if sys.argv else "")
    return file.stem if file.suffix == ".py" else "", ""


def _places(package: str) -> list[str] | None:
    """Where the modules of a package are; None where it is nowhere."""
    if package in sys.modules:
        return list(getattr(sys.modules[package], "__path__", ()))
    around = [str(Path(sys.argv[0] if sys.argv else "").resolve().parent), str(Path.cwd())]
    spec = importlib.util.find_spec(package) or PathFinder.find_spec(package, around)
    return None if spec is None else list(spec.submodule_search_locations or ())
