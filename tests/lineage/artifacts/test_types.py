"""`Metrics`, `LogicalDate` and `Secret`."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from datetime import date
from typing import assert_type

import pytest

from lineal.artifacts import LogicalDate, Metrics, Secret, is_marked


def test_a_plain_dict_is_a_value_of_metrics_and_its_items_are_floats() -> None:
    metrics: Metrics = {"auc": 0.7}

    assert_type(metrics["auc"], float)  # what the type checkers see
    assert metrics["auc"] == 0.7


def test_aliases_are_told_from_the_plain_types_by_their_markers() -> None:
    assert is_marked(LogicalDate, "logical_date")
    assert is_marked(Metrics | None, "metrics")
    assert not is_marked(date, "logical_date")
    assert not is_marked(Mapping[str, float], "metrics")


@pytest.mark.parametrize(
    "show", [repr, str, "{}".format, "{:>30}".format, "{!r}".format, lambda secret: f"{[secret]}"]
)
def test_a_secret_never_shows_what_it_holds(show: object) -> None:
    assert "hunter2" not in show(Secret("hunter2"))  # type: ignore[operator]


def test_a_secret_is_no_json() -> None:
    with pytest.raises(TypeError):
        json.dumps(Secret("hunter2"))


def test_a_secret_reveals_its_text_on_request_and_after_the_way_to_a_worker() -> None:
    assert pickle.loads(pickle.dumps(Secret("hunter2"))).reveal() == "hunter2"
    assert Secret("a") == Secret("a")
    assert Secret("a") != "a"


def test_a_secret_holds_text() -> None:
    with pytest.raises(TypeError, match="holds a str, not int"):
        Secret(3)  # type: ignore[arg-type]
