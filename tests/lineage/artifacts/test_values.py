"""Parameter values as type-tagged structures."""

from __future__ import annotations

import enum
import math
import pickle
from collections import OrderedDict
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.artifacts import Directory, File, Secret, UnreadableValue
from lineal.artifacts.values import (
    Unresolved,
    UnsupportedParameter,
    decode_value,
    encode_value,
    import_by_name,
)
from lineal_store import canonical


class Color(enum.Enum):
    RED = "r"
    GREEN = ("g", 1)


class Permission(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Level(enum.IntEnum):
    LOW = 1


@dataclass(frozen=True)
class Window:
    start: date
    days: int = 7


@dataclass
class Derived:
    width: int
    area: int = field(init=False, default=0)


@dataclass
class Early:
    width: int
    height: InitVar[int] = 1


class Pair(NamedTuple):
    left: int
    right: str


class Text(str):
    __slots__ = ()


SAMPLES: list[Any] = [
    None,
    True,
    1,
    1.0,
    "1",
    b"1",
    [1],
    (1,),
    {1},
    frozenset({1}),
    [True],
    [1.0],
    0.0,
    -0.0,
    math.nan,
    math.inf,
    2**100,
    [],
    (),
    {},
    set(),
    frozenset(),
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
    [["a", 1], ["b", 2]],
    {1: 1},
    {"1": 1},
    {1.0: 1},
    {"tuple": [1]},
    {"dict": []},
    {(1, "a"): {2}},
    date(2026, 1, 1),
    "2026-01-01",
    datetime(2026, 1, 1),
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    datetime(2026, 1, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    time(1, 2),
    timedelta(1),
    timedelta(days=-1, microseconds=5),
    Decimal("1.0"),
    Decimal("1.00"),
    UUID(int=1),
    Path("a/b"),
    PurePosixPath("a/b"),
    File("a/b"),
    Directory("a/b"),
    complex(1, 2),
    range(3),
    range(0, 3, 2),
    np.float32(1),
    np.float64(1),
    np.int64(1),
    np.bool_(True),
    np.str_("1"),
    np.complex64(1 + 2j),
    np.datetime64("2026-01-01"),
    np.timedelta64(1, "s"),
    Color.RED,
    Color.GREEN,
    Level.LOW,
    Permission.READ | Permission.WRITE,
    Window(date(2026, 1, 1)),
    Pair(1, "a"),
]


def structure_bytes(value: object) -> bytes:
    return canonical.encode(encode_value(value))


@pytest.mark.parametrize("value", SAMPLES)
def test_a_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    stored = canonical.decode(structure_bytes(value))

    back = decode_value(stored, resolve=import_by_name)

    assert type(back) is type(value)
    assert back == value or math.isnan(value)
    assert repr(back) == repr(value)
    assert structure_bytes(back) == structure_bytes(value)


def test_values_that_python_tells_apart_are_never_confused() -> None:
    structures = [structure_bytes(value) for value in SAMPLES]

    assert len(set(structures)) == len(SAMPLES)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.binary(max_size=5)
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(ZoneInfo("America/New_York")))
    | st.timedeltas()
    | st.decimals(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text("ab", max_size=2) | st.integers(0, 3), inner, max_size=3)
        | st.frozensets(st.integers(0, 5) | st.text("ab", max_size=2), max_size=3)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Equal all the way in, with types, signs of zero and the order of dicts."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b) for a, b in zip(one.items(), other.items(), strict=True)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other) and (isinstance(one, frozenset) or repr(one) == repr(other))


@settings(max_examples=200, deadline=None)
@given(plain)
def test_any_nesting_of_plain_values_comes_back(value: Any) -> None:
    assert same(decode_value(canonical.decode(structure_bytes(value))), value)


@settings(max_examples=200, deadline=None)
@given(plain, plain)
def test_two_values_share_a_structure_only_if_they_are_the_same(one: Any, other: Any) -> None:
    assert (structure_bytes(one) == structure_bytes(other)) == same(one, other)


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "tuple",
                    "set",
                    "frozenset",
                    "dict",
                    "date",
                    "datetime",
                    "time",
                    "timedelta",
                    "complex",
                    "range",
                    "decimal",
                    "uuid",
                    "path",
                    "pure_path",
                    "file",
                    "directory",
                    "numpy",
                    "enum",
                    "dataclass",
                    "namedtuple",
                    "nonsense",
                ]
            ),
            inner,
            max_size=2,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(hostile)
def test_every_other_structure_is_one_typed_error(structure: Any) -> None:
    try:
        decode_value(structure)
    except UnreadableValue:
        pass


@pytest.mark.parametrize(
    "structure",
    [
        {},
        {"tuple": [1], "set": [1]},
        {"set": [[1]]},
        {"dict": [[[1], 1]]},
        {"dict": [[1]]},
        {"range": [0, 1, 0]},
        {"decimal": "x"},
        {"datetime": ["2026-01-01", "Nowhere/Land", 0]},
        {"datetime": ["2026-01-01", "../../etc/passwd", 0]},
        {"timedelta": [10**30, 0, 0]},
        {"numpy": ["int8", 300]},
        {"numpy": ["O", 1]},
        {"numpy": ["float64", "x"]},
        {"numpy": ["<M8[D]", 1.5]},
        {"array": ["<f8", [2], b"12345678"]},
        {"array": ["<f8", [-1], b"12345678"]},
        {"array": ["O", [1], b"12345678"]},
        {"array": ["<f8", [1], "12345678"]},
        {"enum": ["os:system", "x", 1]},
        {"dataclass": ["os:system", [["x", 1]]]},
        {"dataclass": ["no.such.module:X", []]},
        {"dataclass": [3, []]},
        {"namedtuple": ["builtins:dict", []]},
    ],
    ids=str,
)
def test_a_structure_that_no_value_has_is_refused_also_where_classes_may_be_looked_up(structure: Any) -> None:
    with pytest.raises(UnreadableValue):
        decode_value(structure, resolve=import_by_name)


