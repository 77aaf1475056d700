"""What becomes of a schedule at an instant: the jobs that it is due for, and how far it is settled by that."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from lineal.automation.catching_up import ON_TIME, find_due
from lineal.automation.running import decide
from lineal.automation.schedule import Schedule, Tick
from lineal.state import NewJob

if TYPE_CHECKING:
    from lineal.state import ScheduleState


class Firing(Struct, frozen=True):
    """The ``jobs`` that are due, after which the schedule is settled until ``handled_at``.

    ``passed_over`` are the first and the last of those ticks that never fire; with ``more`` others are due after these. ``set_back`` says
    that the clock went back.
    """

    handled_at: datetime
    jobs: tuple[NewJob, ...] = ()
    passed_over: tuple[Tick, Tick] | None = None
    more: bool = False
    set_back: bool = False


def fire(schedule: Schedule, known: ScheduleState, now: datetime, *, is_running: bool) -> Firing | None:
    """What is to be done ``now``; None where nothing is. ``is_running`` where a run of the schedule has not ended, or waits.

    Where the clock was set back, what is settled is taken back with it: what was passed over fires when its time comes, and what
    fired does not again, since there is one job for each logical date.
    """
    if now < known.handled_at - ON_TIME:
        settled = max(now, known.purged_at)
        return Firing(settled, set_back=True) if settled < known.handled_at else None
    due = find_due(schedule, max(known.handled_at, known.purged_at), now)
    if due.handled is None:
        return None
    jobs = []
    for tick in due.run:
        passes = decide(schedule.when_running, is_running=is_running) == "pass over"
        jobs.append(_job(schedule, tick, now, passes=passes))
        is_running = True
    return Firing(due.handled.due_at, tuple(jobs), due.passed_over, due.more)


def fire_event(
    schedule: Schedule, known: ScheduleState, seen: str, now: datetime, *, is_running: bool
) -> Firing | None:
    """The same for a schedule on an event, which has ``seen`` something, or nothing any more (empty); what it sees first is what there
    was before.
    """
    if seen == known.seen:
        return None
    if known.seen is None or not seen:
        return Firing(now)
    return Firing(now, (_job_of_event(schedule, now, is_running=is_running, variant=seen),))


def fire_call(
    schedule: Schedule, known: ScheduleState, call: str, now: datetime, *, is_running: bool
) -> Firing:
    """The same for a schedule on a webhook, which was called: ``call`` tells that call from all others.

    Each moves the schedule on, whatever the clock does, so that of two who fire at once the second has to look again.
    """
    handled_at = max(now, known.handled_at + timedelta(microseconds=1))
    return Firing(handled_at, (_job_of_event(schedule, now, is_running=is_running, variant=call),))


def _job_of_event(schedule: Schedule, now: datetime, *, is_running: bool, variant: str) -> NewJob:
    local = now.astimezone(schedule.timezone).replace(microsecond=0)
    passes = decide(schedule.when_running, is_running=is_running) == "pass over"
    tick = Tick(schedule.name, now, now, local, local + timedelta(days=schedule.logical_date_offset_days))
    return _job(schedule, tick, now, passes=passes, variant=variant)


def _job(schedule: Schedule, tick: Tick, now: datetime, *, passes: bool, variant: str = "") -> NewJob:
    notes = [tick.note]
    if now - tick.fires_at > ON_TIME:
        notes.append("caught up with")
    if passes:
        notes.append("the run before still goes on: skipped")
    return NewJob(
        schedule.origin,
        tick.logical_date.isoformat(),
        tick.fires_at,
        schedule.pipeline,
        {"reproduce": list(schedule.reproduce)} if schedule.reproduce else dict(schedule.parameters),
        variant,
        "; ".join(filter(None, notes)),
        "skipped" if passes else "queued",
    )
