"""Why stages ran in a run of the past, as far as its records tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from lineal.fingerprint.ways import Entries
from lineal.graph.explain import Side, explain, explain_parameters
from lineal.graph.history import History, Relative, find_run
from lineal.graph.records import ActionResult, Input, Manifest, Origin, RunRecord, StageRecord, unseal_record
from lineal.views.contents import Contents
from lineal.views.sides import Sides
from lineal.views.why import Document, retired, stage_document, why_document
from lineal_store import Store
from lineal_store.errors import CorruptRecord


def explain_run_of_the_past(
    store: Store,
    run: RunRecord,
    stages: Sequence[StageRecord],
    wanted: Sequence[str] | None,
    root: Path,
    import_roots: Sequence[Path],
    module: str | None,
) -> Document:
    """The document of `lineal why` for a run: the stages that are ``wanted``, or all that were no hits.

    ``module`` declares the pipeline; None where that is not known.
    """
    then = _Then(store, run, stages, root, import_roots, module)
    names = None if wanted is None else set(wanted)
    told = [stage for stage in stages if stage.is_shown]
    shown = [stage for stage in told if (stage.cache != "hit" if names is None else stage.id in names)]
    then.prepare(shown)
    left = sum(stage.cache == "hit" for stage in told) if wanted is None else 0
    return why_document(run.pipeline, run.run_id, [then.document(stage) for stage in shown], unchanged=left)


class _Then:
    def __init__(
        self,
        store: Store,
        run: RunRecord,
        stages: Sequence[StageRecord],
        root: Path,
        import_roots: Sequence[Path],
        module: str | None,
    ) -> None:
        self._store, self._run, self._module = store, run, module
        self._stages = {stage.id: stage for stage in stages}
        self._now = History(store, run.pipeline)
        self._history = History(store, run.pipeline, before=run.run_id)
        self._contents = Contents(store, self._now, {})
        self._sides = Sides(store, root, [str(folder) for folder in import_roots])

    def prepare(self, stages: Sequence[StageRecord]) -> None:
        """Read at once what explaining all these takes."""
        keys = [stage.action_key for stage in stages if stage.action_key is not None]
        results = self._now.find_results(keys)
        self._contents.prepare(origin for result in results.values() for origin in result.origins.values())

    def document(self, stage: StageRecord) -> Document:
        result = self._result(stage)
        if stage.state == "upstream_failed":
            failed = [one for one in self._stages.values() if one.state == "failed"]
            return stage_document(stage, decided_by=failed if len(failed) == 1 else ())
        if stage.action_key is None:
            return stage_document(stage)
        if stage.cache == "hit":
            return stage_document(stage, nearest=None if result is None else (stage.action_key, result))
        if stage.reason in ("uncached", "forced", "lost", "retired"):
            return stage_document(stage, notes=self._refusal(stage))
        if result is None:
            return self._without_result(stage)
        manifest = self._now.read_manifest(result)
        nearest = self._history.find_nearest(stage.id, result.action, manifest)
        if nearest is None:
            return stage_document(stage)
        entries = self._entries(nearest, manifest)
        after = Side(
            result.action,
            self._sides.recorded(manifest, result.code_tree, entries, self._beside),
            result.started_at,
            self._contents.recorded(result.action.inputs, result.origins, result),
        )
        changes = explain(self._before(nearest, entries), after)
        return stage_document(stage, nearest=(nearest.key, nearest.result), changes=changes)

    def _refusal(self, stage: StageRecord) -> list[str]:
        """Why the newest result before did not count: it was superseded, or seen to depend on more than it declares."""
        if stage.reason in ("forced", "retired") and stage.action_key is not None:
            return list(self._superseded(stage.action_key))
        if stage.reason != "uncached" or stage.cache != "miss":
            return []
        newest = self._history.find_newest(stage.id)
        return (
            [newest.result.observed.refused] if newest is not None and newest.result.observed.refused else []
        )

    def _superseded(self, key: str) -> Iterator[str]:
        """How the result was retired that the one of this run stands for."""
        before = None
        for filed, retirement in self._store.actions.history(key):
            try:
                run_id = unseal_record(filed.data, ActionResult).run_id
            except CorruptRecord:
                run_id = ""
            if run_id == self._run.run_id and before is not None:
                yield f"the result before it was retired {retired(before)}"
                return
            before = retirement

    def _result(self, stage: StageRecord) -> ActionResult | None:
        """What this run filed, or of a hit found. What another filed under the same key was asked the same."""
        if stage.action_key is None:
            return None
        found = self._now.find_results([stage.action_key]).get(stage.action_key)
        if found is None and stage.outputs:  # it was retired since
            return self._now.find_maker(stage.action_key, next(iter(stage.outputs.values())).digest)
        return found

    def _without_result(self, stage: StageRecord) -> Document:
        """A stage that failed: its action is not on record, but for its code, what the stages before it made, and the run."""
        nearest = self._history.find_newest(stage.id)
        if nearest is None:
            return stage_document(stage)
        earlier = nearest.result
        entries = self._entries(nearest, None)
        inputs, origins = self._inputs_now(earlier)
        action = replace(
            earlier.action, fingerprint=stage.fingerprint or earlier.action.fingerprint, inputs=inputs
        )
        after = Side(
            action,
            self._sides.recorded(None, self._run.code_tree, entries, self._beside),
            contents=self._contents.recorded(inputs, origins, None),
        )
        changes = explain(self._before(nearest, entries), after)
        its_run = find_run(self._store, earlier.run_id)
        if its_run is not None:
            changes += explain_parameters(its_run.parameters, self._run.parameters)
        note = (
            "it has no result, so not all that it took is on record: compared are its code, what the stages before it "
            "made, and the parameters of the run"
        )
        return stage_document(stage, nearest=(nearest.key, earlier), changes=changes, notes=[note])

    def _inputs_now(self, earlier: ActionResult) -> tuple[dict[str, Input], dict[str, Origin]]:
        """What an earlier action took, with what the same stages made in this run."""
        inputs, origins = dict(earlier.action.inputs), dict(earlier.origins)
        self._contents.prepare(origins.values())
        for port, origin in earlier.origins.items():
            if origin.action_key is None:
                continue
            maker = self._now.find_results([origin.action_key]).get(origin.action_key)
            stage = self._stages.get(maker.stage_id) if maker is not None else None
            output = stage.outputs.get(origin.output or "") if stage is not None else None
            if port in inputs and stage is not None and output is not None:
                inputs[port] = replace(inputs[port], digest=output.digest, type=output.type)
                origins[port] = Origin(action_key=stage.action_key, output=origin.output)
        return inputs, origins

    # -- sides --------------------------------------------------------------------------------

    def _before(self, nearest: Relative, entries: Entries) -> Side:
        result = nearest.result
        return Side(
            result.action,
            self._sides.recorded(nearest.manifest, result.code_tree, entries, self._beside),
            result.started_at,
            self._contents.recorded(result.action.inputs, result.origins, result),
        )

    @property
    def _beside(self) -> tuple[str, ...]:
        return (self._module,) if self._module is not None else ()

    def _entries(self, nearest: Relative, manifest: Manifest | None) -> Entries:
        """Where the stage's function lies, by what its fingerprint covers; the pipeline's own module where it could be two."""
        qualname = nearest.result.action.stage
        units = [
            *(manifest.units if manifest is not None else ()),
            *(nearest.manifest.units if nearest.manifest is not None else ()),
        ]
        homes = {
            module
            for module, _, name in (covered.unit.partition(":") for covered in units)
            if name == qualname.partition(".")[0]
        }
        home = self._module if self._module in homes else min(homes, default=None)
        return ((home, qualname),) if home is not None else ()
