"""What happened, told to whoever listens: progress display, run records, alerts, metrics.

Events are the only way out of the engine. They are frozen values in the past tense, each with an
aware UTC time, and hold nothing that a secret could be in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from msgspec import Struct

StageState = Literal[
    "queued", "running", "up_for_retry", "succeeded", "failed", "upstream_failed", "skipped", "cancelled"
]
RunState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Cache = Literal["hit", "miss", "off", "unknown"]
Occasion = Literal[
    "failed",
    "timeout",
    "retries_exhausted",
    "recovered",
    "retry",
    "slow",
    "schema_drift",
    "nondeterminism",
    "late",
    "missing",
    "stale",
    "irreproducible",
]
"""What somebody may want to be told of a run."""


class Failure(Struct, frozen=True):
    """Why an attempt or a stage failed.

    ``kind`` is one of exception, timeout, killed, contract, out_of_memory, code_changed,
    effect_unknown; ``traceback`` holds the user's own frames, as text.
    """

    kind: str
    type: str
    message: str
    hint: str | None = None
    traceback: str = ""

    def document(self) -> dict[str, str | None]:
        return {"kind": self.kind, "type": self.type, "message": self.message, "hint": self.hint}


class RunStarted(Struct, frozen=True):
    at: datetime
    run_id: str
    pipeline: str
    stages: tuple[str, ...]


class ExecutionStarted(Struct, frozen=True):
    """The first stage is about to be executed; told once, and never in a run of hits.

    ``parents`` holds the stages that each one waits for, parents before children; ``expected`` the seconds that
    each took of late, as far as it has a past; at most ``slots`` run at a time, where ``executor`` says.
    """

    at: datetime
    run_id: str
    executor: str
    slots: int
    parents: Mapping[str, tuple[str, ...]]
    expected: Mapping[str, float]


class StageChanged(Struct, frozen=True):
    """A stage entered ``state``; ``cache`` and ``reason`` are None until they are decided.

    ``other_bytes`` says, where it was found that the stage makes other bytes from the same, how that was found.
    """

    at: datetime
    run_id: str
    stage: str
    state: StageState
    cache: Cache | None = None
    reason: str | None = None
    attempt: int = 0
    seconds: float = 0.0
    failure: Failure | None = None
    other_bytes: str | None = None


class StageExpanded(Struct, frozen=True):
    """The list that ``stage`` is mapped over is there: from now on its ``items`` are told in its place."""

    at: datetime
    run_id: str
    stage: str
    items: tuple[str, ...]


class OutputCaptured(Struct, frozen=True):
    """Text that a stage's attempt wrote; ``stream`` is stdout or stderr."""

    at: datetime
    run_id: str
    stage: str
    attempt: int
    stream: str
    text: str


class RunFinished(Struct, frozen=True):
    at: datetime
    run_id: str
    state: RunState
    counts: Mapping[str, int]


Event = RunStarted | ExecutionStarted | StageExpanded | StageChanged | OutputCaptured | RunFinished
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that nobody is."""
