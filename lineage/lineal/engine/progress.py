"""What is known of a run while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from lineal.engine import machine
from lineal.engine.cache import Answer, Asked
from lineal.engine.plan import Plan, PlannedStage
from lineal.engine.secrets import Secrets
from lineal.events import Cache, Failure, RunState, StageState
from lineal.executors.protocol import Envelope
from lineal.graph.records import Output
from lineal_store import Digest


class StageProgress(Struct):
    """What is known of one stage of the run so far."""

    state: StageState = "queued"
    cache: Cache | None = None
    reason: str | None = None
    asked: Asked | None = None
    outputs: Mapping[str, Output] = field(default_factory=dict)
    attempts: int = 0
    seconds: float = 0.0
    work_seconds: float = 0.0
    failure: Failure | None = None
    logs: list[str] = field(default_factory=list)
    started_at: datetime | None = None
    again: Mapping[str, str] | None = None
    """The digests of what came out when a hit was executed again, by output."""
    other_bytes: str | None = None


class Account:
    """What is known of a run while it goes on, for all who perform it: of each stage its progress, and what the action cache
    answered; of a mapped stage whose list is there, the ids of its ``items``, which are stages as well.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = replace(plan, stages=dict(plan.stages))
        self.stages = {stage_id: StageProgress() for stage_id in plan.stages}
        self.items: dict[str, tuple[str, ...]] = {}
        self.answers: dict[str, Answer] = {}
        self.warnings: list[str] = []
        self.secrets = Secrets()


class RunContext(Struct, frozen=True):
    """What all results of a run share.

    ``why`` is what whoever forces stages says about it. ``scratch`` is a local folder that the run may fill and removes; in ``checkpoints`` each action has one that lasts until it has succeeded.
    """

    run_id: str
    code_tree: Digest
    environment: Digest
    who: str
    scratch: Path
    checkpoints: Path
    why: str = ""


class RunResult(Struct, frozen=True):
    """How a run ended. ``planned`` and ``items`` are as in its `Account`."""

    state: RunState
    stages: Mapping[str, StageProgress]
    planned: Mapping[str, PlannedStage]
    items: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...]


class Attempt(Struct):
    """An attempt that the executor was given; ``deadline`` is on the monotonic clock, None until it has begun.

    ``timed_out`` is what becomes of one that has taken too long, or whose run has.
    """

    stage_id: str
    envelope: Envelope
    deadline: float | None = None
    timed_out: Failure | None = None
    stopped: bool = False


class Poll(Struct, frozen=True):
    """When to ask again, on the monotonic clock, and how long to wait after that; the waits grow."""

    at: float
    delay_seconds: float
    longest_seconds: float

    def next(self, now: float) -> Poll:
        delay = min(1.5 * self.delay_seconds, self.longest_seconds)
        return Poll(now + delay, delay, self.longest_seconds)


STATES: Mapping[machine.Status, StageState] = {
    "waiting": "queued",
    "looking": "queued",
    "ready": "queued",
    "unknown": "queued",
    "claiming": "queued",
    "elsewhere": "queued",
    "running": "running",
    "returned": "running",
    "up_for_retry": "up_for_retry",
    "succeeded": "succeeded",
    "failed": "failed",
    "upstream_failed": "upstream_failed",
    "skipped": "skipped",
    "cancelled": "cancelled",
}
"""How the machine's words are told."""
