"""`lineal run --check-determinism`: hits are executed again, and compared."""

from __future__ import annotations

import pytest
from support import Project

FLOW = """
import os

from journal import note
from lineal import pipeline, stage


@stage
def load(day: str) -> int:
    note("load")
    return 1


@stage
def drift(number: int) -> str:
    note("drift")
    return os.environ.get("DRIFT", "steady")


@stage
def train(number: int, drifted: str) -> int:
    note("train")
    return number


@stage(effect=True)
def deploy(number: int) -> str:
    note("deploy")
    return "there"


@pipeline
def flow(day: str = "monday") -> int:
    number = load(day)
    trained = train(number, drift(number))
    deploy(trained)
    return trained
"""


@pytest.fixture
def flow(project: Project) -> Project:
    project.keep_journal()
    project.write("flow.py", FLOW)
    project.variables |= {"LINEAL_EXECUTOR": "inline"}
    project.json("run")
    project.journal()
    return project


def test_every_hit_is_executed_again_but_for_effects(flow: Project) -> None:
    ended = flow.json("run", "--check-determinism")

    assert ended.code == 0, ended.err
    assert flow.journal() == ["load", "drift", "train"]
    assert ended.words("cache", "attempts") == {
        "load": ("hit", 1),
        "drift": ("hit", 1),
        "train": ("hit", 1),
        "deploy": ("hit", 0),
    }
    train = ended.stages["train"]
    assert train["executed_again"] == {"result": train["outputs"]["result"]["digest"]}
    assert "executed_again" not in ended.stages["deploy"]


def test_what_makes_other_bytes_is_named_with_exit_code_4_and_its_first_result_stays(flow: Project) -> None:
    before = flow.json("run").stages["drift"]

    ended = flow.json("run", "--check-determinism", DRIFT="elsewhere")

    assert ended.code == 4
    assert ended.document["state"] == "succeeded"
    drift = ended.stages["drift"]
    assert drift["outputs"] == before["outputs"]
    assert drift["executed_again"]["result"] != drift["outputs"]["result"]["digest"]
    assert any(
        "drift is not deterministic: executed again it made other bytes of result" in text
        for text in ended.document["warnings"]
    )
    assert set(flow.json("run").words("cache").values()) == {"hit"}


def test_people_are_told_in_one_line(flow: Project) -> None:
    assert "3 hits executed again: the same bytes" in flow.command("run", "--check-determinism").out
    told = flow.command("run", "--check-determinism", DRIFT="elsewhere").out
    assert "3 hits executed again: 1 made other bytes" in told


def test_a_share_may_be_given_and_the_target_may_come_next(flow: Project) -> None:
    ended = flow.json("run", "--check-determinism=1%", "flow.py")
    assert ended.code == 0, ended.err
    assert len(flow.journal()) <= 3

    assert flow.json("run", "--check-determinism", "flow.py", "day=monday").code == 0


@pytest.mark.parametrize("share", ["0", "150%", "many", "-1", "nan"])
def test_what_is_no_share_is_refused(flow: Project, share: str) -> None:
    ended = flow.json("run", f"--check-determinism={share}")

    assert ended.code == 2
    assert "is no share" in ended.error["message"]


def test_what_runs_anyway_is_not_executed_twice(flow: Project) -> None:
    flow.edit("flow.py", "return 1", "return 2")

    ended = flow.json("run", "--check-determinism", "--until", "train")

    assert ended.code == 0, ended.err
    assert sorted(flow.journal()) == ["drift", "load", "train"]
    assert all("executed_again" not in stage for stage in ended.stages.values())


def test_in_worker_processes_a_stage_that_asks_the_clock_is_found(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import time
        from lineal import pipeline, stage


        @stage
        def now() -> int:
            return time.time_ns()


        @pipeline
        def flow() -> int:
            return now()
        """,
    )
    project.json("run")

    ended = project.json("run", "--check-determinism")

    assert ended.code == 4, ended.err
