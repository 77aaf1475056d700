"""Concurrency groups: within a run, and over the runs of projects that share a store."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Project

QUERIES = """
from gates import wait_at
from journal import note
from lineal import pipeline, stage


@stage(limit="warehouse:1")
def query() -> int:
    note("query")
    wait_at("in-query")
    return 1


@stage
def beside() -> int:
    return 2


@pipeline
def flow() -> None:
    query(), beside()
"""


MANY = """
import os
import time

from journal import note
from lineal import pipeline, stage


@stage(limit="warehouse:2")
def query(number: int, who: str) -> int:
    note("+")
    time.sleep(0.1)
    note("-")
    return number


@pipeline
def flow(who: str = "ann") -> None:
    for number in range(4):
        query(number, who)
"""


def at_once(journal: list[str]) -> int:
    """How many stages ran at once at most, by what they noted when they began and ended."""
    counts = [0]
    for word in journal:
        counts.append(counts[-1] + (1 if word == "+" else -1))
    return max(counts)


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("", "limits = { '*' = 2 }"),
        ("(limit='warehouse:2')", ""),
        ("(limit='warehouse')", "limits = { warehouse = 2, '*' = 5 }"),
    ],
)
def test_no_more_stages_run_at_once_than_their_groups_allow(
    project: Project, options: str, settings: str
) -> None:
    project.keep_journal()
    project.write("lineal.toml", settings)
    project.write("flow.py", MANY.replace('(limit="warehouse:2")', options))

    run = project.json("run", "-j", "6")

    assert run.document["state"] == "succeeded"
    journal = project.journal()
    assert len(journal) == 8
    assert at_once(journal) <= 2


def test_a_group_whose_size_nobody_says_is_an_error_before_anything_runs(project: Project) -> None:
    project.keep_journal()
    project.write("flow.py", MANY.replace("warehouse:2", "warehouse"))

    run = project.json("run")

    assert run.code == 2
    assert run.error["message"] == (
        "`query` is limited by the group warehouse, and nothing says how many places that has"
    )
    assert project.journal() == []


@pytest.mark.parametrize("where", ["local", "s3"])
def test_runs_that_use_one_store_share_a_group(
    project: Project, tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    project.keep_journal()
    project.write("flow.py", MANY)
    project.variables["LINEAL_STORE"] = (
        str(tmp_path / "store") if where == "local" else f"s3://{request.getfixturevalue('bucket')}/team"
    )
    other = project.copied(tmp_path / "elsewhere" / "project")
    other.variables["JOURNAL"] = project.variables["JOURNAL"]

    first = project.start("run", "who=ann", "-j", "3", "--json")
    second = other.start("run", "who=bob", "-j", "3", "--json")

    assert project.ended(first).code == 0
    assert other.ended(second).code == 0
    journal = project.journal()
    assert len(journal) == 16
    assert at_once(journal) <= 2


def test_runs_of_two_projects_with_one_store_share_a_group_also_when_one_is_killed(
    project: Project, tmp_path: Path
) -> None:
    project.keep_journal()
    project.variables["LINEAL_STORE"] = str(tmp_path / "store")
    gate = project.gate("in-query")
    project.write("flow.py", QUERIES)
    other = project.copied(tmp_path / "elsewhere" / "project")
    other.variables = dict(project.variables)
    other.edit("flow.py", "return 1", "return 11")
    other.edit("flow.py", "return 2", "return 22")  # else it may be a hit

    first = project.start("run")
    gate.meet()
    second = other.start("run", "--json")
    assert second.stderr is not None
    line = second.stderr.readline()
    while not ("beside" in line and "succeeded" in line) and line:
        line = second.stderr.readline()
    so_far = project.journal()
    gate.open()
    first.kill()
    first.communicate()

    assert so_far == ["query"]
    assert other.ended(second).words("state") == {"query": "succeeded", "beside": "succeeded"}
    assert project.journal() == ["query"]


def test_a_place_of_a_machine_that_is_gone_is_free_after_the_lease(
    project: Project, tmp_path: Path, bucket: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "sitecustomize.py").write_text(
        "import lineal_store.signs as signs\n"
        "signs.BEAT_SECONDS, signs.EXPIRES_SECONDS = 0.1, 2.0\n"
        "signs._machine = lambda: ''  # nobody sees the others' processes\n"
    )
    project.variables |= {"LINEAL_STORE": f"s3://{bucket}/team", "PYTHONPATH": str(elsewhere)}
    project.keep_journal()
    gate = project.gate("in-query")
    project.write("flow.py", QUERIES)
    first = project.start("run")
    gate.meet()
    gate.open()
    first.kill()
    first.communicate()
    project.edit("flow.py", "return 1", "return 11")

    assert project.json("run").words("state") == {"query": "succeeded", "beside": "succeeded"}
    assert project.journal() == ["query", "query"]
