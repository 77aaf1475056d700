"""Webhooks: each call has one job, whoever repeats it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lineal.automation import calling
from lineal.automation.calling import Call, NotTaken, take_call
from lineal.automation.schedule import Schedule
from lineal.state import Job, State

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def schedule(**fields: object) -> Schedule:
    table = {"name": "labels", "on": {"webhook": "labels", "secret": "${KEY}"}, "pipeline": "flow.py"}
    return Schedule.of({**table, **fields})


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State(tmp_path / "state.sqlite") as state:
        state.take_up({"labels": schedule().timing}, NOON)
        yield state


def test_a_call_has_a_job_with_the_schedules_target_and_the_time_as_its_date(state: State) -> None:
    made = schedule(timezone="Europe/Berlin", logical_date_offset="-1d", parameters={"n": 2})

    job = take_call(state, made, Call.of(b"a"), NOON)

    assert job == state.job(job.id)
    assert (job.origin, job.state, job.target, job.parameters) == (
        "schedule labels",
        "queued",
        "flow.py",
        {"n": 2},
    )
    assert job.logical_date == "2026-11-27T13:00:00+01:00"


def test_the_first_call_counts_as_well_as_any_other_and_two_may_come_in_one_second(state: State) -> None:
    first, second = (take_call(state, schedule(), Call.of(signed), NOON) for signed in (b"a", b"b"))

    assert first.id != second.id
    assert first.logical_date == second.logical_date


def test_the_same_signed_content_is_the_same_call_whatever_its_key(state: State) -> None:
    """The key is not signed: who has overheard a call could give it another one."""
    first = take_call(state, schedule(), Call.of(b"a", "one"), NOON)

    for key in ("", "one", "two"):
        assert take_call(state, schedule(), Call.of(b"a", key), NOON + SECOND) == first


def test_the_same_key_is_the_same_call_whatever_is_signed(state: State) -> None:
    """Who sends it again signs it again, with another time."""
    first = take_call(state, schedule(), Call.of(b"a", "one"), NOON)
    take_call(state, schedule(), Call.of(b"b", "two"), NOON + SECOND)

    assert take_call(state, schedule(), Call.of(b"c", "one"), NOON + 2 * SECOND) == first


def test_calls_without_a_key_have_none_in_common(state: State) -> None:
    take_call(state, schedule(), Call.of(b"a"), NOON)
    take_call(state, schedule(), Call.of(b"b"), NOON + SECOND)

    assert len(state.jobs()) == 2


def test_a_clock_that_is_set_back_loses_no_call(state: State) -> None:
    take_call(state, schedule(), Call.of(b"a"), NOON)
    take_call(state, schedule(), Call.of(b"b"), NOON - timedelta(days=365))

    assert len(state.jobs()) == 2


def test_a_schedule_that_is_paused_or_unknown_takes_no_calls_but_knows_those_that_it_took(
    state: State,
) -> None:
    first = take_call(state, schedule(), Call.of(b"a"), NOON)
    state.pause("labels", "ann", NOON)

    with pytest.raises(NotTaken, match="paused"):
        take_call(state, schedule(), Call.of(b"b"), NOON)
    with pytest.raises(NotTaken, match="not looked after"):
        take_call(state, schedule(name="others"), Call.of(b"b"), NOON)
    assert take_call(state, schedule(), Call.of(b"a"), NOON) == first
    assert state.jobs() == [first]


def test_while_too_many_wait_no_more_are_taken(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "MOST_WAITING", 2)
    for signed in (b"a", b"b"):
        take_call(state, schedule(), Call.of(signed), NOON)

    with pytest.raises(NotTaken) as refused:
        take_call(state, schedule(), Call.of(b"c"), NOON)
    assert refused.value.reason == "full"


def test_with_skip_a_call_while_a_run_goes_on_is_noted_and_does_not_run(state: State) -> None:
    take_call(state, schedule(), Call.of(b"a"), NOON)

    job = take_call(state, schedule(when_running="skip"), Call.of(b"b"), NOON)

    assert job.state == "skipped"
    assert job.ended_at == NOON


def test_who_is_overtaken_between_looking_and_adding_finds_the_job_of_the_other(state: State) -> None:
    others: list[Job] = []

    class Overtaken(State):
        def settle(self, *given: Any, **named: Any) -> list[Job] | None:
            if not others:
                others.append(take_call(state, schedule(), Call.of(b"a", "key"), NOON))
            return super().settle(*given, **named)

    with Overtaken(state.path) as slow:
        job = take_call(slow, schedule(), Call.of(b"b", "key"), NOON)

    assert [job] == others == state.jobs()


def test_the_same_call_from_many_at_once_has_one_job(state: State) -> None:
    """Each has a connection of its own, as processes and threads do."""
    barrier = threading.Barrier(4, timeout=60)
    found: list[int] = []

    def call(number: int) -> None:
        with State(state.path) as own:
            for round_ in range(5):
                barrier.wait()
                job = take_call(own, schedule(), Call.of(b"%d %d" % (round_, number), f"key-{round_}"), NOON)
                found.append(job.id)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 20
    assert len(state.jobs()) == len(set(found)) == 5
