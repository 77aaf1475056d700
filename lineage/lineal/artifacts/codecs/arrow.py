"""Arrow tables, as Parquet files whose bytes depend on nothing but what the table holds.

`write_canonical` and `read_exactly` are also what the pandas and polars codecs stand on.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lineal.artifacts.codecs.protocol import (
    Description,
    StreamCodec,
    UnreadableValue,
    UnsupportedValue,
    described_columns,
)

ROWS_IN_GROUP = 128 * 1024
"""Rows of a row group: few enough that a group's text stays below the 2 GiB that one Arrow array can hold."""

ROWS_LOOKED_AT = 10_000
"""So many first rows decide whether a column of text is written with a dictionary."""

_SCHEMA = b"lineal.schema"
"""Metadata of the file: the table's exact Arrow schema, and the values of its ordered dictionaries, as JSON."""


class ArrowCodec(StreamCodec):
    """Parquet: row groups of 131,072 rows, LZ4, one NaN, dictionaries unfolded.

    How a table is chunked, what lies under nulls, and in which order an unordered dictionary came are not part
    of it; schema and metadata are. The library's version stands in the file, so an upgrade changes the bytes.
    """

    name = "arrow"
    suffix = ".parquet"
    executes_code = False

    def write(self, value: Any, annotation: object, stream: BinaryIO) -> Description:
        if type(value) is not pa.Table:
            raise UnsupportedValue(
                f"{type(value).__name__} is no pyarrow.Table", "Return pyarrow.table(value)."
            )
        write_canonical(value, stream)
        types = {field.name: str(field.type) for field in value.schema}
        return {"rows": value.num_rows} | described_columns(types)

    def decode(self, path: Path, annotation: object) -> Any:
        return read_exactly(self.name, path)

    def preview(self, path: Path, limit: int = 20) -> Description:
        return preview_of_parquet(self.name, path, limit)


def write_canonical(table: Any, stream: BinaryIO) -> None:
    """Write ``table`` as canonical Parquet. Raises `UnsupportedValue` for what Parquet cannot bring back."""
    names = table.column_names
    repeated = (
        sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    )
    if repeated:
        raise UnsupportedValue(
            f"the table has more than one column {repeated[0]!r}",
            "Rename the columns so that each has its own name.",
        )
    if not names and table.num_rows:
        raise UnsupportedValue(
            f"the table has {table.num_rows} rows and no columns", "Return at least one column."
        )
    for field in table.schema:
        _refuse_unstorable(field.type, f"column {field.name!r}", outermost=True)
    stored = pa.schema(
        [pa.field(f.name, _stored_type(f.type), f.nullable, f.metadata) for f in table.schema],
        metadata={**_sorted_metadata(table.schema.metadata), _SCHEMA: _exact_schema(table)},
    )
    try:
        with pq.ParquetWriter(
            stream,
            stored,
            version="2.6",
            data_page_version="1.0",
            compression="lz4",
            use_dictionary=[  # numbers gain nothing
                field.name
                for field, column in zip(stored, table.columns, strict=True)
                if _is_text(field.type) and _repeats(column)
            ],
            write_statistics=True,
            use_compliant_nested_type=False,
        ) as writer:
            for start in range(0, table.num_rows, ROWS_IN_GROUP):
                part = table.slice(start, ROWS_IN_GROUP)
                writer.write_table(_plain(part, stored), row_group_size=ROWS_IN_GROUP)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise UnsupportedValue(f"the table cannot be written as Parquet: {error}") from None


def read_exactly(codec: str, path: Path) -> Any:
    """The table that `write_canonical` wrote, with its exact types. Raises `UnreadableValue`."""
    try:
        with pq.ParquetFile(path) as file:
            stored = Stored(file)
            columns = [stored.restored(at, column) for at, column in enumerate(file.read().columns)]
        return pa.table(columns, schema=stored.schema)
    except UNREADABLE as error:
        raise UnreadableValue(codec, str(error)) from None


