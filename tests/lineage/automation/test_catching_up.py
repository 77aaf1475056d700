"""What becomes of ticks that nobody was there for."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.automation.catching_up import ON_TIME, Due, find_due
from lineal.automation.schedule import Schedule, Tick


def schedule(**table: Any) -> Schedule:
    return Schedule.of({"name": "s", "cron": "@hourly", **table})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(ticks: tuple[Tick, ...] | None) -> list[int] | None:
    return None if ticks is None else [tick.due_at.hour for tick in ticks]


@pytest.mark.parametrize(
    ("policy", "run", "passed_over"),
    [("all", [1, 2, 3, 4], None), ("latest", [4], [1, 3]), ("none", [], [1, 4])],
)
def test_what_was_missed_is_caught_up_with_as_the_policy_says(
    policy: str, run: list[int], passed_over: list[int] | None
) -> None:
    due = find_due(schedule(catch_up=policy), utc("2026-01-01"), utc("2026-01-01T04:30"))

    assert (hours(due.run), hours(due.passed_over), due.more) == (run, passed_over, False)
    assert due.handled is not None
    assert due.handled.due_at == utc("2026-01-01T04:00")


@pytest.mark.parametrize("policy", ["all", "latest", "none"])
def test_a_tick_that_is_on_time_runs_whatever_the_policy(policy: str) -> None:
    due = find_due(schedule(catch_up=policy), utc("2026-01-01"), utc("2026-01-01T01:00:20"))

    assert (hours(due.run), due.passed_over) == ([1], None)


@pytest.mark.parametrize(("policy", "passed_over"), [("latest", [1, 1]), ("none", [1, 1])])
def test_of_those_that_are_due_one_may_be_on_time(policy: str, passed_over: list[int]) -> None:
    due = find_due(schedule(catch_up=policy), utc("2026-01-01"), utc("2026-01-01T02:00:20"))

    assert (hours(due.run), hours(due.passed_over)) == ([2], passed_over)


def test_what_was_missed_of_a_schedule_that_has_ended_is_passed_over_like_others() -> None:
    ended = schedule(catch_up="none", end="2026-01-01T03:30")

    due = find_due(ended, utc("2026-01-01"), utc("2026-01-02"))

    assert (hours(due.run), hours(due.passed_over)) == ([], [1, 3])


@pytest.mark.parametrize("policy", ["all", "latest", "none"])
def test_nothing_is_due_between_ticks_or_when_the_clock_was_set_back(policy: str) -> None:
    for now in ("2026-01-01T00:59:59", "2025-06-01"):
        due = find_due(schedule(catch_up=policy), utc("2026-01-01"), utc(now))
        assert (due, due.handled) == (Due(), None)


def test_all_are_given_a_part_at_a_time() -> None:
    every = schedule(cron="* * * * *", catch_up="all")
    after, now, found = utc("2026-01-01"), utc("2026-01-01T04:10"), list[Tick]()

    while True:
        due = find_due(every, after, now, most=100)
        found += due.run
        assert due.handled is not None
        after = due.handled.due_at
        if not due.more:
            break

    assert found == list(takewhile(lambda tick: tick.due_at <= now, every.ticks(utc("2026-01-01"))))


@pytest.mark.parametrize("policy", ["all", "latest", "none"])
def test_a_year_of_minutes_takes_no_memory(policy: str) -> None:
    every = schedule(cron="* * * * *", catch_up=policy)
    tracemalloc.start()

    find_due(every, utc("2025-01-01"), utc("2026-01-01T00:00:30"))

    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["*/7 * * * *", "* 2 * * *", "30 2 * * *", "0 0 * * mon"]),
    st.sampled_from(["latest", "none"]),
    st.sampled_from(["1s", "40s", "2h"]),
    st.integers(0, 3 * 86400),
)
def test_each_tick_either_runs_or_is_passed_over(cron: str, policy: str, jitter: str, seconds: int) -> None:
    one = schedule(cron=cron, catch_up=policy, jitter=jitter, timezone="Europe/Berlin")
    after = utc("2026-03-28")
    now = after + timedelta(seconds=seconds)
    fired = list(takewhile(lambda tick: tick.fires_at <= now, one.ticks(after)))

    due = find_due(one, after, now)

    run = fired[-1:] if policy == "latest" else [tick for tick in fired if tick.fires_at >= now - ON_TIME]
    rest = fired[: len(fired) - len(run)]
    assert list(due.run) == run
    assert due.passed_over == ((rest[0], rest[-1]) if rest else None)
