"""The documents of schedules: what is configured, and what will happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from typing import Any

from lineal.api.config import Configuration
from lineal.api.job import DAEMON_LOCK, FILE
from lineal.api.nearest import did_you_mean
from lineal.automation.cron import Cron
from lineal.automation.locks import holder
from lineal.automation.moments import Every, whole_seconds
from lineal.automation.schedule import Event, PassedOver, Schedule, Tick
from lineal.automation.simulation import Absence, simulate
from lineal.automation.zones import instant
from lineal.errors import NotFound, UsageError
from lineal.state import Job, ScheduleState, State

Document = dict[str, Any]
# A year of one schedule that fires every five minutes is less.
MOST = 110_000


def schedules_document(configuration: Configuration, now: datetime) -> Document:
    """``{"schedules": [...]}``: what is configured, each with its next tick after ``now``, and with how far it is, as far as `lineal serve` was
    ever there.
    """
    schedules = [(Schedule.of(table), table) for table in configuration.schedules]
    known: Mapping[str, ScheduleState] = {}
    last: dict[str, Job] = {}
    counts: Mapping[str, Mapping[str, int]] = {}
    path = configuration.state / FILE
    if path.exists():
        with State(path) as state:
            known, counts = state.schedules(), state.counts()
            for schedule, _ in schedules:
                for job in state.jobs(origin=schedule.origin, most=1):
                    last[schedule.name] = job
    return {
        "schedules": [
            {
                **_schedule_entry(schedule, table, now),
                "state": _standing(
                    known.get(schedule.name), last.get(schedule.name), counts.get(schedule.origin, {})
                ),
            }
            for schedule, table in schedules
        ],
        "daemon": holder(configuration.state / DAEMON_LOCK),
    }


def pause(configuration: Configuration, name: str, *, by: str, now: datetime) -> Document:
    """Fire nothing of that schedule until `resume`; what runs goes on."""
    return _changed(configuration, name, now, lambda state: state.pause(name, by, now))


def resume(configuration: Configuration, name: str, *, now: datetime) -> Document:
    """Fire again; what was due meanwhile is caught up with as the schedule says."""
    return _changed(configuration, name, now, lambda state: state.resume(name))


def _changed(
    configuration: Configuration, name: str, now: datetime, change: Callable[[State], bool]
) -> Document:
    schedules = _chosen(configuration, None)
    _chosen(configuration, name)  # which says what there is, where that is not
    with State(configuration.state / FILE) as state:
        state.take_up({schedule.name: schedule.timing for schedule in schedules}, now)
        changed = change(state)
        known = state.schedules()[name]
    return {
        "schedule": name,
        "changed": changed,
        "paused_at": _text(known.paused_at),
        "paused_by": known.paused_by,
    }


def _standing(known: ScheduleState | None, last: Job | None, counts: Mapping[str, int]) -> Document | None:
    """How far a schedule is; None where nobody has looked after it yet."""
    if known is None:
        return None
    return {
        "handled_at": known.handled_at.isoformat(),
        "paused_at": _text(known.paused_at),
        "paused_by": known.paused_by,
        "waiting": counts.get("queued", 0),
        "running": counts.get("starting", 0) + counts.get("running", 0),
        "last": None
        if last is None
        else {
            "logical_date": last.logical_date,
            "state": last.state,
            "run_id": last.run_id,
            "note": last.note,
        },
    }


def simulation_document(
    configuration: Configuration,
    name: str | None,
    *,
    since: str | None,
    until: str | None,
    takes: str | None,
    absence: str | None,
    now: datetime,
    most: int = MOST,
) -> Document:
    """What all schedules, or the one of that ``name``, do from ``since`` until before ``until``, in the order of time.

    Both are dates or times; by default now, and a week after the former. ``takes`` is how long runs take, ``absence``
    an interval, ``FROM/TO``, in which nothing is fired. ``ticks`` fire, those in ``passed_over`` do not; schedules in ``by_event``
    fire when nobody can know. Where there are more than ``most`` of both, ``cut`` is the first instant that is not told.
    """
    schedules = _chosen(configuration, name)
    duration = None if takes is None else _duration("--takes", takes)
    told = [
        simulate(
            schedule, *_span(schedule, since, until, now), takes=duration, absence=_absence(schedule, absence)
        )
        for schedule in schedules
    ]
    items = merge(*told, key=lambda item: _tick(item).fires_at)
    ticks: list[Document] = []
    passed_over: list[Document] = []
    for item in islice(items, most):
        (ticks if isinstance(item, Tick) else passed_over).append(_tick_entry(_tick(item)))
    rest = next(items, None)
    return {
        "ticks": ticks,
        "passed_over": passed_over,
        "by_event": [schedule.name for schedule in schedules if isinstance(schedule.when, Event)],
        "cut": None if rest is None else _tick(rest).fires_at.isoformat(),
    }


def _chosen(configuration: Configuration, name: str | None) -> list[Schedule]:
    schedules = [Schedule.of(table) for table in configuration.schedules]
    if name is None:
        return schedules
    names = [schedule.name for schedule in schedules]
    if name not in names:
        there = (
            f"There are {', '.join(names)}."
            if names
            else "The configuration has no [[tool.lineal.schedules]]."
        )
        raise NotFound(f"there is no schedule {name}{did_you_mean(name, names)}", there)
    return [schedules[names.index(name)]]


def _span(
    schedule: Schedule, since: str | None, until: str | None, now: datetime
) -> tuple[datetime, datetime]:
    begins = now if since is None else _instant("--from", since, schedule)
    ends = begins + timedelta(days=7) if until is None else _instant("--to", until, schedule)
    if ends < begins:
        raise UsageError(
            f"--to {ends.isoformat()} is before --from {begins.isoformat()}",
            "What is told begins with --from.",
        )
    return begins, ends


def _absence(schedule: Schedule, text: str | None) -> Absence | None:
    if text is None:
        return None
    begins, slash, ends = text.partition("/")
    if not slash:
        raise UsageError(f"--down {text} is no interval", "Write FROM/TO: 2026-03-28T18:00/2026-03-29T08:00.")
    absence = Absence(_instant("--down", begins, schedule), _instant("--down", ends, schedule))
    if absence.ends < absence.begins:
        raise UsageError(f"--down {text} ends before it begins", "Write FROM/TO.")
    return absence


def _instant(option: str, text: str, schedule: Schedule) -> datetime:
    try:
        return instant(text, schedule.timezone)
    except UsageError as problem:
        raise UsageError(f"{option}: {problem}", problem.hint) from None


def _duration(option: str, text: str) -> timedelta:
    try:
        return timedelta(seconds=whole_seconds(text))
    except UsageError as problem:
        raise UsageError(f"{option}: {problem}", problem.hint) from None


def _schedule_entry(schedule: Schedule, table: Mapping[str, Any], now: datetime) -> Document:
    tick = schedule.next_tick(now)
    when = schedule.when
    return {
        "name": schedule.name,
        "pipeline": schedule.pipeline,
        "reproduce": list(schedule.reproduce),
        "cron": str(when) if isinstance(when, Cron) else None,
        "every": str(when) if isinstance(when, Every) else None,
        "on": dict(table["on"]) if isinstance(when, Event) else None,
        "timezone": str(schedule.timezone),
        "gap": schedule.gap,
        "overlap": schedule.overlap,
        "catch_up": schedule.catch_up,
        "when_running": schedule.when_running,
        "jitter": table.get("jitter"),
        "start": _text(schedule.start),
        "end": _text(schedule.end),
        "logical_date_offset": f"{schedule.logical_date_offset_days}d",
        "parameters": dict(schedule.parameters),
        "next": None if tick is None else _tick_entry(tick),
    }


def _tick_entry(tick: Tick) -> Document:
    return {
        "schedule": tick.schedule,
        "fires_at": tick.fires_at.isoformat(),
        "local": tick.local.isoformat(),
        "logical_date": tick.logical_date.isoformat(),
        "note": tick.note,
    }


def _tick(item: Tick | PassedOver) -> Tick:
    return item.tick if isinstance(item, PassedOver) else item


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
