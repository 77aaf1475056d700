"""Does what a plan says: restores, executes, compares, and finds out why the first artifact that differs does."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from msgspec.structs import replace as replace_fields

from lineal.graph.history import find_run, read_manifest, read_stages
from lineal.graph.records import ActionResult, Environment, Manifest, StageRecord, unseal_record
from lineal.reproduce import child
from lineal.reproduce.causes import Diagnosis, Evidence, find_causes
from lineal.reproduce.compare import Compared, Comparison, Verdict, worst
from lineal.reproduce.environments import (
    Change,
    EnvironmentDifference,
    EnvironmentUnavailable,
    Interpreter,
    find_python,
    plan_environment,
)
from lineal.reproduce.job import Answer, Job, Problem
from lineal.reproduce.plan import Missing, RecordedStage, ReproductionPlan, call_of, taken_from_stages
from lineal.reproduce.restore import hold_sources, restore_code
from lineal.reproduce.tolerance import Tolerance
from lineal_store import Digest, Store, open_store
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch, LinealError

_GONE = (BlobMissing, CorruptRecord, DigestMismatch)


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of a plan.

    ``executed`` are the ids of stages that ran, ``left_out`` says why others did not, ``missing`` what was lacking from the start, and
    ``problem`` why nothing could be executed. The ``diagnosis`` is of the first stage that differs, and ``causes`` are likely ones.
    ``notes`` are worth knowing besides. ``lineal`` is the version that executed the stages. ``folder`` is where everything was done, where that was kept.
    """

    plan: ReproductionPlan
    verdict: Verdict
    at: datetime
    interpreter: Interpreter | None = None
    artifacts: tuple[Compared, ...] = ()
    executed: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[Missing, ...] = ()
    problem: Problem | None = None
    diagnosis: Diagnosis | None = None
    causes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lineal: str | None = None
    tolerance: Tolerance | None = None
    seconds: float = 0.0
    folder: Path | None = None

    @property
    def first_difference(self) -> Compared | None:
        """The first artifact that is not what it was, and why everything after it may not be either."""
        return next((one for one in self.artifacts if one.verdict in ("different", "not_reproducible")), None)


def reproduce(
    plan: ReproductionPlan,
    *,
    current_environment: bool = False,
    tolerance: Tolerance | None = None,
    trust: bool = False,
    keep: bool = False,
) -> Reproduction:
    """Restore, execute and compare. With ``current_environment`` what is installed here is used, whatever it is.

    With ``trust`` pickles of the store may be loaded for a comparison within the ``tolerance``. Everything happens in a temporary
    folder, which stays with ``keep``.
    """
    at = datetime.now(UTC)
    folder = Path(tempfile.mkdtemp(prefix="lineal-reproduce-"))
    attempt = _Attempt(plan, folder, at, tolerance, trust)
    try:
        found = attempt.run(current_environment)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    seconds = (datetime.now(UTC) - at).total_seconds()
    return replace(found, seconds=seconds, folder=folder if keep else None, tolerance=tolerance)