class Stored:
    """A table that `write_canonical` wrote, to be read in parts: ``schema`` is its exact one, ``rows`` their number.

    Every method raises one of `UNREADABLE` for any other file.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        exact = json.loads(file.schema_arrow.metadata[_SCHEMA])
        self.schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(exact["schema"])))
        self.rows: int = file.metadata.num_rows
        self._dictionaries = exact["dictionaries"]

    def parts(self) -> Iterator[list[Any]]:
        """The columns as the file holds them, a row group at a time."""
        for group in range(self._file.num_row_groups):
            yield self._file.read_row_group(group).columns

    def stored_type(self, at: int) -> Any:
        """What the file holds for the column with the number ``at``."""
        return self._file.schema_arrow.field(at).type

    def restored(self, at: int, column: Any) -> Any:
        """The column with the number ``at``, whole or in part, with its exact type; one of a dictionary has to be whole."""
        return _restored(column, self.schema.field(at).type, self._dictionaries.get(str(at)))


UNREADABLE = (pa.ArrowException, KeyError, IndexError, ValueError, TypeError, OSError, MemoryError)


def file_metadata(codec: str, path: Path) -> dict[bytes, bytes]:
    """The metadata of a Parquet file's schema. Raises `UnreadableValue`."""
    try:
        return dict(pq.read_schema(path).metadata or {})
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UnreadableValue(codec, str(error)) from None


def preview_of_parquet(codec: str, path: Path, limit: int) -> Description:
    """Rows, columns and the first ``limit`` rows as text."""
    try:
        with pq.ParquetFile(path) as file:
            batch = next(file.iter_batches(batch_size=max(limit, 1)), None)
            types = {field.name: str(field.type) for field in file.schema_arrow}
            rows = [] if batch is None else batch.slice(0, limit).to_pylist()
            facts: Description = {"rows": file.metadata.num_rows} | described_columns(types)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UnreadableValue(codec, str(error)) from None
    return facts | {"first": [{name: _cell(item) for name, item in row.items()} for row in rows]}


