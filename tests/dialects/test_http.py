"""HTTP conventions; what a request is called by is tested with the operations it gives, in ``test_foreign.py``."""

from __future__ import annotations

import pytest

from support.foreign_spans import span
from tachograph.dialects import understood


@pytest.mark.parametrize(
    ("url", "name"), [("https://u:p@example.org/secret?q", "GET example.org"), ("http://[", "GET"), (7, "GET")]
)
def test_of_an_address_the_host_is_read(url, name) -> None:
    """Host and nothing else, as far as there is one."""
    said = understood(span(1, {"http.method": "GET", "http.url": url}, kind="CLIENT"))

    assert said is not None
    assert ("http", "other", name) == (said.dialect, said.kind, said.name)
    assert "secret" not in str(said.facts)


def test_a_servers_span_is_no_request() -> None:
    """What is served has no place; the session it may be stamped with is what those in it are in."""
    said = understood(span(1, {"http.request.method": "GET", "session.id": "s"}, kind="SERVER"))

    assert said is not None
    assert (None, {"session.id": "s"}) == (said.kind, said.facts)
