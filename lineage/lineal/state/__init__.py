"""What is remembered of work that runs by itself: schedules and how far they are, jobs, backfills. All of the SQL.

It says what is to be run and what was asked for; what came of a run is told by the run's own record in the store. Whoever
loses this file loses no result: schedules go on from the moment at which they are taken up again.
"""

from lineal.state.database import StateUnavailable
from lineal.state.state import UNDER_WAY, Backfill, Job, JobState, NewJob, ScheduleState, Settlement, State

__all__ = [
    "UNDER_WAY",
    "Backfill",
    "Job",
    "JobState",
    "NewJob",
    "ScheduleState",
    "Settlement",
    "State",
    "StateUnavailable",
]
