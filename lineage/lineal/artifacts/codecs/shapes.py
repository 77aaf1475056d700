"""The shape that an annotation has: containers, records, enums and unions, built of the shapes inside them."""

from __future__ import annotations

import ast
import collections.abc
import json
import typing
from collections.abc import Mapping
from enum import Enum, Flag
from types import NoneType
from typing import Any, Literal, NotRequired, Required, get_args, get_origin

from msgspec import Struct

from lineal.artifacts.annotations import says_nothing, spelled, union_members
from lineal.artifacts.codecs.protocol import class_name
from lineal.artifacts.codecs.scalars import (
    ANY,
    SCALARS,
    NumpyScalar,
    dump_at,
    dump_each,
    load_at,
    load_each,
    not_a,
    numpy_kind,
)
from lineal.artifacts.codecs.shape import Kind, Misfit, NoShape, Shape, expect, kind_of, short
from lineal.artifacts.records import build, field_names, is_record


def supports(annotation: object) -> bool:
    """Whether JSON can follow the annotation all the way in.

    >>> supports(dict[str, tuple[int, ...]]), supports(list[complex])
    (True, False)
    """
    try:
        _build(annotation, {})
    except NoShape:
        return False
    return True


def shape_of(annotation: object) -> Shape:
    """The shape of ``annotation``, or where JSON cannot follow that, of values that need no annotation."""
    try:
        return _build(annotation, {})
    except NoShape:
        return ANY


def _build(annotation: object, building: dict[object, _Later]) -> Shape:
    if type(annotation) is type and annotation in SCALARS:
        return SCALARS[annotation]
    members = union_members(annotation)
    if len(members) > 1:
        return _union(members, building, spelled(annotation))
    (plain,) = members
    if says_nothing(plain):
        return ANY
    origin = get_origin(plain)
    if origin is Literal:
        return _literal(get_args(plain))
    if typing.is_typeddict(plain):
        return _Later.of(plain, building, lambda: _typed_dict(plain, building))
    kind = plain if origin is None else origin
    if not isinstance(kind, type):
        raise NoShape
    if kind in SCALARS:
        return SCALARS[kind]
    if kind in _CONTAINERS:
        return _container(kind, get_args(plain), bare_class=origin is None, building=building)
    if issubclass(kind, Enum):
        if issubclass(kind, Flag):
            raise NoShape
        return _Members(kind)
    if is_record(kind):
        return _Later.of(kind, building, lambda: _record(kind, building))
    number = numpy_kind(kind)
    if number is not None:
        return NumpyScalar(kind, frozenset({number}))
    raise NoShape


class _Later:
    """A shape that is still being built, for records that hold themselves."""

    kinds: frozenset[Kind] = frozenset({"object"})
    shape: Shape

    @classmethod
    def of(cls, kind: Any, building: dict[object, _Later], build: Any) -> Shape:
        if kind in building:
            return building[kind]
        later = building[kind] = cls()
        later.shape = build()
        return later.shape

    def dump(self, value: Any) -> Any:
        return self.shape.dump(value)

    def load(self, plain: Any) -> Any:
        return self.shape.load(plain)


# -- containers -------------------------------------------------------------------------------

_CONTAINERS: dict[type[Any], type[Any]] = {
    list: list,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    tuple: tuple,
    dict: dict,
    collections.abc.Mapping: dict,
    collections.abc.MutableMapping: dict,
    set: set,
    collections.abc.MutableSet: set,
    collections.abc.Set: set,
    frozenset: frozenset,
}
"""What comes back for each, and so what has to be handed in: for an abstract class, its plainest concrete one."""

_LIST: frozenset[Kind] = frozenset({"list"})
_OBJECT: frozenset[Kind] = frozenset({"object"})


def _container(
    kind: type[Any], arguments: tuple[Any, ...], *, bare_class: bool, building: dict[object, _Later]
) -> Shape:
    concrete = _CONTAINERS[kind]
    if concrete is dict:
        if not arguments:
            return _Table(None, ANY)
        key, value = arguments
        return _Table(None if says_nothing(key) else _build(key, building), _build(value, building))
    if concrete is tuple and not bare_class and (not arguments or arguments[-1] is not Ellipsis):
        return _Row(tuple(_build(argument, building) for argument in arguments))
    return _Items(concrete, _build(arguments[0], building) if arguments else ANY)


class _Items(Struct, frozen=True):
    """list, tuple, set or frozenset of values of one shape; sets are sorted by the JSON text of their elements."""

    type: type[Any]
    item: Shape
    kinds: frozenset[Kind] = _LIST

    def dump(self, value: Any) -> Any:
        if type(value) is not self.type:
            raise not_a(value, self.type)
        items = dump_each(self.item, value)
        if self.type in (set, frozenset):
            items.sort(key=lambda item: json.dumps(item, ensure_ascii=False))
        return items

    def load(self, plain: Any) -> Any:
        expect(plain, self.kinds, self.type.__name__)
        items = load_each(self.item, plain)
        if self.type is list:
            return items
        try:
            return self.type(items)
        except TypeError as error:
            raise Misfit(str(error)) from None


