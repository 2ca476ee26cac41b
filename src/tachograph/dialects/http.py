"""HTTP conventions of OpenTelemetry, as they are and as they were. Nothing of an address but its host is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tachograph import names
from tachograph.dialects import said

if TYPE_CHECKING:
    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan

NAME: Final = "http"
TELLING: Final = frozenset({names.HTTP_METHOD, *(old for old, now in names.FORMER.items() if now == names.HTTP_METHOD)})

_WANTED: Final = (names.HTTP_METHOD, names.SERVER_ADDRESS, names.SERVER_PORT)


def understood(span: ReadSpan) -> Said | None:
    """What a span says by these conventions; one of a server is none of its requests."""
    found = said.translated(span.attributes, names.FORMER)
    if span.kind != "CLIENT":
        return said.nothing(NAME, found)
    if names.SERVER_ADDRESS not in found and (host := _host(found.get(names.URL))):
        found[names.SERVER_ADDRESS] = host
    request = said.other(NAME, found, _WANTED, "")
    words = (request.facts.get(names.HTTP_METHOD), request.facts.get(names.SERVER_ADDRESS))
    return request._replace(name=" ".join(filter(None, words)) or span.name)


def _host(url: Any) -> str | None:
    try:
        return urlsplit(url).hostname if isinstance(url, str) else None
    except ValueError:
        return None
