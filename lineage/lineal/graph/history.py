"""What earlier runs of a pipeline asked for: the relatives that a miss is explained by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lineal.graph.action import Difference, differences
from lineal.graph.records import (
    Action,
    ActionResult,
    Manifest,
    RunRecord,
    StagePage,
    StageRecord,
    from_bytes,
    unseal_record,
)
from lineal_store import Digest, Store
from lineal_store.errors import LinealError

_RUNS_SEARCHED = 20
_RELATIVES_COMPARED = 20


@dataclass(frozen=True, slots=True)
class Relative:
    """The earlier action that differs least, and in what."""

    key: str
    result: ActionResult
    changes: tuple[Difference, ...]


class History:
    """The newest runs of ``pipeline`` in ``store``, read once and only when asked for."""

    def __init__(self, store: Store, pipeline: str) -> None:
        self._store, self._pipeline = store, pipeline
        self._keys: dict[str, dict[str, None]] | None = None

    def find_nearest(self, stage_id: str, action: Action, manifest: Manifest) -> Relative | None:
        """The earlier action of that stage that differs least from ``action``; the newest of several."""
        keys = list(self._known().get(stage_id, ()))[:_RELATIVES_COMPARED]
        filed = self._store.actions.find(keys)
        found: Relative | None = None
        for key in keys:
            if key not in filed:
                continue
            try:
                result = unseal_record(filed[key].data, ActionResult)
                changes = differences(
                    result.action, action, manifests=(read_manifest(self._store, result), manifest)
                )
            except LinealError:  # an unreadable relative explains nothing
                continue
            if found is None or len(changes) < len(found.changes):
                found = Relative(key, result, tuple(changes))
        return found

    def _known(self) -> dict[str, dict[str, None]]:
        if self._keys is None:
            self._keys = {}
            for run in newest_runs(self._store, self._pipeline, most=_RUNS_SEARCHED):
                try:
                    stages = read_stages(self._store, run)
                except LinealError:  # neither does an unreadable run
                    continue
                for stage in stages:
                    if stage.action_key is not None and stage.state == "succeeded":
                        self._keys.setdefault(stage.id, {})[stage.action_key] = None
        return self._keys


def newest_runs(store: Store, pipeline: str | None = None, *, most: int | None = None) -> Iterator[RunRecord]:
    """Finished runs, newest first; unreadable records are passed over."""
    found = 0
    for run_id in store.runs.newest_first():
        run = find_run(store, run_id)
        if run is None or run.finished_at is None or (pipeline is not None and run.pipeline != pipeline):
            continue
        yield run
        found += 1
        if most is not None and found >= most:
            return


def find_run(store: Store, run_id: str) -> RunRecord | None:
    """The record of a run: the final one, else the one it began with; None where there is none, or it is unreadable."""
    files = store.runs.find(run_id)
    data = None if files is None else files.finished or files.begun
    if data is None:
        return None
    try:
        return unseal_record(data, RunRecord)
    except LinealError:
        return None


def read_stages(store: Store, run: RunRecord) -> list[StageRecord]:
    """All stages of a run, those on pages included."""
    stages = list(run.stages)
    for page in run.pages:
        stages += from_bytes(store.blobs.read(Digest.parse(page)), StagePage).stages
    return stages


def read_manifest(store: Store, result: ActionResult) -> Manifest:
    return from_bytes(store.blobs.read(Digest.parse(result.manifest)), Manifest)
