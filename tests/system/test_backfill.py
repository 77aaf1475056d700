"""A pipeline for many dates: each once, whatever is killed, and what was done before are hits."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from support import Project
from waiting import wait_until

PIPELINE = """
    import os
    import time
    from datetime import date
    from pathlib import Path

    from lineal import pipeline, stage


    @stage(reads=["gate"])
    def load(run_date: date, rate: float) -> str:
        with open(os.environ["JOURNAL"], "a") as journal:
            journal.write(f"{run_date} {rate}\\n")
        while Path("gate").exists():
            time.sleep(0.01)
        if Path("broken").exists() and run_date.day == 2:
            raise RuntimeError("no data for that day")
        return f"{run_date} {rate}"


    @pipeline
    def daily(run_date: date, rate: float = 0.5) -> str:
        return load(run_date, rate)
"""


@pytest.fixture
def daily(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.write("pipe.py", PIPELINE)
    project.write(
        "lineal.toml",
        """
        pipelines = ["pipe.py:daily"]
        executor = "inline"

        [[schedules]]
        name = "weekly"
        pipeline = "pipe.py:daily"
        cron = "30 2 * * mon"
        logical_date_offset = "-1d"
        parameters = { rate = 0.1 }

        [[schedules]]
        name = "on-data"
        on = { path = "raw/*" }
        """,
    )
    project.variables["JOURNAL"] = str(tmp_path / "journal.txt")
    return project


def journal(project: Project) -> Counter[str]:
    path = Path(project.variables["JOURNAL"])
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()


def dates(document: dict[str, object]) -> list[str]:
    return [run["logical_date"] for run in document["runs"]]  # type: ignore[attr-defined]


def test_each_date_of_a_range_is_run_and_the_second_time_all_are_hits(daily: Project) -> None:
    range_of = ("--from", "2013-01-01", "--to", "2013-01-03", "--at-once", "2")
    planned = daily.json("backfill", *range_of, "-n").document
    assert (planned["planned"], planned["hits"], planned["stages"]) == (3, 0, 3)
    assert journal(daily) == Counter()

    first = daily.json("backfill", *range_of)
    assert first.code == 0
    assert [(run["logical_date"], run["state"]) for run in first.document["runs"]] == [
        (f"2013-01-0{day}", "succeeded") for day in (1, 2, 3)
    ]
    assert journal(daily) == {f"2013-01-0{day} 0.5": 1 for day in (1, 2, 3)}
    [run, *_] = daily.json("runs").document["runs"]
    assert run["logical_date"] == "2013-01-03"

    second = daily.json("backfill", *range_of).document
    assert (second["planned"], second["hits"], second["stages"]) == (3, 3, 3)
    assert journal(daily).total() == 3


def test_only_what_is_missing_or_has_failed_is_run(daily: Project) -> None:
    daily.write("broken", "")
    first = daily.json("backfill", "--from", "2013-01-01", "--to", "2013-01-02")
    assert first.code == 1
    assert [run["state"] for run in first.document["runs"]] == ["succeeded", "failed"]
    (daily.root / "broken").unlink()

    missing = daily.json("backfill", "--from", "2013-01-01", "--to", "2013-01-03", "--missing", "-n").document
    failed = daily.json("backfill", "--from", "2013-01-01", "--to", "2013-01-03", "--failed").document
    assert dates(missing) == ["2013-01-02", "2013-01-03"]
    assert dates(failed) == ["2013-01-02"]
    assert failed["state"] == "succeeded"


def test_reprocessing_executes_every_stage_again(daily: Project) -> None:
    daily.json("backfill", "--dates", "2013-01-01")
    daily.json("backfill", "--dates", "2013-01-01", "--reprocess")

    assert journal(daily) == {"2013-01-01 0.5": 2}


def test_a_sweep_runs_each_combination_for_each_date(daily: Project) -> None:
    done = daily.json(
        "backfill", "--dates", "2013-01-02,2013-01-01", "--sweep", "rate=[0.1,0.2]", "--newest-first"
    )

    assert [(run["logical_date"], run["parameters"]["rate"]) for run in done.document["runs"]] == [
        ("2013-01-02", "0.2"),
        ("2013-01-02", "0.1"),
        ("2013-01-01", "0.2"),
        ("2013-01-01", "0.1"),
    ]
    assert journal(daily).total() == 4


def test_the_dates_and_parameters_of_a_schedule(daily: Project) -> None:
    done = daily.json(
        "backfill", "--schedule", "weekly", "--from", "2026-03-01", "--to", "2026-03-15"
    ).document

    assert dates(done) == [
        "2026-03-01T02:30:00+00:00",
        "2026-03-08T02:30:00+00:00",
        "2026-03-15T02:30:00+00:00",
    ]
    assert journal(daily) == {f"2026-03-{day} 0.1": 1 for day in ("01", "08", "15")}


def test_one_that_is_killed_goes_on_and_no_date_is_run_twice(daily: Project) -> None:
    gate = daily.write("gate", "")
    words = ("backfill", "--from", "2013-01-01", "--to", "2013-01-06", "--at-once", "2")
    started = daily.start(*words)
    wait_until(lambda: journal(daily).total() == 2)
    started.kill()
    started.wait(60)  # not for its output: what it has started goes on

    gate.unlink()
    done = daily.json(*words).document

    assert done["state"] == "succeeded"
    assert journal(daily) == {f"2013-01-0{day} 0.5": 1 for day in range(1, 7)}
    assert len(daily.json("backfill", "--list").document["backfills"]) == 1


def test_ctrl_c_pauses_it_and_resume_goes_on(daily: Project) -> None:
    gate = daily.write("gate", "")
    started = daily.start("backfill", "--from", "2013-01-01", "--to", "2013-01-03")
    wait_until(lambda: journal(daily).total() == 1)
    started.send_signal(signal.SIGINT)
    assert daily.ended(started).code == 130
    gate.unlink()

    [known] = daily.json("backfill", "--list").document["backfills"]
    assert (known["state"], known["counts"]) == ("paused", {"cancelled": 1, "queued": 2})

    done = daily.json("backfill", "--resume", known["id"])
    assert [run["state"] for run in done.document["runs"]] == 3 * ["succeeded"]
    assert done.code == 0


def test_one_that_is_cancelled_stops_what_runs_and_runs_no_more(daily: Project) -> None:
    daily.write("gate", "")
    started = daily.start("backfill", "--from", "2013-01-01", "--to", "2013-01-03")
    wait_until(lambda: journal(daily).total() == 1)
    [known] = daily.json("backfill", "--list").document["backfills"]

    daily.json("backfill", "--cancel", known["id"])

    assert daily.ended(started).code == 1
    shown = daily.json("backfill", "--show", known["id"]).document
    assert (shown["state"], {run["state"] for run in shown["runs"]}) == ("cancelled", {"cancelled"})
    assert daily.json("backfill", "--resume", known["id"]).code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing says what to run it for"),
        (("--from", "2013-01-01"), "--from and --to go together"),
        (("--from", "2013-01-02", "--to", "2013-01-01"), "is before"),
        (("--from", "soon", "--to", "2013-01-01"), "'soon' is no date"),
        (("--from", "2013-01-01", "--to", "2013-01-02", "--every", "often"), "is no step"),
        (("--dates", "2013-01-01", "--sweep", "rate=0.1"), "is no list of values"),
        (("--dates", "2013-01-01", "--sweep", 'rate=["much"]'), "rate: expected float"),
        (("--dates", "2013-01-01", "rat=0.1"), "rat: no such parameter; did you mean rate?"),
        (("--schedule", "weekly", "--from", "2013-01-01"), "--from and --to go together"),
        (("--schedule", "wekly", "--from", "2013-01-01", "--to", "2013-01-01"), "did you mean weekly?"),
        (("--schedule", "on-data", "--from", "2013-01-01", "--to", "2013-01-01"), "fires on an event"),
        (("--dates", "2013-01-01", "--detach"), "no daemon looks after this project"),
        (("--resume", "2013"), "there is no backfill 2013"),
    ],
)
def test_what_cannot_be_asked_for_is_said_and_nothing_is_run(
    daily: Project, words: tuple[str, ...], message: str
) -> None:
    ended = daily.json("backfill", *words)

    assert ended.code in (1, 2)
    assert message in ended.error["message"]
    assert daily.json("backfill", "--list").document["backfills"] == []


def test_a_pipeline_that_takes_no_date_is_swept_and_not_dated(daily: Project) -> None:
    daily.write(
        "plain.py",
        """
        from lineal import pipeline, stage

        @stage
        def double(value: int) -> int:
            return 2 * value

        @pipeline
        def plain(value: int) -> int:
            return double(value)
        """,
    )

    assert (
        "takes no date"
        in daily.json("backfill", "plain.py", "value=1", "--dates", "2013-01-01").error["message"]
    )
    swept = daily.json("backfill", "plain.py", "--sweep", "value=[1,2]").document
    assert [(run["logical_date"], run["state"]) for run in swept["runs"]] == 2 * [(None, "succeeded")]


def test_stages_after_the_one_named_by_until_are_not_run(daily: Project) -> None:
    daily.edit("pipe.py", "return load(run_date, rate)", "return told(load(run_date, rate))")
    daily.edit(
        "pipe.py",
        "@pipeline",
        '@stage(effect=True)\ndef told(text: str) -> str:\n    raise RuntimeError("nobody is to be told")\n\n\n@pipeline',
    )
    words = ("backfill", "--dates", "2013-01-01", "--until", "load")

    assert daily.json(*words, "-n").document["stages"] == 1
    assert daily.json(*words).document["state"] == "succeeded"
    assert daily.json(*words).document["hits"] == 1
