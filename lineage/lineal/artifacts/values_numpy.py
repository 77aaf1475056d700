"""numpy's scalars and small arrays among parameters: a dtype, a shape, and plain values or bytes.

An array is its values in C order, whatever its strides: a transposed view and a copy of it have one structure. Arrays
of objects have none, nor do long doubles, whose bytes hold padding.
"""

from __future__ import annotations

from typing import Any

MAX_ARRAY_BYTES = 64 << 10
"""Larger arrays are data, and belong into a stage's result or a file."""

_ARRAY_KINDS = "?biufcmMUS"


def is_numpy(kind: type[Any], name: str) -> bool:
    """Whether ``kind`` is numpy's class ``name``, or one made from it; imports nothing."""
    return any(base.__name__ == name and base.__module__ == "numpy" for base in kind.__mro__)


def encode_scalar(value: Any) -> list[Any] | None:
    """``[dtype, value]`` of a scalar; None where its dtype has no structure."""
    dtype = value.dtype
    if dtype.kind in "mM":
        return [dtype.str, int(value.view("i8"))]
    if dtype.kind == "c" and dtype.char != "G":
        return [dtype.name, [value.real.item(), value.imag.item()]]
    if dtype.kind == "U":
        return ["str", value.item()]
    if dtype.kind in "biuf" and dtype.char != "g":
        return [dtype.name, value.item()]
    return None


def encode_array(value: Any) -> list[Any] | None:
    """``[dtype, shape, bytes]`` of an array; None where it is too large, or its dtype has no structure."""
    dtype = value.dtype
    if value.nbytes > MAX_ARRAY_BYTES or dtype.char in "gG" or dtype.kind not in _ARRAY_KINDS:
        return None
    return [dtype.str, list(value.shape), value.tobytes("C")]


def decode_scalar(content: Any) -> Any:
    """The scalar that `encode_scalar` gave ``content`` for; TypeError or ValueError for anything else."""
    name, item = content
    import numpy

    dtype = numpy.dtype(_text(name))
    if dtype.kind in "mM":
        return numpy.int64(*_numbers([item], int)).view(dtype)
    if dtype.kind == "c":
        return dtype.type(complex(*_numbers(item, float)))
    wanted = {"b": bool, "i": int, "u": int, "f": float, "U": str}.get(dtype.kind)
    if wanted is None or type(item) is not wanted:
        raise TypeError(f"{type(item).__name__} where a number of {dtype} is expected")
    return dtype.type(item)


def decode_array(content: Any) -> Any:
    """The array that `encode_array` gave ``content`` for, writable; TypeError or ValueError for anything else."""
    name, shape, data = content
    import numpy

    dtype = numpy.dtype(_text(name))
    if dtype.kind not in _ARRAY_KINDS or type(data) is not bytes:
        raise TypeError(f"no array of {dtype} is made of {type(data).__name__}")
    if min(_numbers(shape, int), default=0) < 0:
        raise ValueError(f"no array has the shape {shape}")
    return numpy.frombuffer(data, dtype).reshape(shape).copy()


def _text(content: Any) -> str:
    if type(content) is not str:
        raise TypeError(f"{type(content).__name__} where text is expected")
    return content


def _numbers(content: Any, kind: type[Any]) -> list[Any]:
    if type(content) is not list or any(type(item) is not kind for item in content):
        raise TypeError(f"no numbers of type {kind.__name__}")
    return content
