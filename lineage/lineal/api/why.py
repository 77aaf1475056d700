"""Why a run of the past did what it did: `lineal why RUN_ID [STAGE]`."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from lineal.api.config import Configuration
from lineal.api.nearest import did_you_mean
from lineal.api.targets import import_folders, resolve
from lineal.errors import NotFound, UsageError
from lineal.graph.history import read_stages
from lineal.graph.records import RunRecord
from lineal.views.why_then import explain_run_of_the_past
from lineal_store import Store


def explain_past_run(
    configuration: Configuration, store: Store, run: RunRecord, stage: str | None, assignments: Sequence[str]
) -> dict[str, Any]:
    """The document of `lineal why` for a run: all stages that were no hits, or those that ``stage`` names."""
    if assignments:
        raise UsageError(
            f"run {run.run_id} had its own parameters: {assignments[0]} has no meaning here",
            "Leave NAME=VALUE away, or name a target instead of the run.",
        )
    if run.finished_at is None:
        raise NotFound(
            f"run {run.run_id} has not ended: what its stages did is recorded when it does",
            "If it was killed, `lineal why` tells what a run would do now.",
        )
    stages = read_stages(store, run)
    wanted = None
    if stage is not None:
        wanted = [one.id for one in stages if stage in (one.id, one.name) or fnmatchcase(one.id, stage)]
        if not wanted:
            ids = [one.id for one in stages]
            raise NotFound(
                f"run {run.run_id} has no stage {stage}{did_you_mean(stage, ids)}",
                f"It has {', '.join(ids[:20])}.",
            )
    try:
        target = resolve(run.target, configuration, folder=configuration.root)
        module, folders = target.module, import_folders(target, configuration.root)
    except UsageError:  # it is gone, or lies on another machine
        module, folders = None, [configuration.root, configuration.root / "src"]
    return explain_run_of_the_past(store, run, stages, wanted, configuration.root, folders, module)
