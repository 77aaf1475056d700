"""What a cron expression names in a time zone, found by walking through every minute of a year. Knows nothing of Lineal.

The policies are applied as they are told to users, and not as they are computed: a local minute "happens twice" when the
clock has shown it or a later one before; local minutes "do not exist" when the clock, from one minute to the next, moves on by more than one.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Minutes = npt.NDArray[np.int64]
_EPOCH = datetime(1970, 1, 1)
_DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}


class Walk:
    """A year of a zone, minute by minute; ``shown`` is what the clock shows, in minutes since 1970 as it counts them."""

    def __init__(self, zone: str, year: int) -> None:
        self.begins = _minute(datetime(year, 1, 1))
        self.ends = _minute(datetime(year + 1, 1, 1))
        first = self.begins - 2880  # two days before, to know what was shown before
        self.utc = np.arange(first, self.ends)
        self.shown = self.utc + _offsets(ZoneInfo(zone), first, self.ends)
        latest = np.maximum.accumulate(self.shown)
        self.again = np.concatenate([[False], self.shown[1:] <= latest[:-1]])
        self.jumps = [
            (place, range(latest[place - 1] + 1, self.shown[place]))
            for place in 1 + np.flatnonzero(self.shown[1:] > latest[:-1] + 1)
        ]

    def expected(self, expression: str, gap: str, overlap: str) -> list[tuple[int, int]]:
        """Each tick of the year: its minute in UTC, and the local minute that it is for."""
        year = (self.begins, self.ends)
        named = _named(expression, *year)
        fires, logical = named[self.shown - year[0] + _MARGIN], self.shown.copy()
        if not expression.split()[1].startswith("*"):
            if overlap == "once":
                fires = fires & ~self.again
            for place, skipped in self.jumps:
                missed = [local for local in skipped if named[local - year[0] + _MARGIN]]
                if missed and gap == "shift" and not fires[place]:
                    fires[place], logical[place] = True, missed[-1]
        fires = fires & (self.utc >= self.begins)
        return list(zip(self.utc[fires].tolist(), logical[fires].tolist(), strict=True))


_MARGIN = 6 * 1440  # local minutes before and after the year that a clock can show in it


def _offsets(zone: ZoneInfo, begins: int, ends: int) -> Minutes:
    """Of each minute. Where the offset is the same at both ends of a quarter of an hour, it is so within it."""
    quarters = [_offset(zone, minute) for minute in range(begins, ends + 15, 15)]
    found = np.repeat(quarters, 15)[: ends - begins]
    for place, (one, other) in enumerate(pairwise(quarters)):
        if one != other:
            for minute in range(15 * place, min(15 * (place + 1), len(found))):
                found[minute] = _offset(zone, begins + minute)
    return found


def _offset(zone: ZoneInfo, minute: int) -> int:
    offset = datetime.fromtimestamp(minute * 60, zone).utcoffset()
    assert offset is not None
    minutes, rest = divmod(offset, timedelta(minutes=1))
    assert not rest, "the zone's clocks do not show minutes of UTC"
    return minutes


@lru_cache(maxsize=256)
def _named(expression: str, begins: int, ends: int) -> npt.NDArray[np.bool_]:
    """Whether each local minute is named."""
    minute, hour, day, month, weekday = _fields(begins - _MARGIN, ends + _MARGIN)
    texts = expression.lower().split()
    minutes, hours, days, months, weekdays = (
        np.array([is_named(text, value, top) for value in range(top + 1)])
        for text, top in zip(texts, (59, 23, 31, 12, 7), strict=True)
    )
    weekdays[0] = weekdays[7] = weekdays[0] | weekdays[7]
    dated, on_weekday = days[day], weekdays[weekday]
    neither_begins_with_a_star = texts[2][0] != "*" and texts[4][0] != "*"
    right_day = dated | on_weekday if neither_begins_with_a_star else dated & on_weekday
    return np.asarray(minutes[minute] & hours[hour] & right_day & months[month])


def is_named(text: str, value: int, top: int) -> bool:
    """Whether a field names a value; ``top`` is the largest that there is."""
    names = {12: _MONTHS, 7: _DAYS}.get(top, {})

    def number(word: str) -> int:
        return names[word] if word in names else int(word)

    for item in text.lower().split(","):
        span, _, step = item.partition("/")
        low, dash, high = span.partition("-")
        first = (1 if top in (31, 12) else 0) if span == "*" else number(low)
        last = top if span == "*" else number(high) if dash else first
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


@lru_cache(maxsize=4)
def _fields(begins: int, ends: int) -> tuple[Minutes, ...]:
    minutes = np.arange(begins, ends)
    dates = [date(1970, 1, 1) + timedelta(days=day) for day in range(begins // 1440, ends // 1440 + 1)]
    days = minutes // 1440 - begins // 1440
    return (
        minutes % 60,
        minutes // 60 % 24,
        np.array([one.day for one in dates])[days],
        np.array([one.month for one in dates])[days],
        np.array([one.isoweekday() % 7 for one in dates])[days],
    )


def _minute(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(minutes=1)


def instant(minute: int) -> datetime:
    return _EPOCH.replace(tzinfo=UTC) + timedelta(minutes=minute)
