"""Drills: what is deployed is reproduced now and then, and somebody is told when that is no longer possible."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from support import Project

from lineal.automation.dispatching import dispatch
from lineal.automation.schedule import Schedule
from lineal.state import Job, NewJob, State

DRILL = {"name": "drill", "cron": "@daily", "reproduce": ["prod*"]}


@pytest.fixture
def deployed(project: Project) -> Project:
    project.write(
        "lineal.toml",
        """
        pipelines = ["flow.py"]
        executor = "inline"

        [[alerts]]
        to = "command:tee told.json"
        on = ["irreproducible"]

        [[schedules]]
        name = "drill"
        cron = "@daily"
        reproduce = ["prod*"]
        """,
    )
    project.write(
        "flow.py",
        """
        from lineal import File, pipeline, stage

        @stage
        def total(numbers: File) -> int:
            return sum(int(line) for line in numbers.open())

        @pipeline
        def sums() -> int:
            return total(File("numbers.txt"))
        """,
    )
    project.write("numbers.txt", "1\n2\n")
    assert project.command("run").code == 0
    project.command("tag", "production", "sums@latest", "--deployed")
    project.command("tag", "prototype", "sums@latest")
    return project


def drill(project: Project) -> Job:
    """What becomes of the drill's job, run as the daemon runs it."""
    folder = project.root / ".lineal" / "state"
    with State(folder / "state.sqlite") as state:
        [job] = state.add(
            [
                NewJob(
                    "drill drill",
                    "2026-11-28T00:00:00+00:00",
                    datetime.now(UTC),
                    None,
                    {"reproduce": ["prod*"]},
                )
            ],
            datetime.now(UTC),
        )
        token = state.offer(job.id)
        assert token is not None
        subprocess.run(
            [sys.executable, "-m", "lineal.api.job", str(project.root), str(folder), str(job.id), token],
            cwd=project.root,
            env=project.environment({}),
            check=False,
            timeout=120,
        )
        ended = state.job(job.id)
        assert ended is not None
        return ended


def test_what_is_deployed_is_reproduced_and_nothing_else(deployed: Project) -> None:
    ended = drill(deployed)

    assert (ended.state, ended.note) == ("succeeded", "1 reproduced")


def test_somebody_is_told_of_what_can_no_longer_be_built(deployed: Project) -> None:
    for blob in (deployed.store / "blobs").rglob("*"):
        if blob.is_file() and blob.read_bytes() == b"1\n2\n":
            blob.unlink()
    deployed.write("numbers.txt", "3\n")

    ended = drill(deployed)

    assert ended.state == "failed"
    assert ended.note == "production: not_reproducible"
    waiting = list((deployed.root / ".lineal" / "outbox").glob("*.json"))
    told = [json.loads(path.read_bytes())["message"] for path in waiting] or [
        json.loads((deployed.root / "told.json").read_bytes())
    ]
    assert [message["event"] for message in told] == ["irreproducible"]


def test_a_drill_waits_until_nothing_else_runs() -> None:
    def job(number: int, origin: str, state: str) -> Job:
        now = datetime(2026, 11, 28, number, tzinfo=UTC)
        return Job(number, origin, "", "", None, {}, now, "", state, 0, None, now, None, None)  # type: ignore[arg-type]

    schedules = {
        "drill": Schedule.of(DRILL),
        "nightly": Schedule.of({"name": "nightly", "cron": "@daily"}),
    }
    waits, runs = job(1, "drill drill", "queued"), job(2, "schedule nightly", "running")
    nightly = job(3, "schedule nightly", "queued")

    assert dispatch([waits], [runs], schedules, {}, most=4).start == ()
    assert dispatch([waits, nightly], [], schedules, {}, most=4).start == (nightly,)
    assert dispatch([waits], [], schedules, {}, most=4).start == (waits,)
