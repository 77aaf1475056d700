"""The names in a pickle, without unpickling it."""

from __future__ import annotations

import collections
import decimal
import io
import pickle
import pickletools
import zlib

import pytest

from lineal.fingerprint import find_pickled_names


class Explodes:
    def __reduce__(self) -> tuple[object, ...]:
        return (eval, ("1/0",))


@pytest.mark.parametrize("protocol", range(6))
def test_every_class_and_function_named_is_found_in_every_protocol(protocol: int) -> None:
    value = [
        decimal.Decimal(1),
        {"k": collections.OrderedDict(a=io.StringIO)},
        decimal.Decimal(2),
        io.BytesIO,
    ]

    names = set(find_pickled_names(pickle.dumps(value, protocol)))

    assert {("decimal", "Decimal"), ("collections", "OrderedDict")} <= names
    assert {qualname for _, qualname in names} >= {"StringIO", "BytesIO"}


def test_nothing_is_executed() -> None:
    names = find_pickled_names(pickle.dumps(Explodes()))

    assert ("builtins", "eval") in names


def test_compressed_and_joined_pickles_are_followed() -> None:
    data = pickle.dumps(decimal.Decimal(1)) + pickle.dumps(collections.OrderedDict())

    assert find_pickled_names(zlib.compress(data)) == find_pickled_names(data)
    assert {qualname for _, qualname in find_pickled_names(data)} == {"Decimal", "OrderedDict"}


def test_names_behind_raw_arrays_are_found() -> None:
    joblib = pytest.importorskip("joblib")
    import numpy

    stream = io.BytesIO()
    joblib.dump(
        {"a": numpy.arange(1000), "b": decimal.Decimal(1), "c": numpy.ones(3), "d": io.StringIO}, stream
    )

    assert ("decimal", "Decimal") in find_pickled_names(stream.getvalue())
    assert any(qualname == "StringIO" for _, qualname in find_pickled_names(stream.getvalue()))


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"no pickle at all", b"\x80\x05\x95", b"x\x9c broken", bytes(range(256)) * 20]
)
def test_what_is_no_pickle_names_nothing(data: bytes) -> None:
    assert find_pickled_names(data) == []


def test_a_damaged_pickle_names_what_comes_before_the_damage() -> None:
    data = pickletools.optimize(pickle.dumps([decimal.Decimal(1), collections.OrderedDict()]))

    assert ("decimal", "Decimal") in find_pickled_names(data[:-8])
