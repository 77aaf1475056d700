"""Bytes that a stage was to read, and that are gone or damaged: made again by the stage that made them, or from their source."""

from __future__ import annotations

from lineal.engine import machine
from lineal.engine.cache import ActionCache, Answer
from lineal.engine.intake import Intake
from lineal.engine.mapping import Maps
from lineal.engine.progress import Account
from lineal.errors import LinealError
from lineal.graph.records import TREES
from lineal_store import Digest, Store
from lineal_store.tree import Tree


class Healing:
    def __init__(
        self, account: Account, store: Store, cache: ActionCache, intake: Intake, maps: Maps
    ) -> None:
        self._account, self._store, self._cache = account, store, cache
        self._intake, self._maps = intake, maps

    def input_lost(self, stage_id: str, lost: str) -> machine.Event:
        """Have the input with the digest ``lost`` made again."""
        bound = self._account.answers[stage_id].asked.bound
        for port, taken in bound.inputs.items():
            origin = bound.origins[port]
            if taken.digest != lost and not (taken.type in TREES and self._holds(taken.digest, lost)):
                continue
            producer = self._producer(stage_id, origin.action_key)
            if producer in self._account.items:
                if taken.digest == lost:
                    self._maps.gather(producer, is_lost=True)
                    return machine.InputHealed(stage_id)
                producer = self._maker_in(producer, lost)
            if producer is not None:
                self.condemn(producer)
                return machine.InputLost(stage_id, producer)
            if origin.url is not None and self._intake.heal(Digest.parse(lost)):
                return machine.InputHealed(stage_id)
        return machine.AttemptFailed(stage_id, retryable=False)

    def _producer(self, stage_id: str, action_key: str | None) -> str | None:
        """The parent of ``stage_id`` that performed that action."""
        for parent in self._account.plan.stages[stage_id].task.parents:
            asked = self._account.stages[parent].asked
            if asked is not None and asked.key == action_key:
                return parent
        return None

    def _maker_in(self, mapped: str, lost: str) -> str | None:
        """The item of a mapped stage that made those bytes."""
        for item in self._account.items[mapped]:
            for output in self._account.stages[item].outputs.values():
                if output.digest == lost or (output.type in TREES and self._holds(output.digest, lost)):
                    return item
        return None

    def condemn(self, producer: str) -> None:
        """Retire the result whose bytes are damaged, so that it is made again."""
        answer = self._account.answers[producer]
        self._cache.doubt(answer.asked)
        filed = self._store.actions.find([answer.asked.key]).get(answer.asked.key)
        retire = None if filed is None else (filed.generation, "corrupt")
        self._account.answers[producer] = Answer(
            answer.asked, "miss", "lost", retire=retire, seen=answer.seen
        )
        progress = self._account.stages[producer]
        progress.cache, progress.reason = "miss", "lost"

    def _holds(self, tree: str, lost: str) -> bool:
        try:
            entries = Tree.decode(self._store.blobs.read(Digest.parse(tree))).entries
        except LinealError:  # it is lost itself, and that is told first
            return False
        return any(str(entry.digest) == lost for entry in entries)
