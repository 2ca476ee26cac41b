"""Templates to HTML, and what is recorded to text in it: escaped, cut, nothing in it hidden.

A name, an argument, a result may be anything a model made up. The template engine escapes all values; before that,
every text is cut to a bound and what does not show itself (escapes, marks that turn the direction of writing around,
halves of characters) is replaced by a sign that does. Names stand apart from the direction of what is beside them.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tachograph import figures
from tachograph.redact import cut, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST: Final = 20_000
"""Characters of one text on a page."""

NAME: Final = 160
"""Characters of a name."""

_HERE: Final = Path(__file__).parent
_LAYOUT: Final = "\n\t"
"""What does not print, and may stand in a text."""


def render(template: str, **values: Any) -> str:
    """A page from a template of ``templates/``.

    Raises:
        jinja2.UndefinedError: for a value that the template has and that is not given: a fault of ours.
    """
    return _environment().get_template(template).render(**values)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "name": name,
        "number": number,
        "duration": figures.duration,
        "cost": figures.cost,
        "price": figures.price,
        "tokens": figures.tokens,
        "cut_short": figures.cut_short,
        "dollars": dollars,
        "local": figures.local,
        "pretty": pretty,
    }
    return made


def legible(text: str, most: int = MOST) -> str:
    """A text with at most so many characters, what does not print in it replaced by a sign that does."""
    return printable(cut(text, most), kept=_LAYOUT)


def _finalized(value: Any) -> Any:
    if isinstance(value, (Markup, int)):
        return value
    return "" if value is None else legible(value if isinstance(value, str) else str(value))


def name(value: Any) -> Markup:
    """A name, on its own whatever it is made of: it turns nothing around beside it."""
    text = printable(cut(str(value), NAME))
    return Markup(f"<bdi>{escape(text)}</bdi>")  # noqa: S704 - escaped; there are hundreds of these on a page


def number(value: float | None) -> str:
    """A whole number with its thousands apart; a dash for what is unknown."""
    return "-" if value is None else f"{value:,.0f}"


def dollars(amount: float | None) -> str:
    """What the calls of one model cost; a dash for what is unknown."""
    return "-" if amount is None else f"{amount:,.4f}"


def pretty(value: Any) -> str:
    """A value of a payload: text as it is, anything else as JSON over several lines."""
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2, ensure_ascii=False, default=repr)


# ------------------------------------------------------------------------------------------------------- assets
ASSETS: Final[Mapping[str, str]] = {
    "style.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Files that pages ask for, and what they are."""


@lru_cache(maxsize=len(ASSETS))
def asset(file: str) -> bytes:
    """The content of one of the :data:`ASSETS`."""
    return (_HERE / "assets" / file).read_bytes()


@lru_cache(maxsize=len(ASSETS))
def asset_version(file: str) -> str:
    """What changes when an asset does."""
    return hashlib.sha256(asset(file)).hexdigest()[:12]


def style() -> Markup:
    """The style sheet, to stand within a page."""
    return Markup(asset("style.css").decode())  # noqa: S704 - our own file
