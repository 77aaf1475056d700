"""What the end of a run means, and to whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lineal.events import Occasion

ON_BY_DEFAULT: tuple[Occasion, ...] = ("failed", "recovered")


@dataclass(frozen=True, slots=True)
class Alert:
    """Whom to tell (``to``, an address), and ``on`` which occasions. The configuration has checked it.

    ``smtp`` is the mail server's URL and ``sender`` whom its mail is from. ``secret`` signs what a webhook is sent.
    With ``allow_local`` a webhook may lie in a private network. ``to``, ``smtp`` and ``secret`` may name
    variables as ``${NAME}``: their values are taken when something is sent, and are written nowhere.
    """

    to: str
    on: tuple[str, ...] = ON_BY_DEFAULT
    smtp: str = ""
    sender: str = ""
    secret: str = ""
    allow_local: bool = False

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Alert:
        """The alert that a table of the configuration, or one that `table` made, describes."""
        return cls(**{**table, "on": tuple(table.get("on", ON_BY_DEFAULT))})

    def table(self) -> dict[str, Any]:
        return {**asdict(self), "on": list(self.on)}


@dataclass(frozen=True, slots=True)
class About:
    """What a run is, as far as that is known when it begins. ``parameters`` are shown to people; no secret is in them.

    ``secrets`` are the values of parameters that nobody may read anywhere.
    """

    pipeline: str
    target: str
    namespace: str
    host: str
    parameters: Mapping[str, Any]
    secrets: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """One name for all runs of this pipeline in this namespace with these parameters, 32 hex digits."""
        told = json.dumps([self.target, self.namespace, self.parameters], sort_keys=True, default=str)
        return hashlib.sha256(told.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Failing:
    """The newest run of the same pipeline, namespace and parameters has failed; ``at`` is when, in ISO 8601."""

    run_id: str
    at: str


def occasions(state: str, failures: Collection[str], before: Failing | None) -> tuple[Occasion, ...]:
    """What the end of a run is an occasion of: its ``state``, the kinds of its ``failures``, and what was ``before``.

    A run that somebody has stopped is none.

    >>> occasions("failed", ["exception", "timeout"], None), occasions("failed", ["killed"], None)
    (('failed', 'timeout'), ('failed',))
    >>> occasions("succeeded", [], Failing("r1", "")), occasions("succeeded", [], None), occasions("cancelled", [], None)
    (('recovered',), (), ())
    """
    if state == "failed":
        return ("failed", "timeout") if "timeout" in failures else ("failed",)
    return ("recovered",) if state == "succeeded" and before is not None else ()


def remembered(state: str, before: Failing | None, now: Failing) -> Failing | None:
    """What has to be known when the next run ends: ``now`` after a failure, nothing after a success.

    >>> remembered("cancelled", None, Failing("r2", "")) is remembered("succeeded", Failing("r1", ""), Failing("r2", ""))
    True
    """
    if state == "failed":
        return now
    return None if state == "succeeded" else before


def message_id(run_id: str, occasion: str, to: str) -> str:
    """The name of a message, 32 hex digits: the same each time it is made for the same reason, whatever happens between."""
    return hashlib.sha256(json.dumps([run_id, occasion, to]).encode()).hexdigest()[:32]
