"""What an annotation says about a value: its class, whether None will do, and whether a value fits."""

from __future__ import annotations

import inspect
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, TypeVar, Union, get_args, get_origin

from lineal.artifacts.codecs.protocol import class_name

ANYTHING = (Any, object, inspect.Parameter.empty)
"""Annotations that say nothing about the value, the missing one included."""


def bare(annotation: object) -> object:
    """``annotation`` without `Annotated`, `NewType` and type aliases around it.

    >>> bare(Annotated[int, "years"])
    <class 'int'>
    """
    while type(annotation) is not type:  # a plain class, as most are
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":  # ``type X = …``; the class is new in Python 3.12
            annotation = annotation.__value__  # type: ignore[attr-defined]
        elif annotation is None:
            return NoneType
        else:
            break
    return annotation


def union_members(annotation: object) -> tuple[object, ...]:
    """The bare members of a union, flattened; an annotation that is no union is its own only member."""
    plain = bare(annotation)
    if type(plain) is type or get_origin(plain) not in (Union, UnionType):
        return (plain,)
    return tuple(leaf for member in get_args(plain) for leaf in union_members(member))


def says_nothing(annotation: object) -> bool:
    """Whether the annotation leaves the value's class open."""
    if type(annotation) is type:
        return annotation is object or annotation is inspect.Parameter.empty
    return any(annotation is nothing for nothing in ANYTHING) or isinstance(annotation, TypeVar)


def required(annotation: object) -> tuple[object, bool]:
    """What the annotation asks for besides None, and whether None will do.

    >>> required(Annotated[int, "years"] | None)
    (<class 'int'>, True)
    """
    members = union_members(annotation)
    if len(members) == 1:
        return members[0], False
    others = tuple(member for member in members if member is not NoneType)
    optional = len(others) < len(members)
    return (others[0] if len(others) == 1 else Union[others]), optional  # noqa: UP007


def class_of(annotation: object) -> type[Any] | None:
    """The class that a value must be an instance of, or None where the annotation is no class.

    >>> class_of(dict[str, int])
    <class 'dict'>
    """
    plain = bare(annotation)
    origin = None if type(plain) is type else get_origin(plain)
    kind = plain if origin is None else origin
    return kind if isinstance(kind, type) else None


def spelled(annotation: object) -> str:
    """The annotation as people write it."""
    members = union_members(annotation)
    if len(members) > 1:
        return " | ".join(spelled(member) for member in members)
    (plain,) = members
    if plain is NoneType:
        return "None"
    if isinstance(plain, type) and get_origin(plain) is None:
        return class_name(plain)
    return str(plain).removeprefix("typing.")