def test_without_a_resolver_instances_of_the_project_come_back_for_reading_only() -> None:
    back = decode_value(encode_value({"window": Window(date(2026, 1, 1)), "color": Color.RED}))

    assert isinstance(back["window"], Unresolved)
    assert back["window"].fields == {"start": date(2026, 1, 1), "days": 7}
    assert repr(back["window"]) == "Window(start=datetime.date(2026, 1, 1), days=7)"
    assert repr(back["color"]) == "Color(RED='r')"


def test_an_instance_of_a_class_whose_fields_changed_is_refused() -> None:
    structure = encode_value(Window(date(2026, 1, 1)))
    structure["dataclass"][1][1][0] = "weeks"

    with pytest.raises(UnreadableValue, match=r"the fields of .*Window are others now"):
        decode_value(structure, resolve=import_by_name)


class Handle:
    pass


UNSUPPORTED: list[tuple[Any, str]] = [
    (Handle(), "x is of the class .*Handle, which cannot be part of a key"),
    ({"a": [1, Handle()]}, r"x\['a'\]\[1\] is of the class"),
    ({Handle: 1}, r"the key .* of x is of the class type"),
    (Pair(1, Handle()), r"x\.right is of the class"),  # type: ignore[arg-type]
    ({Handle()}, "x is of the class"),
    (len, "x is of the class builtin_function_or_method"),
    (bytearray(b"a"), "x is of the class bytearray"),
    (OrderedDict(a=1), "x is of the class collections.OrderedDict"),
    (Text("a"), "x is of the class .*Text"),
    (np.array([None]), "x is an array of 8 bytes of dtype object"),
    (np.zeros(1 << 16), "x is an array of 524,288 bytes"),
    (np.ma.masked_array([1], [True]), "x is of the class numpy.ma.MaskedArray"),
    (np.longdouble(1), "numpy scalar of dtype"),
    ("\ud800", "x holds text that is no Unicode"),
    (File("\ud800"), "x holds text that is no Unicode"),
    (Derived(1), "built from more than its fields"),
    (Early(1), "built from more than its fields"),
    ([Secret("hunter2")], r"x\[0\] holds a Secret"),
]


@pytest.mark.parametrize(("value", "message"), UNSUPPORTED)
def test_anything_else_is_refused_and_its_place_named(value: Any, message: str) -> None:
    with pytest.raises(UnsupportedParameter, match=message) as caught:
        encode_value(value, name="x")

    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_instance_of_a_local_class_is_refused() -> None:
    @dataclass
    class Local:
        x: int

    with pytest.raises(UnsupportedParameter, match="which no later process could find"):
        encode_value(Local(1))


def test_a_value_that_contains_itself_or_goes_too_deep_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: Any = ()
    for _ in range(200):
        deep = (deep,)

    for value in (loop, deep):
        with pytest.raises(UnsupportedParameter, match="nested too deeply"):
            encode_value(value)


def test_the_deepest_value_that_is_taken_fits_into_a_record() -> None:
    deep: Any = 0
    while True:
        try:
            encode_value({"a": deep})
        except UnsupportedParameter:
            break
        deep = {"a": deep}

    canonical.encode({"action": {"parameters": {"x": encode_value(deep)}}})


# -- arrays ----------------------------------------------------------------------------------------------------------

ARRAYS = [
    np.array([1, 2]),
    np.array([1.0, 2.0]),
    np.array([[1, 2]]),
    np.array([[1], [2]]),
    np.array([1, 2], dtype="int32"),
    np.array([1, 2], dtype=">i8"),
    np.array([True, False]),
    np.array(["a", "bc"]),
    np.array([b"a", b"bc"]),
    np.array([0.0]),
    np.array([-0.0]),
    np.array(0.0),
    np.array([]),
    np.array([], dtype="int8"),
    np.zeros((0, 3)),
    np.array(["2026-11-22"], dtype="M8[D]"),
    np.array([1j]),
]


def test_arrays_of_other_shape_dtype_or_values_are_told_apart_and_come_back() -> None:
    structures = [encode_value(array) for array in ARRAYS]

    assert len({repr(one) for one in structures}) == len(ARRAYS)
    for array, structure in zip(ARRAYS, structures, strict=True):
        back = decode_value(structure)
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        assert back.tobytes() == array.tobytes()
        assert back.flags.writeable


def test_equal_arrays_have_one_structure_whatever_their_strides() -> None:
    table = np.arange(12).reshape(3, 4)

    assert encode_value(table.T) == encode_value(np.ascontiguousarray(table.T))
    assert encode_value(table[:, ::2]) == encode_value(table[:, ::2].copy())
    assert encode_value(np.asfortranarray(table)) == encode_value(table)
