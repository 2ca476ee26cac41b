"""Bad settings, ids, names and uses: init() says what is wrong and how to mend it, everything else goes on."""

from __future__ import annotations

import json
import sys
import sysconfig
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tachograph
from support.programs import Finished, Programs, program, script
from tachograph.config import Config
from tachograph.testing import capture

BAD = {
    "enabled": "perhaps",
    "session_id": "   ",
    "summary": "loud",
    "capture_errors": "everything",
    "capture_content": "everything",
    "max_content": "8 KiB",
    "prices": "nowhere.toml",
    "environment": "perhaps",
    "code_changes": "git",
    "thresholds": "cost=much",
    "metric_sessions": "-1",
    "metric_keys": "session,weather",
    "span_events": "2",
    "max_sessions": "0",
    "max_requests": "many",
    "max_records": "1e3",
    "max_open": "0x10",
    "max_names": "99999999999999999999",
    "store": "  ",
    "store_flush": "always",
    "store_debounce": "soon",
    "store_batch": "0",
    "store_interval": "-1",
    "store_max_age": "a year",
    "store_max_sessions": "-1",
    "store_max_size": "2 GB",
    "audit_interval": "0",
}
"""A bad value for each setting that can have one."""

VARIABLES = {name: setting.variable for name, setting in Config.settings().items()}

AUTO = """
    import tachograph.auto
    from crew import boss, operations, tell

    tell(answer=boss().run("price of tea?"), recorded=len(operations()))
    """
WELL = {"answer": "tea costs 4", "recorded": 9}
"""What :data:`AUTO` tells when the program ran and was recorded."""


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def said(done: Finished) -> list[str]:
    """Lines on standard error, all of which are ours."""
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("tachograph: ")] == []
    return lines


# ------------------------------------------------------------------------------------------------ settings by call
def test_every_setting_has_a_bad_value():
    """The table above forgets no setting; names, of frameworks or services, and keys are checked elsewhere or free."""
    free = {"integrations", "service_name", "environment_variables", "audit_key"}
    assert Config.settings().keys() - free == BAD.keys()


def test_init_raises_naming_setting_value_and_fix(programs):
    """init() raises ConfigError for a bad value or an unknown name, and starts nothing."""
    cases: list[dict[str, Any]] = [{name: value} for name, value in BAD.items()]
    cases += [{"max_names": 1.5}, {"max_names": True}, {"session_id": 7}, {"metric_keys": []}, {"colour": "red"}]
    done = programs.python(
        """
        import json
        import sys

        import tachograph
        from told import tell

        messages = []
        for arguments in json.load(sys.stdin):
            try:
                tachograph.init(**arguments)
            except tachograph.ConfigError as error:
                messages.append(str(error))
        tell(messages=messages, started=tachograph.runtime.current().started, hooks=tachograph.stats()["hooks"])
        """,
        stdin=json.dumps(cases),
    )

    told = done.told
    assert (done.code, done.stderr, told["started"], told["hooks"]) == (0, "", False, 0)
    assert len(cases) == len(told["messages"])
    for arguments, message in zip(cases, told["messages"], strict=True):
        ((name, value),) = arguments.items()
        assert f"init({name}=…)" in message
        if name in Config.settings():
            assert repr(str(value)) in message
            assert "is not usable: expected" in message
        else:
            assert "no such setting; there are: enabled, session_id" in message


# ----------------------------------------------------------------------------------------- settings, environment
def test_auto_says_one_line_for_each_bad_variable(programs):
    """Under auto each bad variable is one line that names it and its value, and has its default."""
    done = programs.python(
        program(AUTO, "tell(sources=dict(tachograph.init().config.sources))").replace(
            "tachograph.init()", "tachograph.runtime.current()"
        ),
        **{VARIABLES[name]: value for name, value in BAD.items()},
    )

    assert (done.code, done.told, json.loads(done.stdout.splitlines()[0])) == (0, {"sources": {}}, WELL)
    lines = said(done)
    assert len(BAD) == len(lines)
    for line, (name, value) in zip(lines, BAD.items(), strict=True):
        assert line.startswith(f"tachograph: {VARIABLES[name]}: {value!r} is not usable: expected ")


