"""Backfills: one pipeline for many dates, or for many parameters, or both."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace

from lineal.api.given import Given
from lineal.api.job import DAEMON_LOCK, FILE, launcher_of
from lineal.api.log import VARIABLE
from lineal.api.nearest import did_you_mean
from lineal.artifacts.values import encode_value
from lineal.automation.daemon import DETACHED
from lineal.automation.jobs import Jobs
from lineal.automation.locks import holder
from lineal.automation.notices import Notice
from lineal.automation.schedule import Event, Schedule
from lineal.durations import parse_duration
from lineal.engine.interrupts import on_interrupt
from lineal.engine.provenance import new_run_id, user_name
from lineal.errors import NotFound, UsageError
from lineal.graph.history import find_run, newest_runs, read_stages
from lineal.state import UNDER_WAY, Backfill, Job, NewJob, State

if TYPE_CHECKING:
    from lineal.api.project import Project
    from lineal.graph.records import RunRecord

Document = dict[str, Any]
Which = Literal["all", "missing", "failed"]
MOST = 100_000
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a backfill is asked to do.

    ``first`` and ``last`` are dates that both count, ``every`` the step between them (by default a day), or the times are those of the
    ``schedule``, whose pipeline and parameters count then; ``dates`` are single ones. ``sweeps`` are ``NAME=[VALUE, …]``: each combination is a
    run of its own. Stages after those named by ``until`` are not run. ``which`` of the dates run: all, those without a succeeded run with these parameters, or those whose newest run has
    failed. With ``reprocess`` every stage is executed again.
    """

    target: str | None = None
    assignments: Sequence[str] = ()
    first: str | None = None
    last: str | None = None
    every: str | None = None
    dates: Sequence[str] = ()
    schedule: str | None = None
    sweeps: Sequence[str] = ()
    until: Sequence[str] = ()
    which: Which = "all"
    reprocess: bool = False
    at_once: int = 1
    newest_first: bool = False


