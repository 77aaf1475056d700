"""A team's results are hits for those who read through to its store, and nobody writes there by running."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import Project

from lineal_store import open_store

FLOW = """
import journal
from lineal import Directory, File, output, pipeline, stage


@stage
def numbers(source: File) -> list[int]:
    journal.note("numbers")
    return [int(word) for word in source.open().read().split()]


@stage
def pack(numbers: list[int]) -> Directory:
    journal.note("pack")
    folder = output("pack")
    folder.mkdir()
    (folder / "sum.txt").write_text(str(sum(numbers)))
    return Directory(folder)


@stage
def report(pack: Directory) -> bytes:
    journal.note("report")
    return b"sum: " + b"".join(path.read_bytes() for path in pack.files())


@pipeline
def flow() -> tuple[Directory, bytes]:
    packed = pack(numbers(File("raw.txt")))
    return packed, report(packed)
"""


@pytest.fixture
def team(tmp_path: Path) -> Project:
    (tmp_path / "team").mkdir()
    project = Project(tmp_path / "team" / "project")
    project.write("flow.py", FLOW)
    project.write("raw.txt", "1 2 3")
    project.write("lineal.toml", "")
    project.keep_journal()
    assert project.json("run").code == 0
    assert project.journal() == ["numbers", "pack", "report"]
    return project


@pytest.fixture
def mine(tmp_path: Path, team: Project) -> Project:
    """A colleague's copy, which reads through to the team's store."""
    (tmp_path / "mine").mkdir()
    project = team.copied(tmp_path / "mine" / "project")
    shutil.rmtree(project.root / ".lineal")
    project.write("lineal.toml", f'upstream = ["{team.store}"]\n')
    return project


def listed(project: Project) -> list[tuple[str, int]]:
    return [(info.name, info.size_bytes) for info in open_store(project.store).backend.list("")]


def test_what_the_team_has_computed_is_a_hit(mine: Project, team: Project) -> None:
    before = listed(team)

    preview, run = mine.json("status"), mine.json("run")

    for ended in (preview, run):
        assert set(ended.words("cache").values()) == {"hit"}
    assert mine.journal() == []
    assert listed(team) == before


def test_a_preview_files_nothing(mine: Project) -> None:
    mine.json("status")

    assert not mine.store.exists()


def test_what_runs_here_reads_the_teams_results_and_keeps_what_it_read(mine: Project, team: Project) -> None:
    mine.edit("flow.py", 'journal.note("report")', 'journal.note("my report")')
    before = listed(team)

    run = mine.json("run")

    assert run.words("cache") == {"numbers": "hit", "pack": "hit", "report": "miss"}
    assert mine.journal() == ["my report"]
    assert listed(team) == before
    shutil.move(team.root.parent, team.root.parent.with_name("gone"))
    mine.write("lineal.toml", "")
    assert mine.json("store", "verify", "--read-data").document["bad"] == [
        bad
        for bad in mine.json("store", "verify", "--read-data").document["bad"]
        if bad["problem"] == "is missing"
    ]


def test_lineage_reaches_through(mine: Project) -> None:
    run = mine.json("run").document
    report = run["outputs"]["1"] if "1" in run["outputs"] else list(run["outputs"].values())[-1]

    trace = mine.json("trace", report).document

    assert {node["name"] for node in trace["nodes"] if node["kind"] == "action"} == {
        "numbers",
        "pack",
        "report",
    }
    assert mine.json("get", report, "-o", "report.bin").code == 0
    assert (mine.root / "report.bin").read_bytes() == b"sum: 6"


def test_what_has_been_lost_upstream_is_made_here(mine: Project, team: Project) -> None:
    mine.json("run")
    shutil.rmtree(team.store / "blobs")

    run = mine.json("run")

    assert run.document["state"] == "succeeded", run.out
    assert run.words("cache", "reason")["report"] == ("miss", "lost")
    assert "report" in mine.journal()
    assert mine.json("run").words("cache") == dict.fromkeys(run.stages, "hit")


def test_a_result_retired_here_is_not_taken_from_upstream_again(mine: Project) -> None:
    mine.json("run")
    mine.json("run", "--force", "report")
    assert mine.journal() == ["report"]

    assert set(mine.json("run").words("cache").values()) == {"hit"}


def test_a_store_upstream_that_is_not_there_is_an_error_before_anything_runs(mine: Project) -> None:
    mine.write("lineal.toml", 'upstream = ["/nowhere/at/all"]\n')

    run = mine.json("run")

    assert run.code == 5
    assert "/nowhere/at/all" in run.error["message"]
    assert run.error["hint"]
    assert mine.journal() == []
