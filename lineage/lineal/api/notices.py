"""What the daemon tells, as lines of a log."""

from __future__ import annotations

from lineal.api.log import Level, Log
from lineal.automation.notices import (
    ClockSetBack,
    Ended,
    Fired,
    Late,
    Lost,
    Missed,
    Notice,
    Started,
    Stopping,
)
from lineal.state import Job


def log_notice(notice: Notice, log: Log) -> None:
    """Write down what happened, if it is worth a line."""
    match notice:
        case Fired(at, job):
            log(at, "info", "skipped" if job.state == "skipped" else "due", note=job.note, **facts_of(job))
        case Missed(at, schedule, first, last):
            span = {"first": first.due_at.isoformat(), "last": last.due_at.isoformat()}
            log(at, "warning", "missed, and not caught up with", schedule=schedule, **span)
        case Started(at, job):
            log(at, "info", "starting", **facts_of(job))
        case Ended(at, job):
            log(
                at,
                _LEVELS.get(job.state, "warning"),
                job.state,
                run_id=job.run_id,
                note=job.note,
                **facts_of(job),
            )
        case Lost(at, job):
            log(at, "warning", "its process ended before the run did", state=job.state, **facts_of(job))
        case Stopping(at, job):
            log(at, "warning", "asked to stop", run_id=job.run_id, **facts_of(job))
        case Late(at, job):
            log(at, "warning", "late: it has not begun", due_at=job.due_at.isoformat(), **facts_of(job))
        case ClockSetBack(at, schedule):
            log(at, "warning", "the clock was set back", schedule=schedule)


def facts_of(job: Job) -> dict[str, object]:
    """What a job is, for a line about it."""
    return {job.kind: job.name, "logical_date": job.logical_date, "job": job.id}


_LEVELS: dict[str, Level] = {"succeeded": "info", "failed": "error"}
