"""Model calls that several instrumentations tell of without one's span being in another's: told apart, or as one.

Some do not make their span the current one, so that the client's own span of the same call is its neighbour. The
provider's id of the answer says which are of one call. A call that failed has no answer: those of one model, in the
same span, one while the other lasts, are taken for one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from tachograph import names

if TYPE_CHECKING:
    from tachograph.records import Operation

_MOST: Final = 5_000
"""Answers kept in mind."""

_MOST_FAILED: Final = 100
"""Calls that failed, likewise."""


class _Failed(NamedTuple):
    """A call that failed, and in which scopes it was told of."""

    model: str
    parent_id: str | None
    start_ns: int
    end_ns: int
    scopes: set[str]


class SameCalls:
    """The calls that were told of."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, dict[str, int]] = OrderedDict()
        self._failed: deque[_Failed] = deque(maxlen=_MOST_FAILED)

    def copy(self) -> SameCalls:
        """The same, to try."""
        copied = SameCalls()
        copied._answers.update({id_: dict(scopes) for id_, scopes in self._answers.items()})
        copied._failed.extend(failed._replace(scopes=set(failed.scopes)) for failed in self._failed)
        return copied

    def told(self, call: Operation, scope: str) -> bool:
        """Whether a call is news; from now on it is none.

        Args:
            call: it.
            scope: of whose span it was read from.
        """
        answer = call.attributes.get(names.RESPONSE_ID)
        if answer:
            return self._answered(answer, scope)
        if call.outcome == "error":
            return self._failing(call, scope)
        return True

    def _answered(self, answer: str, scope: str) -> bool:
        # Some servers give all answers one id: then there are as many calls as the one who tells of most says.
        scopes = self._answers.setdefault(answer, {})
        self._answers.move_to_end(answer)
        if len(self._answers) > _MOST:
            self._answers.popitem(last=False)
        known = max(scopes.values(), default=0)
        scopes[scope] = scopes.get(scope, 0) + 1
        return scopes[scope] > known

    def _failing(self, call: Operation, scope: str) -> bool:
        start_ns, end_ns = call.start_ns, call.end_ns or call.start_ns
        for known in self._failed:
            if (
                scope not in known.scopes
                and (call.name, call.parent_id) == (known.model, known.parent_id)
                and (
                    known.start_ns <= start_ns <= end_ns <= known.end_ns
                    or start_ns <= known.start_ns <= known.end_ns <= end_ns
                )
            ):
                known.scopes.add(scope)
                return False
        self._failed.append(_Failed(call.name, call.parent_id, start_ns, end_ns, {scope}))
        return True
