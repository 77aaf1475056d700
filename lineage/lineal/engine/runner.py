"""Performs what the machine decides: asks the cache, hands attempts to the executor, writes results, tells listeners."""

from __future__ import annotations

import math
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec.structs import replace as replace_fields

from lineal.engine import machine, retries
from lineal.engine.cache import ActionCache, effect_claimed
from lineal.engine.clock import Clock
from lineal.engine.commit import Committer
from lineal.engine.delays import Delays
from lineal.engine.healing import Healing
from lineal.engine.inputs import Inputs
from lineal.engine.intake import Intake
from lineal.engine.interrupts import AtOnce, on_interrupt
from lineal.engine.limits import groups_of
from lineal.engine.lookup import Lookup
from lineal.engine.machine import Machine
from lineal.engine.mapping import Maps
from lineal.engine.plan import Plan
from lineal.engine.progress import STATES, Account, Attempt, RunContext, RunResult
from lineal.engine.results import Results
from lineal.engine.sharing import Sharing
from lineal.engine.versions import Versions
from lineal.engine.waits import Waits
from lineal.errors import LinealError
from lineal.events import (
    Event,
    Failure,
    Listener,
    OutputCaptured,
    RunFinished,
    RunStarted,
    RunState,
    StageChanged,
    StageExpanded,
)
from lineal.executors.protocol import Begun, Captured, Envelope, Executor, Outcome, Report
from lineal.graph.action import seed_of
from lineal_store import Store

