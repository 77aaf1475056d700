"""User code under mypy --strict and pyright's strict mode: what is right passes, what is wrong is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent / "typing_examples"
ROOT = Path(__file__).parents[3]


def marked_lines(path: Path) -> set[int]:
    return {number for number, line in enumerate(path.read_text().splitlines(), 1) if "# mistake: " in line}


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    """The errors that mypy --strict reports in each example, by line."""
    cache = tmp_path_factory.mktemp("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--output=json"]
    command += ["--cache-dir", str(cache), *map(str, sorted(EXAMPLES.glob("*.py")))]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not found.stderr, found.stderr
    errors: dict[str, dict[int, str]] = {path.name: {} for path in EXAMPLES.glob("*.py")}
    for line in found.stdout.splitlines():
        report = json.loads(line)
        if report["severity"] == "error":
            errors[Path(report["file"]).name][report["line"]] = report["message"]
    return errors


@pytest.fixture(scope="module")
def pyright() -> dict[str, dict[int, str]]:
    """The errors that pyright reports in each example, by line."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    command += map(str, sorted(EXAMPLES.glob("*.py")))
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    errors: dict[str, dict[int, str]] = {path.name: {} for path in EXAMPLES.glob("*.py")}
    for report in json.loads(found.stdout)["generalDiagnostics"]:
        if report["severity"] == "error":
            errors[Path(report["file"]).name][report["range"]["start"]["line"] + 1] = report["message"]
    return errors


def test_mypy_finds_no_error_in_what_is_right(mypy: dict[str, dict[int, str]]) -> None:
    assert mypy["flights.py"] == {}


def test_pyright_finds_no_error_in_what_is_right(pyright: dict[str, dict[int, str]]) -> None:
    assert pyright["flights.py"] == {}


def test_mypy_finds_every_mistake_and_nothing_else(mypy: dict[str, dict[int, str]]) -> None:
    assert set(mypy["mistakes.py"]) == marked_lines(EXAMPLES / "mistakes.py")


def test_pyright_finds_every_mistake_and_nothing_else(pyright: dict[str, dict[int, str]]) -> None:
    assert set(pyright["mistakes.py"]) == marked_lines(EXAMPLES / "mistakes.py")
