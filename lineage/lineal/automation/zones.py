"""Time zones, and when their clocks are changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, tzinfo
from functools import lru_cache
from itertools import count
from typing import NamedTuple
from zoneinfo import ZoneInfo

from lineal.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What is before the one, or not before the other, is not computed: no date in between, nor one years away from it, leaves the calendar.
FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9900, 1, 1, tzinfo=UTC)
_DAY = 86400


def find_zone(name: str) -> ZoneInfo:
    """The time zone of that name in the IANA's database: the system's, else the one that is installed as tzdata.

    `UsageError` where there is none. ``right/…``, which some systems have, counts leap seconds, and no minute begins where clocks show it.
    """
    if not name.startswith("right/"):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown, a path out of the database, a folder of it
            pass
    raise UsageError(
        f"there is no time zone {name}", "Zones are named like Europe/Berlin, America/New_York or UTC."
    )


def instant(value: str | date, zone: tzinfo) -> datetime:
    """The instant, in UTC, of a date or time, or of a text in ISO 8601; of a date its first minute. ``zone`` counts where it names no offset.

    `UsageError` for a text that is none, and for what is too far away.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise UsageError(
                f"{value!r} is no date or time",
                "Write it like 2026-03-29, 2026-03-29T02:30 or 2026-03-29T02:30+02:00.",
            ) from None
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    if not FIRST.year < moment.year < LAST.year - 1:
        raise UsageError(f"{value} is too far away", "Schedules know the years from 1901 to 9898.")
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(UTC)


class Stretch(NamedTuple):
    """A time in which the clocks keep one offset from UTC.

    It ``begins`` and, excluded, ``ends`` at instants; all are seconds, instants since 1970-01-01 in UTC. What is added to an instant is
    the ``offset``; ``before`` and ``after`` are those of its neighbours. "Local" times count as instants do, on the local clock.
    """

    begins: int
    ends: int
    before: int
    offset: int
    after: int

    @property
    def left_out(self) -> tuple[int, int]:
        """The local times that do not exist because the clocks went forward when it began; the second is not among them."""
        return self.begins + self.before, max(self.begins + self.before, self.begins + self.offset)

    @property
    def again_until(self) -> int:
        """Its local times before this one have been before, for the clocks went back when it began."""
        return self.begins + self.before

    @property
    def again_from(self) -> int:
        """Its local times from this one on come again, for the clocks go back when it ends."""
        return self.ends + self.after


def stretches(zone: tzinfo, at: int) -> Iterator[Stretch]:
    """The stretch that ``at`` lies in and those that follow it.

    The first one's beginning is only known if it was within two days; no clock was ever changed by more than one. What nothing
    changes is told in parts of a year or more.
    """
    begins = at - 2 * _DAY
    before = offset = offset_at(zone, begins)
    for year in count(datetime.fromtimestamp(begins, UTC).year):
        if year >= LAST.year:
            return
        changes = _changes(zone, year)
        for changed, after in changes:
            if changed > begins:
                if changed > at:
                    yield Stretch(begins, changed, before, offset, after)
                begins, before, offset = changed, offset, after
        ends = _beginning(year + 1)
        if not changes and ends > at:
            yield Stretch(begins, ends, before, offset, offset)
            begins, before = ends, offset


def offset_at(zone: tzinfo, at: int) -> int:
    """What is added to that instant for the local time, in seconds."""
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    assert offset is not None
    return offset.days * _DAY + offset.seconds


@lru_cache(maxsize=4096)
def _changes(zone: tzinfo, year: int) -> tuple[tuple[int, int], ...]:
    """The instants of a year at which the offset changes, each with the offset from then on.

    zoneinfo does not tell them, so they are looked for: a look a day, and the second by bisection. No two changes that cancel each other out
    were ever less than four days apart (Freetown, 1939).
    """
    found = []
    here = _beginning(year) - 1
    offset = offset_at(zone, here)
    for there in range(here + _DAY, _beginning(year + 1), _DAY):
        offset_there = offset_at(zone, there)
        while offset_there != offset:
            low, high = here, there
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_at(zone, middle) == offset else (low, middle)
            here, offset = high, offset_at(zone, high)
            found.append((here, offset))
        here = there
    return tuple(found)


def _beginning(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
