"""What is an occasion to tell somebody, and whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from lineal.durations import parse_duration
from lineal.events import Occasion

ON_BY_DEFAULT: tuple[Occasion, ...] = ("failed", "recovered")
_LEAST_SLOWER_SECONDS = 10.0  # who takes a moment longer is not slow


@dataclass(frozen=True, slots=True)
class Alert:
    """Whom to tell (``to``, an address), and ``on`` which occasions. The configuration has checked it.

    ``smtp`` is the mail server's URL and ``sender`` whom its mail is from. ``secret`` signs what a webhook is sent.
    With ``allow_local`` a webhook may lie in a private network. ``to``, ``smtp`` and ``secret`` may name
    variables as ``${NAME}``: their values are taken when something is sent, and are written nowhere.

    The same is told again after ``repeat`` seconds, and no more than ``hourly`` messages are sent in an hour. What takes more than
    ``slower`` times its usual time is slow, what has not begun ``grace`` seconds after it was due is late; ``max_age`` are seconds by
    the address of what has to be fresh.
    """

    to: str
    on: tuple[str, ...] = ON_BY_DEFAULT
    smtp: str = ""
    sender: str = ""
    secret: str = ""
    allow_local: bool = False
    repeat: float = 4 * 3600.0
    hourly: int = 20
    slower: float = 2.0
    grace: float = 600.0
    max_age: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Alert:
        """The alert that a table of the configuration, or one that `table` made, describes: durations are texts or seconds."""
        given = {**table, "on": tuple(table.get("on", ON_BY_DEFAULT))}
        given |= {name: parse_duration(table[name]) for name in ("repeat", "grace") if name in table}
        given["max_age"] = {what: parse_duration(age) for what, age in table.get("max_age", {}).items()}
        return cls(**given)

    def table(self) -> dict[str, Any]:
        return {**asdict(self), "on": list(self.on)}


@dataclass(frozen=True, slots=True)
class About:
    """What a run is, as far as that is known when it begins. ``parameters`` are shown to people; no secret is in them.

    ``dated`` is the parameter that says which date the run is for, if one does. ``retries`` are how often stages are tried again, by
    their ids. ``secrets`` are the values of parameters that nobody may read anywhere. ``page`` is the address of the page that
    shows runs.
    """

    pipeline: str
    target: str
    namespace: str
    host: str
    parameters: Mapping[str, Any]
    secrets: tuple[str, ...] = ()
    dated: str | None = None
    retries: Mapping[str, int] = field(default_factory=dict)
    page: str = ""

    @property
    def key(self) -> str:
        """One name for all runs of this pipeline in this namespace with these parameters, 32 hex digits."""
        return key_of(self.target, self.namespace, self.parameters)

    @property
    def thing(self) -> str:
        """One name for all runs that do the same, whatever date they are for, 32 hex digits."""
        undated = {name: value for name, value in self.parameters.items() if name != self.dated}
        return key_of(self.target, self.namespace, undated)


@dataclass(frozen=True, slots=True)
class Failing:
    """The newest run of the same pipeline, namespace and parameters has failed; ``at`` is when, in ISO 8601."""

    run_id: str
    at: str


def occasions(
    state: str, failures: Collection[str], before: Failing | None, *, exhausted: bool = False
) -> tuple[Occasion, ...]:
    """What the end of a run is an occasion of: its ``state``, the kinds of its ``failures``, and what was ``before``.

    ``exhausted`` says that a stage failed after all its retries. A run that somebody has stopped is none. What says most comes last.

    >>> occasions("failed", ["exception", "timeout"], None), occasions("failed", ["killed"], None, exhausted=True)
    (('failed', 'timeout'), ('failed', 'retries_exhausted'))
    >>> occasions("succeeded", [], Failing("r1", "")), occasions("succeeded", [], None), occasions("cancelled", [], None)
    (('recovered',), (), ())
    """
    if state == "failed":
        found: list[Occasion] = ["failed"]
        found += ["retries_exhausted"] if exhausted else []
        found += ["timeout"] if "timeout" in failures else []
        return tuple(found)
    return ("recovered",) if state == "succeeded" and before is not None else ()


def remembered(state: str, before: Failing | None, now: Failing) -> Failing | None:
    """What has to be known when the next run ends: ``now`` after a failure, nothing after a success.

    >>> remembered("cancelled", None, Failing("r2", "")) is remembered("succeeded", Failing("r1", ""), Failing("r2", ""))
    True
    """
    if state == "failed":
        return now
    return None if state == "succeeded" else before


def slow_after(usual_seconds: float, times: float) -> float:
    """How long something may take that usually takes ``usual_seconds``: so many ``times`` that, and never a moment longer alone.

    >>> slow_after(300.0, 2.0), slow_after(0.5, 2.0)
    (600.0, 10.5)
    """
    return max(times * usual_seconds, usual_seconds + _LEAST_SLOWER_SECONDS)


def lateness(
    due: datetime, now: datetime, grace_seconds: float, *, next_due: datetime | None = None
) -> Literal["late", "missing"] | None:
    """What it is that a run has not begun that was ``due``: late after a grace, missing once the next one is due.

    Times are aware. Whoever passes a run over for good has missed it, whatever the time is.

    >>> from datetime import timedelta, UTC
    >>> due = datetime(2026, 11, 23, 3, tzinfo=UTC)
    >>> [lateness(due, due + timedelta(minutes=wait), 600.0, next_due=due + timedelta(days=1)) for wait in (10, 11, 1440)]
    [None, 'late', 'missing']
    """
    if next_due is not None and now >= next_due:
        return "missing"
    return "late" if (now - due).total_seconds() > grace_seconds else None


def is_stale(made: datetime, now: datetime, max_age_seconds: float) -> bool:
    """Whether what was ``made`` then is older than it may be. Times are aware.

    >>> from datetime import UTC
    >>> is_stale(datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC), 86400.0)
    False
    """
    return (now - made).total_seconds() > max_age_seconds


def call_of(stage: str) -> str:
    """The stage as the pipeline calls it: for an item of a list the stage that is mapped.

    >>> call_of("score[3]"), call_of("train#2")
    ('score', 'train#2')
    """
    return stage.rpartition("[")[0] if stage.endswith("]") else stage


def key_of(*parts: object) -> str:
    """One name for all of ``parts`` together, 32 hex digits."""
    told = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def message_id(reason: str, occasion: str, to: str) -> str:
    """The name of a message, 32 hex digits: the same each time it is made for the same reason, whatever happens between."""
    return key_of(reason, occasion, to)
