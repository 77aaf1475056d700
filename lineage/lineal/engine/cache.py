"""The action cache as the engine asks it: is there a usable result, and if not, why not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import xxhash
from msgspec import Struct
from msgspec.structs import replace

from lineal.engine.plan import Bound, PlannedStage, action_of
from lineal.events import Cache, Failure
from lineal.graph.action import action_key, reason_of
from lineal.graph.history import History, Relative, newest_runs, read_stages
from lineal.graph.records import TREES, Action, ActionResult, Output, unseal_record
from lineal_store import Digest, Filed, Store
from lineal_store.blobs import name_of
from lineal_store.canonical import encode
from lineal_store.errors import BlobMissing, CorruptRecord, DigestMismatch
from lineal_store.sealed import seal, unseal
from lineal_store.tree import Tree


class Asked(Struct, frozen=True):
    """An action and its key, ready to be looked up."""

    stage: PlannedStage
    bound: Bound
    action: Action
    key: str

    @property
    def identity(self) -> str:
        """The key without what sets the action apart as one of this run: by it, things are kept from one run to the next."""
        environment = {name: text for name, text in self.action.environment.items() if name != _ASIDE}
        if len(environment) == len(self.action.environment):
            return self.key
        return action_key(replace(self.action, environment=environment))

    @property
    def is_aside(self) -> bool:
        """Whether its result is for its own run alone."""
        return _ASIDE in self.action.environment


class Answer(Struct, frozen=True):
    """What the cache says: a ``result`` for a hit; else what is to be retired once there is a new one.

    ``nearest`` is the earlier action that explains a miss; ``refused`` why a result that there is does not count; ``seen`` the newest entry in the log
    of an effect; ``failure`` is set where the stage may be neither reused nor executed. A hit that is executed ``again`` is
    compared with what comes out, and stays what it is.
    """

    asked: Asked
    cache: Cache
    reason: str
    result: ActionResult | None = None
    retire: tuple[int, str] | None = None
    nearest: Relative | None = None
    refused: str = ""
    seen: int = 0
    failure: Failure | None = None
    again: bool = False


class ActionCache:
    """Looks actions up in ``store``.

    ``forced`` says which stages are to be executed whatever is filed; ``run_id`` makes the actions of stages that
    are never reused (``cache=False``) distinct; ``now`` tells the age of a result. With ``adopts`` a result that is found upstream is filed here too; with
    ``strict`` none counts whose stage looked at more than it declares.
    """

    def __init__(
        self,
        store: Store,
        *,
        pipeline: str,
        namespace: str,
        run_id: str,
        forced: Callable[[str], bool],
        adopts: bool,
        now: Callable[[], datetime],
        strict: bool = False,
    ) -> None:
        self._store, self._run_id, self._forced, self._adopts = store, run_id, forced, adopts
        self._strict, self._now = strict, now
        self._doubted: set[str] = set()
        self._pipeline, self._foreseen = pipeline, False
        self._history = History(store, pipeline)
        self.effects = Effects(store, namespace, pipeline)

    @property
    def trusts(self) -> bool:
        """Whether hits are taken on trust until `find_lost` is asked: a look at each over a network is too dear."""
        return self._store.backend.remote or self._store.upstream is not None

    def ask(self, stage: PlannedStage, bound: Bound) -> Asked:
        """Form the action of ``stage``."""
        action = action_of(stage, bound)
        asked = Asked(stage, bound, action, action_key(action))
        return asked if stage.options.cache else self.put_aside(asked)

    def put_aside(self, asked: Asked) -> Asked:
        """The same action as one of this run alone: what is filed under its key is found by no other run."""
        action = replace(asked.action, environment={**asked.action.environment, _ASIDE: self._run_id})
        return replace(asked, action=action, key=action_key(action))

    def look(self, asked: list[Asked]) -> list[Answer]:
        """One answer each, in order, with one batch of requests to the store."""
        if not asked:
            return []
        filed = self._filed([one.key for one in asked])
        filed |= self._from_upstream([one for one in asked if one.key not in filed])
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
        doubtful = [
            result
            for one, (result, _, _) in zip(asked, results, strict=True)
            if result is not None
            and (not self.trusts or one.key in self._doubted or _is_read_at_once(one.stage, result))
        ]
        missing = self._missing_outputs(doubtful)
        return [
            self._answer(
                one, result, generation, "lost" if result is not None and id(result) in missing else bad
            )
            for one, (result, generation, bad) in zip(asked, results, strict=True)
        ]

    def _answer(self, asked: Asked, result: ActionResult | None, generation: int, bad: str | None) -> Answer:
        """Decide. ``bad`` says why the result that is filed cannot be used: lost or corrupt."""
        if not asked.stage.options.effect:
            return self._decide(asked, result, generation, bad, _NO_EFFECT)
        newest = self.effects.newest(asked)
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
        if self._forced(stage.id) or self._forced(stage.call):
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
        if result is not None and self._strict and result.observed.warnings:
            refused = f"strict is set, and {result.observed.warnings[0]}"
            return Answer(asked, "miss", "uncached", retire=retire, refused=refused)
        if result is not None and (too_old := self._too_old(asked, result)):
            return Answer(asked, "miss", "retired", retire=(generation, "expired"), refused=too_old)
        if result is not None:
            return Answer(asked, "hit", "unchanged", result)
        nearest = self._history.find_nearest(stage.id, asked.action, stage.manifest)
        if nearest is not None and nearest.result.observed.refused and _is_aside(nearest, asked.action):
            return Answer(asked, "miss", "uncached", refused=nearest.result.observed.refused)
        if self._store.actions.generation(asked.key):
            return Answer(asked, "miss", "retired")
        reason = "new" if nearest is None else reason_of(nearest.changes)
        return Answer(asked, "miss", reason, nearest=nearest)

    def _too_old(self, asked: Asked, result: ActionResult) -> str:
        """Why the result is older than the stage allows; nothing where it is not."""
        refresh = asked.stage.options.refresh_seconds
        if refresh is None:
            return ""
        age = self._now() - datetime.fromisoformat(result.started_at) - timedelta(seconds=result.seconds)
        if age.total_seconds() < refresh:
            return ""
        return (
            f"its result is {_rounded(age)} old, and refresh= allows {_rounded(timedelta(seconds=refresh))}"
        )

    def _filed(self, keys: list[str]) -> dict[str, Filed]:
        """The results filed under ``keys``.

        Where the first had to be fetched over a network, this machine has not run the pipeline lately: those that its
        newest run named are then fetched at once, so that they need not be waited for one after the other.
        """
        before = self._store.fetched
        filed = self._store.actions.find(keys)
        if filed and self._store.fetched > before and not self._foreseen:
            self._foreseen = True
            for run in newest_runs(self._store, self._pipeline, most=1):
                stages = read_stages(self._store, run)
                self._store.actions.find([one.action_key for one in stages if one.action_key is not None])
        return filed

    def _from_upstream(self, asked: list[Asked]) -> dict[str, Filed]:
        """Results that stores upstream have of actions that this one knows nothing of, and never retired."""
        if self._store.upstream is None:
            return {}
        strangers = {one.key: one for one in asked if not self._store.actions.generation(one.key)}
        found = {
            key: filed
            for key, filed in self._store.upstream.find(strangers).items()
            if _is_result_of(filed, strangers[key].action)
        }
        if not self._adopts or not found:
            return found
        adopted = self._store.actions.publish([(key, filed.data) for key, filed in found.items()])
        return {filed.key: filed for filed in adopted}

    def names(self, asked: Collection[Asked]) -> tuple[list[str], list[str]]:
        """What in the store says that these are hits: its objects, and the folders in which nothing may be added, by
        their names; as the store is now.
        """
        self._store.actions.refresh()
        effects = [one for one in asked if one.stage.options.effect]
        folders = [self.effects.folder(one) for one in effects]
        newest = [
            f"{folder}{self.effects.newest(one).seq:08}" for folder, one in zip(folders, effects, strict=True)
        ]
        objects = self._store.actions.names(one.key for one in asked).values()
        return [*objects, *newest], ["refs/retired", *(folder.rstrip("/") for folder in folders)]

    def doubt(self, asked: Asked) -> None:
        """From now on look whether the outputs of that action are there, whenever it is asked for."""
        self._doubted.add(asked.key)

    def sizes_of(self, outputs: Iterable[Output]) -> dict[str, int]:
        """The sizes of all blobs that ``outputs`` are made of, in this store, by the names of the objects; the lists of
        directories among them are read.
        """
        wanted: dict[Digest, int] = {}
        for output in outputs:
            digest = Digest.parse(output.digest)
            wanted[digest] = output.size_bytes
            if output.type in TREES:
                for entry in Tree.decode(self._store.blobs.read(digest)).entries:
                    wanted[entry.digest] = entry.size_bytes
        return {name_of(digest): size for digest, size in wanted.items()}

    def find_lost(self, outputs: Mapping[str, Sequence[Output]]) -> list[str]:
        """Those stages of whose ``outputs`` some bytes are nowhere to be had in full size, in one batch of requests."""
        return [stage for stage, held in self._whole(outputs).items() if not held]

    def _missing_outputs(self, results: list[ActionResult]) -> set[int]:
        """The ids of those results of which some output's bytes are not there in full size."""
        whole = self._whole({str(id(result)): list(result.outputs.values()) for result in results})
        return {int(of) for of, held in whole.items() if not held}

    def _whole(self, outputs: Mapping[str, Sequence[Output]]) -> dict[str, bool]:
        """For each key whether the bytes of all its outputs are there, those in directories too."""
        needs = {
            of: {Digest.parse(output.digest): output.size_bytes for output in group}
            for of, group in outputs.items()
        }
        trees = {Digest.parse(o.digest) for group in outputs.values() for o in group if o.type in TREES}
        sizes = self._sizes({digest for wanted in needs.values() for digest in wanted})
        for wanted in needs.values():
            for digest in trees & wanted.keys() & sizes.keys():
                try:
                    entries = Tree.decode(self._store.blobs.read(digest)).entries
                    wanted.update((entry.digest, entry.size_bytes) for entry in entries)
                except (BlobMissing, CorruptRecord, DigestMismatch):
                    del sizes[digest]
        if trees:
            sizes |= self._sizes({digest for wanted in needs.values() for digest in wanted} - trees)
        return {
            of: all(sizes.get(digest) == size for digest, size in wanted.items())
            for of, wanted in needs.items()
        }

    def _sizes(self, digests: Collection[Digest]) -> dict[Digest, int]:
        """The sizes of those blobs that can be had, from this store or from upstream."""
        sizes = self._store.blobs.sizes(digests)
        absent = [digest for digest in digests if digest not in sizes]
        return sizes | self._store.upstream.sizes(absent) if self._store.upstream and absent else sizes


