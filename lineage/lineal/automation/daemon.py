"""Keeps schedules: step by step it fires what is due, starts what waits, and finds out what has ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from msgspec.structs import replace

from lineal.automation.dispatching import Dispatch, dispatch
from lineal.automation.firing import Firing, fire, fire_event, origin_of
from lineal.automation.notices import ClockSetBack, Ended, Fired, Late, Lost, Missed, Started, Stopping, Tell
from lineal.automation.schedule import Event, Schedule
from lineal.state import Backfill, Job, ScheduleState, State

MOST_STARTS = 3
"""How often a job is begun whose process is killed each time."""
LATE = timedelta(minutes=5)
_IDLE_SECONDS = 1.0  # so soon a clock that was set, or what another process has asked for, is noticed
_BUSY_SECONDS = 0.05
_KEPT = timedelta(days=400)  # more than a year, so that no clock that is a year wrong fires a date again
_PURGES = timedelta(hours=6)
_FAR = datetime.max.replace(tzinfo=UTC)


class Launcher(Protocol):
    """Runs jobs in processes of their own (`lineal.automation.launching`)."""

    def start(self, job: Job, token: str) -> None: ...

    def stop(self, job: Job) -> None: ...

    def is_gone(self, job: Job) -> bool: ...

    def forget(self, job: Job) -> None: ...


class Sensors(Protocol):
    """Looks at what events are about. ``seen`` is what was seen last, by the names of schedules, never waiting for it."""

    def watch(self, events: Mapping[str, Event]) -> None: ...

    def seen(self) -> Mapping[str, str]: ...


class Clock(Protocol):
    """The time, in aware UTC."""

    def now(self) -> datetime: ...


class Daemon:
    """The schedules of one project. ``step`` does all that is to be done, and says when to ask again.

    Several may look after the same state, by mistake or while one takes over from another: each date fires once all the same. At most ``most_runs``
    run at once.
    """

    def __init__(
        self, state: State, launcher: Launcher, sensors: Sensors, tell: Tell, clock: Clock, *, most_runs: int
    ) -> None:
        self._state, self._launcher, self._sensors = state, launcher, sensors
        self._tell, self._clock, self._most_runs = tell, clock, most_runs
        self._schedules: dict[str, Schedule] = {}
        self._known: dict[str, ScheduleState] = {}
        self._next: dict[str, datetime] = {}  # when each is to be looked at again
        self._backfills: dict[str, Backfill] = {}
        self._jobs: dict[int, Job] = {}  # those that have not ended
        self._stopped: set[int] = set()
        self._late: set[int] = set()
        self._last = datetime.min.replace(tzinfo=UTC)
        self._purged_at = self._last
        self._offered: set[int] = set()  # jobs that processes were started for here
        self._version = 0
        self._is_stale = True  # what is in memory is not what the state says

    @property
    def jobs(self) -> Mapping[int, Job]:
        """Those that wait or run, as far as the last step knows."""
        return self._jobs

    def configure(self, schedules: Mapping[str, Schedule]) -> None:
        """From now on look after these schedules."""
        self._known = self._state.take_up(
            {name: schedule.timing for name, schedule in schedules.items()}, self._clock.now()
        )
        self._schedules = dict(schedules)
        self._sensors.watch(
            {name: each.when for name, each in schedules.items() if isinstance(each.when, Event)}
        )
        self._next = {}
        self._is_stale = True

    def step(self) -> float:
        """Do what is to be done now; in so many seconds there may be more."""
        now = self._clock.now()
        if now < self._last:
            self._next = {}
        self._last = now
        version = self._state.version()
        if self._is_stale or version != self._version:
            self._version, self._is_stale = version, False
            self._read(now)
        self._fire(now)
        self._find_gone(now)
        self._dispatch(now)
        self._find_late(now)
        if now - self._purged_at > _PURGES:
            self._state.purge(now - _KEPT)
            self._purged_at = now
        if self._is_stale or any(job.state != "queued" for job in self._jobs.values()):
            return _BUSY_SECONDS
        soonest = min(self._next.values(), default=_FAR)
        return max(0.0, min(_IDLE_SECONDS, (soonest - now).total_seconds()))

    # -- parts --------------------------------------------------------------------------------

    def _read(self, now: datetime) -> None:
        """Look at what other processes have changed: jobs that have begun or ended, pauses, backfills."""
        known = self._state.schedules()
        changed = {name for name in self._schedules if known.get(name) != self._known.get(name)}
        self._known = known
        for name in changed:
            self._next.pop(name, None)
        self._backfills = self._state.backfills()
        jobs = {job.id: job for job in self._state.jobs(states=("queued", "starting", "running"))}
        for job_id in self._jobs.keys() - jobs.keys():
            self._end(job_id, now)
        self._jobs = jobs

    def _end(self, job_id: int, now: datetime) -> None:
        job = self._state.job(job_id)
        if job is not None:
            self._launcher.forget(job)
            self._tell(Ended(now, job))
        for noted in (self._stopped, self._late, self._offered):
            noted.discard(job_id)

    def _fire(self, now: datetime) -> None:
        seen = self._sensors.seen()
        for name, schedule in self._schedules.items():
            known = self._known[name]
            if known.paused_at is not None:
                self._next[name] = _FAR
            elif isinstance(schedule.when, Event):
                if name in seen and seen[name] != known.seen:
                    firing = fire_event(schedule, known, seen[name], now, is_running=self._is_running(name))
                    self._settle(name, firing, now, seen=seen[name])
            elif self._next.get(name, now) <= now:
                firing = fire(schedule, known, now, is_running=self._is_running(name))
                if self._settle(name, firing, now):
                    self._next[name] = now
                    continue
                upcoming = schedule.next_tick(now)
                self._next[name] = upcoming.fires_at if upcoming is not None else _FAR

    def _settle(self, name: str, firing: Firing | None, now: datetime, *, seen: str | None = None) -> bool:
        """Make it so, in the state; whether the schedule has to be looked at again."""
        if firing is None:
            return False
        known = self._known[name]
        added = self._state.settle(
            name, firing.handled_at, firing.jobs, now, before=known.handled_at, seen=seen
        )
        if added is None:  # another process was first
            self._known = self._state.schedules()
            return True
        self._known[name] = replace(
            known, handled_at=firing.handled_at, seen=known.seen if seen is None else seen
        )
        if firing.set_back:
            self._tell(ClockSetBack(now, name))
        if firing.passed_over is not None:
            self._tell(Missed(now, name, *firing.passed_over))
        for job in added:
            if job.state == "queued":
                self._jobs[job.id] = job
            self._tell(Fired(now, job))
        return firing.more or firing.set_back

    def _is_running(self, name: str) -> bool:
        origin = origin_of(name)
        return any(job.origin == origin for job in self._jobs.values())

    def _find_gone(self, now: datetime) -> None:
        for job in list(self._jobs.values()):
            if job.state == "queued" or not self._launcher.is_gone(job):
                continue
            self._give_back(job, now)

    def _give_back(self, job: Job, now: datetime) -> None:
        # One that was never begun counts where it was started here: else the one who started it may have been killed.
        counts = job.state == "starting" and job.id in self._offered
        self._offered.discard(job.id)
        if self._state.give_back(job, now, most_starts=MOST_STARTS, counts=counts) is not None:
            found = self._state.job(job.id)
            assert found is not None
            self._jobs[job.id] = found
            self._tell(Lost(now, found))
        self._is_stale = True  # it may have ended, by its own word or by ours

    def _dispatch(self, now: datetime) -> None:
        waiting = [job for job in self._jobs.values() if job.state == "queued"]
        if not waiting:
            return
        under_way = [job for job in self._jobs.values() if job.state in ("starting", "running")]
        found: Dispatch = dispatch(waiting, under_way, self._schedules, self._backfills, most=self._most_runs)
        if found.drop:
            self._state.drop([job.id for job in found.drop], "cancelled", now, "a later one was due")
            self._is_stale = True
        for job in found.stop:
            if job.id not in self._stopped and job.state == "running":
                self._stopped.add(job.id)
                self._launcher.stop(job)
                self._tell(Stopping(now, job))
        for job in found.start:
            token = self._state.offer(job.id)
            if token is None:
                continue
            started = self._jobs[job.id] = replace(job, state="starting")
            self._offered.add(job.id)
            try:
                self._launcher.start(started, token)
            except OSError:  # no memory, no process: it counts as a start
                self._give_back(started, now)
            else:
                self._tell(Started(now, started))

    def _find_late(self, now: datetime) -> None:
        for job in self._jobs.values():
            waits = job.state == "queued" and job.origin.startswith("schedule ")
            if waits and now - job.due_at > LATE and job.id not in self._late:
                self._late.add(job.id)
                self._tell(Late(now, job))
