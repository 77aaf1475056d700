"""Alerts of what runs by itself: what is late or missing, what failed before its run began, and what has grown old."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from lineal.alerts.rules import About, Alert
from lineal.alerts.schedules import tell_begun, tell_missed, tell_not_begun
from lineal.alerts.tell import Teller
from lineal.alerts.watch import Watch
from lineal.api.alerts import deliver_waiting
from lineal.api.config import Configuration
from lineal.automation.notices import Ended, Missed, Notice, Started
from lineal.automation.schedule import Schedule
from lineal.engine.provenance import host_name
from lineal.state import Job

_EVERY = timedelta(minutes=1)


class AutomationAlerts:
    """Tells the alerts of one project. ``problem`` is told what cannot be told or looked at; nothing here delays a schedule.

    ``tell_stale`` looks at the store for what has grown old, and may take its time.
    """

    def __init__(self, problem: Callable[[str], None], tell_stale: Callable[[Configuration], None]) -> None:
        self._problem, self._tell_stale = problem, tell_stale
        self._configuration: Configuration | None = None
        self._schedules: Mapping[str, Schedule] = {}
        self._alerts: Sequence[Alert] = ()
        self._looked: datetime | None = None
        self._looking: threading.Thread | None = None

    def configure(self, configuration: Configuration, schedules: Mapping[str, Schedule]) -> None:
        """From now on tell the alerts of that configuration."""
        self._configuration, self._schedules = configuration, schedules
        self._alerts = [Alert.of(table) for table in configuration.alerts]

    def hear(self, notice: Notice) -> None:
        """Something happened."""
        if not self._alerts or self._configuration is None:
            return
        with self._told_of_problems("an alert could not be written down"):
            match notice:
                case Missed(at, name, first, last):
                    since = f"from {first.due_at:%Y-%m-%d %H:%M} on " if first != last else ""
                    why = f"nobody was there to fire it {since}and catch_up says not to"
                    tell_missed(self._teller, self._alerts, self._about(name), name, last.due_at, at, why)
                case Started(at, job) if (scheduled := _schedule_of(job)) is not None:
                    about = self._about(scheduled)
                    tell_begun(self._teller, self._alerts, about, scheduled, job.due_at, at)
                case Ended(at, job) if job.state == "failed" and job.run_id is None:
                    about = replace(
                        self._about(_schedule_of(job) or job.origin), parameters=dict(job.parameters)
                    )
                    Watch(about, self._alerts, self._configuration.root).broke(job.note, at)

    def look(self, waiting: Sequence[Job], now: datetime) -> None:
        """What is late by now, and what has grown old: looked for once a minute, at most."""
        if not self._alerts or self._configuration is None:
            return
        if self._looked is not None and timedelta(0) <= now - self._looked < _EVERY:
            return
        self._looked = now
        with self._told_of_problems("an alert could not be written down"):
            for job in waiting:
                name = _schedule_of(job)
                if name is not None and name in self._schedules:
                    upcoming = self._schedules[name].next_tick(job.due_at)
                    next_due = upcoming.due_at if upcoming is not None else None
                    tell_not_begun(
                        self._teller,
                        self._alerts,
                        self._about(name),
                        name,
                        job.due_at,
                        now,
                        next_due=next_due,
                    )
            for problem in deliver_waiting(self._configuration.root):
                self._problem(problem)
        if self._looking is None or not self._looking.is_alive():
            self._looking = threading.Thread(
                target=self._look_for_stale, args=(self._configuration,), name="lineal-stale", daemon=True
            )
            self._looking.start()

    @property
    def _teller(self) -> Teller:
        assert self._configuration is not None
        return Teller(self._configuration.root)

    def _look_for_stale(self, configuration: Configuration) -> None:
        with self._told_of_problems("cannot look for what has grown old"):
            self._tell_stale(configuration)

    @contextmanager
    def _told_of_problems(self, what: str) -> Iterator[None]:
        """Whatever is wrong with an alert, the schedules are not."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self._problem(f"{what}: {type(error).__name__}: {error}")

    def _about(self, name: str) -> About:
        configuration, schedule = self._configuration, self._schedules.get(name)
        assert configuration is not None
        target = (schedule.pipeline if schedule is not None else None) or next(
            iter(configuration.pipelines), name
        )
        parameters = dict(schedule.parameters) if schedule is not None else {}
        return About(
            target.rpartition(":")[2] or target,
            target,
            configuration.namespace,
            host_name(),
            parameters,
            page=configuration.page or "",
        )


def _schedule_of(job: Job) -> str | None:
    return job.name if job.kind == "schedule" else None
