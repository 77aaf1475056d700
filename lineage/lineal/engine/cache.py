"""The action cache as the engine asks it: is there a usable result, and if not, why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import xxhash

from lineal.engine.plan import Bound, PlannedStage, action_of
from lineal.events import Cache, Failure
from lineal.graph.action import action_key, reason_of
from lineal.graph.history import History, Relative
from lineal.graph.records import Action, ActionResult, unseal_record
from lineal_store import Digest, Store
from lineal_store.canonical import encode
from lineal_store.errors import CorruptRecord, DigestMismatch
from lineal_store.sealed import seal, unseal
from lineal_store.tree import Tree


@dataclass(frozen=True, slots=True)
class Asked:
    """An action and its key, ready to be looked up."""

    stage: PlannedStage
    bound: Bound
    action: Action
    key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the cache says: a ``result`` for a hit; else what is to be retired once there is a new one.

    ``nearest`` is the earlier action that explains a miss; ``seen`` the newest entry in the log of an effect; ``failure`` is set where the stage may be neither
    reused nor executed.
    """

    asked: Asked
    cache: Cache
    reason: str
    result: ActionResult | None = None
    retire: tuple[int, str] | None = None
    nearest: Relative | None = None
    seen: int = 0
    failure: Failure | None = None


class ActionCache:
    """Looks actions up in ``store``.

    ``forced`` says which stages are to be executed whatever is filed; ``run_id`` makes the actions of stages that are never reused (``cache=False``) distinct.
    """

    def __init__(
        self, store: Store, *, pipeline: str, namespace: str, run_id: str, forced: Callable[[str], bool]
    ) -> None:
        self._store, self._run_id, self._forced = store, run_id, forced
        self._history = History(store, pipeline)
        self.effects = Effects(store, namespace, pipeline)

    def ask(self, stage: PlannedStage, bound: Bound) -> Asked:
        """Form the action of ``stage``."""
        action = action_of(stage, bound)
        if not stage.options.cache:
            action = msgspec.structs.replace(
                action, environment={**action.environment, "uncached": self._run_id}
            )
        return Asked(stage, bound, action, action_key(action))

    def look(self, asked: list[Asked]) -> list[Answer]:
        """One answer each, in order, with one batch of requests to the store."""
        filed = self._store.actions.find([one.key for one in asked])
        results: list[tuple[ActionResult | None, int, str | None]] = []
        for one in asked:
            found = filed.get(one.key)
            if found is None:
                results.append((None, 0, None))
                continue
            try:
                result = unseal_record(found.data, ActionResult)
                usable = result.action == one.action  # else another action's key collides
                results.append((result if usable else None, found.generation, None if usable else "corrupt"))
            except CorruptRecord:
                results.append((None, found.generation, "corrupt"))
        present = self._missing_outputs([result for result, _, _ in results if result is not None])
        return [
            self._answer(
                one, result, generation, "lost" if result is not None and id(result) in present else bad
            )
            for one, (result, generation, bad) in zip(asked, results, strict=True)
        ]

    def _answer(self, asked: Asked, result: ActionResult | None, generation: int, bad: str | None) -> Answer:
        """Decide. ``bad`` says why the result that is filed cannot be used: lost or corrupt."""
        newest = self.effects.newest(asked) if asked.stage.options.effect else NewestEffect()
        return replace(self._decide(asked, result, generation, bad, newest), seen=newest.seq)

    def _decide(
        self,
        asked: Asked,
        result: ActionResult | None,
        generation: int,
        bad: str | None,
        newest: NewestEffect,
    ) -> Answer:
        stage = asked.stage
        filed = result is not None or bad is not None
        retire = (generation, bad or "forced") if filed else None
        if self._forced(stage.id):
            return Answer(asked, "miss", "forced", retire=retire)
        if not stage.options.cache:
            return Answer(asked, "off", "uncached")
        if stage.options.effect:
            if newest.unknown is not None:
                return Answer(asked, "miss", "uncached", failure=_effect_unknown(stage.id, newest.unknown))
            if filed and newest.done != asked.key:  # something else took effect since
                return Answer(asked, "miss", "uncached", retire=retire)
        if bad is not None:
            return Answer(asked, "miss", "lost", retire=retire)
        if result is not None:
            return Answer(asked, "hit", "unchanged", result)
        if self._store.actions.generation(asked.key):
            return Answer(asked, "miss", "retired")
        nearest = self._history.find_nearest(stage.id, asked.action, stage.manifest)
        reason = "new" if nearest is None else reason_of(nearest.changes)
        return Answer(asked, "miss", reason, nearest=nearest)

    def _missing_outputs(self, results: list[ActionResult]) -> set[int]:
        """The ids of those results of which some output's bytes are not there in full size."""
        wanted: dict[int, list[tuple[Digest, int]]] = {}
        for result in results:
            wanted[id(result)] = [
                (Digest.parse(output.digest), output.size_bytes) for output in result.outputs.values()
            ]
        sizes = self._store.blobs.sizes([digest for needs in wanted.values() for digest, _ in needs])
        missing = {
            of for of, needs in wanted.items() if any(sizes.get(digest) != size for digest, size in needs)
        }
        missing.update(
            id(result) for result in results if id(result) not in missing and not self._trees_whole(result)
        )
        return missing

    def _trees_whole(self, result: ActionResult) -> bool:
        for output in result.outputs.values():
            if output.type == "directory":
                try:
                    entries = Tree.decode(self._store.blobs.read(Digest.parse(output.digest))).entries
                except (CorruptRecord, DigestMismatch):
                    return False
                sizes = self._store.blobs.sizes([entry.digest for entry in entries])
                if any(sizes.get(entry.digest) != entry.size_bytes for entry in entries):
                    return False
        return True


