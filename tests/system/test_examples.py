"""The examples are what users copy: they must satisfy the strict type checkers, and their domain code must be right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"


@pytest.mark.parametrize(
    "checker",
    [
        ["-m", "mypy", "--strict", "--no-incremental", "."],
        ["-m", "pyright", "--pythonpath", sys.executable, "flights.py", "contracts.py", "features"],
    ],
    ids=["mypy --strict", "pyright"],
)
def test_the_flights_example_satisfies_the_type_checker(checker: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *checker], cwd=FLIGHTS, capture_output=True, text=True, check=False, timeout=300
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_demonstration_holds_every_claim_that_it_makes() -> None:
    done = subprocess.run(
        [sys.executable, FLIGHTS / "demo.py"], capture_output=True, text=True, check=False, timeout=300
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("checked:") >= 18
