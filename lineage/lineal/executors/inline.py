"""Attempts in this very process, one at a time: for debuggers and for tests.

A timeout cannot be kept here, and a stage that ends the process ends the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from lineal.executors.attempt import StageOf, perform
from lineal.executors.protocol import Envelope, Outcome, Report
from lineal_store import Store


class InlineExecutor:
    """Runs each attempt when its outcome is waited for. ``stage_of`` gives the stage of a module and qualified name."""

    slots = 1

    def __init__(self, store: Store, stage_of: StageOf) -> None:
        self._store, self._stage_of = store, stage_of
        self._submitted: deque[Envelope] = deque()
        self._killed: list[Outcome] = []

    def submit(self, envelope: Envelope) -> None:
        self._submitted.append(envelope)

    def wait(self, timeout_seconds: float | None) -> Sequence[Report]:
        killed, self._killed = self._killed, []
        if killed or not self._submitted:
            return killed
        envelope = self._submitted.popleft()
        return [perform(envelope, self._stage_of, self._store)]

    def kill(self, attempt_id: str) -> None:
        for envelope in list(self._submitted):
            if envelope.attempt_id == attempt_id:
                self._submitted.remove(envelope)
                self._killed.append(Outcome(attempt_id))

    def close(self) -> None:
        self._submitted.clear()
