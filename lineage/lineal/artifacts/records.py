"""The user's own dataclasses and NamedTuples: which of them are nothing but their fields."""

from __future__ import annotations

import dataclasses
from typing import Any


def field_names(kind: type[Any]) -> list[str] | None:
    """The fields that alone make up an instance, in order; None where there is more to it.

    There is more to a dataclass with a field that ``__init__`` does not take, an ``InitVar``, an ``__init__`` of
    its own, or a built-in container as its base.
    """
    if is_named_tuple(kind):
        return list(kind._fields)
    if not dataclasses.is_dataclass(kind) or issubclass(
        kind, (dict, list, tuple, set, str, bytes, int, float)
    ):
        return None
    names = [field.name for field in dataclasses.fields(kind)]
    code = getattr(kind.__init__, "__code__", None)
    if code is None or not all(field.init for field in dataclasses.fields(kind)):
        return None
    taken = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    return names if set(taken) == set(names) else None


def is_record(kind: type[Any]) -> bool:
    """Whether ``kind`` is a dataclass or a NamedTuple at all."""
    return dataclasses.is_dataclass(kind) or is_named_tuple(kind)


def is_named_tuple(kind: type[Any]) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_make")


def build(kind: type[Any], values: dict[str, Any]) -> Any:
    """An instance of ``kind`` with these values of all its fields; a ``__post_init__`` may raise anything."""
    if is_named_tuple(kind):
        return kind._make(values[name] for name in kind._fields)
    return kind(**values)
