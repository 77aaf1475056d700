"""Performs what the machine decides: asks the cache, hands attempts to the executor, writes results, tells listeners."""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec.structs import replace as replace_fields

from lineal.artifacts import decode
from lineal.artifacts.files import ending
from lineal.engine import machine, retries
from lineal.engine.cache import ActionCache, Answer, Asked, effect_claimed
from lineal.engine.clock import Clock
from lineal.engine.commit import Committed, Committer, Made
from lineal.engine.intake import Intake
from lineal.engine.interrupts import AtOnce, on_interrupt
from lineal.engine.limits import Limits, Place
from lineal.engine.machine import Machine
from lineal.engine.plan import Bound, Plan, PlannedStage, Supply, bind
from lineal.engine.progress import STATES, Attempt, Poll, RunContext, RunResult, StageProgress
from lineal.engine.versions import NAME as VERSION_OF
from lineal.engine.versions import Versions
from lineal.engine.waits import Wait, Waits
from lineal.errors import LinealError, StoreUnavailable
from lineal.events import (
    Event,
    Failure,
    Listener,
    OutputCaptured,
    RunFinished,
    RunStarted,
    RunState,
    StageChanged,
)
from lineal.executors.protocol import Begun, Captured, Envelope, Executor, Held, Hidden, Outcome, Report
from lineal.fingerprint import find_pickled_names
from lineal.graph.action import seed_of
from lineal.graph.records import ActionResult, Manifest, Observed, Origin, Output, to_bytes
from lineal.stages.conditions import follow, holds
from lineal.stages.frozen import CodeNeeded, FrozenStage, named_classes
from lineal.stages.wiring import Result, Source
from lineal_store import Digest, Store
from lineal_store.tree import Tree

if TYPE_CHECKING:
    from lineal.engine.observation import Judge
    from lineal_store.claims import Claims
    from lineal_store.signs import StopRequest

_LOG_KEPT_BYTES = 16 << 20
_LONGEST_WAIT_SECONDS = 0.2  # until Ctrl-C is noticed
_POLLS = 0.02, 1.0  # how soon, and how seldom, another run is asked whether it has ended
_POLLS_REMOTE = 0.5, 5.0


class ScratchUnavailable(LinealError):
    """The local folder in which stages work cannot be made."""

    kind = "scratch"
    exit_code = 5
    hint = "Make room on that disk, and check that this user may write there."

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"the folder {self.path} cannot be made for a stage to work in: {self.problem}"


