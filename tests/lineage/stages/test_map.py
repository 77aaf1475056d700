"""`Stage.map`: what a pipeline's function may map over, and what is left in the graph."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import pytest

from lineal.artifacts import File, Secret
from lineal.stages import Collection, Constant, Graph, PipelineError, Result, Source, pipeline, stage


class Trained(NamedTuple):
    model: str
    score: float


@stage
def days() -> list[date]:
    return []


@stage
def table() -> dict[str, int]:
    return {}


@stage
def train(day: date, rate: float = 0.1) -> Trained:
    return Trained("model", day.day * rate)


@stage
def score(trained: Trained) -> float:
    return trained.score


@stage
def best(scores: list[float]) -> float:
    return max(scores)


@stage
def only_named(*, day: date) -> int:
    return 1


@stage
def measure(source: File) -> int:
    return 1


@stage
def log_in(password: Secret) -> int:
    return 1


def traced(wire: Callable[[], object]) -> Graph:
    @pipeline
    def attempt() -> None:
        wire()

    return attempt.trace({})


def refused(wire: Callable[[], object]) -> str:
    with pytest.raises(PipelineError) as raised:
        traced(wire)
    return str(raised.value)


def test_outside_of_a_pipeline_it_calls_the_function_for_each_item() -> None:
    assert score.map(train.map([date(2024, 1, 3), date(2024, 1, 5)], rate=0.5)) == [1.5, 2.5]


def test_it_leaves_one_node_that_says_over_which_parameter() -> None:
    graph = traced(lambda: best(score.map(train.map(days(), 0.5))))

    assert {node.id: node.over for node in graph.nodes.values()} == {
        "days": None,
        "train": "day",
        "score": "trained",
        "best": None,
    }
    assert graph.nodes["train"].inputs == {"day": Result("days", "result"), "rate": Constant(0.5)}
    assert list(graph.nodes["train"].outputs) == ["result"]
    assert graph.nodes["best"].inputs == {"scores": Result("score", "result")}


def test_a_constant_list_may_be_anything_that_can_be_gone_through_once() -> None:
    graph = traced(
        lambda: [train.map(date(2024, 1, day) for day in (1, 2)), measure.map((File("a"), File("b")))]
    )

    assert graph.nodes["train"].inputs["day"] == Constant([date(2024, 1, 1), date(2024, 1, 2)])
    assert graph.nodes["measure"].inputs["source"] == Collection(
        "list", ((None, Source(File("a"))), (None, Source(File("b"))))
    )


def test_one_result_of_the_list_can_be_taken_by_its_place() -> None:
    graph = traced(lambda: score(train.map(days())[2]))  # type: ignore[arg-type]

    assert graph.nodes["score"].inputs == {"trained": Result("train", "result", (2,))}


def test_what_is_promised_to_be_no_list_cannot_be_mapped_over() -> None:
    assert "mapped over <promise of table>, which is dict[str, int]" in refused(
        lambda: train.map(table())  # type: ignore[arg-type]
    )
    assert "which is float" in refused(lambda: train.map(best([1.0])))  # type: ignore[arg-type]


def test_items_of_a_wrong_type_are_refused_promised_or_not() -> None:
    assert "takes trained as Trained, not date" in refused(lambda: score.map(days()))  # type: ignore[arg-type]
    assert "takes day as datetime.date, not int" in refused(lambda: train.map([1]))  # type: ignore[list-item]


def test_a_single_value_or_a_text_is_no_list() -> None:
    assert "mapped over a str, which is no list of items" in refused(
        lambda: best.map("abc")  # type: ignore[arg-type]
    )
    assert "mapped over a int" in refused(lambda: best.map(3))  # type: ignore[arg-type]


def test_secrets_which_would_all_be_one_action_cannot_be_mapped_over() -> None:
    assert "mapped over secrets" in refused(lambda: log_in.map([Secret("A"), Secret("B")]))


def test_a_stage_without_a_parameter_by_position_cannot_be_mapped() -> None:
    assert "no parameter that takes the items by position" in refused(
        lambda: only_named.map([date(2024, 1, 1)])  # type: ignore[misc]
    )


def test_other_arguments_are_checked_as_in_any_call() -> None:
    assert "has no parameter rat" in refused(lambda: train.map(days(), rat=1))  # type: ignore[call-arg]
