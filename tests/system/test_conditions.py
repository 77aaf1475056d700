"""What becomes of stages whose condition does not hold, and of those that take what was not made."""

from __future__ import annotations

import json

import pytest
from support import Project

FLOW = """
from lineal import Metrics, pipeline, stage, unless, when


@stage
def measure(score: float) -> Metrics:
    return {"auc": score}


@stage
def tune(metrics: Metrics) -> float:
    return metrics["auc"] * 2


@stage
def needs(tuned: float) -> float:
    return tuned


@stage
def may_do_without(tuned: float | None, metrics: Metrics) -> str:
    return "none" if tuned is None else f"tuned {tuned}"


@stage
def has_a_default(tuned: float = 0.25) -> float:
    return tuned


@stage
def plain(metrics: Metrics) -> str:
    return "plain"


@stage
def either(tuned: float | None, other: str | None) -> str:
    return str(tuned if tuned is not None else other)


@pipeline
def flow(score: float = 0.5) -> dict[str, object]:
    metrics = measure(score)
    with when(metrics["auc"] >= 0.65):
        tuned = tune(metrics)
    with unless(metrics["auc"] >= 0.65):
        other = plain(metrics)
    return {
        "needs": needs(tuned),
        "may": may_do_without(tuned, metrics),
        "default": has_a_default(tuned),
        "either": either(tuned, other),
    }
"""


@pytest.fixture
def flow(project: Project) -> Project:
    project.write("flow.py", FLOW)
    project.variables |= {"LINEAL_EXECUTOR": "inline"}
    return project


def returned(project: Project, document: dict[str, object]) -> dict[str, object]:
    outputs = dict(document["outputs"])  # type: ignore[call-overload]
    return {
        name: None if digest is None else json.loads(project.value(digest))
        for name, digest in outputs.items()
    }


def test_what_needs_a_skipped_output_is_skipped_unless_it_takes_none_or_has_a_default(flow: Project) -> None:
    ended = flow.json("run")

    assert ended.code == 0, ended.err
    assert ended.words("state", "reason") == {
        "measure": ("succeeded", "new"),
        "tune": ("skipped", "condition_false"),
        "plain": ("succeeded", "new"),
        "needs": ("skipped", "upstream"),
        "may_do_without": ("succeeded", "new"),
        "has_a_default": ("succeeded", "new"),
        "either": ("succeeded", "new"),
    }
    assert returned(flow, ended.document) == {
        "needs": None,
        "may": "none",
        "default": 0.25,
        "either": "plain",
    }


def test_when_the_condition_holds_all_of_them_are_given_it(flow: Project) -> None:
    ended = flow.json("run", "score=0.75")

    assert ended.words("state")["plain"] == "skipped"
    assert returned(flow, ended.document) == {
        "needs": 1.5,
        "may": "tuned 1.5",
        "default": 1.5,
        "either": "1.5",
    }


def test_status_says_the_same_from_the_graph_that_was_kept(flow: Project) -> None:
    flow.json("run")
    flow.json("run", "score=0.75")

    assert flow.json("run").words("cache") == {
        "measure": "hit",
        "tune": None,
        "plain": "hit",
        "needs": None,
        "may_do_without": "hit",
        "has_a_default": "hit",
        "either": "hit",
    }
    assert set(flow.json("status", "score=0.75").words("cache").values()) == {"hit", None}


def test_a_mapped_stage_is_skipped_as_a_whole(project: Project) -> None:
    project.write(
        "flow.py",
        """
        from lineal import pipeline, stage, when


        @stage
        def numbers() -> list[int]:
            return [1, 2]


        @stage
        def double(number: int) -> int:
            return number * 2


        @stage
        def total(doubled: list[int] | None) -> int:
            return -1 if doubled is None else sum(doubled)


        @pipeline
        def flow(wanted: int = 0) -> int:
            found = numbers()
            with when(found[0] == wanted):
                doubled = double.map(found)
            return total(doubled)
        """,
    )

    ended = project.json("run", LINEAL_EXECUTOR="inline")
    assert ended.words("state") == {"numbers": "succeeded", "double": "skipped", "total": "succeeded"}
    assert json.loads(project.value(ended.document["outputs"]["result"])) == -1

    ended = project.json("run", "wanted=1", LINEAL_EXECUTOR="inline")
    assert json.loads(project.value(ended.document["outputs"]["result"])) == 6
