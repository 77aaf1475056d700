"""Who executes what: one stage of this run for each action, one run of all that share the store, and no more of a group
than there are places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping
from typing import TYPE_CHECKING

from lineal.engine import machine
from lineal.engine.cache import Answer
from lineal.engine.limits import Limits, Place
from lineal.engine.progress import Poll
from lineal_store import Store

if TYPE_CHECKING:
    from lineal_store.claims import Claims

_POLLS = 0.02, 1.0  # how soon, and how seldom, another run is asked whether it has ended
_POLLS_REMOTE = 0.5, 5.0
_PLACES_SECONDS = 0.2  # how often it is looked whether a group has a place again


class Sharing:
    """What one run shares with others, and its stages with one another.

    ``answers`` and ``limit_of`` say what each stage asks for, and the group that limits it. Nothing is claimed before `begin`.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits | None,
        answers: Mapping[str, Answer],
        limit_of: Callable[[str], str | None],
    ) -> None:
        self._store, self._limits = store, limits
        self._answers, self._limit_of = answers, limit_of
        self._claims: Claims | None = None
        self._places: dict[str, Place] = {}
        self._without_place: dict[str, None] = {}
        self._elsewhere: dict[str, Poll] = {}
        self._executing: dict[str, str] = {}  # by action key, the stage that executes it
        self._leading: dict[str, str] = {}  # the other way round
        self._ended: list[str] = []  # keys that other runs may claim now

    def begin(self, run_id: str) -> None:
        """From now on this run says that it is alive."""
        self._claims = self._store.claims(run_id)
        self._claims.keep_beating()

    def close(self) -> None:
        """Give back all that was taken."""
        if self._claims is not None:
            self._claims.close()
        for place in self._places.values():
            place.release()

    def lead(self, stage_id: str) -> str:
        """The stage of this run that executes what ``stage_id`` asks for: itself, unless another one was first."""
        key = self._answers[stage_id].asked.key
        leader = self._executing.setdefault(key, stage_id)
        if leader == stage_id:
            self._leading[stage_id] = key
        return leader

    def claim(self, stage_id: str) -> machine.Event:
        """See to it that the stage has its place, and that no other run executes the same."""
        limit, place = self._limit_of(stage_id), None
        if limit is not None:
            assert self._limits is not None
            place = self._limits.take(limit)
            if place is None:
                self._without_place[stage_id] = None
                return machine.NoPlace(stage_id)
        if not self._claim_action(self._answers[stage_id]):
            if place is not None:
                place.release()
            return machine.Elsewhere(stage_id)
        if place is not None:
            self._places[stage_id] = place
        self.lead(stage_id)  # also what is made again without having been asked for
        return machine.Claimed(stage_id)

    def _claim_action(self, answer: Answer) -> bool:
        if answer.cache == "off" or answer.again:  # it is this run's own, or files nothing
            return True
        assert self._claims is not None
        if self._claims.claim(answer.asked.key) is not None:
            return False
        # Between our look and our claim another run may have begun, and ended.
        return answer.retire is not None or not self._store.actions.find([answer.asked.key])

    def leave(self, stage_id: str) -> None:
        """The stage does not run any more; it may run again."""
        if stage_id in self._places:
            self._places.pop(stage_id).release()

    def end(self, stage_id: str) -> None:
        """The stage has ended: what it executed is anybody's again, after `release`."""
        self._elsewhere.pop(stage_id, None)
        self._without_place.pop(stage_id, None)
        if (key := self._leading.pop(stage_id, None)) is not None:
            del self._executing[key]
            self._ended.append(key)

    def release(self) -> None:
        """Let other runs claim what has ended."""
        if self._ended and self._claims is not None:
            ended, self._ended = self._ended, []
            self._claims.release(ended)

    def lost(self, keys: Iterable[str]) -> Container[str]:
        """Those actions that another run has taken over, for it took this one for dead."""
        return self._claims.lost(keys) if self._claims is not None else ()

    def look_later(self, stage_id: str) -> None:
        """Another run executes it: ask from time to time whether that is over."""
        self._elsewhere[stage_id] = Poll(0.0, *(_POLLS_REMOTE if self._store.backend.remote else _POLLS))

    def find_free(self, now: float) -> list[machine.Event]:
        """What has become free: places in groups, and actions that no other run executes any more."""
        return [*self._find_free_places(), *self._find_ended_elsewhere(now)]

    def next_look(self, now: float) -> float:
        """When to ask again, on the monotonic clock; infinite where nothing is waited for."""
        polls = min((poll.at for poll in self._elsewhere.values()), default=math.inf)
        return min(polls, now + _PLACES_SECONDS) if self._without_place else polls

    def _find_free_places(self) -> list[machine.Event]:
        """Those stages without a place that may ask for one again: the first of each group that has one now."""
        found: list[machine.Event] = []
        groups: dict[str, bool] = {}
        for stage_id in list(self._without_place):
            limit = self._limit_of(stage_id)
            assert limit is not None and self._limits is not None
            if limit not in groups:
                groups[limit] = self._limits.is_free(limit)
                if groups[limit]:
                    del self._without_place[stage_id]
                    found.append(machine.PlaceFree(stage_id))
        return found

    def _find_ended_elsewhere(self, now: float) -> list[machine.Event]:
        due = [stage_id for stage_id, poll in self._elsewhere.items() if poll.at <= now]
        free: list[machine.Event] = []
        for stage_id in due:
            assert self._claims is not None
            if self._claims.claim(self._answers[stage_id].asked.key) is None:
                del self._elsewhere[stage_id]
                free.append(machine.LookDue(stage_id))
            else:
                self._elsewhere[stage_id] = self._elsewhere[stage_id].next(now)
        return free
