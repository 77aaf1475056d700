"""Shapes of values that hold no others: numbers, text, bytes, dates, and whatever needs no annotation."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from msgspec import Struct

from lineal.artifacts.codecs.protocol import class_name
from lineal.artifacts.codecs.shape import Kind, Misfit, Shape, expect, short


class Scalar(Struct, frozen=True):
    """Values of exactly one class, each with a text or number of its own."""

    type: type[Any]
    kinds: frozenset[Kind]
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]

    def dump(self, value: Any) -> Any:
        if type(value) is not self.type:
            raise not_a(value, self.type)
        return self.to_json(value)

    def load(self, plain: Any) -> Any:
        expect(plain, self.kinds, class_name(self.type))
        try:
            return self.from_json(plain)
        except (ValueError, ArithmeticError, LookupError, OSError) as error:
            raise Misfit(f"{short(plain)} is no {class_name(self.type)}: {error}") from None


class Number(Struct, frozen=True):
    """bool, int, float or str: also numpy's scalars, as what ``item()`` makes of them, and ints for floats."""

    type: type[Any]
    kinds: frozenset[Kind]

    def dump(self, value: Any) -> Any:
        if type(value) is self.type:
            return value
        plain = unboxed(value)
        if self.type is float and type(plain) is int:
            return _equal_float(plain)
        if type(plain) is not self.type:
            raise not_a(value, self.type)
        return plain

    def load(self, plain: Any) -> Any:
        expect(plain, self.kinds, self.type.__name__)
        return plain


def _equal_float(number: int) -> float:
    try:
        equal = float(number)
    except OverflowError:
        equal = 0.0
    if equal != number:
        raise Misfit(f"the int {short(number)} has no equal float", "Annotate it as int.")
    return equal


class NumpyScalar(Struct, frozen=True):
    """A numpy number, kept as the Python number that it equals."""

    type: type[Any]
    kinds: frozenset[Kind]

    def dump(self, value: Any) -> Any:
        if type(value) is not self.type:
            raise not_a(value, self.type)
        return value.item()

    def load(self, plain: Any) -> Any:
        expect(plain, self.kinds, class_name(self.type))
        try:
            return self.type(plain)
        except (OverflowError, ValueError) as error:
            raise Misfit(str(error)) from None


