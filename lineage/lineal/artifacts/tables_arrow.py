"""Arrow tables, seen by checks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_KINDS = (
    ("bool", pa.types.is_boolean),
    ("int", pa.types.is_integer),
    ("float", pa.types.is_floating),
    ("str", lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t)),
    (
        "bytes",
        lambda t: (
            pa.types.is_binary(t)
            or pa.types.is_large_binary(t)
            or pa.types.is_fixed_size_binary(t)
            or pa.types.is_binary_view(t)
        ),
    ),
    ("date", pa.types.is_date),
    ("datetime", pa.types.is_timestamp),
    ("timedelta", pa.types.is_duration),
    ("time", pa.types.is_time),
    ("decimal", pa.types.is_decimal),
    ("null", pa.types.is_null),
)


def facts_of(arrow_type: Any) -> tuple[str, str, str | None, str | None]:
    """kind, dtype, unit and time zone of an Arrow type that is no dictionary."""
    kind = next((name for name, holds in _KINDS if holds(arrow_type)), str(arrow_type))
    dtype = {"halffloat": "float16", "float": "float32", "double": "float64"}.get(
        str(arrow_type), str(arrow_type)
    )
    unit = arrow_type.unit if kind in ("datetime", "timedelta") else None
    return kind, dtype, unit, arrow_type.tz if kind == "datetime" else None


class ArrowTable:
    def __init__(self, table: Any) -> None:
        self._table = table
        self.rows: int = table.num_rows
        self.names: list[str] = table.column_names

    def column(self, name: str) -> ArrowColumn:
        return ArrowColumn(self._table.column(self.names.index(name)))


class ArrowColumn:
    def __init__(self, values: Any) -> None:
        self.shown = str(values.type)
        self.is_category = pa.types.is_dictionary(values.type)
        self._values = values.cast(values.type.value_type) if self.is_category else values
        self.kind, self.dtype, self.unit, self.timezone = facts_of(self._values.type)

    def missing(self) -> Any:
        return _mask(pc.is_null(self._values, nan_is_null=True))

    def beyond(self, option: str, bound: Any) -> Any:
        compare = {"ge": pc.less, "gt": pc.less_equal, "le": pc.greater, "lt": pc.greater_equal}[option]
        present = ~self.missing()
        try:
            limit = pa.scalar(bound, type=self._values.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            if self.kind == "int":  # the type holds no such number, so every row lies on one side of it
                return present & (bound > 0) if option in ("ge", "gt") else present & (bound < 0)
            limit = pa.scalar(bound)
        return _mask(compare(self._values, limit)) & present

    def outside(self, allowed: Iterable[Any]) -> Any:
        return ~_mask(pc.is_in(self._values, value_set=self._of_my_type(allowed))) & ~self.missing()

    def unlike(self, pattern: re.Pattern[str]) -> Any:
        # Python's own expressions, on each distinct text: Arrow's are of another dialect
        texts = [text for text in pc.unique(self._values).to_pylist() if text is not None]
        wrong = [text for text in texts if not pattern.fullmatch(text)]
        return _mask(pc.is_in(self._values, value_set=self._of_my_type(wrong)))

    def repeated(self) -> Any:
        import numpy as np

        codes = self._values.combine_chunks().dictionary_encode()
        codes = codes.combine_chunks().indices if isinstance(codes, pa.ChunkedArray) else codes.indices
        numbers = codes.fill_null(-1).to_numpy(zero_copy_only=False)
        again = np.ones(len(numbers), dtype=bool)
        again[np.unique(numbers, return_index=True)[1]] = False
        return again & ~self.missing()

    def sample(self, rows: Any) -> list[tuple[Any, Any]]:
        return [(int(row), self._values[int(row)].as_py()) for row in rows]

    def _of_my_type(self, values: Iterable[Any]) -> Any:
        fitting = []
        for value in values:
            try:
                fitting.append(pa.scalar(value, type=self._values.type))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                continue  # a value that the type cannot hold is in no row
        return pa.array([value.as_py() for value in fitting], type=self._values.type)


def _mask(flags: Any) -> Any:
    import numpy as np

    filled = pc.fill_null(flags, False)
    return np.asarray(
        filled.to_numpy(zero_copy_only=False) if isinstance(filled, pa.Array) else filled.to_numpy()
    )
