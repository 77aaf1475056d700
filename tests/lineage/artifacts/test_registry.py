"""Which codec a value goes by, and whether it is what its annotation says."""

from __future__ import annotations

import enum
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from support import spelled

from lineal.artifacts import (
    Directory,
    File,
    InMemoryCodec,
    Metrics,
    Schema,
    Secret,
    UnreadableValue,
    UnsupportedValue,
    codec_for,
    codec_for_value,
    codec_named,
    decode,
    decode_in_memory,
    encode,
    encode_in_memory,
)


class Flights(Schema):
    carrier: str


class Color(enum.Enum):
    RED = 1


@dataclass
class Window:
    start: date
    days: int


@dataclass
class WithArray:
    values: np.ndarray


class Pair(NamedTuple):
    left: int
    right: str


class Row(TypedDict):
    left: int


class Model(BaseEstimator):
    pass


class Grid(pd.DataFrame):
    pass


class Plain:
    pass


T = TypeVar("T")
Years = NewType("Years", int)

BY_ANNOTATION: list[tuple[Any, str | None]] = [
    (int, "json"),
    (None, "json"),
    (list[dict[str, float]], "json"),
    (Mapping[str, Sequence[int]], "json"),
    (tuple[int, ...], "json"),
    (datetime, "json"),
    (int | str | None, "json"),
    (Literal["a", 1], "json"),
    (Years, "json"),
    (Metrics, "json"),
    (Color, "json"),
    (Window, "json"),
    (Pair, "json"),
    (Row, "json"),
    (np.float32, "json"),
    (bytes, "bytes"),
    (pa.Table, "arrow"),
    (pd.DataFrame, "pandas"),
    (Optional[pd.DataFrame], "pandas"),  # noqa: UP045
    (pd.DataFrame | None, "pandas"),
    (Annotated[pd.DataFrame, Flights], "pandas"),
    (Annotated[pd.DataFrame, Flights] | None, "pandas"),
    (pd.Series, "pandas"),
    (pl.DataFrame, "polars"),
    (Annotated[pl.DataFrame, Flights] | None, "polars"),
    (pl.Series, "polars"),
    (np.ndarray, "numpy"),
    (npt.NDArray[np.float64], "numpy"),
    (HistGradientBoostingClassifier, "sklearn"),
    (Pipeline, "sklearn"),
    (Model, "sklearn"),
    (File, "file"),
    (Directory, "directory"),
    (Plain, "pickle"),
    (complex, "pickle"),
    (bytearray, "pickle"),
    (WithArray, "pickle"),
    (list[np.ndarray], "pickle"),
    (dict[str, pd.DataFrame], "pickle"),
    (Grid, "pickle"),  # what it has beyond a DataFrame would be lost
    (np.ma.MaskedArray, "pickle"),
    (Any, None),
    (object, None),
    (T, None),
    (pd.DataFrame | str, None),
    (Callable[[], int], "pickle"),
]


@pytest.mark.parametrize(("annotation", "name"), BY_ANNOTATION, ids=lambda x: str(x)[:50])
def test_the_annotation_picks_the_codec(annotation: Any, name: str | None) -> None:
    codec = codec_for(annotation)

    assert (codec.name if codec else None) == name


def test_an_annotation_that_is_still_text_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="has not been resolved"):
        codec_for("pd.DataFrame")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "json"),
        ([1], "json"),
        (np.float64(1), "json"),
        (b"", "bytes"),
        (np.zeros(2), "numpy"),
        (pd.DataFrame(), "pandas"),
        (pl.DataFrame(), "polars"),
        (pa.table({}), "arrow"),
        (Model(), "sklearn"),
        (File("a"), "file"),
        (Plain(), "pickle"),
        (1j, "pickle"),
    ],
    ids=spelled,
)
def test_where_the_annotation_says_nothing_the_value_picks_the_codec(value: object, name: str) -> None:
    assert codec_for_value(value).name == name