def test_init_raises_on_a_bad_variable(programs):
    """init() raises on the environment's bad value, too: here the program has asked for us by name."""
    done = programs.python(
        """
        import tachograph
        from told import tell

        try:
            tachograph.init()
        except tachograph.ConfigError as error:
            tell(message=str(error))
        """,
        TACHOGRAPH_MAX_NAMES="none",
    )

    assert (done.told) == {
        "message": "TACHOGRAPH_MAX_NAMES: 'none' is not usable: expected a whole number from 1 to 100000"
    }


# ----------------------------------------------------------------------------------------- settings, files
def test_bad_pyproject_values_are_named_with_their_file(programs):
    """A bad value, an unknown name and a good one in ``[tool.tachograph]``: two lines with the file, one setting."""
    file = programs.write(
        "pyproject.toml",
        """
        [tool.tachograph]
        max_names = "few"
        colour = "red"
        max_sessions = 7
        """,
    )

    done = programs.python(program(AUTO, "tell(max_sessions=tachograph.runtime.current().config.max_sessions)"))

    assert (done.code, done.told) == (0, {"max_sessions": 7})
    unknown, bad = said(done)
    assert unknown.startswith(f"tachograph: {file}: [tool.tachograph] colour: no such setting; there are: enabled")
    assert bad.startswith(f"tachograph: {file} [tool.tachograph] max_names: 'few' is not usable: expected a whole")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[tool.tachograph\n", "cannot be read: "),
        ("tool = {tachograph = 3}\n", "tool.tachograph is not a table"),
        (b"\xff\xfe", "cannot be read: "),
        (None, "cannot be read: "),
    ],
    ids=["no TOML", "no table", "no text", "no file"],
)
def test_a_broken_file_that_is_named_for_us_is_said(programs, tmp_path, content, complaint):
    """A file that TACHOGRAPH_CONFIG names and that cannot be used is one line; the program runs."""
    file = tmp_path / "settings.toml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    done = programs.python("import tachograph.auto\nprint('fine')", TACHOGRAPH_CONFIG=str(file))

    assert (done.code, done.stdout) == (0, "fine\n")
    (line,) = said(done)
    assert str(file) in line
    assert complaint in line


@pytest.mark.parametrize("content", [b"[tool.somebody\n", b"tool = 3\n", b"\xff\xfe"], ids=repr)
def test_somebody_elses_broken_pyproject_is_not_ours_to_report(programs, tmp_path, content):
    """A pyproject.toml that nobody named for us and that is broken is passed over in silence."""
    (tmp_path / "pyproject.toml").write_bytes(content)

    done = programs.python("import tachograph.auto\nprint('fine')")

    assert (done.code, done.stdout, done.stderr) == (0, "fine\n", "")


def test_a_working_directory_that_is_gone_harms_nobody(programs):
    """Where there is no working directory any more there are no settings in it, and that is all."""
    done = programs.python("""
        import os

        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir("../gone")
        import tachograph.auto

        print("fine")
        """)

    assert (done.code, done.stdout, done.stderr) == (0, "fine\n", "")


@pytest.mark.parametrize("state", ["sys.stderr.close()", "sys.stderr = None"])
def test_no_standard_error_no_line(programs, state):
    """Where standard error is closed or missing nothing is said, least of all elsewhere, and the program runs."""
    done = programs.python(program("import sys", state, AUTO), TACHOGRAPH_MAX_NAMES="none", TACHOGRAPH_SUMMARY="1")

    assert (done.code, done.told, len(done.stdout.splitlines())) == (0, WELL, 1)


# ------------------------------------------------------------------------------------------------------- exporters
@pytest.mark.parametrize(
    ("variables", "parts"),
    [
        ({"OTEL_TRACES_EXPORTER": "nonsense"}, ("OTEL_TRACES_EXPORTER", "'nonsense'", "otlp")),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "morse"},
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "'morse'", "http/protobuf"),
        ),
        (
            {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "morse"},
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "'morse'", "http/protobuf"),
        ),
    ],
    ids=["exporter", "protocol", "protocol of one signal"],
)
def test_exporters_that_do_not_exist_are_said(programs, variables, parts):
    """An exporter or protocol that does not exist is one line with the variable, the value and what there is."""
    done = programs.python(AUTO, **variables)

    assert (done.code, done.told) == (0, WELL)
    (line,) = said(done)
    assert [True] * len(parts) == [part in line for part in parts]


