"""Database conventions; what a query is called by is tested with the operations it gives, in ``test_foreign.py``."""

from __future__ import annotations

from support.foreign_spans import span
from tachograph import names
from tachograph.dialects import understood


def test_no_statement_is_read() -> None:
    """Product, operation and table are read by former names too; the statement is not."""
    attributes = {"db.system": "sqlite", "db.operation": "SELECT", "db.sql.table": "users", "db.statement": "secret"}

    said = understood(span(1, attributes))

    assert said is not None
    assert ("database", "other", "SELECT users") == (said.dialect, said.kind, said.name)
    assert {"sqlite", "SELECT", "users"} == set(said.facts.values())


def test_a_system_that_is_no_text_is_called_something() -> None:
    """A query has a name whatever its span says."""
    said = understood(span(1, {names.DB_SYSTEM: None}))

    assert said is not None
    assert "database" == said.name
