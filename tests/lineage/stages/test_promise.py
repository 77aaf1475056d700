from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pandas as pd
import pytest

from lineal.stages import PipelineError, Promise, Result, pipeline, stage


class Trained(NamedTuple):
    model: bytes
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Split:
    train: list[int]
    test: list[int]

    def __post_init__(self) -> None:
        if len(self.train) < len(self.test):
            raise ValueError("more to test than to train")


class Report(TypedDict):
    text: str
    score: float


@stage
def table() -> pd.DataFrame:
    return pd.DataFrame()


@stage
def train() -> Trained:
    return Trained(b"", {})


@stage
def split() -> Split:
    return Split([1], [])


@stage
def report() -> Report:
    return {"text": "", "score": 0.0}


@stage
def halves() -> tuple[int, str]:
    return 1, ""


@stage
def maybe() -> Trained | None:
    return None


def within(wire: Callable[[], object]) -> Any:
    """What ``wire`` returns when it is called in a pipeline."""
    seen = []

    @pipeline
    def attempt() -> None:
        seen.append(wire())

    attempt.trace({})
    return seen[0]


def refused(wire: Callable[[], object]) -> PipelineError:
    @pipeline
    def attempt() -> None:
        wire()

    with pytest.raises(PipelineError) as raised:
        attempt.trace({})
    return raised.value


def result_of(promise: object) -> Result:
    assert isinstance(promise, Promise)
    return promise._result


def test_a_single_result_is_one_promise() -> None:
    assert result_of(within(table)) == Result("table", "result")


def test_an_optional_result_is_one_promise() -> None:
    assert result_of(within(maybe)) == Result("maybe", "result")


def test_a_named_tuple_comes_back_as_an_instance_that_holds_promises() -> None:
    trained = within(train)

    assert isinstance(trained, Trained)
    model, metrics = trained
    assert model is trained.model
    assert result_of(metrics) == Result("train", "metrics")


def test_a_dataclass_comes_back_as_an_instance_without_running_its_initialiser() -> None:
    made = within(split)

    assert isinstance(made, Split)
    assert result_of(made.test) == Result("split", "test")


def test_a_typed_dict_comes_back_as_a_dict_of_promises() -> None:
    made = within(report)

    assert list(made) == ["text", "score"]
    assert result_of(made["score"]) == Result("report", "score")


def test_a_tuple_comes_back_as_a_tuple_of_promises() -> None:
    number, text = within(halves)

    assert (result_of(number), result_of(text)) == (Result("halves", "0"), Result("halves", "1"))


def test_a_constant_in_brackets_leads_to_an_item() -> None:
    item = within(lambda: train().metrics["by carrier"][0])

    assert result_of(item) == Result("train", "metrics", ("by carrier", 0))


def test_its_repr_says_what_it_is_a_promise_of() -> None:
    assert repr(within(table)) == "<promise of table>"
    assert repr(within(lambda: train().metrics["auc"])) == "<promise of train.metrics['auc']>"


@pytest.mark.parametrize(
    "use",
    [
        bool,
        iter,
        len,
        str,
        int,
        float,
        list,
        hex,
        range,
        np.asarray,
        "{}".format,
        lambda promise: f"{promise:.2f}",
        lambda promise: promise and 1,
        lambda promise: not promise,
        lambda promise: 1 in promise,
        lambda promise: promise in [1, 2],
        lambda promise: promise + 1,
        lambda promise: 1 - promise,
        lambda promise: sum([promise]),
        lambda promise: max(promise, 1),
        lambda promise: 0 < promise < 1,
        lambda promise: promise(),
        lambda promise: promise[0:2],
        lambda promise: promise[promise],
        lambda promise: promise[True],
        lambda promise: operator.setitem(promise, "a", 1),
        lambda promise: {**promise},
        lambda promise: promise.head(),
        lambda promise: promise == [1],
        lambda promise: promise < (promise > 1),
        pickle.dumps,
        copy.deepcopy,
    ],
)
def test_what_needs_the_value_is_refused_with_a_hint(use: Callable[[Any], object]) -> None:
    error = refused(lambda: use(table()))

    assert "promise of table>" in error.message or "condition table" in error.message
    assert error.hint
    assert error.exit_code == 2


