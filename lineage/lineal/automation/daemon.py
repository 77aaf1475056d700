"""Keeps schedules: step by step it fires what is due, and sees to the jobs that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from msgspec.structs import replace

from lineal.automation.firing import Firing, fire, fire_event
from lineal.automation.jobs import Jobs, Launcher
from lineal.automation.notices import ClockSetBack, Fired, Missed, Tell
from lineal.automation.schedule import Event, Schedule
from lineal.state import Backfill, Job, ScheduleState, Settlement, State

DETACHED = "detached"
"""The option of backfills that are the daemon's to run, and not those of the command that asked for them."""
_IDLE_SECONDS = 1.0  # so soon a clock that was set, or what another process has asked for, is noticed
_BUSY_SECONDS = 0.05
_KEPT = timedelta(days=400)  # more than a year, so that no clock that is a year wrong fires a date again
_PURGES = timedelta(hours=6)
_FAR = datetime.max.replace(tzinfo=UTC)


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
        self._state, self._sensors, self._tell, self._clock = state, sensors, tell, clock
        self._jobs = Jobs(state, launcher, tell, _is_the_daemons, most_runs=most_runs)
        self._schedules: dict[str, Schedule] = {}
        self._known: dict[str, ScheduleState] = {}
        self._next: dict[str, datetime] = {}  # when each is to be looked at again
        self._last = datetime.min.replace(tzinfo=UTC)
        self._purged_at = self._last

    @property
    def waiting(self) -> list[Job]:
        """The jobs that are due and have not begun, as far as the last step knows."""
        return self._jobs.waiting

    @property
    def under_way(self) -> list[Job]:
        """The jobs that run, as far as the last step knows."""
        return self._jobs.under_way

    @property
    def holds(self) -> bool:
        """With True no job begins; what is due waits."""
        return self._jobs.holds

    @holds.setter
    def holds(self, holds: bool) -> None:
        self._jobs.holds = holds

    def configure(self, schedules: Mapping[str, Schedule]) -> None:
        """From now on look after these schedules."""
        self._known = self._state.take_up(
            {name: schedule.timing for name, schedule in schedules.items()}, self._clock.now()
        )
        self._schedules = dict(schedules)
        self._jobs.schedules = self._schedules
        self._sensors.watch(
            {name: each.when for name, each in schedules.items() if isinstance(each.when, Event)}
        )
        self._next = {}
        self._jobs.is_stale = True

    def doubt(self) -> None:
        """What is known here may not be what the state says: it is read anew with the next step."""
        self._jobs.is_stale = True
        self._next = {}

    def step(self) -> float:
        """Do what is to be done now; in so many seconds there may be more."""
        now = self._clock.now()
        if now < self._last:
            self._next = {}
        self._last = now
        if self._jobs.find_changes(now):
            self._read()
        self._fire(now)
        self._jobs.step(now)
        if now - self._purged_at > _PURGES:
            self._state.purge(now - _KEPT)
            self._purged_at = now
        if self._jobs.is_stale or self._jobs.under_way:
            return _BUSY_SECONDS
        soonest = min(self._next.values(), default=_FAR)
        return max(0.0, min(_IDLE_SECONDS, (soonest - now).total_seconds()))

    # -- parts --------------------------------------------------------------------------------

    def _read(self) -> None:
        """Look at how far schedules are, and whether somebody has paused them."""
        known = self._state.schedules()
        for name in self._schedules:
            if known.get(name) != self._known.get(name):
                self._next.pop(name, None)
        self._known = known

    def _fire(self, now: datetime) -> None:
        seen = self._sensors.seen()
        due: list[tuple[str, Firing, str | None]] = []
        for name, schedule in self._schedules.items():
            known = self._known[name]
            if known.paused_at is not None:
                self._next[name] = _FAR
            elif isinstance(schedule.when, Event):
                if name in seen and seen[name] != known.seen:
                    is_running = self._jobs.has_any_of(schedule.origin)
                    firing = fire_event(schedule, known, seen[name], now, is_running=is_running)
                    if firing is not None:
                        due.append((name, firing, seen[name]))
            elif self._next.get(name, now) <= now:
                firing = fire(schedule, known, now, is_running=self._jobs.has_any_of(schedule.origin))
                if firing is not None:
                    due.append((name, firing, None))
                upcoming = schedule.next_tick(now)
                self._next[name] = upcoming.fires_at if upcoming is not None else _FAR
        if due:
            self._settle(due, now)

    def _settle(self, due: Sequence[tuple[str, Firing, str | None]], now: datetime) -> None:
        """Make it so, in the state: at once, for hundreds may be due at midnight."""
        settlements = [
            Settlement(name, firing.handled_at, firing.jobs, self._known[name].handled_at, seen)
            for name, firing, seen in due
        ]
        settled = self._state.settle_all(settlements, now)
        for (name, firing, seen), added in zip(due, settled, strict=True):
            if added is None:  # another process was first
                self._jobs.is_stale = True
                continue
            before = self._known[name]
            self._known[name] = replace(
                before, handled_at=firing.handled_at, seen=before.seen if seen is None else seen
            )
            if firing.set_back:
                self._tell(ClockSetBack(now, name))
            if firing.passed_over is not None:
                self._tell(Missed(now, name, *firing.passed_over))
            for job in added:
                if job.state == "queued":
                    self._jobs.take(job)
                self._tell(Fired(now, job))
            if firing.more or firing.set_back:
                self._next[name] = now


def _is_the_daemons(origin: str, backfills: Mapping[str, Backfill]) -> bool:
    kind, _, name = origin.partition(" ")
    return kind in ("schedule", "drill") or (name in backfills and DETACHED in backfills[name].options)