# ------------------------------------------------------------------------------------------------------------- ids
class Rude:
    """An object of the host whose every method raises: nobody has any business calling them."""

    def __eq__(self, other):
        raise RuntimeError

    __hash__ = None
    __ne__ = __str__ = __repr__ = __len__ = __bool__ = __iter__ = __format__ = __eq__


class Word(str):
    """Text of another class than ``str``."""

    __slots__ = ()


IDS = [
    pytest.param("chat-1", "chat-1", 0, id="good"),
    pytest.param(None, None, 0, id="none"),
    pytest.param("", None, 1, id="empty"),
    pytest.param(" \n\t ", None, 1, id="blank"),
    pytest.param("\x00a\x1fb\u2028c\x7f ", "abc", 1, id="control characters"),
    pytest.param("x" * 200, "x" * 200, 0, id="as long as may be"),
    pytest.param(7, "7", 1, id="int"),
    pytest.param(-(10**5_000), ..., 1, id="int of 5,000 digits"),
    pytest.param(True, None, 1, id="bool"),
    pytest.param(1.5, None, 1, id="float"),
    pytest.param(b"bytes", None, 1, id="bytes"),
    pytest.param(["list"], None, 1, id="list"),
    pytest.param(uuid.UUID(int=5), f"{5:032x}", 1, id="UUID"),
    pytest.param("\ud800x", "?x", 1, id="lone surrogate"),
    pytest.param(Word("chat"), "chat", 1, id="subclass of str"),
    pytest.param(Rude(), None, 1, id="rude object"),
]


@pytest.mark.parametrize(("given_id", "expected", "cleaned"), IDS)
def test_ids_are_cleaned_and_counted_never_raised_about(given_id, expected, cleaned):
    """Whatever is given as an id of a session or request, an id any backend can hold comes of it, and is counted."""
    with capture():
        with tachograph.session(given_id) as session:
            made = session.session_id
        with tachograph.session("s"), tachograph.correlation(given_id) as request:
            assert made == request.correlation_id or expected is None
        with tachograph.session("s", user_id=given_id, correlation_id=given_id) as bound:
            pass
        counted = tachograph.stats()["ids_cleaned"]

    assert usable(made)
    assert usable(request.correlation_id)
    assert 4 * cleaned == counted
    if expected is None:
        assert len(made) == 32
        assert (bound.user_id, bound.correlation_id) == (None, None)
    elif expected is not ...:
        assert [expected] * 4 == [made, request.correlation_id, bound.user_id, bound.correlation_id]


def usable(text: str) -> bool:
    return type(text) is str and 0 < len(text) <= 200 and text.encode().decode() == text and text.strip() == text


ANYTHING = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(exclude_categories=[])),
    st.text(min_size=150, max_size=400),
    st.integers(),
    st.uuids(),
    st.binary(),
    st.floats(),
    st.none(),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.text()),
)


@given(ANYTHING)
def test_any_id_becomes_a_usable_one(value):
    """There is nothing that could be given as an id and would raise or come out unusable."""
    with capture(sdk=False), tachograph.session(value) as session, tachograph.correlation(value) as request:
        assert usable(session.session_id)
        assert usable(request.correlation_id)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=200, max_size=250))
def test_two_long_ids_that_differ_stay_two(start):
    """Two ids of 10 kB that differ only at their ends are cut, and stay two."""
    text = start * 50
    with capture(sdk=False):
        with tachograph.session(text + "a") as one, tachograph.session(text + "b") as two:
            pass
        with tachograph.session(text + "a") as again:
            pass

    assert one.session_id != two.session_id
    assert one.session_id == again.session_id
    assert one.session_id[:150] == text[:150]


