from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from lineal.artifacts import Directory, File
from lineal.stages import Binding, Collection, Constant, Result, Source, WiringError, pipeline, stage


class Trained(NamedTuple):
    model: bytes
    score: float


@dataclass
class Split:
    train: list[int]
    test: list[int]


@stage
def load() -> list[int]:
    return [1]


@stage
def train() -> Trained:
    return Trained(b"", 0.5)


@stage
def split() -> Split:
    return Split([], [])


@stage
def take(value: Any) -> int:
    return 1


LOADED = Result("load", "result")


def bound(make: Callable[[], object]) -> Binding:
    """The binding of what ``make`` makes when it is passed to a stage."""

    @pipeline
    def attempt() -> None:
        take(make())

    return attempt.trace({}).nodes["take"].inputs["value"]


@pytest.mark.parametrize(
    "value",
    [None, True, 1, 1.5, "a", b"a", [1, 2], (1, "a"), {"a": [1]}, {1, 2}, Trained(b"", 1.0), object, len],
)
def test_what_holds_no_promise_is_a_constant(value: object) -> None:
    assert bound(lambda: value) == Constant(value)


def test_a_named_tuple_of_constants_stays_one() -> None:
    binding = bound(lambda: Trained(b"", 1.0))

    assert isinstance(binding, Constant)
    assert isinstance(binding.value, Trained)


def test_a_constant_is_copied_so_that_later_changes_do_not_reach_it() -> None:
    inner: list[object] = [{"depth": 3}]

    @pipeline
    def attempt() -> None:
        take(inner)
        inner[0]["depth"] = 4  # type: ignore[index]
        inner.append(5)

    assert attempt.trace({}).nodes["take"].inputs["value"] == Constant([{"depth": 3}])


def test_a_promise_is_a_result() -> None:
    assert bound(load) == LOADED
    assert bound(lambda: load()[0]) == Result("load", "result", (0,))


@pytest.mark.parametrize("source", [File("raw.csv"), Directory("raw")])
def test_files_and_directories_are_sources(source: File | Directory) -> None:
    assert bound(lambda: source) == Source(source)


def test_promises_and_sources_in_lists_tuples_and_dicts_are_found() -> None:
    binding = bound(lambda: {"a": [load(), 1], 2: (File("raw.csv"), "x")})

    assert binding == Collection(
        "dict",
        (
            ("a", Collection("list", ((None, LOADED), (None, Constant(1))))),
            (2, Collection("tuple", ((None, Source(File("raw.csv"))), (None, Constant("x"))))),
        ),
    )


def test_a_named_tuple_of_promises_is_passed_whole() -> None:
    assert bound(train) == Collection(
        "namedtuple", (("model", Result("train", "model")), ("score", Result("train", "score"))), Trained
    )


def test_a_dataclass_of_promises_is_passed_whole() -> None:
    assert bound(split) == Collection(
        "dataclass", (("train", Result("split", "train")), ("test", Result("split", "test"))), Split
    )


class Box:
    def __init__(self, value: object) -> None:
        self.value = value


@pytest.mark.parametrize(
    "hide",
    [
        lambda promise: {promise},
        lambda promise: frozenset([promise]),
        lambda promise: {promise: 1},
        lambda promise: OrderedDict(a=promise),
        lambda promise: Box(promise),
        lambda promise: SimpleNamespace(value=promise),
        lambda promise: [Box(promise)],
        lambda promise: promise > 1,
        lambda promise: [promise > 1],
    ],
)
def test_a_promise_where_it_cannot_be_bound_is_an_error(hide: Callable[[Any], object]) -> None:
    with pytest.raises(WiringError, match="value of stage take") as raised:
        bound(lambda: hide(load()))

    assert raised.value.hint


def test_a_value_that_contains_itself_is_an_error() -> None:
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(WiringError, match="value of stage take is nested more than 64 levels deep"):
        bound(lambda: endless)