def test_codecs_that_run_code_on_reading_say_so() -> None:
    names = ("json", "bytes", "arrow", "pandas", "polars", "numpy", "sklearn", "pickle", "file", "directory")

    assert [name for name in names if codec_named(name).executes_code] == ["sklearn", "pickle"]


def test_a_codec_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        codec_named("parquet")


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ([], pd.DataFrame, "returned list where pandas.DataFrame is declared"),
        (None, pd.DataFrame, "returned NoneType where pandas.DataFrame is declared"),
        (pd.DataFrame(), pa.Table, "returned pandas.DataFrame where pyarrow.lib.Table is declared"),
        (True, int, "returned bool where int is declared"),
        (1.5, int, "float where int is declared"),
        ("1", float | None, "returned str where float is declared"),
        ([1], dict[str, int], r"returned list where dict\[str, int\] is declared"),
        (3, pd.DataFrame | str, r"returned int where pandas.DataFrame \| str is declared"),
        (np.zeros(2, "float32"), npt.NDArray[np.float64], "array of float32 where numpy.float64 is declared"),
    ],
    ids=str,
)
def test_a_value_of_another_type_than_declared_is_refused(
    value: object, annotation: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedValue, match=message):
        encode(value, annotation, tmp_path / "value")


def test_none_is_kept_where_the_annotation_allows_it(tmp_path: Path) -> None:
    encoded = encode(None, pd.DataFrame | None, tmp_path / "value")

    assert encoded.codec == "json"
    assert decode(encoded.codec, encoded.path, pd.DataFrame | None) is None


@pytest.mark.parametrize("value", [pd.DataFrame({"a": [1]}), "text"], ids=["frame", "text"])
def test_a_union_of_codecs_goes_by_the_value(value: Any, tmp_path: Path) -> None:
    encoded = encode(value, pd.DataFrame | str, tmp_path / "value")

    assert isinstance(decode(encoded.codec, encoded.path, pd.DataFrame | str), type(value))


@pytest.mark.parametrize(
    ("value", "annotation"),
    [(3, int), (None, int | None), ({"a": [1.5]}, dict[str, list[float]]), (b"raw", bytes)],
)
def test_bytes_in_memory_are_those_of_the_file_and_mean_the_same(
    value: object, annotation: object, tmp_path: Path
) -> None:
    written = encode(value, annotation, tmp_path / "value")
    made = encode_in_memory(value, annotation)

    assert made is not None
    assert (made.codec, made.data, made.description) == (
        written.codec,
        written.path.read_bytes(),
        written.description,
    )
    codec = codec_named(made.codec)
    assert isinstance(codec, InMemoryCodec)
    assert decode_in_memory(codec, made.data, annotation) == value


def test_what_a_library_writes_itself_needs_a_file() -> None:
    assert encode_in_memory(pa.table({"carrier": ["AA"]}), pa.Table) is None


def test_what_does_not_fit_is_refused_in_memory_too() -> None:
    with pytest.raises(UnsupportedValue, match="returned str where int is declared"):
        encode_in_memory("3", int)


def test_a_path_is_refused_because_it_is_not_the_file(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue, match="names a file") as caught:
        encode(tmp_path, Path, tmp_path / "value")

    assert caught.value.hint is not None
    assert "lineal.File" in caught.value.hint


def test_a_secret_is_never_kept(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue, match="never kept"):
        encode(Secret("x"), Any, tmp_path / "value")


def test_reading_under_an_annotation_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    encoded = encode([1], Any, tmp_path / "value")

    with pytest.raises(UnreadableValue, match=r"they hold list where pandas\.DataFrame is declared"):
        decode(encoded.codec, encoded.path, pd.DataFrame)


@pytest.mark.parametrize(
    "error",
    [UnsupportedValue("problem", "hint", 'value["a"]'), UnreadableValue("json", "problem")],
    ids=spelled,
)
def test_errors_survive_pickling(error: Exception) -> None:
    back = pickle.loads(pickle.dumps(error))

    assert str(back) == str(error)
    assert back.hint == error.hint  # type: ignore[attr-defined]
