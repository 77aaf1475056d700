"""Why stages run or do not, as a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lineal.engine.cache import Answer
from lineal.graph.action import Difference
from lineal.graph.records import Manifest, StageRecord
from lineal.views.plain import plain_value

Document = dict[str, Any]


def why_document(stages: Iterable[StageRecord], answers: Mapping[str, Answer]) -> Document:
    """The document of `lineal why`: for each stage its reason, and the changes against the nearest earlier action."""
    return {"stages": [_stage(stage, answers.get(stage.id)) for stage in stages]}


def _stage(stage: StageRecord, answer: Answer | None) -> Document:
    nearest = answer.nearest if answer is not None else None
    units = {} if answer is None else _units(answer.asked.stage.manifest)
    return {
        "stage": stage.id,
        "cache": stage.cache,
        "reason": stage.reason,
        "nearest": None if nearest is None else f"xxh3:{nearest.key}",
        "changes": [] if nearest is None else [_change(change, units) for change in nearest.changes],
    }


def _units(manifest: Manifest) -> dict[str, tuple[str, int]]:
    return {covered.unit: (covered.file, covered.line) for covered in manifest.units}


def _change(change: Difference, units: Mapping[str, tuple[str, int]]) -> Document:
    file, line = units.get(change.name, (None, None)) if change.kind == "code" else (None, None)
    decode = plain_value if change.kind == "parameter" and not change.name.endswith("[]") else _same
    return {
        "kind": change.kind,
        "name": change.name,
        "before": None if change.before is None else decode(change.before),
        "after": None if change.after is None else decode(change.after),
        "file": file,
        "line": line,
        "diff": None,
    }


def _same(value: object) -> object:
    return value
