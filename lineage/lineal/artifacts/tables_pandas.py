"""pandas DataFrames, seen by checks."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

_INFERRED = {
    "string": "str",
    "bytes": "bytes",
    "boolean": "bool",
    "date": "date",
    "datetime": "datetime",
    "timedelta": "timedelta",
    "time": "time",
    "decimal": "decimal",
    "empty": "objects",
}
"""What pandas finds in a column of objects, in the words of contracts."""


class PandasTable:
    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.rows = len(frame)
        self.names: list[Any] = list(frame.columns)

    def column(self, name: Any) -> PandasColumn:
        return PandasColumn(self._frame.iloc[:, self.names.index(name)])


class PandasColumn:
    def __init__(self, series: Any) -> None:
        self.shown = str(series.dtype)
        self._labels = series.index
        self.is_category = isinstance(series.dtype, pd.CategoricalDtype)
        values = series.reset_index(drop=True)
        self._values = values.astype(object) if self.is_category else values
        held = series.dtype.categories.to_series() if self.is_category else values
        self.kind, self.dtype, self.unit, self.timezone = _facts_of(held)
        if held.dtype == object and self.kind != "objects":
            self.shown = f"{self.shown} of {self.kind}"

    def missing(self) -> Any:
        return self._values.isna().to_numpy(dtype=bool)

    def beyond(self, option: str, bound: Any) -> Any:
        holds = getattr(operator, option)
        return self._among_present(lambda present: ~holds(present, bound).to_numpy(dtype=bool))

    def outside(self, allowed: Iterable[Any]) -> Any:
        values = list(allowed)
        return self._among_present(lambda present: ~present.isin(values).to_numpy(dtype=bool))

    def unlike(self, pattern: re.Pattern[str]) -> Any:
        def wrong(present: Any) -> Any:
            texts = [text for text in present.unique() if not pattern.fullmatch(text)]
            return present.isin(texts).to_numpy(dtype=bool)

        return self._among_present(wrong)

    def repeated(self) -> Any:
        return self._among_present(lambda present: present.duplicated().to_numpy(dtype=bool))

    def sample(self, rows: Any) -> list[tuple[Any, Any]]:
        return [(self._labels[row], self._values.iloc[row]) for row in rows]

    def _among_present(self, wrong: Any) -> Any:
        present = ~self.missing()
        mask = np.zeros(len(present), dtype=bool)
        mask[present] = wrong(self._values[present])
        return mask


def _facts_of(series: Any) -> tuple[str, str, str | None, str | None]:
    """kind, dtype, unit and time zone of a column without categories."""
    dtype = series.dtype
    if isinstance(dtype, pd.ArrowDtype):
        from lineal.artifacts.tables_arrow import facts_of

        return facts_of(dtype.pyarrow_dtype)
    name = str(dtype)
    if isinstance(dtype, pd.StringDtype):
        return "str", name, None, None
    if isinstance(dtype, pd.DatetimeTZDtype):
        return "datetime", name, dtype.unit, str(dtype.tz)
    if dtype == object:
        inferred = pd.api.types.infer_dtype(series, skipna=True)
        return _INFERRED.get(inferred, inferred), name, None, None
    kind = {"b": "bool", "i": "int", "u": "int", "f": "float", "M": "datetime", "m": "timedelta"}.get(
        dtype.kind
    )
    unit = np.datetime_data(dtype)[0] if dtype.kind in "mM" and isinstance(dtype, np.dtype) else None
    return kind or name, name.lower(), unit, None
