"""Projects in folders of their own: an empty one, and one whose model is to be rebuilt."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    (root / "lineal.toml").write_text("")
    return Project(root)


FLOW = """
    from typing import NamedTuple

    from lineal import File, Metrics, output, pipeline, stage

    from helper import scale


    class Trained(NamedTuple):
        model: File
        metrics: Metrics


    @stage
    def load(source: File) -> list[int]:
        print("loading")
        return [int(word) for word in source.path.read_text().split()]


    @stage
    def train(numbers: list[int], factor: int) -> Trained:
        path = output("model.bin")
        path.write_text(repr([scale(number, factor) for number in numbers]))
        return Trained(File(path), {"total": float(sum(numbers))})


    @pipeline
    def flow(source: str = "raw.txt", factor: int = 2) -> Trained:
        return train(load(File(source)), factor)
"""
HELPER = "def scale(number, factor):\n    return number * factor\n"


@pytest.fixture(scope="module")
def flow_that_ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("flow") / "project")
    project.write("lineal.toml", "")
    project.write("flow.py", FLOW)
    project.write("helper.py", HELPER)
    project.write("raw.txt", "1 2 3")
    assert project.command("run").code == 0
    return project


@pytest.fixture
def flow(flow_that_ran: Project, tmp_path: Path) -> Project:
    """A project that has run once, and made a model."""
    return flow_that_ran.copied(tmp_path / "project")
