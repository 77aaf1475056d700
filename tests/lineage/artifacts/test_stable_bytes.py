"""Equal values give equal bytes in every process, with every hash seed, after every refit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = [
    "frame",
    "table",
    "polars frame",
    "array",
    "set",
    "set of tuples",
    "json",
    "pickled sets",
    "parameters",
    "hist_gradient_boosting",
    "random_forest",
    "gradient_boosting",
    "logistic_regression",
    "pipeline",
    "column_transformer",
    "ordinal_encoder",
    "tfidf",
]


@pytest.fixture(scope="module")
def in_two_processes() -> list[dict[str, list[str]]]:
    program = [sys.executable, str(Path(__file__).with_name("stable_samples.py"))]
    started = [
        subprocess.Popen(
            program,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
        )
        for seed in ("1", "2")
    ]
    outputs = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    return [json.loads(output) for output in outputs]


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_the_same_in_two_processes_with_different_hash_seeds(
    name: str, in_two_processes: list[dict[str, list[str]]]
) -> None:
    one, other = in_two_processes

    assert one[name] == other[name]


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_the_same_after_fitting_again_and_after_reading_back(
    name: str, in_two_processes: list[dict[str, list[str]]]
) -> None:
    assert len(set(in_two_processes[0][name])) == 1


def test_every_sample_is_looked_at(in_two_processes: list[dict[str, list[str]]]) -> None:
    assert set(in_two_processes[0]) == set(NAMES)
