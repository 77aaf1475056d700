"""The doctor's checks of what runs by itself: whether anybody looks after the schedules, and how they do."""

from __future__ import annotations

import os
import re
import zoneinfo
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import metadata, util
from itertools import chain
from pathlib import Path

from lineal.api.checks import Checks, Found, failed, ok, warning
from lineal.api.config import Configuration
from lineal.api.job import DAEMON_LOCK, FILE
from lineal.automation.jobs import LATE
from lineal.automation.locks import holder
from lineal.state import State
from lineal.state.database import file_system_of, is_local

_LATELY = timedelta(days=1)
_MOST_FAILED = 1000


def examine_schedules(checks: Checks, configuration: Configuration) -> None:
    """Check the daemon, what it remembers, the zones by which it goes, and the schedules of a project that has some."""
    folder = configuration.state
    checks.make("scheduler", partial(_check_scheduler, folder))
    checks.make("state", partial(_check_state, folder))
    checks.make("time zones", _check_zones)
    checks.make("schedules", partial(check_schedules, configuration, os.environ, datetime.now(UTC)))


def _check_scheduler(folder: Path) -> Found:
    process = holder(folder / DAEMON_LOCK)
    if process is None:
        return warning("nobody looks after the schedules: nothing is fired", "Start `lineal serve`.")
    return ok(f"`lineal serve` looks after the schedules{f', process {process}' if process else ''}")


def _check_state(folder: Path) -> Found:
    file = folder / FILE
    if file.exists():
        with State(file) as state:
            known = len(state.schedules())
        return ok(f"{file}, which knows {known} schedules")
    there = next(parent for parent in folder.parents if parent.exists())
    system = file_system_of(there)
    if not is_local(system):
        return failed(
            f"{folder} would lie on a network file system ({system}), where SQLite's locks are not to be relied upon",
            "Keep the project on a local disk.",
        )
    return ok(f"none yet; `lineal serve` makes {file}")


def _check_zones() -> Found:
    found = [
        f"{_version(folder) or 'of unknown version'} in {folder}"
        for folder in map(Path, zoneinfo.TZPATH)
        if (folder / "UTC").is_file()
    ][:1]
    try:
        found.append(f"{metadata.version('tzdata')} of the package tzdata")
    except metadata.PackageNotFoundError:
        pass
    if not found:
        return failed("there is no database of time zones", "pip install tzdata")
    return ok("the database " + ", else ".join(found))


def _version(folder: Path) -> str | None:
    """Which edition of the IANA's database lies there, where it says so."""
    for name in ("tzdata.zi", "+VERSION"):
        try:
            with (folder / name).open() as file:
                match = re.fullmatch(r"(?:# version )?(\d{4}[a-z]+)", file.readline(100).strip())
        except (OSError, ValueError):
            continue
        if match is not None:
            return match[1]
    return None


def check_schedules(configuration: Configuration, environ: Mapping[str, str], now: datetime) -> Found:
    """What the check ``schedules`` finds ``now``: what is paused, late, has failed, or waits for calls that cannot come."""
    names = [str(table["name"]) for table in configuration.schedules]
    told = list(chain(_of_webhooks(configuration, environ), _of_state(configuration, names, now)))
    if told:
        return warning("; ".join(told), "`lineal schedule list` and `lineal runs` say more.")
    return ok(", ".join(names))


def _of_webhooks(configuration: Configuration, environ: Mapping[str, str]) -> Iterator[str]:
    secrets = {
        str(table["name"]): str(table["on"]["secret"])[2:-1]
        for table in configuration.schedules
        if "webhook" in table.get("on", {})
    }
    for name, variable in secrets.items():
        if not environ.get(variable):
            yield f"{name} takes no calls: {variable} is not set here"
    missing = [name for name in ("starlette", "uvicorn") if util.find_spec(name) is None]
    if secrets and missing:
        yield f"webhooks need {' and '.join(missing)}: pip install 'lineal[web]'"


def _of_state(configuration: Configuration, names: list[str], now: datetime) -> Iterator[str]:
    file = configuration.state / FILE
    if not file.exists():
        return
    with State(file) as state:
        known = state.schedules()
        waiting = state.jobs(states=["queued"])
        ended = state.jobs(states=["failed"], most=_MOST_FAILED)
    paused = [
        f"{name} (by {known[name].paused_by})" for name in names if name in known and known[name].paused_at
    ]
    late = Counter(
        job.name
        for job in waiting
        if job.kind == "schedule" and now - job.due_at > LATE  # drills wait until nothing else runs
    )
    broken = Counter(
        "backfills" if job.kind == "backfill" else job.name
        for job in ended
        if job.ended_at is not None and now - job.ended_at < _LATELY
    )
    if paused:
        yield f"paused: {', '.join(paused)}"
    if late:
        yield f"late, and not begun: {_counted(late)}"
    if broken:
        yield f"failed in the last day: {_counted(broken)}"


def _counted(names: Counter[str]) -> str:
    return ", ".join(name if many == 1 else f"{name} ({many} times)" for name, many in names.most_common())
