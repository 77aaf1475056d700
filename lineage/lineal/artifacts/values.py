"""Parameter values as plain structures that say the type of everything in them.

A structure is None, bool, int, float, str, bytes, a list of structures, or a map with exactly one key, the tag:
what a canonical record can hold. Values that Python tells apart (1, 1.0, True and "1"; a list and a tuple; two
orders of one dict) have different structures; equal sets have one, whatever order they are walked in.

>>> encode_value((1, 2.0))
{'tuple': [1, 2.0]}
>>> decode_value({"tuple": [1, 2.0]})
(1, 2.0)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from lineal.artifacts.codecs.protocol import UnreadableValue, class_name
from lineal.artifacts.codecs.shape import short
from lineal.artifacts.files import Directory, File
from lineal.artifacts.records import build, field_names, is_named_tuple, is_record
from lineal.artifacts.types import Secret
from lineal.artifacts.values_numpy import decode_array, decode_scalar, encode_array, encode_scalar, is_numpy
from lineal.errors import LinealError

MAX_DEPTH = 48
"""Levels of structure inside one another; a tagged container takes two or three of them."""

Resolve = Callable[[str], object]
"""Finds a class of the project by ``module:qualname``."""


def encode_value(value: object, *, name: str = "value") -> Any:
    """The structure of ``value``, which errors call ``name``.

    Supported are None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, range, dates and
    times, Decimal, UUID, Path, numpy scalars and small arrays, File and Directory (by URL), and the project's own enums,
    dataclasses and NamedTuples. Raises `UnsupportedParameter` for anything else.
    """
    try:
        return _encode(value, name, 1)
    except RecursionError:
        raise UnsupportedParameter(name, "is nested too deeply, or contains itself") from None


def decode_value(structure: Any, *, resolve: Resolve | None = None) -> Any:
    """The value that has this structure.

    Classes of the project are asked of ``resolve`` (`import_by_name`, where their code may run); without it
    their instances come back as `Unresolved`. Raises `UnreadableValue` for every other structure.
    """
    try:
        return _decode(structure, resolve)
    except UnreadableValue:
        raise
    except RecursionError:
        raise UnreadableValue("a parameter", "they are nested too deeply") from None


def find_names(structure: Any) -> Iterator[tuple[str, str]]:
    """What a structure points to outside of itself, as (kind, name).

    A ``class`` of the project by ``module:qualname``; a ``file`` or ``directory`` by its URL.
    """
    pending = [structure]
    while pending:
        found = pending.pop()
        if isinstance(found, list):
            pending += found
        elif isinstance(found, dict):
            ((tag, content),) = found.items()
            if tag in ("enum", "dataclass", "namedtuple"):
                yield "class", content[0]
            elif tag in ("file", "directory"):
                yield tag, content
            pending.append(content)


def import_by_name(name: str) -> object:
    """What ``module:qualname`` names, importing the module. Raises ImportError or AttributeError."""
    module, _, qualname = name.partition(":")
    found: object = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


class Unresolved(NamedTuple):
    """An instance of a class that was not looked up: for people to read, not for code to use."""

    class_name: str
    fields: Mapping[str, Any]

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.fields.items())
        return f"{self.class_name.rpartition(':')[2]}({inside})"


class UnsupportedParameter(LinealError):
    """A parameter's value cannot be part of a key; ``place`` is the part that is meant, ``grid["depth"][2]``."""

    exit_code = 2
    kind = "usage"

    def __init__(self, place: str, problem: str, hint: str | None = None) -> None:
        super().__init__(place, problem, hint)  # pickle rebuilds errors from args
        self.place, self.problem, self.hint = place, problem, hint

    def __str__(self) -> str:
        return f"{self.place} {self.problem}"


# -- out --------------------------------------------------------------------------------------


