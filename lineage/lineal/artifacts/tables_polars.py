"""polars DataFrames, seen by checks."""

from __future__ import annotations

from typing import Any

from lineal.artifacts.codecs.polars import to_arrow
from lineal.artifacts.tables_arrow import ArrowColumn, ArrowTable


class PolarsTable(ArrowTable):
    """The Arrow table that the frame would be kept as, with types in the words of polars."""

    def __init__(self, frame: Any) -> None:
        super().__init__(to_arrow(frame))
        self._dtypes = frame.schema

    def column(self, name: str) -> ArrowColumn:
        column = super().column(name)
        column.shown = str(self._dtypes[name])
        return column
