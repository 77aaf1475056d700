"""Running a part of a pipeline, again, elsewhere, or not at all."""

from __future__ import annotations

import os
import re

import pytest
from support import Project

FLOW = """
from journal import note
from lineal import pipeline, stage, when


@stage
def load(day: str) -> int:
    note("load")
    return 1


@stage
def clean(number: int) -> int:
    note("clean")
    return number + 1


@stage
def train(number: int, depth: int) -> dict[str, float]:
    note("train")
    return {"score": number / depth}


@stage
def publish(scores: dict[str, float]) -> str:
    note("publish")
    return "published"


@stage
def report(number: int) -> str:
    note("report")
    return "report"


@pipeline
def flow(day: str = "monday", depth: int = 2) -> dict[str, float]:
    number = clean(load(day))
    scores = train(number, depth)
    with when(scores["score"] >= 0.5):
        publish(scores)
    report(number)
    return scores
"""


@pytest.fixture
def flow(project: Project) -> Project:
    project.keep_journal()
    project.write("flow.py", FLOW)
    return project


def test_a_dry_run_says_what_would_run_and_changes_nothing(flow: Project) -> None:
    planned = flow.json("run", "-n")
    listed = flow.json("status").document

    assert planned.code == 0
    assert planned.document["run_id"] is None
    assert planned.words("cache", "reason") == {
        "load": ("miss", "new"),
        "clean": ("unknown", "upstream"),
        "train": ("unknown", "upstream"),
        "publish": ("unknown", "upstream"),
        "report": ("unknown", "upstream"),
    }
    assert [stage["id"] for stage in listed["stages"]] == list(planned.stages)
    assert flow.journal() == []
    assert not flow.store.exists()


def test_a_forced_stage_runs_and_its_descendants_follow_by_content(flow: Project) -> None:
    flow.json("run")
    flow.journal()

    forced = flow.json("run", "--force", "clean")

    assert forced.words("cache", "reason")["clean"] == ("miss", "forced")
    assert flow.journal() == ["clean"]
    assert sorted(flow.json("run", "--force", "*").words("reason").values()) == ["forced"] * 5


def test_until_runs_a_stage_and_what_it_needs(flow: Project) -> None:
    part = flow.json("run", "--until", "train")

    assert part.code == 0
    assert flow.journal() == ["load", "clean", "train"]
    assert part.words("state") == {
        "load": "succeeded",
        "clean": "succeeded",
        "train": "succeeded",
        "publish": "skipped",
        "report": "skipped",
    }
    assert sorted(flow.json("run", "--until", "re*").words("state").values()).count("succeeded") == 3


def test_only_runs_a_stage_alone_or_says_what_is_missing(flow: Project) -> None:
    refused = flow.json("run", "--only", "report")
    assert (refused.code, flow.journal()) == (2, [])
    assert "load" in refused.error["message"]
    assert "--until" in refused.error["hint"]
    flow.json("run", "--until", "clean")
    flow.journal()

    alone = flow.json("run", "--only", "report")

    assert alone.code == 0
    assert flow.journal() == ["report"]


def test_a_condition_decides_on_what_was_stored(flow: Project) -> None:
    high = flow.json("run")
    low = flow.json("run", "depth=8")

    assert high.words("state")["publish"] == "succeeded"
    assert low.words("state", "cache", "reason")["publish"] == ("skipped", None, "condition_false")
    assert low.code == 0
    assert flow.json("status", "depth=8", "--exit-code").code == 0


@pytest.mark.parametrize("executor", ["process", "inline"])
def test_a_condition_may_look_into_what_was_made_a_moment_ago(project: Project, executor: str) -> None:
    project.write(
        "flow.py",
        """
        import numpy as np
        from lineal import pipeline, stage, when


        @stage
        def measure() -> np.ndarray:
            return np.array([3.0, 0.0])


        @stage
        def go_on() -> int:
            return 1


        @pipeline
        def flow() -> None:
            found = measure()
            with when(found[0] > 1):
                go_on.options(name="high")()
            with when(found[1] > 1):
                go_on.options(name="low")()
        """,
    )

    run = project.json("run", "--executor", executor)

    assert run.words("state") == {"measure": "succeeded", "high": "succeeded", "low": "skipped"}


