"""Ordinary pickles whose bytes depend on what a value holds, and not on how it came to lie in memory.

Plain pickle gives equal values different bytes for reasons that code cannot observe or should not: which equal
strings happen to be one object, the order in which a set is walked, the order in which attributes were first
assigned, what lies between the fields of a C structure, the memory layout and the writability of an array, an
address that a library keeps. This pickler leaves all of that out. `pickle.load` and `joblib.load` read the result.

What code can observe is kept: the order of dicts, and which mutable objects are one and the same.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import struct
from datetime import date, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from types import FunctionType
from typing import Any, BinaryIO
from uuid import UUID

PROTOCOL = 5

_Pickler: Any = vars(pickle)["_Pickler"]
"""The pickler in Python, on which joblib builds too: the one in C remembers objects by their addresses."""

_which_module: Any = vars(pickle)["whichmodule"]


def dump(value: object, stream: BinaryIO) -> list[str]:
    """Write ``value`` to ``stream``; the classes and functions that the pickle names, sorted, ``module:qualname``.

    Raises `pickle.PicklingError`, or whatever a value's own ``__reduce__`` raises.
    """
    pickler = CanonicalPickler(stream)
    pickler.dump(value)
    return sorted(pickler.names)


def dumps(value: object) -> bytes:
    """The canonical pickle of ``value``."""
    stream = io.BytesIO()
    dump(value, stream)
    return stream.getvalue()


class CanonicalPickler(_Pickler):  # type: ignore[misc]
    """Writes one value; ``names`` collects the classes and functions that it refers to."""

    dispatch = _Pickler.dispatch.copy()

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream, PROTOCOL)
        self.names: set[str] = set()
        self._same: dict[tuple[type[Any], object], object] = {}

    def memoize(self, obj: Any) -> None:
        # whether two equal values that cannot change are one object is an accident: each is written out
        if not isinstance(obj, _UNCHANGING) and not _has_base(obj, "numpy", "generic"):
            super().memoize(obj)

    def save(self, obj: Any, save_persistent_id: bool = True) -> Any:
        # text, bytes and dtypes are remembered by what they hold: canonical too, and pickles stay short
        if type(obj) in (str, bytes) or _has_base(obj, "numpy", "dtype"):
            obj = self._same.setdefault((type(obj), obj), obj)
        return super().save(obj, save_persistent_id)

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in self.dispatch or issubclass(kind, type):
            return NotImplemented
        if kind.__name__ == "ndarray" and kind.__module__ == "numpy":
            return _reduced_array(obj)
        reduce = copyreg.dispatch_table.get(kind)
        reduced = obj.__reduce_ex__(PROTOCOL) if reduce is None else reduce(obj)
        return _with_canonical_state(obj, reduced)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        super().save_global(obj, name)
        qualname = name or getattr(obj, "__qualname__", None) or obj.__name__
        self.names.add(f"{_which_module(obj, qualname)}:{qualname}")

    dispatch[FunctionType] = save_global

    def save_set(self, obj: Any) -> None:
        self.write(pickle.EMPTY_SET)
        self.memoize(obj)
        self.write(pickle.MARK)
        for item in _in_canonical_order(obj):
            self.save(item)
        self.write(pickle.ADDITEMS)

    dispatch[set] = save_set

    def save_frozenset(self, obj: Any) -> None:
        self.write(pickle.MARK)
        for item in _in_canonical_order(obj):
            self.save(item)
        self.write(pickle.FROZENSET)

    dispatch[frozenset] = save_frozenset

    def save_picklebuffer(self, obj: Any) -> None:
        with obj.raw() as view:
            header = pickle.BYTEARRAY8 + struct.pack("<Q", view.nbytes)
            if view.nbytes < _LARGE:
                self.write(header + view)
            else:  # from where it lies: a copy of a large array is as large again
                self._write_large_bytes(header, view)

    dispatch[pickle.PickleBuffer] = save_picklebuffer


_UNCHANGING = (
    tuple,
    frozenset,
    complex,
    range,
    date,
    time,
    timedelta,
    timezone,
    Decimal,
    Fraction,
    PurePath,
    UUID,
)

_LARGE = 64 * 1024
"""From this size on a frame of the pickle is its own write, as in the standard pickler."""


def _in_canonical_order(items: Any) -> list[Any]:
    if set(map(type, items)) in ({str}, {int}):
        return sorted(items)
    return sorted(items, key=dumps)


def _reduced_array(array: Any) -> Any:
    """Data in one piece, writable, with nothing left to chance in it; arrays of objects are walked."""
    if array.dtype.hasobject:
        return array.__reduce_ex__(PROTOCOL)
    from lineal.artifacts.codecs.numpy import canonical_array

    clean = canonical_array(array)
    in_one_piece = clean.flags.c_contiguous or clean.flags.f_contiguous
    if not in_one_piece or not clean.flags.writeable:
        clean = clean.copy(order="K" if in_one_piece else "C")
    return clean.__reduce_ex__(PROTOCOL)


def _with_canonical_state(obj: Any, reduced: Any) -> Any:
    """``reduced`` with attributes in the order of their names, where they are restored by name."""
    if not isinstance(reduced, tuple) or len(reduced) < 3 or not _restores_attributes(type(obj)):
        return reduced
    state = reduced[2]
    if isinstance(state, tuple) and len(state) == 2:  # attributes, and those in slots
        return (*reduced[:2], tuple(map(_by_name, state)), *reduced[3:])
    return (*reduced[:2], _by_name(state), *reduced[3:])


def _restores_attributes(kind: type[Any]) -> bool:
    restore = getattr(kind, "__setstate__", None)
    return restore is None or getattr(restore, "__qualname__", "") == "BaseEstimator.__setstate__"


def _by_name(state: Any) -> Any:
    if type(state) is not dict or any(type(name) is not str for name in state):
        return state
    return {name: state[name] for name in sorted(state) if name not in _ADDRESSES}


_ADDRESSES = frozenset({"_stop_words_id"})
"""Attributes that hold ``id()`` of something: TfidfVectorizer's, which it only compares and finds anew."""


def _has_base(obj: object, module: str, name: str) -> bool:
    return any(base.__name__ == name and base.__module__ == module for base in type(obj).__mro__)
