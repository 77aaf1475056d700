"""Where something will be executed for sure, the process that makes the workers starts while the engine still gets ready."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import Project

# Who opens one end of a named pipe waits for whoever opens the other: had the two to come one after the other, they
# would wait for ever.
MEETING = """
import os
import sys


def meet(here):
    place = os.environ.get("ZYGOTE_IS_MET_AT")
    is_zygote = "lineal.executors.zygote" in sys.orig_argv
    if place and here == (place if is_zygote else "import"):
        with open(os.environ["MEETING"], "w" if is_zygote else "r"):
            pass
"""
FLOW = """
from lineal import pipeline, stage
from meeting import meet

meet("import")


@stage
def one() -> int:
    return 1


@pipeline
def flow() -> int:
    return one()
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.write("lineal.toml", "")
    project.write("flow.py", FLOW)
    project.write("meeting.py", MEETING)
    project.write(
        "start/sitecustomize.py", "from meeting import meet\nmeet('start')"
    )  # Python runs it first of all
    os.mkfifo(tmp_path / "meeting")
    project.variables["MEETING"] = str(tmp_path / "meeting")
    return project


def test_after_an_edit_of_a_stage_both_import_the_project_at_the_same_time(project: Project) -> None:
    assert project.json("run").code == 0
    project.edit("flow.py", "return 1", "return 2")

    assert project.json("run", ZYGOTE_IS_MET_AT="import").code == 0


def test_in_a_new_project_it_starts_before_the_engine_has_imported_that(project: Project) -> None:
    assert project.json("run", **met_at_its_start(project)).code == 0


def test_where_stages_are_forced_it_starts_before_the_engine_has_imported_the_project(
    project: Project,
) -> None:
    assert project.json("run").code == 0

    assert project.json("run", "--force", "one", **met_at_its_start(project)).code == 0


def met_at_its_start(project: Project) -> dict[str, str]:
    return {"ZYGOTE_IS_MET_AT": "start", "PYTHONPATH": f"{project.root / 'start'}:{project.root}"}
