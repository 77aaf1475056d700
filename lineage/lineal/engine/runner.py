"""Performs what the machine decides: asks the cache, hands attempts to the executor, writes results, tells listeners."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec.structs import replace as replace_fields

from lineal.artifacts import decode
from lineal.artifacts.files import ending
from lineal.engine import machine
from lineal.engine.cache import ActionCache, Answer, Asked, effect_claimed
from lineal.engine.clock import Clock
from lineal.engine.intake import Intake
from lineal.engine.interrupts import on_interrupt
from lineal.engine.machine import Machine
from lineal.engine.plan import Bound, Plan, PlannedStage, Supply, bind
from lineal.engine.progress import STATES, Attempt, RunContext, RunResult, StageProgress
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
from lineal.executors.protocol import Begun, Captured, Envelope, Executor, Held, Hidden, Outcome
from lineal.fingerprint import find_pickled_names
from lineal.graph.action import seed_of
from lineal.graph.records import ActionResult, Observed, Origin, Output, seal_record, to_bytes, unseal_record
from lineal.stages.conditions import follow, holds
from lineal.stages.frozen import CodeNeeded, FrozenStage, named_classes
from lineal.stages.wiring import Result, Source
from lineal_store import Digest, Store
from lineal_store.tree import Tree

if TYPE_CHECKING:
    from lineal.engine.observation import Judge

_LOG_KEPT_BYTES = 16 << 20
_LONGEST_WAIT_SECONDS = 0.2  # until Ctrl-C is noticed


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
    run of hits starts no process; ``begin`` is called just before that, and ``judge`` when a first attempt has returned. Without ``executor_of`` nothing is executed: the
    answer is a preview.
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
        begin: Callable[[], None] = lambda: None,
        judge: Callable[[], Judge] | None = None,
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
        )
        self.stages = {stage_id: StageProgress() for stage_id in plan.stages}
        self.answers: dict[str, Answer] = {}
        self._attempts: dict[str, Attempt] = {}  # those that have not ended
        self._begun = 0
        self._retry_at: dict[str, float] = {}
        self._warnings: list[str] = []
        self._observed_warnings: dict[str, list[str]] = {}
        self._masked: set[str] = set()
        self._manifests: dict[str, str] = {}
        self._late: list[machine.Event] = []
        self._state: RunState | None = None
        self._interrupted = self._sleeping = False

    def run(self) -> RunResult:
        """Run until every stage has ended; Ctrl-C stops the attempts and ends the run as cancelled."""
        self._tell(
            RunStarted(self._clock.now(), self._context.run_id, self._plan.graph.pipeline, tuple(self.stages))
        )
        try:
            with on_interrupt(self._interrupt):
                self._handle(machine.Started())
                while self._state is None:
                    try:
                        self._step()
                    except KeyboardInterrupt:  # only while nothing but time passes
                        self._interrupted = True
        finally:
            if self._executor is not None:
                self._executor.close()
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
                    case machine.Execute(stage, attempt):
                        self._execute(stage, attempt)
                    case machine.WaitToRetry(stage, delay_seconds):
                        self._retry_at[stage] = self._clock.monotonic() + delay_seconds
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

    def _enter(self, stage_id: str, status: machine.Status) -> None:
        progress = self.stages[stage_id]
        state = STATES[status]
        if status == "unknown" and progress.cache is None:
            progress.cache, progress.reason = "unknown", "upstream"
        elif status == "skipped" and progress.reason is None:
            progress.reason = "upstream"
        progress.state = state
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
                asked.append(self._cache.ask(stage, self._bind(stage)))
            except StoreUnavailable:
                raise
            except LinealError as error:
                self._refuse(stage_id, Failure("contract", type(error).__name__, str(error), error.hint))
                events.append(machine.Refused(stage_id))
        events += [self._take_answer(answer) for answer in self._cache.look(asked)]
        return events

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
            return machine.Missed(stage_id)
        progress.outputs = answer.result.outputs
        return machine.Hit(stage_id)

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
            found = find_pickled_names(self._store.blobs.read(Digest.parse(output.digest)))
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
        return follow(
            result, decode(output.type, self._store.blobs.fetch(Digest.parse(output.digest)), annotation)
        )

    # -- executing ----------------------------------------------------------------------------

    def _execute(self, stage_id: str, attempt: int) -> None:
        assert self._executor_of is not None
        if self._executor is None:
            self._begin()
            self._executor = self._executor_of()
        answer = self.answers[stage_id]
        stage, asked = answer.asked.stage, answer.asked
        progress = self.stages[stage_id]
        progress.started_at, progress.attempts = self._clock.now(), attempt
        self._begun += 1
        attempt_id = f"{self._begun:06d}"
        scratch = self._context.scratch / attempt_id
        try:
            scratch.mkdir(parents=True)
        except OSError as error:
            raise ScratchUnavailable(str(scratch), error.strerror or str(error)) from error
        if stage.options.effect and not self._cache.effects.claim(asked, self._context.run_id, answer.seen):
            progress.failure = effect_claimed(stage_id)
            self._late.append(machine.AttemptFailed(stage_id, retryable=False))
            return
        envelope = Envelope(
            attempt_id,
            stage_id,
            stage.module,
            stage.node.stage.qualname,
            str(scratch),
            asked.bound.arguments,
            seed_of(asked.action),
            seeded=stage.seeded,
            reads=stage.options.reads,
            variables=stage.options.env,
            resources=stage.options.resources,
        )
        self._attempts[attempt_id] = Attempt(stage_id, envelope)
        self._masked.update(
            hidden.value.reveal() for hidden in asked.bound.arguments.values() if isinstance(hidden, Hidden)
        )
        self._executor.submit(envelope)

    def _kill(self, stage_id: str) -> None:
        for attempt_id, attempt in self._attempts.items():
            if attempt.stage_id == stage_id:
                attempt.stopped = True
                assert self._executor is not None
                self._executor.kill(attempt_id)

    def _step(self) -> None:
        """Wait for the next thing that happens, and let the machine know."""
        if self._interrupted:
            self._interrupted = False
            self._handle(machine.Interrupted())
            return
        now = self._clock.monotonic()
        due = [stage for stage, at in self._retry_at.items() if at <= now]
        if due:
            for stage_id in due:
                del self._retry_at[stage_id]
            self._handle(*(machine.RetryDue(stage_id) for stage_id in due))
            return
        for attempt_id, attempt in self._attempts.items():
            if attempt.deadline is not None and attempt.deadline <= now and not attempt.timed_out:
                attempt.timed_out = True
                assert self._executor is not None
                self._executor.kill(attempt_id)
        ends = [
            attempt.deadline
            for attempt in self._attempts.values()
            if attempt.deadline and not attempt.timed_out
        ]
        moments = [*ends, *self._retry_at.values()]
        wait_seconds = max(0.0, min(moments) - now) if moments else None
        if not self._attempts:
            self._sleep(wait_seconds or 0.0)
            return
        assert self._executor is not None
        wait_seconds = (
            _LONGEST_WAIT_SECONDS if wait_seconds is None else min(wait_seconds, _LONGEST_WAIT_SECONDS)
        )
        for report in self._executor.wait(wait_seconds):
            match report:
                case Begun(attempt_id):
                    attempt = self._attempts[attempt_id]
                    timeout = self._plan.stages[attempt.stage_id].options.timeout_seconds
                    attempt.deadline = self._clock.monotonic() + timeout
                case Captured(attempt_id, text):
                    stage_id = self._attempts[attempt_id].stage_id
                    number = self._machine.attempts(stage_id)
                    self._tell(
                        OutputCaptured(
                            self._clock.now(),
                            self._context.run_id,
                            stage_id,
                            number,
                            "output",
                            self._mask(text),
                        )
                    )
                case Outcome():
                    self._handle(self._take_outcome(report))

    def _sleep(self, seconds: float) -> None:
        self._sleeping = True  # from now on Ctrl-C raises; one that came just before is seen here
        try:
            if not self._interrupted:
                self._clock.sleep(seconds)
        finally:
            self._sleeping = False

    def _take_outcome(self, outcome: Outcome) -> machine.Event:
        attempt = self._attempts.pop(outcome.attempt_id)
        if outcome.unavailable is not None:
            raise outcome.unavailable
        stage_id = attempt.stage_id
        progress = self.stages[stage_id]
        progress.seconds += outcome.seconds
        log = self._keep_log(outcome)
        if log is not None:
            progress.logs.append(log)
        try:
            return self._end_attempt(attempt, outcome, log)
        finally:
            shutil.rmtree(attempt.envelope.scratch, ignore_errors=True)

    def _end_attempt(self, attempt: Attempt, outcome: Outcome, log: str | None) -> machine.Event:
        stage_id = attempt.stage_id
        progress, answer = self.stages[stage_id], self.answers[stage_id]
        if attempt.stopped:
            return machine.Stopped(stage_id)
        if outcome.failure is None:
            progress.failure = None
            self._publish(answer, outcome, progress, log)
            return machine.Completed(stage_id)
        failure = self._timeout(stage_id) if attempt.timed_out else outcome.failure
        progress.failure = replace(
            failure, message=self._mask(failure.message), traceback=self._mask(failure.traceback)
        )
        if answer.asked.stage.options.effect and progress.failure.kind in ("exception", "contract"):
            self._cache.effects.append(answer.asked, "failed", self._context.run_id)
        if outcome.lost is not None:
            return self._input_lost(stage_id, outcome.lost)
        return machine.AttemptFailed(
            stage_id, retryable=outcome.repeatable and progress.failure.kind != "contract"
        )

    def _timeout(self, stage_id: str) -> Failure:
        seconds = self._plan.stages[stage_id].options.timeout_seconds
        return Failure(
            "timeout",
            "TimeoutError",
            f"the attempt took longer than its timeout of {seconds:g} s and was stopped",
            "Give the stage a longer timeout=, or find out what it waits for with `lineal logs`.",
        )

    def _keep_log(self, outcome: Outcome) -> str | None:
        if outcome.log is None:
            return None
        with Path(outcome.log).open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - _LOG_KEPT_BYTES))
            text = log.read()
        for secret in filter(None, self._masked):
            text = text.replace(secret.encode(), b"***")
        return str(self._store.blobs.put(text)) if text else None

    def _mask(self, text: str) -> str:
        """``text`` without the secrets that stages of this run were given."""
        for secret in filter(None, self._masked):
            text = text.replace(secret, "***")
        return text

    def _publish(self, answer: Answer, outcome: Outcome, progress: StageProgress, log: str | None) -> None:
        """File the result; what is canonical is what the store says afterwards.

        A result that is not to be offered as a hit is filed under a key of its own run: whoever asks for the action finds
        nothing, with any version of Lineal and in any store that it is copied to, and what came out has its record.
        """
        asked, retire = answer.asked, answer.retire
        observed = self._observed(asked, outcome)
        if observed.refused and "uncached" not in asked.action.environment:
            asked = progress.asked = self._cache.put_aside(asked)
            retire = None if answer.refused else retire  # what is there counts where strict is not set
        assert progress.started_at is not None
        result = ActionResult(
            action=asked.action,
            outputs=dict(outcome.outputs),
            origins=asked.bound.origins,
            side_products=list(outcome.side_products),
            manifest=self._keep_manifest(asked.stage),
            code_tree=str(self._context.code_tree),
            environment=str(self._context.environment),
            seed=seed_of(asked.action),
            run_id=self._context.run_id,
            stage_id=asked.stage.id,
            attempt=progress.attempts,
            started_at=progress.started_at.isoformat(),
            seconds=outcome.seconds,
            log=log,
            observed=observed,
        )
        if retire is not None:
            generation, reason = retire
            self._store.actions.retire(
                answer.asked.key, generation, reason, by=self._context.who, at=self._clock.now()
            )
        if retire is not None or asked is not answer.asked:
            self.answers[asked.stage.id] = Answer(asked, answer.cache, answer.reason, seen=answer.seen)
        filed = self._store.actions.publish([(asked.key, seal_record(result))])[0]
        canonical = unseal_record(filed.data, ActionResult)
        ours = {name: output.digest for name, output in outcome.outputs.items()}
        if {name: output.digest for name, output in canonical.outputs.items()} != ours:
            self._warnings.append(
                f"{asked.stage.id} is not deterministic: run {canonical.run_id} made other bytes of the same action; "
                "its result, filed first, is used"
            )
        progress.outputs = canonical.outputs
        if asked.stage.options.effect:
            self._cache.effects.append(asked, "done", self._context.run_id)

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

    def _keep_manifest(self, stage: PlannedStage) -> str:
        """The digest of what the stage's fingerprint covers, kept once in a run."""
        if stage.fingerprint.hex not in self._manifests:
            self._manifests[stage.fingerprint.hex] = str(self._store.blobs.heal(to_bytes(stage.manifest)))
        return self._manifests[stage.fingerprint.hex]

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
