from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

import pytest

from lineal.artifacts import File, LogicalDate
from lineal.stages import (
    AllOf,
    Comparison,
    Constant,
    Graph,
    Not,
    ParameterError,
    Pipeline,
    PipelineError,
    Result,
    Source,
    StageDefinitionError,
    Truth,
    WiringError,
    pipeline,
    stage,
    unless,
    when,
)


class Trained(NamedTuple):
    model: bytes
    metrics: Mapping[str, float]


@dataclass
class Both:
    first: int
    second: int


@stage
def load(source: File) -> list[int]:
    return [1]


@stage
def count(rows: list[int] | None = None) -> int:
    return 1


@stage
def train(rows: list[int], *, rate: float = 0.1) -> Trained:
    return Trained(b"", {})


@stage(effect=True)
def deploy(model: bytes, target: str) -> str:
    return target


@pipeline
def flights(run_date: date, source: str = "raw.csv", rate: float = 0.1) -> Trained:
    """Train on the flights of a day."""
    rows = load(File(source))
    trained = train(rows, rate=rate)
    with when(trained.metrics["auc"] >= 0.65):
        deploy(trained.model, target="production")
    return trained


DAY = date(2013, 6, 30)


def line_of(function: Callable[..., Any], text: str) -> str:
    """``file:line`` of the line of the function's source that holds the text."""
    lines, start = inspect.getsourcelines(function)
    place = next(number for number, line in enumerate(lines) if text in line)
    return f"{__file__}:{start + place}"


def graph_of(wire: Callable[[], object]) -> Graph:
    @pipeline
    def attempt() -> object:
        return wire()

    return attempt.trace({})


# --- tracing -----------------------------------------------------------------------------------------------


def test_a_traced_pipeline_is_a_graph_of_plain_values() -> None:
    graph = flights.trace({"run_date": DAY})
    graph.check()

    assert graph.pipeline == "flights"
    assert graph.parameters == {"run_date": DAY, "source": "raw.csv", "rate": 0.1}
    assert graph.order == ("load", "train", "deploy")
    assert graph.nodes["load"].inputs == {"source": Source(File("raw.csv"))}
    assert graph.nodes["train"].inputs == {"rows": Result("load", "result"), "rate": Constant(0.1)}
    assert graph.nodes["deploy"].conditions == (
        Comparison(">=", Result("train", "metrics", ("auc",)), Constant(0.65)),
    )
    assert graph.nodes["deploy"].options.effect
    assert graph.parents("deploy") == ("train",)


def test_tracing_twice_gives_equal_graphs() -> None:
    assert flights.trace({"run_date": DAY}) == flights.trace({"run_date": DAY})


def test_calls_of_one_stage_are_numbered_in_call_order() -> None:
    graph = graph_of(lambda: (count(), count(), count.options(name="other")(), count()))

    assert list(graph.nodes) == ["count", "count#2", "other", "count#3"]


def test_tracing_ends_also_when_the_function_raises() -> None:
    with pytest.raises(PipelineError):
        graph_of(lambda: 1 / 0)

    assert count() == 1


def test_a_pipeline_may_be_traced_while_another_is() -> None:
    inner: list[Graph] = []
    graph = graph_of(lambda: (count(), inner.append(flights.trace({"run_date": DAY})), count())[0])

    assert list(graph.nodes) == ["count", "count#2"]
    assert list(inner[0].nodes) == ["load", "train", "deploy"]


# --- parameters --------------------------------------------------------------------------------------------


def test_a_missing_parameter_is_named_with_its_type() -> None:
    with pytest.raises(
        ParameterError, match=r"pipeline flights needs a value for run_date: datetime\.date"
    ) as raised:
        flights.trace({})

    assert raised.value.exit_code == 2


def test_an_unknown_parameter_is_answered_with_the_nearest() -> None:
    with pytest.raises(ParameterError, match="pipeline flights has no parameter run_dat") as raised:
        flights.trace({"run_dat": DAY})

    assert raised.value.hint == "Did you mean run_date?"


def test_a_parameter_of_another_type_is_named_with_both_types() -> None:
    with pytest.raises(ParameterError, match="pipeline flights takes rate as float, not str"):
        flights.trace({"run_date": DAY, "rate": "0.1"})


