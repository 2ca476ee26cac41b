"""Tables as people write them, and what they write wrongly: one clear line each, and the rest goes on."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from support.programs import Finished, Programs, script
from support.values import named
from support.written import host
from tachograph.config import Config, ConfigError
from tachograph.integrations.wrapping import words
from tachograph.integrations.wrapping.elsewhere import elsewhere
from tachograph.integrations.wrapping.modules import absent
from tachograph.integrations.wrapping.paths import NOTHING, PathError, sources
from tachograph.integrations.wrapping.tables import read
from tachograph.integrations.wrapping.targets import TargetError, find
from tachograph.names import EVENTS
from tachograph.testing import capture

if TYPE_CHECKING:
    from pathlib import Path

OF = {"target": "app.bots:Bot.run"}


def lines(written: Any) -> list[str]:
    """What is said about ``wrap``, without where that is from."""
    said: list[str] = []
    read(written, "file", said.append)
    return [line.removeprefix("file: ").removeprefix("wrap 1 (app.bots:Bot.run): ") for line in said]


# ------------------------------------------------------------------------------------------------- wrong tables
WRONG: dict[str, tuple[Any, str]] = {
    "one table": (
        {"target": "a:b"},
        "wrap is no list of tables; write [[tool.tachograph.wrap]], in two pairs of brackets",
    ),
    "a text": ("app:run", "wrap is no list of tables; write [[tool.tachograph.wrap]], in two pairs of brackets"),
    "a list of texts": (["a"], "wrap 1: is no table; write [[tool.tachograph.wrap]] and the words under it"),
    "no target": (
        [{"as": "tool"}],
        'wrap 1: target = None: expected "package.module:function" or "package.module:Class.method"',
    ),
    "a target without a colon": (
        [{"target": "app.run", "as": "tool"}],
        'wrap 1: target = \'app.run\': expected "package.module:function" or "package.module:Class.method"',
    ),
    "no as": ([OF], "as = None: there are: agent, model, tool, task, event"),
    "a wrong as": ([{**OF, "as": "modle"}], "as = 'modle': did you mean 'model'?"),
    "as a number": ([{**OF, "as": 1}], "as = 1: there are: agent, model, tool, task, event"),
    "a wrong word": (
        [{**OF, "as": "agent", "sesion_id": "x"}],
        "sesion_id: no such word for as = \"agent\"; did you mean 'session_id'?",
    ),
    "another's word": (
        [{**OF, "as": "task", "usage": "result"}],
        (
            'usage: no such word for as = "task"; there are: target, as, session_id, correlation_id, user_id, name, '
            "id, description, category, folder, outcome, fields, if, until"
        ),
    ),
    "no path": (
        [{**OF, "as": "agent", "name": "self..name"}],
        (
            "name = 'self..name': no path; expected a name and then .name, .0 or [\"key\"]; "
            'a constant is written "=self..name"'
        ),
    ),
    "an empty path": (
        [{**OF, "as": "agent", "name": ""}],
        'name = \'\': no path; expected a name and then .name, .0 or ["key"]; a constant is written "="',
    ),
    "a call": (
        [{**OF, "as": "agent", "name": "self.get()"}],
        (
            "name = 'self.get()': no path; expected a name and then .name, .0 or [\"key\"]; "
            'a constant is written "=self.get()"'
        ),
    ),
    "a table for a path": (
        [{**OF, "as": "agent", "name": {"x": 1}}],
        "name = {'x': 1}: expected a path such as \"result.usage\", not dict",
    ),
    "no paths": ([{**OF, "as": "agent", "name": []}], "name = []: expected at least one path"),
    "of no argument": (
        [{**OF, "as": "agent", "name": "argument"}],
        "name = 'argument': expected the name of an argument after argument",
    ),
    "too late": (
        [{**OF, "as": "agent", "session_id": "result.session"}],
        "session_id = 'result.session': is to be known when the call begins, and this only comes of it",
    ),
    "a model too late": (
        [{**OF, "as": "model", "model": "result.model"}],
        (
            "model = 'result.model': is to be known when the call begins, and this only comes of it; "
            "what the answer says is its response_model"
        ),
    ),
    "a condition too late": (
        [{**OF, "as": "tool", "if": "result"}],
        "if = 'result': is to be known when the call begins, and this only comes of it",
    ),
    "a switch too late": (
        [{**OF, "as": "agent", "switch": {"from": "after.x"}}],
        "switch.from = 'after.x': is to be known when the call begins, and this only comes of it",
    ),
    "a switch from nobody": (
        [{**OF, "as": "agent", "switch": {"to": "x"}}],
        "switch: from is missing, the agent that had the work before",
    ),
    "a wrong word of a switch": (
        [{**OF, "as": "agent", "switch": {"from": "x", "because": "y"}}],
        "switch.because: no such word; there are: from, to, reason",
    ),
    "a switch that is none": (
        [{**OF, "as": "agent", "switch": "from"}],
        "switch = 'from': expected a table, as in switch = { … = \"…\" }",
    ),
    "a wrong style": (
        [{**OF, "as": "model", "usage_style": "sum"}],
        "usage_style = 'sum': there are: total, delta",
    ),
    "a wrong end": ([{**OF, "as": "tool", "until": "exausted"}], "until = 'exausted': did you mean 'exhausted'?"),
    "a field that is no name": (
        [{**OF, "as": "tool", "fields": {"cache hit": "x"}}],
        "fields.cache hit: cannot be the name of a field",
    ),
    "no event": (
        [{**OF, "as": "event"}],
        "event = None: there are: " + ", ".join(words.EMITTED),
    ),
    "a wrong event": (
        [{**OF, "as": "event", "event": "agent_swiched"}],
        "event = 'agent_swiched': did you mean 'agent_switched'?",
    ),
    "a derived event": (
        [{**OF, "as": "event", "event": "llm_request_started"}],
        "event = 'llm_request_started' is told of operations by itself; write as = \"model\"",
    ),
    "a wrong when": (
        [{**OF, "as": "event", "event": "session_created", "when": "afterwards"}],
        "when = 'afterwards': did you mean 'after'?",
    ),
    "a payload that lacks something": (
        [{**OF, "as": "event", "event": "agent_switched", "payload": {"to_agent": "x"}}],
        "payload: agent_switched needs from_agent",
    ),
    "an id in a payload": (
        [{**OF, "as": "event", "event": "session_created", "payload": {"session_id": "x"}}],
        "payload.session_id: is a word of the table itself",
    ),
    "a field of the log in a payload": (
        [{**OF, "as": "event", "event": "session_created", "payload": {"timestamp": "x"}}],
        "payload.timestamp: cannot be the name of a field",
    ),
    "a result before": (
        [{**OF, "as": "event", "event": "session_created", "when": "before", "payload": {"x": "result"}}],
        'payload.x = "result": is not known yet, or not any more, when = "before"',
    ),
    "an error after": (
        [{**OF, "as": "event", "event": "session_created", "payload": {"x": "error"}}],
        'payload.x = "error": is not known yet, or not any more, when = "after"',
    ),
    "a condition that compares with a list": (
        [{**OF, "as": "event", "event": "session_created", "if": {"result": [1]}}],
        "if.result = [1]: expected a text, a whole number, true or false",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_in_one_line(what: str) -> None:
    """A word, path or table that cannot be used is said in one line that names it and what is expected."""
    written, expected = WRONG[what]

    assert [expected] == lines(written)


def test_what_is_wrong_costs_no_more_than_it_has_to() -> None:
    """A wrong word costs the word, a wrong table the table, and nothing costs the others."""
    said: list[str] = []
    written = [{"target": "a:b"}, {**OF, "as": "agent", "name": "a b", "session_id": "s"}, {**OF, "as": "nothing"}, 1]

    tables = read(written, "file", said.append)

    labels = [f"wrap {number} ({target})" for number, target in ((1, "a:b"), (2, OF["target"]), (3, OF["target"]))]
    assert [*(f"file: {label}" for label in labels), "file: wrap 4"] == list(tables)
    (table,) = filter(None, tables.values())
    assert (["session_id"], []) == ([entry.called for entry in table.ids], list(table.entries))
    assert 4 == len(said)


def test_every_event_can_be_told_or_is_derived() -> None:
    """Every event of the audit log is told by a table of its own, or comes of an operation that one can be."""
    derived = {event for event, (category, _) in EVENTS.items() if category in words.DERIVED} - set(words.EMITTED)

    assert set() == EVENTS.keys() - derived - words.EMITTED.keys()


# ----------------------------------------------------------------------------------------------------------- paths
class Thing:
    here: ClassVar = {"a": [1, {"b": 2}], "0": "zero", 7: "seven"}


class Mapped(dict):  # type: ignore[type-arg]
    """A table with a mind of its own."""

    size = 3

    def __getitem__(self, key: Any) -> Any:
        raise AssertionError

    __contains__ = get = __missing__ = __getitem__


PATHS: list[tuple[Any, Any]] = [
    ("thing.here.a.0", 1),
    ("thing.here.a[0]", 1),
    ("thing.here.a[-1].b", 2),
    ('thing.here["a"][1]["b"]', 2),
    ("thing.here['a'].5", NOTHING),
    ("thing.here.0", "zero"),
    ("thing.here.7", "seven"),
    ("thing.there", NOTHING),
    ("thing.here.items", NOTHING),
    ("thing.nothing.more", None),
    ("len(thing.here)", 3),
    ("len(thing.here.a)", 2),
    ("len(thing)", NOTHING),
    ("len(thing.nothing)", None),
    ("mapped.a", 1),
    ("mapped.size", 3),
    ("mapped.b", NOTHING),
    ("unknown", NOTHING),
    ("argument.thing.here.0", "zero"),
    ("=thing", "thing"),
    ("=", ""),
    ("== b", "= b"),
    (True, True),
    (3, 3),
    (0.5, 0.5),
    (["thing.there", "thing.nothing", "=x"], "x"),
    (["thing.there", "thing.nothing"], None),
    (["thing.there"], NOTHING),
    (f"{__name__}:Thing.here.0", "zero"),
    ("no.such.module:Thing", NOTHING),
    ("имя.поле", "значение"),
]


@pytest.mark.parametrize(("written", "expected"), PATHS, ids=named)
def test_paths(written: Any, expected: Any) -> None:
    """A step takes an entry, else an item, else an attribute; None goes on as None, and nothing else is asked."""
    thing = Thing()
    thing.nothing = None  # type: ignore[attr-defined]
    arguments = {"thing": thing, "mapped": Mapped(a=1), "имя": {"поле": "значение"}}

    (source,) = sources(written)
    assert expected == source.found(lambda path: arguments.get(path.name, NOTHING))


@pytest.mark.parametrize(
    "written", ["a.", ".a", "a[", "a[b]", "a b", "a.b()", "1a", "len(a", "a:b:c", "a.b:", None, {}]
)
def test_what_is_no_path(written: Any) -> None:
    """What cannot be read as a path is refused."""
    with pytest.raises(PathError):
        sources(written)


# --------------------------------------------------------------------------------------------------------- targets
THERE = """
import functools, math