class Runner:
    """One run of ``plan``, to its end.

    ``executor_of`` makes the executor when something has to be executed, never before, so that a
    run of hits starts no process; ``begin`` is called just before that and gives the run's claims, which the caller closes, and ``judge`` when a first attempt has returned. Without ``executor_of`` nothing is executed: the
    answer is a preview. ``waits`` are those for a next attempt that runs before this one left behind. What runs
    when the run has taken ``timeout_seconds`` is stopped, and the run has failed.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        cache: ActionCache,
        intake: Intake,
        context: RunContext,
        *,
        slots: int = 1,
        executor_of: Callable[[], Executor] | None = None,
        begin: Callable[[], Claims] | None = None,
        judge: Callable[[], Judge] | None = None,
        limits: Limits | None = None,
        versions: Versions | None = None,
        waits: Waits | None = None,
        timeout_seconds: float | None = None,
        fail_fast: bool = False,
        clock: Clock,
        listener: Listener,
    ) -> None:
        self._plan, self._store, self._cache, self._intake = plan, store, cache, intake
        self._context, self._clock, self._listener = context, clock, listener
        self._executor_of, self._begin, self._judge_of = executor_of, begin, judge
        self._judge: Judge | None = None
        self._executor: Executor | None = None
        self._machine = Machine(
            [stage.task for stage in plan.stages.values()],
            slots=slots,
            fail_fast=fail_fast,
            preview=executor_of is None,
            confirm=cache.trusts,
            claims=True,
        )
        self.stages = {stage_id: StageProgress() for stage_id in plan.stages}
        self.answers: dict[str, Answer] = {}
        self._attempts: dict[str, Attempt] = {}  # those that have not ended
        self._begun = 0
        self._retry_at: dict[str, float] = {}
        self._timeout_seconds, self._deadline = timeout_seconds, math.inf
        self._is_late = False
        self._limits = limits
        self._places: dict[str, Place] = {}
        self._without_place: list[str] = []
        self._versions, self._waits = versions or Versions(), waits
        self._left_behind: dict[str, Wait] = {}
        self._kept_waits: dict[str, str] = {}  # the keys under which they are kept, by stage
        self._warnings: list[str] = []
        self._observed_warnings: dict[str, list[str]] = {}
        self._masked: set[str] = set()
        self._manifests: dict[str, str] = {}
        self._claims: Claims | None = None
        self._committer = Committer(store, context, clock, self._lost)
        self._elsewhere: dict[str, Poll] = {}
        self._executing: dict[str, str] = {}  # by action key, the stage that executes it
        self._leading: dict[str, str] = {}  # the other way round
        self._ended: list[str] = []  # keys that other runs may claim now
        self._late: list[machine.Event] = []
        self._state: RunState | None = None
        self._interrupted = self._sleeping = False
        self._asked_to_stop: StopRequest | None = None
        self._woken = threading.Event()

    def run(self) -> RunResult:
        """Run until every stage has ended; Ctrl-C stops the attempts and ends the run as cancelled.

        Pressed again, it kills at once all that runs, and `AtOnce` is raised.
        """
        if self._timeout_seconds is not None:
            self._deadline = self._clock.monotonic() + self._timeout_seconds
        self._tell(
            RunStarted(self._clock.now(), self._context.run_id, self._plan.graph.pipeline, tuple(self.stages))
        )
        try:
            with on_interrupt(self._interrupt):
                self._handle(machine.Started())
                while self._state is None:
                    try:
                        self._step()
                    except AtOnce:
                        raise
                    except KeyboardInterrupt:  # only while nothing but time passes
                        self._interrupted = True
        finally:
            if self._executor is not None:
                self._executor.close()
            for place in self._places.values():
                place.release()
            shutil.rmtree(self._context.scratch, ignore_errors=True)
        counts: dict[str, int] = {}
        for stage in self.stages.values():
            counts[stage.state] = counts.get(stage.state, 0) + 1
        self._tell(RunFinished(self._clock.now(), self._context.run_id, self._state, counts))
        in_order = (text for stage in self.stages for text in self._observed_warnings.get(stage, ()))
        self._warnings += dict.fromkeys(in_order)  # several stages of one function are told alike
        if self._store.upstream is not None:
            self._warnings += dict.fromkeys(self._store.upstream.problems)
        return RunResult(self._state, self.stages, tuple(self._warnings))

    def _interrupt(self) -> None:
        """Take note of Ctrl-C. It must not end what the runner is just doing, or an attempt could be forgotten."""
        self._interrupted = True
        if self._sleeping:
            raise KeyboardInterrupt

    def stop(self, request: StopRequest) -> None:
        """Stop as after Ctrl-C, since somebody asked for it. Called from another thread."""
        self._asked_to_stop, self._interrupted = request, True
        self._woken.set()
        assert self._executor is not None
        self._executor.interrupt()

    # -- instructions -------------------------------------------------------------------------

    def _handle(self, *events: machine.Event) -> None:
        """Feed the machine and perform what it asks for, until it asks for nothing more."""
        instructions = self._machine.handle(*events)
        while instructions:
            looks: list[str] = []
            for instruction in instructions:
                match instruction:
                    case machine.Look(stage):
                        looks.append(stage)
                    case machine.Claim(stage):
                        self._late.append(self._claim(stage))
                    case machine.LookLater(stage):
                        self._look_later(stage)
                    case machine.Execute(stage, attempt):
                        self._execute(stage, attempt)
                    case machine.WaitToRetry(stage, attempts):
                        self._wait_to_retry(stage, attempts)
                    case machine.Kill(stage):
                        self._kill(stage)
                    case machine.Enter(stage, status):
                        self._enter(stage, status)
                    case machine.Confirm():
                        self._late += self._confirm()
                    case machine.Finish(state):
                        self._state = state
            following = [*self._look(looks), *self._late]
            self._late = []
            instructions = self._machine.handle(*following) if following else []
        if self._ended and self._claims is not None:
            ended, self._ended = self._ended, []
            self._claims.release(ended)

    def _enter(self, stage_id: str, status: machine.Status) -> None:
        progress = self.stages[stage_id]
        state = STATES[status]
        if status in machine.ENDED:
            self._elsewhere.pop(stage_id, None)
        if status in machine.ENDED and (key := self._leading.pop(stage_id, None)) is not None:
            del self._executing[key]
            self._ended.append(key)
        if status == "unknown" and progress.cache is None:
            progress.cache, progress.reason = "unknown", "upstream"
        elif status == "skipped" and progress.reason is None:
            progress.reason = "upstream"
        progress.state = state
        if status != "running" and stage_id in self._places:
            self._places.pop(stage_id).release()
        if status in machine.ENDED and self._waits is not None and stage_id in self._kept_waits:
            self._waits.forget(self._kept_waits[stage_id])
        self._tell(
            StageChanged(
                self._clock.now(),
                self._context.run_id,
                stage_id,
                state,
                progress.cache,
                progress.reason,
                self._machine.attempts(stage_id),
                progress.seconds,
                progress.failure if state in ("failed", "up_for_retry") else None,
            )
        )

    # -- asking the cache ---------------------------------------------------------------------

    def _look(self, stage_ids: Sequence[str]) -> list[machine.Event]:
        events: list[machine.Event] = []
        asked: list[Asked] = []
        for stage_id in stage_ids:
            stage = self._plan.stages[stage_id]
            try:
                if not all(holds(condition, self._scalar) for condition in stage.node.conditions):
                    self.stages[stage_id].reason = "condition_false"
                    events.append(machine.ConditionFailed(stage_id))
                    continue
                bound = self._bind(stage)
                if stage.options.version_of is not None:
                    failure = self._observe_version(stage, bound)
                    if failure is not None:
                        self._refuse(stage_id, failure)
                        events.append(machine.Refused(stage_id))
                        continue
                asked.append(self._cache.ask(stage, bound))
            except StoreUnavailable:
                raise
            except LinealError as error:
                self._refuse(stage_id, Failure("contract", type(error).__name__, str(error), error.hint))
                events.append(machine.Refused(stage_id))
        events += [self._take_answer(answer) for answer in self._cache.look(asked)]
        return events

    def _observe_version(self, stage: PlannedStage, bound: Bound) -> Failure | None:
        """Let the version that the stage's own function observes be part of what is asked for; what it raised, if it fails."""
        if isinstance(stage.node.stage, FrozenStage):
            raise CodeNeeded("the version of a source is observed")
        self._hide_secrets(bound)
        try:
            bound.environment[VERSION_OF] = self._versions.observe(stage.node)
        except LinealError:
            raise
        except Exception as error:  # noqa: BLE001 — whatever it raises is the stage's failure
            from lineal.executors.attempt import failure_of

            found = failure_of(error)
            return replace(
                found,
                message=self._mask(found.message),
                hint=f"version_of={stage.options.version_of} raised it, before the stage was begun.",
                traceback=self._mask(found.traceback),
            )
        return None

    def _hide_secrets(self, bound: Bound) -> None:
        self._masked.update(
            hidden.value.reveal() for hidden in bound.arguments.values() if isinstance(hidden, Hidden)
        )

    def _take_answer(self, answer: Answer) -> machine.Event:
        stage_id = answer.asked.stage.id
        progress = self.stages[stage_id]
        self.answers[stage_id] = answer
        progress.asked, progress.cache, progress.reason = answer.asked, answer.cache, answer.reason
        if answer.refused and self._executor_of is None:  # else the attempt will tell
            self._warnings.append(f"`{stage_id}` runs again though nothing changed: {answer.refused}")
        if answer.failure is not None:
            self._refuse(stage_id, answer.failure)
            return machine.Refused(stage_id)
        if answer.result is None:
            leader = self._lead(stage_id)
            return self._take_up(answer) if leader == stage_id else machine.Shared(stage_id, leader)
        progress.outputs = answer.result.outputs
        return machine.Hit(stage_id)

    def _take_up(self, answer: Answer) -> machine.Event:
        """A miss; where a run before this one was stopped while it waited to try again, it waits for the rest of the delay."""
        stage_id, key = answer.asked.stage.id, answer.asked.identity
        wait = self._waits.find(key) if self._waits is not None else None
        if wait is None or answer.reason == "forced":
            return machine.Missed(stage_id)
        more = f"waits {wait.left_seconds:.0f} s more"
        self._warnings.append(
            f"`{stage_id}` {more}: run {wait.run_id} was stopped after attempt {wait.attempts}, before the next one was due; "
            f"--force {stage_id} tries at once"
        )
        if self._executor_of is None:
            return machine.Missed(stage_id)
        self._left_behind[stage_id], self._kept_waits[stage_id] = wait, key
        message = f"{wait.failure.message} (attempt {wait.attempts}, of run {wait.run_id}; {more})"
        self.stages[stage_id].failure = replace(wait.failure, message=message)
        return machine.Resumed(stage_id, wait.attempts)

    def _wait_to_retry(self, stage_id: str, attempts: int) -> None:
        wait = self._left_behind.pop(stage_id, None)
        if wait is None:
            failure, run_id = self.stages[stage_id].failure, self._context.run_id
            assert failure is not None
            options = self._plan.stages[stage_id].options
            seconds = retries.delay_seconds(options, attempts, retries.draw_of(run_id, stage_id, attempts))
            wait = Wait(run_id, attempts, seconds, replace(failure, traceback=""))
            if self._waits is not None:
                self._kept_waits[stage_id] = self.answers[stage_id].asked.identity
                self._waits.keep(self._kept_waits[stage_id], wait)
        self._start_executor()
        self._retry_at[stage_id] = self._clock.monotonic() + wait.left_seconds

    def _confirm(self) -> list[machine.Event]:
        """Look whether what the run returns of its hits is there."""
        returned: dict[str, list[Output]] = {}
        for binding in self._plan.graph.outputs.values():
            if isinstance(binding, Result) and binding.node in self.stages:
                progress = self.stages[binding.node]
                if progress.cache == "hit" and binding.output in progress.outputs:
                    returned.setdefault(binding.node, []).append(progress.outputs[binding.output])
        lost = self._cache.find_lost(returned)
        for stage_id in lost:
            self._condemn(stage_id)
        return [machine.OutputLost(stage_id) for stage_id in lost] or [machine.Confirmed()]

    def _refuse(self, stage_id: str, failure: Failure) -> None:
        self.stages[stage_id].failure = failure

    def _bind(self, stage: PlannedStage) -> Bound:
        return bind(stage, self._supply, self._source, self._plan.code_of)

    def _supply(self, result: Result) -> Supply | None:
        progress = self.stages[result.node]
        if progress.asked is None or result.output not in progress.outputs:
            return None
        producer, output = self._plan.stages[result.node], progress.outputs[result.output]
        origin = Origin(action_key=progress.asked.key, output=result.output)
        return Supply(output, origin, producer, self._names(output, result, producer))

    def _names(self, output: Output, result: Result, producer: PlannedStage) -> tuple[str, ...]:
        """The objects that the bytes of ``output`` need to be read."""
        if output.type == "json":
            annotation = producer.node.stage.signature.outputs.ports[result.output].annotation
            return tuple(dict.fromkeys(named_classes(annotation)))
        if output.description.get("names_left_out"):  # too many for the record
            found = find_pickled_names(self._fetch(output).read_bytes())
            return tuple(f"{module}:{qualname}" for module, qualname in found)
        return tuple(output.description.get("names", ()))

    def _source(self, source: Source) -> tuple[Held, Origin]:
        taken = self._intake.take(source.value)
        suffix = ending(PurePosixPath(urlsplit(taken.url).path).name)
        return Held(str(taken.digest), taken.type, (), taken.url, suffix), Origin(url=taken.url)

    def _scalar(self, result: Result) -> object:
        """The value that a condition compares: from the record itself where it is small, else from the store."""
        output = self.stages[result.node].outputs[result.output]
        if output.inline is not None:
            return follow(result, json.loads(output.inline))
        stage = self._plan.stages[result.node].node.stage
        if isinstance(stage, FrozenStage):
            raise CodeNeeded("a condition looks at a large result, which is read by its annotation")
        annotation = stage.signature.outputs.ports[result.output].annotation
        return follow(result, decode(output.type, self._fetch(output), annotation))

    def _fetch(self, output: Output) -> Path:
        """A local file with the bytes of an output of this run, which may not be durable yet."""
        if self._committer.find(output.digest) is not None:
            self._late += self._commit()
        return self._store.blobs.fetch(Digest.parse(output.digest))

    # -- other runs ---------------------------------------------------------------------------

    def _claim(self, stage_id: str) -> machine.Event:
        """See to it that the stage has its place, and that no other run executes the same."""
        self._start_executor()
        limit = self._plan.stages[stage_id].options.limit
        place = None
        if limit is not None:
            assert self._limits is not None
            place = self._limits.take(limit)
            if place is None:
                self._without_place.append(stage_id)
                return machine.NoPlace(stage_id)
        if not self._claim_action(self.answers[stage_id]):
            if place is not None:
                place.release()
            return machine.Elsewhere(stage_id)
        if place is not None:
            self._places[stage_id] = place
        self._lead(stage_id)  # also what is made again without having been asked for
        return machine.Claimed(stage_id)

    def _lead(self, stage_id: str) -> str:
        """The stage of this run that executes what ``stage_id`` asks for: itself, unless another one was first."""
        key = self.answers[stage_id].asked.key
        leader = self._executing.setdefault(key, stage_id)
        if leader == stage_id:
            self._leading[stage_id] = key
        return leader

    def _claim_action(self, answer: Answer) -> bool:
        if answer.cache == "off":  # it is this run's own
            return True
        assert self._claims is not None
        if self._claims.claim(answer.asked.key) is not None:
            return False
        # Between our look and our claim another run may have begun, and ended.
        return answer.retire is not None or not self._store.actions.find([answer.asked.key])

    def _find_free_places(self) -> list[machine.Event]:
        """Those stages without a place that may ask for one again: the first of each group that has one now."""
        found: list[machine.Event] = []
        groups: dict[str, bool] = {}
        for stage_id in list(self._without_place):
            limit = self._plan.stages[stage_id].options.limit
            assert limit is not None
            if self._machine.status(stage_id) != "ready":  # it was cancelled
                self._without_place.remove(stage_id)
            elif limit not in groups:
                assert self._limits is not None
                groups[limit] = self._limits.is_free(limit)
                if groups[limit]:
                    self._without_place.remove(stage_id)
                    found.append(machine.PlaceFree(stage_id))
        return found

    def _look_later(self, stage_id: str) -> None:
        poll = Poll(0.0, *(_POLLS_REMOTE if self._store.backend.remote else _POLLS))
        self._elsewhere[stage_id] = poll

    def _ask_elsewhere(self, now: float) -> list[machine.Event]:
        """Those stages whose action no other run executes any more."""
        due = [stage_id for stage_id, poll in self._elsewhere.items() if poll.at <= now]
        free: list[machine.Event] = []
        for stage_id in due:
            assert self._claims is not None
            if self._claims.claim(self.answers[stage_id].asked.key) is None:
                del self._elsewhere[stage_id]
                free.append(machine.LookDue(stage_id))
            else:
                self._elsewhere[stage_id] = self._elsewhere[stage_id].next(now)
        return free

    def _lost(self, keys: Iterable[str]) -> Container[str]:
        return self._claims.lost(keys) if self._claims is not None else ()

    # -- executing ----------------------------------------------------------------------------

    def _execute(self, stage_id: str, attempt: int) -> None:
        assert self._executor is not None
        answer = self.answers[stage_id]
        stage, asked = answer.asked.stage, answer.asked
        if stage.options.effect:  # its inputs have to be durable, whatever happens next
            self._late += self._commit()
        progress = self.stages[stage_id]
        progress.started_at, progress.attempts = self._clock.now(), attempt
        self._begun += 1
        attempt_id = f"{self._begun:06d}"
        if stage.options.effect and not self._cache.effects.claim(asked, self._context.run_id, answer.seen):
            progress.failure = effect_claimed(stage_id)
            self._late.append(machine.AttemptFailed(stage_id, retryable=False))
            return
        envelope = Envelope(
            attempt_id,
            stage_id,
            stage.module,
            stage.node.stage.qualname,
            str(self._context.scratch / attempt_id),
            asked.bound.arguments,
            seed_of(asked.action),
            carried=self._carried(asked.bound),
            seeded=stage.seeded,
            reads=stage.options.reads,
            variables=stage.options.env,
            retry_if=stage.options.retry_on if isinstance(stage.options.retry_on, str) else None,
            checkpoints=str(self._context.checkpoints / asked.identity),
            resources=stage.options.resources,
        )
        self._attempts[attempt_id] = Attempt(stage_id, envelope)
        self._hide_secrets(asked.bound)
        self._executor.submit(envelope)

    def _start_executor(self) -> Executor:
        if self._executor is None:
            assert self._executor_of is not None and self._begin is not None
            self._claims = self._begin()
            scratch = self._context.scratch
            try:
                scratch.mkdir(parents=True)
            except OSError as error:
                raise ScratchUnavailable(str(scratch), error.strerror or str(error)) from error
            self._executor = self._executor_of()
            self._claims.keep_beating(self.stop)
        return self._executor

    def _carried(self, bound: Bound) -> Mapping[str, bytes]:
        """The bytes of those inputs that are not in the store yet."""
        if not self._committer.waits:
            return {}
        found = ((held.digest, self._committer.find(held.digest)) for held in bound.inputs.values())
        return {digest: data for digest, data in found if data is not None}

    def _kill(self, stage_id: str) -> None:
        for attempt_id, attempt in self._attempts.items():
            if attempt.stage_id == stage_id:
                if self._is_late:
                    attempt.timed_out = attempt.timed_out or self._too_late()
                else:
                    attempt.stopped = True
                assert self._executor is not None
                self._executor.kill(attempt_id)

    def _step(self) -> None:
        """Wait for the next thing that happens, and let the machine know."""
        if self._interrupted:
            self._interrupted = False
            if self._asked_to_stop is not None:
                asked, self._asked_to_stop = self._asked_to_stop, None
                self._warnings.append(f"the run was cancelled by {asked.who} on {asked.host}")
            self._handle(machine.Interrupted())
            return
        now = self._clock.monotonic()
        if self._deadline <= now:
            self._time_out()
            return
        if self._without_place and (free := self._find_free_places()):
            self._handle(*free)
            return
        due = [stage for stage, at in self._retry_at.items() if at <= now]
        if due:
            for stage_id in due:
                del self._retry_at[stage_id]
            self._handle(*(machine.RetryDue(stage_id) for stage_id in due))
            return
        free = self._ask_elsewhere(now)
        if free:
            self._handle(*free)
            return
        for attempt_id, attempt in self._attempts.items():
            if attempt.deadline is not None and attempt.deadline <= now and attempt.timed_out is None:
                attempt.timed_out = self._timeout(attempt.stage_id)
                assert self._executor is not None
                self._executor.kill(attempt_id)
        ends = [
            attempt.deadline
            for attempt in self._attempts.values()
            if attempt.deadline and attempt.timed_out is None
        ]
        polls = [poll.at for poll in self._elsewhere.values()]
        soonest = min([*ends, *polls, *self._retry_at.values(), self._deadline])
        if self._without_place:
            soonest = min(soonest, now + _LONGEST_WAIT_SECONDS)
        wait_seconds = max(0.0, soonest - now) if soonest < math.inf else None
        if not self._attempts:
            if self._committer.waits:
                self._handle(*self._commit())
            else:
                self._sleep(wait_seconds or 0.0)
            return
        assert self._executor is not None
        wait_seconds = (
            _LONGEST_WAIT_SECONDS if wait_seconds is None else min(wait_seconds, _LONGEST_WAIT_SECONDS)
        )
        reports = self._executor.wait(0.0 if self._committer.waits else wait_seconds)
        events = [event for report in reports for event in self._take_report(report)]
        if self._committer.is_due or not (self._executor.gathers and reports):
            events += self._commit()
        self._handle(*events)

    def _take_report(self, report: Report) -> Sequence[machine.Event]:
        match report:
            case Begun(attempt_id):
                attempt = self._attempts[attempt_id]
                timeout = self._plan.stages[attempt.stage_id].options.timeout_seconds
                attempt.deadline = self._clock.monotonic() + timeout
            case Captured(attempt_id, text):
                stage_id = self._attempts[attempt_id].stage_id
                number = self._machine.attempts(stage_id)
                at, text = self._clock.now(), self._mask(text)
                self._tell(OutputCaptured(at, self._context.run_id, stage_id, number, "output", text))
            case Outcome():
                return self._take_outcome(report)
        return ()

    def _time_out(self) -> None:
        """The run has taken too long: its stages are told so, each as far as it is concerned."""
        self._deadline, self._is_late = math.inf, True
        self._warnings.append(f"the run was stopped after its timeout of {self._timeout_seconds:g} s")
        for stage_id in self._retry_at:
            self.stages[stage_id].failure = self._too_late()
        self._retry_at.clear()
        self._handle(machine.TimedOut())

    def _too_late(self) -> Failure:
        return Failure(
            "timeout",
            "TimeoutError",
            f"the run took longer than its timeout of {self._timeout_seconds:g} s and was stopped",
            "Run it again: it goes on after the last finished stages. A longer --timeout lets it finish at once.",
        )

    def _sleep(self, seconds: float) -> None:
        self._sleeping = True  # from now on Ctrl-C raises; one that came just before is seen here
        try:
            if not self._interrupted:
                self._clock.sleep(seconds, self._woken)
        finally:
            self._sleeping = False

    def _take_outcome(self, outcome: Outcome) -> Sequence[machine.Event]:
        attempt = self._attempts.pop(outcome.attempt_id)
        if outcome.unavailable is not None:
            raise outcome.unavailable
        stage_id = attempt.stage_id
        progress = self.stages[stage_id]
        progress.seconds += outcome.seconds
        try:
            return self._end_attempt(attempt, outcome, self._read_log(outcome))
        finally:
            if outcome.log is not None:
                Path(outcome.log).unlink(missing_ok=True)
            if os.path.isdir(attempt.envelope.scratch):  # most stages need none  # noqa: PTH112
                shutil.rmtree(attempt.envelope.scratch, ignore_errors=True)

    def _end_attempt(self, attempt: Attempt, outcome: Outcome, log: bytes) -> Sequence[machine.Event]:
        stage_id = attempt.stage_id
        progress, answer = self.stages[stage_id], self.answers[stage_id]
        if outcome.failure is None and not attempt.stopped:
            progress.failure = None
            self._committer.add(self._made(answer, outcome, progress, log))
            return [machine.Returned(stage_id)]
        if log:
            progress.logs.append(str(self._store.blobs.put(log)))
        if attempt.stopped:
            return [machine.Stopped(stage_id)]
        failure = attempt.timed_out or outcome.failure
        assert failure is not None
        progress.failure = replace(
            failure, message=self._mask(failure.message), traceback=self._mask(failure.traceback)
        )
        if answer.asked.stage.options.effect and progress.failure.kind in ("exception", "contract"):
            self._cache.effects.append(answer.asked, "failed", self._context.run_id)
        if outcome.lost is not None:  # who made it has ended for the machine, once its result is filed
            return [*self._commit(), self._input_lost(stage_id, outcome.lost)]
        worth_it = retries.is_worth_retrying(answer.asked.stage.options, progress.failure, outcome.raised)
        return [machine.AttemptFailed(stage_id, retryable=outcome.repeatable and worth_it)]

    def _timeout(self, stage_id: str) -> Failure:
        seconds = self._plan.stages[stage_id].options.timeout_seconds
        return Failure(
            "timeout",
            "TimeoutError",
            f"the attempt took longer than its timeout of {seconds:g} s and was stopped",
            "Give the stage a longer timeout=, or find out what it waits for with `lineal logs`.",
        )

    def _read_log(self, outcome: Outcome) -> bytes:
        """What the attempt wrote, without secrets; the end of it where it is too much."""
        if outcome.log is None:
            return b""
        with Path(outcome.log).open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - _LOG_KEPT_BYTES))
            text = log.read()
        for secret in filter(None, self._masked):
            text = text.replace(secret.encode(), b"***")
        return text

    def _mask(self, text: str) -> str:
        """``text`` without the secrets that stages of this run were given."""
        for secret in filter(None, self._masked):
            text = text.replace(secret, "***")
        return text

    def _made(self, answer: Answer, outcome: Outcome, progress: StageProgress, log: bytes) -> Made:
        """The result to be filed, with what it names.

        A result that is not to be offered as a hit is filed under a key of its own run: whoever asks for the action finds
        nothing, with any version of Lineal and in any store that it is copied to, and what came out has its record.
        """
        asked, retire = answer.asked, answer.retire
        observed = self._observed(asked, outcome)
        if observed.refused and "uncached" not in asked.action.environment:
            asked = progress.asked = self._cache.put_aside(asked)
            # What is there counts where strict is not set.
            retire = None if answer.refused else retire
        contents = dict(outcome.carried)
        manifest = self._name_manifest(asked.stage.manifest, asked.stage.fingerprint.hex, contents)
        log_digest = None
        if log:
            log_digest = str(Digest.of(log))
            contents[log_digest] = log
            progress.logs.append(log_digest)
        progress.outputs = outcome.outputs
        assert progress.started_at is not None
        result = ActionResult(
            action=asked.action,
            outputs=dict(outcome.outputs),
            origins=asked.bound.origins,
            side_products=list(outcome.side_products),
            manifest=manifest,
            code_tree=str(self._context.code_tree),
            environment=str(self._context.environment),
            seed=seed_of(asked.action),
            run_id=self._context.run_id,
            stage_id=asked.stage.id,
            attempt=progress.attempts,
            started_at=progress.started_at.isoformat(),
            seconds=outcome.seconds,
            log=log_digest,
            observed=observed,
        )
        return Made(answer.asked.key, asked, result, contents, retire)

    def _commit(self) -> list[machine.Event]:
        """Make what has been returned durable."""
        if not self._committer.waits:
            return []
        return [self._take_committed(committed) for committed in self._committer.commit()]

    def _take_committed(self, committed: Committed) -> machine.Event:
        asked = committed.asked
        progress, answer = self.stages[asked.stage.id], self.answers[asked.stage.id]
        if committed.outputs is None:  # its bytes are there all the same, for those that have begun with them
            progress.asked = answer.asked
            return machine.Superseded(asked.stage.id)
        if committed.other_run is not None:
            self._warnings.append(
                f"{asked.stage.id} is not deterministic: run {committed.other_run} made other bytes of the same action; "
                "its result, filed first, is used"
            )
        from lineal.stages.checkpoints import remove_checkpoints  # a run of hits has none

        remove_checkpoints(self._context.checkpoints / answer.asked.identity)
        progress.outputs = committed.outputs
        if answer.retire is not None or asked is not answer.asked:
            self.answers[asked.stage.id] = Answer(asked, answer.cache, answer.reason, seen=answer.seen)
        if asked.stage.options.effect:
            self._cache.effects.append(asked, "done", self._context.run_id)
        return machine.Completed(asked.stage.id)

    def _observed(self, asked: Asked, outcome: Outcome) -> Observed:
        """What was seen of the attempt, judged; its warnings are the run's as well."""
        if outcome.observed is None or self._judge_of is None:
            return Observed()
        from lineal.engine.observation import Declarations  # a run of hits judges nothing

        self._judge = self._judge or self._judge_of()
        stage = asked.stage
        named = (self._plan.code_of(name) for name in asked.bound.code)
        observed = self._judge.judge(
            stage.name,
            outcome.observed,
            [stage.fingerprint, *(found for found in named if found is not None)],
            Declarations(
                stage.options.reads,
                stage.options.env,
                effect=stage.options.effect,
                cached=stage.options.cache,
            ),
        )
        if any(self._masked):  # a path or a host may have a secret in it
            texts = {
                name: [self._mask(text) for text in getattr(observed, name)]
                for name in ("files", "variables", "connections", "warnings")
            }
            observed = replace_fields(observed, **texts, refused=self._mask(observed.refused))
        self._observed_warnings[stage.id] = observed.warnings
        return observed

    def _name_manifest(self, manifest: Manifest, fingerprint: str, contents: dict[str, bytes]) -> str:
        """The digest of what a fingerprint covers, which is kept once in a run."""
        if fingerprint not in self._manifests:
            data = to_bytes(manifest)
            self._manifests[fingerprint] = str(Digest.of(data))
            contents[self._manifests[fingerprint]] = data
        return self._manifests[fingerprint]

    # -- healing ------------------------------------------------------------------------------

    def _input_lost(self, stage_id: str, lost: str) -> machine.Event:
        """Have the damaged input made again: by the stage that made it, or from its source."""
        bound = self.answers[stage_id].asked.bound
        for port, taken in bound.inputs.items():
            origin = bound.origins[port]
            if taken.digest != lost and not (taken.type == "directory" and self._holds(taken.digest, lost)):
                continue
            producer = next(
                (
                    parent
                    for parent in self._plan.stages[stage_id].task.parents
                    if (asked := self.stages[parent].asked) and asked.key == origin.action_key
                ),
                None,
            )
            if producer is not None:
                self._condemn(producer)
                return machine.InputLost(stage_id, producer)
            if origin.url is not None and self._intake.heal(Digest.parse(lost)):
                return machine.InputHealed(stage_id)
        return machine.AttemptFailed(stage_id, retryable=False)

    def _holds(self, tree: str, lost: str) -> bool:
        try:
            entries = Tree.decode(self._store.blobs.read(Digest.parse(tree))).entries
        except LinealError:  # it is lost itself, and that is told first
            return False
        return any(str(entry.digest) == lost for entry in entries)

    def _condemn(self, producer: str) -> None:
        """Retire the result whose bytes are damaged, so that it is made again."""
        answer = self.answers[producer]
        self._cache.doubt(answer.asked)
        filed = self._store.actions.find([answer.asked.key]).get(answer.asked.key)
        retire = None if filed is None else (filed.generation, "corrupt")
        self.answers[producer] = Answer(answer.asked, "miss", "lost", retire=retire, seen=answer.seen)
        self.stages[producer].cache, self.stages[producer].reason = "miss", "lost"

    def _tell(self, event: Event) -> None:
        self._listener(event)