def test_a_path_where_a_file_is_wanted_is_answered_with_how_to_write_it() -> None:
    @pipeline
    def nightly(source: File) -> None:
        load(source)

    with pytest.raises(ParameterError) as raised:
        nightly.trace({"source": "raw.csv"})

    assert "File(...)" in str(raised.value.hint)


def test_parameters_by_position_only_are_given_by_name_all_the_same() -> None:
    @pipeline
    def nightly(source: File, /, rate: float = 0.5) -> None:
        train(load(source), rate=rate)

    assert nightly.trace({"source": File("a")}).nodes["train"].inputs["rate"] == Constant(0.5)


# --- the logical date --------------------------------------------------------------------------------------


def dated(annotation: object, name: str = "run_date") -> Pipeline[..., None]:
    def for_run_date(run_date: Any) -> None: ...

    def for_day(day: Any) -> None: ...

    function = {"run_date": for_run_date, "day": for_day}[name]
    function.__annotations__[name] = annotation
    return pipeline(function)


NOON = datetime(2013, 6, 30, 12)


@pytest.mark.parametrize(
    ("annotation", "name", "value", "expected"),
    [
        (date, "run_date", DAY, DAY),
        (datetime, "run_date", NOON, NOON),
        (date | None, "run_date", None, None),
        (date | None, "run_date", DAY, DAY),
        (LogicalDate, "day", DAY, DAY),
        (date, "day", DAY, None),
        (str, "run_date", "2013-06-30", None),
    ],
)
def test_the_logical_date_is_a_marked_parameter_or_a_date_called_run_date(
    annotation: object, name: str, value: object, expected: object
) -> None:
    assert dated(annotation, name).trace({name: value}).logical_date == expected


def test_a_marked_parameter_comes_before_run_date() -> None:
    @pipeline
    def nightly(run_date: date, effective: LogicalDate) -> None: ...

    assert nightly.trace({"run_date": NOON, "effective": DAY}).logical_date == DAY


def test_a_run_is_for_one_date() -> None:
    @pipeline
    def nightly(one: LogicalDate, two: LogicalDate) -> None: ...

    with pytest.raises(StageDefinitionError, match="pipeline nightly has two logical dates: one and two"):
        nightly.trace({"one": DAY, "two": DAY})


# --- outputs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "names"),
    [
        (lambda: None, {}),
        (lambda: count() and None, None),
        (lambda: count(), {"result": "count"}),
        (lambda: train([1]), {"model": "train.model", "metrics": "train.metrics"}),
        (lambda: (count(), count()), {"0": "count", "1": "count#2"}),
        (lambda: {"rows": count()}, {"rows": "count"}),
        (lambda: Both(count(), count()), {"first": "count", "second": "count#2"}),
        (lambda: Trained(*reversed(train([1]))), {"model": "train.metrics", "metrics": "train.model"}),
        (lambda: (), {}),
    ],
)
def test_what_the_function_returns_is_the_pipelines_outputs(
    wire: Callable[[], object], names: dict[str, str] | None
) -> None:
    if names is None:
        with pytest.raises(PipelineError, match="has no truth yet"):
            graph_of(wire)
        return

    assert {name: str(result) for name, result in graph_of(wire).outputs.items()} == names


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (lambda: 1, "returns a int, which no stage made"),
        (lambda: [count()], "returns a list, which no stage made"),
        (lambda: (count(), 1), "returns a int as 1, which no stage made"),
        (lambda: {"a": None}, "returns a NoneType as a, which no stage made"),
        (lambda: (train([1]), count()), "returns a Trained as 0, which no stage made"),
        (lambda: {1: count()}, "returns something under the key 1"),
        (lambda: {"a.b": count()}, "returns something under the key 'a.b'"),
        (lambda: File("raw.csv"), "returns a File, which no stage made"),
        (lambda: train([1]).metrics["auc"], "returns <promise of train.metrics['auc']>, a part of a result"),
    ],
)
def test_what_no_stage_made_cannot_be_an_output(wire: Callable[[], object], message: str) -> None:
    with pytest.raises(PipelineError) as raised:
        graph_of(wire)

    assert message in str(raised.value)
    assert raised.value.hint


# --- conditions --------------------------------------------------------------------------------------------


