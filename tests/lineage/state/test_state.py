"""What is remembered of schedules, jobs and backfills: each job once, each change whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lineal.state import Backfill, Job, NewJob, Settlement, State

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State(tmp_path / "state.sqlite") as state:
        yield state


@pytest.fixture
def other(state: State) -> Iterator[State]:
    """What another process has open."""
    with State(state.path) as other:
        yield other


def nightly(hour: int = 0, **fields: object) -> NewJob:
    due = NOON + hour * HOUR
    return NewJob("schedule nightly", due.isoformat(), due, **fields)  # type: ignore[arg-type]


def as_it_is(state: State, job: Job) -> Job:
    found = state.job(job.id)
    assert found is not None
    return found


# -- schedules --------------------------------------------------------------------------------


def test_a_schedule_begins_when_it_is_taken_up(state: State) -> None:
    found = state.take_up({"nightly": "30 2 * * *"}, NOON)

    assert found["nightly"].handled_at == NOON
    assert state.schedules() == found


def test_a_schedule_goes_on_from_where_it_was(state: State) -> None:
    state.take_up({"nightly": "30 2 * * *"}, NOON)

    assert state.take_up({"nightly": "30 2 * * *"}, NOON + HOUR)["nightly"].handled_at == NOON


def test_a_schedule_with_other_times_begins_anew(state: State) -> None:
    state.take_up({"nightly": "30 2 * * *", "hourly": "0 * * * *"}, NOON)

    found = state.take_up({"nightly": "30 3 * * *", "hourly": "0 * * * *"}, NOON + HOUR)

    assert [found[name].handled_at for name in ("nightly", "hourly")] == [NOON + HOUR, NOON]


def test_a_schedule_that_is_configured_no_more_keeps_its_place(state: State) -> None:
    state.take_up({"nightly": "30 2 * * *"}, NOON)
    state.take_up({}, NOON + HOUR)

    assert state.take_up({"nightly": "30 2 * * *"}, NOON + 2 * HOUR)["nightly"].handled_at == NOON


def test_what_is_due_is_added_and_settled_in_one(state: State) -> None:
    state.take_up({"nightly": ""}, NOON)

    added = state.settle("nightly", NOON + HOUR, [nightly(), nightly(1)], NOON + HOUR, before=NOON)

    assert added is not None
    assert [job.due_at for job in added] == [NOON, NOON + HOUR]
    assert state.schedules()["nightly"].handled_at == NOON + HOUR
    assert state.jobs() == added


def test_of_two_that_settle_the_same_one_does(state: State, other: State) -> None:
    state.take_up({"nightly": ""}, NOON)

    assert state.settle("nightly", NOON + HOUR, [nightly()], NOON + HOUR, before=NOON)
    assert other.settle("nightly", NOON + HOUR, [nightly()], NOON + HOUR, before=NOON) is None
    assert len(other.jobs()) == 1


def test_of_many_that_are_settled_at_once_each_stands_for_itself(state: State, other: State) -> None:
    state.take_up({"a": "", "b": "", "c": ""}, NOON)
    other.settle("b", NOON + HOUR, [], NOON + HOUR, before=NOON)

    settled = state.settle_all(
        [Settlement(name, NOON + HOUR, [NewJob(f"schedule {name}", "", NOON)], NOON) for name in "abc"],
        NOON + HOUR,
    )

    assert [added and [job.origin for job in added] for added in settled] == [
        ["schedule a"],
        None,
        ["schedule c"],
    ]
    assert {name: known.handled_at for name, known in other.schedules().items()} == dict.fromkeys(
        "abc", NOON + HOUR
    )


def test_a_date_is_added_once_even_where_a_schedule_went_back(state: State) -> None:
    state.take_up({"nightly": ""}, NOON)
    state.settle("nightly", NOON + HOUR, [nightly(1)], NOON + HOUR, before=NOON)

    state.settle("nightly", NOON, [], NOON, before=NOON + HOUR)

    assert state.settle("nightly", NOON + HOUR, [nightly(1)], NOON + HOUR, before=NOON) == []


def test_a_paused_schedule_settles_nothing(state: State) -> None:
    state.take_up({"nightly": ""}, NOON)
    assert state.pause("nightly", "ann", NOON)
    assert not state.pause("nightly", "bob", NOON)

    assert state.settle("nightly", NOON + HOUR, [nightly()], NOON + HOUR, before=NOON) is None
    assert state.schedules()["nightly"].paused_by == "ann"

    assert state.resume("nightly")
    assert not state.resume("nightly")
    assert state.settle("nightly", NOON + HOUR, [nightly()], NOON + HOUR, before=NOON)


def test_nobody_pauses_a_schedule_that_there_is_not(state: State) -> None:
    assert not state.pause("nihgtly", "ann", NOON)


# -- jobs -------------------------------------------------------------------------------------


def test_a_job_is_begun_by_the_process_that_it_was_offered_to(state: State, other: State) -> None:
    [job] = state.add([nightly(parameters={"learning_rate": 0.1})], NOON)
    token = state.offer(job.id)
    assert token is not None
    assert state.offer(job.id) is None

    assert other.begin(job.id, "another", NOON) is None
    begun = other.begin(job.id, token, NOON)
    assert begun is not None
    assert (begun.state, begun.starts, begun.parameters) == ("running", 1, {"learning_rate": 0.1})
    assert other.begin(job.id, token, NOON) is None

    assert other.note_run(job.id, token, "20261128-1")
    assert other.end(job.id, token, "succeeded", NOON + HOUR)
    [ended] = state.jobs()
    assert (ended.state, ended.run_id, ended.ended_at) == ("succeeded", "20261128-1", NOON + HOUR)


def test_a_job_that_was_given_back_is_begun_by_nobody_who_had_it_before(state: State) -> None:
    [job] = state.add([nightly()], NOON)
    first = state.offer(job.id)
    assert state.give_back(as_it_is(state, job), NOON, most_starts=3) == "queued"
    second = state.offer(job.id)
    assert first is not None
    assert second is not None

    assert state.begin(job.id, first, NOON) is None
    assert state.begin(job.id, second, NOON) is not None


def test_who_lost_a_job_cannot_say_how_it_ended(state: State) -> None:
    [job] = state.add([nightly()], NOON)
    token = state.offer(job.id)
    assert token is not None
    state.begin(job.id, token, NOON)
    state.give_back(as_it_is(state, job), NOON, most_starts=3)

    assert not state.note_run(job.id, token, "late")
    assert not state.end(job.id, token, "succeeded", NOON)
    assert state.jobs()[0].state == "queued"


def test_a_job_whose_process_is_killed_again_and_again_has_failed(state: State) -> None:
    [job] = state.add([nightly()], NOON)
    for expected in ("queued", "queued", "failed"):
        token = state.offer(job.id)
        assert token is not None
        state.begin(job.id, token, NOON)
        assert state.give_back(as_it_is(state, job), NOON, most_starts=3) == expected

    assert state.give_back(as_it_is(state, job), NOON, most_starts=3) is None
    assert state.jobs()[0].note == "3 times its process ended before the run did"


def test_a_job_whose_process_cannot_even_begin_has_failed_at_last(state: State) -> None:
    [job] = state.add([nightly()], NOON)
    for expected in ("queued", "queued", "failed"):
        state.offer(job.id)
        assert state.give_back(as_it_is(state, job), NOON, most_starts=3, counts=True) == expected


def test_a_job_that_somebody_has_begun_meanwhile_is_not_given_back(state: State, other: State) -> None:
    [job] = state.add([nightly()], NOON)
    token = state.offer(job.id)
    assert token is not None
    seen = as_it_is(state, job)

    other.begin(job.id, token, NOON)

    assert state.give_back(seen, NOON, most_starts=3) is None
    assert state.jobs()[0].state == "running"


def test_it_is_noticed_that_another_process_has_changed_something(state: State, other: State) -> None:
    before = state.version()
    state.add([nightly()], NOON)
    assert state.version() == before

    other.add([nightly(1)], NOON)
    assert state.version() != before


def test_a_job_that_waits_can_be_dropped_and_one_that_runs_cannot(state: State) -> None:
    waiting, running = state.add([nightly(), nightly(1)], NOON)
    token = state.offer(running.id)
    assert token is not None

    assert state.drop([waiting.id, running.id], "skipped", NOON, "the one before still ran") == 1
    assert [job.state for job in state.jobs()] == ["skipped", "starting"]


def test_jobs_are_found_by_state_and_origin(state: State) -> None:
    state.add([nightly(hour) for hour in range(5)], NOON)
    state.add([NewJob("backfill b", "2026-01-01", NOON)], NOON)

    assert [job.due_at for job in state.jobs(origin="schedule nightly", most=2)] == [
        NOON + 3 * HOUR,
        NOON + 4 * HOUR,
    ]
    assert len(state.jobs(states=["queued"])) == 6
    assert state.jobs(states=["running"]) == []
    assert state.counts() == {"schedule nightly": {"queued": 5}, "backfill b": {"queued": 1}}


def test_what_is_purged_is_never_fired_again(state: State) -> None:
    state.take_up({"nightly": ""}, NOON)
    old, new, waiting = state.add([nightly(), nightly(1), nightly(2)], NOON)
    state.drop([old.id], "skipped", NOON, "")
    state.drop([new.id], "skipped", NOON + 10 * HOUR, "")

    assert state.purge(NOON + HOUR) == 1

    assert [job.id for job in state.jobs()] == [new.id, waiting.id]
    assert state.schedules()["nightly"].purged_at == old.due_at


# -- backfills --------------------------------------------------------------------------------


def backfill(**fields: object) -> Backfill:
    facts = {"id": "b1", "target": "flights.py", "state": "open", "most_at_once": 2, "newest_first": False}
    return Backfill(**{**facts, "options": {}, "made_at": NOON, "made_by": "ann", **fields})  # type: ignore[arg-type]


def test_a_backfill_is_added_with_its_jobs(state: State) -> None:
    jobs = [NewJob("backfill b1", f"2026-01-0{day}", NOON) for day in (1, 2, 3)]

    assert len(state.add_backfill(backfill(), jobs, NOON)) == 3
    assert state.backfills() == {"b1": backfill()}


def test_a_backfill_that_is_cancelled_drops_what_waits(state: State) -> None:
    jobs = [NewJob("backfill b1", f"2026-01-0{day}", NOON) for day in (1, 2)]
    first, _ = state.add_backfill(backfill(), jobs, NOON)
    state.offer(first.id)

    assert state.set_backfill("b1", "paused", NOON)
    assert state.set_backfill("b1", "cancelled", NOON)
    assert not state.set_backfill("b1", "open", NOON)
    assert [job.state for job in state.jobs(origin="backfill b1")] == ["starting", "cancelled"]
