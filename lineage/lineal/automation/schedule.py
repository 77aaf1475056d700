"""What is run when, and for which date."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import takewhile, tee
from typing import Any, Literal, TypeAlias

from lineal.automation.cron import Cron
from lineal.automation.moments import ANCHOR, Every, Gap, Moment, Overlap, cron_moments, whole_seconds
from lineal.automation.zones import EPOCH, FIRST, find_zone, instant

CatchUp = Literal["all", "latest", "none"]
WhenRunning = Literal["queue", "skip", "cancel"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at no time known beforehand.

    ``kind`` says what ``of`` is: a ``path`` where there is new data, a ``ref`` that moves, a ``pipeline`` that succeeds, the name of a
    ``webhook`` that is called with a signature. ``secret`` is the variable with the webhook's key, as ``${NAME}``. Data is new ``by`` how it is
    listed, or only where its content is another.
    """

    kind: Literal["path", "ref", "pipeline", "webhook"]
    of: str
    secret: str | None = None
    by: Literal["listing", "content"] = "listing"

    def __str__(self) -> str:
        return f"{self.kind} {self.of}"


When: TypeAlias = Cron | Every | Event


@dataclass(frozen=True, slots=True)
class Tick:
    """One firing of a schedule, for one logical date.

    It is ``due_at`` what the schedule says and ``fires_at`` up to its jitter later, both in UTC; ``local`` is the latter on the
    schedule's clocks. ``logical_date`` is the date and time that the schedule names, moved by its offset in days, with the offset from UTC that
    holds when the tick is due: where a local time does not exist that is not the time at which it fires, and where it happens twice two
    dates differ by their offset. Written in ISO 8601 no two ticks of a schedule have the same. ``note`` is what has to be known about it.
    """

    schedule: str
    due_at: datetime
    fires_at: datetime
    local: datetime
    logical_date: datetime
    note: str = ""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A tick that does not fire; its note says why."""

    tick: Tick


@dataclass(frozen=True, slots=True)
class Schedule:
    """A pipeline that runs by itself: the configuration's table, read. ``pipeline`` is a target; None for the project's own. In place of a pipeline
    a *drill* has patterns of the names of deployments, which it is to ``reproduce``.

    ``gap`` and ``overlap`` count for cron expressions. Ticks are due from ``start`` until before ``end``. ``catch_up`` and ``when_running``
    are what `lineal.automation.catching_up` and `lineal.automation.running` decide by.
    """

    name: str
    when: When
    pipeline: str | None = None
    timezone: tzinfo = UTC
    gap: Gap = "shift"
    overlap: Overlap = "once"
    catch_up: CatchUp = "latest"
    when_running: WhenRunning = "queue"
    jitter_seconds: int = 0
    start: datetime | None = None
    end: datetime | None = None
    logical_date_offset_days: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reproduce: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Schedule:
        """The schedule that a table of the configuration describes, which has checked its names and types.

        `UsageError` for a text that cannot be read.
        """
        zone = find_zone(table.get("timezone", "UTC"))
        plain = ("name", "pipeline", "gap", "overlap", "catch_up", "when_running", "parameters")
        return cls(
            when=_when(table),
            timezone=zone,
            jitter_seconds=whole_seconds(table["jitter"]) if "jitter" in table else 0,
            start=instant(table["start"], zone) if "start" in table else None,
            end=instant(table["end"], zone) if "end" in table else None,
            reproduce=tuple(table.get("reproduce", ())),
            logical_date_offset_days=int(table.get("logical_date_offset", "0d").removesuffix("d")),
            **{name: table[name] for name in plain if name in table},
        )

    @property
    def origin(self) -> str:
        """What its jobs are filed under."""
        return f"{'drill' if self.reproduce else 'schedule'} {self.name}"

    @property
    def timing(self) -> str:
        """All that decides when it fires, as text: two schedules with the same are due at the same times."""
        facts = (
            self.when,
            self.timezone,
            self.gap,
            self.overlap,
            self.jitter_seconds,
            self.start,
            self.end,
            self.logical_date_offset_days,
        )
        return " ".join(map(repr, facts))

    def ticks(self, after: datetime) -> Iterator[Tick]:
        """The ticks that are due after that instant, in order; each fires before the next one is due. None for events."""
        return (item for item in self.walk(after) if isinstance(item, Tick))

    def walk(self, after: datetime) -> Iterator[Tick | PassedOver]:
        """The ticks, and between them what a local time that does not exist left out."""
        moments: Iterator[Moment] = takewhile(self._has_not_ended, self._moments(after))
        if not self.jitter_seconds:
            for moment in moments:
                yield self._tick(moment, 0)
            return
        moments, later = tee(moments)
        due = (moment.at for moment in later if not moment.passed_over)
        next(due, None)
        for moment in moments:
            if moment.passed_over:
                yield self._tick(moment, 0)
            else:
                room = next(due, moment.at + self.jitter_seconds) - moment.at
                yield self._tick(moment, min(room, self.jitter_seconds))

    def last_tick(self, after: datetime, until: datetime) -> Tick | None:
        """The last tick that is due after one instant and has fired by the other: found as fast, however far apart they are."""
        return self._last(after, until, lambda tick: tick.fires_at <= until)

    def next_tick(self, now: datetime) -> Tick | None:
        """The first tick that fires after ``now``; None when there is none or nobody can know."""
        jitter = timedelta(seconds=self.jitter_seconds)
        due = self._last(now - jitter, now, lambda tick: tick.due_at <= now) if jitter else None
        return due if due is not None and due.fires_at > now else next(self.ticks(now), None)

    def _last(self, after: datetime, until: datetime, is_past: Callable[[Tick], bool]) -> Tick | None:
        """The last tick due after one instant that is past at the other; looks back from there, further each time."""
        looked_back = timedelta(minutes=1)
        while True:
            begins = max(after, until - looked_back)
            last = deque(takewhile(is_past, self.ticks(begins)), maxlen=1)
            if last or begins == after:
                return last[0] if last else None
            looked_back *= 8

    def _moments(self, after: datetime) -> Iterator[Moment]:
        last, origin = _seconds(max(after, FIRST)), ANCHOR
        if self.start is not None:
            origin = _seconds_from(self.start)
            last = max(last, origin - 1)
        match self.when:
            case Cron():
                return cron_moments(self.when, self.timezone, last, gap=self.gap, overlap=self.overlap)
            case Every():
                return self.when.moments(self.timezone, last, origin)
            case Event():
                return iter(())

    def _has_not_ended(self, moment: Moment) -> bool:
        return self.end is None or moment.at < _seconds_from(self.end)

    def _tick(self, moment: Moment, jitter_seconds: int) -> Tick | PassedOver:
        fires_at = due_at = EPOCH + timedelta(seconds=moment.at)
        local = due_at.astimezone(self.timezone)
        offset, note = local.utcoffset(), moment.note
        assert offset is not None
        if jitter_seconds:
            waits = _part(self.name, moment.at) * jitter_seconds >> 64
            fires_at += timedelta(seconds=waits)
            local = fires_at.astimezone(self.timezone)
            note = f"{note}; jitter of {waits} s" if note else f"jitter of {waits} s"
        named = EPOCH + timedelta(seconds=moment.local, days=self.logical_date_offset_days)
        tick = Tick(self.name, due_at, fires_at, local, named.replace(tzinfo=timezone(offset)), note)
        return PassedOver(tick) if moment.passed_over else tick


def _seconds(moment: datetime) -> int:
    """Its whole seconds: the last ones that are over."""
    return (moment - EPOCH) // timedelta(seconds=1)


def _seconds_from(moment: datetime) -> int:
    """The first whole seconds that are not before it."""
    return -((EPOCH - moment) // timedelta(seconds=1))


def _part(name: str, at: int) -> int:
    """A number below 2**64 that is always the same for this tick and evenly spread over all of them."""
    return int.from_bytes(hashlib.sha256(f"{name}\n{at}".encode()).digest()[:8])


# --- reading ---------------------------------------------------------------------------------------


def _when(table: Mapping[str, Any]) -> When:
    if "cron" in table:
        return Cron.parse(table["cron"])
    if "every" in table:
        return Every.parse(table["every"])
    on = table["on"]
    [(kind, of)] = [(kind, of) for kind, of in on.items() if kind not in ("secret", "by")]
    return Event(kind, of, on.get("secret"), on.get("by", "listing"))