# ------------------------------------------------------------------------------------------- misuse of session()
MISUSE = """
    import asyncio
    import contextvars
    import threading

    import tachograph
    from told import tell

    tachograph.init()

    def here():
        with tachograph.session() as session:  # not a word about it, so one of its own, in what is around
            pass
        scope = tachograph.runtime.current().recorder.scope()
        return scope.session_id if scope.explicit else None

    def in_a_thread(work):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    def report(**more):
        tell(here=here(), misused=tachograph.stats()["misused"], **more)

    binding = tachograph.session("a")
    """


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (
            """
            binding.__enter__()
            in_a_thread(lambda: binding.__exit__(None, None, None))
            inside = here()
            binding.__exit__(None, None, None)
            report(inside=inside)
            """,
            {"here": None, "misused": 1, "inside": "a"},
        ),
        (
            """
            async def main():
                await binding.__aenter__()
                await asyncio.create_task(binding.__aexit__())
                inside = here()
                await binding.__aexit__()
                report(inside=inside)

            asyncio.run(main())
            """,
            {"here": None, "misused": 1, "inside": "a"},
        ),
        (
            """
            inner = tachograph.session("b")
            binding.__enter__()
            inner.__enter__()
            binding.__exit__(None, None, None)
            inside = here()
            inner.__exit__(None, None, None)
            after = here()
            binding.__exit__(None, None, None)
            report(inside=inside, after=after)
            """,
            {"here": None, "misused": 1, "inside": "b", "after": "a"},
        ),
        (
            """
            with binding, binding:
                inside = here()
            report(inside=inside)
            """,
            {"here": None, "misused": 0, "inside": "a"},
        ),
        (
            """
            binding.__exit__(None, None, None)
            report()
            """,
            {"here": None, "misused": 1},
        ),
        (
            """
            @tachograph.session
            def work():
                return here()

            @tachograph.correlation
            def request():
                return here()

            first, second = work(), work()
            report(bound=[len(first), len(second)], two=first != second, request=request())
            """,
            {"here": None, "misused": 0, "bound": [32, 32], "two": True, "request": None},
        ),
        (
            """
            import sys

            stayed = []

            def work():
                for _ in range(300):
                    with binding:
                        pass
                    if here() is not None:
                        stayed.append(1)

            sys.setswitchinterval(1e-6)
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            report(stayed=stayed)
            """,
            {"here": None, "misused": 0, "stayed": []},
        ),
    ],
    ids=[
        *("another thread", "another task", "out of order", "entered twice", "never entered", "no parentheses"),
        "many threads at once",
    ],
)
def test_misused_sessions_are_counted_never_raised_about(programs, use, told):
    """Leaving a session where it is not in force raises nothing, leaves what is in force alone, and is counted."""
    done = programs.python(program(MISUSE, use))

    assert (0, told) == (done.code, done.told)
    assert bool(told["misused"]) == ("tachograph.session_misused" in done.stderr)
    assert done.stderr.count("\n") <= 1


# --------------------------------------------------------------------------------------- integrations by name
@pytest.fixture
def old_smolagents(programs):
    """Give a directory that says smolagents 1.20 is installed."""
    programs.write(
        "site/smolagents-1.20.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: smolagents\nVersion: 1.20.0\n"
    )
    return {"PYTHONPATH": str(programs.directory / "site")}


@pytest.fixture
def no_smolagents(programs):
    """Give a directory with everything that is installed but smolagents, and the way to have only that."""
    site = programs.directory / "site"
    site.mkdir()
    installed = Path(sysconfig.get_path("purelib"))
    for place in installed.iterdir():
        if not place.name.lower().startswith("smolagents"):
            (site / place.name).symlink_to(place)
    return {"PYTHONPATH": f"{site}:{Path(tachograph.__file__).parents[1]}"}


def test_init_raises_on_an_integration_that_does_not_exist(programs):
    """init() raises IntegrationError with the name and those there are, hooks nothing, and may be tried again."""
    done = programs.python("""
        import tachograph
        from crew import boss, operations, tell

        messages, hooks = [], []
        for wanted in (["langgraf"], ["smolagents", "langgraf"], "smolagents,langgraf"):
            try:
                tachograph.init(integrations=wanted)
            except tachograph.IntegrationError as error:
                messages.append(str(error))
            hooks.append(tachograph.stats()["hooks"])
        boss().run("price of tea?")
        before = len(operations())
        tachograph.init(integrations=["smolagents"])
        boss().run("price of tea?")
        tell(messages=messages, hooks=hooks, recorded=[before, len(operations())])
        """)

    message = "init(integrations=…): 'langgraf': no such integration; there are: anthropic, openai, smolagents"
    assert (done.code, done.stderr) == (0, "")
    assert done.told == {"messages": [message] * 3, "hooks": [0, 0, 0], "recorded": [0, 9]}


