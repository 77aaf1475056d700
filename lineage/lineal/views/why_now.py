"""Why stages would run, if they were run now: a preview, explained."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from lineal.artifacts import Secret
from lineal.artifacts.values import encode_value
from lineal.engine.cache import Answer, Effects
from lineal.engine.plan import PlannedStage, ancestors, plan_run
from lineal.engine.session import RunRequest
from lineal.fingerprint.declared import entry_of, hash_reads
from lineal.graph.change import Change
from lineal.graph.explain import Side, explain
from lineal.graph.history import History, Relative
from lineal.graph.records import Action, ActionResult, Origin, RunRecord, SeenBlindSpot, StageRecord
from lineal.stages.frozen import Encoded
from lineal.stages.wiring import Constant
from lineal.views.contents import Contents
from lineal.views.sides import Sides
from lineal.views.why import Document, retired, stage_document, why_document
from lineal_store import Digest

_MOST_BLIND_SPOTS = 3
_UNCACHED = "it is declared with cache=False, so it runs every time"


def explain_preview(
    request: RunRequest, record: RunRecord, answers: Mapping[str, Answer], wanted: Sequence[str] | None
) -> Document:
    """The document of `lineal why` for stages as they are now: those that are ``wanted``, or all that are no hits."""
    now = _Now(request, record, answers)
    names = None if wanted is None else set(wanted)
    stages = [stage for stage in record.stages if stage.is_shown]
    shown = [
        stage
        for stage in stages
        if (_is_open(stage) if names is None else stage.id in names or stage.id.rpartition("[")[0] in names)
    ]
    now.prepare(shown)
    left = sum(stage.cache == "hit" for stage in stages) if wanted is None else 0
    return why_document(record.pipeline, None, [now.document(stage) for stage in shown], unchanged=left)


def _is_open(stage: StageRecord) -> bool:
    return stage.cache not in ("hit", None) or stage.state in ("failed", "upstream_failed")


class _Now:
    """What is asked of the store for the stages of one preview."""

    def __init__(self, request: RunRequest, record: RunRecord, answers: Mapping[str, Answer]) -> None:
        self._request, self._answers = request, answers
        self._stages = {stage.id: stage for stage in record.stages}
        self._history = History(request.store, request.graph.pipeline)
        hits = {answer.asked.key: answer.result for answer in answers.values() if answer.result is not None}
        self._contents = Contents(request.store, self._history, hits)
        known = request.code.fingerprinter if request.code is not None else None
        self._sides = Sides(request.store, request.root, request.import_roots, request.sources, known)
        self._planned: Mapping[str, PlannedStage] = {}

    def prepare(self, stages: Iterable[StageRecord]) -> None:
        """Read at once what explaining all these takes."""
        shown = list(stages)
        near = [answer.nearest for stage in shown if (answer := self._answers.get(stage.id)) is not None]
        origins: list[Origin] = [
            origin for one in near if one is not None for origin in one.result.origins.values()
        ]
        self._contents.prepare(origins)
        waiting = [stage.id for stage in shown if stage.cache == "unknown" and stage.id not in self._answers]
        if waiting:
            graph = self._request.graph
            fingerprinter = self._sides.fingerprinter(self._sides.today)
            assert fingerprinter is not None
            # as workers find the environment, as far as stages declare it
            variables = {"PYTHONHASHSEED": "0", **os.environ}
            only = list(ancestors(graph, waiting))
            plan = plan_run(graph, fingerprinter, module=self._request.module, only=only, variables=variables)
            self._planned = plan.stages

    def document(self, stage: StageRecord) -> Document:
        answer = self._answers.get(stage.id)
        if answer is None:
            return self._undecided(stage)
        if answer.result is not None and stage.cache == "hit":
            notes = [
                *_unseen(answer.result, answer.asked.stage.manifest.blind_spots),
                *self._retired(answer.asked.key, "an earlier result of it"),
            ]
            return stage_document(stage, nearest=(answer.asked.key, answer.result), notes=notes)
        nearest, changes = answer.nearest, list[Change]()
        if nearest is not None:
            changes = explain(self._before(answer.asked.stage, nearest), self._after(answer))
        return stage_document(
            stage,
            nearest=None if nearest is None else (nearest.key, nearest.result),
            changes=changes,
            notes=list(self._notes(answer, stage)),
            failed=self._history.find_failed(answer.asked.key),
        )

    # -- sides --------------------------------------------------------------------------------

    def _before(self, planned: PlannedStage, nearest: Relative) -> Side:
        result = nearest.result
        return Side(
            result.action,
            self._sides.recorded(nearest.manifest, result.code_tree, self._entries(planned), self._beside),
            result.started_at,
            self._contents.recorded(result.action.inputs, result.origins, result),
        )

    def _after(self, answer: Answer) -> Side:
        asked = answer.asked
        return Side(
            asked.action,
            self._sides.now(asked.stage.manifest, self._entries(asked.stage), self._beside),
            None,
            self._contents.on_disk(asked.bound.inputs, asked.bound.origins, self._request.root),
            asked.stage.options.reads,
            asked.stage.options.depends_on,
            lambda: self._read(asked.stage),
        )

    @property
    def _beside(self) -> tuple[str, ...]:
        return (self._request.module,)

    def _entries(self, planned: PlannedStage) -> tuple[tuple[str, str], ...]:
        also = [entry_of(each, self._request.sources) for each in planned.options.depends_on]
        return ((planned.module, planned.node.stage.qualname), *also)

    def _read(self, planned: PlannedStage) -> Mapping[str, str]:
        """The declared files that are there, each with when it was last written."""
        root, found = self._request.root, {}
        for name, digest in hash_reads(root, planned.options.reads).items():
            if digest.startswith("sha256:"):
                with suppress(OSError):  # it was there a moment ago
                    written = (root / name).stat().st_mtime
                    found[name] = datetime.fromtimestamp(written, UTC).isoformat()
        return found

    # -- what else is to be told --------------------------------------------------------------

    def _notes(self, answer: Answer, stage: StageRecord) -> Iterator[str]:
        asked = answer.asked
        if answer.failure is not None:
            return  # the stage's error says it
        if stage.reason == "lost":
            yield from self._lost(asked.key)
        elif answer.refused:
            yield answer.refused
        elif stage.reason == "retired":
            yield from self._retired(asked.key, "its result")
        elif stage.reason == "uncached" and stage.cache == "off":
            yield _UNCACHED
        elif stage.reason == "uncached":
            effects = Effects(self._request.store, self._request.namespace, self._request.graph.pipeline)
            newest = effects.newest(asked)
            if newest.done is not None:
                yield f"it took effect just so before, but run {newest.run_id} put something else into effect since"
            elif newest.run_id:
                yield f"its newest execution, in run {newest.run_id}, failed"
            else:
                yield f"it has not taken effect in the namespace {self._request.namespace} yet"

    def _lost(self, key: str) -> Iterator[str]:
        result = self._history.find_results([key]).get(key)
        if result is None:
            yield "the record of its result is damaged"
            return
        sizes = self._request.store.blobs.sizes([Digest.parse(out.digest) for out in result.outputs.values()])
        for name, output in result.outputs.items():
            size = sizes.get(Digest.parse(output.digest))
            if size != output.size_bytes:
                there = "is not in the store any more" if size is None else f"has {size:,} bytes left"
                yield f"its output `{name}` ({output.digest[:19]}, {output.size_bytes:,} bytes) {there}"

    def _retired(self, key: str, what: str) -> Iterator[str]:
        if not self._request.store.actions.generation(key):
            return
        for _, retirement in reversed(self._request.store.actions.history(key)):
            if retirement is not None:
                yield f"{what} was retired {retired(retirement)}"
                return

    # -- stages that cannot be asked for ------------------------------------------------------

    def _undecided(self, stage: StageRecord) -> Document:
        """A stage of which an input, or whether it runs at all, is not known."""
        graph = self._request.graph
        if stage.state == "skipped":
            return stage_document(stage, notes=list(self._skipped(stage)))
        if stage.cache != "unknown":
            return stage_document(stage, decided_by=self._deciders(stage, ("failed",)))
        planned = self._planned.get(stage.id)
        nearest, changes = None, list[Change]()
        if planned is not None and planned.options.cache and not planned.options.effect:
            action = _known_part(planned)
            seen = _Seen(action)
            nearest = self._history.find_nearest(stage.id, action, planned.manifest, seen=seen)
            if nearest is not None and nearest.changes:
                before = self._before(planned, nearest)
                code = self._sides.now(planned.manifest, self._entries(planned), self._beside)
                earlier = Side(seen(before.action), before.code, before.at)
                options = planned.options
                changes = explain(
                    earlier,
                    Side(
                        action,
                        code,
                        reads=options.reads,
                        depends_on=options.depends_on,
                        read=lambda: self._read(planned),
                    ),
                )
        node, notes = graph.nodes[stage.id], []
        if node.conditions:
            notes.append(f"it runs only if {' and '.join(map(str, node.conditions))}")
        if not node.options.cache:
            notes.append(_UNCACHED)
        return stage_document(
            stage,
            nearest=(nearest.key, nearest.result) if nearest is not None and changes else None,
            changes=changes,
            decided_by=self._deciders(stage, ("queued",)),
            notes=notes,
        )

    def _skipped(self, stage: StageRecord) -> Iterator[str]:
        graph = self._request.graph
        if stage.reason == "condition_false":
            yield f"not so: {' and '.join(str(one) for one in graph.nodes[stage.id].conditions)}"
            return
        for parent in graph.parents(stage.id):
            if self._stages[parent].state == "skipped":
                yield f"`{parent}`, whose result it needs, is skipped"

    def _deciders(self, stage: StageRecord, states: tuple[str, ...]) -> list[StageRecord]:
        """The nearest stages above that are themselves decided: those that have to run, or failed."""
        graph, found = self._request.graph, dict[str, StageRecord]()
        pending, seen = list(graph.parents(stage.id)), {stage.id}
        while pending:
            name = pending.pop(0)
            if name in seen:
                continue
            seen.add(name)
            parent = self._stages[name]
            if name in self._answers or parent.state == "failed":
                if parent.cache != "hit" and parent.state in states:
                    found[name] = parent
            else:
                pending += graph.parents(name)
        return list(found.values())


def _unseen(result: ActionResult, spots: Sequence[SeenBlindSpot]) -> list[str]:
    """What may have changed without the stage becoming a miss: what it was seen to look at, else what it may look at."""
    told = list(result.observed.warnings) or [
        f"not seen by its fingerprint: {spot.kind.replace('_', ' ')} of {spot.detail} ({spot.file}:{spot.line})"
        for spot in spots
    ]
    if len(told) > _MOST_BLIND_SPOTS:
        more = len(told) - _MOST_BLIND_SPOTS
        told = [*told[:_MOST_BLIND_SPOTS], f"and {more} more; `lineal fingerprint` lists them"]
    return told


class _Seen:
    """Of an earlier action, what is known of one whose inputs are not."""

    def __init__(self, known: Action) -> None:
        self._known = known

    def __call__(self, action: Action) -> Action:
        parameters: dict[str, Any] = {
            name: value for name, value in action.parameters.items() if name in self._known.parameters
        }
        return replace(action, inputs={}, code={}, parameters=parameters)


def _known_part(planned: PlannedStage) -> Action:
    """The action of a stage, but for what depends on inputs."""
    constants = {
        name: value.structure if isinstance(value, Encoded) else encode_value(value, name=name)
        for name, binding in planned.node.inputs.items()
        if isinstance(binding, Constant) and not isinstance(value := binding.value, Secret)
    }
    return Action(
        stage=planned.node.stage.qualname,
        fingerprint=planned.fingerprint.hex,
        parameters=constants,
        environment=dict(planned.environment),
        schemas=dict(planned.schemas),
        version=planned.options.version,
    )
