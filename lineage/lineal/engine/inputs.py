"""What stages take: constants, outside data, and what the stages before them have made, durable or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from lineal.artifacts import decode
from lineal.artifacts.codecs.shapes import annotation_of
from lineal.artifacts.files import ending
from lineal.engine.commit import Committer
from lineal.engine.intake import Intake
from lineal.engine.mapping import Maps
from lineal.engine.plan import Bound, PlannedStage, Supply, bind
from lineal.engine.progress import Account
from lineal.executors.protocol import Held
from lineal.fingerprint import find_pickled_names
from lineal.graph.records import Origin, Output
from lineal.stages.conditions import follow
from lineal.stages.errors import ConditionError
from lineal.stages.frozen import CodeNeeded, FrozenStage, named_classes
from lineal.stages.wiring import Result, Source
from lineal_store import Digest, Store


class Inputs:
    """Binds what the stages of ``account`` take. ``commit`` makes durable what has been returned so far."""

    def __init__(
        self,
        account: Account,
        store: Store,
        intake: Intake,
        maps: Maps,
        committer: Committer,
        commit: Callable[[], None],
    ) -> None:
        self._account, self._store, self._intake, self._maps = account, store, intake, maps
        self._committer, self._commit = committer, commit

    def bind(self, stage: PlannedStage) -> Bound:
        """The stage's arguments, now that the stages before it have ended."""
        return bind(stage, self._supply, self._source, self._account.plan.code_of, self._maps.part)

    def scalar(self, result: Result) -> object:
        """The value that a condition compares: from the record itself where it is small, else from the store."""
        part = self._maps.part(result)
        if not isinstance(part, Result) or part.node in self._account.items:
            raise ConditionError(
                f"a condition looks at {result}, which is no single value",
                "Compare single values of one kind: numbers, strings, dates. Compute the value in a stage.",
            )
        output = self._account.stages[part.node].outputs[part.output]
        if output.inline is not None:
            return follow(part, json.loads(output.inline))
        return self.value(part)

    def value(self, result: Result) -> object:
        """What a stage of this run returned, or a part of it, read by its annotation."""
        output = self._account.stages[result.node].outputs[result.output]
        stage = self._account.plan.stages[result.node].node.stage
        annotation = stage.signature.outputs.ports[result.output].annotation
        if isinstance(stage, FrozenStage):
            try:
                annotation = annotation_of(annotation.text)
            except LookupError:
                raise CodeNeeded("a result is looked into, which is read by its annotation") from None
        return follow(result, decode(output.type, self._fetch(output), annotation))

    def carried(self, bound: Bound) -> Mapping[str, bytes]:
        """The bytes of those inputs that are not in the store yet."""
        if not self._committer.waits:
            return {}
        found = ((held.digest, self._committer.find(held.digest)) for held in bound.inputs.values())
        return {digest: data for digest, data in found if data is not None}

    def _supply(self, result: Result) -> Supply | None:
        progress = self._account.stages[result.node]
        if progress.asked is None or result.output not in progress.outputs:
            return None
        producer, output = self._account.plan.stages[result.node], progress.outputs[result.output]
        origin = Origin(action_key=progress.asked.key, output=result.output)
        return Supply(output, origin, producer, self._names(output, result, producer))

    def _names(self, output: Output, result: Result, producer: PlannedStage) -> tuple[str, ...]:
        """The objects that the bytes of ``output`` need to be read."""
        if output.type == "list":
            items = self._account.items[result.node]
            parts = (
                (item, name, made)
                for item in items
                for name, made in self._account.stages[item].outputs.items()
            )
            names = (self._names(made, Result(item, name), producer) for item, name, made in parts)
            return tuple(dict.fromkeys(name for found in names for name in found))
        if output.type == "json":
            annotation = producer.node.stage.signature.outputs.ports[result.output].annotation
            return tuple(dict.fromkeys(named_classes(annotation)))
        if output.description.get("names_left_out"):  # too many for the record
            found = find_pickled_names(self._fetch(output).read_bytes())
            return tuple(f"{module}:{qualname}" for module, qualname in found)
        return tuple(output.description.get("names", ()))

    def _source(self, source: Source) -> tuple[Held, Origin]:
        taken = self._intake.take(source.value)
        suffix = ending(PurePosixPath(urlsplit(taken.url).path).name)
        return Held(str(taken.digest), taken.type, (), taken.url, suffix), Origin(url=taken.url)

    def _fetch(self, output: Output) -> Path:
        """A local file with the bytes of an output of this run, which may not be durable yet."""
        if self._committer.find(output.digest) is not None:
            self._commit()
        return self._store.blobs.fetch(Digest.parse(output.digest))
