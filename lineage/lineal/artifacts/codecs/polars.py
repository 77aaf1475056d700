"""polars frames and series, as the canonical Parquet of the arrow codec that brings every dtype back exactly.

Other tools, ``polars.read_parquet`` among them, read the files too, as plain tables: categories are text there.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa

from lineal.artifacts.codecs.arrow import (
    UNREADABLE,
    preview_of_parquet,
    read_exactly,
    write_canonical,
)
from lineal.artifacts.codecs.protocol import (
    Description,
    StreamCodec,
    UnreadableValue,
    UnsupportedValue,
    check_plain_frame,
    described_columns,
)

_LAYOUT = b"lineal.polars"
"""Metadata of the file: whether it is a frame or a series, and the Arrow schema of its exact dtypes, as JSON."""


class PolarsCodec(StreamCodec):
    """Parquet as of the arrow codec, Categorical and Enum as text at every depth, with the dtypes beside it.

    How a frame is chunked, which of its columns are known to be sorted, and the numbers of categories are not part
    of it.
    """

    name = "polars"
    suffix = ".parquet"
    executes_code = False

    def write(self, value: Any, annotation: object, stream: BinaryIO) -> Description:
        check_plain_frame(value, (pl.DataFrame, pl.Series))
        frame = value if isinstance(value, pl.DataFrame) else value.to_frame()
        if frame.height and not frame.width:
            raise UnsupportedValue(
                f"the frame has {frame.height} rows and no columns", "Return at least one column."
            )
        layout = {"class": type(value).__name__, "dtypes": _dtypes_to_text(frame)}
        plain = to_arrow(
            frame.cast({name: _without_categories(dtype) for name, dtype in frame.schema.items()})
        )
        write_canonical(plain.replace_schema_metadata({_LAYOUT: json.dumps(layout)}), stream)
        dtypes = {name: str(dtype) for name, dtype in frame.schema.items()}
        return {"class": f"polars.{layout['class']}", "rows": frame.height} | described_columns(dtypes)

    def decode(self, path: Path, annotation: object) -> Any:
        table = read_exactly(self.name, path)
        try:
            layout = json.loads(table.schema.metadata[_LAYOUT])
            frame = _from_arrow(table).cast(_dtypes_from_text(layout["dtypes"]))
            return frame.to_series() if layout["class"] == "Series" else frame
        except (*UNREADABLE, pl.exceptions.PolarsError) as error:
            raise UnreadableValue(self.name, f"{type(error).__name__}: {error}") from None

    def preview(self, path: Path, limit: int = 20) -> Description:
        return preview_of_parquet(self.name, path, limit)


def to_arrow(frame: Any) -> Any:
    """The frame as an Arrow table. Raises `UnsupportedValue` for a dtype that Arrow would not bring back."""
    for name, dtype in frame.schema.items():
        if not _comes_back(dtype):
            raise UnsupportedValue(
                f"dtype {dtype} has no place in a table",
                "Cast the column to another dtype, or drop it.",
                f"column {name!r}",
            )
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _from_arrow(table: Any) -> Any:
    # polars would give a column without a name one of its own
    frame: Any = pl.from_arrow(table.rename_columns([str(at) for at in range(table.num_columns)]))
    frame.columns = table.column_names
    return frame


def _comes_back(dtype: Any) -> bool:
    empty = pl.Series("x", [], dtype)
    try:
        same: Any = pl.from_arrow(empty.to_frame().to_arrow(compat_level=pl.CompatLevel.oldest()))
        return bool(same.schema["x"] == dtype)
    except (pa.ArrowException, pl.exceptions.PolarsError):
        return False


def _dtypes_to_text(frame: Any) -> str:
    """The dtypes as an Arrow schema, whose fields hold the categories too."""
    return base64.b64encode(to_arrow(frame.clear()).schema.serialize()).decode("ascii")


def _dtypes_from_text(text: str) -> Any:
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
    return _from_arrow(schema.empty_table()).schema


def _without_categories(dtype: Any) -> Any:
    """The dtype with String for every Categorical and Enum, also inside of lists, arrays and structs."""
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(_without_categories(dtype.inner))
    if isinstance(dtype, pl.Array):
        return pl.Array(_without_categories(dtype.inner), dtype.size)
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(field.name, _without_categories(field.dtype)) for field in dtype.fields])
    return dtype


CODEC = PolarsCodec()