def test_auto_says_an_integration_that_does_not_exist_and_hooks_the_others(programs):
    """Under auto an unknown name is one line, with the variable it is from; the known ones are hooked."""
    done = programs.python(AUTO, TACHOGRAPH_INTEGRATIONS="smolagents,langgraf")

    assert (done.code, done.told) == (0, WELL)
    assert said(done) == [
        "tachograph: TACHOGRAPH_INTEGRATIONS: 'langgraf': no such integration; there are: anthropic, openai, smolagents"
    ]


def test_integrations_that_were_not_asked_for_stay_away(programs):
    """Under auto, where nothing that was asked for exists, nothing else is hooked instead."""
    done = programs.python(AUTO, TACHOGRAPH_INTEGRATIONS="langgraf")

    assert (done.code, done.told, len(said(done))) == (0, {**WELL, "recorded": 0}, 1)


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "found"])
def test_too_old_a_framework_is_refused(programs, old_smolagents, asked):
    """Too old a framework: init() raises if it was asked for by name, auto says one line, and the host runs on."""
    wanted = {"TACHOGRAPH_INTEGRATIONS": "smolagents"} if asked else {}
    by_init = programs.python(
        """
        import tachograph
        from crew import boss, tell

        message = None
        try:
            tachograph.init()
        except tachograph.IntegrationError as error:
            message = str(error)
        tell(message=message, answer=boss().run("price of tea?"), hooked=tachograph.stats()["hooks"])
        """,
        **old_smolagents,
        **wanted,
    )
    by_auto = programs.python(AUTO, **old_smolagents, **wanted)

    why = "smolagents 1.20.0 is older than 1.24, the first version supported; pip install -U smolagents"
    assert (by_init.code, by_init.told["answer"], by_init.told["hooked"]) == (0, "tea costs 4", 0)
    assert asked == (by_init.told["message"] == f"TACHOGRAPH_INTEGRATIONS: smolagents: {why}")
    assert asked != (f"smolagents is not instrumented: {why}" in by_init.stderr)
    assert (by_auto.code, by_auto.told) == (0, {**WELL, "recorded": 0})
    (line,) = said(by_auto)
    assert line.endswith(why)


def test_a_framework_that_is_not_there_is_said_only_when_asked_for(programs, no_smolagents):
    """Without smolagents init() raises if it was asked for by name; found by itself, its absence is no news."""
    source = """
        import sys

        import tachograph

        for wanted in ([], ["smolagents"]):
            try:
                tachograph.init(integrations=wanted)
            except tachograph.IntegrationError as error:
                print(error)
            else:
                print(tachograph.stats()["integrations"]["smolagents"])
                tachograph.shutdown()
        """
    programs.write("app.py", source)

    done = programs.run(sys.executable, "-S", "app.py", **no_smolagents)
    by_auto = programs.run(sys.executable, "-S", "-c", "import tachograph.auto", **no_smolagents)
    asked = programs.run(
        sys.executable,
        *("-S", "-c", "import tachograph.auto"),
        TACHOGRAPH_INTEGRATIONS="smolagents",
        **no_smolagents,
    )

    why = "smolagents: not installed; pip install 'tachograph[smolagents]'"
    assert (done.code, done.stderr) == (0, "")
    assert ["absent", f"init(integrations=…): {why}"] == done.stdout.splitlines()
    assert (by_auto.code, by_auto.stderr) == (0, "")
    assert (0, f"tachograph: TACHOGRAPH_INTEGRATIONS: {why}\n") == (asked.code, asked.stderr)


def test_doctor_has_a_row_for_what_is_refused(programs, old_smolagents):
    """``tachograph doctor`` shows the framework that is too old, why, and that something is to be done."""
    done = programs.run(script("tachograph"), "doctor", "--json", **old_smolagents)

    found = json.loads(done.stdout)
    (row,) = (row for row in found["integrations"] if row["name"] == "smolagents")
    assert (done.code, row["state"], row["version"]) == (1, "refused", "1.20.0")
    assert "older than 1.24" in row["note"]
    assert [f"smolagents is not instrumented: {row['note']}"] == found["problems"]
