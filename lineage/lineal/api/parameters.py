"""NAME=VALUE, read by the annotation of the parameter that it names.

Text is read as the parameter's type says: ISO dates, true and false, numbers, ``str`` as it is, files
from a path or URL, ``none`` where None is allowed, and JSON for everything else. A value out of a
parameters file has a type already and is checked; text in it is read the same way.
"""

from __future__ import annotations

import json
import os
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import Enum
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Union, cast, get_args, get_origin
from uuid import UUID

from lineal.api.nearest import did_you_mean
from lineal.artifacts.types import Secret
from lineal.errors import UsageError


class Declared(NamedTuple):
    """A parameter as its function declares it, with the annotation resolved."""

    annotation: object
    has_default: bool = False
    default: object = None


class InvalidParameters(UsageError):
    """Parameters that are unknown, missing or of another type: all of them, in one error."""


def parse_assignments(
    assignments: Sequence[str],
    params_file: Path | None,
    parameters: Mapping[str, tuple[object, bool, object]],
    data: Mapping[str, object] = types.MappingProxyType({}),
) -> dict[str, object]:
    """The values given, by name in the order of declaration; defaults are not filled in.

    ``parameters`` maps each name to (annotation, has_default, default). An assignment overrides the
    file, and the file ``data``. Raises InvalidParameters with every mistake.
    """
    mistakes: list[str] = []
    given: dict[str, tuple[Callable[[Any, object], object], object]] = {}
    given.update((name, (_from_data, value)) for name, value in data.items())
    if params_file is not None:
        given.update((name, (_from_data, value)) for name, value in _read_file(params_file).items())
    seen: set[str] = set()
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name:
            mistakes.append(f"{text!r} is not NAME=VALUE")
        elif name in seen:
            mistakes.append(f"{name}: given twice")
        else:
            seen.add(name)
            given[name] = (_from_text, value)

    values: dict[str, object] = {}
    for name, (annotation, has_default, _) in parameters.items():
        if name in given:
            read, raw = given[name]
            try:
                values[name] = read(raw, annotation)
            except _Unfit as problem:
                detail = f" ({problem.detail})" if problem.detail else ""
                wanted = describe_type(annotation)
                # A secret of the wrong type is one all the same.
                told = "something else" if "Secret" in wanted else _shown(raw) + detail
                mistakes.append(f"{name}: expected {wanted}, got {told}")
        elif not has_default:
            mistakes.append(f"{name}: missing, {describe_type(annotation)}")
    mistakes += [
        f"{name}: no such parameter{did_you_mean(name, parameters)}"
        for name in given
        if name not in parameters
    ]
    if mistakes:
        raise InvalidParameters(_one_or_many(mistakes), _signature(parameters))
    return values


