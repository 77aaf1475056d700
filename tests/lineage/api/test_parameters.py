"""NAME=VALUE and parameter files, read by annotation."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

import pytest

from lineal import Directory, File, Secret
from lineal.api.parameters import Declared, InvalidParameters, describe_type, parse_assignments


class Color(Enum):
    RED = "red"
    DEEP_BLUE = 7


class Level(IntEnum):
    LOW = 1


@dataclass
class Window:
    days: int
    until: date


class Pair(NamedTuple):
    low: float
    high: float


class Options(TypedDict):
    depth: int


UserId = NewType("UserId", int)


def read(text: str, annotation: object) -> object:
    return parse_assignments([f"x={text}"], None, {"x": Declared(annotation)})["x"]


def read_from_file(tmp_path: Path, toml: str, annotation: object) -> object:
    (tmp_path / "p.toml").write_text(f"x = {toml}\n", "utf-8")
    return parse_assignments([], tmp_path / "p.toml", {"x": Declared(annotation)})["x"]


READABLE = [
    ("2013-06-30", date, date(2013, 6, 30)),
    ("2013-06-30T12:00:00Z", datetime, datetime(2013, 6, 30, 12, tzinfo=UTC)),
    ("2013-06-30", datetime, datetime(2013, 6, 30)),
    ("12:30", time, time(12, 30)),
    ("true", bool, True),
    ("false", bool, False),
    ("-12", int, -12),
    ("1_000", int, 1000),
    ("1", float, 1.0),
    ("1e-3", float, 0.001),
    ("0.10", Decimal, Decimal("0.10")),
    ("12345678-1234-5678-1234-567812345678", UUID, UUID("12345678-1234-5678-1234-567812345678")),
    ("as it is = yes ", str, "as it is = yes "),
    ("", str, ""),
    ("none", str, "none"),
    ("none", str | None, None),
    ("None", str | None, "None"),
    ("none", float | None, None),
    ("2", float | None, 2.0),
    ("data/x.csv", Path, Path("data/x.csv")),
    ("1", int | str, 1),
    ("one", int | str, "one"),
    ("1", float | int, 1),
    ("1.5", float | int, 1.5),
    ("2013-06-30", date | str, date(2013, 6, 30)),
    ("gini", Literal["gini", "entropy"], "gini"),
    ("3", Literal["all", 3], 3),
    ("RED", Color, Color.RED),
    ("red", Color, Color.RED),
    ("7", Color, Color.DEEP_BLUE),
    ("1", Level, Level.LOW),
    ("0.5", Annotated[float, "any"], 0.5),
    ("5", UserId, 5),
    ("[1, 2]", list[int], [1, 2]),
    ("[1, 2]", list[float], [1.0, 2.0]),
    ('["2013-06-30"]', list[date], [date(2013, 6, 30)]),
    ('["RED"]', Sequence[Color], [Color.RED]),
    ('["a", null]', list[str | None], ["a", None]),
    ("[1, 2.5]", tuple[int, float], (1, 2.5)),
    ("[1, 2, 3]", tuple[int, ...], (1, 2, 3)),
    ("[1, 1]", set[int], {1}),
    ('{"a": 1}', dict[str, float], {"a": 1.0}),
    ('{"days": 7, "until": "2013-06-30"}', Window, Window(7, date(2013, 6, 30))),
    ("[1, 2]", Pair, Pair(1.0, 2.0)),
    ('{"depth": 3}', Options, {"depth": 3}),
    ('{"a": [1]}', Any, {"a": [1]}),
    ("free text", Any, "free text"),
]


@pytest.mark.parametrize(("text", "annotation", "value"), READABLE)
def test_text_is_read_as_the_annotation_says(text: str, annotation: object, value: object) -> None:
    read_value = read(text, annotation)

    assert read_value == value
    assert type(read_value) is type(value)


UNREADABLE = [
    ("30.06.2013", date),
    ("2013-06-30T12:00:00", date),
    ("2013-02-30", date),
    ("True", bool),
    ("1", bool),
    ("1.0", int),
    (" 1", int),
    ("١", int),
    ("9" * 5000, int),
    ("true", int),
    ("many", float),
    (" 1.5", float),
    ("x", Decimal),
    ("none", float),
    ("", Path),
    ("GREEN", Color),
    ("1.0", Literal[1]),
    ("true", Literal[1]),
    ("[1, 2", list[int]),
    ("1", list[int]),
    ("[1.5]", list[int]),
    ("[true]", list[int]),
    ('["1"]', list[int]),
    ("[1]", tuple[int, int]),
    ('{"days": "many", "until": "2013-06-30"}', Window),
    ("7", bytes),
    ("x", complex),
]


@pytest.mark.parametrize(("text", "annotation"), UNREADABLE)
def test_text_of_another_type_is_refused_with_the_parameter_and_its_type(
    text: str, annotation: object
) -> None:
    with pytest.raises(InvalidParameters, match="x: expected ") as caught:
        read(text, annotation)

    assert describe_type(annotation) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_is_made_of_a_path_or_a_url() -> None:
    assert read("s3://raw/flights.parquet", File) == File("s3://raw/flights.parquet")
    assert read("none", Directory | None) is None
    assert read('["a.csv"]', list[File]) == [File("a.csv")]


def test_a_secret_is_read_and_never_shown(tmp_path: Path) -> None:
    password = read("hunter2", Secret)

    assert isinstance(password, Secret)
    assert password.reveal() == "hunter2"
    with pytest.raises(InvalidParameters) as caught:
        read_from_file(tmp_path, "4711", Secret | None)
    assert "4711" not in str(caught.value)


def test_every_mistake_is_reported_at_once() -> None:
    parameters = {
        "run_date": Declared(date),
        "learning_rate": Declared(float, True, 0.1),
        "source": Declared(str),
    }

    with pytest.raises(InvalidParameters) as caught:
        parse_assignments(["learning_rat=1", "run_date=today", "nonsense"], None, parameters)

    text = str(caught.value)
    assert "'nonsense' is not NAME=VALUE" in text
    assert "learning_rat: no such parameter; did you mean learning_rate?" in text
    assert 'run_date: expected date (2013-06-30), got "today"' in text
    assert "source: missing, str" in text
    assert caught.value.hint is not None
    assert "learning_rate: float (optional)" in caught.value.hint


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(InvalidParameters, match="x: given twice"):
        parse_assignments(["x=1", "x=2"], None, {"x": Declared(int)})


def test_a_default_need_not_be_given_and_is_not_filled_in() -> None:
    assert parse_assignments([], None, {"x": Declared(int, True, 3)}) == {}


def test_a_value_may_hold_an_equals_sign() -> None:
    assert read("a=b", str) == "a=b"


@pytest.mark.parametrize(
    ("toml", "annotation", "value"),
    [
        ("2013-06-30", date, date(2013, 6, 30)),
        ('"2013-06-30"', date, date(2013, 6, 30)),
        ("1", float, 1.0),
        ("1", int, 1),
        ("1", float | int, 1),
        ('"none"', str | None, None),
        ('"RED"', Color, Color.RED),
        ("[1, 2]", tuple[int, ...], (1, 2)),
        ("{ a = 1 }", dict[str, int], {"a": 1}),
        ('"text"', Any, "text"),
    ],
)
def test_a_parameters_file_keeps_the_types_it_has(
    tmp_path: Path, toml: str, annotation: object, value: object
) -> None:
    read_value = read_from_file(tmp_path, toml, annotation)

    assert read_value == value
    assert type(read_value) is type(value)


@pytest.mark.parametrize(
    ("toml", "annotation"),
    [('"1"', int), ("1", bool), ("true", int), ("1", str), ("1.5", int), ("2013-06-30T12:00:00", date)],
)
def test_a_parameters_file_with_a_value_of_another_type_is_refused(
    tmp_path: Path, toml: str, annotation: object
) -> None:
    with pytest.raises(InvalidParameters, match="x: expected"):
        read_from_file(tmp_path, toml, annotation)


def test_an_assignment_overrides_the_parameters_file(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps({"x": 1, "y": None}), "utf-8")

    values = parse_assignments(["x=2"], file, {"x": Declared(int), "y": Declared(int | None)})

    assert values == {"x": 2, "y": None}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.toml", "x = ", "is not TOML"),
        ("p.json", "{", "is not JSON"),
        ("p.json", "[1]", "holds no object"),
        ("p.json", None, "cannot be read"),
    ],
)
def test_a_parameters_file_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, "utf-8")

    with pytest.raises(InvalidParameters, match=message) as caught:
        parse_assignments([], tmp_path / name, {})

    assert name in str(caught.value)


def test_the_error_survives_pickling() -> None:
    error = InvalidParameters("x: missing, int", "The pipeline takes x: int.")

    copy = pickle.loads(pickle.dumps(error))

    assert (str(copy), copy.hint) == (str(error), error.hint)
