from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, NewType, Protocol, TypedDict

import numpy as np
import pandas as pd
import pytest

from lineal.artifacts import File, LogicalDate, Metrics
from lineal.stages.annotations import accepts, describe, disjoint

UserId = NewType("UserId", int)


class Readable(Protocol):
    def read(self) -> bytes: ...


class Options(TypedDict):
    depth: int


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 1),
        (int, True),
        (float, 1),
        (float, 1.5),
        (complex, 1.5),
        (int | None, None),
        (date, datetime(2013, 1, 1)),
        (LogicalDate, date(2013, 1, 1)),
        (Metrics, {"auc": 0.7}),
        (Sequence[int], [1]),
        (Mapping[str, int], {"a": 1}),
        (Literal["gini", "entropy"], "gini"),
        (Literal["auto"] | int, 3),
        (UserId, 3),
        (str, np.str_("a")),
        (int, np.int64(1)),
    ],
)
def test_a_constant_that_fits_is_accepted(annotation: object, value: object) -> None:
    check = accepts(annotation)

    assert check is not None
    assert check(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "1"),
        (int, 1.0),
        (int, None),
        (str, 1),
        (bool, 1),
        (int | None, "x"),
        (File, "raw.csv"),
        (Path, "raw.csv"),
        (list[int], (1, 2)),
        (pd.DataFrame, [1]),
        (Literal["gini", "entropy"], "gin"),
        (Literal[1], True),
        (UserId, "3"),
        (Callable[[], int], "f"),
    ],
)
def test_a_constant_of_evidently_another_type_is_not(annotation: object, value: object) -> None:
    check = accepts(annotation)

    assert check is not None
    assert not check(value)


@pytest.mark.parametrize(
    "annotation", [Any, object, Readable, Options, None | Options, int | Any, "unresolved"]
)
def test_nothing_is_said_of_annotations_that_classes_cannot_decide(annotation: object) -> None:
    assert accepts(annotation) is None


@pytest.mark.parametrize(
    ("given", "wanted"), [(str, int), (pd.DataFrame, pd.Series), (type(None), str), (float, int)]
)
def test_classes_of_which_neither_is_the_others_subclass_are_disjoint(given: type, wanted: type) -> None:
    assert disjoint(given, wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (int, float),
        (bool, int),
        (object, int),
        (datetime, date),
        (date, LogicalDate),
        (Any, int),
        (int, Any),
        (int | None, str),
        (list[int], dict),
        (dict, Mapping),
        (bytes, Readable),
        (str, os.PathLike[str]),
        (dict, Options),
    ],
)
def test_whatever_may_fit_passes(given: object, wanted: object) -> None:
    assert not disjoint(given, wanted)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (pd.DataFrame, "pandas.DataFrame"),
        (int, "int"),
        (str | None, "str | None"),
        (dict[str, int], "dict[str, int]"),
        (Mapping[str, int], "Mapping[str, int]"),
        (LogicalDate, "datetime.date"),
        (Any, "anything"),
        (None, "None"),
        (Options, "Options"),
        (UserId, "int"),
    ],
)
def test_annotations_are_described_as_users_write_them(annotation: object, text: str) -> None:
    assert describe(annotation) == text
