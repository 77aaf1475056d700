"""What changed in an input, by how it was described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lineal.graph.explain_inputs import Content, explain_contents, explain_descriptions


def frame(rows: int, **columns: str) -> dict[str, Any]:
    return {"class": "pandas.DataFrame", "rows": rows, "columns": columns}


def test_of_tables_columns_and_rows_are_told() -> None:
    before = frame(336_776, dep_delay="float64", carrier="str")
    after = frame(336_780, dep_delay="int32", origin="str")

    assert explain_descriptions(before, after) == [
        "column `dep_delay`: float64 → int32",
        "column `origin` is new (str)",
        "column `carrier` is gone (str)",
        "rows 336,776 → 336,780",
    ]


def test_columns_that_no_description_had_room_for_are_counted() -> None:
    before = {"columns": {"a": "int64"}, "columns_left_out": 10, "rows": 1}

    assert explain_descriptions(before, {**before, "columns_left_out": 12}) == ["columns 11 → 13"]


def test_of_arrays_shape_and_dtype_are_told() -> None:
    before, after = {"shape": [3, 4], "dtype": "float64"}, {"shape": [3, 5], "dtype": "float32"}

    assert explain_descriptions(before, after) == ["dtype float64 → float32", "shape 3×4 → 3×5"]


def test_of_metrics_and_small_values_the_values_are_told() -> None:
    metrics = explain_descriptions(
        {"class": "dict", "length": 2, "value": {"auc": 0.71, "old": 1}},
        {"class": "dict", "length": 2, "value": {"auc": 0.69, "new": 2}},
    )

    assert metrics == ["`auc`: 0.71 → 0.69", "`new` is new: 2", "`old` is gone"]
    assert explain_descriptions({"class": "int", "value": 1}, {"class": "int", "value": 2}) == ["1 → 2"]
    assert explain_descriptions({"value": {"x": float("nan")}}, {"value": {"x": float("nan")}}) == []


def test_of_models_class_and_features_are_told() -> None:
    before = {"class": "sklearn.Ridge", "features": 10, "sklearn": "1.8"}
    after = {"class": "sklearn.Lasso", "features": 12, "sklearn": "1.9"}

    assert explain_descriptions(before, after) == [
        "class sklearn.Ridge → sklearn.Lasso",
        "scikit-learn 1.8 → 1.9",
        "features 10 → 12",
    ]


def test_another_codec_is_all_there_is_to_tell() -> None:
    assert explain_contents(Content("json"), Content("pandas")) == ["kept as json → pandas"]


def test_where_nothing_else_is_known_the_size_is_told() -> None:
    before, after = Content("pickle", size_bytes=5_600_000), Content("pickle", size_bytes=5_700_000)

    assert explain_contents(before, after) == ["5.6 MB → 5.7 MB"]
    assert explain_contents(Content("pickle"), Content("pickle")) == []


def test_of_directories_the_files_are_told() -> None:
    before = Content("directory", files=lambda: {"a": "1", "b": "2", "c": "3"})
    after = Content("directory", files=lambda: {"a": "9", "b": "2", "d": "4"})

    assert explain_contents(before, after) == ["a changed", "d is new", "c is gone"]
    many = Content("directory", files=lambda: {str(number): "1" for number in range(20)})
    assert explain_contents(Content("directory", files=dict), many)[-1] == "and 12 more files"


def test_a_pickle_is_not_even_opened() -> None:
    def refused() -> Path | None:
        raise AssertionError

    found = explain_contents(Content("pickle", local=refused), Content("pickle", local=refused))

    assert found == []


def test_descriptions_that_no_codec_gave_are_passed_over() -> None:
    """A record may come from anybody's store."""
    before = {
        "rows": "many",
        "shape": 3,
        "columns": {"a": 1},
        "columns_left_out": "x",
        "value": object,
        "length": None,
    }
    after = {
        "rows": [],
        "shape": "wide",
        "columns": {"a": 1},
        "columns_left_out": 2,
        "value": {},
        "length": {},
    }

    assert explain_descriptions(before, after) == []
    assert explain_descriptions({"columns": 3}, {"columns": {"a": "int"}}) == []
