"""The figures of all projects, as Prometheus reads them (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lineal.alerts.outbox import Outbox
from lineal.api.serve import Served
from lineal.automation.notices import ClockSetBack, Fired, Notice, Stepped, Tell
from lineal.automation.schedule import Schedule
from lineal.errors import LinealError
from lineal.state import Job
from lineal.version import VERSION
from lineal.views.figures import Figures

MOST_VALUES = 1000
"""So many schedules and pipelines are told apart; what comes later is called ``other``."""
_OTHER = "other"
_RUN_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
_LATE_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600)
_STEP_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30)


class Metrics:
    """What is counted since the process began, and what stands now, which is looked up when somebody asks.

    ``projects`` come with their names. Of runs, `count` has to be told; all else is heard.
    """

    def __init__(self, projects: Mapping[str, Served], now: Callable[[], datetime]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._projects = projects
        self._bound = _Bound()
        self._registry = registry = CollectorRegistry()
        run = ("project", "pipeline", "schedule")
        self._run_seconds = Histogram(
            "lineal_run_duration_seconds",
            "What runs of schedules and backfills took that have ended.",
            run,
            buckets=_RUN_SECONDS,
            registry=registry,
        )
        self._runs = Counter(
            "lineal_runs_total",
            "Runs of schedules and backfills that have ended, by how; no pipeline where none began.",
            (*run, "state"),
            registry=registry,
        )
        pipeline = ("project", "pipeline")
        self._stages = Counter(
            "lineal_stages_total",
            "Stages of these runs, by how they ended.",
            (*pipeline, "state"),
            registry=registry,
        )
        self._lookups = Counter(
            "lineal_cache_lookups_total",
            "What the action cache had for these stages: hit, miss, or off where it was not asked.",
            (*pipeline, "result"),
            registry=registry,
        )
        self._written = Counter(
            "lineal_written_bytes_total",
            "Bytes of the artifacts that these stages made.",
            pipeline,
            registry=registry,
        )
        self._lateness = Histogram(
            "lineal_schedule_lateness_seconds",
            "How long after a tick was due it fired.",
            ("project",),
            buckets=_LATE_SECONDS,
            registry=registry,
        )
        self._steps = Histogram(
            "lineal_scheduler_step_duration_seconds",
            "What the steps of the scheduler took.",
            ("project",),
            buckets=_STEP_SECONDS,
            registry=registry,
        )
        self._last_step = Gauge(
            "lineal_scheduler_last_step_timestamp_seconds",
            "When the scheduler made its last step.",
            ("project",),
            registry=registry,
        )
        self._set_back = Counter(
            "lineal_clock_set_back_total",
            "How often a schedule found that the clock was set back.",
            ("project",),
            registry=registry,
        )
        for name in projects:
            self._set_back.labels(name)
        self._last_success = _LastSuccess()
        registry.register(_Standing(projects, self._last_success, now))
        Gauge("lineal_info", "Which version this is.", ("version",), registry=registry).labels(VERSION).set(1)
        ProcessCollector(registry=registry)

    def text(self) -> bytes:
        """All of it; takes as long as the states of the projects do."""
        return generate_latest(self._registry)

    def listener(self, name: str) -> Tell:
        """What hears the notices of that project."""

        def hear(notice: Notice) -> None:
            match notice:
                case Fired(at, job):
                    self._lateness.labels(name).observe(max(0.0, (at - job.due_at).total_seconds()))
                    if job.state == "skipped":
                        self._runs.labels(name, "", self._schedule(job), "skipped").inc()
                case Stepped(at, seconds):
                    self._steps.labels(name).observe(seconds)
                    self._last_step.labels(name).set(at.timestamp())
                case ClockSetBack():
                    self._set_back.labels(name).inc()

        return hear

    def count(self, name: str, job: Job, figures: Figures | None) -> None:
        """A job of the project called ``name`` has ended, with these figures where its run has any."""
        schedule = self._schedule(job)
        pipeline = self._bound("pipeline", figures.pipeline) if figures is not None else ""
        self._runs.labels(name, pipeline, schedule, job.state).inc()
        if job.state == "succeeded" and job.ended_at is not None and schedule:
            self._last_success.note(name, job.origin, job.ended_at)
        if figures is None:
            return
        self._run_seconds.labels(name, pipeline, schedule).observe(figures.seconds)
        for state, many in figures.states.items():
            self._stages.labels(name, pipeline, state).inc(many)
        for result, many in figures.lookups.items():
            self._lookups.labels(name, pipeline, result).inc(many)
        self._written.labels(name, pipeline).inc(figures.written_bytes)

    def recall(self, name: str) -> None:
        """Find out when the schedules of that project last succeeded before this process began."""
        project = self._projects[name]
        with suppress(LinealError), project.open_state() as state:
            for schedule in project.schedules.values():
                for job in state.jobs(states=["succeeded"], origin=schedule.origin, most=1):
                    if job.ended_at is not None:
                        self._last_success.note(name, job.origin, job.ended_at)

    def _schedule(self, job: Job) -> str:
        _, name = _kind_and_schedule(job.origin)
        return self._bound("schedule", name)


class _Standing(Collector):
    """What stands now: jobs, schedules, alerts. It says nothing of a project whose state cannot be used; `/ready` says why."""

    def __init__(
        self, projects: Mapping[str, Served], last_success: _LastSuccess, now: Callable[[], datetime]
    ) -> None:
        self._projects, self._last_success, self._now = projects, last_success, now

    def collect(self) -> Iterator[Metric]:
        job = ("project", "origin", "schedule")
        active = _gauge(
            "lineal_scheduler_active",
            "1 where this process looks after the project, 0 where it stands by.",
            "project",
        )
        waiting = _gauge("lineal_jobs_waiting", "Jobs that wait.", *job)
        running = _gauge("lineal_jobs_running", "Jobs under way.", *job)
        lag = _gauge(
            "lineal_schedule_lag_seconds",
            "How long the oldest job of a schedule that waits has been due; 0 where none waits.",
            "project",
        )
        schedule = ("project", "schedule")
        upcoming = _gauge(
            "lineal_schedule_next_fire_timestamp_seconds",
            "When the schedule fires next; nothing for one that is paused or waits for an event.",
            *schedule,
        )
        succeeded = _gauge(
            "lineal_schedule_last_success_timestamp_seconds",
            "When a run of the schedule last succeeded.",
            *schedule,
        )
        alerts = _gauge("lineal_alerts_waiting", "Alerts that wait to be delivered.", "project")
        undelivered = _gauge("lineal_alerts_failed", "Alerts that could not be delivered.", "project")
        now = self._now()
        for name, project in self._projects.items():
            active.add_metric([name], not project.stands_by)
            outbox = Outbox(project.root)
            alerts.add_metric([name], len(outbox.due()))
            undelivered.add_metric([name], len(outbox.failed()))
            schedules = dict(list(project.schedules.items())[:MOST_VALUES])
            for known, at in self._last_success.of(name, schedules).items():
                succeeded.add_metric([name, known], at.timestamp())
            try:
                with project.open_state() as state:
                    jobs = state.jobs(states=("queued", "starting", "running"))
                    paused = {each.name for each in state.schedules().values() if each.paused_at is not None}
            except LinealError:
                continue
            for gauge, mine in (
                (waiting, [each for each in jobs if each.state == "queued"]),
                (running, [each for each in jobs if each.state != "queued"]),
            ):
                for labels, many in _by_origin(mine, schedules).items():
                    gauge.add_metric([name, *labels], many)
            due = [each.due_at for each in jobs if each.state == "queued" and each.kind == "schedule"]
            lag.add_metric([name], max(0.0, (now - min(due, default=now)).total_seconds()))
            for known, each in schedules.items():
                tick = each.next_tick(now) if known not in paused else None
                if tick is not None:
                    upcoming.add_metric([name, known], tick.fires_at.timestamp())
        yield from (active, waiting, running, lag, upcoming, succeeded, alerts, undelivered)


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=labels)


def _by_origin(jobs: Sequence[Job], schedules: Mapping[str, Schedule]) -> Mapping[tuple[str, str], int]:
    """How many jobs there are of each schedule or drill, and of all backfills; 0 where there are none."""
    found = {_kind_and_schedule(each.origin): 0 for each in schedules.values()} | {("backfill", ""): 0}
    for job in jobs:
        kind, name = _kind_and_schedule(job.origin)
        if name and name not in schedules:  # it is configured no more, and has jobs left
            name = _OTHER
        found[kind, name] = found.get((kind, name), 0) + 1
    return found


def _kind_and_schedule(origin: str) -> tuple[str, str]:
    """Whether jobs are a schedule's, a drill's or a backfill's, and of which schedule. Which backfill is not told: there are ever more of them."""
    kind, _, name = origin.partition(" ")
    return kind, "" if kind == "backfill" else name


class _LastSuccess:
    """When jobs last succeeded, by project and origin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: dict[tuple[str, str], datetime] = {}

    def note(self, project: str, origin: str, at: datetime) -> None:
        with self._lock:
            self._at[project, origin] = max(at, self._at.get((project, origin), at))

    def of(self, project: str, schedules: Mapping[str, Schedule]) -> dict[str, datetime]:
        """Of those of the schedules that ever did."""
        with self._lock:
            found = {name: self._at.get((project, each.origin)) for name, each in schedules.items()}
        return {name: at for name, at in found.items() if at is not None}


class _Bound:
    """The values of labels, up to `MOST_VALUES` of a kind: who makes up names makes no more series than that."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}

    def __call__(self, kind: str, value: str) -> str:
        known = self._known.setdefault(kind, set())
        if value in known or len(known) < MOST_VALUES:
            known.add(value)
            return value
        return _OTHER