def run(): pass
half = functools.partial(run)
root = math.sqrt
number = 3

class Bot:
    def run(self): pass
    @property
    def state(self): return 1
    @functools.cached_property
    def made(self): return 1
    @functools.singledispatchmethod
    def many(self, x): pass
    quick = functools.partialmethod(run)
    @classmethod
    def __init_subclass__(cls): pass
    class Part: pass

class Called:
    __call__ = functools.partial(run)

bot, called, upper = Bot(), Called(), str.upper
bot.own = run
method = bot.run
"""

NOT_TO_BE_WRAPPED = {
    "rum": "module MODULE has no rum; did you mean 'run'?",
    "Bto.run": "module MODULE has no Bto; did you mean 'Bot'?",
    "Bot.walk": "Bot has no walk; there are: run, state, made, many, quick, Part",
    "Bot.Part.run": "Bot.Part has no run; there are none",
    "Bot.__int__": "Bot has no __int__; did you mean '__init__'?",
    "Bot": "is a class; name one of its methods, such as Bot.__init__",
    "Bot.Part": "is a class; name one of its methods, such as Part.__init__",
    "Bot.__repr__": "is written in C, and cannot be replaced; name a function that calls it",
    "Bot.__init_subclass__": "__init_subclass__ is called by Python itself; name a method that does the work",
    "Bot.state": "state is a property; name a method, such as one that it calls",
    "Bot.made": "made is a property; name a method, such as one that it calls",
    "Bot.quick": "quick is a partialmethod; name the method that it calls",
    "Bot.many": "is no callable, but of type singledispatchmethod",
    "bot.own": "own belongs to the object bot itself; name what is in its class",
    "bot.walk": "bot has no walk; there are: run, state, made, many, quick, Part",
    "called": "is of type Called, which cannot be hooked; name a function that it calls",
    "method": "is a method of an object; name it in its class: MODULE:Bot.run",
    "half": "is a functools.partial; name what it calls: MODULE:run",
    "root": "is written in C, and cannot be replaced; name a function that calls it",
    "upper": "is written in C, and cannot be replaced; name a function that calls it",
    "number": "is no callable, but of type int",
}


def test_no_object_is_asked_what_it_is(tmp_path: Path) -> None:
    """A target that makes itself when it is asked for anything is not made by looking at it."""
    lazy = """
        class Lazy:
            def __call__(self): pass
            def __getattribute__(self, name): raise AssertionError(name)
        agent = Lazy()
    """
    with host(tmp_path) as written:
        module = written.load(lazy)
        assert module.agent is find(module, "agent").single


@pytest.mark.parametrize("place", NOT_TO_BE_WRAPPED)
def test_what_cannot_be_wrapped(tmp_path: Path, place: str) -> None:
    """A target that is not there, or is nothing that can be wrapped, is said, with what can be."""
    with host(tmp_path) as written, pytest.raises(TargetError) as refused:
        find(written.load(THERE), place)

    assert NOT_TO_BE_WRAPPED[place] == str(refused.value).replace(written.name, "MODULE")


def test_a_module_whose_names_come_when_asked_for(tmp_path: Path) -> None:
    """A name that a module only looks for when it is asked is not asked for: where it is defined is to be named."""
    lazily = "def __getattr__(name): raise AssertionError('asked')"
    with host(tmp_path) as written, pytest.raises(TargetError, match="has no Bot; it looks for names when") as refused:
        find(written.load(lazily), "Bot.run")

    assert str(refused.value).endswith("asked for: write the module where Bot is defined")


ELSEWHERE = """
import dataclasses, functools
REGISTRY = {}
def plain(): pass
def recursive(): return recursive()
@functools.cache
def cached(): pass
def listed(): pass
LIST = [listed]
def registered(): pass
REGISTRY["x"] = registered
def half(x): pass
PART = functools.partial(half, 1)
def default(): pass
def caller(work=default, *, later=default): pass
def one(): pass
two = one
def closed(): pass
INNER = (lambda held: lambda: held())(closed)
class Route:
    def __init__(self, endpoint): self.endpoint = endpoint
