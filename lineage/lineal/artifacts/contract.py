"""What a schema declares, worked out: each column's kind, whether it may be missing, and the rules on its values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from msgspec import Struct
from msgspec.structs import replace

from lineal.artifacts.annotations import says_nothing, spelled, union_members
from lineal.artifacts.codecs.protocol import class_name
from lineal.errors import UsageError

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "float32", "float64")
UNITS = ("s", "ms", "us", "ns")
Extra = Literal["allow", "forbid"]


class SchemaError(UsageError):
    """A schema is declared in a way that cannot work."""


class Rules(Struct, frozen=True):
    """What `field` says about a column beyond its type; None where it says nothing."""

    dtype: str | None = None
    unit: str | None = None
    timezone: str | None = None
    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    isin: tuple[Any, ...] | None = None
    unique: bool = False
    matches: str | None = None


class ColumnContract(Struct, frozen=True):
    """A column that has to be there. ``kind`` is one of `KINDS`."""

    kind: str
    nullable: bool
    rules: Rules

    @property
    def expected(self) -> str:
        """The type in words: ``int32``, ``datetime[ns, UTC]``, ``str``."""
        if self.rules.dtype is not None:
            return self.rules.dtype
        details = ", ".join(detail for detail in (self.rules.unit, self.rules.timezone) if detail)
        return f"{self.kind}[{details}]" if details else self.kind


class Contract(Struct, frozen=True):
    """Everything that a table must be."""

    columns: Mapping[str, ColumnContract]
    extra: Extra = "allow"
    min_rows: int | None = None
    max_rows: int | None = None


KINDS: dict[str, type[Any]] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "bytes": bytes,
    "date": date,
    "datetime": datetime,
    "timedelta": timedelta,
    "time": time,
    "decimal": Decimal,
    "any": object,
}
"""The kinds of column, each with the class that its bounds and allowed values have."""

_ORDERED = ("int", "float", "str", "date", "datetime", "timedelta", "time", "decimal")


def column_contract(place: str, annotation: object) -> ColumnContract | None:
    """What the annotation of a column declares; None for a `ClassVar`, which is no column.

    ``place`` is ``Flights.carrier``, for errors. Raises `SchemaError`.
    """
    if annotation is ClassVar or get_origin(annotation) is ClassVar:
        return None
    given = _rules_in(annotation)
    if len(given) > 1:
        raise SchemaError(f"{place} has more than one field(…)", "Put all options into one.")
    members = union_members(annotation)
    others = [member for member in members if member is not NoneType]
    if len(others) != 1:
        raise SchemaError(
            f"{place} is annotated {spelled(annotation)}, and a column has one type",
            "Write one type, with `| None` where values may be missing.",
        )
    kind, rules = _kind_of(place, others[0], given[0] if given else Rules())
    return ColumnContract(kind, len(others) < len(members), _checked(place, kind, rules))


def nearest(name: str, names: Any) -> str:
    """``; did you mean …?`` where a known name is near, else nothing."""
    import difflib  # only for an error

    found = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _rules_in(annotation: object) -> list[Rules]:
    """The rules in an annotation, also where it is in a union."""
    if isinstance(annotation, type) or annotation is None:
        return []
    found = [extra for extra in getattr(annotation, "__metadata__", ()) if isinstance(extra, Rules)]
    inner = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    return found + [rules for member in inner for rules in _rules_in(member)]


# -- kinds ------------------------------------------------------------------------------------


def _kind_of(place: str, member: object, rules: Rules) -> tuple[str, Rules]:
    if says_nothing(member):
        return "any", rules
    if get_origin(member) is Literal:
        return _kind_of_choices(place, get_args(member), rules)
    kind = next((name for name, known in KINDS.items() if known is member), None)
    if kind is not None:
        return kind, rules
    if isinstance(member, type):
        root, name = member.__module__.partition(".")[0], member.__name__
        if root == "pandas" and name in ("Timestamp", "Timedelta"):
            return ("datetime" if name == "Timestamp" else "timedelta"), rules
        if root == "numpy":
            return _kind_of_numpy(place, member, rules)
    raise SchemaError(
        f"{place} is annotated {spelled(member)}, which is no type of a column",
        f"Columns are {', '.join(name for name in KINDS if name != 'any')}, numpy scalar types, or Any.",
    )


def _kind_of_choices(place: str, choices: tuple[Any, ...], rules: Rules) -> tuple[str, Rules]:
    kinds = {type(choice) for choice in choices}
    kind = next((name for name, known in KINDS.items() if kinds == {known}), None)
    if kind is None or rules.isin is not None:
        raise SchemaError(f"{place} needs choices of one type, and no isin= beside them")
    return kind, _replaced(rules, isin=choices)


def _kind_of_numpy(place: str, member: type[Any], rules: Rules) -> tuple[str, Rules]:
    bases = {base.__name__ for base in member.__mro__}
    for base, kind in _NUMPY_KINDS.items():
        if base in bases:
            fixed = member.__name__ in INTEGERS + FLOATS
            if fixed and rules.dtype is not None:
                raise SchemaError(f"{place} has a numpy type and a dtype=", "One of them is enough.")
            return kind, _replaced(rules, dtype=member.__name__) if fixed else rules
    raise SchemaError(f"{place} is annotated {class_name(member)}, which is no type of a column")


_NUMPY_KINDS = {
    "bool": "bool",
    "bool_": "bool",
    "timedelta64": "timedelta",
    "integer": "int",
    "floating": "float",
    "datetime64": "datetime",
    "str_": "str",
    "bytes_": "bytes",
}


def _replaced(rules: Rules, **changes: Any) -> Rules:
    return replace(rules, **changes)


# -- rules ------------------------------------------------------------------------------------


def _checked(place: str, kind: str, rules: Rules) -> Rules:
    """The rules in one normal form. Raises `SchemaError` where they do not suit the kind."""
    changes: dict[str, Any] = {}
    if rules.dtype is not None:
        changes["dtype"] = _checked_dtype(place, kind, rules.dtype)
    if rules.unit is not None and (rules.unit not in UNITS or kind not in ("datetime", "timedelta")):
        raise SchemaError(
            f"{place}: unit={rules.unit!r} is one of {', '.join(UNITS)}, for datetimes and timedeltas"
        )
    if rules.timezone is not None and (kind != "datetime" or not isinstance(rules.timezone, str)):
        raise SchemaError(f"{place}: timezone= is the name of a zone, for datetimes")
    for name in ("ge", "gt", "le", "lt"):
        bound = getattr(rules, name)
        if bound is None:
            continue
        if kind not in _ORDERED:
            raise SchemaError(f"{place}: {name}= does not suit a column of type {kind}")
        changes[name] = _checked_value(place, name, kind, bound, rules)
    if rules.isin is not None:
        if not isinstance(rules.isin, tuple) or not rules.isin:
            raise SchemaError(f"{place}: isin= is a collection with at least one value")
        changes["isin"] = tuple(_checked_value(place, "isin", kind, value, rules) for value in rules.isin)
    if rules.matches is not None:
        if kind != "str":
            raise SchemaError(f"{place}: matches= does not suit a column of type {kind}")
        try:
            re.compile(rules.matches)
        except (re.error, TypeError) as error:
            raise SchemaError(
                f"{place}: matches={rules.matches!r} is no regular expression: {error}"
            ) from None
    return _replaced(rules, **changes)


def _checked_dtype(place: str, kind: str, dtype: object) -> str:
    name = str(dtype).lower()
    suitable = {"int": INTEGERS, "float": FLOATS}.get(kind, ())
    if name != "category" and name not in suitable:
        allowed = (*suitable, "category")
        raise SchemaError(
            f"{place}: dtype={dtype!r} does not suit a column of type {kind}{nearest(name, allowed)}",
            f"It can be {', '.join(allowed)}.",
        )
    return name


def _checked_value(place: str, option: str, kind: str, value: Any, rules: Rules) -> Any:
    wanted = KINDS[kind]
    if kind == "any":
        return value
    if hasattr(value, "item") and not isinstance(value, wanted):
        value = value.item()
    if kind == "float" and type(value) is int:
        value = float(value)
    suits = isinstance(value, wanted)
    if kind == "int" and isinstance(value, bool):
        suits = False
    if kind == "date" and isinstance(value, datetime):
        suits = False
    if not suits:
        raise SchemaError(f"{place}: {option}={value!r} is no {kind}")
    if kind == "datetime" and (value.tzinfo is not None) != (rules.timezone is not None):
        raise SchemaError(
            f"{place}: {option}={value!r} and the column differ in whether they have a time zone",
            "Give both a time zone, with timezone= in field(…), or neither.",
        )
    return value
