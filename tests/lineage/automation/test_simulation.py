"""What a schedule will do, told beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from lineal.automation.schedule import PassedOver, Schedule, Tick
from lineal.automation.simulation import Absence, simulate


def schedule(**table: Any) -> Schedule:
    return Schedule.of({"name": "s", "cron": "0 */2 * * *", "timezone": "Europe/Berlin", **table})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def told(items: Iterable[Tick | PassedOver]) -> list[str]:
    """Each tick as ``fires at, logical hour: note``; in brackets what is passed over."""
    ticks = [(item.tick, item) if isinstance(item, PassedOver) else (item, item) for item in items]
    lines = [(f"{tick.fires_at:%H:%M}, {tick.logical_date:%H}: {tick.note}", item) for tick, item in ticks]
    return [f"[{line}]" if isinstance(item, PassedOver) else line for line, item in lines]


DAY = (utc("2026-01-05T00:00"), utc("2026-01-05T08:00"))
AWAY = Absence(utc("2026-01-05T02:00"), utc("2026-01-05T06:00"))


def test_the_first_instant_counts_and_the_last_does_not() -> None:
    assert told(simulate(schedule(), utc("2026-01-05T01:00"), utc("2026-01-05T05:00"))) == [
        "01:00, 02: ",
        "03:00, 04: ",
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("all", ["06:00, 04: caught up with: was due 2026-01-05 04:00", "06:00, 06: caught up with: was due 2026-01-05 06:00"]),
        ("latest", ["[03:00, 04: missed: catch_up = latest]", "06:00, 06: caught up with: was due 2026-01-05 06:00"]),
        ("none", ["[03:00, 04: missed: catch_up = none]", "[05:00, 06: missed: catch_up = none]"]),
    ],
)  # fmt: skip
def test_what_an_absence_misses_is_caught_up_with_at_its_end(policy: str, expected: list[str]) -> None:
    assert told(simulate(schedule(catch_up=policy), *DAY, absence=AWAY)) == [
        "01:00, 02: ",
        *expected,
        "07:00, 08: ",
    ]


def test_a_tick_at_the_end_of_an_absence_is_on_time() -> None:
    absence = Absence(utc("2026-01-05T02:00"), utc("2026-01-05T05:00"))

    assert told(simulate(schedule(catch_up="none"), *DAY, absence=absence)) == [
        "01:00, 02: ",
        "[03:00, 04: missed: catch_up = none]",
        "05:00, 06: ",
        "07:00, 08: ",
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (
            "queue",
            [
                "01:00, 02: ",
                "03:00, 04: the run before still goes on: begins 2026-01-05 05:00",
                "05:00, 06: the run before still goes on: begins 2026-01-05 08:00",
                "07:00, 08: the run before still goes on: begins 2026-01-05 11:00",
            ],
        ),
        (
            "skip",
            [
                "01:00, 02: ",
                "[03:00, 04: the run before still goes on: skipped]",
                "05:00, 06: ",
                "[07:00, 08: the run before still goes on: skipped]",
            ],
        ),
        (
            "cancel",
            [
                "01:00, 02: ",
                *(
                    f"{hour:02}:00, {hour + 1:02}: the run before still goes on: cancelled"
                    for hour in (3, 5, 7)
                ),
            ],
        ),
    ],
)
def test_a_run_that_takes_too_long_meets_the_next_tick(policy: str, expected: list[str]) -> None:
    assert told(simulate(schedule(when_running=policy), *DAY, takes=timedelta(hours=3))) == expected


def test_a_run_that_ends_when_the_next_tick_fires_is_not_in_its_way() -> None:
    assert told(simulate(schedule(when_running="skip"), *DAY, takes=timedelta(hours=2))) == [
        f"{hour:02}:00, {hour + 1:02}: " for hour in (1, 3, 5, 7)
    ]


def test_all_that_has_to_be_known_of_a_tick_is_in_its_note() -> None:
    spring = (utc("2026-03-28T01:00"), utc("2026-03-29T02:00"))
    nightly = schedule(cron="30 2 * * *")

    assert told(simulate(nightly, *spring, takes=timedelta(hours=30)))[1] == (
        "01:00, 02: 02:30 does not exist: shifted to 03:00; the run before still goes on: begins 2026-03-29 09:30"
    )


def test_what_is_caught_up_with_runs_one_after_the_other() -> None:
    assert told(simulate(schedule(catch_up="all"), *DAY, takes=timedelta(minutes=50), absence=AWAY))[2] == (
        "06:00, 06: caught up with: was due 2026-01-05 06:00; the run before still goes on: begins 2026-01-05 07:50"
    )


def test_centuries_are_told_as_they_are_asked_for() -> None:
    every = schedule(cron="* * * * *", catch_up="latest")
    long = (utc("2000-01-01"), utc("2900-01-01"))

    items = simulate(
        every, *long, takes=timedelta(days=36500), absence=Absence(utc("2001-01-01"), utc("2800-01-01"))
    )

    assert len(list(islice(items, 10))) == 10
