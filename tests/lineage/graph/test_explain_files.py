"""Where two files begin to differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lineal.artifacts import encode
from lineal.graph.explain_files import (
    EXPLAINERS,
    explain_arrays,
    explain_columns,
    explain_files,
    explain_json,
    explain_parquet,
)


def files(tmp_path: Path, before: str | bytes, after: str | bytes) -> tuple[Path, Path]:
    paths = tmp_path / "before", tmp_path / "after"
    for path, data in zip(paths, (before, after), strict=True):
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return paths


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("a,b\n1,515\n", "a,b\n1,515.0\n", ["line 2, `b`: 515 → 515.0"]),
        ("a,b\n1,2\n", "a,b\n1,2\n3,4\n", ["line 3 is new: 3,4", "lines 2 → 3"]),
        ("a,b\n1,2\n3,4\n", "a,b\n1,2\n", ["line 3 is gone: 3,4", "lines 3 → 2"]),
        ("a,b\n1,2\n", "a,c\n1,2\n", ["column `c` is new", "column `b` is gone"]),
        ("a,b\n1,2\n", "b,a\n1,2\n", ["the columns are in another order"]),
        ("a;b\n1,5;2\n", "a;b\n1,6;2\n", ["line 2, `a`: 1,5 → 1,6"]),
        ('a,b\n"x, y",2\n', 'a,b\n"x, z",2\n', ["line 2, `a`: x, y → x, z"]),
        ("a,b\n1,2\n", "a,b\n1,2,3\n", ["line 2: 1,2 → 1,2,3"]),
    ],
)
def test_csv_differs_by_its_header_or_in_a_column_of_its_first_other_line(
    tmp_path: Path, before: str, after: str, words: list[str]
) -> None:
    assert explain_files(*files(tmp_path, before, after), "data/x.csv") == words


def test_text_differs_in_a_line(tmp_path: Path) -> None:
    assert explain_files(*files(tmp_path, "one\ntwo\n", "one\n2\n"), "x.txt") == ["line 2: two → 2"]


def test_a_difference_far_inside_is_found_with_its_line(tmp_path: Path) -> None:
    lines = [f"{number}" for number in range(400_000)]
    other = [*lines]
    other[300_000] = "changed"

    assert explain_files(*files(tmp_path, "\n".join(lines), "\n".join(other)), "x.txt") == [
        "line 300001: 300000 → changed"
    ]


def test_of_other_bytes_the_place_is_told(tmp_path: Path) -> None:
    assert explain_files(*files(tmp_path, b"ab\0\xff1", b"ab\0\xff2"), "x.bin") == [
        "different from byte 5 on"
    ]


def test_equal_files_and_lost_ones_have_nothing_to_tell(tmp_path: Path) -> None:
    before, after = files(tmp_path, "a\n", "a\n")

    assert explain_files(before, after, "x.csv") == []
    assert explain_files(before, tmp_path / "gone", "x.csv") == []


def test_many_columns_are_counted() -> None:
    columns = {f"c{number}": "int64" for number in range(20)}

    told = explain_columns(columns, dict.fromkeys(columns, "float64"))

    assert told[0] == "column `c0`: int64 → float64"
    assert told[-1] == "and 12 more columns"


def test_parquet_differs_by_its_schema_or_its_values(tmp_path: Path) -> None:
    def written(name: str, **columns: object) -> Path:
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    delays = pa.array([1.0, None, float("nan")])
    before = written("before", dep_delay=delays, rest=[1, 2, 3])

    assert explain_files(
        before, written("x", dep_delay=pa.array([1, 2, 3], pa.int32()), rest=[1, 2, 3]), "x"
    ) == ["column `dep_delay`: double → int32"]
    assert explain_parquet(before, written("y", dep_delay=delays, rest=[1, 5, 6])) == [
        "column `rest`: 2 of 3 values differ, first in row 1: 2 → 5"
    ]
    assert explain_parquet(before, written("z", dep_delay=delays[:2], rest=[1, 2])) == ["rows 3 → 2"]
    assert explain_parquet(before, written("same", dep_delay=delays, rest=[1, 2, 3])) == []


def test_frames_of_polars_differ_as_other_tables(tmp_path: Path) -> None:
    for name, carrier in {"a": "UA", "b": "DL"}.items():
        frame = pl.DataFrame({"carrier": pl.Series(["AA", carrier], dtype=pl.Categorical)})
        encode(frame, pl.DataFrame, tmp_path / name)

    assert EXPLAINERS["polars"](tmp_path / "a", tmp_path / "b") == [
        "column `carrier`: 1 of 2 values differ, first in row 1: UA → DL"
    ]


def test_arrays_differ_in_values(tmp_path: Path) -> None:
    for name, values in {"a": [1.0, np.nan, 3.0], "b": [1.0, np.nan, 4.0]}.items():
        np.save(tmp_path / f"{name}.npy", np.array(values))

    assert explain_arrays(tmp_path / "a.npy", tmp_path / "b.npy") == [
        "1 of 3 values differ, first at 2: 3.0 → 4.0"
    ]


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.array([{name: 1}], dtype=object), allow_pickle=True)

    assert explain_arrays(tmp_path / "a.npy", tmp_path / "b.npy") == []


def test_json_differs_in_a_place(tmp_path: Path) -> None:
    before, after = ({"auc": auc, "folds": [1, 2, last]} for auc, last in ((0.71, 3), (0.69, 3)))

    assert explain_json(*files(tmp_path, json.dumps(before), json.dumps(after))) == ['["auc"]: 0.71 → 0.69']
    assert explain_json(*files(tmp_path, "{", "}")) == []
