"""What becomes of ticks that nobody was there for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from lineal.automation.schedule import Schedule, Tick

# Later than this a tick was missed: somebody slept, or was not there.
ON_TIME = timedelta(minutes=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done about the ticks that are due.

    ``run`` has those to be fired, in order; with ``more`` there are others, to be asked for after the last of these. ``passed_over`` is
    the first and the last of those that never fire, all of which were due before the first of ``run``.
    """

    run: tuple[Tick, ...] = ()
    passed_over: tuple[Tick, Tick] | None = None
    more: bool = False

    @property
    def handled(self) -> Tick | None:
        """The last tick about which this decides: where to go on from. None where nothing is due."""
        if self.run:
            return self.run[-1]
        return self.passed_over[1] if self.passed_over is not None else None


def find_due(schedule: Schedule, after: datetime, now: datetime, *, most: int = 100) -> Due:
    """What to do ``now`` with the ticks after the last one handled, which was due at ``after``.

    "all" runs each of them, at most so many at once; "latest" the last one; "none" those that are on time (`ON_TIME`). However
    many were missed, it costs about as much as one tick does, or as ``most`` do.
    """
    if schedule.catch_up == "all":
        fired = takewhile(lambda tick: tick.fires_at <= now, schedule.ticks(after))
        run = tuple(islice(fired, most))
        return Due(run, more=next(fired, None) is not None)
    first = next(schedule.ticks(after), None)
    if first is None or first.fires_at > now:
        return Due()
    if schedule.catch_up == "latest":
        run = tuple(filter(None, [schedule.last_tick(after, now)]))
    else:
        recent = schedule.next_tick(now - ON_TIME - _INSTANT)
        begins = now if recent is None else max(after, recent.due_at - _INSTANT)
        run = tuple(takewhile(lambda tick: tick.fires_at <= now, schedule.ticks(begins)))
    if run and run[0] == first:
        return Due(run)
    # Whatever fired before the first of those that run.
    before = run[0].fires_at - _INSTANT if run else now
    last = schedule.last_tick(after, before)
    return Due(run, (first, last) if last is not None else None)
