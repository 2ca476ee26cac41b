"""Tables fit the width there is, whatever stands in them, and nothing in them does harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from tachograph.cli import screen
from tachograph.cli.screen import Column, Table

COLUMNS = (
    Column("name", least=6),
    Column("calls", right=True),
    Column("user", least=4, rank=2),
    Column("time", right=True, rank=1),
)
ROWS = [["short", 12, "ada", "1.00 s"], ["a much longer name than that", 1_234, "somebody", "99 ms"]]


def lines(width: int, rows=ROWS, columns=COLUMNS, **more) -> list[str]:
    return [line.plain for line in Table(columns, rows, **more).lines(width)]


def test_a_table_with_room_is_as_wide_as_its_texts():
    """Columns are as wide as their widest cell, numbers flush right, and no line ends in blanks."""
    assert [
        "Calls",
        "name                          calls  user        time",
        "short                            12  ada       1.00 s",
        "a much longer name than that  1,234  somebody   99 ms",
    ] == lines(200, title="Calls")


def test_long_texts_are_cut_first():
    """Where there is too little room, what may be cut is, visibly, the widest first."""
    assert [
        "name             calls  user        time",
        "short               12  ada       1.00 s",
        "a much longer…   1,234  somebody   99 ms",
    ] == lines(40)


def test_columns_of_the_highest_rank_are_left_out_when_cutting_does_not_help():
    """Whole columns go when the rest would not fit, in the order of their ranks."""
    assert ["name      calls    time", "short        12  1.00 s", "a much…   1,234   99 ms"] == lines(23)
    assert ["name    calls", "short      12", "a muc…  1,234"] == lines(13)


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("997,123 tokens", 4, "…"),
        ("model big  1,620 tokens", 14, "model big…"),
        ("model big  1,620 tokens", 18, "model big  1,620…"),
        ("session-12345", 10, "session-1…"),
        ("0.0021", 3, "…"),
    ],
)
def test_a_number_is_never_cut(text, width, shown):
    """A number that does not fit is left out, as its beginning would read as another; in a name it may be cut."""
    assert shown == screen.cut(Text(text), width).plain


def test_no_columns_are_no_width(monkeypatch, capsys):
    """COLUMNS=0, as some shells have it where there is no terminal, cuts nothing."""
    monkeypatch.setenv("COLUMNS", "0")
    screen.print_lines(screen.console(), [Text("x" * 300)])
    assert f"{'x' * 300}\n" == capsys.readouterr().out


def test_wide_characters_take_two_cells():
    """Columns stay aligned beside Chinese and emoji, whole or cut."""
    rows = [["会话一二三四五六七", 1, "🚀", "1 s"], ["plain", 22, "é", "2 s"]]

    assert [
        "name                calls  user  time",
        "会话一二三四五六七      1  🚀     1 s",
        "plain                  22  é      2 s",
    ] == lines(80, rows)
    assert ["name    calls  time", "会话…       1   1 s", "plain      22   2 s"] == lines(19, rows)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "�[31mred�[0m"),
        ("[red]markup[/red]", "[red]markup[/red]"),
        ("\u202eright to left", "�right to left"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("bell\a \x9b31m", "bell� �31m"),
        (":rocket:", ":rocket:"),
    ],
    ids=["escapes", "markup", "direction", "lines", "controls", "emoji codes"],
)
def test_nothing_is_obeyed(text, shown, capsys):
    """What others wrote is shown as it is, without what a terminal or the markup would obey."""
    screen.print_lines(screen.console(), [screen.safe(text)])

    assert f"{shown}\n" == capsys.readouterr().out


def test_what_is_no_terminal_is_never_cut_nor_coloured(capsys):
    """A long line goes to a pipe as a whole, in one line."""
    screen.print_lines(screen.console(), [screen.safe("x" * 5_000, "bold red")])

    assert "x" * 5_000 + "\n" == capsys.readouterr().out


def test_columns_says_how_wide_a_pipe_is(capsys, monkeypatch):
    """COLUMNS limits what is no terminal too."""
    monkeypatch.setenv("COLUMNS", "20")
    screen.print_lines(screen.console(), [screen.safe("x" * 50)])

    assert "x" * 19 + "…\n" == capsys.readouterr().out


def test_json_is_ascii(capsys):
    """JSON has no character that a terminal would obey, and reads back as it was."""
    screen.print_json({"name": "\x1b[31m\u202e\x9b 会话"})

    assert '{\n  "name": "\\u001b[31m\\u202e\\u009b \\u4f1a\\u8bdd"\n}\n' == capsys.readouterr().out


def test_sentences_are_broken_between_words():
    """A sentence stands beside its label, in as many lines as it needs."""
    text = screen.safe("one two three four five six seven eight nine")

    assert ["a: one two three four five", "   six seven eight nine"] == [
        line.plain for line in screen.hanging(screen.safe("a: "), text, 28)
    ]
    assert ["a: one two three four five six seven eight nine"] == [
        line.plain for line in screen.hanging(screen.safe("a: "), text, 80)
    ]


@given(
    width=st.integers(1, 120),
    rows=st.lists(st.tuples(st.text(max_size=40), st.integers(0, 10**9), st.text(max_size=20), st.text(max_size=9))),
)
def test_a_table_never_overruns_and_stays_aligned(width, rows):
    """No line is wider than the width, unless what may neither be cut nor left out alone is."""
    made = Table(COLUMNS, rows).lines(width)

    least = 6 + screen.GAP + max(5, *(len(f"{row[1]:,}") for row in rows), 0)
    assert max(cell_len(line.plain) for line in made) <= max(width, least)
