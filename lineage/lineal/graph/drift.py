"""Whether the tables that a run made have other columns than those that were made before them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from lineal.graph.history import newest_runs, read_stages
from lineal.graph.records import RunRecord, StageRecord
from lineal_store import Store
from lineal_store.errors import LinealError

_RUNS_SEARCHED = 20
_COLUMNS_NAMED = 5


def find_drifts(store: Store, run: RunRecord) -> dict[str, dict[str, str]]:
    """By stage, and by its outputs, how the columns of each table have changed that ``run`` made with other columns than the newest earlier result of that stage in the
    same pipeline and namespace had. ``run`` has all its stages; the search for earlier ones is bounded.
    """
    made = {
        stage.id: stage
        for stage in run.stages
        if stage.attempts
        and stage.state == "succeeded"
        and any(_columns(out) for out in _described(stage).values())
    }
    found: dict[str, dict[str, str]] = {}
    if not made:
        return found
    earlier = (
        one
        for one in newest_runs(store, run.pipeline)
        if one.run_id != run.run_id and one.namespace == run.namespace
    )
    for one in islice(earlier, _RUNS_SEARCHED):
        with suppress(LinealError):  # an unreadable run tells nothing
            for before in read_stages(store, one):
                if (
                    before.state == "succeeded"
                    and before.outputs
                    and (after := made.pop(before.id, None)) is not None
                ):
                    found[after.id] = dict(_drifts(before, after))
        if not made:
            break
    return {stage_id: changes for stage_id, changes in found.items() if changes}


def column_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """How the columns of a table changed, by the descriptions of two; None where they did not, or one is no table.

    Of a table that is too wide for its description the columns that are in both are compared.

    >>> column_changes({"columns": {"a": "int64", "b": "string"}}, {"columns": {"a": "double", "c": "bool"}})
    'a is double, was int64; new: c (bool); gone: b'
    >>> column_changes({"columns": {"a": "int64"}, "columns_left_out": 9}, {"columns": {"b": "int64"}, "columns_left_out": 8})
    'there are 9 columns, were 10'
    """
    old, new = _columns(before), _columns(after)
    if not old or not new:
        return None
    said = [
        f"{name} is {new[name]}, was {old[name]}" for name in new if name in old and new[name] != old[name]
    ]
    said = _first(said)
    left_out = before.get("columns_left_out", 0), after.get("columns_left_out", 0)
    if any(left_out):
        counts = len(new) + left_out[1], len(old) + left_out[0]
        said += [f"there are {counts[0]} columns, were {counts[1]}"] if counts[0] != counts[1] else []
    else:
        added = [f"{name} ({new[name]})" for name in new if name not in old]
        gone = [name for name in old if name not in new]
        said += [f"new: {', '.join(_first(added))}"] if added else []
        said += [f"gone: {', '.join(_first(gone))}"] if gone else []
    return "; ".join(said) or None


def _drifts(before: StageRecord, after: StageRecord) -> Iterator[tuple[str, str]]:
    was = _described(before)
    for name, description in _described(after).items():
        changes = column_changes(was.get(name, {}), description)
        if changes is not None:
            yield name, changes


def _described(stage: StageRecord) -> dict[str, Mapping[str, Any]]:
    return {name: output.description for name, output in stage.outputs.items()}


def _columns(description: Mapping[str, Any]) -> Mapping[str, str]:
    found = description.get("columns")
    return found if isinstance(found, Mapping) else {}


def _first(texts: Iterable[str]) -> list[str]:
    listed = list(texts)
    more = len(listed) - _COLUMNS_NAMED
    return [*listed[:_COLUMNS_NAMED], *([f"and {more} more"] if more > 0 else [])]