class _Attempt:
    def __init__(
        self, plan: ReproductionPlan, folder: Path, at: datetime, tolerance: Tolerance | None, trust: bool
    ) -> None:
        self._plan, self._folder, self._at = plan, folder, at
        self._tolerance, self._trust = tolerance, trust
        self._search: tuple[Path, ...] = ()

    def run(self, current_environment: bool) -> Reproduction:
        plan = self._plan
        if any(one.is_fatal for one in plan.missing):
            return self._impossible(plan.missing)
        try:
            self._search = restore_code(plan, self._folder)
            sources = list(hold_sources(plan, self._folder / "sources"))
            interpreter, difference = self._environment(current_environment)
        except _GONE as error:
            return self._impossible(
                [*plan.missing, Missing("input", "what the run started from", str(error))]
            )
        except EnvironmentUnavailable as error:
            lacking = Missing("packages", "the environment of then", f"{error}. {error.hint}")
            return self._impossible([*plan.missing, lacking])
        job = Job(
            root=str(self._folder / "project"),
            store=str(self._folder / "store"),
            run_id=plan.run.run_id,
            target=plan.run.target,
            parameters=plan.run.parameters,
            changes=list(plan.changes),
            secrets=list(plan.secrets),
            sources=sources,
            wanted=list(plan.wanted),
            variables=plan.environment.variables if plan.environment is not None else {},
            executor=_executor_of(plan.environment),
        )
        answer = self._execute(job, interpreter)
        if answer.problem is not None:
            return replace(self._impossible(plan.missing), interpreter=interpreter, problem=answer.problem)
        scratch = open_store(self._folder / "store", create=False)
        made = _stages_of(scratch, answer)
        comparison = Comparison(
            plan.store,
            scratch,
            self._tolerance,
            partial(self._models, interpreter) if self._trust else None,
        )
        artifacts = (
            *comparison.stages(plan.recorded, made),
            *self._left_behind(made, scratch),
            *self._not_executed(answer),
        )
        found = Reproduction(
            plan,
            worst(one.verdict for one in artifacts) if artifacts else "not_reproducible",
            self._at,
            interpreter,
            artifacts,
            tuple(stage.id for stage in made if stage.attempts and stage.is_shown),
            answer.left_out,
            plan.missing,
            notes=tuple(self._notes(answer, artifacts)),
            lineal=answer.lineal,
        )
        return self._explained(found, job, made, scratch, difference)

    # -- parts --------------------------------------------------------------------------------

    def _environment(self, current: bool) -> tuple[Interpreter, EnvironmentDifference | None]:
        plan = self._plan
        if plan.environment is None:
            note = "what the run ran on is lost; it was executed with what is installed here"
            return Interpreter(Path(sys.executable), "current", (note,)), None
        planned = plan_environment(plan.environment, rebuild=not current, reached=plan.reached)
        interpreter = find_python(plan.environment, rebuild=not current, reached=plan.reached)
        return interpreter, planned.difference

    def _execute(self, job: Job, interpreter: Interpreter) -> Answer:
        try:
            return child.execute(job, interpreter, self._plan.environment, self._folder, self._search)
        except child.ReplayFailed as error:
            return Answer(problem=Problem(type=type(error).__name__, message=str(error), hint=error.hint))

    def _models(
        self, interpreter: Interpreter, old: Path, new: Path, tolerance: Tolerance
    ) -> tuple[bool, str] | None:
        search = (self._folder / "project", self._folder / "project" / "src", *self._search)
        return child.compare_models(
            old, new, tolerance, interpreter, self._plan.environment, self._folder, search
        )

    def _impossible(self, missing: Sequence[Missing]) -> Reproduction:
        """Nothing is executed: of what is wanted nothing can be made."""
        plan = self._plan
        reason = "; ".join(f"{one.name}: {one.problem}" for one in missing if one.is_fatal) or None
        artifacts = tuple(
            Compared(stage.id, name, output.digest, None, "not_reproducible", reason)
            for stage in plan.stages
            if not plan.wanted or stage.call in plan.wanted
            for name, output in stage.outputs.items()
        )
        return Reproduction(plan, "not_reproducible", self._at, artifacts=artifacts, missing=tuple(missing))

    def _not_executed(self, answer: Answer) -> list[Compared]:
        """What the stages made then that could not be executed now; effects never are, and nothing of theirs is expected."""
        return [
            Compared(stage.id, name, output.digest, None, "not_reproducible", answer.left_out[stage.call])
            for stage in self._plan.recorded.values()
            if stage.call in answer.left_out and stage.call not in answer.effects
            for name, output in stage.outputs.items()
        ]

    def _left_behind(self, made: Sequence[StageRecord], scratch: Store) -> list[Compared]:
        """What was asked for, where it is a file that a stage left outside the store: the one of that name that it left now."""
        left = self._plan.left_behind
        record = next((one for one in made if left is not None and one.id == left[0].id), None)
        if left is None or record is None or self._plan.digest in _digests(self._plan.recorded.values()):
            return []
        result = _result_of(scratch, record)
        products = result.side_products if result is not None else []
        actual = next((one.digest for one in products if Path(one.path).name == left[1]), None)
        verdict: Verdict = "identical" if actual == self._plan.digest else "different"
        if actual is None:
            detail = "it left no such file this time"
            return [Compared(left[0].id, left[1], str(self._plan.digest), None, "not_reproducible", detail)]
        return [Compared(left[0].id, left[1], str(self._plan.digest), actual, verdict)]

    def _notes(self, answer: Answer, artifacts: Sequence[Compared]) -> list[str]:
        plan = self._plan
        notes = []
        different = {one.expected: one.stage for one in artifacts if one.verdict == "different"}
        alone = [
            stage
            for stage in dict.fromkeys(different.values())
            if stage in plan.recorded and not different.keys() & taken_from_stages(plan.recorded[stage])
        ]
        if len(alone) > 1 and not plan.changes:
            notes.append(f"{', '.join(alone[1:4])} came out otherwise too, although given the same as then")
        effects = [name for name in plan.wanted if name in answer.effects]
        if effects:
            notes.append(
                f"the file was written by {effects[0]}, an effect, which is never executed: what it was given is compared"
            )
        if plan.digest is not None:
            digest = Digest.parse(plan.digest)
            if plan.store.blobs.sizes([digest]) and (problem := plan.store.blobs.verify(digest)) is not None:
                notes.append(f"the copy of it in the store is damaged: {digest.short} {problem}")
        return notes

    # -- why ----------------------------------------------------------------------------------

    def _explained(
        self,
        found: Reproduction,
        job: Job,
        made: Sequence[StageRecord],
        scratch: Store,
        difference: EnvironmentDifference | None,
    ) -> Reproduction:
        first, interpreter = found.first_difference, found.interpreter
        record = next((one for one in made if first is not None and one.id == first.stage), None)
        if first is None or record is None or interpreter is None:
            return found
        reached: Sequence[str] = ()
        diagnosis: Diagnosis
        if self._plan.changes:
            return replace(found, diagnosis="parameters")
        if first.actual is None:
            diagnosis = "failed"
        else:
            answer = self._execute(
                replace_fields(job, wanted=[call_of(first.stage)], again=[first.stage]), interpreter
            )
            reached = answer.reached
            second = next((one for one in _stages_of(scratch, answer) if one.id == first.stage), None)
            output = second.outputs.get(first.output) if second is not None else None
            is_stable = output is not None and output.digest == first.actual
            diagnosis = "drift" if is_stable else "nondeterministic"
        before, result = self._plan.recorded[first.stage], _result_of(scratch, record)
        evidence = Evidence(
            before.manifest,
            _manifest_of(scratch, result),
            [one.observed for one in (before.result, result) if one is not None],
            reached,
            difference if interpreter.kind == "current" else None,
            Change("Lineal", self._plan.run.lineal, found.lineal)
            if found.lineal not in (None, self._plan.run.lineal)
            else None,
        )
        return replace(found, diagnosis=diagnosis, causes=tuple(find_causes(evidence, diagnosis)))


def _executor_of(environment: Environment | None) -> str:
    """Where the stages ran: workers are told how many threads to use, one process is not, and that can change their numbers."""
    if environment is None or environment.cores == 0 or "OMP_NUM_THREADS" in environment.variables:
        return "process"  # there were workers, or nobody noted it
    return "inline"


def _digests(stages: Iterable[RecordedStage]) -> set[str]:
    return {output.digest for stage in stages for output in stage.outputs.values()}


def _stages_of(scratch: Store, answer: Answer) -> list[StageRecord]:
    record = find_run(scratch, answer.run_id) if answer.run_id is not None else None
    return read_stages(scratch, record) if record is not None else []


def _result_of(scratch: Store, stage: StageRecord) -> ActionResult | None:
    key = stage.action_key
    filed = scratch.actions.history(key) if key is not None else ()
    for one, _ in filed:
        with suppress(LinealError):
            return unseal_record(one.data, ActionResult)
    return None


def _manifest_of(scratch: Store, result: ActionResult | None) -> Manifest | None:
    with suppress(LinealError):
        return read_manifest(scratch, result) if result is not None else None
    return None
