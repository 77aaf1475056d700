"""Why stages run or do not, or why they did, as a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lineal.graph.change import Change
from lineal.graph.explain import moment
from lineal.graph.history import Failed
from lineal.graph.records import ActionResult, StageRecord
from lineal.views.plain import plain_value
from lineal_store import Retirement

Document = dict[str, Any]

_MOST_DECIDERS = 20


def why_document(
    pipeline: str, run_id: str | None, stages: Sequence[Document], *, unchanged: int = 0
) -> Document:
    """The document of `lineal why`; ``unchanged`` counts the hits that are not among ``stages``."""
    return {"pipeline": pipeline, "run_id": run_id, "stages": list(stages), "unchanged": unchanged}


def stage_document(
    stage: StageRecord,
    *,
    nearest: tuple[str, ActionResult] | None = None,
    changes: Iterable[Change] = (),
    decided_by: Sequence[StageRecord] = (),
    notes: Sequence[str] = (),
    failed: Failed | None = None,
) -> Document:
    """One stage: what is said of it, the earlier action that it is compared with (of a hit: its own), and the changes.

    ``decided_by`` are the stages whose results are waited for, ``notes`` what else is to be told in words.
    """
    return {
        "stage": stage.id,
        "cache": stage.cache,
        "reason": stage.reason,
        "nearest": None if nearest is None else f"xxh3:{nearest[0]}",
        "changes": [_change(change) for change in changes],
        "state": stage.state,
        "error": stage.error,
        "compared_with": None if nearest is None else _result(*nearest),
        "decided_by": [
            {"stage": one.id, "cache": one.cache, "reason": one.reason} for one in decided_by[:_MOST_DECIDERS]
        ],
        "decided_by_left_out": max(0, len(decided_by) - _MOST_DECIDERS),
        "failed_before": None if failed is None else _failed(failed),
        "notes": list(notes),
    }


def retired(retirement: Retirement) -> str:
    """When a result was retired, by whom, and why, in words."""
    said = f" ({retirement.why})" if retirement.why else ""
    return f"{moment(retirement.at.isoformat())} by {retirement.by}: {retirement.reason}{said}"


def _result(key: str, result: ActionResult) -> Document:
    return {
        "action_key": f"xxh3:{key}",
        "fingerprint": f"xxh3:{result.action.fingerprint}",
        "run_id": result.run_id,
        "at": result.started_at,
        "seconds": result.seconds,
        "inputs": {port: taken.digest for port, taken in result.action.inputs.items()},
        "parameters": {
            name: plain_value(value)
            for name, value in result.action.parameters.items()
            if not name.endswith("[]")
        },
    }


def _failed(failed: Failed) -> Document:
    error: Mapping[str, str | None] = failed.stage.error or {}
    return {
        "run_id": failed.run_id,
        "at": failed.started_at,
        "type": error.get("type"),
        "message": error.get("message"),
    }


def _change(change: Change) -> Document:
    decode = plain_value if change.kind == "parameter" and not change.name.endswith("[]") else _same
    return {
        "kind": change.kind,
        "name": change.name,
        "before": None if change.before is None else decode(change.before),
        "after": None if change.after is None else decode(change.after),
        "file": change.file,
        "line": change.line,
        "diff": change.diff,
        "title": change.title,
        "details": list(change.details),
        "through": list(change.through),
    }


def _same(value: object) -> object:
    return value
