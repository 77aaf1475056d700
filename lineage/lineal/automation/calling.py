"""A webhook was called: the job that is due for it, one for each call, however often the call arrives."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Literal

from msgspec import Struct

from lineal.automation.firing import fire_call
from lineal.automation.schedule import Schedule
from lineal.errors import LinealError
from lineal.state import Job, State

MOST_WAITING = 100
"""So many jobs of a schedule may wait before its webhook takes no more calls."""
_TRIES = 20


class Call(Struct, frozen=True):
    """What tells a call from all others: ``signed``, the hash of all that its signature covers, and the ``key`` that the
    sender has for it, or nothing.

    A key alone would let whoever has overheard a call repeat it under another key, since no signature covers that.
    """

    signed: str
    key: str = ""

    @classmethod
    def of(cls, signed: bytes, key: str = "") -> Call:
        return cls(hashlib.sha256(signed).hexdigest(), key)

    @property
    def variant(self) -> str:
        return f"{self.signed} {self.key}".rstrip()


class NotTaken(LinealError):
    """A call cannot be taken now; later it may be. The schedule is ``paused`` or not looked after yet (``absent``), too many of its
    jobs wait (``full``), or others call all the time (``busy``).
    """

    kind = "not_taken"
    transient = True

    def __init__(self, schedule: str, reason: Literal["paused", "absent", "full", "busy"]) -> None:
        super().__init__(schedule, reason)
        self.schedule, self.reason = schedule, reason

    def __str__(self) -> str:
        problem = {
            "paused": "it is paused",
            "absent": "it is not looked after yet",
            "full": f"{MOST_WAITING} runs of it wait already",
            "busy": "others call it all the time",
        }[self.reason]
        return f"{self.schedule} takes no call now: {problem}"


def take_call(state: State, schedule: Schedule, call: Call, now: datetime) -> Job:
    """The job of the call, which is durable: the one that there is, where the same call was taken before. `NotTaken` where that cannot be."""
    for _ in range(_TRIES):
        known = state.schedules().get(schedule.name)  # before all else: whoever is first moves it on
        found = state.find_call(schedule.origin, call.signed, call.key)
        if found is not None:
            return found
        if known is None:
            raise NotTaken(schedule.name, "absent")
        if known.paused_at is not None:
            raise NotTaken(schedule.name, "paused")
        unfinished = state.jobs(states=("queued", "starting", "running"), origin=schedule.origin)
        if sum(job.state == "queued" for job in unfinished) >= MOST_WAITING:
            raise NotTaken(schedule.name, "full")
        firing = fire_call(schedule, known, call.variant, now, is_running=bool(unfinished))
        added = state.settle(schedule.name, firing.handled_at, firing.jobs, now, before=known.handled_at)
        if added:
            return added[0]
    raise NotTaken(schedule.name, "busy")
