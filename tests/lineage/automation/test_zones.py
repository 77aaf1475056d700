"""When the clocks of a zone are changed."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from depth import some_of

from lineal.automation.zones import EPOCH, LAST, find_zone, instant, offset_at, stretches
from lineal.errors import UsageError


def seconds(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp())


def test_a_year_in_berlin_has_three_stretches() -> None:
    first, summer, last = islice(stretches(ZoneInfo("Europe/Berlin"), seconds(2026, 1, 1)), 3)

    assert (summer.begins, summer.ends) == (seconds(2026, 3, 29, 1), seconds(2026, 10, 25, 1))
    assert (first.offset, first.after, summer.offset, last.before, last.offset) == (
        3600,
        7200,
        7200,
        7200,
        3600,
    )
    assert summer.left_out == (seconds(2026, 3, 29, 2), seconds(2026, 3, 29, 3))
    assert (summer.again_from, last.again_until) == (seconds(2026, 10, 25, 2), seconds(2026, 10, 25, 3))
    assert last.left_out[0] == last.left_out[1]


def test_the_stretch_begins_at_a_change_and_holds_its_first_second() -> None:
    berlin, change = ZoneInfo("Europe/Berlin"), seconds(2026, 3, 29, 1)

    assert next(stretches(berlin, change)).begins == change
    assert next(stretches(berlin, change - 1)).ends == change


@pytest.mark.parametrize("zone", some_of(sorted(available_timezones()), 12))
def test_stretches_follow_each_other_and_keep_the_zones_offset(zone: str) -> None:
    clocks = ZoneInfo(zone)
    found = list(islice(stretches(clocks, seconds(1970, 1, 3)), 120))

    for one, other in pairwise(found):
        assert (one.ends, one.after, one.offset) == (other.begins, other.offset, other.before)
    for one in found:
        for at in (max(one.begins, seconds(1970, 1, 3)), (one.begins + one.ends) // 2, one.ends - 1):
            assert offset_at(clocks, at) == one.offset


def test_nothing_is_told_of_the_end_of_the_calendar() -> None:
    assert list(stretches(UTC, seconds(LAST.year, 6, 1))) == []
    assert list(stretches(UTC, seconds(LAST.year - 1, 1, 1)))[-1].ends == LAST.timestamp()


@pytest.mark.parametrize(
    "name", ["Europe/Berln", "", "../zoneinfo/UTC", "/etc/passwd", "Europe", "right/Europe/Berlin", "a\0b"]
)
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"there is no time zone {name}")):
        find_zone(name)


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "zone", "expected"),
    [
        ("2026-03-29", BERLIN, datetime(2026, 3, 28, 23, tzinfo=UTC)),
        (date(2026, 3, 29), BERLIN, datetime(2026, 3, 28, 23, tzinfo=UTC)),
        ("2026-03-29T12:00", BERLIN, datetime(2026, 3, 29, 10, tzinfo=UTC)),
        ("2026-03-29T12:00Z", BERLIN, datetime(2026, 3, 29, 12, tzinfo=UTC)),
        (datetime(2026, 3, 29, 12, tzinfo=UTC), BERLIN, datetime(2026, 3, 29, 12, tzinfo=UTC)),
    ],
)
def test_a_date_or_time_is_an_instant_by_the_clocks_of_the_zone(
    value: str | date, zone: tzinfo, expected: datetime
) -> None:
    assert instant(value, zone) == expected
    assert instant(value, zone).utcoffset() == timedelta(0)


@pytest.mark.parametrize("value", ["tomorrow", "2026-13-01", "0001-01-01"])
def test_what_is_no_instant_is_refused(value: str) -> None:
    with pytest.raises(UsageError):
        instant(value, BERLIN)


def test_the_epoch_is_that_of_posix() -> None:
    assert EPOCH.timestamp() == 0
