"""Cron expressions, and the minutes of the local clock that they name."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, date
from typing import NamedTuple

from lineal.errors import UsageError

MINUTES_A_DAY = 1440


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression. ``text`` is how it is written: five fields in lower case, one space apart.

    Values are in order; Sunday is 0. A day has to be one of ``days`` and of ``weekdays``, or with ``either_day`` one of
    them: as in Vixie's cron and those that descend from it where neither of the two fields begins with ``*`` (crontab(5)). With
    ``open_hours`` the field of the hours begins with ``*``: then it names no time of day but a pace, which follows elapsed time.

    >>> cron = Cron.parse("*/30 2 * * MON-fri")
    >>> str(cron), cron.minutes, cron.hours, cron.weekdays
    ('*/30 2 * * mon-fri', (0, 30), (2,), (1, 2, 3, 4, 5))
    """

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either_day: bool
    open_hours: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """The expression, or one of ``@hourly @daily @midnight @weekly @monthly @yearly @annually``.

        `InvalidCron` says which field cannot be used, and what may stand there; also where no day is ever named.
        """
        words = _expanded(text.lower()).split()
        if len(words) != len(_FIELDS):
            more = ", and none for seconds" if len(words) == 6 else ""
            raise InvalidCron(f"{text!r} has {len(words)} fields, not five{more}")
        values = [tuple(sorted({*_values(word, field)})) for word, field in zip(words, _FIELDS, strict=True)]
        minutes, hours, days, months, weekdays = values
        weekdays = tuple(sorted({day % 7 for day in weekdays}))
        either_day = not (words[2].startswith("*") or words[4].startswith("*"))
        if not either_day and days[0] > max(_LONGEST[month - 1] for month in months):
            raise InvalidCron(f"day of month: no month of {words[3]!r} has a day {days[0]}")
        text = " ".join(words)
        return cls(text, minutes, hours, days, months, weekdays, either_day, words[1].startswith("*"))

    def __str__(self) -> str:
        return self.text

    def named(self, begins: int, ends: int) -> Iterator[int]:
        """The minutes that are named from ``begins`` until before ``ends``, in order.

        They count from 1970-01-01 00:00 on the local clock, as if no minute were ever left out or came twice.
        """
        for day in self._days(begins // MINUTES_A_DAY, -(-ends // MINUTES_A_DAY)):
            for hour in self.hours:
                at = day * MINUTES_A_DAY + hour * 60
                if at + 60 <= begins:
                    continue
                for minute in self.minutes:
                    if at + minute >= ends:
                        return
                    if at + minute >= begins:
                        yield at + minute

    def _days(self, begins: int, ends: int) -> Iterator[int]:
        """The days named, counted from 1970-01-01. Whole months are passed over, so that what is rare is found as fast."""
        first = date.fromordinal(begins + _DAY_0)
        year, month, day = first.year, first.month, first.day
        while year < MAXYEAR:
            if month in self.months:
                before = date(year, month, 1).toordinal() - _DAY_0 - 1
                for number in range(day, monthrange(year, month)[1] + 1):
                    if before + number >= ends:
                        return
                    if self._is_named(number, (before + number + _THURSDAY) % 7):
                        yield before + number
            year, month, day = (year, month + 1, 1) if month < 12 else (year + 1, 1, 1)

    def _is_named(self, day: int, weekday: int) -> bool:
        if self.either_day:
            return day in self.days or weekday in self.weekdays
        return day in self.days and weekday in self.weekdays


_DAY_0 = date(1970, 1, 1).toordinal()
_THURSDAY = 4  # that day's weekday


class InvalidCron(UsageError):
    """A cron expression that cannot be used: which field, what stands there, what may."""

    kind = "configuration"

    def __init__(
        self, message: str, hint: str = "The fields: minute, hour, day of month, month, day of week."
    ) -> None:
        super().__init__(message, hint)


# --- reading ---------------------------------------------------------------------------------------


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    names: Sequence[str] = ()  # of the values from ``least`` on

    @property
    def allowed(self) -> str:
        numbers = f"a number from {self.least} to {self.most}"
        return f"neither {numbers} nor one of {' '.join(self.names)}" if self.names else f"not {numbers}"


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field(
        "month", 1, 12, ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    ),
    _Field("day of week", 0, 7, ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
)
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_NUMBER = re.compile(r"[0-9]{1,4}")


def _expanded(text: str) -> str:
    name = text.strip()
    if not name.startswith("@"):
        return text
    if name not in _ALIASES:
        raise InvalidCron(
            f"there is no {name}{_meant(name, _ALIASES) or '; there are ' + ' '.join(_ALIASES)}"
        )
    return _ALIASES[name]


def _values(text: str, field: _Field) -> Iterator[int]:
    """The values of a list of ranges, each with its step; some may come twice."""
    for item in text.split(","):
        span, slash, step_text = item.partition("/")
        step = _step(step_text, field) if slash else 1
        low, dash, high = span.partition("-")
        if span == "*":
            first, last = field.least, field.most
        elif dash:
            first, last = _range(low, high, field)
        elif slash:
            raise InvalidCron(f"{field.name}: a step follows * or a range; write {span}-{field.most}/{step}")
        else:
            first = last = _value(span, field)
        yield from range(first, last + 1, step)


def _range(low: str, high: str, field: _Field) -> tuple[int, int]:
    first, last = _value(low, field), _value(high, field)
    if high == "sun" and first > last:
        last = 7
    if first > last:
        # Vixie's cron takes none that wraps around either, and some others read something else into them.
        wrapped = 1 if field.most == 7 else field.least
        rest = str(last) if last == wrapped else f"{wrapped}-{last}"
        raise InvalidCron(
            f"{field.name}: the range {low}-{high} runs backwards; write {first}-{field.most},{rest}"
        )
    return first, last


def _step(text: str, field: _Field) -> int:
    size = len(range(field.least, field.most + 1)) - (field.most == 7)
    if not _NUMBER.fullmatch(text) or int(text) == 0:
        raise InvalidCron(f"{field.name}: a step is a number from 1 to {size}, not {text!r}")
    if int(text) > size:
        # Others take it, and fire once an hour where */90 was written for every 90 minutes.
        pace = f'; every = "{text}{field.name[0]}" counts elapsed time' if field.most in (59, 23) else ""
        raise InvalidCron(f"{field.name}: a step of {text} is longer than the {size} that there are{pace}")
    return int(text)


def _value(text: str, field: _Field) -> int:
    if text in field.names:
        return field.least + field.names.index(text)
    if _NUMBER.fullmatch(text) and field.least <= int(text) <= field.most:
        return int(text)
    if text == "?":
        raise InvalidCron(f"{field.name}: ? is not known here; write *")
    raise InvalidCron(f"{field.name}: {text!r} is {field.allowed}{_meant(text, field.names)}")


def _meant(text: str, known: Sequence[str] | dict[str, str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(text, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