def _encode(value: Any, place: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise UnsupportedParameter(place, "is nested too deeply")
    kind = type(value)
    if value is None or kind in (bool, int, float, bytes):
        return value
    if kind is str:
        return _encode_text(value, place)
    if kind is list:
        return _encode_each(value, place, depth)
    if kind in _CONTAINER_TAGS:
        items = _encode_each(value, place, depth + 1)
        return {_CONTAINER_TAGS[kind]: items if kind is tuple else sorted(items, key=repr)}
    if kind is dict:
        pairs = [
            [
                _encode(key, f"the key {short(key)} of {place}", depth + 3),
                _encode(item, f"{place}[{short(key)}]", depth + 3),
            ]
            for key, item in value.items()
        ]
        return {"dict": pairs}
    if kind in _TEXTS:
        tag, text = _TEXTS[kind]
        return {tag: _encode_text(text(value), place)}
    if kind in (File, Directory):
        return {"file" if kind is File else "directory": _encode_text(value.url, place)}
    if kind is timedelta:
        return {"timedelta": [value.days, value.seconds, value.microseconds]}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is range:
        return {"range": [value.start, value.stop, value.step]}
    if kind in (datetime, time):
        return {kind.__name__: _encode_moment(value, place)}
    return _encode_instance(value, place, depth)


_CONTAINER_TAGS: dict[type[Any], str] = {tuple: "tuple", set: "set", frozenset: "frozenset"}

_TEXTS: dict[type[Any], tuple[str, Callable[[Any], str]]] = {
    date: ("date", date.isoformat),
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
    PurePosixPath: ("pure_path", str),
    type(Path()): ("path", str),
}


def _encode_each(values: Any, place: str, depth: int) -> list[Any]:
    where = place if isinstance(values, (set, frozenset)) else None
    return [_encode(item, where or f"{place}[{index}]", depth + 1) for index, item in enumerate(values)]


def _encode_text(text: str, place: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UnsupportedParameter(place, f"holds text that is no Unicode: {ascii(text)[:60]}") from None
    return text


def _encode_moment(moment: datetime | time, place: str) -> list[Any]:
    """ISO 8601 with the offset, the name of the zone if it has one, and fold."""
    zone = moment.tzinfo
    if zone is None or type(zone) is timezone:
        return [moment.isoformat(), None, moment.fold]
    key = getattr(zone, "key", None)
    if type(zone).__name__ != "ZoneInfo" or not isinstance(key, str):
        raise UnsupportedParameter(
            place,
            f"has the time zone {zone!r}",
            "Use zoneinfo.ZoneInfo(…) or datetime.timezone for the zone.",
        )
    return [moment.replace(tzinfo=None).isoformat(), key, moment.fold]


def _encode_instance(value: Any, place: str, depth: int) -> Any:
    kind = type(value)
    if isinstance(value, Secret):
        raise UnsupportedParameter(
            place,
            "holds a Secret inside of another value",
            "Give the stage a parameter of its own for the secret.",
        )
    if isinstance(value, Enum):
        return {
            "enum": [_named(kind, place), value.name or "", _encode(value.value, f"{place}.value", depth + 2)]
        }
    names = field_names(kind)
    if names is not None:
        tag = "namedtuple" if is_named_tuple(kind) else "dataclass"
        fields = [[name, _encode(getattr(value, name), f"{place}.{name}", depth + 4)] for name in names]
        return {tag: [_named(kind, place), fields]}
    if is_record(kind):
        raise UnsupportedParameter(
            place,
            f"is of the dataclass {class_name(kind)}, which is built from more than its fields",
            "Pass the values that it is made of.",
        )
    if is_numpy(kind, "generic"):
        scalar = encode_scalar(value)
        if scalar is None:
            raise UnsupportedParameter(
                place, f"is a numpy scalar of dtype {value.dtype}", "Pass value.item()."
            )
        if type(scalar[1]) is str:
            _encode_text(scalar[1], place)
        return {"numpy": scalar}
    if kind.__name__ == "ndarray" and is_numpy(kind, "ndarray"):
        array = encode_array(value)
        if array is None:
            raise UnsupportedParameter(
                place,
                f"is an array of {value.nbytes:,} bytes of dtype {value.dtype}, which cannot be part of a key",
                "Let a stage make it, or read it from a file: arrays of up to 64 KiB of plain numbers, dates or text are parameters.",
            )
        return {"array": array}
    raise UnsupportedParameter(
        place,
        f"is of the class {class_name(kind)}, which cannot be part of a key",
        "Pass numbers, text, dates, lists, dicts, dataclasses or enums; let a stage make anything else.",
    )


def _named(kind: type[Any], place: str) -> str:
    if "<locals>" in kind.__qualname__:
        raise UnsupportedParameter(
            place,
            f"is of the local class {kind.__qualname__}, which no later process could find",
            "Move the class to the top level of its module.",
        )
    return f"{kind.__module__}:{kind.__qualname__}"


# -- back -------------------------------------------------------------------------------------


def _decode(structure: Any, resolve: Resolve | None) -> Any:
    kind = type(structure)
    if structure is None or kind in (bool, int, float, str, bytes):
        return structure
    if kind is list:
        return [_decode(item, resolve) for item in structure]
    if kind is not dict or len(structure) != 1:
        raise UnreadableValue("a parameter", f"a {kind.__name__} where a tag is expected")
    ((tag, content),) = structure.items()
    try:
        if tag in _BACK:
            return _BACK[tag](content)
        if tag in _BACK_DEEP:
            return _BACK_DEEP[tag](content, resolve)
    except (TypeError, ValueError, ArithmeticError, LookupError, OSError) as error:
        raise UnreadableValue("a parameter", f"{tag}: {error}") from None
    raise UnreadableValue("a parameter", f"the tag {short(tag)} is not known")


def _text(content: Any) -> str:
    if type(content) is not str:
        raise TypeError(f"{type(content).__name__} where text is expected")
    return content


def _numbers(content: Any, kind: type[Any], count: int) -> list[Any]:
    if type(content) is not list or len(content) != count or any(type(item) is not kind for item in content):
        raise TypeError(f"not {count} numbers of type {kind.__name__}")
    return content


Moment = TypeVar("Moment", datetime, time)


def _decode_datetime(content: Any) -> datetime:
    text, key, fold = content
    return _placed(datetime.fromisoformat(_text(text)), key, fold)


def _decode_time(content: Any) -> time:
    text, key, fold = content
    return _placed(time.fromisoformat(_text(text)), key, fold)


def _placed(moment: Moment, key: Any, fold: Any) -> Moment:
    if key is not None:
        from zoneinfo import ZoneInfo

        moment = moment.replace(tzinfo=ZoneInfo(_text(key)))
    return moment.replace(fold=fold)


_BACK: dict[str, Callable[[Any], Any]] = {
    "date": lambda content: date.fromisoformat(_text(content)),
    "datetime": _decode_datetime,
    "time": _decode_time,
    "timedelta": lambda content: timedelta(*_numbers(content, int, 3)),
    "complex": lambda content: complex(*_numbers(content, float, 2)),
    "range": lambda content: range(*_numbers(content, int, 3)),
    "decimal": lambda content: Decimal(_text(content)),
    "uuid": lambda content: UUID(_text(content)),
    "path": lambda content: Path(_text(content)),
    "pure_path": lambda content: PurePosixPath(_text(content)),
    "file": lambda content: File(_text(content)),
    "directory": lambda content: Directory(_text(content)),
    "numpy": decode_scalar,
    "array": decode_array,
}


def _decode_items(content: Any, resolve: Resolve | None) -> list[Any]:
    if type(content) is not list:
        raise TypeError(f"{type(content).__name__} where a list is expected")
    return [_decode(item, resolve) for item in content]


def _decode_dict(content: Any, resolve: Resolve | None) -> dict[Any, Any]:
    if type(content) is not list:
        raise TypeError(f"{type(content).__name__} where a list of pairs is expected")
    return {_decode(key, resolve): _decode(item, resolve) for key, item in content}


def _decode_enum(content: Any, resolve: Resolve | None) -> Any:
    name, member, value = content
    plain = _decode(value, resolve)
    if resolve is None:
        return Unresolved(_text(name), {_text(member): plain})
    kind = _resolved(name, resolve)
    if not issubclass(kind, Enum):
        raise TypeError(f"{name} is no enum")
    return kind[member] if member in kind.__members__ else kind(plain)


def _decode_record(content: Any, resolve: Resolve | None) -> Any:
    name, pairs = content
    values = {_text(field): _decode(item, resolve) for field, item in pairs}
    if resolve is None:
        return Unresolved(_text(name), values)
    kind = _resolved(name, resolve)
    names = field_names(kind)
    if names is None or set(names) != values.keys():
        raise TypeError(f"the fields of {name} are others now")
    try:
        return build(kind, values)
    except Exception as error:  # a __post_init__ may raise anything
        raise UnreadableValue("a parameter", f"{name} cannot be built: {error}") from error


def _resolved(name: Any, resolve: Resolve) -> type[Any]:
    try:
        kind = resolve(_text(name))
    except Exception as error:  # importing the user's module may raise anything
        raise UnreadableValue("a parameter", f"{name} is not to be found: {error}") from error
    if not isinstance(kind, type):
        raise TypeError(f"{name} is no class")
    return kind


_BACK_DEEP: dict[str, Callable[[Any, Resolve | None], Any]] = {
    "tuple": lambda content, resolve: tuple(_decode_items(content, resolve)),
    "set": lambda content, resolve: set(_decode_items(content, resolve)),
    "frozenset": lambda content, resolve: frozenset(_decode_items(content, resolve)),
    "dict": _decode_dict,
    "enum": _decode_enum,
    "dataclass": _decode_record,
    "namedtuple": _decode_record,
}
