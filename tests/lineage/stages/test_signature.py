from __future__ import annotations

import collections
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    NamedTuple,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
)

import pytest

from lineal.artifacts import File, Metrics, Schema
from lineal.stages import StageDefinitionError, WiringError, stage
from lineal.stages.signature import Signature, read_signature

if TYPE_CHECKING:
    from decimal import Decimal

T = TypeVar("T")


class Trained(NamedTuple):
    model: bytes
    metrics: Metrics


@dataclass(frozen=True)
class Split:
    train: list[int]
    test: list[int] = field(default_factory=list)


class Report(TypedDict):
    text: str
    score: float | None


class Loose(TypedDict):
    text: NotRequired[str]


class Pair(NamedTuple, Generic[T]):
    first: T
    second: list[int]


class Broken(NamedTuple):
    value: Nowhere  # type: ignore[name-defined]  # noqa: F821


@dataclass
class Empty:
    pass


Untyped = collections.namedtuple("Untyped", ["left", "right"])


def read(function: Callable[..., Any]) -> Signature:
    return read_signature(function, f"stage {function.__name__}")


def test_ports_have_the_annotation_the_default_and_whether_none_may_pass() -> None:
    def train(source: File, depth: int | None, *, rate: float = 0.1, seed: Optional[int] = None) -> int:  # noqa: UP045
        return 1

    ports = read(train).inputs

    assert list(ports) == ["source", "depth", "rate", "seed"]
    assert [port.annotation for port in ports.values()] == [File, int | None, float, Optional[int]]  # noqa: UP045
    assert [port.optional for port in ports.values()] == [False, True, False, True]
    assert [(port.has_default, port.default) for port in ports.values()] == [
        (False, None),
        (False, None),
        (True, 0.1),
        (True, None),
    ]


def test_a_missing_annotation_is_any() -> None:
    def legacy(a, b=3):  # type: ignore[no-untyped-def]
        return a

    signature = read(legacy)

    assert signature.inputs["a"].annotation is Any
    assert signature.outputs.ports["result"].annotation is Any


def test_annotated_metadata_is_kept() -> None:
    def judge(metrics: Metrics) -> Annotated[int, "votes"]:
        return 1

    signature = read(judge)

    assert signature.inputs["metrics"].annotation == Metrics
    assert signature.outputs.ports["result"].annotation == Annotated[int, "votes"]


def test_a_plain_result_is_one_output_called_result() -> None:
    def one() -> list[int]:
        return []

    outputs = read(one).outputs

    assert (outputs.kind, list(outputs.ports), outputs.type) == ("single", ["result"], None)


@pytest.mark.parametrize(
    ("returned", "kind", "names"),
    [
        (Trained, "namedtuple", ["model", "metrics"]),
        (Annotated[Trained, "note"], "namedtuple", ["model", "metrics"]),
        (Untyped, "namedtuple", ["left", "right"]),
        (Split, "dataclass", ["train", "test"]),
        (Report, "typeddict", ["text", "score"]),
        (tuple[int, str], "tuple", ["0", "1"]),
        (tuple[int, ...], "single", ["result"]),
        (tuple, "single", ["result"]),
        (Trained | None, "single", ["result"]),
        (Empty, "single", ["result"]),
        (File, "single", ["result"]),
        (Metrics, "single", ["result"]),
        (None, "single", ["result"]),
    ],
)
def test_the_return_annotation_declares_the_outputs(returned: object, kind: str, names: list[str]) -> None:
    def made() -> None: ...

    made.__annotations__["return"] = returned
    outputs = read(made).outputs

    assert (outputs.kind, list(outputs.ports)) == (kind, names)


def test_outputs_have_the_annotations_of_their_fields() -> None:
    def report() -> Report:
        raise NotImplementedError

    ports = read(report).outputs.ports

    assert ports["text"].annotation is str
    assert ports["score"].annotation == float | None
    assert ports["score"].optional


