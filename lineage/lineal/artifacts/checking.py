"""Holding a table against a contract."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lineal.artifacts.codecs.protocol import class_name
from lineal.artifacts.contract import ColumnContract, Contract, Rules
from lineal.artifacts.tables import Column, Table, table_of
from lineal.artifacts.violations import MAX_SAMPLES, Sample, Violation


def violations_of(contract: Contract, value: object) -> list[Violation]:
    """Everything that is wrong, in the order of the contract's columns and then of the table."""
    table = table_of(value)
    if table is None:
        found = class_name(type(value))
        return [Violation(None, "table", "a pandas.DataFrame, polars.DataFrame or pyarrow.Table", found, 0)]
    return list(_violations(contract, table))


def _violations(contract: Contract, table: Table) -> Iterator[Violation]:
    rows = table.rows
    if contract.min_rows is not None and rows < contract.min_rows:
        yield Violation(None, "min_rows", f"at least {contract.min_rows:,} rows", f"{rows:,}", rows)
    if contract.max_rows is not None and rows > contract.max_rows:
        yield Violation(None, "max_rows", f"at most {contract.max_rows:,} rows", f"{rows:,}", rows)
    for name, column in contract.columns.items():
        times = table.names.count(name)
        if times == 0:
            yield Violation(name, "required", column.expected, "no such column", rows)
        elif times > 1:
            yield Violation(name, "duplicate", "one column of the name", f"{times}", rows)
        else:
            yield from _column_violations(name, column, table.column(name), rows)
    if contract.extra == "forbid":
        for other in table.names:
            if other not in contract.columns:
                yield Violation(str(other), "extra", "no such column", table.column(other).shown, rows)


def _column_violations(name: str, contract: ColumnContract, column: Column, rows: int) -> Iterator[Violation]:
    missing = column.missing()
    if not contract.nullable and missing.any():
        yield _of_rows(name, "nullable", "no missing values", "missing values", column, missing)
    if not _suits(contract, column, rows):
        yield Violation(name, "dtype", contract.expected, column.shown, rows)
        return
    rules = contract.rules
    if rules.dtype is not None and not _has_dtype(column, rules.dtype):
        yield Violation(name, "dtype", contract.expected, column.shown, rows)
    if rules.unit is not None and column.unit != rules.unit:
        yield Violation(name, "unit", contract.expected, column.shown, rows)
    if rules.timezone is not None and not _same_zone(column.timezone, rules.timezone):
        yield Violation(name, "timezone", contract.expected, column.shown, rows)
        return
    if rules.timezone is None and column.timezone is not None and _compares(rules):
        yield Violation(name, "timezone", "no time zone", column.shown, rows)
        return  # what has a zone and what has none cannot be compared
    if missing.all():
        return
    for option, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        bound = getattr(rules, option)
        if bound is not None:
            yield from _if_any(name, option, f"{sign} {bound}", column, column.beyond(option, bound))
    if rules.isin is not None:
        shown = ", ".join(map(repr, rules.isin[:10])) + (", …" if len(rules.isin) > 10 else "")
        yield from _if_any(name, "isin", f"one of {shown}", column, column.outside(rules.isin))
    if rules.matches is not None:
        pattern = re.compile(rules.matches)
        yield from _if_any(name, "matches", f"text like {rules.matches!r}", column, column.unlike(pattern))
    if rules.unique:
        yield from _if_any(name, "unique", "every value once", column, column.repeated())


def _suits(contract: ColumnContract, column: Column, rows: int) -> bool:
    if contract.kind == "any" or column.kind == contract.kind:
        return True
    if column.kind == "objects" and contract.kind not in _HELD_AS_OBJECTS:
        return False
    return column.kind in ("null", "objects") and (contract.nullable or rows == 0)


_HELD_AS_OBJECTS = ("str", "bytes", "bool", "date", "time", "decimal")
"""What pandas keeps in columns of Python objects: one without values may be meant for any of these."""


def _compares(rules: Rules) -> bool:
    return any(getattr(rules, option) is not None for option in ("ge", "gt", "le", "lt", "isin"))


def _has_dtype(column: Column, wanted: str) -> bool:
    return column.is_category if wanted == "category" else column.dtype == wanted


def _same_zone(found: str | None, wanted: str) -> bool:
    return found == wanted or {found, wanted} <= {"UTC", "+00:00", "Etc/UTC"}


def _if_any(name: str, rule: str, expected: str, column: Column, mask: Any) -> Iterator[Violation]:
    if mask.any():
        first = column.sample(mask.nonzero()[0][:1])[0][1]
        yield _of_rows(name, rule, expected, _shown(first), column, mask)


def _of_rows(name: str, rule: str, expected: str, found: str, column: Column, mask: Any) -> Violation:
    samples = tuple(
        Sample(_shown(label), _shown(value))
        for label, value in column.sample(mask.nonzero()[0][:MAX_SAMPLES])
    )
    return Violation(name, rule, expected, found, int(mask.sum()), samples)


def _shown(value: object) -> str:
    plain = value.item() if hasattr(value, "item") else value
    text = repr(plain)
    return text if len(text) <= 80 else text[:79] + "…"
