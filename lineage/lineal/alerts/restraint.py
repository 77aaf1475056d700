"""Whether something is told again, and how much is told at all: nobody reads the hundredth message of an hour.

Times are seconds since 1970, by the clock of whoever tells; one that was set back has something told once too often, never
kept back for longer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

HOUR_SECONDS = 3600.0
SUBJECTS_KEPT = 20
_LEAST_AHEAD_SECONDS = 60.0
_ON_ITS_WAY_SECONDS = 5.0  # before it is due a summary is not changed any more


@dataclass(frozen=True, slots=True)
class Told:
    """``what`` an alert was last told of a thing, and when; ``since`` is how often it has happened again and was no news."""

    at: float
    what: str
    since: int = 0

    def is_news(self, what: str, now: float, repeat_seconds: float) -> bool:
        """Whether ``what`` is another thing than was told, or that was long enough ago to be told of again.

        >>> [Told(0.0, "load failed").is_news(what, now, 60.0) for what, now in (("load failed", 59.0), ("load failed", 60.0), ("train failed", 1.0))]
        [False, True, True]
        """
        return what != self.what or not 0 <= now - self.at < repeat_seconds


@dataclass(frozen=True, slots=True)
class Held:
    """The ``count`` of messages that are held back for one summary, ``due`` at that time, and the subjects of the first."""

    due: float
    count: int = 0
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pace:
    """When messages of the last hour were ``sent`` to an alert, oldest first, and what is ``held`` back."""

    sent: tuple[float, ...] = ()
    held: Held | None = None

    def after_sending(self, now: float) -> Pace:
        return replace(self, sent=(*self._recent(now), now))

    def has_room(self, now: float, most: int) -> bool:
        """Whether another message keeps within ``most`` an hour.

        >>> Pace((0.0, 1800.0)).has_room(3599.0, 2), Pace((0.0, 1800.0)).has_room(3600.0, 2)
        (False, True)
        """
        return len(self._recent(now)) < most

    def after_holding(self, subject: str, now: float) -> Pace:
        """Having held one more back: it is counted in the summary that waits, else in a new one, due when there is room again."""
        held = self.held
        if held is None or not _ON_ITS_WAY_SECONDS < held.due - now <= HOUR_SECONDS:
            room = min(self._recent(now), default=now) + HOUR_SECONDS
            held = Held(max(room, now + _LEAST_AHEAD_SECONDS))
        subjects = (*held.subjects, subject)[:SUBJECTS_KEPT]
        return replace(self, held=Held(held.due, held.count + 1, subjects))

    def _recent(self, now: float) -> tuple[float, ...]:
        return tuple(moment for moment in self.sent if 0 <= now - moment < HOUR_SECONDS)