class Backfills:
    """The backfills of one project. ``variables`` are settings for the processes of jobs; ``tell`` is told what happens, and how many jobs of
    the backfill are in which state then.
    """

    def __init__(
        self,
        project: Project,
        variables: Mapping[str, str],
        *,
        tell: Callable[[Notice, Mapping[str, int]], None] = lambda notice, counts: None,
    ) -> None:
        self._project, self._variables, self._tell = project, variables, tell
        self._folder = project.configuration.state

    def preview(self, wanted: Wanted) -> Document:
        """What would run, and how many of the stages are hits already."""
        jobs, _ = self._planned(wanted)
        hits = stages = 0
        runs = []
        for job in jobs:
            document = self._project.run(
                job.target or wanted.target,
                [*wanted.assignments, *_swept(job.variant)],
                data=job.parameters,
                logical_date=_date_of(job.logical_date),
                force=("*",) if wanted.reprocess else (),
                until=wanted.until,
                dry_run=True,
            )
            found = [stage["cache"] for stage in document["stages"] if stage["cache"] is not None]
            stages += len(found)
            hits += found.count("hit")
            runs.append(_entry(job, None, "queued"))
        return {"backfill": None, "planned": len(jobs), "hits": hits, "stages": stages, "runs": runs}

    def run(self, wanted: Wanted, *, detach: bool = False) -> Document:
        """Run it, to the end; or with ``detach`` leave it to the daemon. What was asked for in the same words, and has not ended, goes on instead."""
        jobs, asked = self._planned(wanted)
        now = _now()
        options = {**asked, **({DETACHED: True} if detach else {})}
        if detach:
            self._need_daemon()
        with State(self._folder / FILE) as state:
            backfill = self._unfinished(state, options)
            if backfill is None:
                backfill = Backfill(
                    new_run_id(now),
                    asked["target"],
                    "open",
                    wanted.at_once,
                    wanted.newest_first,
                    options,
                    now,
                    user_name(),
                )
                state.add_backfill(backfill, [replace(job, origin=backfill.origin) for job in jobs], now)
            else:
                state.set_backfill(backfill.id, "open", now)
            if not detach:
                self._see_to(state, backfill)
            return self._document(state, backfill.id)

    def resume(self, backfill_id: str) -> Document:
        """Go on with a backfill that was paused, or whose process was killed."""
        with State(self._folder / FILE) as state:
            backfill = self._known(state, backfill_id)
            if not state.set_backfill(backfill.id, "open", _now()):
                raise UsageError(
                    f"backfill {backfill.id} was cancelled", "Ask for it anew: what is done are hits."
                )
            if DETACHED in backfill.options:
                self._need_daemon()
            else:
                self._see_to(state, backfill)
            return self._document(state, backfill.id)

    def pause(self, backfill_id: str) -> Document:
        """Begin no more of its jobs; those that run go on."""
        return self._set(backfill_id, "paused")

    def cancel(self, backfill_id: str) -> Document:
        """Run no more of its jobs, and stop those that run."""
        return self._set(backfill_id, "cancelled")

    def show(self, backfill_id: str) -> Document:
        with State(self._folder / FILE) as state:
            return self._document(state, self._known(state, backfill_id).id)

    def known(self) -> Document:
        """All that were asked for, each with how many of its jobs are in which state."""
        with State(self._folder / FILE) as state:
            counts = state.counts()
            return {
                "backfills": [
                    {
                        "id": each.id,
                        "target": each.target,
                        "state": _standing(each, counts.get(each.origin, {})),
                        "counts": counts.get(each.origin, {}),
                        "made_at": each.made_at.isoformat(),
                        "made_by": each.made_by,
                    }
                    for each in state.backfills().values()
                ]
            }

    # -- running ------------------------------------------------------------------------------

    def _see_to(self, state: State, backfill: Backfill) -> None:
        """Run the jobs of a backfill, until all have ended or it is paused and none runs any more; Ctrl-C pauses it."""

        def tell(notice: Notice) -> None:
            self._tell(notice, state.counts().get(backfill.origin, {}))

        jobs = Jobs(
            state,
            launcher_of(self._project.configuration, {**os.environ, **self._variables, VARIABLE: "quiet"}),
            tell,
            lambda origin, _: origin == backfill.origin,
            most_runs=backfill.most_at_once,
        )
        with _interruptible() as pressed:
            while True:
                jobs.find_changes(_now())
                is_open = jobs.backfills[backfill.id].state == "open"
                if pressed.is_set():
                    if is_open:
                        state.set_backfill(backfill.id, "paused", _now())
                        jobs.is_stale = True
                        continue
                    jobs.interrupt(_now())
                jobs.step(_now())
                if not jobs.is_stale and not jobs.under_way and not (is_open and jobs.waiting):
                    break
                time.sleep(_LOOK_SECONDS)
        if pressed.is_set():
            raise KeyboardInterrupt

    def _set(self, backfill_id: str, to: Literal["paused", "cancelled"]) -> Document:
        with State(self._folder / FILE) as state:
            backfill = self._known(state, backfill_id)
            state.set_backfill(backfill.id, to, _now())
            if to == "cancelled":
                launcher = launcher_of(self._project.configuration, {})
                for job in state.jobs(states=UNDER_WAY, origin=backfill.origin):
                    launcher.stop(job)
            return self._document(state, backfill.id)

    def _known(self, state: State, backfill_id: str) -> Backfill:
        known = state.backfills()
        found = [each for name, each in known.items() if name.startswith(backfill_id)]
        if len(found) != 1:
            raise NotFound(
                f"there is no backfill {backfill_id}{did_you_mean(backfill_id, known)}"
                if not found
                else f"{backfill_id} is the beginning of {len(found)} backfills",
                "`lineal backfill --list` shows them.",
            )
        return found[0]

    def _unfinished(self, state: State, options: Mapping[str, Any]) -> Backfill | None:
        counts = state.counts()
        for each in reversed(state.backfills().values()):
            left = counts.get(each.origin, {})
            if (
                each.state != "cancelled"
                and each.options == options
                and any(left.get(word) for word in ("queued", "starting", "running"))
            ):
                return each
        return None

    def _need_daemon(self) -> None:
        if holder(self._folder / DAEMON_LOCK) is None:
            raise UsageError(
                "no daemon looks after this project", "Start one with `lineal serve`, or leave --detach away."
            )

    def _document(self, state: State, backfill_id: str) -> Document:
        backfill = state.backfills()[backfill_id]
        jobs = state.jobs(origin=backfill.origin)
        if backfill.newest_first:
            jobs.reverse()
        hits = stages = 0
        for job in jobs:
            run = find_run(self._project.store, job.run_id) if job.run_id is not None else None
            if run is not None:
                found = [
                    stage.cache for stage in read_stages(self._project.store, run) if stage.cache is not None
                ]
                stages += len(found)
                hits += found.count("hit")
        return {
            "backfill": backfill.id,
            "state": _standing(backfill, state.counts().get(backfill.origin, {})),
            "planned": len(jobs),
            "hits": hits,
            "stages": stages,
            "runs": [_entry(job, job.run_id, job.state, job.note) for job in jobs],
        }

    # -- planning -----------------------------------------------------------------------------

    def _planned(self, wanted: Wanted) -> tuple[list[NewJob], dict[str, Any]]:
        """The jobs, and what was asked for in words."""
        schedule = self._schedule(wanted.schedule) if wanted.schedule is not None else None
        target = wanted.target or (schedule.pipeline if schedule is not None else None)
        data = dict(schedule.parameters) if schedule is not None else {}
        dates = _dates(wanted, schedule)
        sweeps = _sweeps(wanted.sweeps)
        if not dates and not wanted.sweeps:
            raise UsageError(
                "nothing says what to run it for",
                "Give --from and --to, --dates, or --sweep NAME=[VALUE, …].",
            )
        times: list[datetime | None] = [*dates] or [None]
        if len(times) * len(sweeps) > MOST:
            raise UsageError(
                f"that is {len(times) * len(sweeps)} runs, and {MOST} are the most", "Give a shorter range."
            )
        jobs = [
            NewJob("", when.isoformat() if when is not None else "", _due(when, place), target, data, variant)
            for place, (when, variant) in enumerate(itertools.product(times, sweeps))
        ]
        jobs = self._chosen(jobs, target, wanted)
        asked = {
            "target": target,
            "assignments": list(wanted.assignments),
            "dates": [when.isoformat() for when in dates],
            "sweeps": sorted(wanted.sweeps),
            "until": list(wanted.until),
            "which": wanted.which,
            **({"force": ["*"], "why": "a backfill that reprocesses"} if wanted.reprocess else {}),
        }
        return jobs, asked

    def _chosen(self, jobs: Sequence[NewJob], target: str | None, wanted: Wanted) -> list[NewJob]:
        """Those that are to run, after all of them were checked against the pipeline's parameters."""
        from lineal.stages.pipeline import logical_date_port

        pipeline = self._project.pipeline(target)
        port = logical_date_port(pipeline.name, pipeline.signature)
        if port is None and any(job.logical_date for job in jobs):
            raise UsageError(
                f"pipeline {pipeline.name} takes no date",
                "Give it a parameter run_date: date, or one annotated LogicalDate.",
            )
        values = [
            Given(
                [*wanted.assignments, *_swept(job.variant)], None, job.parameters, _date_of(job.logical_date)
            ).values(pipeline)
            for job in jobs
        ]
        if wanted.which == "all":
            return list(jobs)
        past = [
            run
            for run in newest_runs(self._project.store, pipeline.name)
            if run.namespace == self._project.configuration.namespace and run.state in ("succeeded", "failed")
        ]
        chosen = []
        for job, given in zip(jobs, values, strict=True):
            recorded = {name: encode_value(value) for name, value in given.items()}
            runs = [run for run in past if _fits(run, recorded)]
            is_there = any(run.state == "succeeded" for run in runs)
            has_failed = bool(runs) and runs[0].state == "failed"
            if has_failed if wanted.which == "failed" else not is_there:
                chosen.append(job)
        return chosen

    def _schedule(self, name: str) -> Schedule:
        schedules = {table["name"]: Schedule.of(table) for table in self._project.configuration.schedules}
        if name not in schedules:
            raise NotFound(f"there is no schedule {name}{did_you_mean(name, schedules)}")
        return schedules[name]


