"""The jobs that wait and run: begins those whose turn it is, and finds out which have ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from msgspec.structs import replace

from lineal.automation.dispatching import dispatch
from lineal.automation.notices import Ended, Late, Lost, Started, Stopping, Tell
from lineal.automation.schedule import Schedule
from lineal.state import Backfill, Job, State

MOST_STARTS = 3
"""How often a job is begun whose process is killed each time."""
LATE = timedelta(minutes=5)


class Launcher(Protocol):
    """Runs jobs in processes of their own (`lineal.automation.launching`)."""

    def start(self, job: Job, token: str) -> None: ...

    def stop(self, job: Job) -> None: ...

    def is_gone(self, job: Job) -> bool: ...

    def forget(self, job: Job) -> None: ...


class Jobs:
    """The jobs of a state, as far as they are one's own: ``mine`` says that of their origins. At most ``most_runs`` run at once.

    ``schedules`` are those that there are now. As long as it ``holds``, no job begins.
    """

    def __init__(
        self,
        state: State,
        launcher: Launcher,
        tell: Tell,
        mine: Callable[[str, Mapping[str, Backfill]], bool],
        *,
        most_runs: int,
    ) -> None:
        self._state, self._launcher, self._tell = state, launcher, tell
        self._mine, self._most_runs = mine, most_runs
        self.schedules: Mapping[str, Schedule] = {}
        self.holds = False
        self.backfills: Mapping[str, Backfill] = {}
        self._jobs: dict[int, Job] = {}  # those that have not ended
        self._offered: set[int] = set()  # those that processes were started for here
        self._stopped: set[int] = set()
        self._late: set[int] = set()
        self.is_stale = True
        """What is known here is not what the state says."""
        self._version = 0

    @property
    def waiting(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.state == "queued"]

    @property
    def under_way(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.state != "queued"]

    def has_any_of(self, origin: str) -> bool:
        """Whether a job of that origin waits or runs."""
        return any(job.origin == origin for job in self._jobs.values())

    def take(self, job: Job) -> None:
        """Look after a job that was just added."""
        self._jobs[job.id] = job

    def find_changes(self, now: datetime) -> bool:
        """Find out what other processes have done: jobs that have come, begun, or ended. Whether there may be anything new."""
        version = self._state.version()
        if not self.is_stale and version == self._version:
            return False
        self._version, self.is_stale = version, False
        self.backfills = self._state.backfills()
        found = self._state.jobs(states=("queued", "starting", "running"))
        jobs = {job.id: job for job in found if self._mine(job.origin, self.backfills)}
        for job_id in self._jobs.keys() - jobs.keys():
            self._end(job_id, now)
        self._jobs = jobs
        return True

    def step(self, now: datetime) -> None:
        """Take back what nobody is at work on, and begin whatever may be."""
        for job in self.under_way:
            if self._launcher.is_gone(job):
                self._give_back(job, now)
        if waiting := self.waiting:
            self._dispatch(waiting, now)

    def interrupt(self, now: datetime) -> None:
        """Ask all that run to end in an orderly way."""
        for job in self.under_way:
            self._stop(job, now)

    # -- parts --------------------------------------------------------------------------------

    def _dispatch(self, waiting: list[Job], now: datetime) -> None:
        own = {name: each for name, each in self.backfills.items() if self._mine(each.origin, self.backfills)}
        found = dispatch(waiting, self.under_way, self.schedules, own, most=self._most_runs)
        if found.drop:
            self._state.drop([job.id for job in found.drop], "cancelled", now, "a later one was due")
            self.is_stale = True
        for job in found.stop:
            self._stop(job, now)
        for job in () if self.holds else found.start:
            self._start(job, now)
        for job in self.waiting:
            if job.kind == "schedule" and now - job.due_at > LATE and job.id not in self._late:
                self._late.add(job.id)
                self._tell(Late(now, job))

    def _start(self, job: Job, now: datetime) -> None:
        token = self._state.offer(job.id)
        if token is None:
            return
        started = self._jobs[job.id] = replace(job, state="starting")
        self._offered.add(job.id)
        try:
            self._launcher.start(started, token)
        except OSError:  # no memory, no process: it counts as a start
            self._give_back(started, now)
        else:
            self._tell(Started(now, started))

    def _stop(self, job: Job, now: datetime) -> None:
        if job.id not in self._stopped and job.state == "running":
            self._stopped.add(job.id)
            self._launcher.stop(job)
            self._tell(Stopping(now, job))

    def _give_back(self, job: Job, now: datetime) -> None:
        # One that was never begun counts where it was started here: else the one who started it may have been killed.
        counts = job.state == "starting" and job.id in self._offered
        self._offered.discard(job.id)
        if self._state.give_back(job, now, most_starts=MOST_STARTS, counts=counts) is not None:
            found = self._state.job(job.id)
            assert found is not None
            self._jobs[job.id] = found
            self._tell(Lost(now, found))
        self.is_stale = True  # it may have ended, by its own word or by ours

    def _end(self, job_id: int, now: datetime) -> None:
        job = self._state.job(job_id)
        if job is not None:
            self._launcher.forget(job)
            self._tell(Ended(now, job))
        for noted in (self._stopped, self._late, self._offered):
            noted.discard(job_id)