_ASIDE = "uncached"
"""In the environment of an action whose result is for its own run: the id of that run."""


def _is_read_at_once(stage: PlannedStage, result: ActionResult) -> bool:
    """Whether the run itself reads what came out: the files of a directory become part of a list (`engine.mapping`)."""
    return stage.node.group is not None and any(made.type in TREES for made in result.outputs.values())


def _is_aside(relative: Relative, action: Action) -> bool:
    """Whether that earlier action is ``action`` itself, put aside."""
    environment = {name: text for name, text in relative.result.action.environment.items() if name != _ASIDE}
    return replace(relative.result.action, environment=environment) == action


def _rounded(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _is_result_of(filed: Filed, action: Action) -> bool:
    try:
        return unseal_record(filed.data, ActionResult).action == action
    except CorruptRecord:
        return False


class NewestEffect(Struct, frozen=True):
    """``done`` is the key of the newest execution that ended; ``unknown`` the run whose claim has no outcome.

    ``seq`` is the number of the log's newest entry, 0 where it has none, and ``run_id`` the run that wrote it.
    """

    seq: int = 0
    run_id: str = ""
    done: str | None = None
    unknown: str | None = None


_NO_EFFECT = NewestEffect()


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

    def folder(self, asked: Asked) -> str:
        """Where the log of ``asked`` lies in the store."""
        return self._store.refs.folder(self._name(asked))

    def _name(self, asked: Asked) -> str:
        identity = encode([self._namespace, self._pipeline, asked.stage.call, asked.action.parameters])
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
