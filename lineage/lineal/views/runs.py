"""Runs as documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lineal.graph.history import read_stages
from lineal.graph.records import Output, RunRecord, StageRecord
from lineal.graph.standing import Standing
from lineal.views.plain import plain_value
from lineal_store import Digest, Store
from lineal_store.errors import LinealError

Document = dict[str, Any]


def run_document(run: RunRecord, stages: Sequence[StageRecord]) -> Document:
    """The document of `lineal run`; of a preview too, whose run id is null."""
    return {
        "run_id": run.run_id or None,
        "pipeline": run.pipeline,
        "state": run.state,
        "parameters": _parameters(run),
        "logical_date": run.logical_date,
        "namespace": run.namespace,
        "stages": [_stage(stage) for stage in stages if stage.is_shown],
        "outputs": dict(run.outputs),
        "warnings": list(run.warnings),
        "seconds": run.seconds,
    }


def run_detail(store: Store, standing: Standing) -> Document:
    """The document of `lineal show RUN`: the failing stages first, and who ran what where."""
    run = standing.record
    stages = read_stages(store, run)
    order = {"failed": 0, "upstream_failed": 1}
    document = run_document(run, sorted(stages, key=lambda stage: order.get(stage.state, 2)))
    return {
        "kind": "run",
        **document,
        "state": standing.state,
        "lost": standing.lost,
        "target": run.target,
        "who": run.who,
        "host": run.host,
        "command": run.command,
        "git": None
        if run.git is None
        else {
            "commit": run.git.commit,
            "branch": run.git.branch,
            "dirty": run.git.dirty,
            "diff": run.git.diff,
        },
        "code_tree": run.code_tree,
        "environment": run.environment,
        "lineal": run.lineal,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
    }


def run_summary(store: Store, standing: Standing) -> Document:
    """A run's line in `lineal runs`. How long it took is null where it has not finished."""
    run = standing.record
    try:
        stages = read_stages(store, run)
    except LinealError:  # `lineal show` tells what is wrong with it
        stages = []
    counts: dict[str, int] = {}
    for stage in filter(lambda one: one.is_shown, stages):
        word = "hit" if stage.cache == "hit" else stage.state
        counts[word] = counts.get(word, 0) + 1
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "state": standing.state,
        "lost": standing.lost,
        "namespace": run.namespace,
        "logical_date": run.logical_date,
        "started_at": run.started_at,
        "seconds": run.seconds if run.finished_at is not None else None,
        "parameters": _parameters(run),
        "counts": counts,
        "metrics": _metrics(stages),
        "who": run.who,
    }


def logs_document(store: Store, run: RunRecord, wanted: Iterable[StageRecord]) -> Document:
    """What the attempts of these stages wrote, oldest first."""
    logs = []
    for stage in wanted:
        for attempt, digest in enumerate(stage.logs, start=1):
            try:
                text = store.blobs.read(Digest.parse(digest)).decode(errors="replace")
            except LinealError as error:
                text = f"(the log is lost: {error})"
            logs.append({"stage": stage.id, "attempt": attempt, "text": text})
    return {"run_id": run.run_id, "logs": logs}


def _stage(stage: StageRecord) -> Document:
    return {
        "name": stage.name,
        "id": stage.id,
        "state": stage.state,
        "cache": stage.cache,
        "reason": stage.reason,
        "action_key": None if stage.action_key is None else f"xxh3:{stage.action_key}",
        "fingerprint": None if stage.fingerprint is None else f"xxh3:{stage.fingerprint}",
        "attempts": stage.attempts,
        "seconds": stage.seconds,
        "error": stage.error,
        "traceback": stage.traceback,
        "outputs": {name: _output(output) for name, output in stage.outputs.items()},
        **({} if stage.again is None else {"executed_again": stage.again}),
    }


def _output(output: Output) -> Document:
    return {"digest": output.digest, "type": output.type, "size_bytes": output.size_bytes}


def _parameters(run: RunRecord) -> Mapping[str, Any]:
    return {name: plain_value(value) for name, value in run.parameters.items()}


def _metrics(stages: Sequence[StageRecord]) -> dict[str, float]:
    """The metrics that the run's stages returned, by ``name``, or ``stage.name`` where two share one."""
    found: dict[str, float] = {}
    for stage in stages:
        for output in stage.outputs.values():
            values = output.description.get("value")
            if isinstance(values, Mapping):
                for name, value in values.items():
                    found[f"{stage.id}.{name}" if name in found else name] = value
    return found