class _Row(Struct, frozen=True):
    """A tuple of fixed length with a shape for each place."""

    items: tuple[Shape, ...]
    kinds: frozenset[Kind] = _LIST

    def dump(self, value: Any) -> Any:
        if type(value) is not tuple:
            raise not_a(value, tuple)
        self._check_length(value)
        return [
            dump_at(shape, item, index)
            for index, (shape, item) in enumerate(zip(self.items, value, strict=True))
        ]

    def load(self, plain: Any) -> Any:
        expect(plain, self.kinds, "tuple")
        self._check_length(plain)
        return tuple(
            load_at(shape, item, index)
            for index, (shape, item) in enumerate(zip(self.items, plain, strict=True))
        )

    def _check_length(self, items: Any) -> None:
        if len(items) != len(self.items):
            raise Misfit(f"a tuple of {len(items)} where one of {len(self.items)} is declared")


class _Table(Struct, frozen=True):
    """A dict, in its own order.

    Keys whose JSON is text or an int become the names of an object; others make a list of pairs. ``key`` is
    None where the annotation leaves the keys open: then they must be text.
    """

    key: Shape | None
    value: Shape

    @property
    def kinds(self) -> frozenset[Kind]:
        return _OBJECT if self._named else _LIST

    @property
    def _named(self) -> bool:
        return self.key is None or self.key.kinds in (frozenset({"str"}), frozenset({"int"}))

    def dump(self, value: Any) -> Any:
        if type(value) is not dict:
            raise not_a(value, dict)
        if self.key is None and set(map(type, value)) - {str}:
            return ANY.dump(value)  # says which key is no text, and what to do
        pairs = [
            (key if self.key is None else dump_at(self.key, key, short(key)), item)
            for key, item in value.items()
        ]
        dumped = [(name, dump_at(self.value, item, _step(name))) for name, item in pairs]
        if self._named:
            return {str(name): item for name, item in dumped}
        return [list(pair) for pair in dumped]

    def load(self, plain: Any) -> Any:
        expect(plain, self.kinds, "dict")
        loaded: dict[Any, Any] = {}
        for pair in plain.items() if self._named else plain:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise Misfit("a pair of key and value is missing")
            name, item = pair
            key = name if self.key is None else load_at(self.key, self._name_as_json(name), _step(name))
            try:
                loaded[key] = load_at(self.value, item, _step(name))
            except TypeError as error:  # an unhashable key
                raise Misfit(str(error)) from None
        return loaded

    def _name_as_json(self, name: Any) -> Any:
        if self.key is None or self.key.kinds != frozenset({"int"}):
            return name
        try:
            return int(name)
        except ValueError:
            raise Misfit(f"{short(name)} is no int") from None


def _step(name: object) -> str | int:
    return name if isinstance(name, (str, int)) else short(name)


# -- records ----------------------------------------------------------------------------------


def _hints(kind: Any, *, with_marks: bool = False) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=with_marks)
    except Exception:  # noqa: BLE001 names that do not resolve, or anything that evaluating an annotation raises
        raise NoShape from None


def _record(kind: type[Any], building: dict[object, _Later]) -> Shape:
    names = field_names(kind)
    if names is None:
        raise NoShape
    hints = _hints(kind)
    return _Record(kind, {name: _build(hints.get(name, Any), building) for name in names})


class _Record(Struct, frozen=True):
    """A dataclass or NamedTuple, as an object with its fields."""

    type: type[Any]
    fields: Mapping[str, Shape]
    kinds: frozenset[Kind] = _OBJECT

    def dump(self, value: Any) -> Any:
        if type(value) is not self.type:
            raise not_a(value, self.type)
        plain = self._dump_fields(value)
        if hasattr(self.type, "__post_init__") and _text(self._dump_fields(self.load(plain))) != _text(plain):
            raise Misfit(
                f"{class_name(self.type)} changes its own fields when it is built",
                "Make its __post_init__ leave alone what it has done already.",
            )
        return plain

    def _dump_fields(self, value: Any) -> dict[str, Any]:
        return {name: dump_at(shape, getattr(value, name), f".{name}") for name, shape in self.fields.items()}

    def load(self, plain: Any) -> Any:
        expect(plain, self.kinds, class_name(self.type))
        if plain.keys() != self.fields.keys():
            differing = ", ".join(sorted(plain.keys() ^ self.fields.keys()))
            raise Misfit(f"the fields of {class_name(self.type)} are others now: {differing}")
        values = {name: load_at(shape, plain[name], f".{name}") for name, shape in self.fields.items()}
        try:
            return build(self.type, values)
        except Exception as error:  # noqa: BLE001 a __post_init__ may raise anything
            raise Misfit(f"{class_name(self.type)} cannot be built: {error}") from None


def _text(plain: object) -> str:
    return json.dumps(plain, ensure_ascii=False)


def _typed_dict(kind: Any, building: dict[object, _Later]) -> Shape:
    shapes = {name: _build(hint, building) for name, hint in _hints(kind).items()}
    # under `from __future__ import annotations` __required_keys__ knows nothing of NotRequired and Required
    marks = {name: get_origin(hint) for name, hint in _hints(kind, with_marks=True).items()}
    needed = {
        name
        for name, mark in marks.items()
        if mark is Required or (mark is not NotRequired and name in kind.__required_keys__)
    }
    return _Keys(kind.__name__, shapes, frozenset(needed))


