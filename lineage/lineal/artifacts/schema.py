"""Schemas: the contracts of tables, checked where a stage takes them and where it hands them on.

>>> class Flights(Schema, extra="forbid", min_rows=1):
...     '''Departures, one row a flight.'''
...     carrier: Annotated[str, field(isin=("AA", "UA"))]
...     distance_miles: Annotated[int, field(ge=0)]
...     arrival_delay_minutes: float | None
>>> import pandas
>>> check(Flights, pandas.DataFrame({"carrier": ["AA", "ZZ"], "distance_miles": [1.0, 2.0]}), where="ingest")
Traceback (most recent call last):
...
lineal.artifacts.violations.SchemaViolated: ingest: 3 violations of the schema Flights
  column 'carrier': expected one of 'AA', 'UA', found 'ZZ' in 1 row: row 1 is 'ZZ'
  column 'distance_miles': expected int, found float64
  column 'arrival_delay_minutes': expected float, found no such column
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Collection
from typing import Annotated, Any, ClassVar, get_args, get_origin

from msgspec.structs import asdict

from lineal.artifacts.annotations import union_members
from lineal.artifacts.contract import Contract, Extra, Rules, SchemaError, column_contract, nearest
from lineal.artifacts.violations import Sample, SchemaViolated, Violation

__all__ = [
    "Annotated",
    "Sample",
    "Schema",
    "SchemaError",
    "SchemaViolated",
    "Violation",
    "check",
    "contract_of",
    "describe",
    "field",
    "find_violations",
    "schema_of",
]


class Schema:
    """The columns that a table must have, written as annotations; a subclass adds to its base or replaces in it.

    ``int`` means any width of integer, ``float`` any of float; ``field(dtype="int32")`` or ``numpy.int32`` fixes
    it. Integers are no floats: a column that arrives with the other type is a violation. ``str`` is text however
    it is held, categories of text included. Without ``| None`` a column holds no None, NaN, NaT or null. Columns
    beyond the declared ones are allowed unless ``extra="forbid"``. Row counts are bounded by ``min_rows``
    and ``max_rows``. The order of columns is not part of the contract.
    """

    _lineal_options: ClassVar[dict[str, Any]] = {"extra": "allow", "min_rows": None, "max_rows": None}

    def __init_subclass__(
        cls,
        *,
        extra: Extra | None = None,
        min_rows: int | None = None,
        max_rows: int | None = None,
        **unknown: object,
    ) -> None:
        super().__init_subclass__()
        for name in unknown:
            raise SchemaError(
                f"{cls.__qualname__} has the unknown option {name}{nearest(name, cls._lineal_options)}",
                "A schema takes extra, min_rows and max_rows.",
            )
        given = {"extra": extra, "min_rows": min_rows, "max_rows": max_rows}
        cls._lineal_options = cls._lineal_options | {
            n: value for n, value in given.items() if value is not None
        }
        _check_options(cls)
        # names that a function defines are seen now or never; those that come later are resolved at first use
        try:
            cls._lineal_contract = _contract(cls, sys._getframe(1).f_locals)
        except NameError:
            cls._lineal_contract = None

    _lineal_contract: ClassVar[Contract | None] = None

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is a schema and has no instances: annotate a table with it")


def field(
    *,
    dtype: str | None = None,
    unit: str | None = None,
    timezone: str | None = None,
    ge: Any = None,
    gt: Any = None,
    le: Any = None,
    lt: Any = None,
    isin: Collection[Any] | None = None,
    unique: bool = False,
    matches: str | None = None,
) -> Rules:
    """More about a column than its type says: ``Annotated[int, field(ge=0)]``. Missing values break none of it.

    ``dtype`` fixes the width of a number ("int32"), or asks for "category"; ``unit`` ("ns") and ``timezone``
    ("UTC") are of datetimes; ``ge gt le lt`` are bounds; ``isin`` are the allowed values; ``unique`` forbids that
    a value comes twice; ``matches`` is a regular expression for the whole text.
    """
    if isinstance(isin, str) or not isinstance(isin, (Collection, type(None))):
        raise SchemaError(f"isin={isin!r} is no collection of values")
    allowed = None if isin is None else tuple(isin)
    return Rules(dtype, unit, timezone, ge, gt, le, lt, allowed, unique, matches)


def schema_of(annotation: object) -> type[Schema] | None:
    """The schema in ``Annotated[…, Flights]``, also where that is in a union; None where there is none.

    Raises `SchemaError` for more than one.
    """
    found = _schemas_in(annotation)
    if len(found) > 1:
        raise SchemaError(
            f"more than one schema: {', '.join(kind.__name__ for kind in found)}",
            "Write one that inherits both.",
        )
    return found[0] if found else None


def describe(schema: type[Schema]) -> dict[str, Any]:
    """The contract as a plain structure, which enters keys: it changes when what is checked changes.

    Names of schemas, docstrings, the order of columns and the order of allowed values are not in it.
    """
    from lineal.artifacts.values import encode_value

    contract = contract_of(schema)
    columns: dict[str, Any] = {}
    for name in sorted(contract.columns):
        column = contract.columns[name]
        rules = {
            option: value
            for option, value in asdict(column.rules).items()
            if value is not None and value is not False
        }
        place = f"{schema.__name__}.{name}"
        encoded = {o: encode_value(v, name=f"{place}, {o}") for o, v in rules.items() if o != "isin"}
        if column.rules.isin is not None:
            values = {repr(code): code for code in (encode_value(v, name=place) for v in column.rules.isin)}
            encoded["isin"] = [values[text] for text in sorted(values)]
        columns[name] = {"kind": column.kind, "nullable": column.nullable, **encoded}
    bounds = {"min_rows": contract.min_rows, "max_rows": contract.max_rows}
    return {"columns": columns, "extra": contract.extra} | {n: v for n, v in bounds.items() if v is not None}


def check(schema: type[Schema], value: object, *, where: str) -> None:
    """Raise `SchemaViolated` with everything that is wrong with ``value``; ``where`` says whose it is."""
    violations = find_violations(schema, value)
    if violations:
        raise SchemaViolated(schema.__name__, where, tuple(violations))


def find_violations(schema: type[Schema], value: object) -> list[Violation]:
    """Everything in which ``value``, a DataFrame or an Arrow table, is not what the schema promises."""
    from lineal.artifacts.checking import violations_of

    return violations_of(contract_of(schema), value)


def contract_of(schema: type[Schema]) -> Contract:
    """The contract that a schema declares, worked out once. Raises `SchemaError`."""
    contract = vars(schema).get("_lineal_contract")
    if contract is None:
        try:
            contract = schema._lineal_contract = _contract(schema, {})
        except NameError as error:
            raise SchemaError(
                f"an annotation of the schema {schema.__qualname__} does not resolve: {error}",
                "Import the name at the top of the schema's module, outside of `if TYPE_CHECKING`.",
            ) from None
    return contract


def _schemas_in(annotation: object) -> list[type[Schema]]:
    found = [
        extra
        for extra in getattr(annotation, "__metadata__", ())
        if isinstance(extra, type) and issubclass(extra, Schema)
    ]
    if get_origin(annotation) is Annotated:
        return found + _schemas_in(get_args(annotation)[0])
    if len(union_members(annotation)) > 1:
        return [schema for member in get_args(annotation) for schema in _schemas_in(member)]
    return found


def _check_options(schema: type[Schema]) -> None:
    name, options = schema.__qualname__, schema._lineal_options
    if options["extra"] not in get_args(Extra):
        raise SchemaError(f'{name}: extra={options["extra"]!r} is "allow" or "forbid"')
    for option in ("min_rows", "max_rows"):
        bound = options[option]
        if bound is not None and (type(bound) is not int or bound < 0):
            raise SchemaError(f"{name}: {option}={bound!r} is no number of rows")
    if options["max_rows"] is not None and (options["min_rows"] or 0) > options["max_rows"]:
        raise SchemaError(f"{name}: min_rows is more than max_rows")


def _contract(schema: type[Schema], local_names: dict[str, Any]) -> Contract:
    for name, value in vars(schema).items():
        if isinstance(value, Rules):
            raise SchemaError(
                f"{schema.__qualname__}.{name} is assigned a field(…)",
                f"Write `{name}: Annotated[<type>, field(…)]`.",
            )
    columns = {}
    for name, annotation in typing.get_type_hints(schema, localns=local_names, include_extras=True).items():
        if not name.startswith("_lineal_"):
            column = column_contract(f"{schema.__qualname__}.{name}", annotation)
            if column is not None:
                columns[name] = column
    return Contract(columns, **schema._lineal_options)