def test_a_generic_named_tuple_is_read_with_its_arguments() -> None:
    def pair() -> Pair[bytes]:
        raise NotImplementedError

    assert [port.annotation for port in read(pair).outputs.ports.values()] == [bytes, list[int]]


def test_a_key_that_may_be_absent_cannot_be_an_output() -> None:
    def loose() -> Loose:
        raise NotImplementedError

    with pytest.raises(StageDefinitionError, match="stage loose returns Loose, whose text may be absent"):
        read(loose)


def test_a_hint_that_does_not_resolve_is_named_with_its_parameter() -> None:
    def pay(amount: Decimal) -> int:
        return 1

    with pytest.raises(StageDefinitionError) as refused:
        read(pay)

    assert str(refused.value) == (
        "stage pay annotates amount as Decimal, which cannot be resolved: name 'Decimal' is not defined"
    )
    assert "TYPE_CHECKING" in str(refused.value.hint)


def test_a_field_that_does_not_resolve_is_named_with_its_class() -> None:
    def broken() -> Broken:
        raise NotImplementedError

    with pytest.raises(StageDefinitionError, match=r"annotates Broken\.value as"):
        read(broken)


def test_hints_are_read_when_they_are_first_asked_for() -> None:
    @stage
    def later(value: DefinedBelow) -> DefinedBelow:
        return value

    assert later.signature.inputs["value"].annotation is DefinedBelow


class DefinedBelow: ...


def test_a_decorated_function_has_the_signature_of_what_it_wraps() -> None:
    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: object, **kwargs: object) -> object:
            return function(*args, **kwargs)

        return wrapper

    @timed
    def train(depth: int) -> str:
        return ""

    assert list(stage(train).signature.inputs) == ["depth"]


def mixed(a: int, /, b: int = 2, *, c: str = "c") -> None: ...


def test_arguments_are_bound_in_declared_order_with_defaults() -> None:
    signature = read(mixed)

    assert list(signature.bind("stage mixed", (1,), {"c": "x", "b": 3}).items()) == [
        ("a", 1),
        ("b", 3),
        ("c", "x"),
    ]
    assert list(signature.bind("stage mixed", (1, 5), {}).items()) == [("a", 1), ("b", 5), ("c", "c")]


def test_bound_values_can_be_given_back_to_the_function() -> None:
    assert read(mixed).arguments({"a": 1, "b": 2, "c": "x"}) == ((1,), {"b": 2, "c": "x"})


@pytest.mark.parametrize(
    ("args", "kwargs", "message", "hint"),
    [
        (
            (),
            {},
            "stage mixed is called without a (int)",
            "It is mixed(a: int, b: int = 2, *, c: str = 'c').",
        ),
        ((1, 2, 3), {}, "stage mixed takes 2 by position, and 3 are given", None),
        ((1,), {"d": 1}, "stage mixed has no parameter d", "It takes: b, c."),
        ((1, 2), {"b": 1}, "stage mixed is given b twice", None),
        ((), {"a": 1}, "stage mixed has no parameter a", None),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    args: tuple[object, ...], kwargs: dict[str, object], message: str, hint: str | None
) -> None:
    with pytest.raises(WiringError) as refused:
        read(mixed).bind("stage mixed", args, kwargs)

    assert str(refused.value) == message
    assert hint in (None, refused.value.hint)


class Flights(Schema):
    distance_miles: int


class Delays(Schema):
    delay_minutes: int


def test_the_schema_in_an_annotation_is_the_ports() -> None:
    def clean(raw: Annotated[Any, Flights], more: int) -> Annotated[Any, Delays] | None:
        return raw

    signature = read(clean)

    assert [port.schema for port in signature.inputs.values()] == [Flights, None]
    assert signature.outputs.ports["result"].schema is Delays


def test_two_schemas_in_one_annotation_are_refused_with_the_stage_and_the_parameter() -> None:
    def clean(raw: Annotated[Any, Flights, Delays]) -> int:
        return 1

    with pytest.raises(StageDefinitionError, match="stage clean, raw: more than one schema: Flights, Delays"):
        read(clean)
