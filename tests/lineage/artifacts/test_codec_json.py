"""Values as JSON."""

from __future__ import annotations

import enum
import math
import struct
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from lineal.artifacts import Metrics, UnreadableValue, UnsupportedValue, codec_named, decode, encode


class Color(enum.Enum):
    RED = 1
    GREEN = ("no", "JSON", None)


@dataclass(frozen=True)
class Window:
    start: date
    days: int
    colors: frozenset[Color] = frozenset()


@dataclass
class Node:
    name: str
    children: list[Node] = field(default_factory=list)


class Fold(NamedTuple):
    number: int
    scores: dict[int, float]


class Report(TypedDict):
    title: str
    year: NotRequired[int]


@dataclass
class Doubled:
    value: int

    def __post_init__(self) -> None:
        self.value *= 2


@dataclass
class Normalised:
    names: list[str]

    def __post_init__(self) -> None:
        self.names = sorted(self.names)


BERLIN = ZoneInfo("Europe/Berlin")

ROUND_TRIPS: list[tuple[Any, Any]] = [
    (None, None),
    (True, bool),
    (2**200, int),
    (-0.0, float),
    (5e-324, float),
    (0.1, float),
    (math.inf, float),
    ("Zoë 🦋 \x00", str),
    ([b"\xff\x00"], list[bytes]),
    ({"b": 1, "a": [None, {"c": 1.5}]}, Any),
    ({"b": 1, "a": 2}, dict),
    ([1, "a"], list),
    (("a", 1), tuple[str, int]),
    ((), tuple[()]),
    ((1, 2), tuple[int, ...]),
    ({3, 1}, set[int]),
    (frozenset({"b", "a"}), frozenset[str]),
    ({(1, "a"), (0, "b")}, set[tuple[int, str]]),
    ({1: "a", -2: "b"}, dict[int, str]),
    ({(1, 2): "a"}, dict[tuple[int, int], str]),
    ({date(2026, 1, 1): 1.0}, dict[date, float]),
    ({1.5: 1, math.inf: 2}, dict[float, int]),
    ({True: 1}, dict[bool, int]),
    (date(2026, 2, 28), date),
    (datetime(2026, 2, 28, 1, 2, 3, 4), datetime),
    (datetime(2026, 2, 28, tzinfo=UTC), datetime),
    (datetime(2026, 2, 28, tzinfo=timezone(timedelta(hours=-3, minutes=-30))), datetime),
    (datetime(2026, 7, 1, tzinfo=BERLIN), datetime),
    (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), datetime),
    (time(1, 2, 3), time),
    (timedelta(days=-1, microseconds=1), timedelta),
    (Decimal("1.10"), Decimal),
    (UUID(int=7), UUID),
    (Color.GREEN, Color),
    (Window(date(2026, 1, 1), 7, frozenset({Color.RED})), Window),
    (Node("a", [Node("b"), Node("c", [Node("d")])]), Node),
    (Normalised(["a", "b"]), Normalised),
    (Fold(1, {2: 0.5}), Fold),
    ({"title": "x"}, Report),
    ({"year": 2026, "title": "x"}, Report),
    ("b", Literal["a", "b", 1]),
    (3, int | str | None),
    (3, float | int),
    (3.0, float | int),
    ([1], list[int] | dict[str, int]),
    ([1.0, 2.0], Sequence[float]),
    ({"a": 1.0}, Mapping[str, float]),
    ({"auc": 0.7}, Metrics),
    (np.float32(0.1), np.float32),
    (np.int16(-3), np.int16),
    (np.bool_(True), np.bool_),
]


def put(value: object, annotation: object, folder: Path) -> bytes:
    encoded = encode(value, annotation, folder / "value.json")
    assert encoded.codec == "json"
    return encoded.path.read_bytes()


@pytest.mark.parametrize(("value", "annotation"), ROUND_TRIPS)
def test_what_goes_out_comes_back_equal_and_of_the_same_type(
    value: Any, annotation: Any, tmp_path: Path
) -> None:
    put(value, annotation, tmp_path)

    back = decode("json", tmp_path / "value.json", annotation)

    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value) or isinstance(value, (set, frozenset))


def test_a_named_time_zone_keeps_its_name(tmp_path: Path) -> None:
    moment = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)

    data = put(moment, datetime, tmp_path)

    assert data == b'"2026-10-25T02:30:00+01:00[Europe/Berlin]"'
    back = decode("json", tmp_path / "value.json", datetime)
    assert back.tzinfo is BERLIN
    assert back.utcoffset() == timedelta(hours=1)


def test_every_nan_is_one(tmp_path: Path) -> None:
    other = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000001))[0]

    assert put([math.nan, other], list[float], tmp_path) == b"[NaN,NaN]"


def test_the_order_of_a_dict_is_part_of_it_and_that_of_a_set_is_not(tmp_path: Path) -> None:
    assert put({"b": 1, "a": 2}, dict, tmp_path) == b'{"b":1,"a":2}'
    assert put({"b", "a"}, set[str], tmp_path) == b'["a","b"]'


def test_text_is_utf_8_without_escapes_or_spaces(tmp_path: Path) -> None:
    assert put({"é": [1, 2]}, dict, tmp_path) == '{"é":[1,2]}'.encode()


