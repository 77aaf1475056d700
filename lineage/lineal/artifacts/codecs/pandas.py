"""pandas frames and series, as canonical Parquet that brings index, labels and dtypes back exactly.

Other tools, ``pandas.read_parquet`` among them, read the files too, as plain tables: categories are unfolded there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lineal.artifacts.codecs.arrow import (
    UNREADABLE,
    Stored,
    array_from_text,
    array_to_text,
    preview_of_parquet,
    write_canonical,
)
from lineal.artifacts.codecs.pandas_columns import Filled, from_arrow, to_arrow
from lineal.artifacts.codecs.protocol import (
    Description,
    StreamCodec,
    UnreadableValue,
    UnsupportedValue,
    check_plain_frame,
    class_name,
    described_columns,
)
from lineal.artifacts.values import UnsupportedParameter, decode_value, encode_value

_LAYOUT = b"lineal.pandas"
"""Metadata of the file: how its columns make a frame or a series again, as JSON."""


class PandasCodec(StreamCodec):
    """Parquet as of the arrow codec, with what a table does not say beside it.

    Kept are the index with its names and frequency, the labels of columns, every dtype (categories with their
    order, time zones, nullable and text dtypes), which of None, NaN and NA marks missing objects, and ``attrs``.
    A column of Python objects must hold one type.
    """

    name = "pandas"
    suffix = ".parquet"
    executes_code = False

    def write(self, value: Any, annotation: object, stream: BinaryIO) -> Description:
        check_plain_frame(value, (pd.DataFrame, pd.Series))
        frame = value if isinstance(value, pd.DataFrame) else value.to_frame(name="values")
        repeated = frame.columns[frame.columns.duplicated()]
        if len(repeated):
            raise UnsupportedValue(
                f"the frame has more than one column {repeated[0]!r}",
                "Rename the columns so that each has its own name.",
            )
        arrays, layout = _taken_apart(frame)
        layout["attrs"] = _plain(value.attrs, "attrs")
        if isinstance(value, pd.Series):
            layout["name"] = _plain(value.name, "the name of the series")
        metadata = {_LAYOUT: json.dumps(layout).encode(), b"pandas": _for_others(frame, layout)}
        write_canonical(pa.table(arrays, metadata=metadata), stream)
        dtypes = {str(label): str(dtype) for label, dtype in frame.dtypes.items()}
        return {"class": class_name(type(value)), "rows": len(frame)} | described_columns(dtypes)

    def decode(self, path: Path, annotation: object) -> Any:
        try:
            with pq.ParquetFile(path) as file:
                stored = Stored(file)
                layout = json.loads(stored.schema.metadata[_LAYOUT])
                return _put_together(_columns(stored, layout), layout)
        except UNREADABLE as error:
            raise UnreadableValue(self.name, f"{type(error).__name__}: {error}") from None

    def preview(self, path: Path, limit: int = 20) -> Description:
        return preview_of_parquet(self.name, path, limit)


# -- frames -----------------------------------------------------------------------------------


def _taken_apart(frame: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays to store, by name, and how they make the frame: the columns first, then the index."""
    names = _names_for(frame)
    arrays: dict[str, Any] = {}
    columns = []
    for position, name in enumerate(names):
        label = frame.columns[position : position + 1].tolist()[0]
        arrays[name], how = to_arrow(frame.iloc[:, position].array, f"column {label!r}")
        columns.append({"name": name, "how": how})
    levels, index = _index_apart(frame.index, "the index")
    stored = []
    for position, level in enumerate(levels):
        name = _free_name(frame.index.names[position], f"__index_level_{position}__", arrays)
        arrays[name] = level
        stored.append(name)
    labels, label_index = _index_apart(frame.columns, "the column labels")
    layout = {
        "columns": columns,
        "index": index | {"stored": stored},
        "labels": label_index | {"values": [array_to_text(_whole(level)) for level in labels]},
    }
    return arrays, layout


def _columns(stored: Stored, layout: Any) -> dict[str, Any]:
    """The columns by name: numpy arrays, and Arrow arrays of what is none.

    What is a numpy array is copied to its place from one row group after the other, so that little of it is there twice.
    """
    filled = {
        column["name"]: Filled(stored.rows, column["how"])
        for column in layout["columns"]
        if column["how"]["as"] == "numpy"
    }
    pieces: dict[str, list[Any]] = {name: [] for name in stored.schema.names}
    for part in stored.parts():
        for at, (name, column) in enumerate(zip(pieces, part, strict=True)):
            if name in filled:
                filled[name].add(stored.restored(at, column))
            else:
                pieces[name] += column.chunks
    return {
        name: filled[name].whole()
        if name in filled
        else stored.restored(at, pa.chunked_array(chunks, stored.stored_type(at)))
        for at, (name, chunks) in enumerate(pieces.items())
    }