if TYPE_CHECKING:
    from lineal.engine.observation import Judge
    from lineal_store.claims import Claims
    from lineal_store.signs import StopRequest

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
    run of hits starts no process; ``begin`` is called just before that, and answers how much depends on each stage, as far as is
    known; ``claims_of`` gives the run's claims then, which the caller closes, and ``judge`` is called when a first attempt has
    returned. Without ``executor_of`` nothing is executed: the answer is a preview. ``waits`` are those for a next attempt that
    runs before this one left behind. What runs when the run has taken ``timeout_seconds`` is stopped, and the run has failed.
    ``limits`` are sizes of concurrency groups.
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
        begin: Callable[[], Mapping[str, float]] = dict,
        claims_of: Callable[[], Claims] | None = None,
        judge: Callable[[], Judge] | None = None,
        limits: Mapping[str, int] = MappingProxyType({}),
        versions: Versions | None = None,
        waits: Waits | None = None,
        timeout_seconds: float | None = None,
        fail_fast: bool = False,
        doubts: Callable[[str], bool] = lambda stage_id: False,
        clock: Clock,
        listener: Listener,
    ) -> None:
        self._store, self._cache = store, cache
        self._context, self._clock, self._listener = context, clock, listener
        self._executor_of, self._begin, self._claims_of = executor_of, begin, claims_of
        self._executor: Executor | None = None
        self._machine = Machine(
            [stage.task for stage in plan.stages.values()],
            slots=slots,
            fail_fast=fail_fast,
            preview=executor_of is None,
            confirm=cache.trusts,
            claims=True,
        )
        account = self._account = Account(plan)
        self._plan, self.stages, self.answers = account.plan, account.stages, account.answers

        def groups(stage_id: str) -> Mapping[str, int]:
            return groups_of(stage_id, account.plan.stages[stage_id].options.limit, limits)

        self._sharing = Sharing(store, groups, account.answers, clock)
        self._committer = Committer(store, context, clock, self._sharing.lost)
        self._results = Results(account, cache, self._committer, context, judge)
        self._maps = Maps(account, store, context, clock, preview=executor_of is None)
        self._inputs = Inputs(account, store, intake, self._maps, self._committer, self._commit_at_once)
        self._delays = Delays(account, context.run_id, clock, waits)
        self._healing = Healing(account, store, cache, intake, self._maps)
        self._lookup = Lookup(
            account,
            cache,
            self._inputs,
            self._maps,
            versions or Versions(),
            self._delays,
            self._healing,
            self._sharing.lead,
            doubts,
            preview=executor_of is None,
        )
        self._attempts: dict[str, Attempt] = {}  # those that have not ended
        self._begun = 0
        self._timeout_seconds, self._deadline = timeout_seconds, math.inf
        self._is_late = False
        self._late: list[machine.Event] = []  # what happened while an instruction was performed
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
            shutil.rmtree(self._context.scratch, ignore_errors=True)
        counts: dict[str, int] = {}
        for stage_id, stage in self.stages.items():
            if not self._account.items.get(stage_id):
                counts[stage.state] = counts.get(stage.state, 0) + 1
        self._tell(RunFinished(self._clock.now(), self._context.run_id, self._state, counts))
        warnings = [*self._account.warnings, *self._results.warnings]
        if self._store.upstream is not None:
            warnings += dict.fromkeys(self._store.upstream.problems)
        return RunResult(self._state, self.stages, self._plan.stages, self._account.items, tuple(warnings))

    def _interrupt(self) -> None:
        """Take note of Ctrl-C. It must not end what the runner is just doing, or an attempt could be forgotten."""
        self._interrupted = True
        if self._sleeping:
            raise KeyboardInterrupt

    def _stop(self, request: StopRequest) -> None:
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
                        self._start_executor()
                        self._late.append(self._sharing.claim(stage))
                    case machine.LookLater(stage):
                        self._sharing.look_later(stage)
                    case machine.Execute(stage, attempt):
                        self._execute(stage, attempt)
                    case machine.WaitToRetry(stage, attempts):
                        self._start_executor()
                        self._delays.wait(stage, attempts)
                    case machine.Kill(stage):
                        self._kill(stage)
                    case machine.Enter(stage, status):
                        self._enter(stage, status)
                    case machine.Confirm():
                        self._late += self._lookup.confirm()
                    case machine.Finish(state):
                        self._state = state
            following = [*self._lookup.look(looks), *self._late]
            self._late = []
            instructions = self._machine.handle(*following) if following else []
        self._sharing.release()

    def _enter(self, stage_id: str, status: machine.Status) -> None:
        progress = self.stages[stage_id]
        state = STATES[status]
        if status == "unknown" and progress.cache is None:
            progress.cache, progress.reason = "unknown", "upstream"
        elif status == "skipped" and progress.reason is None:
            progress.reason = "upstream"
        progress.state = state
        if status == "succeeded":
            self._gather(stage_id)
        if status != "running":
            self._sharing.leave(stage_id)
        if status in machine.ENDED:
            self._sharing.end(stage_id)
            self._delays.forget(stage_id)
        if items := self._account.items.get(stage_id):  # which are told in its place
            if status == "waiting":
                self._tell(StageExpanded(self._clock.now(), self._context.run_id, stage_id, items))
            return
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
                progress.other_bytes if state == "succeeded" else None,
            )
        )

    def _gather(self, stage_id: str) -> None:
        """See to the list of a mapped stage when it has ended, and when an item of it was made again."""
        group = self._plan.stages[stage_id].node.group
        if stage_id in self._account.items:
            self._maps.gather(stage_id)
        elif group is not None and self.stages[group].state == "succeeded":
            self._maps.gather(group)

    # -- executing ----------------------------------------------------------------------------

    def _execute(self, stage_id: str, attempt: int) -> None:
        assert self._executor is not None
        answer = self.answers[stage_id]
        stage, asked = answer.asked.stage, answer.asked
        if stage.options.effect:  # its inputs have to be durable, whatever happens next
            self._commit_at_once()
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
            f"{self._context.scratch}/{attempt_id}",
            asked.bound.arguments,
            seed_of(asked.action),
            carried=self._inputs.carried(asked.bound),
            seeded=stage.seeded,
            reads=stage.options.reads,
            variables=stage.options.env,
            retry_if=stage.options.retry_on if isinstance(stage.options.retry_on, str) else None,
            checkpoints=f"{self._context.checkpoints}/{asked.identity}",
            resources=stage.options.resources,
        )
        self._attempts[attempt_id] = Attempt(stage_id, envelope)
        self._account.secrets.note(asked.bound)
        self._executor.submit(envelope)

    def _start_executor(self) -> Executor:
        if self._executor is None:
            assert self._executor_of is not None and self._claims_of is not None
            self._late.append(machine.Weighed(self._begin()))
            scratch = self._context.scratch
            try:
                scratch.mkdir(parents=True)
            except OSError as error:
                raise ScratchUnavailable(str(scratch), error.strerror or str(error)) from error
            self._executor = self._executor_of()
            self._sharing.begin(self._claims_of(), self._stop)
        return self._executor

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
                self._account.warnings.append(f"the run was cancelled by {asked.who} on {asked.host}")
            self._handle(machine.Interrupted())
            return
        now = self._clock.monotonic()
        if self._deadline <= now:
            self._time_out()
            return
        if ready := [*self._sharing.find_free(now), *self._delays.find_due(now)]:
            self._handle(*ready)
            return
        ends = [self._deadline]
        for attempt_id, attempt in self._attempts.items():
            if attempt.deadline is None or attempt.timed_out is not None:
                continue
            if attempt.deadline <= now:
                attempt.timed_out = self._timeout(attempt.stage_id)
                assert self._executor is not None
                self._executor.kill(attempt_id)
            else:
                ends.append(attempt.deadline)
        soonest = min(*ends, self._sharing.next_look, self._delays.next_due)
        wait_seconds = max(0.0, soonest - now)
        if not self._attempts:
            if self._committer.waits:
                self._handle(*self._results.commit())
            else:
                self._sleep(wait_seconds if wait_seconds < math.inf else 0.0)
            return
        assert self._executor is not None
        reports = self._executor.wait(
            0.0 if self._committer.waits else min(wait_seconds, _LONGEST_WAIT_SECONDS)
        )
        events = [event for report in reports for event in self._take_report(report)]
        if self._committer.is_due or not (self._executor.gathers and reports):
            events += self._results.commit()
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
                at, text = self._clock.now(), self._account.secrets.masked(text)
                self._tell(OutputCaptured(at, self._context.run_id, stage_id, number, "output", text))
            case Outcome():
                return self._take_outcome(report)
        return ()

    def _time_out(self) -> None:
        """The run has taken too long: its stages are told so, each as far as it is concerned."""
        self._deadline, self._is_late = math.inf, True
        self._account.warnings.append(f"the run was stopped after its timeout of {self._timeout_seconds:g} s")
        self._delays.give_up(self._too_late())
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
        progress.work_seconds += outcome.work_seconds
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
            if answer.again:
                self._results.compare(stage_id, outcome)
                return [machine.Returned(stage_id), machine.Completed(stage_id)]
            key = answer.asked.key
            if key in self._sharing.lost([key]):  # nothing may go on with what may not be filed
                return [machine.Superseded(stage_id)]
            self._results.take(attempt, outcome, log)
            return [machine.Returned(stage_id)]
        if log:
            progress.logs.append(str(self._store.blobs.put(log)))
        if attempt.stopped:
            return [machine.Stopped(stage_id)]
        failure = attempt.timed_out or outcome.failure
        assert failure is not None
        masked = self._account.secrets.masked
        progress.failure = replace_fields(
            failure, message=masked(failure.message), traceback=masked(failure.traceback)
        )
        if answer.asked.stage.options.effect and progress.failure.kind in ("exception", "contract"):
            self._cache.effects.append(answer.asked, "failed", self._context.run_id)
        if outcome.lost is not None:  # who made it has ended for the machine, once its result is filed
            return [*self._results.commit(), self._healing.input_lost(stage_id, outcome.lost)]
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
        return self._account.secrets.masked(text)

    def _commit_at_once(self) -> None:
        self._late += self._results.commit()

    def _tell(self, event: Event) -> None:
        self._listener(event)
