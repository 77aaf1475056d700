from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import spelled

from lineal.stages import (
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    ConditionError,
    Constant,
    ItemMissing,
    Not,
    Result,
    Truth,
    follow,
    holds,
)
from lineal.stages.conditions import Operator

AUC = Result("train", "metrics", ("auc",))
NAN = float("nan")
OPERATORS: list[Operator] = ["<", "<=", "==", "!=", ">", ">="]


def given(value: object) -> Callable[[Result], object]:
    return lambda result: value


@pytest.mark.parametrize(
    ("op", "right", "expected"),
    [("<", 2, True), ("<=", 1, True), ("==", 1.0, True), ("!=", 1, False), (">", 1, False), (">=", 2, False)],
)
def test_a_comparison_holds_as_python_says(op: Operator, right: object, expected: bool) -> None:
    assert holds(Comparison(op, AUC, Constant(right)), given(1)) is expected


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("nan", [NAN, np.float32("nan"), np.float64("nan"), pd.NaT], ids=spelled)
def test_nan_compares_false_in_every_comparison(op: Operator, nan: object) -> None:
    assert not holds(Comparison(op, AUC, Constant(0.5)), given(nan))
    assert not holds(Comparison(op, Constant(0.5), AUC), given(nan))
    assert not holds(Comparison(op, AUC, AUC), given(nan))


def test_nan_is_not_true() -> None:
    assert not holds(Truth(AUC), given(NAN))


@pytest.mark.parametrize(
    ("value", "expected"), [(1, True), (0, False), ("", False), ([0], True), (None, False)]
)
def test_truth_is_that_of_python(value: object, expected: bool) -> None:
    assert holds(Truth(AUC), given(value)) is expected


@pytest.mark.parametrize(
    ("op", "left", "right"),
    [
        ("<", "0.7", 0.65),
        (">=", None, 0.65),
        (">", date(2013, 1, 1), "2013-01-01"),
        ("<", {"auc": 0.7}, 1),
        ("==", np.array([1, 2]), 1),
        ("==", pd.DataFrame({"a": [1, 2]}), 1),
        ("==", pd.NA, 1),
    ],
)
def test_values_that_cannot_be_compared_are_an_error_that_shows_them(
    op: Operator, left: object, right: object
) -> None:
    with pytest.raises(
        ConditionError, match=f"the condition train.metrics.* {op} .* cannot be decided"
    ) as raised:
        holds(Comparison(op, AUC, Constant(right)), given(left))

    assert raised.value.hint
    assert raised.value.kind == "contract"


def test_the_truth_of_a_table_is_an_error() -> None:
    with pytest.raises(ConditionError):
        holds(Truth(AUC), given(pd.DataFrame()))


YES, NO = Truth(Constant(True)), Truth(Constant(False))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (AllOf((YES, YES)), True),
        (AllOf((YES, NO)), False),
        (AnyOf((NO, YES)), True),
        (AnyOf((NO, NO)), False),
        (Not(NO), True),
        (Not(AllOf((YES, AnyOf((NO, YES))))), False),
    ],
)
def test_conditions_combine(condition: Condition, expected: bool) -> None:
    assert holds(condition, given(None)) is expected


def test_evaluation_stops_where_it_is_decided() -> None:
    def never(result: Result) -> object:
        raise AssertionError("asked for a value that decides nothing")

    assert not holds(AllOf((NO, Truth(AUC))), never)
    assert holds(AnyOf((YES, Truth(AUC))), never)


def test_a_condition_names_the_results_it_needs() -> None:
    other = Result("count", "result")
    condition = AllOf((Comparison(">", AUC, other), Not(AnyOf((Truth(AUC), NO)))))

    assert list(condition.references()) == [AUC, other, AUC]


def test_a_condition_reads_as_it_was_written() -> None:
    condition = AllOf((Comparison(">=", AUC, Constant(0.65)), Not(Truth(Result("dry", "result")))))

    assert str(condition) == "(train.metrics['auc'] >= 0.65 & not dry)"


def test_an_item_is_found_by_following_the_path() -> None:
    value = {"auc": [0.5, 0.7]}

    assert follow(Result("train", "metrics", ("auc", 1)), value) == 0.7
    assert follow(Result("train", "metrics"), value) is value


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        (
            {"loss": 1, "acc": 2},
            "the pipeline takes 'auc' from train.metrics, which has no such item",
            "It has: loss, acc.",
        ),
        ({}, "the pipeline takes 'auc' from train.metrics, which has no such item", "It is a dict."),
        (3, "the pipeline takes 'auc' from train.metrics, which has no such item", "It is a int."),
    ],
)
def test_an_item_that_is_not_there_is_named_with_what_there_is(
    value: object, message: str, hint: str
) -> None:
    with pytest.raises(ItemMissing) as raised:
        follow(AUC, value)

    assert (str(raised.value), raised.value.hint) == (message, hint)


def test_an_item_missing_further_in_names_the_part_that_was_found() -> None:
    with pytest.raises(ItemMissing, match=r"takes 9 from train.metrics\['auc'\]"):
        follow(Result("train", "metrics", ("auc", 9)), {"auc": [1]})


@pytest.mark.parametrize("error", [ConditionError("a", "b"), ItemMissing("a", "b")])
def test_errors_survive_pickling(error: Any) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert (type(again), str(again), again.hint) == (type(error), "a", "b")