@dataclass(frozen=True, slots=True)
class NewestEffect:
    """``done`` is the key of the newest execution that ended; ``unknown`` the run whose claim has no outcome.

    ``seq`` is the number of the log's newest entry, 0 where it has none, and ``run_id`` the run that wrote it.
    """

    seq: int = 0
    run_id: str = ""
    done: str | None = None
    unknown: str | None = None


class Effects:
    """The log of executions of effects: per pipeline, namespace, stage and non-artifact parameters.

    A claim is appended before an effect starts and its outcome after it, so that an engine killed
    in between leaves the question open instead of answering it wrongly.
    """

    def __init__(self, store: Store, namespace: str, pipeline: str) -> None:
        self._store, self._namespace, self._pipeline = store, namespace, pipeline

    def newest(self, asked: Asked) -> NewestEffect:
        entry = self._store.refs.newest(self._name(asked))
        if entry is None:
            return NewestEffect()
        said: Any = unseal(entry[1])
        run_id = str(said["run_id"])
        if said["state"] == "claimed":
            return NewestEffect(entry[0], run_id, unknown=run_id)
        return NewestEffect(
            entry[0], run_id, done=str(said["action_key"]) if said["state"] == "done" else None
        )

    def claim(self, asked: Asked, run_id: str, seen: int) -> bool:
        """Log that the effect is about to start; False where another run has claimed it since entry ``seen``."""
        newest = self.newest(asked)
        if newest.seq != seen and newest.run_id != run_id:
            return False
        entry = {"state": "claimed", "action_key": asked.key, "run_id": run_id}
        return self._store.refs.compare_and_append(self._name(asked), newest.seq, seal(entry))

    def append(self, asked: Asked, state: str, run_id: str) -> None:
        """Log that the effect is ``done`` or has ``failed``."""
        entry = {"state": state, "action_key": asked.key, "run_id": run_id}
        self._store.refs.append(self._name(asked), seal(entry))

    def _name(self, asked: Asked) -> str:
        identity = encode([self._namespace, self._pipeline, asked.stage.id, asked.action.parameters])
        return f"effects/{xxhash.xxh3_128_hexdigest(identity)}"


def effect_claimed(stage_id: str) -> Failure:
    return Failure(
        "effect_unknown",
        "EffectClaimed",
        f"another run began {stage_id} at the same moment",
        "See how that run ends; then run again.",
    )


def _effect_unknown(stage_id: str, run_id: str) -> Failure:
    return Failure(
        "effect_unknown",
        "EffectUnknown",
        f"run {run_id} began {stage_id} and never said how it ended: it may have taken effect, or not",
        f"Find out, then run again with --force {stage_id}.",
    )
