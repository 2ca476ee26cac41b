"""Wrapping: any program's own callables, recorded by what tables in its settings say of them.

A table of the language that :mod:`~tachograph.integrations.wrapping.tables` reads::

    [[tool.tachograph.wrap]]
    target = "app.llm:Client.complete"
    as = "model"
    model = "model"
    usage = "result.usage"
"""

from __future__ import annotations

from tachograph.integrations.wrapping.wraps import Wraps

__all__ = ["Wraps"]