def _fits(run: RunRecord, recorded: Mapping[str, object]) -> bool:
    return all(run.parameters.get(name) == value for name, value in recorded.items())


def _dates(wanted: Wanted, schedule: Schedule | None) -> list[datetime]:
    """The dates in order, each once."""
    found = {_read(text, "--dates") for text in wanted.dates}
    if (wanted.first is None) != (wanted.last is None):
        raise UsageError("--from and --to go together", "Both are part of the range.")
    if wanted.first is not None and wanted.last is not None:
        since, until = _read(wanted.first, "--from"), _read(wanted.last, "--to")
        if until < since:
            raise UsageError(f"--to {wanted.last} is before --from {wanted.first}")
        if until.time() == datetime.min.time():  # a date, all of which counts
            until += timedelta(days=1, microseconds=-1)
        found.update(
            _ticks(schedule, since, until) if schedule is not None else _steps(since, until, wanted.every)
        )
    elif wanted.every is not None:
        raise UsageError("--every needs --from and --to")
    return sorted(found, key=lambda when: when.replace(tzinfo=None))


def _steps(since: datetime, until: datetime, every: str | None) -> Iterator[datetime]:
    try:
        step = timedelta(seconds=parse_duration(every or "1d"))
    except ValueError:
        step = timedelta(0)
    if step < timedelta(minutes=1):
        raise UsageError(f"--every {every} is no step", "Give days, hours or minutes: 1d, 7d, 6h.")
    for _ in range(MOST + 1):
        if since > until:
            return
        yield since
        since += step


