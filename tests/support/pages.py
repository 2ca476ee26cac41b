"""What a page says, without its markup."""

from __future__ import annotations

import html
import re


def words(page: str) -> str:
    """The words of a page, one space apart."""
    bare = re.sub(r"(?s)<style>.*?</style>|<[^>]+>", " ", page)
    return re.sub(r"\s+", " ", html.unescape(bare)).strip()


def rows(page: str) -> list[list[str]]:
    """The rows of all tables of a page, cell by cell."""
    found = re.findall(r"(?s)<tr[^>]*>(.*?)</tr>", page)
    return [[words(cell) for cell in re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in found]
