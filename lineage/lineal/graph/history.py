"""What earlier runs of a pipeline asked for: the relatives that a miss is explained by."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice

from msgspec import Struct

from lineal.graph.action import Difference, differences, distance
from lineal.graph.checked import read_blobs
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
from lineal_store import Digest, RunFiles, Store
from lineal_store.errors import CorruptRecord, InvalidName, LinealError

_RUNS_SEARCHED = 20
_RELATIVES_COMPARED = 20
_RUNS_READ_AT_ONCE = 32
_RUNS_TIMED = 10
_RUNS_NEEDED = 3  # two may both have been lucky
_RUNS_PASSED = 85  # of all pipelines, as many as five reads give
_STAGES_TIMED = 5_000
_RESULTS_TIMED = 200
_KEY = re.compile(r"[0-9a-f]{32}")


class Relative(Struct, frozen=True):
    """The earlier action that differs least, and in what; ``manifest`` is None where it is lost."""

    key: str
    result: ActionResult
    changes: tuple[Difference, ...]
    manifest: Manifest | None = None


class Failed(Struct, frozen=True):
    """A stage that failed in an earlier run."""

    run_id: str
    started_at: str
    stage: StageRecord


class History:
    """The newest runs of ``pipeline`` in ``store``, read once and only when asked for.

    With ``before``, the id of a run, those that began before it, and only results that were filed by then.
    """

    def __init__(self, store: Store, pipeline: str, *, before: str | None = None) -> None:
        self._store, self._pipeline, self._before = store, pipeline, before
        self._keys: dict[str, dict[str, None]] | None = None
        self._failed: dict[str, Failed] = {}
        self._results: dict[str, ActionResult | None] = {}
        self._manifests: dict[str, Manifest | None] = {}

    def find_nearest(
        self,
        stage_id: str,
        action: Action,
        manifest: Manifest | None,
        *,
        seen: Callable[[Action], Action] = lambda action: action,
    ) -> Relative | None:
        """The earlier action of that stage that differs least from ``action``; the newest of several.

        First by the components that differ, then by the units of code, for which manifests are read. ``seen`` is
        what is looked at of an earlier action, where not all of this one is known.
        """
        known = self._known().get(stage_id)
        if not known:
            return None
        results = self.find_results(list(known)[:_RELATIVES_COMPARED])
        apart = {key: distance(seen(result.action), action) for key, result in results.items()}
        tied = [key for key in results if apart[key] == min(apart.values())]
        self._read_manifests(results[key].manifest for key in tied)
        found: Relative | None = None
        for key in tied:
            result = results[key]
            was = self._manifests[result.manifest]
            both = None if was is None or manifest is None else (was, manifest)
            changes = differences(seen(result.action), action, manifests=both)
            if found is None or len(changes) < len(found.changes):
                found = Relative(key, result, tuple(changes), was)
        return found

    def find_newest(self, stage_id: str) -> Relative | None:
        """The newest result of that stage, compared with nothing."""
        for key, result in self.find_results(
            list(self._known().get(stage_id, ()))[:_RELATIVES_COMPARED]
        ).items():
            self._read_manifests([result.manifest])
            return Relative(key, result, (), self._manifests[result.manifest])
        return None

    def read_manifest(self, result: ActionResult) -> Manifest | None:
        """What the code of a result covers; None where that is lost."""
        self._read_manifests([result.manifest])
        return self._manifests[result.manifest]

    def find_failed(self, key: str) -> Failed | None:
        """The newest run in which that very action failed."""
        self._known()
        return self._failed.get(key)

    def find_results(self, keys: Iterable[str]) -> dict[str, ActionResult]:
        """The results under those of ``keys`` that have a readable one, in their order, in one batch."""
        wanted = [key for key in dict.fromkeys(keys) if _KEY.fullmatch(key) is not None]
        unread = [key for key in wanted if key not in self._results]
        filed = self._store.actions.find(unread) if unread else {}
        for key in unread:
            self._results[key] = self._usable(key, filed[key].data) if key in filed else None
        return {key: result for key in wanted if (result := self._results[key]) is not None}

    def find_maker(self, key: str, digest: str) -> ActionResult | None:
        """The newest result that was ever filed under ``key`` and made those bytes."""
        if _KEY.fullmatch(key) is None:
            return None
        filed = (_result(filed.data) for filed, _ in reversed(self._store.actions.history(key)))
        made = (result for result in filed if result is not None)
        return next((one for one in made if any(out.digest == digest for out in one.outputs.values())), None)

    def _usable(self, key: str, data: bytes) -> ActionResult | None:
        result = _result(data)
        if result is None or self._before is None or result.run_id < self._before:
            return result
        earlier = (_result(filed.data) for filed, _ in reversed(self._store.actions.history(key)))
        return next((one for one in earlier if one is not None and one.run_id < self._before), None)

    def _read_manifests(self, digests: Iterable[str]) -> None:
        unread: dict[Digest, str] = {}
        for text in digests:
            if text not in self._manifests:
                self._manifests[text] = None
                with suppress(InvalidName):
                    unread[Digest.parse(text)] = text
        for digest, data in read_blobs(self._store, list(unread)).items() if unread else ():
            with suppress(CorruptRecord):
                if isinstance(data, bytes):
                    self._manifests[unread[digest]] = from_bytes(data, Manifest)

    def _known(self) -> dict[str, dict[str, None]]:
        if self._keys is None:
            self._keys = {}
            earlier = (
                run
                for run in newest_runs(self._store, self._pipeline)
                if self._before is None or run.run_id < self._before
            )
            for run in islice(earlier, _RUNS_SEARCHED):
                try:
                    stages = read_stages(self._store, run)
                except LinealError:  # an unreadable run explains nothing
                    continue
                for stage in stages:
                    if stage.action_key is not None and stage.state == "succeeded":
                        self._keys.setdefault(stage.id, {})[stage.action_key] = None
                    elif stage.action_key is not None and stage.state == "failed":
                        self._failed.setdefault(stage.action_key, Failed(run.run_id, run.started_at, stage))
        return self._keys


def recent_seconds(store: Store, pipeline: str, names: Mapping[str, str]) -> dict[str, float]:
    """How long stages took of late: the median seconds, by id. ``names`` are the stages' names by id.

    A stage that was not executed in the newest runs is timed by the result that it was a hit on, or by the
    others of its name. One without any past is left out. The reading is bounded, however long the history is.
    """
    took: dict[str, list[float]] = {}
    alike: dict[str, list[float]] = {}
    hits: dict[str, str] = {}
    for stage in _newest_stages(store, pipeline):
        if stage.state == "succeeded" and stage.attempts == 1:  # else it holds the time of several attempts
            took.setdefault(stage.id, []).append(stage.seconds)
            alike.setdefault(stage.name, []).append(stage.seconds)
        elif stage.cache == "hit" and stage.action_key is not None:
            hits.setdefault(stage.id, stage.action_key)
    untimed = {id_: key for id_, key in hits.items() if id_ in names and id_ not in took}
    filed = History(store, pipeline).find_results(list(untimed.values())[:_RESULTS_TIMED])
    took |= {id_: [filed[key].seconds] for id_, key in untimed.items() if key in filed}
    typical = {name: _median(seconds) for name, seconds in alike.items()}
    found = {id_: _median(took[id_]) if id_ in took else typical.get(name) for id_, name in names.items()}
    return {id_: seconds for id_, seconds in found.items() if seconds is not None}


def recent_run_seconds(store: Store, pipeline: str) -> float | None:
    """How long successful runs of the pipeline took of late that executed anything: the median seconds; None where there are
    fewer than three. As many runs are read as for `recent_seconds`."""
    took: list[float] = []
    run_ids = islice(store.runs.newest_first(), _RUNS_PASSED)
    while len(took) < _RUNS_TIMED and (batch := list(islice(run_ids, _RUNS_READ_AT_ONCE))):
        for files in store.runs.find_many(batch).values():
            run = _read(files) if files.begun is not None and files.finished is not None else None
            if run is not None and run.pipeline == pipeline and run.state == "succeeded":
                took.append(run.seconds)
    return _median(took[:_RUNS_TIMED]) if len(took) >= _RUNS_NEEDED else None


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]  # of two the larger; `statistics` takes 11 ms to import


def _newest_stages(store: Store, pipeline: str) -> Iterator[StageRecord]:
    read = 0
    newest = islice(read_runs(store), _RUNS_PASSED)
    own = (run for run in newest if run.pipeline == pipeline and run.finished_at is not None)
    for run in islice(own, _RUNS_TIMED):
        try:
            stages = read_stages(store, run)
        except LinealError:  # an unreadable run tells nothing
            continue
        yield from (stage for stage in stages if stage.is_shown)
        read += len(stages)
        if read >= _STAGES_TIMED:
            return


def _result(data: bytes) -> ActionResult | None:
    try:
        return unseal_record(data, ActionResult)
    except CorruptRecord:
        return None


def newest_runs(store: Store, pipeline: str | None = None, *, most: int | None = None) -> Iterator[RunRecord]:
    """Finished runs, newest first; unreadable records are passed over."""
    fitting = (
        run for run in read_runs(store) if run.finished_at is not None and pipeline in (None, run.pipeline)
    )
    yield from islice(fitting, most)


def read_runs(store: Store) -> Iterator[RunRecord]:
    """All runs, newest first, read a few at a time; unreadable records are passed over."""
    run_ids = store.runs.newest_first()
    at_once = 1  # the newest is often enough
    while batch := list(islice(run_ids, at_once)):
        for files in store.runs.find_many(batch).values():
            run = _read(files)
            if run is not None:
                yield run
        at_once = min(4 * at_once, _RUNS_READ_AT_ONCE)


def find_run(store: Store, run_id: str) -> RunRecord | None:
    """The record of a run: the final one, else the one it began with; None where there is none, or it is unreadable."""
    files = store.runs.find(run_id)
    return _read(files) if files is not None else None


def _read(files: RunFiles) -> RunRecord | None:
    try:
        return unseal_record(files.finished or files.begun or b"", RunRecord)
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