class _Keys(Struct, frozen=True):
    """A TypedDict, in the order in which it was filled."""

    name: str
    values: Mapping[str, Shape]
    needed: frozenset[str]
    kinds: frozenset[Kind] = _OBJECT

    def dump(self, value: Any) -> Any:
        if type(value) is not dict:
            raise not_a(value, dict)
        self._check_keys(value)
        return {key: dump_at(self.values[key], item, key) for key, item in value.items()}

    def load(self, plain: Any) -> Any:
        expect(plain, self.kinds, self.name)
        self._check_keys(plain)
        return {key: load_at(self.values[key], item, key) for key, item in plain.items()}

    def _check_keys(self, mapping: Mapping[Any, Any]) -> None:
        unknown = [key for key in mapping if key not in self.values]
        missing = sorted(self.needed - mapping.keys())
        if unknown:
            raise Misfit(f"the key {short(unknown[0])} is not declared by {self.name}")
        if missing:
            raise Misfit(f"the key {missing[0]!r}, which {self.name} requires, is missing")


# -- choices ----------------------------------------------------------------------------------


class _Members(Struct, frozen=True):
    """The members of an Enum, by name."""

    type: type[Enum]
    kinds: frozenset[Kind] = frozenset({"str"})

    def dump(self, value: Any) -> Any:
        if type(value) is not self.type:
            raise not_a(value, self.type)
        return value.name

    def load(self, plain: Any) -> Any:
        expect(plain, self.kinds, class_name(self.type))
        try:
            return self.type[plain]
        except KeyError:
            raise Misfit(f"{class_name(self.type)} has no member {short(plain)}") from None


def _literal(choices: tuple[Any, ...]) -> Shape:
    if any(type(choice) not in (str, int, bool, NoneType) for choice in choices):
        raise NoShape
    return _Choice(choices, frozenset(kind_of(choice) for choice in choices))


class _Choice(Struct, frozen=True):
    """One of the values of a Literal."""

    choices: tuple[Any, ...]
    kinds: frozenset[Kind]

    def dump(self, value: Any) -> Any:
        if not any(type(choice) is type(value) and choice == value for choice in self.choices):
            raise Misfit(f"{short(value)} is none of {', '.join(map(repr, self.choices))}")
        return value

    def load(self, plain: Any) -> Any:
        return self.dump(plain)


def _union(members: tuple[object, ...], building: dict[object, _Later], spelling: str) -> Shape:
    shapes = [_build(member, building) for member in members]
    kinds = [kind for shape in shapes for kind in shape.kinds]
    if len(kinds) != len(set(kinds)):
        raise NoShape  # the JSON would not say which member it is
    # a float shape takes ints too: it must not come before the one for int
    shapes.sort(key=lambda shape: "float" in shape.kinds)
    return _Union(tuple(shapes), frozenset(kinds), spelling)


class _Union(Struct, frozen=True):
    """Values of one of several shapes, told apart by the kind of their JSON."""

    shapes: tuple[Shape, ...]
    kinds: frozenset[Kind]
    spelling: str

    def dump(self, value: Any) -> Any:
        misfits = []
        for shape in self.shapes:
            try:
                return shape.dump(value)
            except Misfit as misfit:
                misfits.append(misfit)
        deepest = max(misfits, key=lambda misfit: len(misfit.steps))
        if deepest.steps:
            raise deepest
        raise Misfit(f"{class_name(type(value))} where {self.spelling} is declared", deepest.hint)

    def load(self, plain: Any) -> Any:
        for shape in self.shapes:
            if kind_of(plain) in shape.kinds:
                return shape.load(plain)
        raise Misfit(f"{kind_of(plain)} where {self.spelling} is declared")


def annotation_of(text: str) -> Any:
    """The annotation that `spelled` wrote as ``text``, where it is made of what Python itself has; else LookupError.

    >>> annotation_of("list[datetime.date | None]")
    list[datetime.date | None]
    """
    try:
        return _read(ast.parse(text, mode="eval").body)
    except (SyntaxError, TypeError, ValueError, RecursionError) as error:
        raise LookupError(text) from error


def _read(node: ast.expr) -> Any:
    match node:
        case ast.Constant(None):
            return None
        case ast.Constant(value) if value is Ellipsis:
            return value
        case ast.Name() | ast.Attribute():
            return _BY_NAME[ast.unparse(node)]
        case ast.BinOp(left, ast.BitOr(), right):
            return _read(left) | _read(right)
        case ast.Subscript(generic, ast.Tuple(arguments)):
            return _read(generic)[tuple(map(_read, arguments))]
        case ast.Subscript(generic, argument):
            return _read(generic)[_read(argument)]
    raise LookupError(ast.unparse(node))


_BY_NAME: dict[str, Any] = {class_name(kind): kind for kind in (*SCALARS, *_CONTAINERS)} | {"Any": Any}
