"""The daemon, as a process among others: what is due is run once, whoever is killed and whatever is edited."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from serving import Serving, end_what_is_left, jobs, process_of
from support import Project
from waiting import wait_until

from lineal.api import open_project
from lineal.graph.records import RunRecord, unseal_record
from lineal.state import Job

FLOW = """
from datetime import datetime

from gates import wait_at
from journal import note
from lineal import pipeline, stage


@stage(env=["JOURNAL"])
def first(run_date: datetime) -> str:
    note(f"first {run_date.isoformat()}")
    return "first"


@stage(env=["GATES", "JOURNAL"])
def second(before: str, run_date: datetime) -> str:
    note(f"second {run_date.isoformat()}")
    wait_at("in-second")
    return before


@pipeline
def flow(run_date: datetime) -> str:
    return second(first(run_date), run_date)
"""
OFTEN = """
executor = "inline"

[[schedules]]
name = "often"
every = "1s"
when_running = "skip"
"""
Serve = Callable[..., Serving]


def made(root: Path) -> Project:
    project = Project(root)
    project.write("lineal.toml", OFTEN)
    project.write("flow.py", FLOW)
    project.keep_journal()
    return project


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[Project]:
    project = made(tmp_path / "project")
    yield project
    end_what_is_left(project)


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Serving] = []

    def start(*projects: Project, options: tuple[str, ...] = (), **variables: str) -> Serving:
        started.append(Serving(*projects, options=options, **variables))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def run_of(project: Project, date: object) -> Job:
    (job,) = [job for job in jobs(project) if job.logical_date == date]
    return job


def begun_at(project: Project, job: Job) -> list[str]:
    """The stages that were executed for the date of that job, in order."""
    path = Path(project.variables["JOURNAL"])
    words = [line.split() for line in path.read_text().splitlines()]
    return [stage for stage, date in words if date == job.logical_date]


def held(project: Project, daemon: Serving) -> Job:
    """The job that is being run, which stands at the gate."""
    line = daemon.until("the run begins")
    return run_of(project, line["logical_date"])


def succeeded(project: Project, job: Job) -> bool:
    return run_of(project, job.logical_date).state == "succeeded"


def test_what_is_due_is_run_for_its_date(flow: Project, serve: Serve) -> None:
    flow.gate("in-second").open()
    daemon = serve(flow)
    told = daemon.until("succeeded")

    assert daemon.end() == {"going_on": []}
    job = run_of(flow, told["logical_date"])
    assert (job.state, job.run_id, job.starts) == ("succeeded", told["run_id"], 1)
    assert begun_at(flow, job) == ["first", "second"]
    files = open_project(flow.root).store.runs.find(told["run_id"])
    assert files is not None and files.finished is not None
    record = unseal_record(files.finished, RunRecord)
    assert (record.state, record.trigger) == ("succeeded", "schedule often")
    assert flow.json("show", record.run_id).document["parameters"]["run_date"] == str(
        datetime.fromisoformat(job.logical_date)
    )


def test_each_line_of_the_log_is_a_document_that_says_what_it_is_about(flow: Project, serve: Serve) -> None:
    flow.gate("in-second").open()
    daemon = serve(flow)
    told = daemon.until("succeeded")
    daemon.end()

    assert {line["level"] for line in daemon.lines} <= {"info", "warning", "error"}
    of_job = [line for line in daemon.lines if line.get("job") == told["job"]]
    assert [line["message"] for line in of_job] == ["due", "starting", "the run begins", "succeeded"]
    assert {(line["schedule"], line["logical_date"]) for line in of_job} == {("often", told["logical_date"])}
    assert [line.get("run_id") for line in of_job[2:]] == [told["run_id"]] * 2


def test_a_run_survives_the_daemon_and_is_the_next_ones(flow: Project, serve: Serve) -> None:
    gate = flow.gate("in-second")
    daemon = serve(flow)
    job = held(flow, daemon)
    gate.meet()
    daemon.kill()
    process = process_of(flow, job)

    following = serve(flow)
    following.until("skipped")  # for what was due meanwhile: it knows that something runs
    assert process_of(flow, job) == process
    gate.let_through()

    following.until("succeeded", logical_date=job.logical_date)
    following.until("succeeded")
    following.end()
    assert begun_at(flow, job) == ["first", "second"]
    assert set(Counter(each.logical_date for each in jobs(flow)).values()) == {1}


def test_a_job_whose_process_is_killed_is_taken_up_again_where_it_was(flow: Project, serve: Serve) -> None:
    gate = flow.gate("in-second")
    flow.edit("lineal.toml", "inline", "process")
    daemon = serve(flow)
    job = held(flow, daemon)
    gate.meet()
    process = process_of(flow, job)
    assert process
    os.kill(process, signal.SIGKILL)
    daemon.until("its process ended before the run did", job=job.id, state="queued")
    gate.let_through()

    told = daemon.until("succeeded", job=job.id)
    daemon.end()
    assert begun_at(flow, job) == ["first", "second", "second"]
    assert run_of(flow, job.logical_date).starts == 2
    stages = flow.json("show", told["run_id"]).words("cache")
    assert stages == {"first": "hit", "second": "miss"}


def test_a_second_daemon_stands_by_and_takes_over(flow: Project, serve: Serve) -> None:
    flow.gate("in-second").open()
    first = serve(flow)
    first.until("succeeded")
    second = serve(flow)
    assert second.until("another daemon looks after this project")["process"] == first.process.pid
    first.until("succeeded")
    first.kill()

    second.until("looking after 1 schedules: often")
    second.until("succeeded")
    second.end()
    assert set(Counter(each.logical_date for each in jobs(flow)).values()) == {1}
    assert all(begun_at(flow, job).count("first") == 1 for job in jobs(flow) if job.state == "succeeded")


def test_sigterm_leaves_runs_going_on(flow: Project, serve: Serve) -> None:
    gate = flow.gate("in-second")
    daemon = serve(flow)
    job = held(flow, daemon)
    gate.meet()

    (left,) = daemon.end()["going_on"]
    assert (left["origin"], left["logical_date"]) == ("schedule often", job.logical_date)
    gate.let_through()
    wait_until(lambda: succeeded(flow, job))
    assert begun_at(flow, job) == ["first", "second"]


def test_with_drain_it_waits_for_them_and_begins_nothing(flow: Project, serve: Serve) -> None:
    gate = flow.gate("in-second")
    daemon = serve(flow, options=("--drain",))
    job = held(flow, daemon)
    gate.meet()
    daemon.tell(signal.SIGTERM)
    daemon.until("waiting for runs to end")
    known = jobs(flow)
    gate.let_through()

    assert daemon.ended() == {"going_on": []}
    assert succeeded(flow, job)
    assert [each.id for each in jobs(flow)] == [each.id for each in known]


def test_a_second_signal_ends_the_waiting(flow: Project, serve: Serve) -> None:
    gate = flow.gate("in-second")
    daemon = serve(flow, options=("--drain",))
    job = held(flow, daemon)
    gate.meet()
    daemon.tell(signal.SIGTERM)
    daemon.until("waiting for runs to end")

    assert [left["logical_date"] for left in daemon.end()["going_on"]] == [job.logical_date]


def test_a_configuration_that_is_edited_counts(flow: Project, serve: Serve) -> None:
    flow.gate("in-second").open()
    daemon = serve(flow)
    daemon.until("looking after 1 schedules: often")
    flow.write("lineal.toml", OFTEN.replace("often", "other"))
    daemon.until("looking after 1 schedules: other")
    daemon.until("succeeded", schedule="other")
    daemon.tell(signal.SIGHUP)  # also where no file has changed
    daemon.until("looking after 1 schedules: other")
    daemon.end()


def test_with_a_broken_configuration_what_is_due_waits(flow: Project, serve: Serve) -> None:
    """A run reads the configuration too: each would fail, and its date be over."""
    flow.gate("in-second").open()
    flow.edit("lineal.toml", "skip", "queue")
    daemon = serve(flow)
    daemon.until("succeeded")
    whole = (flow.root / "lineal.toml").read_text()
    flow.write("lineal.toml", whole.replace('"1s"', '"soon"'))
    told = daemon.until("the configuration cannot be used, and no run begins until it can")
    assert (told["level"], "'soon' is no duration" in told["message"]) == ("error", True)
    waiting = daemon.until("due")
    daemon.until("due")
    assert run_of(flow, waiting["logical_date"]).state == "queued"

    flow.write("lineal.toml", whole)
    daemon.until("succeeded", logical_date=waiting["logical_date"])
    daemon.end()


def test_whoever_takes_over_goes_by_the_configuration_that_there_is_then(flow: Project, serve: Serve) -> None:
    flow.gate("in-second").open()
    first = serve(flow)
    first.until("succeeded")
    second = serve(flow)
    second.until("another daemon looks after this project")
    flow.write("lineal.toml", OFTEN.replace("often", "other"))
    first.until("looking after 1 schedules: other")
    first.kill()

    second.until("succeeded", schedule="other")
    second.end()
    looked_after = [line["message"] for line in second.lines if line["message"].startswith("looking")]
    assert looked_after == ["looking after 1 schedules: other"]


def test_one_daemon_looks_after_several_projects(flow: Project, serve: Serve, tmp_path: Path) -> None:
    other = made(tmp_path / "other")
    flow.gate("in-second").open()
    other.write("lineal.toml", OFTEN.replace("often", "other"))
    other.write("gates.py", (flow.root / "gates.py").read_text())
    daemon = serve(flow, other)
    found = {daemon.until("succeeded")["schedule"]}
    while found != {"often", "other"}:
        found.add(daemon.until("succeeded")["schedule"])
    daemon.end()

    assert {job.origin for job in jobs(flow)} == {"schedule often"}
    assert {job.origin for job in jobs(other)} == {"schedule other"}


def test_a_job_whose_code_cannot_be_imported_fails_with_its_reason(flow: Project, serve: Serve) -> None:
    flow.write("flow.py", "import no_such_library\n" + FLOW)
    daemon = serve(flow)
    told = daemon.until("failed", schedule="often")
    daemon.end()

    assert (told["level"], "no_such_library" in told["note"]) == ("error", True)
    job = run_of(flow, told["logical_date"])
    assert (job.state, job.run_id, job.starts, job.note) == ("failed", None, 1, told["note"])
