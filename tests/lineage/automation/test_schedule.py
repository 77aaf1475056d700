"""Which ticks a schedule has, and for which dates. All zones and many expressions are tested in test_oracle."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any

import pytest

from lineal.automation.schedule import PassedOver, Schedule, Tick


def schedule(**table: Any) -> Schedule:
    return Schedule.of({"name": "nightly", "timezone": "Europe/Berlin", **table})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def told(items: Iterable[Tick | PassedOver], until: str) -> list[str]:
    """Each tick as ``fires at | local | logical date | note``; in brackets what is passed over."""
    lines = []
    for item in items:
        tick = item.tick if isinstance(item, PassedOver) else item
        if tick.due_at >= utc(until):
            break
        line = f"{tick.fires_at:%d %H:%M} | {tick.local:%d %H:%M%z} | {tick.logical_date:%d %H:%M%z} | {tick.note}"
        lines.append(f"[{line}]" if isinstance(item, PassedOver) else line)
    return lines


SPRING, SPRING_ENDS = utc("2026-03-28"), "2026-03-30T12:00"
AUTUMN, AUTUMN_ENDS = utc("2026-10-24T12:00"), "2026-10-25T02:00"


def test_a_local_time_that_does_not_exist_falls_on_the_first_instant_after() -> None:
    assert told(schedule(cron="30 2 * * *").walk(SPRING), SPRING_ENDS) == [
        "28 01:30 | 28 02:30+0100 | 28 02:30+0100 | ",
        "29 01:00 | 29 03:00+0200 | 29 02:30+0200 | 02:30 does not exist: shifted to 03:00",
        "30 00:30 | 30 02:30+0200 | 30 02:30+0200 | ",
    ]


def test_with_gap_skip_it_is_passed_over() -> None:
    skipping = schedule(cron="30 2 * * *", gap="skip")

    assert told(skipping.walk(SPRING), SPRING_ENDS) == [
        "28 01:30 | 28 02:30+0100 | 28 02:30+0100 | ",
        "[29 01:00 | 29 03:00+0200 | 29 02:30+0200 | 02:30 does not exist: skipped]",
        "30 00:30 | 30 02:30+0200 | 30 02:30+0200 | ",
    ]
    assert [tick.due_at.day for tick in islice(skipping.ticks(SPRING), 2)] == [28, 30]


def test_several_times_that_do_not_exist_are_one_tick_the_last_ones() -> None:
    assert told(schedule(cron="*/20 2 * * *").walk(utc("2026-03-29")), "2026-03-30") == [
        "29 01:00 | 29 03:00+0200 | 29 02:40+0200 | 02:00 to 02:40 do not exist: shifted to 03:00",
    ]


def test_a_time_that_exists_stands_in_for_those_that_are_shifted_onto_it() -> None:
    assert told(schedule(cron="0,30 2,3 * * *").walk(utc("2026-03-29")), "2026-03-30") == [
        "29 01:00 | 29 03:00+0200 | 29 03:00+0200 | 02:00 to 02:30 do not exist: this tick stands in",
        "29 01:30 | 29 03:30+0200 | 29 03:30+0200 | ",
    ]


def test_a_tick_that_is_shifted_into_the_next_day_is_still_for_its_own() -> None:
    nuuk = schedule(cron="30 23 * * *", timezone="America/Nuuk")

    assert told(nuuk.walk(utc("2026-03-29")), "2026-03-30T02:00") == [
        "29 01:00 | 29 00:00-0100 | 28 23:30-0100 | 23:30 does not exist: shifted to 00:00",
        "30 00:30 | 29 23:30-0100 | 29 23:30-0100 | ",
    ]


def test_a_day_that_does_not_exist_is_left_out_whole() -> None:
    apia = schedule(cron="0 0 * * *", timezone="Pacific/Apia")

    ticks = takewhile(lambda tick: tick.due_at < utc("2012-01-02"), apia.ticks(utc("2011-12-28T12:00")))

    assert [tick.logical_date.day for tick in ticks] == [29, 31, 1, 2]


def test_a_local_time_that_happens_twice_is_its_first() -> None:
    assert told(schedule(cron="30 2 * * *").walk(AUTUMN), AUTUMN_ENDS) == [
        "25 00:30 | 25 02:30+0200 | 25 02:30+0200 | 02:30 happens twice: its first",
    ]


def test_its_second_is_no_first_for_a_schedule_that_begins_in_between() -> None:
    assert told(schedule(cron="30 2 * * *").walk(utc("2026-10-25T00:45")), AUTUMN_ENDS) == []


def test_with_overlap_both_it_is_two_ticks_whose_dates_differ_by_their_offset() -> None:
    assert told(schedule(cron="30 2 * * *", overlap="both").walk(AUTUMN), AUTUMN_ENDS) == [
        "25 00:30 | 25 02:30+0200 | 25 02:30+0200 | 02:30 happens twice: the first of both",
        "25 01:30 | 25 02:30+0100 | 25 02:30+0100 | 02:30 happens twice: the second of both",
    ]


@pytest.mark.parametrize(("gap", "overlap"), [("shift", "once"), ("skip", "both")])
def test_open_hours_fire_in_both_hours_and_are_never_shifted(gap: str, overlap: str) -> None:
    every_two = schedule(cron="15 */2 * * *", gap=gap, overlap=overlap)

    assert told(every_two.walk(utc("2026-10-24T23:00")), "2026-10-25T04:00") == [
        "25 00:15 | 25 02:15+0200 | 25 02:15+0200 | 02:15 happens twice: the first of both",
        "25 01:15 | 25 02:15+0100 | 25 02:15+0100 | 02:15 happens twice: the second of both",
        "25 03:15 | 25 04:15+0100 | 25 04:15+0100 | ",
    ]
    assert told(every_two.walk(utc("2026-03-28T23:00")), "2026-03-29T03:00") == [
        "28 23:15 | 29 00:15+0100 | 29 00:15+0100 | ",
        "[29 01:00 | 29 03:00+0200 | 29 02:15+0200 | 02:15 does not exist: hours given as */2 are not shifted]",
        "29 02:15 | 29 04:15+0200 | 29 04:15+0200 | ",
    ]


def test_an_hourly_schedule_ticks_every_hour_of_elapsed_time() -> None:
    ticks = islice(schedule(cron="@hourly").ticks(utc("2026-01-01")), 8760)

    assert {later.due_at - tick.due_at for tick, later in pairwise(ticks)} == {timedelta(hours=1)}


@pytest.mark.parametrize(
    "table", [{"cron": "30 2 * * *"}, {"cron": "*/20 1-3 * * *", "overlap": "both"}, {"cron": "*/20 * * * *"}]
)
@pytest.mark.parametrize("change", ["2026-03-29T01:00", "2026-10-25T01:00"])
def test_the_ticks_after_an_instant_are_the_same_from_wherever_they_are_asked_for(
    table: dict[str, str], change: str
) -> None:
    ticks = list(islice(schedule(**table).ticks(utc(change) - timedelta(days=3)), 300))
    around = [
        utc(change),
        *(tick.due_at for tick in ticks[:250] if abs(tick.due_at - utc(change)) < timedelta(hours=3)),
    ]

    for instant in around:
        for after in (instant - timedelta(seconds=1), instant - timedelta(microseconds=1), instant):
            later = [tick for tick in ticks if tick.due_at > after][:4]
            assert list(islice(schedule(**table).ticks(after), 4)) == later


# --- logical dates ---------------------------------------------------------------------------------


def test_the_logical_date_moves_by_calendar_days_and_keeps_time_and_offset() -> None:
    yesterday = schedule(cron="30 2 * * *", logical_date_offset="-1d")

    assert [tick.logical_date.isoformat() for tick in islice(yesterday.ticks(SPRING), 3)] == [
        "2026-03-27T02:30:00+01:00",
        "2026-03-28T02:30:00+02:00",
        "2026-03-29T02:30:00+02:00",
    ]


@pytest.mark.parametrize("offset", ["0d", "-1d", "-240d", "+1d"])
@pytest.mark.parametrize("cron", ["*/30 * * * *", "*/30 0-23 * * *", "30 2 * * *"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo"])
def test_no_two_ticks_have_the_same_logical_date(offset: str, cron: str, zone: str) -> None:
    both = schedule(cron=cron, overlap="both", timezone=zone, logical_date_offset=offset)

    for around in ("2026-03-28", "2026-04-03", "2026-04-23", "2026-10-02", "2026-10-24", "2026-10-28"):
        dates = [tick.logical_date.isoformat() for tick in islice(both.ticks(utc(around)), 200)]
        assert len(set(dates)) == len(dates)


# --- intervals -------------------------------------------------------------------------------------


def test_an_interval_counts_elapsed_time_from_a_monday_in_utc() -> None:
    assert told(schedule(every="6h").walk(utc("2026-03-28T23:00")), "2026-03-29T12:00") == [
        "29 00:00 | 29 01:00+0100 | 29 01:00+0100 | ",
        "29 06:00 | 29 08:00+0200 | 29 08:00+0200 | ",
    ]
    week = schedule(every="7d", timezone="UTC")
    assert [f"{tick.local:%a %H:%M}" for tick in islice(week.ticks(SPRING), 2)] == ["Mon 00:00", "Mon 00:00"]


def test_an_interval_counts_from_the_start_where_there_is_one() -> None:
    started = schedule(every="6h", start=datetime(2026, 3, 28, 1, 30))

    ticks = [f"{tick.local:%d %H:%M}" for tick in islice(started.ticks(utc("2020-01-01")), 5)]

    assert ticks == ["28 01:30", "28 07:30", "28 13:30", "28 19:30", "29 01:30"]


def test_the_second_of_an_interval_that_is_asked_from_its_own_instant_is_the_next() -> None:
    hourly = schedule(every="1h")

    assert next(hourly.ticks(utc("2026-01-01T05:00"))).due_at == utc("2026-01-01T06:00")
    assert next(hourly.ticks(utc("2026-01-01T04:59:59.999"))).due_at == utc("2026-01-01T05:00")


# --- start, end, events ----------------------------------------------------------------------------


def test_ticks_are_due_from_the_start_until_before_the_end() -> None:
    bounded = schedule(cron="@daily", start="2026-01-02", end=date(2026, 1, 4))

    assert [f"{tick.local:%d %H:%M}" for tick in bounded.ticks(utc("2020-01-01"))] == ["02 00:00", "03 00:00"]


def test_an_instant_within_a_second_is_a_start_and_an_end_like_others() -> None:
    bounded = schedule(every="10s", start="2026-01-02T00:00:00.5", end="2026-01-02T00:00:21.5")

    assert [tick.local.second for tick in bounded.ticks(utc("2020-01-01"))] == [1, 11, 21]


def test_a_schedule_that_has_ended_has_no_next_tick() -> None:
    assert schedule(cron="@daily", end="2026-01-01").next_tick(utc("2026-01-01")) is None


def test_an_event_has_no_ticks() -> None:
    event = schedule(on={"webhook": "labels", "secret": "${LABELS_SECRET}"})

    assert list(event.walk(SPRING)) == []
    assert (str(event.when), event.next_tick(SPRING), event.last_tick(SPRING, utc("2027-01-01"))) == (
        "webhook labels",
        None,
        None,
    )


@pytest.mark.parametrize("table", [{"cron": "@daily"}, {"every": "1d"}])
def test_the_ends_of_the_calendar_are_no_obstacle(table: dict[str, str]) -> None:
    daily = schedule(**table, logical_date_offset="-9999d")

    assert [tick.due_at.year for tick in islice(daily.ticks(utc("0001-01-01")), 2)] == [1900, 1900]
    assert list(daily.ticks(utc("9999-12-31"))) == []


# --- jitter ----------------------------------------------------------------------------------------


def test_jitter_delays_a_tick_and_leaves_its_logical_date_alone() -> None:
    plain, shaken = (
        list(islice(schedule(cron="@hourly", **more).ticks(SPRING), 200)) for more in ({}, {"jitter": "10m"})
    )

    delays = [tick.fires_at - tick.due_at for tick in shaken]
    assert [tick.logical_date for tick in shaken] == [tick.logical_date for tick in plain]
    assert all(timedelta(0) <= delay < timedelta(minutes=10) for delay in delays)
    assert len(set(delays)) > 100
    assert all(tick.local == tick.fires_at for tick in shaken)
    assert shaken[0].note == f"jitter of {delays[0].seconds} s"


def test_jitter_is_the_same_whenever_it_is_asked_and_another_for_each_schedule() -> None:
    one = schedule(cron="@hourly", jitter="10m")
    ticks = list(islice(one.ticks(SPRING), 50))

    assert [next(one.ticks(tick.due_at - timedelta(seconds=1))) for tick in ticks] == ticks
    other = Schedule.of({"name": "other", "cron": "@hourly", "jitter": "10m"})
    assert [tick.fires_at for tick in islice(other.ticks(SPRING), 50)] != [tick.fires_at for tick in ticks]


def test_jitter_never_reaches_the_next_tick() -> None:
    ticks = list(islice(schedule(cron="*/5 * * * *", jitter="1d").ticks(SPRING), 500))

    assert all(tick.due_at <= tick.fires_at < later.due_at for tick, later in pairwise(ticks))


def test_the_next_tick_may_be_due_already() -> None:
    shaken = schedule(cron="@hourly", jitter="10m")
    tick = next(tick for tick in shaken.ticks(SPRING) if tick.fires_at > tick.due_at + timedelta(seconds=5))

    assert shaken.next_tick(tick.due_at + timedelta(seconds=1)) == tick
    assert shaken.next_tick(tick.fires_at) != tick


# --- looking back, and time ------------------------------------------------------------------------


@pytest.mark.parametrize("cron", ["* * * * *", "30 2 * * *", "0 0 1 1 *", "0 0 29 2 *"])
@pytest.mark.parametrize("jitter", ["1s", "3h"])
def test_the_last_tick_is_the_last_one_that_has_fired(cron: str, jitter: str) -> None:
    one, after, until = schedule(cron=cron, jitter=jitter), utc("2025-12-30"), utc("2026-01-02T02:59:30")

    fired = list(takewhile(lambda tick: tick.fires_at <= until, one.ticks(after)))

    assert one.last_tick(after, until) == (fired[-1] if fired else None)


def test_rare_ticks_and_long_absences_cost_no_more_than_others() -> None:
    """Minute by minute, each of the first would take seconds, and each of the second a year's ticks."""
    rare = schedule(cron="0 0 29 2 mon", jitter="36500d", timezone="America/Santiago")
    minutes = schedule(cron="* * * * *", jitter="36500d")
    begun = time.process_time()

    for _ in range(100):
        rare.next_tick(utc("2026-01-01"))
        minutes.next_tick(utc("2026-01-01"))
        minutes.last_tick(utc("2016-01-01"), utc("2026-01-01"))

    assert time.process_time() - begun < 2
