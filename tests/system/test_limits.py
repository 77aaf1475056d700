"""Concurrency groups: within a run, and over the runs of projects that share a store."""

from __future__ import annotations

from pathlib import Path

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


def test_no_more_stages_of_a_group_run_at_once_than_it_allows(project: Project) -> None:
    project.keep_journal()
    project.write(
        "flow.py",
        """
        import time

        from journal import note
        from lineal import pipeline, stage


        @stage(limit="warehouse:2")
        def query(number: int) -> int:
            note("+")
            time.sleep(0.1)
            note("-")
            return number


        @pipeline
        def flow() -> None:
            for number in range(8):
                query(number)
        """,
    )

    run = project.json("run", "-j", "6")

    assert run.document["state"] == "succeeded"
    counts = [0]
    for word in project.journal():
        counts.append(counts[-1] + (1 if word == "+" else -1))
    assert len(counts) == 17
    assert max(counts) <= 2


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
