"""What the daemon tells of its work: for logs, metrics and alerts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from lineal.automation.schedule import Tick
from lineal.state import Job


class Notice(Struct, frozen=True, tag=True):
    """Something happened, at a time in UTC."""

    at: datetime


class Fired(Notice, frozen=True):
    """A job is due from now on; with the state ``skipped`` it is not going to run."""

    job: Job


class Missed(Notice, frozen=True):
    """Ticks of a schedule, from the ``first`` to the ``last``, were due while nobody was there, and never fire."""

    schedule: str
    first: Tick
    last: Tick


class Started(Notice, frozen=True):
    """A process was started for a job."""

    job: Job


class Ended(Notice, frozen=True):
    """A job has ended, as its state says."""

    job: Job


class Lost(Notice, frozen=True):
    """The process of a job is gone; the job waits again, or has failed where that happened too often."""

    job: Job


class Stopping(Notice, frozen=True):
    """The run of a job was asked to end, for a later one is due."""

    job: Job


class Late(Notice, frozen=True):
    """A job has waited for longer than it should, and has not begun."""

    job: Job


class ClockSetBack(Notice, frozen=True):
    """The clock was set back, and what is due is looked at anew."""

    schedule: str


class Stepped(Notice, frozen=True):
    """Whoever keeps the schedules has done what was to be done, in so many ``seconds``, or has seen that another one does."""

    seconds: float


Tell: TypeAlias = Callable[[Notice], None]
