"""How long a run may take."""

from __future__ import annotations

from clocked import Runs, stages

FLOW = """
from lineal import pipeline, stage


@stage
def first() -> int:
    return 1


@stage(retries=9, retry_delay="1h")
def flaky(number: int) -> int:
    raise ConnectionError("not now")


@stage
def last(number: int) -> int:
    return number


@pipeline(timeout="90m")
def flow() -> int:
    return last(flaky(first()))
"""


def test_a_run_waits_for_no_attempt_that_is_due_after_its_end(runs: Runs) -> None:
    runs.write(FLOW.replace("retry_delay=", "retry_jitter=0, retry_delay="))

    record = runs.run()

    assert runs.clock.slept == [3600, 1800]
    assert record.state == "failed"
    assert {name: stage.state for name, stage in stages(record).items()} == {
        "first": "succeeded",
        "flaky": "failed",
        "last": "upstream_failed",
    }
    error = stages(record)["flaky"].error
    assert error is not None
    assert (error["kind"], error["message"]) == (
        "timeout",
        "the run took longer than its timeout of 5400 s and was stopped",
    )
    assert record.warnings == ["the run was stopped after its timeout of 5400 s"]


def test_the_next_run_goes_on_after_the_last_finished_stage_and_waits_for_nothing(runs: Runs) -> None:
    runs.write(FLOW)
    runs.run()
    runs.clock.slept.clear()

    again = stages(runs.run())

    assert (again["first"].cache, again["flaky"].attempts) == ("hit", 2)
