"""Values for property tests."""

from __future__ import annotations

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
