"""The instants that a cron expression or an interval names in a time zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal, NamedTuple

from lineal.automation.cron import Cron
from lineal.automation.zones import LAST, Stretch, offset_at, stretches
from lineal.durations import parse_duration
from lineal.errors import UsageError

Gap = Literal["shift", "skip"]
Overlap = Literal["once", "both"]


class Moment(NamedTuple):
    """An instant, ``at``, and the ``local`` time that names it: not always the one that clocks show then.

    Both are seconds, as in `lineal.automation.zones`. The ``note`` says what was decided about a local time that does not
    exist or happens twice. At a moment that is ``passed_over`` nothing happens, and the note says why.
    """

    at: int
    local: int
    note: str = ""
    passed_over: bool = False


def cron_moments(cron: Cron, zone: tzinfo, after: int, *, gap: Gap, overlap: Overlap) -> Iterator[Moment]:
    """The moments after ``after``, their instants ascending.

    A time that does not exist falls on the first instant after those that do not, or with the ``gap`` "skip" is passed over. Where several
    fall on one instant, one that is there by itself included, they are one moment: the last one's. A time that happens twice is its
    first, or with the ``overlap`` "both" two. Where hours are open, every instant counts whose local time is named, and no other.
    """
    for stretch in stretches(zone, after + 1):
        begins = max(stretch.begins, after + 1)
        there = _named(cron, begins + stretch.offset, stretch.ends + stretch.offset)
        missing = list(_named(cron, *stretch.left_out)) if stretch.begins > after else []
        if missing:
            here = stretch.begins + stretch.offset
            first = next(there, None)
            if cron.open_hours:
                word = cron.text.split()[1]
                yield Moment(
                    begins, missing[-1], f"{_absent(missing)}: hours given as {word} are not shifted", True
                )
            elif gap == "skip":
                yield Moment(begins, missing[-1], f"{_absent(missing)}: skipped", True)
            elif first != here:
                yield Moment(begins, missing[-1], f"{_absent(missing)}: shifted to {_clock(here)}")
            if first is not None:
                stands_for_them = first == here and gap == "shift" and not cron.open_hours
                note = f"{_absent(missing)}: this tick stands in" if stands_for_them else ""
                yield Moment(first - stretch.offset, first, note)
        yield from _existing(there, stretch, both=cron.open_hours or overlap == "both")


def _existing(there: Iterator[int], stretch: Stretch, *, both: bool) -> Iterator[Moment]:
    """Of the stretch's local times those that count."""
    again_until, again_from = stretch.again_until, stretch.again_from
    for local in there:
        note = ""
        if local < again_until:
            if not both:
                continue
            note = f"{_clock(local)} happens twice: the second of both"
        elif local >= again_from:
            note = f"{_clock(local)} happens twice: {'the first of both' if both else 'its first'}"
        yield Moment(local - stretch.offset, local, note)


def _named(cron: Cron, begins: int, ends: int) -> Iterator[int]:
    for minute in cron.named(-(-begins // 60), -(-ends // 60)):
        yield minute * 60


def _absent(missing: list[int]) -> str:
    if len(missing) == 1:
        return f"{_clock(missing[0])} does not exist"
    return f"{_clock(missing[0])} to {_clock(missing[-1])} do not exist"


def _clock(local: int) -> str:
    minutes = local // 60 % 1440
    return f"{minutes // 60:02}:{minutes % 60:02}"


@dataclass(frozen=True, slots=True)
class Every:
    """An interval of elapsed time, in whole ``seconds``; ``text`` is how it is written."""

    text: str
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Every:
        """From ``"15m"``, ``"6h"``, ``"1d"`` and the like; `UsageError` for less than a second or parts of one."""
        return cls(text, whole_seconds(text))

    def __str__(self) -> str:
        return self.text

    def moments(self, zone: tzinfo, after: int, origin: int) -> Iterator[Moment]:
        """The moments after ``after``: those that are whole intervals away from ``origin``, before or after it."""
        at = origin + ((after - origin) // self.seconds + 1) * self.seconds
        while at < _END:
            yield Moment(at, at + offset_at(zone, at))
            at += self.seconds


# What intervals count from where there is no start: a Monday, so that "7d" is a week as people count them.
ANCHOR = int(datetime(2001, 1, 1, tzinfo=UTC).timestamp())
_END = int(LAST.timestamp())
_CENTURY = 36525 * 86400


def whole_seconds(text: str) -> int:
    """Seconds from a duration, at least one and at most a century; `UsageError` for what is none, and for parts of a second."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= _CENTURY or seconds != int(seconds):
        raise UsageError(
            f"{text!r} is no duration of whole seconds", 'Write it like "90s", "15m", "6h" or "1d".'
        )
    return int(seconds)
