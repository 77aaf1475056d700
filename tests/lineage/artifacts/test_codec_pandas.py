"""pandas frames and series."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support import spelled

from lineal.artifacts import UnreadableValue, UnsupportedValue, codec_named, decode, encode
from lineal.artifacts.codecs import arrow
from lineal.artifacts.codecs.pandas_columns import Filled


def put(frame: Any, folder: Path) -> bytes:
    return encode(frame, type(frame), folder / "value.parquet").path.read_bytes()


def back(folder: Path, kind: Any = pd.DataFrame) -> Any:
    return decode("pandas", folder / "value.parquet", kind)


def column(values: Any, dtype: Any = None) -> Callable[[], Any]:
    return lambda: pd.DataFrame({"x": pd.Series(values, dtype=dtype)})


COLUMNS: dict[str, Callable[[], Any]] = {
    "int8": column([1, -2], "int8"),
    "uint64": column([2**64 - 1], "uint64"),
    "big-endian": column(np.array([1, 2], ">i4")),
    "float16": column([1.5], "float16"),
    "float with nan": column([1.5, np.nan, -0.0]),
    "bool": column([True, False]),
    "Int64": column([1, None], "Int64"),
    "Float64": column([1, None], "Float64"),
    "boolean": column([True, None], "boolean"),
    "str": column(["a", None]),
    "string": column(["a", None], "string"),
    "str in python": column(["a", None], pd.StringDtype("python", na_value=np.nan)),
    "string in python": column(["a", None], pd.StringDtype("python")),
    "datetime in s": column(np.array(["2026-01-01", "NaT"], "M8[s]")),
    "datetime in ns": column(np.array(["2026-01-01", "NaT"], "M8[ns]")),
    "datetime with zone": lambda: pd.DataFrame(
        {"x": pd.to_datetime(["2026-07-01"]).tz_localize("Europe/Berlin")}
    ),
    "datetime with offset": lambda: pd.DataFrame({"x": pd.to_datetime(["2026-01-01T00:00+02:00", None])}),
    "datetime in utc": lambda: pd.DataFrame({"x": pd.to_datetime(["2026-01-01"], utc=True)}),
    "timedelta in s": column(np.array([1, "NaT"], "m8[s]")),
    "categories": column(pd.Categorical(["b", "a", None], categories=["z", "b", "a"])),
    "ordered categories": column(pd.Categorical(["b", "a"], categories=["b", "z", "a"], ordered=True)),
    "categories of int": column(pd.Categorical([3, 1], categories=[3, 2, 1])),
    "categories of datetimes": column(pd.Categorical(pd.to_datetime(["2026-01-01"]))),
    "categories of intervals": column(pd.cut([1, 2, 3], 2)),
    "categories of objects": column(pd.Categorical(["a"], categories=pd.Index(["a"], dtype=object))),
    "no categories": column(pd.Categorical([None])),
    "periods": column(pd.period_range("2026-01", periods=2, freq="M")),
    "intervals": column(pd.interval_range(0, 2)),
    "objects str": column(["a", None], object),
    "objects str with nan": column(["a", np.nan], object),
    "objects str with NA": column(["a", pd.NA], object),
    "objects bytes": column([b"a"], object),
    "objects bool": column([True, None], object),
    "objects int": column([1, None], object),
    "objects float": column([1.5, None], object),
    "objects date": column([dt.date(2026, 1, 1), None], object),
    "objects time": column([dt.time(1, 2, 3, 4)], object),
    "objects Decimal": column([Decimal("1.10"), Decimal("-20.00")], object),
    "objects none": column([None, None], object),
    "objects nan": column([np.nan], object),
    "objects empty": column([], object),
    "arrow int": column([1, None], pd.ArrowDtype(pa.int32())),
    "arrow list": column([[1], None], pd.ArrowDtype(pa.list_(pa.int32()))),
    "arrow dictionary": column(["a", "b"], pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))),
    "arrow timestamp": column([dt.datetime(2026, 1, 1)], pd.ArrowDtype(pa.timestamp("s"))),
}


def indexed(index: Any) -> Callable[[], Any]:
    return lambda: pd.DataFrame({"x": range(len(index))}, index=index)


def labelled(labels: Any) -> Callable[[], Any]:
    return lambda: pd.DataFrame([range(len(labels))], columns=labels)


FRAMES: dict[str, Callable[[], Any]] = {
    "nothing": pd.DataFrame,
    "no rows": lambda: pd.DataFrame({"x": pd.Series([], dtype="int32")}),
    "no columns": lambda: pd.DataFrame(index=[1, 2, 3]),
    "no columns and a range": lambda: pd.DataFrame(index=pd.RangeIndex(3)),
    "range": indexed(pd.RangeIndex(3, 9, 2, name="r")),
    "index of int": indexed(pd.Index([0, 1])),
    "index of int32": indexed(pd.Index([5], dtype="int32", name=3)),
    "index of str": indexed(pd.Index(["a"])),
    "index of objects": indexed(pd.Index(["a"], dtype=object)),
    "index of categories": indexed(pd.CategoricalIndex(["b"], categories=["a", "b"])),
    "index with frequency": indexed(pd.date_range("2026-01-01", periods=2, freq="W-MON")),
    "index with zone": indexed(pd.date_range("2026-01-01", periods=2, freq="h", tz="Europe/Berlin")),
    "index of timedeltas": indexed(pd.timedelta_range("1h", periods=2)),
    "index of periods": indexed(pd.period_range("2026-01", periods=2, freq="M")),
    "index of levels": indexed(pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["n", None])),
    "index named like a column": indexed(pd.Index([5], name="x")),
    "column named like an index": lambda: pd.DataFrame({"__index_level_0__": [1]}, index=[4]),
    "labels of int": labelled(pd.Index([3, 1])),
    "labels of range": labelled(pd.RangeIndex(2)),
    "labels of objects": labelled(pd.Index(["a"], dtype=object)),
    "labels of categories": labelled(pd.CategoricalIndex(["a"])),
    "labels of datetimes": labelled(pd.to_datetime(["2026-01-01"])),
    "labels of levels": labelled(pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")], names=["x", None])),
    "labels with a name": labelled(pd.Index(["a"], name="labels")),
    "labels none": labelled(pd.Index([None])),
}


@pytest.mark.parametrize("name", [*COLUMNS, *FRAMES])
def test_a_frame_comes_back_exactly(name: str, tmp_path: Path) -> None:
    frame = (COLUMNS | FRAMES)[name]()
    first = put(frame, tmp_path)

    same = back(tmp_path)

    pd.testing.assert_frame_equal(same, frame, check_exact=True, check_freq=True)
    assert list(same.dtypes) == list(frame.dtypes)
    assert type(same.index) is type(frame.index)
    assert type(same.columns) is type(frame.columns)
    assert [type(item) for item in same.to_numpy().ravel()] == [
        type(item) for item in frame.to_numpy().ravel()
    ]
    assert put(same, tmp_path) == first


def test_what_comes_back_can_be_written_to(tmp_path: Path) -> None:
    put(pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}), tmp_path)

    same = back(tmp_path)
    same.loc[0, "a"] = 5.0

    assert same["a"].tolist() == [5.0, 2.0]


@pytest.mark.parametrize("name", [None, "delay", 3, ("a", 1)], ids=spelled)
def test_a_series_comes_back_exactly(name: Any, tmp_path: Path) -> None:
    series = pd.Series([1, 2], index=["a", "b"], name=name, dtype="int8")

    put(series, tmp_path)

    pd.testing.assert_series_equal(back(tmp_path, pd.Series), series)
    with pytest.raises(UnreadableValue, match=r"hold pandas\.Series where pandas\.DataFrame"):
        back(tmp_path)


def test_attributes_of_a_frame_are_kept(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"source": "faa", "years": (2012, 2013)}

    put(frame, tmp_path)

    assert back(tmp_path).attrs == {"source": "faa", "years": (2012, 2013)}


def test_equal_frames_give_equal_bytes_however_they_were_made(tmp_path: Path) -> None:
    whole = pd.DataFrame({"a": [1.0, 2.0, 3.0], "s": ["x", "y", "x"]})
    pieces = pd.concat([whole[:1], whole[1:]])
    added = pd.DataFrame({"s": ["x", "y", "x"]})
    added.insert(0, "a", [1.0, 2.0, 3.0])
    strided = pd.DataFrame(np.arange(1.0, 4.0)[:, None].repeat(2, axis=1)[:, :1], columns=["a"])
    strided["s"] = ["x", "y", "x"]
    larger = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "s": ["z", "x", "y", "x"]})[1:].reset_index(drop=True)

    frames = (whole, pieces.reset_index(drop=True), added, strided, larger)

    assert len({put(frame, tmp_path) for frame in frames}) == 1


def test_a_range_and_the_same_numbers_written_out_are_two_indexes(tmp_path: Path) -> None:
    assert put(pd.DataFrame({"a": [1]}, index=pd.RangeIndex(1)), tmp_path) != put(
        pd.DataFrame({"a": [1]}, index=[0]), tmp_path
    )


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "mixed": (column(["a", 1], object), "column 'x': objects of type int, str"),
    "lists": (column([[1]], object), "column 'x': objects of type list"),
    "numpy objects": (column([np.float64(1)], object), "column 'x': objects of type numpy.float64"),
    "big ints": (column([2**70], object), "column 'x': values of dtype object cannot be kept"),
    "complex": (column([1j]), "column 'x': dtype complex128 has no place in a table"),
    "sparse": (column(pd.arrays.SparseArray([0, 1])), "column 'x': dtype Sparse"),
    "two marks": (
        column(["a", None, np.nan], object),
        "column 'x': missing values are marked in more than one",
    ),
    "decimals": (
        column([Decimal("1.1"), Decimal("1.10")], object),
        "column 'x': Decimals with different numbers",
    ),
    "no Unicode": (column(["\ud800"], object), "column 'x': values of dtype object cannot be kept"),
    "duplicates": (labelled(["a", "a"]), "more than one column 'a'"),
    "mixed labels": (labelled(["a", 1]), "the column labels: objects of type int, str"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_table_cannot_bring_back_is_refused_and_the_column_named(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]

    with pytest.raises(UnsupportedValue, match=message) as caught:
        put(make(), tmp_path)

    assert caught.value.hint is not None


def test_attributes_that_are_no_plain_values_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"source": object()}

    with pytest.raises(UnsupportedValue, match=r"attrs\['source'\]: is of the class object"):
        put(frame, tmp_path)


def test_a_subclass_is_refused_under_the_annotation_of_its_base(tmp_path: Path) -> None:
    class Grid(pd.DataFrame):
        pass

    with pytest.raises(UnsupportedValue, match="would come back as a plain DataFrame"):
        encode(Grid({"a": [1]}), pd.DataFrame, tmp_path / "value")


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1], "c": pd.Categorical(["x"])}, index=pd.Index(["k"], name="key")),
        pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(3, 7, 2)),
        pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, "b")], names=["n", "s"])),
    ],
    ids=["named", "range", "levels"],
)
def test_pandas_itself_finds_index_and_values_in_the_file(frame: Any, tmp_path: Path) -> None:
    put(frame, tmp_path)

    read = pd.read_parquet(tmp_path / "value.parquet")

    pd.testing.assert_frame_equal(
        read, frame, check_dtype=False, check_categorical=False, check_index_type=False
    )


def test_a_frame_of_several_row_groups_comes_back_whole_and_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "ROWS_IN_GROUP", 10)
    rows = 25
    moments = np.arange(rows).astype("M8[s]")
    moments[3] = "NaT"
    frame = pd.DataFrame(
        {
            "big-endian": np.arange(rows, dtype=">i4"),
            "flag": np.arange(rows) % 3 == 0,
            "half": np.arange(rows, dtype="float16"),
            "time": moments,
            "text": [None, *map(str, range(1, rows))],
            "kind": pd.Categorical(["a", "b", None, "a", "a"] * 5, categories=["z", "b", "a"]),
            "number": pd.array([None, *range(1, rows)], dtype="Int64"),
        },
        index=pd.Index(np.arange(rows) * 2.0, name="at"),
    )
    put(frame, tmp_path)

    read = back(tmp_path)

    pd.testing.assert_frame_equal(read, frame)
    assert put(read, tmp_path) == put(frame, tmp_path)
    for name in frame.columns:
        read.loc[4.0, name] = read.loc[2.0, name]
        assert read.loc[4.0, name] == frame.loc[2.0, name]


def test_a_file_with_fewer_rows_than_it_says_is_no_array() -> None:
    array = Filled(3, {"dtype": "<i8"})
    array.add(pa.array([1, 2]))

    with pytest.raises(ValueError, match="2 of 3 rows are there"):
        array.whole()


def test_the_description_says_class_rows_and_columns(tmp_path: Path) -> None:
    encoded = encode(pd.DataFrame({"a": [1], "s": ["x"]}), pd.DataFrame, tmp_path / "value")

    assert encoded.description == {
        "class": "pandas.DataFrame",
        "rows": 1,
        "columns": {"a": "int64", "s": "str"},
    }


def test_a_preview_shows_the_first_rows(tmp_path: Path) -> None:
    put(pd.DataFrame({"a": range(50)}), tmp_path)

    assert codec_named("pandas").preview(tmp_path / "value.parquet", 1)["first"] == [{"a": 0}]


def test_an_arrow_artifact_is_no_pandas_artifact(tmp_path: Path) -> None:
    encode(pa.table({"a": [1]}), pa.Table, tmp_path / "value.parquet")

    with pytest.raises(UnreadableValue):
        back(tmp_path)
