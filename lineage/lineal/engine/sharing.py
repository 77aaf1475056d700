"""Who executes what: one stage of this run for each action, one run of all that share the store, and no more of a group
than there are places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping
from typing import TYPE_CHECKING

from lineal.engine import machine
from lineal.engine.cache import Answer
from lineal.engine.clock import Clock
from lineal.engine.limits import Limits
from lineal.engine.progress import Poll
from lineal_store import Store

if TYPE_CHECKING:
    from lineal_store.claims import Claims
    from lineal_store.signs import StopRequest

_POLLS = 0.02, 1.0  # how soon, and how seldom, it is looked whether another run has ended a stage
_POLLS_REMOTE = 0.5, 5.0


class Sharing:
    """What one run shares with others, and its stages with one another.

    ``answers`` and ``groups`` say what each stage asks for, and which groups limit it (`groups_of`). Nothing is claimed before `begin`.
    """

    def __init__(
        self,
        store: Store,
        groups: Callable[[str], Mapping[str, int]],
        answers: Mapping[str, Answer],
        clock: Clock,
    ) -> None:
        self._store, self._groups, self._answers, self._clock = store, groups, answers, clock
        self._polls = _POLLS_REMOTE if store.backend.remote else _POLLS
        self._claims: Claims | None = None
        self._limits: Limits | None = None
        self._elsewhere: dict[str, Poll] = {}
        self._executing: dict[str, str] = {}  # by action key, the stage that executes it
        self._leading: dict[str, str] = {}  # the other way round
        self._ended: list[str] = []  # keys that other runs may claim now

    def begin(self, claims: Claims, asked_to_stop: Callable[[StopRequest], None]) -> None:
        """From now on this run keeps saying that it is alive, and hears when it is asked to stop."""
        self._claims = claims
        self._limits = Limits(claims, self._groups, self._clock, self._polls)
        claims.keep_beating(asked_to_stop)

    def lead(self, stage_id: str) -> str:
        """The stage of this run that executes what ``stage_id`` asks for: itself, unless another one was first."""
        key = self._answers[stage_id].asked.key
        leader = self._executing.setdefault(key, stage_id)
        if leader == stage_id:
            self._leading[stage_id] = key
        return leader

    def claim(self, stage_id: str) -> machine.Event:
        """See to it that the stage has its place, and that no other run executes the same."""
        assert self._limits is not None
        if not self._limits.take(stage_id):
            return machine.NoPlace(stage_id)
        if not self._claim_action(self._answers[stage_id]):
            self._limits.release(stage_id)
            return machine.Elsewhere(stage_id)
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
        if self._limits is not None:
            self._limits.release(stage_id)

    def end(self, stage_id: str) -> None:
        """The stage has ended: what it executed is anybody's again, after `release`."""
        self._elsewhere.pop(stage_id, None)
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
        self._elsewhere[stage_id] = Poll(0.0, *self._polls)

    def find_free(self, now: float) -> list[machine.Event]:
        """What may be free by now: places in groups, and actions that no other run executes any more."""
        asking = self._limits.due(now) if self._limits is not None else ()
        return [*map(machine.PlaceFree, asking), *self._find_ended_elsewhere(now)]

    @property
    def next_look(self) -> float:
        """When to ask again, on the monotonic clock; infinite where nothing is waited for."""
        places = self._limits.next_due if self._limits is not None else math.inf
        return min([places, *(poll.at for poll in self._elsewhere.values())])

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
