"""What a schedule will do, told beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile

from lineal.automation.catching_up import find_due
from lineal.automation.running import decide
from lineal.automation.schedule import PassedOver, Schedule, Tick
from lineal.automation.zones import LAST


@dataclass(frozen=True, slots=True)
class Absence:
    """A time in which nobody is there to fire ticks; they are caught up with when it ``ends``."""

    begins: datetime
    ends: datetime


def simulate(
    schedule: Schedule,
    since: datetime,
    until: datetime,
    *,
    takes: timedelta | None = None,
    absence: Absence | None = None,
) -> Iterator[Tick | PassedOver]:
    """What is due from ``since`` until before ``until``, in order: what fires, and what does not, with the reasons.

    With an ``absence`` it is caught up with what was missed; if a run ``takes`` so long, what still runs counts.
    """
    walk = schedule.walk(since - timedelta(microseconds=1))
    told: Iterator[Tick | PassedOver] = takewhile(lambda item: _tick(item).due_at < until, walk)
    if absence is not None:
        told = _caught_up(schedule, told, absence)
    return told if takes is None else _one_at_a_time(schedule, told, takes)


def _tick(item: Tick | PassedOver) -> Tick:
    return item.tick if isinstance(item, PassedOver) else item


def _caught_up(
    schedule: Schedule, told: Iterator[Tick | PassedOver], absence: Absence
) -> Iterator[Tick | PassedOver]:
    due = None
    for item in told:
        if isinstance(item, PassedOver) or not absence.begins <= item.fires_at <= absence.ends:
            yield item
            continue
        if due is None:
            due = find_due(schedule, item.due_at - timedelta(microseconds=1), absence.ends)
        if schedule.catch_up != "all" and item not in due.run:
            yield PassedOver(_noted(item, f"missed: catch_up = {schedule.catch_up}"))
        elif item.fires_at == absence.ends:
            yield item
        else:
            ends = absence.ends.astimezone(schedule.timezone)
            late = f"caught up with: was due {_local(schedule, item.due_at)}"
            yield _noted(replace(item, fires_at=absence.ends, local=ends), late)


def _one_at_a_time(
    schedule: Schedule, told: Iterator[Tick | PassedOver], takes: timedelta
) -> Iterator[Tick | PassedOver]:
    ends: datetime | None = None  # of the last run that was started or waits
    for item in told:
        if isinstance(item, PassedOver):
            yield item
            continue
        is_running = ends is not None and ends > item.fires_at
        begins = item.fires_at
        match decide(schedule.when_running, is_running=is_running):
            case "start":
                yield item
            case "pass over":
                yield PassedOver(_noted(item, "the run before still goes on: skipped"))
                continue
            case "replace":
                yield _noted(item, "the run before still goes on: cancelled")
            case "wait":
                assert ends is not None
                begins = ends
                yield _noted(item, f"the run before still goes on: begins {_local(schedule, begins)}")
        ends = begins + min(takes, LAST - begins)


def _local(schedule: Schedule, instant: datetime) -> str:
    return f"{instant.astimezone(schedule.timezone):%Y-%m-%d %H:%M}"


def _noted(tick: Tick, note: str) -> Tick:
    return replace(tick, note="; ".join(filter(None, (tick.note, note))))
