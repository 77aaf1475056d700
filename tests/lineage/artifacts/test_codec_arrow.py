"""Arrow tables."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lineal.artifacts import UnreadableValue, UnsupportedValue, codec_named, decode, encode
from lineal.artifacts.codecs import arrow as codec_module


def put(table: Any, folder: Path) -> bytes:
    return encode(table, pa.Table, folder / "value.parquet").path.read_bytes()


def back(folder: Path) -> Any:
    return decode("arrow", folder / "value.parquet", pa.Table)


TYPES = [
    pa.null(),
    pa.bool_(),
    pa.int8(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.binary(3),
    pa.date32(),
    pa.date64(),
    pa.time32("s"),
    pa.time64("ns"),
    pa.timestamp("s"),
    pa.timestamp("s", "Europe/Berlin"),
    pa.timestamp("ns", "UTC"),
    pa.duration("s"),
    pa.decimal128(30, 2),
    pa.decimal256(60, 2),
    pa.list_(pa.float64()),
    pa.large_list(pa.struct([("at", pa.timestamp("s"))])),
    pa.list_(pa.int32(), 2),
    pa.map_(pa.string(), pa.float32()),
    pa.struct([("a", pa.int32()), ("b", pa.list_(pa.float64()))]),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.uint16(), pa.int64(), ordered=True),
    pa.uuid(),
]


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("rows", [0, 3])
def test_every_type_comes_back_with_its_metadata(kind: Any, rows: int, tmp_path: Path) -> None:
    schema = pa.schema([pa.field("x", kind, metadata={"unit": "m"})], metadata={"source": "test"})
    table = pa.table([pa.nulls(rows, kind)], schema=schema)

    put(table, tmp_path)

    assert back(tmp_path).schema.equals(schema, check_metadata=True)
    assert back(tmp_path).equals(table)


def test_values_come_back(tmp_path: Path) -> None:
    table = pa.table(
        {
            "number": pa.array([1.5, None, -0.0]),
            "at": pa.array([1, 2, None], pa.timestamp("s", "Asia/Tokyo")),
            "nested": pa.array([{"a": [1.0, None]}, None, {"a": []}]),
            "category": pa.array(["b", None, "b"]).dictionary_encode(),
        }
    )

    put(table, tmp_path)

    assert back(tmp_path).equals(table)
    assert math.copysign(1, back(tmp_path)["number"][2].as_py()) == -1


def float_array(bits: list[int]) -> Any:
    return pa.array(np.array(bits, dtype="u8").view("f8"))


NAN, OTHER_NAN, ONE, TWO = 0x7FF8000000000000, 0xFFF8000000000001, 0x3FF0000000000000, 0x4000000000000000


def with_garbage_under_the_null(garbage: float) -> Any:
    validity = pa.array([1.0, None, 3.0]).buffers()[0]
    return pa.Array.from_buffers(
        pa.float64(), 3, [validity, pa.py_buffer(struct.pack("3d", 1.0, garbage, 3.0))]
    )


def list_with_garbage(items: list[float], offsets: list[int]) -> Any:
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(items), mask=pa.array([False, True, False])
    )


def dictionary(codes: list[int | None], values: list[str]) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), values)


SAME: dict[str, tuple[Any, Any]] = {
    "chunks": (pa.chunked_array([[1, 2], [3]]), pa.chunked_array([[1, 2, 3]])),
    "slices": (pa.array([9, 1, 2, 9])[1:3], pa.array([1, 2])),
    "sliced text": (pa.array(["z", "a", None, "z"])[1:3], pa.array(["a", None])),
    "nan": (float_array([ONE, NAN]), float_array([ONE, OTHER_NAN])),
    "nan among nulls": (
        pa.concat_arrays([float_array([NAN]), pa.nulls(1, pa.float64())]),
        pa.concat_arrays([float_array([OTHER_NAN]), pa.nulls(1, pa.float64())]),
    ),
    "nan in lists": (
        pa.ListArray.from_arrays([0, 2], float_array([NAN, ONE])),
        pa.ListArray.from_arrays([0, 2], float_array([OTHER_NAN, ONE])),
    ),
    "nan in structs": (
        pa.StructArray.from_arrays([float_array([NAN])], ["a"]),
        pa.StructArray.from_arrays([float_array([OTHER_NAN])], ["a"]),
    ),
    "under nulls": (with_garbage_under_the_null(2.0), with_garbage_under_the_null(7e7)),
    "under null lists": (
        list_with_garbage([1.0, 2.0, 3.0], [0, 1, 1, 3]),
        list_with_garbage([1.0, 9.0, 9.0, 2.0, 3.0], [0, 1, 3, 5]),
    ),
    "dictionary order": (dictionary([0, 1, None], ["b", "a"]), dictionary([1, 0, None], ["a", "b"])),
    "unused dictionary values": (dictionary([0], ["a"]), dictionary([1], ["z", "a"])),
    "null in a dictionary": (dictionary([0, None], ["a"]), dictionary([0, 1], ["a", None])),  # type: ignore[list-item]
}


@pytest.mark.parametrize("name", SAME)
def test_equal_tables_give_equal_bytes(name: str, tmp_path: Path) -> None:
    one, other = SAME[name]

    assert put(pa.table({"x": one}), tmp_path) == put(pa.table({"x": other}), tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([None], pa.float64()), pa.array([math.nan])),
        (pa.array(["a"]), pa.array(["a"], pa.large_string())),
        (dictionary([0], ["a"]), pa.array(["a"])),
        (
            pa.DictionaryArray.from_arrays([0], ["a", "b"], ordered=True),
            pa.DictionaryArray.from_arrays([1], ["b", "a"], ordered=True),
        ),
    ],
    ids=["zero", "nan and null", "width of text", "dictionary", "ordered dictionary"],
)
def test_different_tables_give_different_bytes(one: Any, other: Any, tmp_path: Path) -> None:
    assert put(pa.table({"x": one}), tmp_path) != put(pa.table({"x": other}), tmp_path)


def test_metadata_is_kept_in_the_order_of_its_keys(tmp_path: Path) -> None:
    def table(metadata: dict[str, str]) -> Any:
        return pa.table({"x": [1]}).replace_schema_metadata(metadata)

    assert put(table({"a": "1", "b": "2"}), tmp_path) == put(table({"b": "2", "a": "1"}), tmp_path)


def test_an_ordered_dictionary_keeps_its_values_in_their_order(tmp_path: Path) -> None:
    sizes = pa.DictionaryArray.from_arrays(
        pa.array([0, 2], pa.int8()), ["small", "medium", "large"], ordered=True
    )

    put(pa.table({"size": sizes}), tmp_path)

    assert back(tmp_path)["size"].chunk(0).dictionary.to_pylist() == ["small", "medium", "large"]


def test_row_groups_do_not_show_how_a_table_was_chunked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_module, "ROWS_IN_GROUP", 10)
    whole = pa.table({"x": pa.array(range(25)), "s": pa.array([str(n) for n in range(25)])})
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 11), whole.slice(18)])

    assert put(whole, tmp_path) == put(pieces, tmp_path)
    assert pq.ParquetFile(tmp_path / "value.parquet").metadata.num_row_groups == 3
    assert back(tmp_path).equals(whole)


@pytest.mark.parametrize(
    ("text", "has_dictionary"),
    [
        (["red", "green"] * 50, True),
        ([str(n) for n in range(100)], False),
        # The first rows decide.
        (["red"] * codec_module.ROWS_LOOKED_AT + [str(n) for n in range(20_000)], True),
        ([], True),
    ],
    ids=["repeated", "distinct", "distinct later", "none"],
)
def test_text_that_says_the_same_again_and_again_has_a_dictionary_in_the_file(
    text: list[str], has_dictionary: bool, tmp_path: Path
) -> None:
    table = pa.table({"s": pa.array(text, pa.large_string())})

    whole = put(table, tmp_path)

    with pq.ParquetFile(tmp_path / "value.parquet") as file:
        groups = [file.metadata.row_group(at) for at in range(file.num_row_groups)]
    assert all(group.column(0).has_dictionary_page == has_dictionary for group in groups)
    pieces = [table.slice(start, 7_000) for start in range(0, len(text), 7_000)] or [table]
    assert put(pa.concat_tables(pieces), tmp_path) == whole
    assert back(tmp_path).equals(table)


def test_tables_that_were_kept_under_another_compression_are_read(tmp_path: Path) -> None:
    table = pa.table({"x": [1.5, None], "s": pa.array(["a", "b"]).dictionary_encode()})
    put(table, tmp_path)
    kept = pq.read_table(tmp_path / "value.parquet")
    pq.write_table(kept, tmp_path / "value.parquet", compression="zstd")

    assert back(tmp_path).equals(table)


def test_a_table_read_from_parquet_and_kept_again_has_the_same_bytes(tmp_path: Path) -> None:
    first = put(pa.table({"x": [1, None], "s": pa.array(["a", "b"]).dictionary_encode()}), tmp_path)

    assert put(back(tmp_path), tmp_path) == first


def test_other_programs_read_the_file(tmp_path: Path) -> None:
    put(pa.table({"s": pa.array(["a", "b"]).dictionary_encode(), "l": [[1], []]}), tmp_path)

    assert pq.read_table(tmp_path / "value.parquet").to_pydict() == {"s": ["a", "b"], "l": [[1], []]}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table([[1], [2]], names=["a", "a"]), "more than one column 'a'"),
        (pa.table({"a": [1, 2]}).select([]), "2 rows and no columns"),
        (
            pa.table({"a": pa.nulls(1, pa.month_day_nano_interval())}),
            "column 'a': Parquet has no type for month",
        ),
        (pa.table({"a": pa.nulls(1, pa.struct([]))}), "column 'a': a struct without fields"),
        (pa.table({"a": pa.array([[]], pa.list_(pa.int8(), 0))}), "column 'a': a list of the fixed length 0"),
        (
            pa.table({"a": pa.nulls(1, pa.list_(pa.dictionary(pa.int8(), pa.string())))}),
            "column 'a': a dictionary inside of another type",
        ),
    ],
    ids=["duplicate", "no columns", "interval", "empty struct", "empty list", "nested dictionary"],
)
def test_what_parquet_cannot_bring_back_is_refused(table: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue, match=message):
        put(table, tmp_path)


def test_the_description_says_rows_and_columns_up_to_a_bound(tmp_path: Path) -> None:
    small = encode(pa.table({"x": [1]}), pa.Table, tmp_path / "small")
    wide = encode(pa.table({f"column {n}": [n] for n in range(500)}), pa.Table, tmp_path / "wide")

    assert small.description == {"rows": 1, "columns": {"x": "int64"}}
    assert len(str(wide.description)) < 4096
    assert len(wide.description["columns"]) + wide.description["columns_left_out"] == 500


def test_a_preview_shows_the_first_rows(tmp_path: Path) -> None:
    put(pa.table({"x": range(100), "s": ["y" * 1000] * 100}), tmp_path)

    preview = codec_named("arrow").preview(tmp_path / "value.parquet", 2)

    assert preview["rows"] == 100
    assert [row["x"] for row in preview["first"]] == [0, 1]
    assert len(preview["first"][0]["s"]) == 200


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1"])
def test_other_bytes_give_one_typed_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "value.parquet").write_bytes(data)

    with pytest.raises(UnreadableValue):
        back(tmp_path)
    with pytest.raises(UnreadableValue):
        codec_named("arrow").preview(tmp_path / "value.parquet")


def test_parquet_of_others_is_not_taken_for_an_artifact(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "value.parquet")

    with pytest.raises(UnreadableValue):
        back(tmp_path)
