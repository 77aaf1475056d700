"""One view of the columns of a pandas DataFrame, a polars DataFrame and an Arrow table, for checks.

Masks are numpy arrays of bool, one element for each row; missing values are in none but that of `Column.missing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Protocol


class Column(Protocol):
    """A column's type in the words of contracts, and the rows that break a rule.

    ``kind`` is one of contract.KINDS; "null" for Arrow's type of nothing but nulls; "objects" for Python objects
    without a single value; or a library's own name for any other;
    ``dtype`` the exact one of a number ("int32"), of the categories' values where it has categories; ``shown``
    the type in the library's words.
    """

    @property
    def kind(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def shown(self) -> str: ...

    @property
    def is_category(self) -> bool: ...

    @property
    def unit(self) -> str | None: ...

    @property
    def timezone(self) -> str | None: ...

    def missing(self) -> Any:
        """Rows that hold None, NaN, NaT or null."""

    def beyond(self, option: str, bound: Any) -> Any:
        """Rows that are not ge, gt, le or lt the bound."""

    def outside(self, allowed: Iterable[Any]) -> Any:
        """Rows that hold none of the values."""

    def unlike(self, pattern: re.Pattern[str]) -> Any:
        """Rows of whose text the pattern does not match the whole."""

    def repeated(self) -> Any:
        """Rows whose value came in an earlier row."""

    def sample(self, rows: Any) -> list[tuple[Any, Any]]:
        """Labels and values of the rows with these numbers."""
        ...


class Table(Protocol):
    @property
    def rows(self) -> int: ...

    @property
    def names(self) -> Sequence[Any]: ...

    def column(self, name: Any) -> Column: ...


def table_of(value: object) -> Table | None:
    """The view of a DataFrame or an Arrow table, None for anything else; a library is imported for its own only."""
    for base in type(value).__mro__:
        root = base.__module__.partition(".")[0]
        if (root, base.__name__) == ("pandas", "DataFrame"):
            from lineal.artifacts.tables_pandas import PandasTable

            return PandasTable(value)
        if (root, base.__name__) == ("polars", "DataFrame"):
            from lineal.artifacts.tables_polars import PolarsTable

            return PolarsTable(value)
        if (root, base.__name__) == ("pyarrow", "Table"):
            from lineal.artifacts.tables_arrow import ArrowTable

            return ArrowTable(value)
    return None