def describe_type(annotation: object) -> str:
    """A parameter's type in the words of the person who has to type a value of it.

    >>> describe_type(Annotated[float | None, "any"]), describe_type(Literal["gini", "entropy"])
    ('float or none', '"gini" or "entropy"')
    """
    kind = _unwrap(annotation)
    if _is_union(kind):
        members = sorted(get_args(kind), key=lambda member: _unwrap(member) is types.NoneType)
        return " or ".join(describe_type(member) for member in members)
    if kind in (None, types.NoneType):
        return "none"
    if kind in _ANYTHING:
        return "any value"
    if get_origin(kind) is Literal:
        return " or ".join(json.dumps(choice, default=str, ensure_ascii=False) for choice in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"{kind.__name__} ({', '.join(kind.__members__)})"
    if isinstance(kind, type) and issubclass(kind, datetime):
        return "datetime (2013-06-30T12:00:00)"
    if isinstance(kind, type) and issubclass(kind, date):
        return "date (2013-06-30)"
    if kind is bool:
        return "bool (true or false)"
    if get_origin(kind) is None and isinstance(kind, type):
        return kind.__name__
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+", "", str(kind))


# --- reading ---------------------------------------------------------------------------------------


class _Unfit(Exception):
    """The value is not of the type; ``detail`` says more where the type alone does not."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


_ANYTHING = (Any, object, Parameter.empty)


def _from_text(text: str, annotation: object) -> object:
    kind = _unwrap(annotation)
    if _is_union(kind):
        if text == "none" and any(_unwrap(member) is types.NoneType for member in get_args(kind)):
            return None
        return _first_fit(_from_text, text, kind)
    if kind in (None, types.NoneType):
        _check(text == "none")
        return None
    if kind in _ANYTHING:
        try:
            return json.loads(text)
        except ValueError:
            return text
    if get_origin(kind) is Literal:
        return _choose_by_text(text, ((choice, choice) for choice in get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        if text in kind.__members__:
            return kind[text]
        return _choose_by_text(text, ((member.value, member) for member in kind))
    scalar = _scalar(kind)
    if scalar is not None:
        return scalar(text)
    try:
        value = json.loads(text)
    except ValueError as problem:
        raise _Unfit(f"not JSON: {problem}") from None
    return _from_data(value, annotation)


def _from_data(value: object, annotation: object) -> object:
    kind = _unwrap(annotation)
    if _is_union(kind):
        return _first_fit(_from_data, value, kind)
    if kind in _ANYTHING:
        return value
    if kind in (None, types.NoneType):
        _check(value is None or value == "none")
        return None
    if get_origin(kind) is Literal:
        return _choose(value, ((choice, choice) for choice in get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        if isinstance(value, str) and value in kind.__members__:
            return kind[value]
        return _choose(value, ((member.value, member) for member in kind))
    scalar = _scalar(kind)
    if scalar is not None:
        return _scalar_from_data(value, cast(type, kind), scalar)
    return _container(value, kind, annotation)


def _first_fit(read: Callable[[Any, object], object], value: object, union: object) -> object:
    """The first member that takes the value, the most particular ones first: ``str`` takes anything."""
    details = []
    for member in sorted(get_args(union), key=_generality):
        try:
            return read(value, member)
        except _Unfit as problem:
            details.append(problem.detail)
    raise _Unfit(details[0] if len(details) == 1 else "")


def _generality(annotation: object) -> int:
    kind = _unwrap(annotation)
    order: tuple[type, ...] = (types.NoneType, bool, int, float, Decimal, date, datetime, time, UUID)
    if get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, Enum)):
        return 0
    if kind in order:
        return 1 + order.index(kind)
    if kind in _ANYTHING:
        return 100
    if kind is str:
        return 90
    if isinstance(kind, type) and issubclass(kind, os.PathLike):
        return 80
    return 50


def _scalar_from_data(value: object, kind: type, read: Callable[[str], object]) -> object:
    if isinstance(value, str) and kind not in (bool, int, float):
        return read(value)
    if isinstance(value, bool) != (kind is bool):  # True is an int to Python, to nobody else
        raise _Unfit
    if kind in (float, Decimal) and isinstance(value, int | float):
        return kind(value if kind is float else str(value))
    _check(isinstance(value, kind) and not (kind is date and isinstance(value, datetime)))
    return value


def _container(value: object, kind: object, annotation: object) -> object:
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if not isinstance(origin, type):
        raise _Unfit("no value of this type can be typed")
    inner = arguments[0] if arguments else Any
    if origin is tuple:
        if not isinstance(value, list):
            raise _Unfit
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_from_data(item, inner) for item in value)
        if arguments and len(arguments) != len(value):
            raise _Unfit(f"{len(arguments)} items, not {len(value)}")
        return tuple(
            _from_data(item, of) for item, of in zip(value, arguments or [Any] * len(value), strict=True)
        )
    if origin in (set, frozenset) or (origin is not str and issubclass(origin, AbstractSet)):
        if not isinstance(value, list):
            raise _Unfit
        items = [_from_data(item, inner) for item in value]
        return frozenset(items) if origin is frozenset else set(items)
    if origin is list or (issubclass(origin, Sequence) and origin not in (bytes, bytearray, range)):
        if not isinstance(value, list) or hasattr(origin, "_fields"):
            return _structured(value, annotation)
        return [_from_data(item, inner) for item in value]
    if (origin is dict or issubclass(origin, Mapping)) and not hasattr(origin, "__total__"):
        if not isinstance(value, dict):
            raise _Unfit
        key, item_type = arguments or (Any, Any)
        return {_from_data(name, key): _from_data(item, item_type) for name, item in value.items()}
    return _structured(value, annotation)


def _structured(value: object, annotation: object) -> object:
    """Dataclasses, named tuples and typed dictionaries."""
    import msgspec

    def read_unknown(kind: type, inner: object) -> object:
        scalar = _scalar(kind)
        if scalar is None or not isinstance(inner, str):
            raise _Unfit(f"no value of {kind.__name__} can be typed")
        return scalar(inner)

    if isinstance(value, dict):
        _refuse_unknown_fields(value, annotation)
    try:
        return msgspec.convert(value, cast(Any, annotation), dec_hook=read_unknown)
    except (msgspec.ValidationError, TypeError, ValueError) as problem:
        raise _Unfit(str(problem)) from None


def _refuse_unknown_fields(value: Mapping[str, object], annotation: object) -> None:
    """A misspelt field would otherwise leave its default in place."""
    fields = getattr(annotation, "__annotations__", None)
    if isinstance(annotation, type) and fields is not None:
        known = {name for base in annotation.__mro__ for name in getattr(base, "__annotations__", ())}
        unknown = [name for name in value if name not in known]
        if unknown:
            raise _Unfit(f"it has no field {unknown[0]}{did_you_mean(unknown[0], known)}")


# --- scalars ---------------------------------------------------------------------------------------

_INTEGER = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*")
_NUMBER = re.compile(r"[!-~]+")  # Python's own readers also take spaces and other scripts' digits
_DATE = re.compile(r"[0-9:T ZW.+-]+")
_ANYTHING_BUT_NOTHING = re.compile(r".+", re.DOTALL)


def _scalar(kind: object) -> Callable[[str], object] | None:
    """What reads a value of that type from text; None for types that are written as JSON."""
    if not isinstance(kind, type):
        return None
    if kind is str or issubclass(kind, Secret):
        return kind
    if kind is bool:
        return lambda text: _choose(text, (("true", True), ("false", False)))
    if kind is int:
        return lambda text: _attempt(int, text, _INTEGER)
    if kind is float or kind is Decimal or issubclass(kind, UUID):
        return lambda text: _attempt(kind, text, _NUMBER)
    if issubclass(kind, date | time):  # datetime is a date
        return lambda text: _attempt(kind.fromisoformat, text, _DATE)
    if issubclass(kind, os.PathLike):  # Path, and Lineal's File and Directory, which take URLs too
        return lambda text: _attempt(Path if kind is os.PathLike else kind, text, _ANYTHING_BUT_NOTHING)
    return None


def _attempt(read: Callable[[str], object], text: str, form: re.Pattern[str]) -> object:
    _check(form.fullmatch(text) is not None)
    try:
        return read(text)
    except (ValueError, InvalidOperation, TypeError):
        raise _Unfit from None


def _choose_by_text(text: str, choices: Iterable[tuple[object, object]]) -> object:
    for key, chosen in choices:
        if isinstance(key, str):
            if key == text:
                return chosen
            continue
        try:
            value = _from_text(text, type(key))
        except _Unfit:
            continue
        if value == key:
            return chosen
    raise _Unfit


def _choose(value: object, choices: Iterable[tuple[object, object]]) -> object:
    for key, chosen in choices:
        if type(key) is type(value) and key == value:
            return chosen
    raise _Unfit


def _check(fits: bool) -> None:
    if not fits:
        raise _Unfit


# --- annotations, files, words ---------------------------------------------------------------------


def _unwrap(annotation: object) -> object:
    """The type below Annotated, NewType and type aliases."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":  # typing's own from Python 3.12 on
            annotation = annotation.__value__  # type: ignore[attr-defined]
        else:
            return annotation


def _is_union(kind: object) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _read_file(path: Path) -> dict[str, object]:
    """A parameters file: TOML, or JSON by its name."""
    import tomllib

    try:
        text = path.read_text("utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as problem:
        raise InvalidParameters(f"the parameters file {path} cannot be read: {problem.strerror}") from None
    except ValueError as problem:
        form = "JSON" if path.suffix == ".json" else "TOML"
        raise InvalidParameters(
            f"the parameters file {path} is not {form}: {problem}",
            "It may be TOML, or JSON in a file named .json.",
        ) from None
    if not isinstance(document, dict):
        raise InvalidParameters(f"the parameters file {path} holds no object of names and values")
    return document


def _signature(parameters: Mapping[str, tuple[object, bool, object]]) -> str:
    if not parameters:
        return "The pipeline takes no parameters."
    listed = ", ".join(
        f"{name}: {describe_type(annotation)}{' (optional)' if optional else ''}"
        for name, (annotation, optional, _) in parameters.items()
    )
    return f"The pipeline takes {listed}."


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _one_or_many(mistakes: list[str]) -> str:
    if len(mistakes) == 1:
        return mistakes[0]
    return "\n".join([f"{len(mistakes)} mistakes in the parameters", *(f"  {text}" for text in mistakes)])
