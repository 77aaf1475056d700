"""Pickles that do not show how a value came to lie in memory."""

from __future__ import annotations

import enum
import io
import pickle
import random
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import joblib
import numpy as np
import pytest

from lineal.artifacts.canonical_pickle import dump, dumps


class Color(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: Any
    y: Any = None


class Slotted:
    __slots__ = ("a", "b")


class Pair(NamedTuple):
    left: Any
    right: Any


class Ordered:
    """Hands its content out as its state: the order of that is content."""

    def __init__(self, content: dict[str, int]) -> None:
        self.content = content

    def __getstate__(self) -> dict[str, int]:
        return self.content

    def __setstate__(self, state: dict[str, int]) -> None:
        self.content = state


def fresh(text: str) -> str:
    """An equal text that is another object."""
    return "".join(list(text))


ROUND_TRIPS = [
    {"a": [1, 2.5, None, True, b"x", "é", 2**100]},
    (),
    (1, (2, (3, 4, 5, 6))),
    {"b", "a", 1, (2, 3)},
    frozenset({frozenset({1}), frozenset()}),
    Point(1, [2]),
    Pair(1, "a"),
    Color.RED,
    OrderedDict(b=1, a=2),
    defaultdict(list, a=[1]),
    Counter("abca"),
    deque([1, 2], maxlen=3),
    datetime(2026, 1, 1, tzinfo=UTC),
    Decimal("1.10"),
    Fraction(1, 3),
    PurePosixPath("a/b"),
    range(3),
    complex(1, 2),
    bytearray(b"abc"),
    len,
    Point,
    np.float32(0.1),
    np.dtype([("a", "<f4")]),
]


@pytest.mark.parametrize("value", ROUND_TRIPS)
def test_ordinary_pickle_reads_what_was_written(value: Any) -> None:
    back = pickle.loads(dumps(value))

    assert back == value
    assert type(back) is type(value)
    assert dumps(back) == dumps(value)


def test_joblib_reads_what_was_written() -> None:
    value = {"weights": np.arange(100_000.0), "name": "x"}

    back = joblib.load(io.BytesIO(dumps(value)))

    assert np.array_equal(back["weights"], value["weights"])


def test_mutable_objects_that_are_one_stay_one() -> None:
    shared: list[Any] = []
    loop: list[Any] = [shared, shared]
    loop.append(loop)

    back = pickle.loads(dumps(loop))

    assert back[0] is back[1]
    assert back[2] is back
    assert dumps([shared, shared]) != dumps([[], []])


text, other_text = fresh("attribute"), fresh("attribute")
numbers, other_numbers = (1, 2), tuple(iter((1, 2)))
scalar, other_scalar = np.float64(0.5), np.float64(0.5)
dtype, other_dtype = np.dtype("f8"), pickle.loads(pickle.dumps(np.dtype("f8")))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (text, other_text),
        (bytes([97, 98]), bytes([97, 98])),
        (numbers, other_numbers),
        (scalar, other_scalar),
        (dtype, other_dtype),
        (datetime(2026, 1, 1), datetime(2026, 1, 1)),
    ],
    ids=["text", "bytes", "tuple", "numpy scalar", "dtype", "datetime"],
)
def test_whether_equal_unchanging_values_are_one_object_does_not_count(one: Any, two: Any) -> None:
    assert one is not two
    assert dumps([one, one]) == dumps([one, two])


def test_the_order_in_which_attributes_were_assigned_does_not_count() -> None:
    one, other = Point(1, 2), Point(1, 2)
    del other.x
    other.x = 1

    assert list(vars(one)) != list(vars(other))
    assert dumps(one) == dumps(other)


def test_the_order_of_a_dict_counts_also_where_an_object_hands_it_out_as_its_state() -> None:
    assert dumps({"a": 1, "b": 2}) != dumps({"b": 2, "a": 1})
    back = pickle.loads(dumps(Ordered({"b": 1, "a": 2})))
    assert list(back.content) == ["b", "a"]


def test_slots_are_kept() -> None:
    value = Slotted()
    value.b, value.a = 1, [2]  # type: ignore[attr-defined]

    back = pickle.loads(dumps(value))

    assert (back.a, back.b) == ([2], 1)


def padded(filler: bytes) -> Any:
    dtype = np.dtype([("flag", "u1"), ("value", "f8")], align=True)
    array = np.frombuffer(filler * dtype.itemsize, dtype).copy()
    array["flag"], array["value"] = 1, 2.0
    return array


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (padded(b"\0"), padded(b"\xaa")),
        (np.arange(5.0), np.arange(0, 5, 0.5)[::2]),
        (np.arange(5.0), read_only(np.arange(5.0))),
        (np.array([np.nan]), np.array([0xFFF8000000000001], "u8").view("f8")),
        (np.array(["a", "b"], dtype=object), np.array([fresh("a"), fresh("b")], dtype=object)),
    ],
    ids=["padding", "strides", "writability", "nan", "objects"],
)
def test_equal_arrays_are_written_alike(one: Any, other: Any) -> None:
    assert dumps([one]) == dumps([other])


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 3)),
        np.array(3.5),
        np.array(["2026-01-01"], "M8[D]"),
        np.array(["a", "bc"]),
        np.array([1, None, "x"], dtype=object),
        np.arange(70_000),
        np.ma.masked_array([1, 2], mask=[True, False]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_arrays_come_back_and_can_be_written_to(array: Any) -> None:
    back = pickle.loads(dumps(array))

    assert type(back) is type(array)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
    assert back.flags.f_contiguous == array.flags.f_contiguous
    assert back.flags.writeable


def test_an_array_that_is_one_stays_one() -> None:
    array = np.arange(3)

    back = pickle.loads(dumps([array, array, array[::2], array[::2]]))

    assert back[0] is back[1]
    assert back[2] is not back[3]


def test_what_the_pickle_names_is_told() -> None:
    names = dump([Point(1), Color.RED], io.BytesIO())

    module = Point.__module__
    assert names == [f"{module}:Color", f"{module}:Point"]


def test_a_random_generator_comes_back_in_its_state() -> None:
    generator, legacy = np.random.default_rng(1), random.Random(2)
    generator.random(), legacy.random()

    back, old = pickle.loads(dumps((generator, legacy)))

    assert back.random() == generator.random()
    assert old.random() == legacy.random()
