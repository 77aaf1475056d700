"""What is told that is not how a run ended: of runs that did not begin, of what has grown old, of models that can no longer be built.

Whoever finds that out (the daemon, `lineal check`, `lineal reproduce`) asks the rules of `lineal.alerts.rules`, makes one of these, and
gives it to a `lineal.alerts.tell.Teller`: `tell` as long as it is so, `over` when it no longer is.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from lineal.alerts.message import Message, compose
from lineal.alerts.rules import About, key_of


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to be told on an ``occasion``: ``what`` has become of which ``thing``; told again at once only when that changes.

    ``message`` has no id yet: ``reason`` gives it one, so that who tells it twice for one reason has sent one message.
    """

    occasion: str
    thing: str
    what: str
    reason: str
    message: Message


def not_begun(
    about: About,
    schedule: str,
    due: datetime,
    now: datetime,
    *,
    occasion: Literal["late", "missing"],
    why: str = "",
) -> Happening:
    """A run of ``about`` that ``schedule`` had ``due`` then has not begun (late), or never will (missing). Times are aware.

    `lineal.alerts.rules.lateness` says which it is. ``why`` is a sentence, where the reason is known.
    """
    thing = key_of("schedule", schedule, about.target, about.namespace)
    said = "has not begun" if occasion == "late" else "never began"
    message = compose(
        about,
        occasion=occasion,
        run_id=None,
        state=None,
        at=now.isoformat(),
        notes=[
            f"schedule {schedule}: the run that was due at {due.isoformat()} {said}",
            *([why] if why else []),
        ],
        key=thing,
        look=["lineal schedule list", "lineal doctor"],
        retry=_run_again(about),
    )
    return Happening(occasion, thing, "", f"{thing} {due.isoformat()}", message)


def grown_old(
    about: About, what: str, made: datetime | None, max_age_seconds: float, now: datetime
) -> Happening:
    """The newest of ``what`` (an address) was made too long ago, or there is none. ``about`` is its pipeline, or what is known of it.

    `lineal.alerts.rules.is_stale` says whether it is. Times are aware.
    """
    thing = key_of("stale", what, about.namespace)
    newest = f"{what} was made at {made.isoformat()}" if made is not None else f"there is no {what}"
    message = compose(
        about,
        occasion="stale",
        run_id=None,
        state=None,
        at=now.isoformat(),
        notes=[f"{newest}; it may be no older than {timedelta(seconds=max_age_seconds)}"],
        key=thing,
        look=[f"lineal show {shlex.quote(what)}"],
        retry=_run_again(about),
    )
    return Happening("stale", thing, "", f"{thing} {made.isoformat() if made else ''}", message)


def beyond_rebuilding(
    about: About, digest: str, verdict: str, problems: Sequence[str], now: datetime
) -> Happening:
    """What is deployed under the name ``about.pipeline`` could not be built again: ``verdict`` as `lineal reproduce` gives it."""
    thing = key_of("irreproducible", digest, about.namespace)
    message = compose(
        about,
        occasion="irreproducible",
        run_id=None,
        state=None,
        at=now.isoformat(),
        notes=[f"{digest} was built again: {verdict.replace('_', ' ')}", *problems],
        key=thing,
        look=[f"lineal reproduce {digest}", f"lineal trace {digest}"],
        retry="",
    )
    return Happening("irreproducible", thing, verdict, f"{thing} {now.isoformat()}", message)


def _run_again(about: About) -> str:
    words = [about.target, *(f"{name}={value}" for name, value in about.parameters.items())]
    return shlex.join(["lineal", "run", *words])
