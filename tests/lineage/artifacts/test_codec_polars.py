"""polars frames and series."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.artifacts import UnreadableValue, UnsupportedValue, codec_named, decode, encode
from lineal.artifacts.codecs import arrow


def put(value: Any, folder: Path) -> bytes:
    return encode(value, type(value), folder / "value.parquet").path.read_bytes()


def back(folder: Path, kind: Any = pl.DataFrame) -> Any:
    return decode("polars", folder / "value.parquet", kind)


def column(values: list[Any], dtype: Any) -> Any:
    return pl.DataFrame({"x": pl.Series(values, dtype=dtype)})


class Grid(pl.DataFrame):
    pass


NAN = float("nan")
MOMENT = dt.datetime(2026, 7, 1, 12, 30)
COLORS = pl.Enum(["red", "green", "blue"])

COLUMNS: dict[str, Any] = {
    "bool": column([True, None], pl.Boolean),
    "int8": column([1, None, -2], pl.Int8),
    "uint64": column([2**64 - 1], pl.UInt64),
    "float16": column([1.5, None], pl.Float16),
    "float32": column([1.5, NAN, None], pl.Float32),
    "float64": column([0.0, -0.0, NAN, None], pl.Float64),
    "decimal": column([Decimal("1.10"), None, Decimal("-20.00")], pl.Decimal(12, 2)),
    "string": column(["a", None, ""], pl.String),
    "binary": column([b"a", None, b"\xff"], pl.Binary),
    "date": column([dt.date(2026, 1, 1), None], pl.Date),
    "time": column([dt.time(1, 2, 3, 4), None], pl.Time),
    "datetime in ms": column([MOMENT, None], pl.Datetime("ms")),
    "datetime in ns": column([MOMENT, None], pl.Datetime("ns")),
    "datetime with zone": column([MOMENT, None], pl.Datetime("us", "Europe/Berlin")),
    "datetime in utc": column([MOMENT], pl.Datetime("us", "UTC")),
    "duration in ms": column([dt.timedelta(hours=1), None], pl.Duration("ms")),
    "duration in ns": column([dt.timedelta(hours=1), None], pl.Duration("ns")),
    "categorical": column(["b", None, "a", "b"], pl.Categorical),
    "named categorical": column(["b"], pl.Categorical(pl.Categories("airports", "us", pl.UInt8))),
    "enum": column(["green", None, "red"], COLORS),
    "enum of nothing": column([None], pl.Enum([])),
    "list": column([[1], None, [], [None]], pl.List(pl.Int16)),
    "list of categorical": column([["b", "a"], None], pl.List(pl.Categorical)),
    "array": column([[1.0, NAN], None, [None, 2.0]], pl.Array(pl.Float32, 2)),
    "array of arrays": column([[[1, 2], [3, 4]]], pl.Array(pl.Int8, (2, 2))),
    "array of enum": column([["red", None], None], pl.Array(COLORS, 2)),
    "struct": column([{"a": 1, "b": ["x"]}, None], pl.Struct({"a": pl.Int8, "b": pl.List(pl.String)})),
    "struct of enum": column([{"a": "red", "b": None}], pl.Struct({"a": COLORS, "b": pl.Categorical})),
    "null": column([None, None], pl.Null),
    "list of null": column([[None], []], pl.List(pl.Null)),
}

FRAMES: dict[str, Any] = {
    "nothing": pl.DataFrame(),
    "columns in their order": pl.DataFrame({"z": [1], "a": ["x"], "m": [None]}),
    "odd names": pl.DataFrame({"": [1], "a.b": [2], "column_0": [3]}),
}


def assert_same(read: Any, frame: Any) -> None:
    assert read.schema == frame.schema
    assert read.columns == frame.columns
    assert read.equals(frame)


@pytest.mark.parametrize("name", [*COLUMNS, *FRAMES])
def test_a_frame_comes_back_exactly(name: str, tmp_path: Path) -> None:
    frame = (COLUMNS | FRAMES)[name]
    first = put(frame, tmp_path)

    same = back(tmp_path)

    assert type(same) is pl.DataFrame
    assert_same(same, frame)
    assert put(same, tmp_path) == first


@pytest.mark.parametrize("name", COLUMNS)
def test_a_frame_without_rows_keeps_its_dtypes_and_has_one_writing(name: str, tmp_path: Path) -> None:
    frame = COLUMNS[name]

    declared = put(pl.DataFrame(schema=frame.schema), tmp_path)

    assert_same(back(tmp_path), frame.clear())
    assert put(frame.head(0), tmp_path) == declared


@pytest.mark.parametrize("name", COLUMNS)
def test_the_bytes_do_not_show_how_a_frame_was_chunked(name: str, tmp_path: Path) -> None:
    pieces = pl.concat([COLUMNS[name]] * 3, rechunk=False)

    assert put(pieces, tmp_path) == put(pieces.rechunk(), tmp_path)
    assert_same(back(tmp_path), pieces)


DTYPES = st.recursive(
    st.sampled_from(
        [
            pl.Boolean(),
            pl.Int8(),
            pl.UInt64(),
            pl.Float32(),
            pl.Float64(),
            pl.String(),
            pl.Binary(),
            pl.Date(),
            pl.Time(),
            pl.Datetime("ms", "Asia/Tokyo"),
            pl.Datetime("us"),
            pl.Duration("us"),
            pl.Decimal(20, 3),
            pl.Categorical(),
            COLORS,
            pl.Null(),
        ]
    ),
    lambda inner: st.one_of(
        inner.map(pl.List),
        st.builds(pl.Array, inner, st.integers(1, 2)),
        st.lists(inner, min_size=1, max_size=2).map(
            lambda dtypes: pl.Struct({f"field {at}": dtype for at, dtype in enumerate(dtypes)})
        ),
    ),
    max_leaves=3,
)


def values_of(dtype: Any) -> st.SearchStrategy[Any]:
    if isinstance(dtype, pl.List):
        some: st.SearchStrategy[Any] = st.lists(values_of(dtype.inner), max_size=3)
    elif isinstance(dtype, pl.Array):
        some = st.lists(values_of(dtype.inner), min_size=dtype.size, max_size=dtype.size)
    elif isinstance(dtype, pl.Struct):
        some = st.fixed_dictionaries({field.name: values_of(field.dtype) for field in dtype.fields})
    elif isinstance(dtype, pl.Categorical):
        some = st.text(st.characters(codec="utf-8"), max_size=2)
    elif isinstance(dtype, pl.Enum):
        some = st.sampled_from(dtype.categories.to_list())
    else:
        some = PLAIN[type(dtype)]
    return st.none() | some


MOMENTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1))
PLAIN: dict[type, st.SearchStrategy[Any]] = {
    pl.Boolean: st.booleans(),
    pl.Int8: st.integers(-128, 127),
    pl.UInt64: st.integers(0, 2**64 - 1),
    pl.Float32: st.floats(width=32),
    pl.Float64: st.floats(),
    pl.String: st.text(st.characters(codec="utf-8"), max_size=5),
    pl.Binary: st.binary(max_size=5),
    pl.Date: st.dates(),
    pl.Time: st.times(),
    pl.Datetime: MOMENTS,
    pl.Duration: st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000)),
    pl.Decimal: st.decimals(-1000, 1000, places=3),
    pl.Null: st.none(),
}


@st.composite
def frames(draw: st.DrawFn) -> Any:
    rows = draw(st.integers(0, 4))
    dtypes = draw(st.lists(DTYPES, min_size=1, max_size=3))
    return pl.DataFrame(
        {
            f"column {at}": pl.Series(
                draw(st.lists(values_of(dtype), min_size=rows, max_size=rows)), dtype=dtype
            )
            for at, dtype in enumerate(dtypes)
        }
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=frames(), cut=st.integers(0, 4))
def test_any_frame_comes_back_exactly_and_has_one_writing(frame: Any, cut: int, tmp_path: Path) -> None:
    first = put(frame, tmp_path)

    read = back(tmp_path)

    assert_same(read, frame)
    assert put(read, tmp_path) == first
    assert put(pl.concat([frame[:cut], frame[cut:]], rechunk=False), tmp_path) == first


def test_the_order_in_which_categories_were_seen_is_not_in_the_bytes(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, polars as pl; from lineal.artifacts import encode\n"
        "seen = pl.Series(sys.argv[2:], dtype=pl.Categorical)\n"
        "frame = pl.DataFrame({'x': pl.Series(['a', 'b', 'a'], dtype=pl.Categorical)})\n"
        "encode(frame, pl.DataFrame, pathlib.Path(sys.argv[1]))\n"
    )
    for seed, seen in ("1", ["z", "b", "a"]), ("2", ["a"]):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / seed), *seen],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
        )

    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_an_enum_with_other_categories_gives_other_bytes(tmp_path: Path) -> None:
    one, other = (column(["a"], pl.Enum(categories)) for categories in (["a", "b"], ["b", "a"]))

    assert put(one, tmp_path) != put(other, tmp_path)


@pytest.mark.parametrize("name", ["delay", ""], ids=["named", "nameless"])
def test_a_series_comes_back_exactly(name: str, tmp_path: Path) -> None:
    series = pl.Series(name, ["red", None], dtype=COLORS)

    put(series, tmp_path)

    read = back(tmp_path, pl.Series)
    assert (read.name, read.dtype, read.to_list()) == (name, COLORS, ["red", None])
    with pytest.raises(UnreadableValue, match=r"hold polars\..*Series where polars\..*DataFrame"):
        back(tmp_path)


def test_a_frame_of_several_row_groups_comes_back_whole_however_chunked_and_can_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "ROWS_IN_GROUP", 10)
    frame = pl.DataFrame(
        {"x": range(25), "s": pl.Series(["a", "b", None, "b", "c"] * 5, dtype=pl.Categorical)}
    )
    pieces = pl.concat([frame[:7], frame[7:]], rechunk=False)
    assert pieces.n_chunks() == 2

    assert put(pieces, tmp_path) == put(frame, tmp_path)
    read = back(tmp_path)

    assert_same(read, frame)
    read[4, "x"] = 99
    assert read["x"].to_list()[3:6] == [3, 99, 5]


REFUSED: dict[str, tuple[Any, str]] = {
    "objects": (column([object()], pl.Object), "column 'x': dtype Object has no place in a table"),
    "128 bits": (column([1], pl.Int128), "column 'x': dtype Int128 has no place in a table"),
    "empty arrays": (column([[]], pl.Array(pl.Int8, 0)), "column 'x': a list of the fixed length 0"),
    "empty structs": (column([{}], pl.Struct([])), "column 'x': a struct without fields"),
    "no columns": (pl.DataFrame(height=3), "3 rows and no columns"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_table_cannot_bring_back_is_refused_and_the_column_named(name: str, tmp_path: Path) -> None:
    frame, message = REFUSED[name]

    with pytest.raises(UnsupportedValue, match=message) as caught:
        put(frame, tmp_path)

    assert caught.value.hint is not None


@pytest.mark.parametrize("annotation", [pl.LazyFrame, pl.DataFrame, Any], ids=["lazy", "frame", "any"])
def test_a_lazy_frame_has_to_be_collected_first(annotation: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue, match=r"polars\.LazyFrame, which is a plan") as caught:
        encode(pl.DataFrame({"a": [1]}).lazy(), annotation, tmp_path / "value")

    assert caught.value.hint is not None
    assert "collect()" in caught.value.hint


def test_a_subclass_is_refused_under_the_annotation_of_its_base(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue, match="would come back as a plain DataFrame"):
        encode(Grid({"a": [1]}), pl.DataFrame, tmp_path / "value")


def test_polars_itself_reads_the_file_as_a_plain_table(tmp_path: Path) -> None:
    put(pl.DataFrame({"x": [1, 2], "s": pl.Series(["red", None], dtype=COLORS)}), tmp_path)

    read = pl.read_parquet(tmp_path / "value.parquet")

    assert read.to_dict(as_series=False) == {"x": [1, 2], "s": ["red", None]}


def test_the_description_says_class_rows_and_columns(tmp_path: Path) -> None:
    encoded = encode(
        pl.DataFrame({"a": [1], "at": pl.Series([MOMENT], dtype=pl.Datetime("ms"))}), Any, tmp_path / "value"
    )

    assert encoded.codec == "polars"
    assert encoded.description == {
        "class": "polars.DataFrame",
        "rows": 1,
        "columns": {"a": "Int64", "at": "Datetime(time_unit='ms', time_zone=None)"},
    }


def test_many_categories_leave_room_for_other_columns_in_the_description(tmp_path: Path) -> None:
    many = pl.Enum([f"category {number}" for number in range(1000)])

    columns = encode(pl.DataFrame(schema={"many": many, "a": pl.Int8}), Any, tmp_path / "value").description[
        "columns"
    ]

    assert columns["many"].startswith("Enum(categories=['category 0', ")
    assert len(columns["many"]) == 200
    assert columns["a"] == "Int8"


def test_a_preview_shows_the_first_rows(tmp_path: Path) -> None:
    put(pl.DataFrame({"a": range(50), "s": pl.Series(["red"] * 50, dtype=COLORS)}), tmp_path)

    preview = codec_named("polars").preview(tmp_path / "value.parquet", 1)

    assert (preview["rows"], preview["first"]) == (50, [{"a": 0, "s": "red"}])


def write_arrow(path: Path) -> None:
    encode(pa.table({"a": [1]}), pa.Table, path)


@pytest.mark.parametrize("write", [write_arrow, lambda path: path.write_bytes(b"PAR1")], ids=["arrow", "cut"])
def test_other_bytes_are_no_polars_artifact(write: Callable[[Path], Any], tmp_path: Path) -> None:
    write(tmp_path / "value.parquet")

    with pytest.raises(UnreadableValue):
        back(tmp_path)
