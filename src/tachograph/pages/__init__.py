"""FAMILY: what people look at in a browser, one page per file, made on the server of what a source answers.

Each ``page`` is a function of a source, of the frame around it and of what was asked, and gives HTML. None computes a
figure: figures are those of the views. What is recorded is a stranger's text: :mod:`~tachograph.pages.markup` escapes
all of it, cuts it and shows what it would hide.
"""

from __future__ import annotations

try:
    import jinja2 as _  # noqa: F401 - here, to say how to get it
except ModuleNotFoundError as error:
    if error.name != "jinja2":
        raise
    raise ModuleNotFoundError(
        "pages and reports need jinja2, which is not installed; pip install 'tachograph[server]'", name=error.name
    ) from None
