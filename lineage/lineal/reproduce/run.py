"""Does what a plan says: restores, executes, compares, and finds out why the first artifact that differs does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lineal.graph.history import find_run, read_stages
from lineal.graph.records import StageRecord
from lineal.reproduce.child import execute
from lineal.reproduce.compare import Compared, Comparison, Verdict, worst
from lineal.reproduce.environments import Interpreter, find_python
from lineal.reproduce.job import Answer, Job
from lineal.reproduce.plan import Missing, ReproductionPlan
from lineal.reproduce.restore import hold_sources, restore_code
from lineal.reproduce.tolerance import Tolerance
from lineal_store import Store, open_store
from lineal_store.errors import LinealError


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of a plan.

    ``executed`` are the ids of stages that ran, ``left_out`` says why others did not. ``folder`` is where everything was done,
    where that was kept.
    """

    plan: ReproductionPlan
    verdict: Verdict
    at: datetime
    interpreter: Interpreter | None = None
    artifacts: tuple[Compared, ...] = ()
    executed: tuple[str, ...] = ()
    left_out: Mapping[str, str] | None = None
    missing: tuple[Missing, ...] = ()
    seconds: float = 0.0
    folder: Path | None = None

    @property
    def first_difference(self) -> Compared | None:
        return next((one for one in self.artifacts if one.verdict in ("different", "not_reproducible")), None)


def reproduce(
    plan: ReproductionPlan,
    *,
    current_environment: bool = False,
    tolerance: Tolerance | None = None,
    keep: bool = False,
) -> Reproduction:
    """Restore, execute and compare. With ``current_environment`` what is installed here is used, whatever it is.

    Everything happens in a temporary folder, which stays with ``keep``.
    """
    at = datetime.now(UTC)
    folder = Path(tempfile.mkdtemp(prefix="lineal-reproduce-"))
    try:
        return _Attempt(plan, folder, at).run(current_environment, tolerance, keep)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


class _Attempt:
    def __init__(self, plan: ReproductionPlan, folder: Path, at: datetime) -> None:
        self._plan, self._folder, self._at = plan, folder, at

    def run(self, current_environment: bool, tolerance: Tolerance | None, keep: bool) -> Reproduction:
        plan = self._plan
        project = self._folder / "project"
        restore_code(plan, project)
        sources = list(hold_sources(plan, self._folder / "sources"))
        interpreter = find_python(plan.environment, rebuild=not current_environment)
        job = Job(
            root=str(project),
            store=str(self._folder / "store"),
            target=plan.run.target,
            parameters=plan.run.parameters,
            changes=list(plan.changes),
            sources=sources,
            wanted=list(plan.wanted),
            variables=plan.environment.variables if plan.environment is not None else {},
        )
        answer = execute(job, interpreter.python, self._folder)
        made = self._stages(answer)
        scratch = open_store(self._folder / "store", create=False)
        artifacts = Comparison(plan.store, scratch, tolerance).stages(plan.recorded, made)
        return Reproduction(
            plan,
            worst(one.verdict for one in artifacts),
            self._at,
            interpreter,
            artifacts,
            tuple(stage.id for stage in made if stage.attempts and stage.is_shown),
            answer.left_out,
            seconds=(datetime.now(UTC) - self._at).total_seconds(),
            folder=self._folder if keep else None,
        )

    def _stages(self, answer: Answer) -> list[StageRecord]:
        if answer.run_id is None:
            return []
        scratch = open_store(self._folder / "store", create=False)
        record = find_run(scratch, answer.run_id)
        return read_stages(scratch, record) if record is not None else []
