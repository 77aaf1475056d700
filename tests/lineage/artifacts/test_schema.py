"""Schemas: what they declare, and what they find wrong with a table."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lineal.artifacts import Schema, field, schema_of
from lineal.artifacts.schema import (
    SchemaError,
    SchemaViolated,
    Violation,
    check,
    describe,
    find_violations,
)


class Flights(Schema):
    """Departures from New York, one row a flight."""

    flight_time: Annotated[pd.Timestamp, field(unit="ns", timezone="UTC")]
    carrier: Annotated[str, field(isin=("AA", "B6", "UA"))]
    distance_miles: Annotated[int, field(ge=0)]
    arrival_delay_minutes: float | None


def flights(**changes: Any) -> Any:
    columns = {
        "flight_time": pd.Series(pd.to_datetime(["2013-01-01", "2013-01-02"], utc=True).as_unit("ns")),
        "carrier": ["AA", "UA"],
        "distance_miles": [100, 200],
        "arrival_delay_minutes": [1.5, np.nan],
    }
    return pd.DataFrame(columns | changes)


def as_arrow(frame: Any) -> Any:
    return pa.Table.from_pandas(frame, preserve_index=False)


def as_polars(frame: Any) -> Any:
    return pl.from_arrow(as_arrow(frame))


TABLES = pytest.mark.parametrize(
    "make", [lambda frame: frame, as_arrow, as_polars], ids=["pandas", "arrow", "polars"]
)


@TABLES
def test_a_table_that_keeps_the_contract_passes(make: Callable[[Any], Any]) -> None:
    check(Flights, make(flights(extra=[1, 2])), where="ingest")


@TABLES
def test_all_violations_are_reported_at_once(make: Callable[[Any], Any]) -> None:
    table = make(flights(carrier=["ZZ", None], distance_miles=[-1, 5]).drop(columns="arrival_delay_minutes"))

    with pytest.raises(SchemaViolated) as caught:
        check(Flights, table, where="ingest, output result")

    error = caught.value
    assert [(v.column, v.rule, v.count) for v in error.violations] == [
        ("carrier", "nullable", 1),
        ("carrier", "isin", 1),
        ("distance_miles", "ge", 1),
        ("arrival_delay_minutes", "required", 2),
    ]
    assert str(error) == (
        "ingest, output result: 4 violations of the schema Flights\n"
        "  column 'carrier': expected no missing values, found missing values in 1 row: row 1 is "
        + ("nan" if isinstance(table, pd.DataFrame) else "None")
        + "\n"
        "  column 'carrier': expected one of 'AA', 'B6', 'UA', found 'ZZ' in 1 row: row 0 is 'ZZ'\n"
        "  column 'distance_miles': expected ≥ 0, found -1 in 1 row: row 0 is -1\n"
        "  column 'arrival_delay_minutes': expected float, found no such column"
    )
    assert (error.kind, error.exit_code) == ("contract", 1)
    assert error.hint is not None
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


class Narrow(Schema):
    value: Annotated[int, field(dtype="int32")]


@TABLES
def test_the_column_of_three_in_the_morning_is_caught(make: Callable[[Any], Any]) -> None:
    """A column arrived as float64 instead of int32."""
    table = make(pd.DataFrame({"value": [1.0, 2.0]}))

    (violation,) = find_violations(Narrow, table)

    found = {pd.DataFrame: "float64", pa.Table: "double", pl.DataFrame: "Float64"}[type(table)]
    assert str(violation) == f"column 'value': expected int32, found {found}"
    assert violation.count == 2


def test_samples_name_rows_by_the_index_and_are_few() -> None:
    frame = flights(carrier=["ZZ", "YY"]).set_axis(pd.Index(["first", "second"]))
    many = pd.concat([flights(carrier=["ZZ", "YY"])] * 10, ignore_index=True)

    (one,) = find_violations(Flights, frame)
    (other,) = find_violations(Flights, many)

    assert [(sample.row, sample.value) for sample in one.samples] == [
        ("'first'", "'ZZ'"),
        ("'second'", "'YY'"),
    ]
    assert (other.count, len(other.samples)) == (20, 5)
    assert str(other).endswith(", …")


# -- types --------------------------------------------------------------------------------------


def fitting(annotation: Any, column: Any, *, arrow: bool = True) -> list[Violation]:
    schema = type("Column", (Schema,), {"__annotations__": {"x": annotation}})
    frame = pd.DataFrame({"x": column})
    found = find_violations(schema, frame)
    if arrow:
        assert bool(find_violations(schema, as_arrow(frame))) == bool(found)
    return found


FITS: list[tuple[Any, Any]] = [
    (int, [1, 2]),
    (int, pd.Series([1], dtype="uint8")),
    (int, pd.Series([1], dtype="Int16")),
    (int | None, pd.Series([1, None], dtype="Int16")),
    (int, pd.Series([1], dtype=pd.ArrowDtype(pa.int8()))),
    (float, [1.0]),
    (float, pd.Series([1], dtype="float32")),
    (float | None, [1.0, None]),
    (float | None, pd.Series([1, None], dtype="Float64")),
    (bool, [True]),
    (bool | None, pd.Series([True, None], dtype="boolean")),
    (bool | None, pd.Series([True, None], dtype=object)),
    (str, ["a"]),
    (str | None, pd.Series(["a", None], dtype=object)),
    (str, pd.Series(["a"], dtype="string")),
    (str, pd.Categorical(["a"])),
    (str | None, pd.Categorical(["a", None])),
    (int, pd.Categorical([1])),
    (int | None, pd.Categorical([1, None])),
    (datetime, pd.Categorical(pd.to_datetime(["2026-01-01"]))),
    (str, pd.Series([], dtype=object)),
    (Annotated[int, field(ge=0)], pd.Series([2**64 - 1], dtype="uint64")),
    (Annotated[int, field(le=1000)], pd.Series([1], dtype="int8")),
    (Annotated[Decimal, field(ge=Decimal("1.25"))], [Decimal("1.5")]),
    (
        Annotated[datetime, field(gt=datetime(2025, 1, 1, 0, 0, 0, 5))],
        pd.to_datetime(["2026-01-01"]).as_unit("s"),
    ),
    (str | None, pd.Series([None, None], dtype=object)),
    (bytes, [b"a"]),
    (date, [date(2026, 1, 1)]),
    (datetime, pd.to_datetime(["2026-01-01"])),
    (pd.Timestamp, pd.to_datetime(["2026-01-01"], utc=True)),
    (datetime | None, pd.to_datetime(["2026-01-01", None])),
    (timedelta, pd.to_timedelta([1], unit="s")),
    (pd.Timedelta, pd.to_timedelta([1], unit="s")),
    (time, [time(1, 2)]),
    (Decimal, [Decimal("1.5")]),
    (np.float32, pd.Series([1], dtype="float32")),
    (np.int64, [1]),
    (np.bool_, [True]),
    (np.datetime64, pd.to_datetime(["2026-01-01"])),
    (Annotated[int, field(dtype="int64")], [1]),
    (Annotated[int, field(dtype="int64")], pd.Categorical([1])),
    (Annotated[int | None, field(dtype="Int32")], pd.Series([1, None], dtype="Int32")),
    (Annotated[str, field(dtype="category")], pd.Categorical(["a"])),
    (Annotated[datetime, field(unit="ms")], pd.to_datetime(["2026-01-01"]).as_unit("ms")),
    (
        Annotated[datetime, field(timezone="Europe/Berlin")],
        pd.to_datetime(["2026-01-01"]).tz_localize("Europe/Berlin"),
    ),
    (Literal["a", "b"], ["a"]),
    (Any, [1]),
    (Any, pd.period_range("2026-01", periods=1, freq="M")),
    (object, pd.Series([1, "a"], dtype=object)),
]


@pytest.mark.parametrize(("annotation", "column"), FITS)
def test_a_column_of_the_declared_type_passes(annotation: Any, column: Any) -> None:
    arrow = not (getattr(column, "dtype", None) == object and annotation is object)

    assert fitting(annotation, column, arrow=arrow) == []


MISFITS: list[tuple[Any, Any, str]] = [
    (int, [1.0], "dtype"),
    (int | None, [1.0, None], "dtype"),
    (int, [True], "dtype"),
    (int, ["1"], "dtype"),
    (Annotated[int, field(ge=0)], pd.Series([-1], dtype="int8"), "ge"),
    (Annotated[int, field(lt=0)], pd.Series([2**64 - 1], dtype="uint64"), "lt"),
    (float, [1], "dtype"),
    (bool, [1], "dtype"),
    (str, [1], "dtype"),
    (str, pd.Categorical([1]), "dtype"),
    (date, pd.to_datetime(["2026-01-01"]), "dtype"),
    (datetime, ["2026-01-01"], "dtype"),
    (int, [1, None], "nullable"),
    (float, [1.0, np.nan], "nullable"),
    (str, ["a", None], "nullable"),
    (str, pd.Categorical(["a", None]), "nullable"),
    (np.float32, [1.0], "dtype"),
    (Annotated[int, field(dtype="int32")], [1], "dtype"),
    (Annotated[str, field(dtype="category")], ["a"], "dtype"),
    (Annotated[datetime, field(unit="ns")], pd.to_datetime(["2026-01-01"]).as_unit("us"), "unit"),
    (Annotated[datetime, field(timezone="UTC")], pd.to_datetime(["2026-01-01"]), "timezone"),
    (
        Annotated[datetime, field(timezone="UTC")],
        pd.to_datetime(["2026-01-01"]).tz_localize("Asia/Tokyo"),
        "timezone",
    ),
    (
        Annotated[datetime, field(ge=datetime(2026, 1, 1))],
        pd.to_datetime(["2026-01-01"], utc=True),
        "timezone",
    ),
]


@pytest.mark.parametrize(("annotation", "column", "rule"), MISFITS)
def test_a_column_of_another_type_does_not(annotation: Any, column: Any, rule: str) -> None:
    assert rule in [violation.rule for violation in fitting(annotation, column)]


@pytest.mark.parametrize(("annotation", "values"), [(int, []), (int | None, [None])])
def test_objects_without_a_value_are_no_numbers(annotation: Any, values: list[Any]) -> None:
    (violation,) = fitting(annotation, pd.Series(values, dtype=object), arrow=False)

    assert (violation.rule, violation.found) == ("dtype", "object")


def test_a_column_of_mixed_objects_is_shown_as_what_it_is() -> None:
    (violation,) = fitting(str, pd.Series(["a", 1], dtype=object), arrow=False)

    assert violation.found == "object of mixed-integer"


# -- rules --------------------------------------------------------------------------------------

RULES: list[tuple[Any, Any, str, list[int]]] = [
    (Annotated[int, field(ge=1)], [0, 1, 2], "ge", [0]),
    (Annotated[int, field(gt=1)], [0, 1, 2], "gt", [0, 1]),
    (Annotated[int, field(le=1)], [0, 1, 2], "le", [2]),
    (Annotated[int, field(lt=1)], [0, 1, 2], "lt", [1, 2]),
    (Annotated[float | None, field(ge=0)], [1.0, None, -1.0], "ge", [2]),
    (Annotated[float, field(le=1.0)], [0.5, np.inf], "le", [1]),
    (Annotated[int | None, field(ge=1)], pd.Series([0, None, 1], dtype="Int8"), "ge", [0]),
    (Annotated[str, field(ge="b")], ["a", "b"], "ge", [0]),
    (Annotated[str, field(lt="b")], pd.Categorical(["a", "b"]), "lt", [1]),
    (Annotated[date, field(ge=date(2026, 1, 2))], [date(2026, 1, 1), date(2026, 1, 2)], "ge", [0]),
    (
        Annotated[datetime, field(ge=datetime(2026, 1, 2))],
        pd.to_datetime(["2026-01-01", "2026-01-02"]),
        "ge",
        [0],
    ),
    (
        Annotated[datetime, field(timezone="Asia/Tokyo", lt=datetime(2026, 1, 1, tzinfo=UTC))],
        pd.to_datetime(["2026-01-01 08:00", "2026-01-01 09:00"]).tz_localize("Asia/Tokyo"),
        "lt",
        [1],
    ),
    (Annotated[timedelta, field(ge=timedelta(0))], pd.to_timedelta([-1, 1], unit="s"), "ge", [0]),
    (Annotated[Decimal, field(ge=Decimal("1.5"))], [Decimal("1.4"), Decimal("1.5")], "ge", [0]),
    (Annotated[str | None, field(isin=["a", "b"])], ["a", "c", None], "isin", [1]),
    (Annotated[int, field(isin={1, 1000})], pd.Series([1, 2], dtype="int8"), "isin", [1]),
    (Annotated[date, field(isin=[date(2026, 1, 1)])], [date(2026, 1, 1), date(2026, 1, 2)], "isin", [1]),
    (Literal["a", "b"], ["a", "c"], "isin", [1]),
    (Annotated[str | None, field(unique=True)], ["a", None, "b", "a", None], "unique", [3]),
    (Annotated[float | None, field(unique=True)], [1.5, None, None, 1.5], "unique", [3]),
    (Annotated[str | None, field(matches=r"\w\d+")], ["a1", "b", None, "xa1"], "matches", [1, 3]),
    (Annotated[str, field(matches="a|b")], pd.Categorical(["a", "c"]), "matches", [1]),
]


@pytest.mark.parametrize(("annotation", "column", "rule", "rows"), RULES)
@TABLES
def test_a_rule_finds_the_rows_that_break_it(
    annotation: Any, column: Any, rule: str, rows: list[int], make: Callable[[Any], Any]
) -> None:
    schema = type("Column", (Schema,), {"__annotations__": {"x": annotation}})

    (violation,) = find_violations(schema, make(pd.DataFrame({"x": column})))

    assert violation.rule == rule
    assert [int(sample.row) for sample in violation.samples] == rows
    assert violation.count == len(rows)


@TABLES
def test_tables_as_wholes_have_bounds_too(make: Callable[[Any], Any]) -> None:
    class Closed(Schema, extra="forbid", min_rows=2, max_rows=3):
        x: int

    def rules(*columns: str, rows: int) -> list[str]:
        table = make(pd.DataFrame({name: [1] * rows for name in columns}))
        return [violation.rule for violation in find_violations(Closed, table)]

    assert rules("x", rows=2) == []
    assert rules("x", rows=1) == ["min_rows"]
    assert rules("x", rows=4) == ["max_rows"]
    assert rules("x", "y", rows=2) == ["extra"]


@TABLES
def test_an_empty_table_keeps_every_rule_on_values(make: Callable[[Any], Any]) -> None:
    assert find_violations(Flights, make(flights()[:0])) == []


def test_a_chunked_arrow_table_is_checked_as_a_whole() -> None:
    class Numbers(Schema):
        x: Annotated[int, field(ge=0, unique=True, isin=(0, 1, 2, -1))]

    table = pa.table({"x": pa.chunked_array([[0, 1], [1, -1], []])})

    assert [(v.rule, v.samples[0].row) for v in find_violations(Numbers, table)] == [
        ("ge", "3"),
        ("unique", "2"),
    ]


def test_a_polars_frame_is_checked_and_shown_with_the_dtypes_of_polars() -> None:
    frame = pl.DataFrame({"value": ["red", None]}, schema={"value": pl.Enum(["red", "blue"])})

    assert find_violations(type("Text", (Schema,), {"__annotations__": {"value": str | None}}), frame) == []
    (violation,) = find_violations(Narrow, frame[:1])
    assert (violation.rule, violation.found) == ("dtype", "Enum(categories=['red', 'blue'])")


def test_a_column_that_comes_twice_is_a_violation() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["value", "value"])

    assert [violation.rule for violation in find_violations(Narrow, frame)] == ["duplicate"]


def test_a_value_that_is_no_table_is_a_violation() -> None:
    (violation,) = find_violations(Flights, [1])

    assert (
        str(violation)
        == "the table: expected a pandas.DataFrame, polars.DataFrame or pyarrow.Table, found list"
    )


# -- declarations -------------------------------------------------------------------------------


def test_a_schema_is_found_in_an_annotation() -> None:
    assert schema_of(Annotated[pd.DataFrame, Flights]) is Flights
    assert schema_of(Annotated[pd.DataFrame, Flights] | None) is Flights
    assert schema_of(Annotated[pd.DataFrame | None, Flights]) is Flights
    assert schema_of(pd.DataFrame) is None
    with pytest.raises(SchemaError, match="more than one schema: Flights, Narrow"):
        schema_of(Annotated[pd.DataFrame, Flights, Narrow])


def test_a_subclass_adds_columns_and_replaces_rules() -> None:
    class Late(Flights, min_rows=1):
        carrier: str
        late: bool

    columns = describe(Late)["columns"]

    assert set(columns) == {*describe(Flights)["columns"], "late"}
    assert columns["carrier"] == {"kind": "str", "nullable": False}
    assert describe(Late)["min_rows"] == 1
    assert "min_rows" not in describe(Flights)


def test_options_are_inherited() -> None:
    class Closed(Schema, extra="forbid"):
        x: int

    class More(Closed):
        y: int

    assert describe(More)["extra"] == "forbid"


def test_a_class_variable_is_no_column() -> None:
    class Noted(Schema):
        unit: ClassVar[str] = "miles"
        x: int

    assert list(describe(Noted)["columns"]) == ["x"]


class Journeys(Schema):
    leg: Leg


class Lost(Schema):
    leg: Nowhere  # type: ignore[name-defined]  # noqa: F821


Leg = int


def test_an_annotation_may_name_what_the_module_defines_later() -> None:
    assert describe(Journeys)["columns"]["leg"]["kind"] == "int"


def test_an_annotation_that_names_nothing_is_an_error_at_first_use() -> None:
    with pytest.raises(
        SchemaError, match=r"annotation of the schema Lost does not resolve: .*Nowhere"
    ) as caught:
        describe(Lost)

    assert "TYPE_CHECKING" in str(caught.value.hint)


def test_the_description_changes_with_the_contract_and_with_nothing_else() -> None:
    class One(Schema):
        """Documented."""

        a: Annotated[float, field(ge=0, isin=(1.0, 2.0))]
        b: int | None

    class Same(Schema):
        b: None | int  # noqa: RUF036
        a: Annotated[float, field(isin=[2, 1, 1], ge=0.0), "a note"]

    assert describe(One) == describe(Same)
    for changed in (
        {"a": Annotated[float, field(ge=1, isin=(1.0, 2.0))], "b": int | None},
        {"a": Annotated[float, field(ge=0, isin=(1.0, 2.0))], "b": int},
        {"a": Annotated[float, field(ge=0, isin=(1.0, 2.0), unique=True)], "b": int | None},
        {"a": Annotated[float, field(ge=0, isin=(1.0, 3.0))], "b": int | None},
        {"a": Annotated[float, field(gt=0, isin=(1.0, 2.0))], "b": int | None},
        {"a": Annotated[np.float32, field(ge=0, isin=(1.0, 2.0))], "b": int | None},
    ):
        assert describe(type("Changed", (Schema,), {"__annotations__": changed})) != describe(One)


def test_the_description_fits_into_a_record() -> None:
    from lineal_store import canonical

    assert canonical.decode(canonical.encode(describe(Flights))) == describe(Flights)


MISTAKES: list[tuple[Any, str]] = [
    (complex, r"Column\.x is annotated complex, which is no type of a column"),
    (list[int], "which is no type of a column"),
    (int | str, "a column has one type"),
    (Annotated[int, field(ge=0), field(le=1)], "more than one field"),
    (Annotated[bool, field(ge=0)], "ge= does not suit a column of type bool"),
    (Annotated[int, field(ge="0")], "ge='0' is no int"),
    (Annotated[int, field(ge=0.5)], "ge=0.5 is no int"),
    (Annotated[int, field(isin=())], "at least one value"),
    (Annotated[str, field(isin=("a", 1))], "isin=1 is no str"),
    (Annotated[int, field(matches="a")], "matches= does not suit a column of type int"),
    (Annotated[str, field(matches="(")], "is no regular expression"),
    (
        Annotated[int, field(dtype="int23")],
        "dtype='int23' does not suit a column of type int; did you mean int32?",
    ),
    (Annotated[int, field(dtype="float64")], "dtype='float64' does not suit"),
    (Annotated[np.int32, field(dtype="int64")], "a numpy type and a dtype="),
    (Annotated[datetime, field(unit="m")], "unit='m' is one of"),
    (Annotated[int, field(unit="ns")], "for datetimes"),
    (Annotated[int, field(timezone="UTC")], "for datetimes"),
    (
        Annotated[datetime, field(timezone="UTC", ge=datetime(2026, 1, 1))],
        "differ in whether they have a time zone",
    ),
    (Annotated[date, field(ge=datetime(2026, 1, 1))], "is no date"),
    (Literal["a", 1], "choices of one type"),
]


@pytest.mark.parametrize(("annotation", "message"), MISTAKES)
def test_a_mistake_in_a_schema_is_an_error_where_the_class_is_made(annotation: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        type("Column", (Schema,), {"__annotations__": {"x": annotation}})

    assert caught.value.exit_code == 2


def test_a_misspelt_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="uniqe"):
        field(uniqe=True)  # type: ignore[call-arg]
    with pytest.raises(SchemaError, match="unknown option extr; did you mean extra"):
        type("Column", (Schema,), {}, extr="forbid")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extra": "refuse"}, "extra='refuse'"),
        ({"min_rows": -1}, "min_rows=-1"),
        ({"max_rows": 1.5}, "max_rows=1.5"),
        ({"min_rows": 2, "max_rows": 1}, "more than max_rows"),
    ],
)
def test_options_of_a_schema_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        type("Column", (Schema,), {}, **options)


def test_text_is_no_collection_of_allowed_values() -> None:
    with pytest.raises(SchemaError, match="isin='AA' is no collection"):
        field(isin="AA")


def test_a_field_that_is_assigned_is_an_error() -> None:
    with pytest.raises(SchemaError, match=r"x is assigned a field"):
        type("Column", (Schema,), {"__annotations__": {"x": int}, "x": field(ge=0)})


def test_a_schema_has_no_instances() -> None:
    with pytest.raises(TypeError, match="annotate a table with it"):
        Flights()
