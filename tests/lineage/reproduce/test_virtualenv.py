"""Environments of the past, built from wheels in a folder: no index, no network."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from wheels import write_wheel

from lineal.fingerprint import Distributions
from lineal.graph.records import Environment
from lineal.reproduce import virtualenv
from lineal.reproduce.environments import (
    EnvironmentUnavailable,
    Interpreter,
    current_environment,
    find_python,
    plan_environment,
)
from lineal.version import VERSION


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all wheels that there are."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setattr(virtualenv, "_has_pip", lambda: False)  # it takes a second to find nothing, each time
    return folder


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    virtualenv._today.cache_clear()
    yield
    virtualenv._today.cache_clear()


def recorded(**distributions: str) -> Environment:
    """Of a past run: this Python, and nothing installed but these."""
    return msgspec.structs.replace(
        current_environment(), distributions=distributions, contents={}, sources={}, editable=[]
    )


def found(then: Environment, reached: Mapping[str, str]) -> Interpreter:
    return find_python(then, rebuild=True, reached=reached)


def said(python: Path, source: str) -> str:
    done = subprocess.run([python, "-c", source], cwd="/", check=True, capture_output=True, text=True, env={})
    return done.stdout.strip()


def test_past_code_gets_the_recorded_version_and_lineal_with_it(wheels: Path) -> None:
    write_wheel(wheels, "colours", "1.0")
    write_wheel(wheels, "colours", "2.0")

    past = found(recorded(colours="1.0"), {"colours": "1.0"})

    assert past.kind == "rebuilt"
    assert said(past.python, "import colours; print(colours.VERSION)") == "1.0"
    assert said(past.python, "import lineal.version as it; print(it.__file__)").startswith(
        str(past.python.parents[1])
    )
    assert any("today's" in note for note in past.notes)


def test_the_recorded_lineal_is_used_where_it_can_be_had_and_understands_what_it_is_told(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, version in (("colours", "1.0"), ("lineal", "0.0.1"), ("lineal", "0.0.2")):
        write_wheel(wheels, name, version)
    ancient = found(recorded(colours="1.0", lineal="0.0.1"), {"colours": "1.0"})
    monkeypatch.setattr(virtualenv, "_UNDERSTANDS", "import lineal")
    past = found(recorded(colours="1.0", lineal="0.0.2"), {"colours": "1.0"})

    assert past.notes == ("Lineal 0.0.2, the recorded one",)
    assert said(past.python, "import lineal; print(lineal.VERSION)") == "0.0.2"
    assert ancient.notes == (f"Lineal {VERSION}, today's",)
    assert said(ancient.python, "import lineal.version; print(lineal.version.VERSION)") == VERSION


def test_an_environment_is_built_once(wheels: Path) -> None:
    wheel = write_wheel(wheels, "colours", "1.0")
    then = recorded(colours="1.0")
    first = found(then, {"colours": "1.0"})
    wheel.unlink()

    assert plan_environment(then, rebuild=True, reached={"colours": "1.0"}).is_there
    assert found(then, {"colours": "1.0"}) == first


def test_without_uv_pip_builds_it(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wheel(wheels, "colours", "1.0")
    monkeypatch.setattr(virtualenv, "_find_uv", lambda: None)
    monkeypatch.setattr(virtualenv, "_has_pip", lambda: True)

    past = found(recorded(colours="1.0"), {"colours": "1.0"})

    assert said(past.python, "import colours; print(colours.VERSION)") == "1.0"


def test_what_cannot_be_had_is_named_and_nothing_is_left(wheels: Path, tmp_path: Path) -> None:
    write_wheel(wheels, "colours", "1.0")
    write_wheel(wheels, "shapes", "1.0")
    reached = {"colours": "1.0", "shapes": "7.0"}

    with pytest.raises(EnvironmentUnavailable, match="shapes") as caught:
        found(recorded(**reached), reached)

    assert caught.value.lacking.keys() == {"shapes"}
    assert list((tmp_path / "cache" / "lineal" / "environments").iterdir()) == []


def test_nothing_is_left_of_what_was_interrupted(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = virtualenv._run

    def interrupted(command: Sequence[str]) -> str | None:
        if "install" in command:
            raise KeyboardInterrupt
        return run(command)

    monkeypatch.setattr(virtualenv, "_run", interrupted)

    with pytest.raises(KeyboardInterrupt):
        found(recorded(colours="1.0"), {"colours": "1.0"})

    assert list((tmp_path / "cache" / "lineal" / "environments").iterdir()) == []


def test_what_is_not_reached_may_be_missing(wheels: Path) -> None:
    write_wheel(wheels, "colours", "1.0")
    write_wheel(wheels, "shapes", "1.0")

    past = found(recorded(colours="1.0", shapes="1.0", secret_tool="3.0"), {"colours": "1.0"})

    assert said(past.python, "import colours, shapes; print(shapes.VERSION)") == "1.0"
    assert "without secret_tool: not to be had, and not reached" in past.notes


def test_what_the_index_lacks_is_copied_from_here_where_it_is_the_very_same(wheels: Path) -> None:
    write_wheel(wheels, "colours", "1.0")
    here = current_environment()
    reached = {"colours": "1.0", "six": here.distributions["six"]}
    then = msgspec.structs.replace(recorded(**reached), contents={"six": here.contents["six"]})

    past = found(then, reached)

    place = past.python.parents[1]
    assert said(past.python, "import six; print(six.__file__)").startswith(str(place))
    (site,) = place.glob("lib/*/site-packages")
    copied = {each.name: each.contents() for each in Distributions([str(site)]).everything()}
    assert copied["six"] == here.contents["six"]


def test_another_build_of_the_same_version_is_not_copied(wheels: Path) -> None:
    write_wheel(wheels, "colours", "1.0")
    reached = {"colours": "1.0", "six": current_environment().distributions["six"]}
    then = msgspec.structs.replace(recorded(**reached), contents={"six": "ab" * 32})

    with pytest.raises(EnvironmentUnavailable, match="six"):
        found(then, reached)


def test_a_file_that_was_edited_after_its_installation_is_not_copied(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(wheels, "colours", "1.0")
    shapes = write_wheel(tmp_path / "elsewhere", "shapes", "1.0")
    site = tmp_path / "site-packages"
    with zipfile.ZipFile(shapes) as archive:
        archive.extractall(site)
    (site / "shapes.py").write_text("VERSION = 'edited'\n")
    monkeypatch.syspath_prepend(str(site))
    reached = {"colours": "1.0", "shapes": "1.0"}

    with pytest.raises(EnvironmentUnavailable, match="shapes"):
        found(recorded(**reached), reached)


def test_another_build_from_the_index_is_told(wheels: Path) -> None:
    write_wheel(wheels, "colours", "1.0")
    then = msgspec.structs.replace(recorded(colours="1.0"), contents={"colours": "ab" * 32})

    assert "colours 1.0 has other files than the recorded one" in found(then, {"colours": "1.0"}).notes


def test_a_python_that_is_not_here_is_named(wheels: Path) -> None:
    then = msgspec.structs.replace(recorded(), python="3.99.1")

    with pytest.raises(EnvironmentUnavailable, match=r"there is no Python 3\.99 here"):
        found(then, {})


def test_what_was_broken_off_long_ago_is_removed_and_what_is_being_built_stays(
    wheels: Path, tmp_path: Path
) -> None:
    write_wheel(wheels, "colours", "1.0")
    root = tmp_path / "cache" / "lineal" / "environments"
    for name, age in (("abandoned", 3 * 86400), ("begun", 60)):
        (root / name).mkdir(parents=True)
        changed = (root / name).stat().st_mtime - age
        os.utime(root / name, (changed, changed))

    found(recorded(colours="1.0"), {"colours": "1.0"})

    assert not (root / "abandoned").exists()
    assert (root / "begun").exists()
