"""Which of the jobs that wait are started, which give way, and which runs are stopped for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from lineal.automation.schedule import Schedule

if TYPE_CHECKING:
    from lineal.state import Backfill, Job


class Dispatch(Struct, frozen=True):
    """Jobs to ``start``, in order; those that wait no more, since a later one has come (``drop``); and those that run and are to ``stop``."""

    start: tuple[Job, ...] = ()
    drop: tuple[Job, ...] = ()
    stop: tuple[Job, ...] = ()


def dispatch(
    waiting: Sequence[Job],
    under_way: Sequence[Job],
    schedules: Mapping[str, Schedule],
    backfills: Mapping[str, Backfill],
    *,
    most: int,
) -> Dispatch:
    """What to do with the jobs that wait, so that at most so many run at once.

    Schedules come before backfills, and drills begin when nothing else runs or waits. Of one schedule one job runs at a time, in the order in which they are due; of one that
    cancels what runs, the last one. Of a backfill as many run at once as it says.
    """
    start: list[Job] = []
    drop: list[Job] = []
    stop: list[Job] = []
    room = most - len(under_way)
    by_origin: dict[str, list[Job]] = {}
    for job in waiting:
        by_origin.setdefault(job.origin, []).append(job)
    running: dict[str, list[Job]] = {}
    for job in under_way:
        running.setdefault(job.origin, []).append(job)

    cancelling = {each.origin for each in schedules.values() if each.when_running == "cancel"}
    of_backfills = {backfill.origin: backfill for backfill in backfills.values()}
    first: list[Job] = []
    for origin, jobs in by_origin.items():
        if origin in of_backfills:
            continue
        jobs.sort(key=lambda job: (job.due_at, job.id))
        if origin in cancelling:
            drop += jobs[:-1]
            stop += running.get(origin, ())
            jobs = jobs[-1:]
        if origin not in running:
            first.append(jobs[0])
    first.sort(key=lambda job: (job.due_at, job.id))
    drills = [job for job in first if job.kind == "drill"]
    for job in first:
        if room > 0 and job not in drills:
            start.append(job)
            room -= 1
    for origin, backfill in of_backfills.items():
        jobs = sorted(by_origin.get(origin, ()), key=lambda job: (job.due_at, job.id))
        if backfill.newest_first:
            jobs.reverse()
        own = backfill.most_at_once - len(running.get(origin, ()))
        if backfill.state == "open" and room > 0 and own > 0:
            taken = jobs[: min(room, own)]
            start += taken
            room -= len(taken)
    if not under_way and not start and room > 0:
        start += drills[:1]
    return Dispatch(tuple(start), tuple(drop), tuple(stop))
