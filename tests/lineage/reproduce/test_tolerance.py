"""Equal as far as the user cares: tables by column, arrays by norm, numbers by difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lineal.artifacts import encode
from lineal.reproduce.tolerance import Tolerance, compare_within


def within(
    tmp_path: Path, expected: Any, actual: Any, *, rtol: float = 0.0, atol: float = 0.0
) -> tuple[bool, str] | None:
    paths = [tmp_path / "expected", tmp_path / "actual"]
    codec = ""
    for value, path in zip((expected, actual), paths, strict=True):
        codec = encode(value, object, path).codec
    return compare_within(codec, *paths, Tolerance(rtol, atol))


def test_a_difference_is_measured_against_the_expected_number() -> None:
    tolerance = Tolerance(rtol=0.1, atol=1.0)

    assert tolerance.holds(100.0, 11.0)
    assert not tolerance.holds(100.0, 11.1)
    assert tolerance.holds(-100.0, 11.0)


def test_numbers_in_json_may_differ_and_the_farthest_is_named(tmp_path: Path) -> None:
    old, new = {"auc": 0.9, "rows": [10, 20]}, {"auc": 0.9001, "rows": [10, 22]}

    assert within(tmp_path, old, new, rtol=0.2) == (True, 'largest difference 2 at ["rows"][1]')
    assert within(tmp_path, old, new, rtol=0.01) == (False, 'largest difference 2 at ["rows"][1]')


@pytest.mark.parametrize(
    ("old", "new"),
    [({"a": 1.0}, {"b": 1.0}), ([1.0], [1.0, 2.0]), ({"a": "x"}, {"a": "y"}), ([True], [1])],
)
def test_nothing_but_numbers_may_differ_in_json(tmp_path: Path, old: Any, new: Any) -> None:
    for value, name in ((old, "expected"), (new, "actual")):
        (tmp_path / name).write_text(json.dumps(value))

    paths = tmp_path / "expected", tmp_path / "actual"
    assert compare_within("json", *paths, Tolerance(rtol=10.0, atol=10.0)) is None


def test_tables_of_polars_are_compared_as_others(tmp_path: Path) -> None:
    old, near = (pl.DataFrame({"name": ["a", "b"], "x": [first, None]}) for first in (1.0, 1.0 + 1e-9))

    found = within(tmp_path, old, near, rtol=1e-6)

    assert found == (True, "largest difference 1e-09 in column `x`, row 0")


def test_tables_are_compared_by_columns_and_rows(tmp_path: Path) -> None:
    old = pd.DataFrame({"name": ["a", "b"], "x": [1.0, None], "y": [1, 2]})
    near = old.assign(x=[1.0 + 1e-9, None])

    found = within(tmp_path, old, near, rtol=1e-6)
    assert found == (True, "largest difference 1e-09 in column `x`, row 0")
    found = within(tmp_path, old, near, atol=1e-12)
    assert found is not None
    assert found[0] is False


@pytest.mark.parametrize(
    "change",
    [{"name": ["a", "c"]}, {"x": [None, 1.0]}, {"y": [1.0, 2.0]}, {"z": [0, 0]}],
    ids=["text", "what is missing", "type", "column"],
)
def test_tables_that_differ_in_more_than_numbers_are_no_matter_of_tolerance(
    tmp_path: Path, change: dict[str, list[Any]]
) -> None:
    old = pd.DataFrame({"name": ["a", "b"], "x": [1.0, None], "y": [1, 2]})

    assert within(tmp_path, old, old.assign(**change), rtol=10.0, atol=10.0) is None


def test_infinities_that_are_equal_do_not_differ(tmp_path: Path) -> None:
    old = pd.DataFrame({"x": [np.inf, 1.0]})

    assert within(tmp_path, old, pd.DataFrame({"x": [np.inf, 1.1]}), rtol=0.2) is not None
    found = within(tmp_path, old, pd.DataFrame({"x": [-np.inf, 1.0]}), rtol=0.2)
    assert found is not None
    assert found[0] is False


def test_arrays_are_compared_by_norm(tmp_path: Path) -> None:
    old, new = np.array([3.0, 4.0, np.nan]), np.array([3.0, 4.5, np.nan])

    words = "norm of the difference 0.5, of the array 5"
    assert within(tmp_path, old, new, rtol=0.11) == (True, words)
    assert within(tmp_path, old, new, rtol=0.09) == (False, words)
    assert within(tmp_path, old, np.array([3.0, 4.0]), rtol=1.0) is None
    found = within(tmp_path, old, np.array([3.0, 4.0, 1.0]), rtol=1.0)
    assert found is not None
    assert found[0] is False