def _put_together(columns: dict[str, Any], layout: Any) -> Any:
    index = _index_from([columns[name] for name in layout["index"]["stored"]], layout["index"])
    series = {}
    for position, column in enumerate(layout["columns"]):
        values = columns[column["name"]]
        if column["how"]["as"] != "numpy":
            values = from_arrow(values, column["how"])
        series[position] = pd.Series(values, index=index, dtype=values.dtype, copy=False)
    attrs = decode_value(layout["attrs"])
    if "name" in layout:
        only = series[0]
        only.name = decode_value(layout["name"])
        only.attrs = attrs
        return only
    frame = pd.DataFrame(series, index=index, copy=False)
    frame.columns = _index_from(
        [array_from_text(text) for text in layout["labels"]["values"]], layout["labels"]
    )
    frame.attrs = attrs
    return frame


def _names_for(frame: Any) -> list[str]:
    """A name for each column of the file: its label as text, where that is free."""
    taken: dict[str, None] = {}
    for position, label in enumerate(frame.columns):
        taken[_free_name(str(label), f"column_{position}", taken)] = None
    return list(taken)


def _free_name(wanted: Any, otherwise: str, taken: Any) -> str:
    name = wanted if isinstance(wanted, str) else otherwise
    if name in taken:
        name = otherwise
    while name in taken:
        name += "_"
    return name


def _plain(value: object, place: str) -> Any:
    try:
        return encode_value(value, name=place)
    except UnsupportedParameter as error:
        raise UnsupportedValue(error.problem, error.hint, error.place) from None


# -- indexes ----------------------------------------------------------------------------------


def _index_apart(index: Any, place: str) -> tuple[list[Any], dict[str, Any]]:
    """The arrays of the index's levels, and how they make it; a range needs no array."""
    names = [_plain(name, f"a name of {place}") for name in index.names]
    if isinstance(index, pd.RangeIndex):
        return [], {"range": [index.start, index.stop, index.step], "names": names}
    if isinstance(index, pd.MultiIndex):
        parts = [
            to_arrow(index.get_level_values(at).array, f"{place}, level {at}") for at in range(index.nlevels)
        ]
        return [array for array, _ in parts], {"levels": [how for _, how in parts], "names": names}
    array, how = to_arrow(index.array, place)
    return [array], {"level": how, "names": names, "freq": _frequency(index, place)}


def _frequency(index: Any, place: str) -> str | None:
    frequency = getattr(index, "freq", None)
    if frequency is None or isinstance(index, pd.PeriodIndex):
        return None
    text: str = frequency.freqstr
    try:
        kept = pd.tseries.frequencies.to_offset(text) == frequency
    except ValueError:
        kept = False
    if not kept:
        raise UnsupportedValue(f"{place} has the frequency {frequency!r}", "Set index.freq = None.")
    return text


def _index_from(levels: list[Any], how: Any) -> Any:
    names = [decode_value(name) for name in how["names"]]
    if "range" in how:
        start, stop, step = how["range"]
        return pd.RangeIndex(start, stop, step, name=names[0])
    if "levels" in how:
        arrays = [_level(array, kind) for array, kind in zip(levels, how["levels"], strict=True)]
        return pd.MultiIndex.from_arrays(arrays, names=names)
    values = from_arrow(levels[0], how["level"])
    index = pd.Index(values, dtype=values.dtype, name=names[0])
    if how["freq"] is not None:
        index.freq = how["freq"]
    return index


def _level(array: Any, how: Any) -> Any:
    values = from_arrow(array, how)
    return pd.Index(values, dtype=values.dtype)


def _whole(array: Any) -> Any:
    if isinstance(array, pa.ChunkedArray):
        return pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array


# -- other readers ----------------------------------------------------------------------------


def _for_others(frame: Any, layout: dict[str, Any]) -> bytes:
    """pandas' own metadata, so far that ``pandas.read_parquet`` finds the index."""
    columns = [
        {"name": column["name"], "field_name": column["name"], "dtype": dtype}
        for column, dtype in zip(layout["columns"], frame.dtypes, strict=True)
    ]
    stored = layout["index"]["stored"]
    for position, name in enumerate(stored):
        level = frame.index.names[position]
        dtype = frame.index.get_level_values(position).dtype
        columns.append(
            {"name": level if isinstance(level, str) else None, "field_name": name, "dtype": dtype}
        )
    described = [
        {
            "name": column["name"],
            "field_name": column["field_name"],
            "pandas_type": "unicode",
            "numpy_type": str(column["dtype"]) if column["dtype"].kind in "biufM" else "object",
            "metadata": None,
        }
        for column in columns
    ]
    index: list[Any] = list(stored)
    if "range" in layout["index"]:
        start, stop, step = layout["index"]["range"]
        name = frame.index.name if isinstance(frame.index.name, str) else None
        index = [{"kind": "range", "name": name, "start": start, "stop": stop, "step": step}]
    document = {
        "index_columns": index,
        "column_indexes": [],
        "columns": described,
        "pandas_version": pd.__version__,
    }
    return json.dumps(document).encode()


CODEC = PandasCodec()
