from __future__ import annotations

import contextvars
import threading
from collections.abc import Mapping
from typing import NamedTuple

from counting import calls_made_by

from lineal.stages import Result, pipeline, stage, when
from lineal.stages.tracing import current


class Trained(NamedTuple):
    model: bytes
    metrics: Mapping[str, float]


@stage
def step(value: int) -> int:
    return value + 1


@stage
def train(value: int, *, rate: float = 0.1) -> Trained:
    return Trained(b"", {})


@pipeline
def chain(length: int) -> int:
    value = step(0)
    for _ in range(length - 1):
        value = step(value)
    return value


@pipeline
def guarded(count: int) -> None:
    for number in range(count):
        trained = train(number, rate=0.2)
        with when(trained.metrics["auc"] >= 0.5):
            step(trained.metrics["auc"])  # type: ignore[arg-type]


def test_a_chain_of_ten_thousand_stages_is_traced_and_checked() -> None:
    graph = chain.trace({"length": 10_000})
    graph.check()

    assert len(graph.nodes) == 10_000
    assert graph.outputs["result"] == Result("step#10000", "result")


def test_a_stage_costs_the_same_to_trace_and_check_however_many_there_are() -> None:
    few = calls_made_by(lambda: chain.trace({"length": 500}).check())
    many = calls_made_by(lambda: chain.trace({"length": 2000}).check())

    assert many < 4.1 * few
    assert many < 100 * 2000


def test_conditions_and_several_outputs_cost_little_more() -> None:
    plain = calls_made_by(lambda: chain.trace({"length": 1000}).check())
    conditional = calls_made_by(lambda: guarded.trace({"count": 500}).check())

    assert conditional < 3 * plain


def test_a_thread_does_not_see_the_tracing_of_another() -> None:
    ran: list[int] = []

    @pipeline
    def threaded() -> None:
        thread = threading.Thread(target=lambda: ran.append(step(1)))
        thread.start()
        thread.join()

    graph = threaded.trace({})

    assert (ran, list(graph.nodes)) == ([2], [])


def test_two_threads_trace_apart() -> None:
    barrier = threading.Barrier(2)
    sizes: dict[int, int] = {}

    @pipeline
    def slow(length: int) -> None:
        for _ in range(length):
            barrier.wait(10)
            step(1)

    def work(key: int) -> None:
        sizes[key] = len(slow.trace({"length": 3}).nodes)

    threads = [threading.Thread(target=work, args=(key,)) for key in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sizes == {1: 3, 2: 3}


def test_a_context_made_within_a_tracing_does_not_change_it() -> None:
    @pipeline
    def nested() -> None:
        step(1)
        contextvars.copy_context().run(chain.trace, {"length": 2})
        step(2)

    assert list(nested.trace({}).nodes) == ["step", "step#2"]
    assert current() is None
