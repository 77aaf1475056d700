"""The engine's decisions: events in the past tense come in, instructions in the imperative go out.

No input or output, no threads, no clock: the runner performs the instructions and reports back.
The shape is that of distributed's worker state machine (docs/architecture.md, "Deciding and doing").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace as replace_fields

from lineal.errors import LinealError

Status = Literal[
    "waiting",  # for its parents
    "looking",  # the runner asks the action cache
    "ready",  # has to be executed, waits for a slot
    "claiming",  # the runner makes sure that no other run executes it
    "elsewhere",  # another run executes it
    "running",
    "returned",  # the attempt has ended well, its result is not durable yet
    "up_for_retry",
    "unknown",  # previews only: would run, or depends on what would
    "succeeded",
    "failed",
    "upstream_failed",
    "skipped",
    "cancelled",
]
ENDED: frozenset[Status] = frozenset(
    {"succeeded", "failed", "upstream_failed", "skipped", "cancelled", "unknown"}
)
_USABLE: frozenset[Status] = ENDED | {"returned"}
_LOSSES_TOLERATED = 2


class Task(Struct, frozen=True):
    """What the machine knows of a stage. ``tolerated`` are the parents that it can do without when they are skipped.

    ``over`` is the parent whose items it is mapped over, one by one: of that it only needs to know which they are.
    """

    id: str
    parents: tuple[str, ...] = ()
    tolerated: frozenset[str] = frozenset()
    max_attempts: int = 1
    over: str | None = None


# -- events -----------------------------------------------------------------------------------


class Started(Struct, frozen=True):
    pass


class Weighed(Struct, frozen=True):
    """For each stage how much depends on it: of those that are ready, the heavier begin first. Items weigh what their stage does."""

    weights: Mapping[str, float]


class Hit(Struct, frozen=True):
    stage: str


class Missed(Struct, frozen=True):
    stage: str


class Shared(Struct, frozen=True):
    """``stage`` missed, and ``leader`` of this run executes the very same action already."""

    stage: str
    leader: str


class Resumed(Struct, frozen=True):
    """A miss for which an earlier run, which is gone, made ``attempts`` attempts; the delay of the next is not over."""

    stage: str
    attempts: int


class Claimed(Struct, frozen=True):
    """No other run executes the action of ``stage``, none will before this one has ended it, and it has its place."""

    stage: str


class Elsewhere(Struct, frozen=True):
    """Another run executes the action of ``stage``."""

    stage: str


class LookDue(Struct, frozen=True):
    """The other run has ended ``stage``, or has died."""

    stage: str


class NoPlace(Struct, frozen=True):
    """There is no place in the group that limits ``stage``."""

    stage: str


class PlaceFree(Struct, frozen=True):
    """``stage``, for which there was no place, may ask for one again."""

    stage: str


class Expanded(Struct, frozen=True):
    """``stage`` is mapped over a list, and these are its items; it ends when they have."""

    stage: str
    items: tuple[Task, ...]


class ConditionFailed(Struct, frozen=True):
    stage: str


class Refused(Struct, frozen=True):
    """The stage cannot even be asked for: a source is missing, a parameter has no encoding."""

    stage: str


class Returned(Struct, frozen=True):
    """An attempt ended well. What it made can be handed on, and is not durable yet."""

    stage: str


class Completed(Struct, frozen=True):
    """What the stage returned is durable."""

    stage: str


class Superseded(Struct, frozen=True):
    """What ``stage`` returned may not be filed: this run was taken for dead, and another one took the action over."""

    stage: str


class AttemptFailed(Struct, frozen=True):
    stage: str
    retryable: bool


class Stopped(Struct, frozen=True):
    """An attempt was killed because the run was interrupted."""

    stage: str


class RetryDue(Struct, frozen=True):
    stage: str


class InputLost(Struct, frozen=True):
    """``stage`` could not read an output of ``producer``: its bytes are gone or damaged."""

    stage: str
    producer: str


class InputHealed(Struct, frozen=True):
    """``stage`` could not read an input, which has been taken from its source again."""

    stage: str


class OutputLost(Struct, frozen=True):
    """What the run returns of ``stage``, a hit, turns out not to be there any more."""

    stage: str


class Confirmed(Struct, frozen=True):
    """All that the run returns is there."""


class TimedOut(Struct, frozen=True):
    """The run has taken longer than it may."""


class Interrupted(Struct, frozen=True):
    pass


Event = (
    Started
    | Weighed
    | Hit
    | Missed
    | Shared
    | Resumed
    | Claimed
    | Elsewhere
    | LookDue
    | NoPlace
    | PlaceFree
    | Expanded
    | ConditionFailed
    | Refused
    | Returned
    | Completed
    | Superseded
    | AttemptFailed
    | Stopped
    | RetryDue
    | InputLost
    | InputHealed
    | OutputLost
    | Confirmed
    | TimedOut
    | Interrupted
)


# -- instructions -----------------------------------------------------------------------------


class Look(Struct, frozen=True):
    """Form the action of ``stage`` and ask the action cache; the answer is `Expanded` where it is mapped over a list."""

    stage: str


class Claim(Struct, frozen=True):
    """Claim what ``stage`` needs to be executed: its action, and a place in the group that limits it.

    The answer is `Claimed`, `Elsewhere` or `NoPlace`, and `PlaceFree` after that.
    """

    stage: str


class LookLater(Struct, frozen=True):
    """Tell when the run that executes the action of ``stage`` has ended it."""

    stage: str


class Execute(Struct, frozen=True):
    stage: str
    attempt: int


class WaitToRetry(Struct, frozen=True):
    """Report `RetryDue` when it is time for the attempt after the first ``attempts``."""

    stage: str
    attempts: int


class Kill(Struct, frozen=True):
    stage: str


class Enter(Struct, frozen=True):
    """Tell the world that ``stage`` is now in ``status``."""

    stage: str
    status: Status


class Confirm(Struct, frozen=True):
    """Look whether all that the run returns is there."""


class Finish(Struct, frozen=True):
    state: Literal["succeeded", "failed", "cancelled"]


Instruction = Look | Claim | LookLater | Execute | WaitToRetry | Kill | Enter | Confirm | Finish


class InvalidTransition(LinealError):
    """An event reached a stage in a status in which it means nothing. This is a bug in Lineal."""

    hint = "This should never happen; please report it with the run's log."

    def __init__(self, stage: str, status: str, event: str, story: tuple[str, ...]) -> None:
        super().__init__(stage, status, event, story)
        self.stage, self.status, self.event, self.story = stage, status, event, story

    def __str__(self) -> str:
        return (
            f"{self.stage} is {self.status} and cannot take {self.event}; its story: {' → '.join(self.story)}"
        )


class Machine:
    """The state of one run, mutated through `handle` alone.

    ``slots`` bounds the attempts that run at once. With ``preview`` nothing is executed: a miss
    and all that hangs on it end as ``unknown``. With ``confirm`` hits are taken on trust, and a run that has succeeded
    by them asks in the end whether what it returns is there. With ``claims`` there may be other runs, and no stage is
    executed before its action has been claimed. Costs are linear in stages plus edges.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        slots: int,
        fail_fast: bool = False,
        preview: bool = False,
        confirm: bool = False,
        claims: bool = False,
    ) -> None:
        self._tasks: dict[str, Task] = {}
        self._place: dict[str, tuple[int, ...]] = {}
        self._children: dict[str, list[str]] = {task.id: [] for task in tasks}
        self._awaited: dict[str, set[str]] = {}
        self._status: dict[str, Status] = {}
        self._story: dict[str, list[str]] = {}
        self._attempts: dict[str, int] = {}
        self._earlier: dict[str, int] = {}  # attempts that count, of a run before this
        self._losses: dict[str, int] = {}
        self._expanded: set[str] = set()
        for number, task in enumerate(tasks):
            self._add(task, (number,))
        self._followers: dict[str, list[str]] = {}  # look again when it has ended
        self._weights: dict[str, float] = {}
        self._ready: list[tuple[float, tuple[int, ...], str]] = []  # heaviest first, then in call order
        self._running = 0
        self._open = len(tasks)
        self._slots, self._fail_fast, self._preview = slots, fail_fast, preview
        self._unconfirmed, self._claims = confirm, claims
        self._interrupted = self._timed_out = self._stopping = self._finished = False
        self._out: list[Instruction] = []

    def _add(self, task: Task, place: tuple[int, ...]) -> None:
        self._tasks[task.id], self._place[task.id] = task, place
        for parent in task.parents:
            self._children[parent].append(task.id)
        self._awaited[task.id] = set(task.parents)
        self._status[task.id], self._story[task.id] = "waiting", []
        self._attempts[task.id] = self._earlier[task.id] = self._losses[task.id] = 0

    def status(self, stage: str) -> Status:
        return self._status[stage]

    def attempts(self, stage: str) -> int:
        """How many attempts this run has begun for ``stage``."""
        return self._attempts[stage]

    def handle(self, *events: Event) -> list[Instruction]:
        """Take what happened; answer what is to be done, in order."""
        self._out = []
        for event in events:
            self._take(event)
        while self._ready and self._running < self._slots:
            *_, stage = heappop(self._ready)
            if self._status[stage] == "ready":
                self._running += 1
                if self._claims:
                    self._status[stage] = "claiming"
                    self._out.append(Claim(stage))
                else:
                    self._execute(stage)
        if not self._open and not self._finished:
            verdict = self._verdict()
            if verdict == "succeeded" and self._unconfirmed:
                self._unconfirmed = False
                self._out.append(Confirm())
            else:
                self._finished = True
                self._out.append(Finish(verdict))
        return self._out

    # -- events -------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        match event:
            case Started():
                for stage, awaited in self._awaited.items():
                    if not awaited:
                        self._settle(stage)
            case Weighed(weights):
                self._weights |= weights
                for stage in self._expanded & weights.keys():
                    self._weights |= dict.fromkeys(self._tasks[stage].parents, weights[stage])
                waiting, self._ready = self._ready, []
                for *_, stage in waiting:
                    self._line_up(stage)
            case Hit(stage):
                self._expect(event, stage, "looking")
                self._end(stage, "succeeded")
            case Missed(stage):
                self._expect(event, stage, "looking")
                if self._preview:
                    self._end(stage, "unknown")
                else:
                    self._queue(stage)
            case Shared(stage, leader):
                self._expect(event, stage, "looking")
                if self._preview:
                    self._end(stage, "unknown")
                elif self._stopping:
                    self._end(stage, "cancelled")
                else:
                    self._status[stage] = "waiting"
                    self._followers.setdefault(leader, []).append(stage)
            case Resumed(stage, attempts):
                self._expect(event, stage, "looking")
                self._earlier[stage] = attempts
                if self._stopping:
                    self._end(stage, "cancelled")
                else:
                    self._wait(stage)
            case Claimed(stage):
                self._expect(event, stage, "claiming")
                self._execute(stage)
            case Elsewhere(stage):
                self._expect(event, stage, "claiming")
                self._running -= 1
                self._enter(stage, "elsewhere")
                self._out.append(LookLater(stage))
            case LookDue(stage):
                if self._status[stage] == "elsewhere":  # else it was cancelled meanwhile
                    self._settle(stage)
            case NoPlace(stage):
                self._expect(event, stage, "claiming")
                self._running -= 1
                self._status[stage] = "ready"
            case PlaceFree(stage):
                self._line_up(stage)
            case Expanded(stage, items):
                self._expect(event, stage, "looking")
                self._expand(stage, items)
            case ConditionFailed(stage):
                self._expect(event, stage, "looking")
                self._end(stage, "skipped")
            case Refused(stage):
                self._expect(event, stage, "looking")
                self._fail(stage)
            case Returned(stage):
                self._leave_slot(event, stage)
                self._status[stage] = "returned"
                self._story[stage].append("returned")
                for child, verdict in self._let_go_on(stage, durable=False):
                    self._end(child, verdict)
            case Completed(stage):
                self._expect(event, stage, "returned")
                self._end(stage, "succeeded")
            case Superseded(stage):
                if self._status[stage] == "running":
                    self._leave_slot(event, stage)
                else:
                    self._expect(event, stage, "returned")
                self._settle(stage)
            case AttemptFailed(stage, retryable):
                self._leave_slot(event, stage)
                self._retry_or_fail(stage, retryable)
            case Stopped(stage):
                self._leave_slot(event, stage)
                self._end(stage, "cancelled")
            case RetryDue(stage):
                if self._status[stage] == "up_for_retry":  # else it was cancelled meanwhile
                    self._queue(stage)
            case InputLost(stage, producer):
                self._leave_slot(event, stage)
                self._rebuild(stage, producer)
            case InputHealed(stage):
                self._leave_slot(event, stage)
                self._begin_again(stage)
            case OutputLost(stage):
                self._expect(event, stage, "succeeded")
                self._make_again(stage)
            case Confirmed():
                pass
            case TimedOut():
                self._time_out()
            case Interrupted():
                self._interrupt()

    def _expect(self, event: Event, stage: str, status: Status) -> None:
        if self._status[stage] != status:
            raise InvalidTransition(
                stage, self._status[stage], type(event).__name__, tuple(self._story[stage])
            )

    def _leave_slot(self, event: Event, stage: str) -> None:
        self._expect(event, stage, "running")
        self._running -= 1

    # -- transitions --------------------------------------------------------------------------

    def _enter(self, stage: str, status: Status) -> None:
        self._status[stage] = status
        self._story[stage].append(status)
        self._out.append(Enter(stage, status))

    def _expand(self, stage: str, items: tuple[Task, ...]) -> None:
        """Let ``stage`` be its ``items``, and what is mapped over them begin with those that are done first."""
        self._children |= {task.id: [] for task in items}
        if stage in self._weights:
            self._weights |= dict.fromkeys((task.id for task in items), self._weights[stage])
        for number, task in enumerate(items):
            self._add(task, (*self._place[stage], number))
            self._awaited[task.id] = {
                parent for parent in task.parents if self._status[parent] not in _USABLE
            }
            self._children[task.id].append(stage)
        self._open += len(items)
        ids = tuple(task.id for task in items)
        self._expanded.add(stage)
        self._tasks[stage] = replace_fields(self._tasks[stage], parents=ids)
        self._awaited[stage] = set(ids)
        self._enter(stage, "waiting")
        for item in ids:
            if not self._awaited[item]:
                self._settle(item)
        for child in self._children[stage]:
            if self._tasks[child].over == stage and self._status[child] == "waiting":
                self._awaited[child].discard(stage)
                if not self._awaited[child]:
                    self._settle(child)
        if not ids:
            self._end(stage, "succeeded")

    def _settle(self, stage: str) -> None:
        """Go on with a stage whose parents have all ended."""
        verdict = self._verdict_of_parents(stage)
        if verdict is None and stage in self._expanded:
            verdict = "succeeded"
        if verdict is None:
            self._status[stage] = "looking"
            self._out.append(Look(stage))
        else:
            self._end(stage, verdict)

    def _verdict_of_parents(self, stage: str) -> Status | None:
        """How ``stage`` ends for what became of its parents, or None where it goes on."""
        task = self._tasks[stage]
        statuses = {self._status[parent] for parent in task.parents}
        if statuses & {"failed", "upstream_failed"}:
            return "upstream_failed"
        if self._stopping or "cancelled" in statuses:
            return "cancelled"
        if any(self._status[p] == "skipped" and p not in task.tolerated for p in task.parents):
            return "skipped"
        return "unknown" if "unknown" in statuses else None

    def _end(self, stage: str, status: Status) -> None:
        """End ``stage`` and, without recursion, all that this decides further down."""
        ending = deque([(stage, status)])
        while ending:
            ended, its_status = ending.popleft()
            self._enter(ended, its_status)
            self._open -= 1
            ending += self._let_go_on(ended)
            for follower in self._followers.pop(ended, ()):
                if self._status[follower] == "waiting" and not self._awaited[follower]:
                    self._settle(follower)

    def _let_go_on(self, stage: str, *, durable: bool = True) -> list[tuple[str, Status]]:
        """Ask for the children that waited for ``stage`` alone; those that end instead, each with how.

        A list names what its items made, and who takes the list reads it there: for them it has to be ``durable``.
        """
        ending: list[tuple[str, Status]] = []
        for child in self._children[stage]:
            if not durable and (child in self._expanded or stage not in self._tasks[child].parents):
                continue
            self._awaited[child].discard(stage)
            if self._awaited[child] or self._status[child] != "waiting":
                continue
            verdict = self._verdict_of_parents(child)
            if verdict is None and child in self._expanded:
                verdict = "succeeded"
            self._status[child] = verdict or "looking"  # so that a second parent does not settle it again
            if verdict is None:
                self._out.append(Look(child))
            else:
                ending.append((child, verdict))
        return ending

    def _queue(self, stage: str) -> None:
        if self._stopping:
            self._end(stage, "cancelled")
            return
        self._enter(stage, "ready")
        self._line_up(stage)

    def _line_up(self, stage: str) -> None:
        heappush(self._ready, (-self._weights.get(stage, 0.0), self._place[stage], stage))

    def _execute(self, stage: str) -> None:
        self._attempts[stage] += 1
        self._enter(stage, "running")
        self._out.append(Execute(stage, self._attempts[stage]))

    def _retry_or_fail(self, stage: str, retryable: bool) -> None:
        task = self._tasks[stage]
        if self._interrupted:
            self._end(stage, "cancelled")
        elif retryable and not self._stopping and self._made(stage) < task.max_attempts:
            self._wait(stage)
        else:
            self._fail(stage)

    def _wait(self, stage: str) -> None:
        self._out.append(WaitToRetry(stage, self._made(stage)))  # first, so that what is told has been kept
        self._enter(stage, "up_for_retry")

    def _made(self, stage: str) -> int:
        return self._earlier[stage] + self._attempts[stage]

    def _fail(self, stage: str) -> None:
        self._end(stage, "failed")
        if self._fail_fast:
            self._stop_the_rest()

    def _rebuild(self, stage: str, producer: str) -> None:
        """Make ``producer`` again, then ``stage``; give up when the bytes vanish again and again."""
        if self._losses[producer] >= _LOSSES_TOLERATED or self._stopping:
            self._fail(stage)
            return
        if self._status[producer] == "succeeded":
            self._losses[producer] += 1
            self._open += 1
            for child in self._children[producer]:
                if self._status[child] == "waiting":
                    self._awaited[child].add(producer)
            self._queue(producer)
        self._attempts[stage] -= 1  # an attempt that had no input is none of the stage's own
        self._enter(stage, "waiting")
        if self._status[producer] in ENDED:  # somebody else asked for the rebuild, and it failed
            self._settle(stage)
        else:
            self._awaited[stage].add(producer)
            if producer not in self._tasks[stage].parents:  # an item of a list that it takes
                self._children[producer].append(stage)

    def _make_again(self, stage: str) -> None:
        """Make what ``stage`` had made before, and ask once more when that is done."""
        self._open += 1
        if self._preview:
            self._end(stage, "unknown")
        elif self._losses[stage] >= _LOSSES_TOLERATED:
            self._fail(stage)
        else:
            self._losses[stage] += 1
            self._unconfirmed = True
            self._queue(stage)

    def _begin_again(self, stage: str) -> None:
        if self._losses[stage] >= _LOSSES_TOLERATED:
            self._fail(stage)
            return
        self._losses[stage] += 1
        self._attempts[stage] -= 1
        self._queue(stage)

    def _interrupt(self) -> None:
        if not self._interrupted:
            self._interrupted = True
            self._kill_what_runs()
            self._stop_the_rest()

    def _time_out(self) -> None:
        """What runs fails when it has been stopped, what was to be tried again fails now, and nothing more is started."""
        self._timed_out = self._stopping = True
        self._kill_what_runs()
        for stage in self._tasks:
            if self._status[stage] == "up_for_retry":
                self._end(stage, "failed")
        self._stop_the_rest()

    def _kill_what_runs(self) -> None:
        self._out += [Kill(stage) for stage, status in self._status.items() if status == "running"]

    def _stop_the_rest(self) -> None:
        self._stopping = True
        for stage in self._tasks:
            if self._status[stage] in ("ready", "up_for_retry", "elsewhere"):
                self._end(stage, "cancelled")

    def _verdict(self) -> Literal["succeeded", "failed", "cancelled"]:
        statuses = set(self._status.values())
        if self._interrupted:
            return "cancelled"
        if statuses & {"failed", "upstream_failed"}:
            return "failed"
        if "cancelled" in statuses:
            return "failed" if self._timed_out else "cancelled"
        return "succeeded"
