"""Where settings are looked up: which file is asked, and what is said of what is no setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tachograph.config import Config, ConfigError
from tachograph.variables import CONFIG_FILE_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose pyproject.toml says nothing of us."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "host"\n', "utf-8")
    return tmp_path


def tell(project: Path, *lines: str) -> Path:
    file = project / "pyproject.toml"
    file.write_text("\n".join(["[tool.tachograph]", *lines]), "utf-8")
    return file


def test_the_environment_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    """Where no environment and no directory are given, those of the process count."""
    tell(project, "max_names = 7")
    monkeypatch.chdir(project)
    monkeypatch.setenv("TACHOGRAPH_MAX_REQUESTS", "8")
    config = Config.read()
    assert (config.max_names, config.max_requests) == (7, 8)


def test_the_nearest_project_file_counts(project: Path) -> None:
    """The search goes up from the directory to the first pyproject.toml, even one that says nothing of us."""
    tell(project, "max_names = 7")
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    assert Config.read(environ={}, directory=inner).max_names == 7
    (project / "a" / "pyproject.toml").write_text("", "utf-8")
    assert Config.read(environ={}, directory=inner).max_names == 200


def test_a_file_may_be_named(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The file that the variable names is read instead of the project's."""
    tell(project, "max_names = 7")
    other = tell(tmp_path_factory.mktemp("other"), "max_requests = 8")
    config = Config.read(environ={CONFIG_FILE_VARIABLE: str(other)}, directory=project)
    assert (config.max_names, config.max_requests) == (200, 8)


@pytest.mark.parametrize("content", [b"[tool.tacho", b"\xff\xfe", b'tool = "x"', b"[tool]\n"])
def test_somebody_elses_broken_file_is_not_ours_to_report(content: bytes, project: Path) -> None:
    """A pyproject.toml that cannot be read, or has no table of ours, leaves the defaults."""
    (project / "pyproject.toml").write_bytes(content)
    assert dict(Config.read(environ={}, directory=project).sources) == {}


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "cannot be read"), (b"[tool.tacho", "cannot be read"), (b"\xff\xfe", "cannot be read")],
)
def test_a_file_named_for_us_must_be_readable(content: bytes | None, expected: str, tmp_path: Path) -> None:
    """Where the variable names a file that is missing or no TOML, the error names variable, file and fix."""
    file = tmp_path / "settings.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        Config.read(environ={CONFIG_FILE_VARIABLE: str(file)})
    assert str(refused.value).startswith(f"{CONFIG_FILE_VARIABLE}={file}: {expected}")
    assert str(refused.value).endswith("give the path of a TOML file")


@pytest.mark.parametrize("content", ["", "[[wrap]]\n", "[tachograph]\nmax_names = 3\n", "tool = 1\n", "[tool.other]\n"])
def test_a_file_named_for_us_must_have_our_table(content: str, tmp_path: Path) -> None:
    """Settings that stand elsewhere in a file that the variable names would be lost without a word."""
    file = tmp_path / "settings.toml"
    file.write_text(content, "utf-8")
    with pytest.raises(ConfigError) as refused:
        Config.read(environ={CONFIG_FILE_VARIABLE: str(file)})
    assert f"{CONFIG_FILE_VARIABLE}={file}: has no [tool.tachograph]; write that, and the settings under it" == str(
        refused.value
    )


def test_a_table_that_is_none_is_refused(project: Path) -> None:
    """``tachograph = 1`` under ``[tool]`` is said to be no table, with the fix."""
    (project / "pyproject.toml").write_text("[tool]\ntachograph = 1\n", "utf-8")
    with pytest.raises(ConfigError, match=r"tool\.tachograph is not a table; write \[tool\.tachograph\]"):
        Config.read(environ={}, directory=project)


def test_a_setting_that_does_not_exist_is_refused(project: Path) -> None:
    """A misspelt argument or key is named, with the settings there are; the table of wrapped functions is none."""
    with pytest.raises(ConfigError) as refused:
        Config.read({"max_request": 1}, environ={}, directory=project)
    assert str(refused.value) == f"init(max_request=…): no such setting; there are: {', '.join(Config.settings())}"
    file = tell(project, "max_request = 1")
    with pytest.raises(ConfigError) as refused:
        Config.read(environ={}, directory=project)
    assert str(refused.value) == (
        f"{file}: [tool.tachograph] max_request: no such setting; there are: {', '.join(Config.settings())}"
    )
    file = tell(project, "wrap = {}")
    assert dict(Config.read(environ={}, directory=project).sources) == {"wrap": str(file)}


def test_a_misspelt_variable_is_said():
    """A TACHOGRAPH_ variable that no setting has is a bad setting; the one that was probably meant is named."""
    with pytest.raises(ConfigError, match=r"TACHOGRAPH_SUMARY: no such setting; did you mean TACHOGRAPH_SUMMARY\?"):
        Config.read(environ={"TACHOGRAPH_SUMARY": "0"})


def test_complaints_are_collected_and_reading_goes_on(project: Path) -> None:
    """With somebody to tell, each bad setting is one message and has its default, and the good ones are read."""
    file = tell(project, "max_records = -1", "max_sessions = 5", "nonsense = 1")
    told: list[str] = []
    config = Config.read(
        {"summary": "sometimes", "capture_errors": "type", "typo": 1},
        environ={"TACHOGRAPH_MAX_NAMES": "x", "TACHOGRAPH_MAX_OPEN": "9"},
        directory=project,
        complain=told.append,
    )
    places = [message.split(": ")[0] for message in told]
    assert places == [
        "init(typo=…)",
        str(file),
        "init(summary=…)",
        f"{file} [tool.tachograph] max_records",
        "TACHOGRAPH_MAX_NAMES",
    ]
    assert (config.summary, config.max_records, config.max_names) == ("auto", 10_000, 200)
    assert (config.capture_errors, config.max_sessions, config.max_open) == ("type", 5, 9)
    assert config.sources.keys() == {"capture_errors", "max_sessions", "max_open"}


def test_a_file_that_cannot_be_used_is_complained_about(tmp_path: Path) -> None:
    """A named file that is missing, and a table that is none, are one message each, and the rest is read."""
    told: list[str] = []
    missing = Config.read(
        {"max_names": 3}, environ={CONFIG_FILE_VARIABLE: str(tmp_path / "no.toml")}, complain=told.append
    )
    (tmp_path / "pyproject.toml").write_text("[tool]\ntachograph = 1\n", "utf-8")
    no_table = Config.read({"max_names": 4}, environ={}, directory=tmp_path, complain=told.append)
    assert (missing.max_names, no_table.max_names, len(told)) == (3, 4, 2)