def array_to_text(array: Any) -> str:
    """A small array as text for metadata: equal arrays give equal text."""
    batch = pa.record_batch(
        [one_nan(pc.take(array, pa.array(range(len(array)), pa.int64())))], names=["values"]
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return base64.b64encode(sink.getvalue()).decode("ascii")


def array_from_text(text: str) -> Any:
    """The array that `array_to_text` wrote. Raises ValueError or `pyarrow.ArrowException`."""
    with pa.ipc.open_stream(pa.py_buffer(base64.b64decode(text))) as reader:
        return reader.read_all().column(0).combine_chunks()


def _cell(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 200 else text[:199] + "…"


# -- types ------------------------------------------------------------------------------------


def _refuse_unstorable(kind: Any, place: str, *, outermost: bool = False) -> None:
    types = pa.types
    if types.is_dictionary(kind):
        if not outermost:
            raise UnsupportedValue(
                "a dictionary inside of another type", f"Cast it to {kind.value_type}.", place
            )
        return _refuse_unstorable(kind.value_type, place)
    if isinstance(kind, pa.BaseExtensionType):
        return _refuse_unstorable(kind.storage_type, place)
    children = list(_children(kind))
    if (
        types.is_interval(kind)
        or types.is_union(kind)
        or types.is_run_end_encoded(kind)
        or _is_list_view(kind)
    ):
        raise UnsupportedValue(f"Parquet has no type for {kind}", "Cast the column to a plainer type.", place)
    if types.is_struct(kind) and not children:
        raise UnsupportedValue("a struct without fields", "Drop the column.", place)
    if types.is_fixed_size_list(kind) and not kind.list_size:
        raise UnsupportedValue("a list of the fixed length 0", "Drop the column.", place)
    for child in children:
        _refuse_unstorable(child, place)
    return None


def _is_list_view(kind: Any) -> bool:
    return str(kind).startswith(("list_view", "large_list_view"))


def _children(kind: Any) -> Iterator[Any]:
    if pa.types.is_nested(kind):
        yield from (kind.field(index).type for index in range(kind.num_fields))


def _stored_type(kind: Any) -> Any:
    """What Parquet holds for a type that it does not have itself; `_restored` casts back."""
    types = pa.types
    if types.is_dictionary(kind):
        return _stored_type(kind.value_type)
    if types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if types.is_time32(kind) and kind.unit == "s":
        return pa.time32("ms")
    if types.is_date64(kind):
        return pa.date32()
    return kind


def _is_text(kind: Any) -> bool:
    return "string" in str(kind) or "binary" in str(kind)


def _repeats(column: Any) -> bool:
    """Whether text says the same again and again, as far as can be told: a dictionary of what does not costs time, and saves nothing.

    The first rows decide, whatever the chunks, so that equal columns are written alike.
    """
    if column.type not in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        return True
    first = column.slice(0, ROWS_LOOKED_AT)
    distinct: int = pc.count_distinct(first, mode="all").as_py()
    return 4 * distinct <= len(first)


def _exact_schema(table: Any) -> bytes:
    schema = pa.schema(
        [_sorted_field(field) for field in table.schema], _sorted_metadata(table.schema.metadata)
    )
    dictionaries = {
        str(index): array_to_text(_ordered_values(table.column(index), field))
        for index, field in enumerate(table.schema)
        if pa.types.is_dictionary(field.type) and field.type.ordered
    }
    text = base64.b64encode(schema.serialize()).decode("ascii")
    return json.dumps({"schema": text, "dictionaries": dictionaries}, sort_keys=True).encode()


def _ordered_values(column: Any, field: Any) -> Any:
    """The values of an ordered dictionary, whose order is part of what they mean."""
    chunks = column.unify_dictionaries().chunks
    return chunks[0].dictionary if chunks else pa.array([], field.type.value_type)


def _sorted_field(field: Any) -> Any:
    return pa.field(field.name, field.type, field.nullable, _sorted_metadata(field.metadata) or None)


def _sorted_metadata(metadata: Any) -> dict[bytes, bytes]:
    # the field id is a trace of the file that a table was read from
    return {key: metadata[key] for key in sorted(metadata or {}) if key != b"PARQUET:field_id"}


# -- values -----------------------------------------------------------------------------------


def _plain(part: Any, stored: Any) -> Any:
    """A row group's rows, each column one array of the stored type with one NaN."""
    columns = []
    for column, field in zip(part.columns, stored, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if column.type != field.type:
            column = column.cast(field.type)
        whole = column.combine_chunks()
        chunks = whole.chunks if isinstance(whole, pa.ChunkedArray) else [whole]
        columns.append(pa.chunked_array([one_nan(chunk) for chunk in chunks], field.type))
    return pa.table(columns, schema=stored)


def one_nan(array: Any) -> Any:
    """``array`` with every NaN that of ``math.nan``, also inside lists and structs."""
    kind = array.type
    if not _holds_floats(kind):
        return array
    if pa.types.is_floating(kind):
        return _one_nan_in_floats(array)
    if isinstance(kind, pa.BaseExtensionType):
        return kind.wrap_array(one_nan(array.storage))
    if array.offset or array.null_count:
        array = pa.concat_arrays([pc.take(array, pa.array(range(len(array)), pa.int64()))])
    validity = array.is_null() if array.null_count else None
    if pa.types.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        children = [one_nan(array.field(index)) for index in range(kind.num_fields)]
        return pa.StructArray.from_arrays(children, fields=fields, mask=validity)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(one_nan(array.values), type=kind, mask=validity)
    if pa.types.is_map(kind):
        keys, items = one_nan(array.keys), one_nan(array.items)
        return pa.MapArray.from_arrays(array.offsets, keys, items, type=kind, mask=validity)
    build = pa.LargeListArray if pa.types.is_large_list(kind) else pa.ListArray
    return build.from_arrays(array.offsets, one_nan(array.values), type=kind, mask=validity)


def _holds_floats(kind: Any) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _holds_floats(kind.storage_type)
    return pa.types.is_floating(kind) or any(_holds_floats(child) for child in _children(kind))


def _one_nan_in_floats(array: Any) -> Any:
    import numpy as np

    numbers = array.to_numpy(zero_copy_only=False)  # NaN stands for null in here, which the mask tells apart
    holes = np.isnan(numbers)
    if not holes.any():
        return array
    numbers = numbers.copy()
    numbers[holes] = np.nan
    nulls = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    return pa.array(numbers, array.type, mask=nulls, from_pandas=False)


def _restored(column: Any, kind: Any, ordered_values: str | None) -> Any:
    if column.type == kind:
        return column
    if not pa.types.is_dictionary(kind):
        return column.cast(kind)
    plain = column.cast(kind.value_type).combine_chunks()
    whole = pa.concat_arrays(plain.chunks) if isinstance(plain, pa.ChunkedArray) else plain
    if ordered_values is None:
        encoded = whole.dictionary_encode()
        codes, values = encoded.indices, encoded.dictionary
    else:
        values = array_from_text(ordered_values)
        codes = pc.index_in(whole, value_set=values)
    return pa.DictionaryArray.from_arrays(codes.cast(kind.index_type), values, ordered=kind.ordered)


CODEC = ArrowCodec()
