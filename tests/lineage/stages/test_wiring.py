from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from typing import NamedTuple

import pytest
from counting import calls_made_by

from lineal.artifacts import File
from lineal.stages import (
    Binding,
    Collection,
    Comparison,
    Condition,
    Constant,
    Graph,
    GraphError,
    Node,
    Result,
    Source,
    leaves,
    resolve,
    stage,
)


class Trained(NamedTuple):
    model: int
    score: int


@dataclass(frozen=True, slots=True)
class Split:
    train: int
    test: int
    total: int = field(init=False)

    def __post_init__(self) -> None:
        raise AssertionError("building runs no initialiser")


@stage
def step(value: object = None, other: object = None) -> int:
    return 1


def node(node_id: str, *needs: str, conditions: tuple[Condition, ...] = (), **inputs: Binding) -> Node:
    bindings = {f"p{place}": Result(parent, "result") for place, parent in enumerate(needs)}
    return Node(node_id, step, step.settings, {**bindings, **inputs}, conditions)


def graph(*nodes: Node, outputs: Mapping[str, Binding] | None = None) -> Graph:
    return Graph("nightly", {}, {one.id: one for one in nodes}, outputs or {})


BOTH = Collection("list", ((None, Constant(1)), (None, Collection("dict", (("a", Result("a", "result")),)))))


def test_parents_are_those_of_inputs_then_of_conditions_each_once() -> None:
    gate = Comparison(">", Result("judge", "result"), Result("a", "result"))
    last = node("last", "b", "a", "b", nested=BOTH, source=Source(File("x")), conditions=(gate,))

    assert graph(node("a"), node("b"), node("judge"), last).parents("last") == ("b", "a", "judge")


def test_the_order_is_that_of_the_calls() -> None:
    assert graph(node("a"), node("c", "a"), node("b", "a")).order == ("a", "c", "b")


def test_nodes_out_of_order_are_put_after_their_parents() -> None:
    assert graph(node("d", "b", "c"), node("c", "a"), node("b", "a"), node("a")).order == ("a", "b", "c", "d")


def test_a_circle_is_listed_from_cause_to_effect() -> None:
    circular = graph(node("start"), node("a", "start", "c"), node("b", "a"), node("c", "b"))

    with pytest.raises(GraphError, match="in a circle: a -> b -> c -> a") as raised:
        circular.check()

    assert raised.value.exit_code == 2


def test_a_stage_that_needs_itself_is_a_circle() -> None:
    with pytest.raises(GraphError, match="in a circle: a -> a"):
        graph(node("a", "a")).check()


def test_a_circle_through_a_condition_is_found() -> None:
    gate = Comparison(">", Result("b", "result"), Constant(1))

    with pytest.raises(GraphError, match="in a circle: a -> b -> a"):
        graph(node("a", conditions=(gate,)), node("b", "a")).check()


def test_a_reference_to_an_unknown_stage_names_who_needs_it() -> None:
    with pytest.raises(
        GraphError, match="stage b of pipeline nightly needs aa, and there is no stage aa"
    ) as raised:
        graph(node("a"), node("b", "aa")).check()

    assert raised.value.hint == "Did you mean a?"


def test_a_reference_to_an_unknown_output_names_it() -> None:
    with pytest.raises(GraphError, match=r"needs a\.model, and a has no output model") as raised:
        graph(node("a"), node("b", x=Result("a", "model"))).check()

    assert raised.value.hint == "There is: result."


def test_an_output_of_the_pipeline_is_checked_too() -> None:
    with pytest.raises(GraphError, match="output result of pipeline nightly needs b"):
        graph(node("a"), outputs={"result": Result("b", "result")}).check()


def test_a_chain_of_ten_thousand_stages_is_ordered_without_recursion_also_backwards() -> None:
    chain = [node("s0"), *(node(f"s{n}", f"s{n - 1}") for n in range(1, 10_000))]

    graph(*chain).check()
    graph(*reversed(chain)).check()

    assert graph(*reversed(chain)).order == tuple(one.id for one in chain)


def test_a_node_costs_the_same_to_order_however_many_there_are() -> None:
    def calls(length: int) -> int:
        chain = [node("s0"), *(node(f"s{n}", f"s{n - 1}") for n in range(1, length))]
        return calls_made_by(graph(*reversed(chain)).check)

    assert calls(2000) < 4.1 * calls(500)


def test_the_leaves_of_a_binding_come_in_order() -> None:
    assert list(leaves(BOTH)) == [Constant(1), Result("a", "result")]
    assert list(leaves(Constant([1]))) == [Constant([1])]


def test_resolving_puts_values_in_the_places_of_results_and_sources() -> None:
    binding = Collection("tuple", ((None, BOTH), (None, Source(File("raw.csv"))), (None, Constant("x"))))
    values: dict[object, object] = {Result("a", "result"): 7, Source(File("raw.csv")): "held"}

    assert resolve(binding, values.__getitem__) == ([1, {"a": 7}], "held", "x")


def test_a_collection_builds_the_kind_of_value_it_was() -> None:
    fields = (("model", Constant(0)), ("score", Constant(0)))

    assert Collection("namedtuple", fields, Trained).build([1, 2]) == Trained(1, 2)
    assert Collection("dict", fields).build([1, 2]) == {"model": 1, "score": 2}
    assert Collection("list", fields).build([1, 2]) == [1, 2]
    assert Collection("tuple", fields).build([1, 2]) == (1, 2)


def test_a_dataclass_is_built_as_unpickling_would() -> None:
    fields = tuple((name, Constant(0)) for name in ("train", "test", "total"))
    built = Collection("dataclass", fields, Split).build([1, 2, 3])

    assert isinstance(built, Split)
    assert (built.train, built.test, built.total) == (1, 2, 3)


def test_results_read_as_addresses() -> None:
    assert str(Result("train", "result")) == "train"
    assert str(Result("eval/train#2", "metrics", ("auc", 0))) == "eval/train#2.metrics['auc'][0]"


def test_the_graph_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        graph().pipeline = "other"  # type: ignore[misc]
