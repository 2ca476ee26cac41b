"""What is recorded is text on a page, whatever it is made of."""

from __future__ import annotations

import re

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from tachograph.pages import markup
from tachograph.pages.markup import ASSETS, MOST, NAME, asset, asset_version, legible, name, pretty, render

SIGN = "\N{REPLACEMENT CHARACTER}"


def shown(value: object) -> str:
    """A value as any template shows it."""
    return markup._environment().from_string("{{ value }}").render(value=value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\" onload='x'", "&#34; onload=&#39;x&#39;"),
        ("a\u202eb\u2066c\u200f", f"a{SIGN}b{SIGN}c{SIGN}"),
        ("\x1b[31mred\x00", f"{SIGN}[31mred{SIGN}"),
        ("half \ud800 a pair", f"half {SIGN} a pair"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("ש ömlaut 日本", "ש ömlaut 日本"),
        (None, ""),
        (1.5, "1.5"),
        (Markup("<b>ours</b>"), "<b>ours</b>"),
    ],
)
def test_values(value, expected):
    """A value is escaped, and what does not show itself is replaced by a sign that does; our own markup stays."""
    assert expected == shown(value)


@given(st.text())
def test_any_text(text):
    """Of any text nothing is left that a browser takes for markup, that hides or turns around, or that has no bytes."""
    found = shown(text)

    assert not re.search(r"[<>\"']", found)
    assert all(char.isprintable() or char in "\n\t" for char in found)
    assert found == found.encode().decode()


def test_long_texts_are_cut():
    """A huge text is cut to a bound and says how much more there is."""
    found = shown("x" * 1_000_000)

    assert f"{'x' * MOST}… [{1_000_000 - MOST} more characters]" == found


def test_names():
    """A name stands apart from the direction of what is beside it, on one line, and cut."""
    assert Markup("<bdi>&lt;b&gt;\ufffdשם</bdi>") == name("<b>\nשם")
    assert Markup("<bdi>👩\u200d💻 می\u200cرود</bdi>") == name("👩\u200d💻 می\u200cرود")
    assert f"<bdi>{'n' * NAME}… [840 more characters]</bdi>" == name("n" * 1_000)


@pytest.mark.parametrize(
    ("value", "expected"), [("text", "text"), ({"a": [1]}, '{\n  "a": [\n    1\n  ]\n}'), ({1, 2} - {2}, '"{1}"')]
)
def test_values_of_a_payload(value, expected):
    """Text is shown as it is, everything else as JSON, and what JSON does not know as Python writes it."""
    assert expected == pretty(value)


def test_what_is_forgotten_is_an_error():
    """A template that is given too little fails, and shows no page with a hole in it."""
    with pytest.raises(jinja2.UndefinedError):
        render("problem.html", title="t")


@pytest.mark.parametrize("file", ASSETS)
def test_assets(file):
    """What pages ask for is there, and has an address of its own for each of its contents."""
    assert asset(file)
    assert re.fullmatch(r"[0-9a-f]{12}", asset_version(file))


@pytest.mark.parametrize("file", ASSETS)
def test_nothing_is_loaded_from_elsewhere(file):
    """No asset names another host."""
    found = set(re.findall(r"https?://[^\s\"')]+", asset(file).decode()))

    assert found <= {"http://www.w3.org/2000/svg"}


def test_templates_run_nothing():
    """No template has a script or a style of its own, which the pages' policy would forbid."""
    for path in (markup._HERE / "templates").iterdir():
        text = path.read_text("utf-8")
        assert not re.search(r"<script(?! type=\"module\" src=)|\son\w+=|\sstyle=|javascript:", text), path.name
        assert "<style>" not in text or path.name == "report.html"
        assert "|safe" not in text


def test_legible_texts_are_themselves():
    """A text that shows itself is not touched."""
    assert "plain" == legible("plain")
