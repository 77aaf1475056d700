"""``lineal init`` writes a project that works, and overwrites nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineal.api.config import load_configuration
from lineal.api.targets import resolve
from lineal_cli.scaffold import write_project

FILES = [".gitignore", "data/travel.csv", "pipeline.py", "pyproject.toml", "tests/test_pipeline.py"]


def test_a_new_project_has_one_configured_pipeline(tmp_path: Path) -> None:
    folder = tmp_path / "My Travel"

    written = write_project(folder)

    assert (written["created"], written["kept"]) == (FILES, [])
    assert tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["name"] == "my-travel"
    configuration = load_configuration(folder, environ={})
    assert str(resolve(None, configuration)) == "pipeline:travel"
    assert ".lineal/" in (folder / ".gitignore").read_text("utf-8").splitlines()


def test_its_own_tests_pass(tmp_path: Path) -> None:
    write_project(tmp_path)

    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert tested.returncode == 0, tested.stdout


@pytest.mark.parametrize(("first", "cache"), [(True, "miss"), (False, "hit")])
def test_it_runs_and_then_there_is_nothing_to_do(tmp_path: Path, first: bool, cache: str) -> None:
    write_project(tmp_path)
    command = [sys.executable, "-m", "lineal_cli", "run"]
    if not first:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)

    ran = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120)

    assert ran.returncode == 0, ran.stderr
    assert ("nothing to do, 3 stages unchanged" in ran.stdout) is (cache == "hit")


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine", "utf-8")

    written = write_project(tmp_path)

    assert written["created"] == []
    assert all((tmp_path / name).read_text("utf-8") == "mine" for name in FILES)


def test_beside_a_pyproject_the_settings_go_into_lineal_toml(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'mine'\n", "utf-8")

    written = write_project(tmp_path)

    assert "lineal.toml" in written["created"]  # type: ignore[operator]
    assert written["kept"] == ["pyproject.toml"]
    assert load_configuration(tmp_path, environ={}).pipelines == ("pipeline.py:travel",)


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    write_project(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    written = write_project(tmp_path)

    assert written["created"] == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_file_where_the_folder_should_be_is_a_usage_error(tmp_path: Path, call: Callable[..., Any]) -> None:
    (tmp_path / "taken").touch()

    called = call("init", str(tmp_path / "taken"))

    assert called.exit_code == 2
    assert "cannot be written" in called.stderr