def test_numpy_numbers_become_python_numbers_where_no_annotation_asks_for_them(tmp_path: Path) -> None:
    put({"auc": np.float64(0.7), "n": np.int64(3), "ok": np.bool_(True)}, Any, tmp_path)

    back = decode("json", tmp_path / "value.json", Any)

    assert back == {"auc": 0.7, "n": 3, "ok": True}
    assert [type(value) for value in back.values()] == [float, int, bool]


def test_an_int_will_do_for_a_float_and_becomes_one(tmp_path: Path) -> None:
    assert put({"auc": 1}, Metrics, tmp_path) == b'{"auc":1.0}'


REFUSED: list[tuple[Any, Any, str]] = [
    ((1, 2), object, "tuple where no annotation names one"),
    ({"a": [1, {"b": (1,)}]}, Any, r'value\["a"\]\[1\]\["b"\]: tuple where no annotation names one'),
    ({"a": {1}}, dict, r'value\["a"\]: set where no annotation names one'),
    ({1: 2}, dict, "the key 1 is int"),
    ({"a": {1: 2}}, dict[str, Any], r'value\["a"\]: the key 1 is int'),
    ([date(2026, 1, 1)], list, r"value\[0\]: datetime.date where no annotation"),
    (OrderedDict(a=1), Any, "OrderedDict"),
    (defaultdict(int, a=1), dict[str, int], "collections.defaultdict where dict is declared"),
    ([True], list[int], r"value\[0\]: bool where int is declared"),
    ([1, "a"], list[int], r"value\[1\]: str where int is declared"),
    ((1,), tuple[int, int], "a tuple of 1 where one of 2 is declared"),
    ([2**53 + 1], list[float], "has no equal float"),
    (Window(datetime(2026, 1, 1), 7), Window, r"value\.start: datetime.datetime where datetime.date"),
    (Doubled(2), Doubled, "changes its own fields when it is built"),
    ({"title": "x", "extra": 1}, Report, "'extra' is not declared by Report"),
    ({"year": 1}, Report, "'title', which Report requires, is missing"),
    ("c", Literal["a", "b"], "'c' is none of 'a', 'b'"),
    (1.5, int | str, r"returned float where int \| str is declared"),
    ([1.5], list[int | str], r"value\[0\]: float where int \| str is declared"),
    (datetime(2026, 1, 1, fold=1), datetime, "fold=1"),
    ("\ud800", str, "no Unicode"),
    (np.float64(1.5), int, "float64 where int is declared"),
    ([1, 2], tuple[int, ...], "returned list where tuple"),
    ((1.0, 2.0), Sequence[float], "tuple where list is declared"),
    (np.longdouble(1), Any, "longdouble"),
]


@pytest.mark.parametrize(("value", "annotation", "message"), REFUSED)
def test_what_would_come_back_as_something_else_is_refused_and_its_place_named(
    value: Any, annotation: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedValue, match=message):
        encode(value, annotation, tmp_path / "value")


def test_a_refusal_without_annotation_hints_at_annotating(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue) as caught:
        encode({1: "a"}, Any, tmp_path / "value")

    assert caught.value.hint is not None
    assert "dict[int, …]" in caught.value.hint


def test_an_int_of_more_digits_than_python_prints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue, match="digits"):
        encode(10**5000, int, tmp_path / "value")


def test_a_value_that_contains_itself_is_refused(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(UnsupportedValue, match="contains itself"):
        encode(loop, list, tmp_path / "value")


HOSTILE: list[tuple[bytes, Any]] = [
    (b"", Any),
    (b"{", Any),
    (b"\xff", Any),
    (b"[" * 100_000, Any),
    (b'{"start": "today", "days": 1, "colors": []}', Window),
    (b'{"start": "2026-01-01", "days": 1}', Window),
    (b'{"start": "2026-01-01", "days": 1, "colors": ["BLUE"]}', Window),
    (b'"2026-01-01T00:00:00+00:00[../../etc/passwd]"', datetime),
    (b'"2026-01-01T00:00:00[Europe/Berlin]"', datetime),
    (b'"x"', Decimal),
    (b'"not base64"', bytes),
    (b"1e400", int),
    (b"99999", np.int8),
    (b'[[["a"], 1]]', dict[tuple[int, ...], int]),
    (b"[1]", dict[float, int]),
    (b"[[1]]", dict[tuple[int], list[int]]),
    (b'{"x": 1}', dict[int, int]),
    (b"[[1]]", set[tuple[str]]),
    (b"3", str | None),
    (b"123456789012345678901234567890", timedelta),
]


@pytest.mark.parametrize(("data", "annotation"), HOSTILE)
def test_bytes_that_are_no_such_value_give_one_typed_error(
    data: bytes, annotation: Any, tmp_path: Path
) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(data)

    with pytest.raises(UnreadableValue):
        decode("json", path, annotation)


def test_metrics_show_in_the_description(tmp_path: Path) -> None:
    encoded = encode({"auc": np.float64(0.7), "n": 3}, Metrics, tmp_path / "value")

    assert encoded.description == {"class": "dict", "length": 2, "value": {"auc": 0.7, "n": 3}}


def test_a_preview_shows_the_first_items(tmp_path: Path) -> None:
    put(list(range(100)), list[int], tmp_path)

    preview = codec_named("json").preview(tmp_path / "value.json", 3)

    assert preview == {"class": "list", "length": 100, "value": [0, 1, 2]}
