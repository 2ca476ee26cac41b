"""What the two models answer: the supervisors' and the micro agents', each in this order."""

from __future__ import annotations

from typing import Final

from scripted_llm import Reply

EXPLAIN: Final = "Explain the architecture of this repository"
RENAME: Final = "Rename add_up to total everywhere, and add a changelog"

_ASK_FILES: Final = """\
Thought: First I need to know which files there are.
<code>
print(search_agent(task="Which Python files does the repository have?"))
</code>"""

_LIST_FILES: Final = """\
Thought: I list them.
<code>
final_answer(file_search(pattern="*.py"))
</code>"""

_READ_ENTRY: Final = """\
Thought: shop.py looks like the entry point.
<code>
print(file_reader(path="shop.py"))
</code>"""

_EXPLAINED: Final = """\
Thought: That is all there is.
<code>
final_answer("shop.py prints a bill; prices.py adds it up.")
</code>"""

_ASK_PLACES: Final = """\
Thought: By the procedure I first ask for the places.
<code>
places = search_agent(task="Where is add_up used?")
print(places)
</code>"""

_GREP: Final = """\
Thought: I look for the name.
<code>
final_answer(text_grep(text="add_up"))
</code>"""

_ASK_EDIT: Final = """\
Thought: Three places in two files, and a changelog to write.
<code>
print(edit_agent(task="Replace add_up by total in prices.py and shop.py, and note it in CHANGELOG.md."))
</code>"""

_LOOK_FIRST: Final = """\
Thought: I see what is in the changelog.
<code>
print(file_reader(path="CHANGELOG.md"))
</code>"""

_EDIT: Final = """\
Thought: There is no changelog yet, so I begin one.
<code>
for path in ["prices.py", "shop.py"]:
    print(file_writer(path=path, text=file_reader(path=path).replace("add_up", "total")))
print(file_writer(path="CHANGELOG.md", text="# Changelog\\n\\n- `add_up` is now called `total`.\\n"))
</code>"""

_EDITED: Final = """\
Thought: All three are written.
<code>
final_answer("prices.py and shop.py say total; CHANGELOG.md is new.")
</code>"""

_CHECK: Final = """\
Thought: The procedure wants me to read what was written.
<code>
print(file_reader(path="shop.py"))
</code>"""

_RENAMED: Final = """\
Thought: It is as it should be.
<code>
final_answer("add_up is now total in prices.py and shop.py, and CHANGELOG.md says so.")
</code>"""


def _reply(text: str, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> Reply:
    return Reply(
        text,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=cached_tokens,
        delay=0.01,
    )


def script() -> dict[str, list[Reply]]:
    """Return the replies of each model, by model id."""
    return {
        "gpt-4.1": [
            _reply(_ASK_FILES, 2110, 41),
            _reply(_READ_ENTRY, 2243, 33, cached_tokens=2048),
            _reply(_EXPLAINED, 2340, 35, cached_tokens=2176),
            _reply(_ASK_PLACES, 2188, 40),
            _reply(_ASK_EDIT, 2379, 58, cached_tokens=2176),
            _reply(_CHECK, 2514, 34, cached_tokens=2304),
            _reply(_RENAMED, 2602, 39, cached_tokens=2432),
        ],
        "gpt-4.1-mini": [
            _reply(_LIST_FILES, 1904, 22),
            _reply(_GREP, 1911, 21),
            _reply(_LOOK_FIRST, 1958, 24),
            _reply(_EDIT, 2101, 97, cached_tokens=1920),
            _reply(_EDITED, 2260, 38, cached_tokens=2048),
        ],
    }
