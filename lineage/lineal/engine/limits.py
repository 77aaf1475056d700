"""Concurrency groups (``limit="warehouse:2"``): so many attempts at once, in all runs that use one store.

A place in a group is a claim (`lineal_store.claims`): it is free again when the run that has it releases it or has died.
Who finds no place asks again, after a longer wait each time. So that others find one, a run that has used a group for long
stays away from it for a little longer than anybody waits.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lineal.engine.clock import Clock
from lineal.engine.progress import Poll
from lineal.errors import UsageError

if TYPE_CHECKING:
    from lineal_store.claims import Claims

EVERY_STAGE = "*"
"""The group that every stage is in, where it has a size."""

_TURN = 10.0  # how long a run may use a group before others have their turn, in longest waits
_PAUSE = 1.2  # how long their turn lasts: each of them asks once


def groups_of(stage: str, limit: str | None, sizes: Mapping[str, int]) -> Mapping[str, int]:
    """The groups that ``stage`` needs a place in, each with the number of its places.

    ``sizes`` are those of the configuration, which count before the number in ``limit``. `UsageError` where neither has one.
    """
    found: dict[str, int] = {}
    if limit is not None:
        group, _, places = limit.partition(":")
        if group not in sizes and not places:
            raise UsageError(
                f"`{stage}` is limited by the group {group}, and nothing says how many places that has",
                f'Write limits = {{ {group} = 2 }} under [tool.lineal], or limit="{group}:2" at the stage.',
            )
        found[group] = sizes[group] if group in sizes else int(places)
    if EVERY_STAGE in sizes:
        found[EVERY_STAGE] = sizes[EVERY_STAGE]
    return found


class Limits:
    """Which stages of a run have their places, and which wait for one.

    ``groups`` says which ones limit a stage (`groups_of`). ``waits`` are the shortest and the longest time, in
    seconds, after which a group is asked again.
    """

    def __init__(
        self,
        claims: Claims,
        groups: Callable[[str], Mapping[str, int]],
        clock: Clock,
        waits: tuple[float, float],
    ) -> None:
        self._claims, self._groups, self._clock, self._waits = claims, groups, clock, waits
        self._places: dict[str, Sequence[str]] = {}
        self._waiting: dict[str, deque[str]] = {}  # stages, by the group that they found full
        self._asking: set[str] = set()
        self._polls: dict[str, Poll] = {}  # groups that are not asked before then
        self._since: dict[str, float] = {}  # since when this run has its turn

    def take(self, stage: str) -> bool:
        """Take the places that ``stage`` needs, all or none; without them it waits, until `due` names it."""
        now, groups = self._clock.monotonic(), self._groups(stage)
        closed = next((group for group in groups if self._at(group) > now), None)
        if closed is not None:
            self._wait(stage, closed)
            return False
        places: list[str] = []
        for group, size in groups.items():
            place = self._place(group, size, now)
            if place is None:
                self._claims.release(places)
                self._wait(stage, group)
                return False
            places.append(place)
        self._asking.discard(stage)
        if places:
            self._places[stage] = places
        return True

    def release(self, stage: str) -> None:
        """Give up the places of ``stage``, if it has any."""
        if stage not in self._places:
            return
        self._claims.release(self._places.pop(stage))
        now, (_, longest) = self._clock.monotonic(), self._waits
        for group in self._groups(stage):
            since = self._since.get(group)
            if since is None:  # others have their turn already
                continue
            if now - since < _TURN * longest:
                self._polls.pop(group, None)
            elif self._claims.is_alone():
                self._since[group] = now
                self._polls.pop(group, None)
            else:
                del self._since[group]
                self._polls[group] = Poll(now + _PAUSE * longest, *self._waits)

    def due(self, now: float) -> list[str]:
        """Those stages that may ask again: of each group the one that has waited longest."""
        found = [
            stages.popleft() for group, stages in self._waiting.items() if stages and self._at(group) <= now
        ]
        self._asking.update(found)
        return found

    @property
    def next_due(self) -> float:
        """When `due` will name a stage, on the monotonic clock; infinite where none waits."""
        return min((self._at(group) for group, stages in self._waiting.items() if stages), default=math.inf)

    def _at(self, group: str) -> float:
        return self._polls[group].at if group in self._polls else -math.inf

    def _place(self, group: str, size: int, now: float) -> str | None:
        place = self._claims.claim_place(group, size)
        if place is None:
            self._polls[group] = self._polls.get(group, Poll(now, *self._waits)).next(now)
        else:
            self._polls.pop(group, None)
            self._since.setdefault(group, now)
        return place

    def _wait(self, stage: str, group: str) -> None:
        stages = self._waiting.setdefault(group, deque())
        if stage in self._asking:  # it was the first, and still is
            self._asking.discard(stage)
            stages.appendleft(stage)
        else:
            stages.append(stage)
