"""The ticks of schedules against a walk through every minute of the year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from cron_oracle import Walk, instant, is_named
from cronsim import CronSim
from depth import DEEP, one_of
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.automation.cron import Cron, InvalidCron
from lineal.automation.moments import Gap, Overlap
from lineal.automation.schedule import Schedule
from lineal.automation.zones import EPOCH

EXPRESSIONS = (
    "30 2 * * *", "0 0 * * *", "30 0 * * *", "59 23 * * *", "15 1 * * *", "0 3 * * *", "30 23 * * *", "0 12 * * *",
    "0 2 * * sun", "45 1 * * 7", "30 2 * * mon-fri", "0 0 1 * *", "0 0 1 1 *", "0 0 29 2 *", "0 0 31 * *", "0 0 1,15 * fri",
    "0 0 13 * 5", "0 0 */2 * 1", "0 6 8-14 * 0-6/3", "*/10 2 * * *", "0,30 0-3 * * *", "5 0,12,23 * * *", "0 22-23 * mar,oct *",
    "*/20 2 * 3,10 *", "0 * * * *", "30 * * * sun", "15 */2 * * *", "*/20 */6 * * 5-7", "17 */5 * apr-may *", "0 0-23/4 * * *",
)  # fmt: skip
# Where clocks have done something unusual, and when.
PLACES = {
    "UTC": 2026,
    "Europe/Berlin": 2026,
    "America/New_York": 2026,
    "Europe/Dublin": 2026,  # its winter is the time that is moved
    "Africa/Cairo": 2026,  # midnight does not exist
    "America/Santiago": 2026,  # midnight does not exist
    "America/Sao_Paulo": 2018,  # midnight did not exist
    "Australia/Lord_Howe": 2026,  # half an hour
    "America/Nuuk": 2026,  # the last hour of a day
    "Africa/Casablanca": 2026,  # changes by the moon
    "Asia/Gaza": 2026,
    "Antarctica/Troll": 2026,  # two hours
    "Pacific/Apia": 2011,  # one day does not exist
    "Asia/Pyongyang": 2018,  # half an hour, once, before midnight
    "America/Caracas": 2016,
    "Europe/Volgograd": 2020,  # another zone's time, for good
    "Asia/Kathmandu": 2026,  # a quarter of an hour from its neighbours
}
ALL = [(zone, 2026) for zone in sorted(available_timezones())] if DEEP else []


@pytest.mark.parametrize(("zone", "year"), [*PLACES.items(), *ALL])
def test_ticks_are_what_a_walk_through_every_minute_finds(zone: str, year: int) -> None:
    walk = Walk(zone, year)
    for number, expression in enumerate(EXPRESSIONS):
        policies: list[tuple[Gap, Overlap]] = [("shift", "once"), ("skip", "both")]
        if not DEEP or Cron.parse(expression).open_hours:
            policies = [policies[number % 2]]
        for gap, overlap in policies:
            found = _ticks(expression, zone, walk, gap, overlap)
            assert found == walk.expected(expression, gap, overlap), (expression, gap, overlap)


def _ticks(expression: str, zone: str, walk: Walk, gap: Gap, overlap: Overlap) -> list[tuple[int, int]]:
    schedule = Schedule("s", Cron.parse(expression), timezone=ZoneInfo(zone), gap=gap, overlap=overlap)
    ends = instant(walk.ends)
    ticks = takewhile(
        lambda tick: tick.due_at < ends, schedule.ticks(instant(walk.begins) - timedelta(seconds=1))
    )
    minute = timedelta(minutes=1)
    return [
        ((tick.due_at - EPOCH) // minute, (tick.logical_date.replace(tzinfo=UTC) - EPOCH) // minute)
        for tick in ticks
    ]


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Africa/Cairo", "America/Santiago", "America/Nuuk"]
)
def test_cronsim_agrees_where_it_means_the_same(zone: str) -> None:
    """For open minutes it has other rules, and where clocks are moved by half an hour it loses times of open hours."""
    begins, ends = (datetime(year, 1, 1, tzinfo=UTC) for year in (PLACES[zone], PLACES[zone] + 1))
    for expression in (
        "30 2 * * *",
        "0 0 * * *",
        "30 23 * * *",
        "0 12 1,15 * fri",
        "0 * * * *",
        "15 */2 * * *",
    ):
        schedule = Schedule("s", Cron.parse(expression), timezone=ZoneInfo(zone))
        ours = [tick.due_at for tick in takewhile(lambda tick: tick.due_at < ends, schedule.ticks(begins))]
        local = CronSim(expression, begins.astimezone(ZoneInfo(zone)))
        theirs = list(takewhile(lambda at: at < ends, (tick.astimezone(UTC) for tick in local)))
        assert ours == theirs, expression


# --- any expression --------------------------------------------------------------------------------

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES = {
    4: ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    3: ["?", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
}


@st.composite
def _items(draw: st.DrawFn, place: int) -> str:
    least, most = _RANGES[place]
    low = draw(st.integers(least, most))
    high = draw(st.integers(low, most))
    names = _NAMES.get(place) if draw(st.booleans()) and high < 7 else None
    first, last = (names[value] if names else str(value) for value in (low, high))
    span = draw(st.sampled_from(["*", first, f"{first}-{last}"]))
    stepped = span != first and draw(st.booleans())
    return f"{span}/{draw(st.integers(1, most - least))}" if stepped else span


_FIELDS = [st.lists(_items(place), min_size=1, max_size=3).map(",".join) for place in range(5)]
_EXPRESSIONS = st.tuples(*_FIELDS).map(" ".join)


@given(st.tuples(*_FIELDS[:2], st.just("*"), *_FIELDS[3:]).map(" ".join))
def test_a_parsed_expression_has_the_values_that_its_fields_name(expression: str) -> None:
    cron = Cron.parse(expression.upper().replace(" ", "  "))

    values = (cron.minutes, cron.hours, cron.days, cron.months)
    for text, found, (least, most) in zip(expression.split(), values, _RANGES, strict=False):
        assert list(found) == [value for value in range(least, most + 1) if is_named(text, value, most)]
    weekdays = {value % 7 for value in range(8) if is_named(expression.split()[4], value, 7)}
    assert set(cron.weekdays) == weekdays
    assert str(cron) == expression
    assert Cron.parse(str(cron)) == cron


@settings(max_examples=one_of(8, 200), deadline=None)
@given(
    _EXPRESSIONS.filter(lambda text: text.split()[0].count("*") == 0),
    st.sampled_from(sorted(PLACES.items())),
    st.sampled_from(["shift", "skip"]),
    st.sampled_from(["once", "both"]),
)
def test_any_expression_names_what_a_walk_finds(
    expression: str, place: tuple[str, int], gap: Gap, overlap: Overlap
) -> None:
    try:
        Cron.parse(expression)
    except InvalidCron:  # no day is named
        return
    walk = Walk(*place)

    assert _ticks(expression, place[0], walk, gap, overlap) == walk.expected(expression, gap, overlap)
