"""Tells of scheduled runs that do not begin. Whoever keeps the schedules asks, from time to time and when a run begins."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from lineal.alerts.happenings import not_begun
from lineal.alerts.rules import About, Alert, lateness
from lineal.alerts.tell import Teller


def tell_not_begun(
    teller: Teller,
    alerts: Iterable[Alert],
    about: About,
    schedule: str,
    due: datetime,
    now: datetime,
    *,
    next_due: datetime | None = None,
) -> None:
    """Tell those of ``alerts`` to whom the run that ``schedule`` had ``due`` then, and that has not begun by ``now``, is late or missing.

    ``next_due`` is when the one after it is due. May be asked as often as one likes: it is told once. Times are aware.
    """
    for alert in alerts:
        occasion = lateness(due, now, alert.grace, next_due=next_due)
        if occasion is not None:
            teller.tell([alert], not_begun(about, schedule, due, now, occasion=occasion), now)


def tell_missed(
    teller: Teller,
    alerts: Iterable[Alert],
    about: About,
    schedule: str,
    due: datetime,
    now: datetime,
    why: str,
) -> None:
    """Tell that the run that was ``due`` then never begins; ``why`` is a sentence."""
    teller.tell(alerts, not_begun(about, schedule, due, now, occasion="missing", why=why), now)


def tell_begun(
    teller: Teller, alerts: Iterable[Alert], about: About, schedule: str, due: datetime, now: datetime
) -> None:
    """A run of the schedule has begun: tell those who were told that it was late or missing."""
    alerts = list(alerts)
    for occasion in ("late", "missing"):
        teller.over(alerts, not_begun(about, schedule, due, now, occasion=occasion), now)