def test_if_on_a_promise_is_answered_with_when() -> None:
    def wire() -> None:
        if table():
            train()

    error = refused(wire)

    assert error.message.startswith("<promise of table> has no truth yet")
    assert "with when(...)" in str(error.hint)


def test_an_attribute_is_answered_with_the_type_that_will_be_there() -> None:
    error = refused(lambda: table().head())

    assert (
        error.message
        == "<promise of table> has no attribute head: it is a promise of pandas.DataFrame, not the value"
    )
    assert error.hint == "Use .head inside a stage that takes it."


def test_probing_for_protocols_is_answered_with_no() -> None:
    assert within(lambda: hasattr(table(), "__dataframe__")) is False


def test_a_promise_is_hashable_by_identity() -> None:
    def wire() -> int:
        promise = table()
        return len({promise, promise, train().model})

    assert within(wire) == 2


@pytest.mark.parametrize(
    ("compare", "text"),
    [
        (lambda p: p < 1, "table < 1"),
        (lambda p: p <= 1, "table <= 1"),
        (lambda p: p > 1, "table > 1"),
        (lambda p: p >= 1, "table >= 1"),
        (lambda p: p == "a", "table == 'a'"),
        (lambda p: p != None, "table != None"),
        (lambda p: 1 < p, "table > 1"),  # noqa: SIM300
        (lambda p: np.float64(0.5) <= p, "table >= "),
        (lambda p: p < p["a"], "table < table['a']"),
        (lambda p: (p > 1) & (p < 3) & (p != 2), "(table > 1 & table < 3 & table != 2)"),
        (lambda p: (p < 1) | (p > 3), "(table < 1 | table > 3)"),
        (lambda p: ~(p < 1), "not table < 1"),
        (lambda p: ~~(p < 1), "table < 1"),
        (lambda p: ~p, "not table"),
        (lambda p: p & True, "(table & True)"),
        (lambda p: False | p, "(table | False)"),
        (lambda p: True & (p < 1), "(table < 1 & True)"),
    ],
)
def test_comparisons_make_conditions_that_combine(compare: Callable[[Any], Any], text: str) -> None:
    condition = within(lambda: compare(table()))

    assert str(condition.condition).startswith(text)


def test_a_condition_has_no_truth_either() -> None:
    error = refused(lambda: bool(train().metrics["auc"] > 0.5))

    assert error.message.startswith("<condition train.metrics['auc'] > 0.5> is not decided yet")
    assert "Combine conditions with & | ~" in str(error.hint)


def test_a_promise_used_after_its_tracing_names_its_pipeline() -> None:
    leaked = within(table)

    with pytest.raises(
        PipelineError, match="belongs to a tracing of pipeline attempt, and is used after its"
    ):
        _ = leaked > 1


@pytest.mark.parametrize(
    "use",
    [
        lambda promise: split.options(name="s") and take(promise),
        lambda promise: take([promise]),
        lambda promise: promise > 1,
        lambda promise: promise < 1,
        lambda promise: table() > promise,
        lambda promise: promise["a"],
        bool,
        lambda promise: promise.head(),
    ],
)
def test_a_promise_used_in_another_pipeline_names_both(use: Callable[[Any], object]) -> None:
    leaked = within(table)

    @pipeline
    def other() -> None:
        use(leaked)

    with pytest.raises(PipelineError, match="a tracing of pipeline attempt, and is used in pipeline other"):
        other.trace({})


def test_a_condition_used_in_another_pipeline_names_both() -> None:
    from lineal.stages import when

    leaked = within(lambda: table() == 1)

    @pipeline
    def other() -> None:
        with when(leaked):
            table()

    with pytest.raises(PipelineError, match="a tracing of pipeline attempt, and is used in pipeline other"):
        other.trace({})


@stage
def take(value: Any) -> int:
    return 1