def test_nested_blocks_add_their_conditions_and_take_them_back() -> None:
    def wire() -> None:
        number = count()
        with when(number > 1):
            count()
            with unless(number > 2):
                count()
            count()
        count()

    more, most = (Comparison(">", Result("count", "result"), Constant(n)) for n in (1, 2))

    assert [node.conditions for node in graph_of(wire).nodes.values()] == [
        (),
        (more,),
        (more, Not(most)),
        (more,),
        (),
    ]


def test_a_block_ends_also_when_it_raises() -> None:
    def wire() -> None:
        try:
            with when(True):
                raise LookupError
        except LookupError:
            count()

    assert graph_of(wire).nodes["count"].conditions == ()


@pytest.mark.parametrize(
    ("make", "condition"),
    [
        (lambda: True, Truth(Constant(True))),
        (lambda: False, Truth(Constant(False))),
        (lambda: count(), Truth(Result("count", "result"))),
        (
            lambda: (count() > 1) & (count() > 2),
            AllOf(
                (
                    Comparison(">", Result("count", "result"), Constant(1)),
                    Comparison(">", Result("count#2", "result"), Constant(2)),
                )
            ),
        ),
    ],
)
def test_constants_promises_and_comparisons_are_conditions(
    make: Callable[[], object], condition: object
) -> None:
    def wire() -> None:
        with when(make()):
            deploy(b"", "x")

    assert graph_of(wire).nodes["deploy"].conditions == (condition,)


@pytest.mark.parametrize("condition", [None, 1, "yes", [True], count])
def test_other_values_are_no_conditions(condition: object) -> None:
    with pytest.raises(PipelineError, match="which is no condition"):
        graph_of(lambda: when(condition))


@pytest.mark.parametrize(("guard", "word"), [(when, "when"), (unless, "unless")])
def test_outside_of_a_pipeline_there_is_nothing_to_guard(
    guard: Callable[[object], object], word: str
) -> None:
    with pytest.raises(PipelineError, match=rf"{word}\(...\) is used outside of a pipeline"):
        guard(True)


def test_a_condition_without_its_with_is_an_error_at_its_line() -> None:
    @pipeline
    def careless() -> None:
        number = count()
        when(number > 1)
        deploy(b"", "production")

    with pytest.raises(PipelineError, match="a condition is made and not used") as raised:
        careless.trace({})

    assert raised.value.where == line_of(careless.function, "when(number > 1)")


# --- sub-pipelines -----------------------------------------------------------------------------------------


@pipeline
def prepare(source: File, rate: float = 0.1) -> Trained:
    return train(load(source), rate=rate)


def test_a_pipeline_called_in_a_pipeline_is_a_part_of_it_under_its_name() -> None:
    def wire() -> object:
        first = prepare(File("a"))
        second = prepare(File("b"), rate=0.5)
        return {"a": first.model, "b": second.model}

    graph = graph_of(wire)

    assert list(graph.nodes) == ["prepare/load", "prepare/train", "prepare#2/load", "prepare#2/train"]
    assert graph.nodes["prepare#2/train"].inputs["rows"] == Result("prepare#2/load", "result")
    assert graph.outputs["b"] == Result("prepare#2/train", "model")


def test_a_sub_pipeline_inherits_conditions_and_ids_go_on_after_it() -> None:
    def wire() -> None:
        number = count()
        with when(number > 1):
            prepare(File("a"))
        count()

    graph = graph_of(wire)

    assert list(graph.nodes) == ["count", "prepare/load", "prepare/train", "count#2"]
    assert graph.nodes["prepare/train"].conditions == (
        Comparison(">", Result("count", "result"), Constant(1)),
    )


def test_sub_pipelines_nest_and_may_return_anything() -> None:
    @pipeline
    def inner(depth: int) -> int:
        count()
        return depth + 1

    @pipeline
    def outer() -> None:
        assert inner(inner(0)) == 2

    @pipeline
    def outermost() -> None:
        outer()

    assert list(outermost.trace({}).nodes) == ["outer/inner/count", "outer/inner#2/count"]


def test_promises_are_parameters_of_sub_pipelines() -> None:
    @pipeline
    def inner(rows: list[int]) -> Trained:
        return train(rows)

    graph = graph_of(lambda: inner(load(File("a"))))

    assert graph.nodes["inner/train"].inputs["rows"] == Result("load", "result")


