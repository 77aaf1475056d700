"""Graphs as plain data: what comes back says the same as what was traced, and names no object of the project."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.artifacts import Directory, File, Metrics, Schema, Secret
from lineal.artifacts.values import encode_value
from lineal.engine.plan import Bound, PlannedStage, action_of, bind
from lineal.fingerprint import Fingerprint, Sources
from lineal.stages import (
    AllOf,
    AnyOf,
    Binding,
    Collection,
    Comparison,
    Condition,
    Constant,
    Graph,
    Node,
    Not,
    Result,
    Source,
    Stage,
    Truth,
    pipeline,
    stage,
    unless,
    when,
)
from lineal.stages.frozen import (
    Encoded,
    FrozenStage,
    NotPlain,
    Spelled,
    contracts_of,
    freeze,
    named_classes,
    read_as,
    thaw,
)

SOURCES = Sources(Path("/project"), [Path("/project")], {})


class Rows(Schema):
    a: int


class Colour(enum.Enum):
    RED = 1


@dataclass(frozen=True)
class Point:
    x: int = 0


class Pair(NamedTuple):
    left: object
    right: object


class Trained(NamedTuple):
    model: Point
    metrics: Metrics
    table: Annotated[list[Colour], Rows]


def helper() -> None: ...


@stage
def start(value: object = None, other: Optional[int] = None) -> dict[str, float]:  # noqa: UP045
    return {}


@stage(
    name="fit",
    retries=2,
    retry_delay="3s",
    retry_backoff=3,
    retry_on=(OSError, KeyError),
    timeout="1h",
    resources={"gpu": 1},
    limit="db:2",
    version="3",
    env=["B", "A"],
    reads=["x.csv"],
    depends_on=[helper, Point, math, "settings:RATE", "settings"],
)
def train(table: Annotated[Any, Rows], *, rate: float = 0.1, point: Point | None = None) -> Trained:
    raise AssertionError


@stage(effect=True, idempotent=True, cache=True)
def deploy(model: object, target: str) -> File:
    raise AssertionError


STAGES = [start, train, deploy, start.options(name="again", retries=1)]

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
)
values = st.recursive(
    plain | st.sampled_from([Colour.RED, Point(3), Pair(1, "b"), Path("a"), {1, 2}, frozenset("ab"), 1j]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
paths = st.lists(st.text(max_size=3) | st.integers(-3, 3), max_size=2).map(tuple)


def results(before: list[str]) -> st.SearchStrategy[Result]:
    return st.builds(Result, st.sampled_from(before), st.sampled_from(["result", "model"]), paths)


def bindings(before: list[str]) -> st.SearchStrategy[Binding]:
    leaves: st.SearchStrategy[Binding] = st.one_of(
        values.map(Constant),
        st.sampled_from([Source(File("a b")), Source(Directory("s3://x/y"))]),
        *([results(before)] if before else []),
    )

    def collected(inner: st.SearchStrategy[Binding]) -> st.SearchStrategy[Binding]:
        keyless = st.lists(st.tuples(st.none(), inner), min_size=1, max_size=3).map(tuple)
        keys = st.text(max_size=3) | st.integers() | st.dates() | st.tuples(st.booleans())
        keyed = st.lists(
            st.tuples(keys, inner), min_size=1, max_size=3, unique_by=lambda pair: repr(pair[0])
        ).map(tuple)
        fields = st.tuples(inner, inner).map(lambda pair: (("left", pair[0]), ("right", pair[1])))
        return st.one_of(
            st.builds(Collection, st.sampled_from(["list", "tuple"]), keyless),
            st.builds(Collection, st.just("dict"), keyed),
            st.builds(Collection, st.just("namedtuple"), fields, st.just(Pair)),
            st.builds(
                Collection, st.just("dataclass"), st.tuples(st.tuples(st.just("x"), inner)), st.just(Point)
            ),
        )

    return st.recursive(leaves, collected, max_leaves=6)


def conditions(before: list[str]) -> st.SearchStrategy[Condition]:
    compared = st.builds(
        Comparison, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), results(before), plain.map(Constant) | results(before)
    )  # fmt: skip
    leaves: st.SearchStrategy[Condition] = st.one_of(compared, st.builds(Truth, results(before)))

    def combined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        several = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return st.one_of(st.builds(AllOf, several), st.builds(AnyOf, several), st.builds(Not, inner))

    return st.recursive(leaves, combined, max_leaves=4)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    nodes: dict[str, Node] = {}
    for number in range(draw(st.integers(0, 5))):
        called = draw(st.sampled_from(STAGES))
        before = list(nodes)
        inputs = {name: draw(bindings(before)) for name in called.signature.inputs}
        gates = draw(st.lists(conditions(before), max_size=2)) if before else []
        node_id = f"{called.name}#{number}"
        over = draw(st.sampled_from([None, next(iter(inputs))]))
        nodes[node_id] = Node(node_id, called, called.settings, inputs, tuple(gates), over)
    parameters = draw(st.dictionaries(st.text("abc", min_size=1), values | st.just(File("x")), max_size=3))
    outputs = (
        draw(st.dictionaries(st.text("xyz", min_size=1), results(list(nodes)), max_size=2)) if nodes else {}
    )
    return Graph("flow", parameters, nodes, outputs, draw(st.none() | st.dates() | st.datetimes()))


def planned(node: Node) -> PlannedStage:
    return PlannedStage(node, node.stage.module, Fingerprint("0" * 32, (), ()), {}, {}, None)  # type: ignore[arg-type]


def bound(node: Node) -> Bound:
    """What the node contributes to an action where every source and result is missing."""

    def code_of(name: str) -> Fingerprint:
        return Fingerprint(f"code of {name}", (), ())

    class Taken(Exception): ...

    made = bind(planned(node), lambda result: None, lambda source: (_ for _ in ()).throw(Taken()), code_of)
    assert action_of(planned(node), made).parameters == made.parameters
    return made


def sources(binding: Binding) -> Iterator[Source]:
    if isinstance(binding, Source):
        yield binding
    for _, item in binding.items if isinstance(binding, Collection) else ():
        yield from sources(item)


def without_sources(node: Node) -> Node:
    inputs = {name: one for name, one in node.inputs.items() if not list(sources(one))}
    return Node(node.id, node.stage, node.options, inputs, node.conditions)


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_a_graph_comes_back_as_it_was(graph: Graph) -> None:
    data = freeze(graph, SOURCES)
    back = thaw(data)

    assert data == freeze(graph, SOURCES)
    assert (back.pipeline, repr(back.logical_date)) == (graph.pipeline, repr(graph.logical_date))
    assert list(back.nodes) == list(graph.nodes) and list(back.parameters) == list(graph.parameters)
    assert dict(back.outputs) == dict(graph.outputs)
    for name, value in graph.parameters.items():
        other = back.parameters[name]
        structure = other.structure if isinstance(other, Encoded) else encode_value(other)
        assert repr(structure) == repr(encode_value(value))
    for name, node in graph.nodes.items():
        other_node = back.nodes[name]
        assert graph.parents(name) == back.parents(name)
        assert repr(other_node.conditions) == repr(node.conditions)
        assert list(other_node.inputs) == list(node.inputs)
        assert [list(sources(one)) for one in other_node.inputs.values()] == [
            list(sources(one)) for one in node.inputs.values()
        ]
        ours, theirs = bound(without_sources(node)), bound(without_sources(other_node))
        assert (repr(ours.parameters), ours.code) == (repr(theirs.parameters), theirs.code)


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=40) | graphs().map(lambda graph: freeze(graph, SOURCES)), st.data())
def test_other_bytes_are_refused(data: bytes, draw: st.DataObject) -> None:
    place = draw.draw(st.integers(0, max(0, len(data) - 1)))
    damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] if data else b""

    with pytest.raises(ValueError, match="this is no graph"):
        thaw(damaged)


@pytest.mark.parametrize("called", STAGES, ids=lambda called: called.name)
def test_a_stage_is_known_by_what_planning_asks_of_it(called: Stage[..., Any]) -> None:
    inputs: dict[str, Binding] = dict.fromkeys(called.signature.inputs, Constant(1))
    node = Node("n", called, called.settings, inputs)
    back = thaw(freeze(Graph("flow", {}, {"n": node}, {}), SOURCES)).nodes["n"]

    known = back.stage
    assert isinstance(known, FrozenStage)
    assert (known.name, known.module, known.qualname) == (called.name, called.module, called.qualname)
    assert contracts_of(known, {}) == contracts_of(called, {})
    assert list(known.signature.inputs) == list(called.signature.inputs)
    for name, port in called.signature.inputs.items():
        assert known.signature.inputs[name].optional == port.optional
    for name, port in called.signature.outputs.ports.items():
        other = known.signature.outputs.ports[name]
        assert isinstance(other.annotation, Spelled)
        assert read_as(other.annotation) == read_as(port.annotation)
        assert list(named_classes(other.annotation)) == list(named_classes(port.annotation))
    ours, theirs = called.settings, back.options
    for option in ("name", "retries", "retry_delay_seconds", "retry_backoff", "retry_max_delay_seconds", "retry_jitter", "retry_on", "timeout_seconds", "resources", "limit", "cache", "version",
                   "env", "reads", "effect", "idempotent"):  # fmt: skip
        assert getattr(theirs, option) == getattr(ours, option)


def test_what_a_stage_depends_on_stands_for_the_same_code() -> None:
    from lineal.fingerprint.declared import entry_of

    nodes = {name: Node(name, train, train.settings, {}) for name in ("n", "m")}
    options = thaw(freeze(Graph("flow", {}, nodes, {}), SOURCES)).nodes

    ours = [entry_of(each, SOURCES) for each in train.settings.depends_on]
    assert [entry_of(each, SOURCES) for each in options["n"].options.depends_on] == ours
    assert hash(options["n"].options.depends_on) == hash(options["m"].options.depends_on)


@pytest.mark.parametrize("seconds", [None, 7200.0])
def test_how_long_a_run_may_take_comes_back(seconds: float | None) -> None:
    graph = Graph("flow", {}, {}, {}, timeout_seconds=seconds)

    assert thaw(freeze(graph, SOURCES)).timeout_seconds == seconds


def test_a_traced_pipeline_comes_back() -> None:
    @pipeline
    def flow(
        run_date: date = date(2024, 1, 2), back: timedelta = timedelta(days=1), kind: Colour = Colour.RED
    ) -> Trained:
        trained = train(start([File("x"), run_date - back], 3), point=Point(4))
        with when((trained.metrics["auc"] > 0.5) & ~(trained.metrics["n"] == 1)), unless(trained.model):
            deploy(Pair(trained.model, {"a": (trained.table, kind)}), target="production")
        return trained

    back = thaw(freeze(flow.trace({}), SOURCES))

    assert str(back.nodes["deploy"].conditions[0]) == str(flow.trace({}).nodes["deploy"].conditions[0])
    assert back.logical_date == date(2024, 1, 2)
    assert back.parameters["kind"] == Encoded(encode_value(Colour.RED))
    assert back.parents("deploy") == ("fit",)
    back.check()


SECRET = Node("n", start, start.settings, {"value": Constant(Secret("hunter2"))})
REFUSED = {
    "a secret": Graph("flow", {}, {"n": SECRET}, {}),
    "a secret parameter": Graph("flow", {"token": Secret("hunter2")}, {}, {}),
    "a secret inside": Graph("flow", {}, {"n": Node("n", start, start.settings, {"value": Constant([Secret("hunter2")])})}, {}),
    "an object": Graph("flow", {}, {"n": Node("n", start, start.settings, {"value": Constant(object())})}, {}),
    "a function": Graph("flow", {"f": helper}, {}, {}),
    "a condition on an object of the project": Graph(
        "flow", {}, {"n": Node("n", start, start.settings, {}, (Comparison("==", Result("n", "result"), Constant(Colour.RED)),))}, {}
    ),
    "a file that is laid out": Graph(
        "flow", {}, {"n": Node("n", start, start.settings, {"value": Source(File.held("x", "/tmp/x"))})}, {}
    ),
    "a date of a class of its own": Graph("flow", {}, {}, {}, type("Day", (datetime,), {})(2024, 1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("graph", REFUSED.values(), ids=REFUSED.keys())
def test_what_may_not_be_written_down_is_not(graph: Graph) -> None:
    with pytest.raises(NotPlain) as refused:
        freeze(graph, SOURCES)

    assert "hunter2" not in str(refused.value)


def test_a_class_that_only_this_call_knows_is_not_written_down() -> None:
    class Local(NamedTuple):
        a: object

    node = Node(
        "n",
        start,
        start.settings,
        {"value": Collection("namedtuple", (("a", Result("n", "result")),), Local)},
    )

    with pytest.raises(NotPlain, match="local class"):
        freeze(Graph("flow", {}, {"n": node}, {}), SOURCES)
