"""What is counted of a run."""

from __future__ import annotations

from typing import Any

from lineal.graph.records import Output, RunRecord, StageRecord
from lineal.views.figures import Figures, figures, read_figures
from lineal_store import open_store


def stage(id_: str, state: str, cache: str | None, size: int = 0, **fields: Any) -> StageRecord:
    outputs = {"result": Output(digest="sha256:" + "0" * 64, type="json", size_bytes=size)} if size else {}
    return StageRecord(id=id_, name=id_, state=state, cache=cache, outputs=outputs, **fields)


def run(**fields: Any) -> RunRecord:
    facts = {
        "run_id": "r",
        "pipeline": "flights",
        "target": "flights.py",
        "state": "failed",
        "namespace": "dev",
    }
    more = {
        "code_tree": "",
        "environment": "",
        "who": "",
        "host": "",
        "process": 1,
        "lineal": "",
        "started_at": "",
    }
    return RunRecord(**{**facts, **more, "seconds": 7.5, **fields})


def test_stages_count_by_state_and_by_what_the_cache_had() -> None:
    stages = [
        stage("a", "succeeded", "hit", 100),
        stage("b", "succeeded", "miss", 20),
        stage("c", "succeeded", "off", 3),
        stage("d", "failed", "miss"),
        stage("e", "upstream_failed", None),
    ]

    found = figures(run(), stages)

    assert found == Figures(
        "flights",
        7.5,
        {"succeeded": 3, "failed": 1, "upstream_failed": 1},
        {"hit": 1, "miss": 2, "off": 1},
        23,
    )


def test_of_a_mapped_stage_the_items_count() -> None:
    stages = [
        stage("m", "succeeded", "miss", 9, items=2),
        stage("m[0]", "succeeded", "miss", 4),
        stage("m[1]", "succeeded", "hit", 4),
    ]

    assert figures(run(), stages).states == {"succeeded": 2}
    assert figures(run(), stages).written_bytes == 4


def test_a_run_that_is_not_in_the_store_has_none() -> None:
    assert read_figures(open_store("memory://figures"), "20261128-120000-abcdef") is None