def test_failing_fast_starts_nothing_more_and_the_next_run_does_the_rest(flow: Project) -> None:
    flow.edit("flow.py", '{"score": number / depth}', '{"score": number / (depth - depth)}')

    fast = flow.json("run", "--fail-fast", "-j", "1")
    assert fast.code == 1
    assert fast.words("state") == {
        "load": "succeeded",
        "clean": "succeeded",
        "train": "failed",
        "publish": "upstream_failed",
        "report": "cancelled",
    }
    assert flow.journal() == ["load", "clean", "train"]
    slow = flow.json("run")

    assert slow.words("state")["report"] == "succeeded"
    assert sorted(flow.journal()) == ["report", "train"]


def test_both_executors_make_the_same_bytes_under_the_same_keys(flow: Project) -> None:
    inline = flow.json("run", "--executor", "inline")
    forced = flow.json("run", "--force", "*")

    assert inline.code == forced.code == 0
    assert inline.words("action_key", "outputs") == forced.words("action_key", "outputs")


def test_a_run_is_repeated_with_its_parameters_and_todays_code(flow: Project) -> None:
    first = flow.json("run", "day=friday", "depth=1").document["run_id"]
    flow.json("run")
    flow.journal()
    flow.edit("flow.py", 'return "report"', 'return "better report"')

    again = flow.json("rerun", first)

    assert again.document["parameters"] == {"day": "friday", "depth": 1}
    assert flow.journal() == ["report"]


def test_parameters_come_from_a_file_and_the_command_line_wins(flow: Project) -> None:
    flow.write("nightly.toml", 'day = "sunday"\ndepth = 4\n')
    flow.write("nightly.json", '{"day": "sunday", "depth": 4}')

    toml = flow.json("run", "--params", "nightly.toml", "depth=1")
    asjson = flow.json("status", "--params", "nightly.json", "depth=1")

    assert toml.document["parameters"] == {"day": "sunday", "depth": 1}
    assert set(asjson.words("cache").values()) == {"hit"}


def test_branches_run_side_by_side(project: Project) -> None:
    """Each of two stages waits for the other: one at a time they would never end."""
    project.write(
        "flow.py",
        """
        import os

        from lineal import pipeline, stage


        @stage(timeout="60s")
        def left(pipe: str) -> str:
            with open(pipe, "w") as there:
                there.write("from left")
            return "left"


        @stage(timeout="60s")
        def right(pipe: str) -> str:
            with open(pipe) as here:
                return here.read()


        @pipeline
        def flow(pipe: str) -> str:
            left(pipe)
            return right(pipe)
        """,
    )
    os.mkfifo(project.root / "pipe")

    run = project.json("run", "-j", "2", f"pipe={project.root / 'pipe'}")

    assert run.code == 0
    assert project.value(run.document["outputs"]["result"]) == b'"from left"'


def test_who_forced_a_stage_and_why_is_told_afterwards(flow: Project) -> None:
    flow.json("run")
    forced = flow.json("run", "--force", "clean", "--why", "the sensor was broken", LOGNAME="ann")

    past = flow.json("why", forced.document["run_id"], "clean").document["stages"][0]
    now = flow.json("why", "flow.py", "clean").document["stages"][0]

    assert (past["reason"], now["cache"]) == ("forced", "hit")
    for notes in (past["notes"], now["notes"]):
        assert any(
            re.search(r"was retired \S+ \S+ by ann: forced \(the sensor was broken\)", note) for note in notes
        )


def test_a_reason_without_anything_forced_is_refused(flow: Project) -> None:
    refused = flow.json("run", "--why", "the sensor was broken")

    assert refused.code == 2
    assert refused.error["message"] == "--why is given, and nothing is forced"