def served(): pass
ROUTE = Route(served)
class Shy:
    def __init__(self, held): self.held = held
    __class__ = property(lambda self: 1 / 0)
def hidden(): pass
def keep():
    shy = Shy(hidden)
    yield
KEEPER = keep()
next(KEEPER)
class Bot:
    def run(self): pass
    @staticmethod
    def static(): pass
    @classmethod
    def made(cls): pass
    def step(self): pass
    go = step
    def asked(self): pass
    @staticmethod
    def given(): pass
    def said(self): pass
class Sub:
    say = Bot.said
    TABLE = [{"fn": Bot.said}]
class Child(Bot):
    run = Bot.run
@dataclasses.dataclass(slots=True)
class Point:
    x: int = 0
    def shown(self): pass
def deep(): pass
TREE = {"a": [{"fn": deep}]}
NAMED = {name: {"fn": deep} for name in "abcdef"}
bot = Bot()
METHOD = Bot.asked
bound = [bot.asked]
GIVEN = {"given": Bot.given}
"""

KEPT = {
    **dict.fromkeys(("plain", "recursive", "cached", "caller", "Bot.run", "Bot.static", "Bot.made"), ""),
    "listed": "MODULE:LIST",
    "registered": "MODULE:REGISTRY",
    "half": "MODULE:PART",
    "default": "MODULE:caller",
    "one": "",  # under another name of its own module it is hooked as well
    "closed": "MODULE:INNER",
    "Bot.step": "",
    "Bot.asked": "MODULE:METHOD, MODULE:bound",
    "Bot.given": "MODULE:GIVEN",
    "Bot.said": "MODULE:Sub, MODULE:Sub.say",
    "Point.shown": "",
    "deep": "MODULE:NAMED, MODULE:TREE",
}


@pytest.mark.parametrize("place", KEPT)
def test_what_is_kept_elsewhere(tmp_path: Path, place: str) -> None:
    """Who else has a function, and would call it unrecorded, is found, whatever he keeps it in."""
    with host(tmp_path) as written:
        target = find(written.load(ELSEWHERE), place)
        assert [KEPT[place].replace("MODULE", written.name)] == elsewhere([target])


@pytest.mark.parametrize("sooner", [True, False])
def test_who_has_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, sooner: bool) -> None:  # noqa: FBT001
    """Who has a function that was hooked too late for him is said, with what to do, and the rest is recorded."""
    with host(tmp_path) as written:
        written.write(ELSEWHERE)
        _ = None if sooner else written.load()
        with capture(wrap=[written.table("registered", "tool"), written.table("plain", "tool")]) as recorded:
            module = written.load()
            module.registered()
            module.REGISTRY["x"]()
            (line,) = [record.getMessage() for record in caplog.records if "had it before" in record.getMessage()]

            assert 1 == recorded.ledger.total().tools["registered"]["completed"]
    said = (
        f"({written.name}:registered): {written.name}:REGISTRY had it before; what is called from there is not recorded"
    )
    assert f"{said}: {'wrap who calls it' if sooner else 'start Tachograph before that'}" in line


def test_what_is_kept_in_objects_of_the_programs_own(tmp_path: Path) -> None:
    """An object that has a function is named by where it stands; no object is asked what it is."""
    with host(tmp_path) as written:
        module = written.load(ELSEWHERE)
        assert [f"{written.name}:ROUTE"] == elsewhere([find(module, "served")])
        # Up to Python 3.10 its attributes are a dictionary of their own.
        assert elsewhere([find(module, "hidden")]) in (["a Shy"], ["a dict"])


def test_a_function_that_runs_or_is_recorded_is_nobody_elses(tmp_path: Path) -> None:
    """A call that is under way, and what we put in the place of a function, are no news."""
    with host(tmp_path) as written:
        module = written.load("def steps():\n    yield 1\n")
        steps, begun = find(module, "steps"), module.steps()
        assert 1 == next(begun)
        assert [""] == elsewhere([steps])
        begun.close()
        with capture(wrap=[written.table("steps", "tool")]):
            assert [""] == elsewhere([steps])


# --------------------------------------------------------------------------------------------------------- modules
def test_where_a_module_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is nowhere is said to be so, with what may have been meant; looking imports nothing."""
    (tmp_path / "wholly" / "inner" / "spaced").mkdir(parents=True)
    for file in ("wholly/__init__.py", "wholly/inner/__init__.py", "wholly/inner/services.py"):
        (tmp_path / file).write_text("raise AssertionError('imported')")
    (tmp_path / "wholly/inner/spaced/deep.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])

    assert "" == absent("wholly.inner.services")
    assert "" == absent("wholly.inner.spaced.deep")
    assert "" == absent("json.decoder")
    assert "there is no module servces in wholly.inner; did you mean 'services'?" == absent("wholly.inner.servces")
    assert "there is no module inner in json; " == absent("json.inner")[:34]
    assert absent("nowhere_at_all.x").startswith("there is no module nowhere_at_all where Python looks now")
    assert "wholly" not in sys.modules


# ----------------------------------------------------------------------------------------------- files, processes
APP = """
class Bot:
    def run(self, session_id):
        return "done"
    @property
    def state(self):
        return 1
"""

TABLES = """
[[tool.tachograph.wrap]]
target = "app.bots:Bot.run"
as = "agent"
session_id = "session_id"
name = "self.nmae"

[[tool.tachograph.wrap]]
target = "app.bots:Bot.rum"
as = "tool"

[[tool.tachograph.wrap]]
target = "app.bots:Bot.state"
as = "tool"

[[tool.tachograph.wrap]]
target = "app.bts:Bot.run"
as = "tool"

[[tool.tachograph.wrap]]
target = "app.bots:Bot.run"
as = "event"
event = "session_updated"
payload = { who = "sesion_id" }

[[tool.tachograph.wrap]]
target = "app.bots.Bot"
as = "tool"
"""

SAID = [
    'wrap 6: target = \'app.bots.Bot\': expected "package.module:function" or "package.module:Class.method"',
    "wrap 4 (app.bts:Bot.run): there is no module bts in app; did you mean 'bots'?",
    "wrap 2 (app.bots:Bot.rum): Bot has no rum; did you mean 'run'?",
    "wrap 3 (app.bots:Bot.state): state is a property; name a method, such as one that it calls",
    "wrap 5 (app.bots:Bot.run): payload.who = \"sesion_id\": run has no argument sesion_id; did you mean 'session_id'?",
]


def test_the_program_itself(programs: Programs) -> None:
    """What is in the very file that is run cannot be wrapped, by neither of its names, and that is said."""
    tables = (f'[[tool.tachograph.wrap]]\ntarget = "{name}:run"\nas = "tool"\n' for name in ("alone", "__main__"))
    path = programs.write("pyproject.toml", "".join(tables))
    programs.write("alone.py", "def run(): print('ran')\nrun()")

    done = programs.run(script("tachograph"), "run", "alone.py", TACHOGRAPH_SUMMARY="0")

    assert (0, "ran\n") == (done.code, done.stdout)
    expected = """\
tachograph: FILE: wrap 1 (alone:run): is the program that is run, which is known as __main__ then; put the callable \
into another module
tachograph: FILE: wrap 2 (__main__:run): module __main__ has no run; there are none; the program that is run has only \
begun: put the callable into another module
"""
    assert expected.replace("FILE", str(path)).splitlines() == sorted(done.stderr.splitlines())


@pytest.mark.parametrize("recorded", [True, False], ids=["tachograph run", "import tachograph.auto"])
def test_the_program_itself_as_a_module(programs: Programs, *, recorded: bool) -> None:
    """So it is with what ``-m`` names: a module, or the main module of a package, whose other modules are wrapped."""
    tables = (f'[[tool.tachograph.wrap]]\ntarget = "{name}:run"\nas = "tool"\n' for name in ("bot", "bot.__main__"))
    path = programs.write("pyproject.toml", "".join(tables))
    auto = "" if recorded else "import tachograph.auto\n"
    programs.write("bot/__init__.py", "def run(): print('wrapped')\n")
    programs.write("bot/__main__.py", f"{auto}import bot\ndef run(): print('ran')\nrun()\nbot.run()\n")
    command = [script("tachograph"), "run"] if recorded else [sys.executable]

    of_package = programs.run(*command, "-m", "bot", "7", TACHOGRAPH_SUMMARY="0")
    programs.write("pyproject.toml", '[[tool.tachograph.wrap]]\ntarget = "bot.alone:run"\nas = "tool"\n')
    programs.write("bot/alone.py", f"{auto}def run(): print('ran')\nrun()\n")
    alone = programs.run(*command, "-m", "bot.alone", TACHOGRAPH_SUMMARY="0")

    said = "is the program that is run, which is known as __main__ then; put the callable into another module\n"
    assert Finished(0, "ran\nwrapped\n", f"tachograph: {path}: wrap 2 (bot.__main__:run): {said}") == of_package
    assert Finished(0, "ran\n", f"tachograph: {path}: wrap 1 (bot.alone:run): {said}") == alone


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    written = Programs(tmp_path)
    written.write("app/__init__.py", "")
    written.write("app/bots.py", APP)
    written.write(
        "main.py",
        """
        import tachograph
        from app.bots import Bot
        print(Bot().run("chat"), Bot().run("chat"))
        print(tachograph.session_metrics("chat").agent_runs, sorted(tachograph.stats()["wraps"].values()))
        """,
    )
    return written


@pytest.mark.parametrize("file", ["pyproject.toml", "wraps.toml"])
def test_a_program_that_knows_nothing_of_it(programs: Programs, file: str) -> None:
    """``tachograph run`` records an untouched program by its settings; what is wrong in them is said, once."""
    path = programs.write(file, TABLES)
    named = {} if file == "pyproject.toml" else {"TACHOGRAPH_CONFIG": str(path)}

    done = programs.run(script("tachograph"), "run", "main.py", TACHOGRAPH_SUMMARY="0", **named)

    assert (0, "done done\n2 ['absent', 'hooked', 'hooked', 'refused', 'refused', 'refused']\n") == (
        done.code,
        done.stdout,
    )
    expected = [f"tachograph: {path}: {line}" for line in SAID]
    missed = f'tachograph: {path}: wrap 1 (app.bots:Bot.run): name = "self.nmae": found nothing'
    assert [*expected, missed] == done.stderr.splitlines()


def test_the_doctor_has_a_row_for_each(programs: Programs) -> None:
    """``tachograph doctor`` says of each table how it stands, and what is wrong is a problem."""
    path = programs.write("pyproject.toml", TABLES)

    done = programs.run(script("tachograph"), "doctor", "--json")
    text = programs.run(script("tachograph"), "doctor", COLUMNS="300").stdout

    found = json.loads(done.stdout)
    assert 1 == done.code
    assert [
        ("agent", "hooked"),
        ("tool", "refused"),
        ("tool", "refused"),
        ("tool", "absent"),
        ("event", "hooked"),
        ("-", "refused"),
    ] == [(row["as"], row["state"]) for row in found["wraps"]]
    assert [f"{path}: {line}" for line in SAID] == found["problems"]
    assert {"app.bots.Bot.run"} == {hook["hook"] for hook in found["hooks"] if hook["hook"].startswith("app")}
    for row in found["wraps"]:
        assert row["wrap"].removeprefix(f"{path}: ") in text
        assert row["note"] in text


def test_one_reason_is_said_once(programs: Programs) -> None:
    """What is wrong with many tables for one reason is one line, and a row for each."""
    table = '[[tool.tachograph.wrap]]\ntarget = "nowhere_at_all:run{}"\nas = "tool"\n'
    path = programs.write("pyproject.toml", "".join(table.format(number) for number in range(3)))

    found = json.loads(programs.run(script("tachograph"), "doctor", "--json").stdout)

    why = "there is no module nowhere_at_all where Python looks now; it is wrapped if it comes to be imported"
    assert [f"{path}: wrap 1 (nowhere_at_all:run0), and 2 more: {why}"] == found["problems"]
    assert [("absent", why)] * 3 == [(row["state"], row["note"]) for row in found["wraps"]]


def test_a_module_that_cannot_be_imported_is_a_problem(programs: Programs) -> None:
    """What the doctor cannot import it says, whatever the module does."""
    programs.write("app/bots.py", "raise SystemExit('gone')")
    programs.write("pyproject.toml", '[[tool.tachograph.wrap]]\ntarget = "app.bots:run"\nas = "tool"\n')

    done = programs.run(script("tachograph"), "doctor", "--json")

    assert (1, ["app.bots cannot be imported: SystemExit: gone"]) == (done.code, json.loads(done.stdout)["problems"])


def test_settings_keep_the_tables_as_they_are(tmp_path: Path) -> None:
    """``wrap`` may be given in code too, and wins there over the file; it is no setting like the others."""
    file = tmp_path / "pyproject.toml"
    file.write_text('[[tool.tachograph.wrap]]\ntarget = "a:b"\nas = "tool"\n')

    from_file = Config.read(environ={}, directory=tmp_path)
    given = Config.read({"wrap": []}, environ={}, directory=tmp_path)

    assert ([{"target": "a:b", "as": "tool"}], str(file)) == (from_file.wrap, from_file.sources["wrap"])
    assert ([], "init(wrap=…)") == (given.wrap, given.sources["wrap"])
    with pytest.raises(ConfigError, match="no such setting"):
        Config.read({"wraps": []}, environ={}, directory=tmp_path)
