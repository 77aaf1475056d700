"""One column of a frame, or one level of an index, as an Arrow array and back, with its exact dtype."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lineal.artifacts.codecs.arrow import array_from_text, array_to_text
from lineal.artifacts.codecs.protocol import UnsupportedValue, class_name

How = dict[str, Any]
"""How an Arrow array reads as a pandas one: JSON-like; ``as`` names the case."""


def to_arrow(array: Any, place: str) -> tuple[Any, How]:
    """The array, and how to read it. Raises `UnsupportedValue` with ``place`` for what a table cannot hold."""
    if type(array) is pd.arrays.NumpyExtensionArray:  # text arrays are of a subclass
        array = array.to_numpy()
    dtype = array.dtype
    try:
        if dtype == object:
            return _objects_to_arrow(np.asarray(array, dtype=object), place)
        if isinstance(dtype, np.dtype):
            return _numpy_to_arrow(np.asarray(array), place)
        if isinstance(dtype, pd.CategoricalDtype):
            return _categories_to_arrow(array, place)
        if isinstance(dtype, pd.DatetimeTZDtype):
            return _zoned_to_arrow(array, place)
        if isinstance(dtype, pd.ArrowDtype):
            return array.__arrow_array__(), {"as": "arrow"}
        if isinstance(dtype, pd.StringDtype):
            missing = "NA" if dtype.na_value is pd.NA else "nan"
            text = pa.array(array, type=pa.large_string(), from_pandas=True)
            return text, {"as": "string", "storage": dtype.storage, "missing": missing}
        if isinstance(dtype, (pd.PeriodDtype, pd.IntervalDtype)) or dtype.name in _MASKED:
            return pa.array(array), {"as": "extension", "dtype": str(dtype)}
    except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
        raise UnsupportedValue(
            f"values of dtype {dtype} cannot be kept: {error}", "Convert the column with astype(…).", place
        ) from None
    raise UnsupportedValue(f"dtype {dtype} has no place in a table", "Convert it with astype(…).", place)


def from_arrow(column: Any, how: How) -> Any:
    """The pandas array or numpy array that `to_arrow` took. Raises KeyError, ValueError or TypeError.

    Give its dtype to whatever is made of it: pandas guesses another for bare arrays of str objects.
    """
    if how["as"] in _IN_CHUNKS:
        return _READERS[how["as"]](column, how)
    return _READERS[how["as"]](_one_array(column), how)


_MASKED = frozenset(
    {
        "boolean",
        "Float32",
        "Float64",
        *(f"{sign}{bits}" for sign in ("Int", "UInt") for bits in (8, 16, 32, 64)),
    }
)


def _one_array(column: Any) -> Any:
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


# -- numbers and times ------------------------------------------------------------------------


def _numpy_to_arrow(array: Any, place: str) -> tuple[Any, How]:
    dtype = array.dtype
    if dtype.kind not in "biufmM" or dtype.char == "g":
        raise UnsupportedValue(
            f"dtype {dtype} has no place in a table", "Split or convert the column.", place
        )
    native = array.astype(dtype.newbyteorder("="), copy=False)
    how = {"as": "numpy", "dtype": dtype.str}
    if dtype.kind in "mM":
        return pa.array(native), how
    return pa.array(np.ascontiguousarray(native), from_pandas=False), how


class Filled:
    """A numpy array of ``rows`` items into which an Arrow one is copied in parts; ``how`` is that of `to_arrow`.

    It is copied because Arrow's memory cannot be written to, and users do. Raises ValueError for parts that do not fill it.
    """

    def __init__(self, rows: int, how: How) -> None:
        self._dtype = np.dtype(how["dtype"])
        self._items = np.empty(rows, self._dtype.newbyteorder("="))
        self._filled = 0

    def add(self, part: Any) -> None:
        for chunk in part.chunks if isinstance(part, pa.ChunkedArray) else [part]:
            start, self._filled = self._filled, self._filled + len(chunk)
            if self._dtype.kind in "mM":
                numbers = pc.fill_null(chunk.cast(pa.int64()), np.iinfo("int64").min)
                items = numbers.to_numpy(zero_copy_only=False).view(self._items.dtype)
            else:
                items = chunk.to_numpy(zero_copy_only=False)
            self._items[start : self._filled] = items

    def whole(self) -> Any:
        if self._filled != len(self._items):
            raise ValueError(f"{self._filled} of {len(self._items)} rows are there")
        return self._items.astype(self._dtype, copy=False)


def _numpy_from_arrow(array: Any, how: How) -> Any:
    filled = Filled(len(array), how)
    filled.add(array)
    return filled.whole()


def _zoned_to_arrow(array: Any, place: str) -> tuple[Any, How]:
    dtype = array.dtype
    zone = str(dtype.tz)
    try:
        kept = pd.DatetimeTZDtype(dtype.unit, zone) == dtype
    except (ValueError, KeyError, TypeError, LookupError):
        kept = False
    if not kept:
        raise UnsupportedValue(
            f"the time zone {dtype.tz!r} has no name",
            "Use the name of a zone, dt.tz_convert('UTC') for example.",
            place,
        )
    moments = array.tz_convert("UTC").tz_localize(None).to_numpy()
    kind = pa.timestamp(dtype.unit, zone.removeprefix("UTC") or "UTC")  # Arrow writes UTC+02:00 as +02:00
    return pa.array(moments).cast(kind), {"as": "zoned", "unit": dtype.unit, "zone": zone}


def _zoned_from_arrow(array: Any, how: How) -> Any:
    moments = _numpy_from_arrow(array, {"dtype": f"<M8[{how['unit']}]"})
    return pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(how["zone"]).array


# -- pandas' own ------------------------------------------------------------------------------


def _categories_to_arrow(array: Any, place: str) -> tuple[Any, How]:
    values, how = to_arrow(array.categories.array, f"the categories of {place}")
    values = _one_array(values)
    codes = pa.array(array.codes, mask=array.codes < 0)
    facts = {
        "as": "category",
        "ordered": bool(array.ordered),
        "values": array_to_text(values),
        "of": how,
    }
    if isinstance(values.type, pa.BaseExtensionType):  # intervals and periods cannot be looked up
        return codes.cast(pa.int64()), facts
    return pc.take(values, codes), facts


def _categories_from_arrow(array: Any, how: How) -> Any:
    values = array_from_text(how["values"])
    categories = from_arrow(values, how["of"])
    coded = isinstance(values.type, pa.BaseExtensionType)
    codes = pc.fill_null(array if coded else pc.index_in(array.cast(values.type), value_set=values), -1)
    dtype = pd.CategoricalDtype(pd.Index(categories, dtype=categories.dtype), how["ordered"])
    return pd.Categorical.from_codes(codes.to_numpy(zero_copy_only=False), dtype=dtype)


_IN_CHUNKS = frozenset({"numpy", "string"})
"""Cases that take an array as it is chunked, where one piece would be one more copy."""


def _string_from_arrow(array: Any, how: How) -> Any:
    dtype: Any = pd.StringDtype(how["storage"], na_value=pd.NA if how["missing"] == "NA" else np.nan)
    return dtype.__from_arrow__(array)


def _extension_from_arrow(array: Any, how: How) -> Any:
    dtype: Any = pd.api.types.pandas_dtype(how["dtype"])
    return dtype.__from_arrow__(array)


def _arrow_from_arrow(array: Any, how: How) -> Any:
    return pd.arrays.ArrowExtensionArray(pa.chunked_array([array]))


# -- objects ----------------------------------------------------------------------------------


def _objects_to_arrow(objects: Any, place: str) -> tuple[Any, How]:
    absent = pd.isna(objects)
    missing = _missing_mark(objects[absent], place)
    present = objects[~absent].tolist()
    kinds = set(map(type, present))
    if not kinds:
        return pa.nulls(len(objects)), {"as": "object", "missing": missing}
    (kind, *others) = kinds
    arrow_type = _OBJECTS.get(kind)
    if others or arrow_type is None:
        names = ", ".join(sorted(map(class_name, kinds)))
        raise UnsupportedValue(
            f"objects of type {names}", "Give the column one type that a table has, with astype(…).", place
        )
    if kind is Decimal:
        arrow_type = _decimals(present, place)
    elif kind is time and any(moment.tzinfo is not None or moment.fold for moment in present):
        raise UnsupportedValue("times of day with a time zone", "Use datetimes.", place)
    array = pa.array(objects, type=arrow_type, mask=absent, from_pandas=False)
    return array, {"as": "object", "missing": missing}


_OBJECTS: dict[type[Any], Any] = {
    str: pa.large_string(),
    bytes: pa.large_binary(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    date: pa.date32(),
    time: pa.time64("us"),
    Decimal: pa.decimal128(38, 0),
}

_MARKS: dict[str, Callable[[Any], bool]] = {
    "None": lambda item: item is None,
    "nan": lambda item: isinstance(item, float),
    "NA": lambda item: item is pd.NA,
    "NaT": lambda item: item is pd.NaT,
}


def _missing_mark(absent: Any, place: str) -> str | None:
    if not len(absent):
        return None
    for mark, holds in _MARKS.items():
        if all(map(holds, absent)):
            return mark
    raise UnsupportedValue(
        "missing values are marked in more than one way (None, NaN, NA)",
        "Use one of them: column.where(column.notna(), None).",
        place,
    )


def _decimals(numbers: list[Decimal], place: str) -> Any:
    exponents = {number.as_tuple().exponent for number in numbers}
    (exponent, *others) = exponents
    if others or not isinstance(exponent, int) or exponent > 0:
        raise UnsupportedValue(
            "Decimals with different numbers of places", "Round them to one number with quantize(…).", place
        )
    digits = max(len(number.as_tuple().digits) for number in numbers)
    precision = max(digits, -exponent, 1)
    return pa.decimal128(precision, -exponent) if precision <= 38 else pa.decimal256(precision, -exponent)


def _objects_from_arrow(array: Any, how: How) -> Any:
    objects = np.empty(len(array), dtype=object)
    objects[:] = array.to_pylist()
    mark = {"nan": np.nan, "NA": pd.NA, "NaT": pd.NaT}.get(how["missing"])
    if mark is not None:
        objects[array.is_null().to_numpy(zero_copy_only=False)] = mark
    return objects


_READERS: dict[str, Callable[[Any, How], Any]] = {
    "numpy": _numpy_from_arrow,
    "zoned": _zoned_from_arrow,
    "category": _categories_from_arrow,
    "string": _string_from_arrow,
    "extension": _extension_from_arrow,
    "arrow": _arrow_from_arrow,
    "object": _objects_from_arrow,
}
