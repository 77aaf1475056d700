"""What becomes of a tick whose predecessor still runs."""

from __future__ import annotations

from typing import Literal

from lineal.automation.schedule import WhenRunning

Decision = Literal["start", "wait", "pass over", "replace"]


def decide(when_running: WhenRunning, *, is_running: bool) -> Decision:
    """What to do with a tick that fires: ``start`` a run; ``wait`` until all runs of the same schedule before it have ended; ``pass over`` it;
    or ``replace``: cancel what runs, then start.

    >>> decide("skip", is_running=False), decide("skip", is_running=True)
    ('start', 'pass over')
    """
    if not is_running:
        return "start"
    match when_running:
        case "queue":
            return "wait"
        case "skip":
            return "pass over"
        case "cancel":
            return "replace"
