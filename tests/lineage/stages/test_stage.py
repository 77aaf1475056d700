from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, NamedTuple

import pytest

from lineal.artifacts import File
from lineal.stages import (
    Constant,
    PipelineError,
    Promise,
    Stage,
    StageDefinitionError,
    WiringError,
    pipeline,
    stage,
)


class Trained(NamedTuple):
    model: str
    score: float


@stage
def load(source: File, run_date: date = date(2013, 1, 1)) -> list[int]:
    """Rows of the day."""
    return [1, 2, 3]


@stage(retries=3, timeout="30m")
def train(rows: list[int], *, rate: float = 0.1) -> Trained:
    return Trained("model", sum(rows) * rate)


@stage
def score(value: float) -> str:
    return f"{value:.1f}"


def plain(depth: int) -> int:
    return depth + 1


def traced(wire: Callable[[], object]) -> PipelineError:
    """The error that tracing a pipeline with this function ends in."""

    @pipeline
    def attempt() -> None:
        wire()

    with pytest.raises(PipelineError) as raised:
        attempt.trace({})
    return raised.value


def test_outside_of_a_pipeline_a_stage_is_its_function() -> None:
    assert train([1, 2], rate=2.0) == Trained("model", 6.0)


def test_a_stage_looks_like_its_function() -> None:
    assert load.__doc__ == "Rows of the day."
    assert (load.__name__, load.name, load.qualname, load.module) == ("load", "load", "load", __name__)
    assert list(inspect.signature(load).parameters) == ["source", "run_date"]
    assert load.__wrapped__ is load.function
    assert repr(load) == f"<stage load of {__name__}>"


def test_an_existing_function_is_wrapped_without_editing_it() -> None:
    wrapped = stage(plain, timeout="30m")

    assert isinstance(wrapped, Stage)
    assert wrapped.function is plain
    assert wrapped.settings.timeout_seconds == 1800.0
    assert plain(1) == 2


def test_options_configure_a_copy_and_leave_the_stage_alone() -> None:
    baseline = train.options(name="baseline", retries=0)

    assert (baseline.name, baseline.settings.retries, baseline.settings.timeout_seconds) == (
        "baseline",
        0,
        1800.0,
    )
    assert (train.name, train.settings.retries) == ("train", 3)
    assert baseline([1]) == train([1])
    assert baseline.signature is train.signature


def test_options_of_one_call_are_checked_like_those_of_the_decorator() -> None:
    with pytest.raises(StageDefinitionError, match="a stage has no option retrys"):
        train.options(retrys=3)  # type: ignore[call-arg]


def test_a_stage_is_pickled_by_reference_and_a_configured_one_with_its_options() -> None:
    assert pickle.loads(pickle.dumps(train)) is train
    assert pickle.loads(pickle.dumps(train.options(name="b"))).settings == train.options(name="b").settings


async def coroutine() -> int:
    return 1


async def asynchronous_generator() -> Any:
    yield 1


def generator() -> Iterator[int]:
    yield 1


class Trainer:
    def fit(self) -> int:
        return 1

    @staticmethod
    def static() -> int:
        return 1


def takes_self(self: object) -> int:
    return 1


def takes_cls(cls: type) -> int:
    return 1


def takes_any(*rows: int) -> int:
    return 1


def takes_any_by_name(a: int, **more: int) -> int:
    return 1


@functools.wraps(coroutine)
def wraps_async(*args: object) -> object:
    return asyncio.run(coroutine(*args))


@pytest.mark.parametrize(
    ("function", "because"),
    [
        (coroutine, "is async"),
        (asynchronous_generator, "is async"),
        (generator, "is a generator"),
        (Trainer.fit, "is a method"),
        (Trainer().fit, "is a method"),
        (Trainer.static, "is a method"),
        (Trainer.__dict__["static"], "is a method"),
        (takes_self, "is a method"),
        (takes_cls, "is a method"),
        (Trainer, "is a class"),
        (len, "is a builtin_function_or_method"),
        (functools.partial(plain, 1), "is a partial"),
        (functools.lru_cache(plain), "is a _lru_cache_wrapper"),
        (lambda: 1, "is a lambda"),
        (3, "is a int"),
        (takes_any, "takes any number of arguments as rows"),
        (takes_any_by_name, "takes any number of arguments as more"),
        (wraps_async, "is async"),
        (train, "cannot become a stage"),
    ],
)
@pytest.mark.parametrize("decorate", [stage, stage(retries=1)], ids=["bare", "with options"])
def test_what_cannot_be_a_stage_is_refused_at_decoration(
    function: Any, because: str, decorate: Callable[[Any], object]
) -> None:
    with pytest.raises(StageDefinitionError, match=because) as refused:
        decorate(function)

    assert refused.value.hint


def test_a_local_named_self_makes_no_method() -> None:
    @stage
    def fine() -> int:
        self = [1]
        return self.pop()

    assert fine() == 1


def test_a_call_is_written_down_with_defaults_applied() -> None:
    @pipeline
    def nightly() -> None:
        load(File("raw.csv"))

    inputs = nightly.trace({}).nodes["load"].inputs

    assert list(inputs) == ["source", "run_date"]
    assert inputs["run_date"] == Constant(date(2013, 1, 1))


def test_a_call_is_written_down_with_the_options_of_that_call() -> None:
    @pipeline
    def nightly() -> None:
        rows = load(File("raw.csv"))
        train(rows)
        train.options(name="baseline", retries=0)(rows)

    nodes = nightly.trace({}).nodes

    assert [(node.id, node.options.retries) for node in nodes.values()] == [
        ("load", 0),
        ("train", 3),
        ("baseline", 0),
    ]
    assert nodes["baseline"].stage.name == "baseline"


def test_within_a_pipeline_no_stage_runs() -> None:
    ran = []

    @stage
    def noted(value: int) -> int:
        ran.append(value)
        return value

    @pipeline
    def nightly() -> None:
        assert isinstance(noted(1), Promise)

    nightly.trace({})

    assert ran == []


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (lambda: train(), "stage train is called without rows (list[int])"),
        (lambda: train([1], 0.5), "stage train takes 1 by position, and 2 are given"),
        (lambda: train([1], rat=0.5), "stage train has no parameter rat"),
        (lambda: train([1], rate="0.5"), "stage train takes rate as float, not str"),
        (lambda: train(None), "stage train takes rows as list[int], not None"),
        (lambda: load("raw.csv"), "File, not str"),
        (lambda: load(score(1.0)), "stage load takes source as"),
        (lambda: score(train([1])), "stage score takes value as float, not Trained"),
    ],
)
def test_evident_mistakes_are_found_while_wiring(wire: Callable[[], object], message: str) -> None:
    error = traced(wire)

    assert isinstance(error, WiringError)
    assert message in str(error)
