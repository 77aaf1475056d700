"""What `status` advises from what earlier runs took."""

from __future__ import annotations

import pytest
from support import Project

FLOW = """
from lineal import pipeline, stage


@stage
def load(day: int) -> int:
    return day


@stage(timeout="2h")
def train(rows: int) -> int:
    return rows


@pipeline
def flow(day: int = 0) -> int:
    return train(load(day))
"""
ADVICE = 'one stage would be stopped only after its default timeout of 24 h; twice its usual time: `load` timeout="1m"'


@pytest.fixture
def flow(project: Project) -> Project:
    project.write("flow.py", FLOW)
    for day in range(3):
        assert project.json("run", f"day={day}").document["warnings"] == []
    return project


def test_a_stage_that_would_run_with_the_default_timeout_is_named_once_it_is_known_what_it_takes(
    flow: Project,
) -> None:
    for asked in (["status", "day=9"], ["run", "-n", "day=9"]):
        assert flow.json(*asked).document["warnings"] == [ADVICE]
    assert f"warning: {ADVICE}" in flow.command("status", "day=9").out


def test_what_would_not_run_is_not_named(flow: Project) -> None:
    assert flow.json("status", "day=2").document["warnings"] == []


def test_a_timeout_that_is_set_ends_it(flow: Project) -> None:
    flow.edit("flow.py", "@stage\ndef load", '@stage(timeout="1m")\ndef load')

    assert ADVICE not in flow.json("status", "day=9").document["warnings"]


def test_damaged_history_keeps_nobody_from_asking(flow: Project) -> None:
    for file in (flow.store / "runs").rglob("*"):
        if file.is_file():
            file.chmod(0o600)
            file.write_bytes(b"damaged")

    assert flow.json("status", "day=9").document["warnings"] == []


def test_stages_that_take_longer_for_their_data_than_for_their_work_are_named(flow: Project) -> None:
    assert "than the work itself" not in flow.command("status", "day=9").out  # it comes to next to nothing

    folder = flow.root.parent / "patch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import lineal.graph.timing\nlineal.graph.timing._LEAST_OVERHEAD_SECONDS = 0.0\n"
    )
    flow.variables["PYTHONPATH"] = str(folder)
    told = flow.json("status", "day=9").document["warnings"][-1]

    assert told.startswith("to take data in and hand it on takes longer than the work itself: ")
    assert "`load` 0.0 s beside 0.0 s" in told
    assert "`train`" in told
