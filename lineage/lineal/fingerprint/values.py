"""A live value as text: type-tagged and the same in every process, for what a closure captured."""

from __future__ import annotations

import copyreg
import enum
import functools
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import xxhash

_MOST_DEEP = 50


class Describer:
    """Describes values by what they are. Functions, classes and modules are left to ``describe_code``.

    ``opaque`` collects the types that could not be described by value: those count by their type alone.
    """

    def __init__(self, describe_code: Callable[[Any], str]) -> None:
        self.opaque: list[str] = []
        self._describe_code = describe_code
        self._inside: list[int] = []

    def describe(self, value: Any) -> str:
        """``value`` as text: equal for values that behave alike, different for 1, 1.0, True and "1"."""
        if id(value) in self._inside:
            return f"again {len(self._inside) - self._inside.index(id(value))}"
        if len(self._inside) > _MOST_DEEP:
            return self._by_type(value)
        self._inside.append(id(value))
        try:
            return self._describe(value)
        finally:
            self._inside.pop()

    def _describe(self, value: Any) -> str:
        cls = type(value)
        if value is None or value is Ellipsis or cls in (bool, int):
            return f"{cls.__name__} {value:x}" if cls is int else repr(value)
        if cls is float:
            return f"float {value.hex()}"
        if cls is complex:
            return f"complex {value.real.hex()} {value.imag.hex()}"
        if cls in (str, bytes, bytearray):
            return f"{cls.__name__} {value!r}"
        if cls in (list, tuple):
            return f"{cls.__name__}({', '.join(map(self.describe, value))})"
        if cls in (set, frozenset):
            return f"{cls.__name__}({', '.join(sorted(map(self.describe, value)))})"
        if cls in (dict, types.MappingProxyType):
            return f"{self._name(cls)}({self._items(value)})"
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            return f"partial({', '.join(map(self.describe, parts))})"
        if isinstance(value, types.MethodType):
            return f"method({self.describe(value.__func__)}, {self.describe(value.__self__)})"
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            of = "" if owner is None or isinstance(owner, types.ModuleType) else f" of {self.describe(owner)}"
            return f"builtin {value.__module__}.{value.__qualname__}{of}"
        if isinstance(value, type | types.FunctionType | types.ModuleType) or hasattr(value, "__wrapped__"):
            return self._describe_code(value)
        if isinstance(value, enum.Enum):
            return f"{self._describe_code(cls)}.{value.name}"
        array = self._array(value)
        return array if array is not None else self._object(value)

    def _array(self, value: Any) -> str | None:
        numpy = sys.modules.get("numpy")
        if numpy is None or not isinstance(value, numpy.ndarray | numpy.generic):
            return None
        if value.dtype.hasobject:
            return f"array {value.dtype.str} {value.shape} {self.describe(value.tolist())}"
        data = xxhash.xxh3_128_hexdigest(numpy.ascontiguousarray(value).tobytes())
        return f"array {value.dtype.str} {value.shape} {data}"

    def _object(self, value: Any) -> str:
        """An object: its class, and what copying or pickling it would take along."""
        cls = type(value)
        described = self._describe_code(cls)
        try:
            reducer = copyreg.dispatch_table.get(cls)
            reduced = reducer(value) if reducer is not None else value.__reduce_ex__(4)
        except Exception:  # noqa: BLE001 - code of the object runs here
            return self._by_type(value)
        if isinstance(reduced, str):
            return f"{described} {reduced}"
        whole: Any = (*reduced, None, None, None)
        function, arguments, state, items, pairs = whole[:5]
        parts = [self.describe(argument) for argument in arguments if argument is not cls]
        parts.append(f"state {self._items(state) if isinstance(state, dict) else self.describe(state)}")
        parts += [self.describe(item) for item in items or ()]
        parts += [f"{self.describe(key)}: {self.describe(item)}" for key, item in pairs or ()]
        return f"{described} by {getattr(function, '__qualname__', '')}({', '.join(parts)})"

    def _items(self, value: Mapping[Any, Any]) -> str:
        return ", ".join(f"{self.describe(key)}: {self.describe(item)}" for key, item in value.items())

    def _by_type(self, value: Any) -> str:
        name = self._name(type(value))
        self.opaque.append(name)
        return f"some {name}"

    @staticmethod
    def _name(of: type) -> str:
        return f"{of.__module__}.{of.__qualname__}"