def test_a_sub_pipelines_arguments_are_checked_like_a_stages() -> None:
    with pytest.raises(WiringError, match="pipeline prepare has no parameter rat"):
        graph_of(lambda: prepare(File("a"), rat=1))  # type: ignore[call-arg]
    with pytest.raises(WiringError, match="pipeline prepare takes rate as float, not str"):
        graph_of(lambda: prepare(File("a"), rate="1"))  # type: ignore[arg-type]


def test_a_pipeline_that_calls_itself_without_end_is_an_error() -> None:
    @pipeline
    def endless() -> None:
        endless()

    with pytest.raises(PipelineError, match=r"called 100 levels deep: … -> endless -> endless"):
        endless.trace({})


# --- what users do wrong -----------------------------------------------------------------------------------


def test_a_pipeline_called_like_a_function_is_answered_with_run() -> None:
    with pytest.raises(PipelineError, match="pipeline flights is called like a function") as raised:
        flights(DAY)

    assert "flights.run(...)" in str(raised.value.hint)


def test_a_pipeline_run_inside_another_is_answered_with_the_call() -> None:
    with pytest.raises(PipelineError, match="pipeline flights is run inside another pipeline"):
        graph_of(lambda: flights.run(run_date=DAY))


def test_if_on_a_promise_is_placed_at_the_users_line() -> None:
    @pipeline
    def decides() -> None:
        number = count()
        if number > 1:
            deploy(b"", "production")

    with pytest.raises(PipelineError) as raised:
        decides.trace({})

    assert str(raised.value).startswith(
        line_of(decides.function, "if number > 1") + ": <condition count > 1>"
    )
    assert "with when(...)" in str(raised.value.hint)


def divide(number: int) -> float:
    return number / 0


def test_what_the_function_raises_keeps_its_cause_and_names_the_innermost_line_of_its_file() -> None:
    @pipeline
    def careless() -> None:
        divide(1)

    with pytest.raises(
        PipelineError, match="pipeline careless raised ZeroDivisionError: division by zero"
    ) as raised:
        careless.trace({})

    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert raised.value.where == line_of(divide, "number / 0")


def test_an_error_in_a_sub_pipeline_is_wrapped_once_and_names_the_sub_pipeline() -> None:
    @pipeline
    def careless() -> None:
        divide(1)

    with pytest.raises(PipelineError, match="the function of pipeline careless raised") as raised:
        graph_of(careless)

    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_the_line_of_an_error_survives_pickling() -> None:
    with pytest.raises(PipelineError) as raised:
        graph_of(lambda: divide(1))

    again = pickle.loads(pickle.dumps(raised.value))

    assert (str(again), again.hint, again.where) == (str(raised.value), raised.value.hint, raised.value.where)


async def asynchronous() -> None: ...


def takes_any(**parameters: int) -> None: ...


class Holder:
    def method(self) -> None: ...


@pytest.mark.parametrize("function", [asynchronous, takes_any, Holder.method, Holder, lambda: None, 3])
def test_what_cannot_be_a_pipeline_is_refused_at_decoration(function: Any) -> None:
    with pytest.raises(StageDefinitionError) as raised:
        pipeline(function)

    assert "pipeline" in str(raised.value)


def test_a_pipeline_looks_like_its_function() -> None:
    assert flights.__doc__ == "Train on the flights of a day."
    assert (flights.name, flights.qualname, flights.module) == ("flights", "flights", __name__)
    assert list(inspect.signature(flights).parameters) == ["run_date", "source", "rate"]
    assert repr(flights) == f"<pipeline flights of {__name__}>"


def test_a_pipeline_may_say_how_long_a_run_of_it_may_take() -> None:
    @pipeline(timeout="2h")
    def bounded() -> None: ...

    @pipeline
    def unbounded() -> None: ...

    assert bounded.trace({}).timeout_seconds == 7200.0
    assert unbounded.trace({}).timeout_seconds is None


@pytest.mark.parametrize("timeout", [0, -1, "soon", True])
def test_a_timeout_that_is_none_is_refused_at_decoration(timeout: object) -> None:
    with pytest.raises(StageDefinitionError, match=f"timeout={timeout!r} cannot be used"):
        pipeline(timeout=timeout)  # type: ignore[call-overload]