def _ticks(schedule: Schedule, since: datetime, until: datetime) -> Iterator[datetime]:
    """The logical dates of the schedule from the one date to the other."""
    if isinstance(schedule.when, Event):
        raise UsageError(
            f"schedule {schedule.name} fires on an event, at no time that can be told",
            "Give --every, or --dates.",
        )
    zone = schedule.timezone
    offset = timedelta(days=schedule.logical_date_offset_days)
    first = since.replace(tzinfo=zone)
    for tick in itertools.islice(schedule.ticks(first - offset - timedelta(days=1)), MOST + 3000):
        named = tick.logical_date.replace(tzinfo=None)
        if named > until.replace(tzinfo=None):
            return
        if named >= since.replace(tzinfo=None):
            yield tick.logical_date


def _read(text: str, option: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: {text!r} is no date", "Write it as 2013-06-30.") from None
    return found


def _sweeps(texts: Sequence[str]) -> list[str]:
    """Each combination as a variant: what is given for parameters, as JSON; one empty text where nothing is swept."""
    named: list[list[str]] = []
    for text in texts:
        name, equals, listed = text.partition("=")
        try:
            values = json.loads(listed) if equals else None
        except ValueError:
            values = None
        if not name or not isinstance(values, list) or not values:
            raise UsageError(
                f"--sweep {text} is no list of values", "Write --sweep learning_rate=[0.05,0.1]."
            )
        named.append([f"{name}={value if isinstance(value, str) else json.dumps(value)}" for value in values])
    return [json.dumps(list(each)) if each else "" for each in itertools.product(*named)]


def _swept(variant: str) -> list[str]:
    return json.loads(variant) if variant else []


def _date_of(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _due(when: datetime | None, place: int) -> datetime:
    """By what jobs are put in order: their dates, and for one date as they were asked for."""
    base = when if when is not None else datetime.combine(date(1970, 1, 1), datetime.min.time())
    base = base if base.tzinfo is not None else base.replace(tzinfo=UTC)
    return base.astimezone(UTC) + timedelta(microseconds=place)


def _entry(job: Job | NewJob, run_id: str | None, state: str, note: str = "") -> Document:
    entry: Document = {"run_id": run_id, "logical_date": _spelled(job.logical_date), "state": state}
    if job.variant:
        entry["parameters"] = dict(text.split("=", 1) for text in _swept(job.variant))
    if note:
        entry["note"] = note
    return entry


def _spelled(logical_date: str) -> str | None:
    """A date without its time where that says nothing."""
    return logical_date.removesuffix("T00:00:00") or None


def _standing(backfill: Backfill, counts: Mapping[str, int]) -> str:
    if backfill.state != "open":
        return backfill.state
    if any(counts.get(word) for word in ("queued", "starting", "running")):
        return "running"
    return "failed" if counts.get("failed") else "succeeded"


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Inside the block Ctrl-C sets the event; a second one raises."""
    pressed = threading.Event()
    with on_interrupt(pressed.set):
        yield pressed


def _now() -> datetime:
    return datetime.now(UTC)
