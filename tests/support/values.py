"""Values for property tests, and what they are called."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=50)
    | st.text('\0\n"\\\ud800', max_size=9),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9) | st.integers(), inner, max_size=6),
    max_leaves=40,
)
"""Anything made of the built-in types, with the numbers and characters that JSON finds hard."""


def named(value: Any) -> str:
    """What a parameter is called in a test's id: the same in each process, and so without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