class Anything:
    """What means the same without an annotation: None, bool, int, float, str, and lists and dicts of them."""

    kinds: frozenset[Kind] = frozenset({"null", "bool", "int", "float", "str", "list", "object"})

    def dump(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in _PLAIN:
            return value
        if kind is list:
            return dump_each(self, value)
        if kind is dict:
            return {_text_key(key): dump_at(self, item, key) for key, item in value.items()}
        plain = unboxed(value)
        if type(plain) in _PLAIN:
            return plain
        raise Misfit(
            f"{class_name(kind)} where no annotation names one",
            f"Name {class_name(kind)} in the annotation of the result: without that, JSON would bring back"
            " something else.",
        )

    def load(self, plain: Any) -> Any:
        return plain


_PLAIN = (bool, int, float, str)


def _text_key(key: Any) -> str:
    if type(key) is not str:
        raise Misfit(
            f"the key {short(key)} is {class_name(type(key))}",
            f"Annotate the result as dict[{class_name(type(key))}, …]: without that, JSON would bring keys back"
            " as str.",
        )
    return key


def dump_each(shape: Shape, values: Any) -> list[Any]:
    """Every value dumped; a misfit says at which index."""
    if isinstance(shape, Number) and set(map(type, values)) == {shape.type}:
        return list(values)  # long lists of numbers or texts are common, and need no look at each
    return [dump_at(shape, value, index) for index, value in enumerate(values)]


def dump_at(shape: Shape, value: Any, step: str | int) -> Any:
    try:
        return shape.dump(value)
    except Misfit as misfit:
        raise misfit.inside(step) from None


def load_each(shape: Shape, plain: list[Any]) -> list[Any]:
    if isinstance(shape, Number) and set(map(type, plain)) == {shape.type}:
        return plain
    return [load_at(shape, item, index) for index, item in enumerate(plain)]


def load_at(shape: Shape, plain: Any, step: str | int) -> Any:
    try:
        return shape.load(plain)
    except Misfit as misfit:
        raise misfit.inside(step) from None


def unboxed(value: Any) -> Any:
    """A numpy number or text as the Python value that it equals; anything else as it is."""
    return value.item() if numpy_kind(type(value)) else value


def numpy_kind(kind: type[Any]) -> Kind | None:
    """The kind of JSON that says a numpy scalar class, known by its bases' names; None for other classes."""
    if kind.__module__ != "numpy" or kind.__name__ in ("longdouble", "timedelta64"):
        return None
    return next((_NUMPY[base.__name__] for base in kind.__mro__ if base.__name__ in _NUMPY), None)


_NUMPY: dict[str, Kind] = {
    "bool": "bool",
    "bool_": "bool",
    "integer": "int",
    "floating": "float",
    "str_": "str",
}


def not_a(value: object, wanted: type[Any]) -> Misfit:
    hint = None
    if isinstance(value, wanted):
        hint = (
            f"JSON would bring back a plain {class_name(wanted)}: convert it, or annotate the class itself."
        )
    return Misfit(f"{class_name(type(value))} where {class_name(wanted)} is declared", hint)


# -- dates and times --------------------------------------------------------------------------


def _dump_datetime(moment: datetime) -> str:
    """ISO 8601; a moment of a named zone has the name in brackets behind it (RFC 9557)."""
    zone = moment.tzinfo
    if zone is None:
        if moment.fold:
            raise Misfit("a datetime with fold=1 and no zone", "Give it a time zone.")
        return moment.isoformat()
    if type(zone) is timezone:
        return moment.isoformat()
    key = getattr(zone, "key", None)
    if not key or type(zone).__module__ not in ("zoneinfo", "zoneinfo._zoneinfo"):
        raise Misfit(
            f"a datetime with the zone {zone!r}",
            "Use zoneinfo.ZoneInfo(…) or datetime.timezone for the zone.",
        )
    return f"{moment.isoformat()}[{key}]"


def _load_datetime(text: str) -> datetime:
    stamp, bracket, key = text.partition("[")
    moment = datetime.fromisoformat(stamp)
    if not bracket:
        return moment
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(key.removesuffix("]"))
    offset = moment.utcoffset()
    for fold in (0, 1):
        local = moment.replace(tzinfo=zone, fold=fold)
        if local.utcoffset() == offset:
            return local
    if offset is None:
        raise ValueError("it has a zone but no offset")
    return moment.astimezone(zone)


def _dump_time(moment: time) -> str:
    if moment.fold or (moment.tzinfo is not None and type(moment.tzinfo) is not timezone):
        raise Misfit("a time of day with a named zone or fold=1", "Use a datetime, or datetime.timezone.")
    return moment.isoformat()


def _dump_timedelta(span: timedelta) -> int:
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def _load_timedelta(microseconds: int) -> timedelta:
    return timedelta(microseconds=microseconds)


def _dump_decimal(number: Decimal) -> str:
    return str(number)


_NULL: frozenset[Kind] = frozenset({"null"})
_TEXT: frozenset[Kind] = frozenset({"str"})
_INT: frozenset[Kind] = frozenset({"int"})

ANY: Shape = Anything()

SCALARS: dict[type[Any], Shape] = {
    NoneType: Scalar(NoneType, _NULL, lambda value: value, lambda plain: plain),
    bool: Number(bool, frozenset({"bool"})),
    int: Number(int, _INT),
    float: Number(float, frozenset({"float"})),
    str: Number(str, _TEXT),
    bytes: Scalar(
        bytes,
        _TEXT,
        lambda data: base64.b64encode(data).decode(),
        lambda text: base64.b64decode(text, validate=True),
    ),
    date: Scalar(date, _TEXT, date.isoformat, date.fromisoformat),
    datetime: Scalar(datetime, _TEXT, _dump_datetime, _load_datetime),
    time: Scalar(time, _TEXT, _dump_time, time.fromisoformat),
    timedelta: Scalar(timedelta, _INT, _dump_timedelta, _load_timedelta),
    Decimal: Scalar(Decimal, _TEXT, str, Decimal),
    UUID: Scalar(UUID, _TEXT, str, UUID),
}
