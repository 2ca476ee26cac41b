"""Spans of others that have begun and not ended: so that it is known, when one ends, what is still to end around it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MOST: Final = 10_000
"""Spans kept in mind; of those begun before nothing is known, as if they had ended."""


class OpenSpan:
    """One of them.

    ``above`` is the next one around it; ``awaited`` says that something in it waits for its end; ``session`` that it,
    or one around it, has said which session it is of.
    """

    __slots__ = ("above", "awaited", "ended", "session")

    def __init__(self, above: OpenSpan | None, *, session: bool) -> None:
        self.above = above
        self.session: bool = session or (above is not None and above.session)
        self.awaited = False
        self.ended = False

    def around(self) -> OpenSpan | None:
        """The next one around it that has not ended."""
        above = self.above
        while above is not None and above.ended:
            above = above.above
        self.above = above
        return above

    def await_all(self) -> None:
        """Say to all around it that something in them waits."""
        above = self.around()
        while above is not None and not above.awaited:
            above.awaited = True
            above = above.around()


class OpenSpans:
    """Those of one provider, by their ids."""

    def __init__(self) -> None:
        self.spans: OrderedDict[int, OpenSpan] = OrderedDict()
        """All of them; who has no time to ask looks here whether there are any."""

    def begun(self, span_id: int, parent_id: int, *, session: bool) -> OpenSpan:
        """A span began in another.

        Args:
            span_id: its own.
            parent_id: of the one it is in, which may be anybody's.
            session: whether it says which session it is of.
        """
        span = self.spans[span_id] = OpenSpan(self.spans.get(parent_id), session=session)
        if len(self.spans) > _MOST:
            self.spans.popitem(last=False)[1].ended = True
        return span

    def get(self, span_id: int) -> OpenSpan | None:
        """An open one; None for ours, and for one that has ended."""
        span = self.spans.get(span_id)
        return None if span is None or span.ended else span

    def after_fork(self) -> None:
        """A child process: they end in the parent, and nothing here is to wait for that."""
        for span in self.spans.values():
            span.ended = True  # kept, as what begins in them is of the session they say

    def ended(self, span_id: int) -> OpenSpan | None:
        """A span ended; None for one that was not known."""
        span = self.spans.pop(span_id, None)
        if span is not None:
            span.ended = True
        return span
