"""Delays before a next attempt, also those that a run before this one left behind when it was stopped."""

from __future__ import annotations

import math

from msgspec.structs import replace as replace_fields

from lineal.engine import machine, retries
from lineal.engine.cache import Answer
from lineal.engine.clock import Clock
from lineal.engine.progress import Account
from lineal.engine.waits import Wait, Waits
from lineal.events import Failure


class Delays:
    """The stages of run ``run_id`` that wait for a next attempt; ``waits`` are what outlives the process."""

    def __init__(self, account: Account, run_id: str, clock: Clock, waits: Waits | None) -> None:
        self._account, self._run_id, self._clock, self._waits = account, run_id, clock, waits
        self._due_at: dict[str, float] = {}
        self._left_behind: dict[str, Wait] = {}
        self._kept: dict[str, str] = {}  # the keys under which waits are kept, by stage

    def take_up(self, answer: Answer, *, preview: bool) -> machine.Event:
        """A miss; where a run before this one was stopped while it waited to try again, it waits for the rest of the delay."""
        stage_id, key = answer.asked.stage.id, answer.asked.identity
        wait = self._waits.find(key) if self._waits is not None else None
        if wait is None or answer.reason == "forced":
            return machine.Missed(stage_id)
        more = f"waits {wait.left_seconds:.0f} s more"
        self._account.warnings.append(
            f"`{stage_id}` {more}: run {wait.run_id} was stopped after attempt {wait.attempts}, before the next one was due; "
            f"--force {stage_id} tries at once"
        )
        if preview:
            return machine.Missed(stage_id)
        self._left_behind[stage_id], self._kept[stage_id] = wait, key
        message = f"{wait.failure.message} (attempt {wait.attempts}, of run {wait.run_id}; {more})"
        self._account.stages[stage_id].failure = replace_fields(wait.failure, message=message)
        return machine.Resumed(stage_id, wait.attempts)

    def wait(self, stage_id: str, attempts: int) -> None:
        """Have the stage tried again after the delay that follows ``attempts`` attempts, or what is left of one."""
        wait = self._left_behind.pop(stage_id, None)
        if wait is None:
            failure = self._account.stages[stage_id].failure
            assert failure is not None
            options = self._account.plan.stages[stage_id].options
            draw = retries.draw_of(self._run_id, stage_id, attempts)
            seconds = retries.delay_seconds(options, attempts, draw)
            wait = Wait(self._run_id, attempts, seconds, replace_fields(failure, traceback=""))
            if self._waits is not None:
                self._kept[stage_id] = self._account.answers[stage_id].asked.identity
                self._waits.keep(self._kept[stage_id], wait)
        self._due_at[stage_id] = self._clock.monotonic() + wait.left_seconds

    def forget(self, stage_id: str) -> None:
        """The stage has ended: nothing waits for its action any more."""
        if self._waits is not None and stage_id in self._kept:
            self._waits.forget(self._kept[stage_id])

    def give_up(self, failure: Failure) -> None:
        """No stage is tried again; ``failure`` is why those that waited have failed."""
        for stage_id in self._due_at:
            self._account.stages[stage_id].failure = failure
        self._due_at.clear()

    def find_due(self, now: float) -> list[machine.Event]:
        """The stages whose delay is over."""
        due = [stage_id for stage_id, at in self._due_at.items() if at <= now]
        for stage_id in due:
            del self._due_at[stage_id]
        return [machine.RetryDue(stage_id) for stage_id in due]

    @property
    def next_due(self) -> float:
        """When the next delay is over, on the monotonic clock; infinite where nothing waits."""
        return min(self._due_at.values(), default=math.inf)
