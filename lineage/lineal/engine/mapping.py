"""Stages that are mapped over a list: one node until the list is there, then one for each item, and in the end a list again.

The list of results is an artifact like any other (`lineal.artifacts.lists`): it is filed as the result of an action whose
origin is the actions of the items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace as replace_fields

from lineal.artifacts.lists import entries_of, listed
from lineal.engine import machine
from lineal.engine.cache import Asked
from lineal.engine.clock import Clock
from lineal.engine.plan import Bound, PlannedStage, ending_of, task_of
from lineal.engine.progress import Account, RunContext, StageProgress
from lineal.errors import LinealError
from lineal.graph.action import action_key
from lineal.graph.records import Action, ActionResult, Origin, Output, seal_record, to_bytes, write_keys
from lineal.stages.errors import ItemMissing
from lineal.stages.frozen import Encoded
from lineal.stages.wiring import Binding, Collection, CollectionKind, Constant, Item, Result
from lineal_store import Digest, Store
from lineal_store.tree import Tree, TreeEntry


class NoList(LinealError):
    """A stage is mapped over something that turns out to be no list."""

    kind = "contract"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return self.message


class Maps:
    """The mapped stages of one run; with ``preview`` nothing is kept."""

    def __init__(
        self, account: Account, store: Store, context: RunContext, clock: Clock, *, preview: bool
    ) -> None:
        self._account, self._store, self._context, self._clock = account, store, context, clock
        self._preview = preview

    def expand(self, stage: PlannedStage, value_of: Callable[[Result], object]) -> machine.Expanded:
        """The calls that ``stage`` is, now that its list is there; from now on they are stages of the run.

        ``value_of`` reads what a stage returned.
        """
        node = stage.node
        assert node.over is not None
        tasks: list[machine.Task] = []
        for place, item in enumerate(self._items(stage, value_of)):
            call = replace_fields(
                node,
                id=f"{node.id}[{place}]",
                inputs={**node.inputs, node.over: item},
                conditions=(),
                over=None,
                group=node.id,
            )
            tasks.append(task_of(call))
            self._account.plan.stages[call.id] = replace_fields(
                stage, node=call, task=tasks[-1], twin=stage.twin or stage
            )
            self._account.stages[call.id] = StageProgress()
        self._account.items[node.id] = tuple(task.id for task in tasks)
        return machine.Expanded(node.id, tuple(tasks))

    def part(self, result: Result) -> Binding:
        """What ``result`` is, where it lies within the list of a mapped stage; any other is itself. `ItemMissing`."""
        stage = self._account.plan.stages[result.node]
        items = self._account.items.get(result.node)
        if items is None or not result.path:  # without items one that was skipped
            return result
        at, *rest = result.path
        if not isinstance(at, int) or not -len(items) <= at < len(items):
            raise ItemMissing(
                f"the pipeline takes {at!r} from {result.node}, which has no such item",
                f"It has {len(items)} items.",
            )
        outputs = stage.node.stage.signature.outputs
        names = list(outputs.ports)
        if outputs.kind == "single":
            return Result(items[at], names[0], tuple(rest))
        if rest:
            key = rest[0]
            if isinstance(key, int) and -len(names) <= key < len(names):
                key = names[key]
            if not isinstance(key, str) or key not in names:
                raise ItemMissing(
                    f"the pipeline takes {rest[0]!r} from {result.node}[{at}], which has no such output",
                    f"It has {', '.join(names)}.",
                )
            return Result(items[at], key, tuple(rest[1:]))
        kind: CollectionKind = "dict" if outputs.kind == "typeddict" else outputs.kind
        parts = ((None if kind == "tuple" else name, Result(items[at], name)) for name in names)
        return Collection(kind, tuple(parts), outputs.type if kind in ("namedtuple", "dataclass") else None)

    def gather(self, stage_id: str, *, is_lost: bool = False) -> None:
        """Make the list of what the items of ``stage_id`` returned, all of them durable, its result.

        ``is_lost`` tells that what the store holds as its bytes cannot be read.
        """
        stage, progress = self._account.plan.stages[stage_id], self._account.stages[stage_id]
        items = [self._account.stages[item] for item in self._account.items[stage_id]]
        entries = (
            entry
            for place, item in enumerate(items)
            for name, output in item.outputs.items()
            for entry in self._entries(place, name, output)
        )
        tree = listed(entries).encode()
        keys = write_keys([item.asked.key for item in items if item.asked is not None])
        output = Output(
            digest=str(Digest.of(tree)),
            type="list",
            size_bytes=len(tree),
            description={"items": len(items)},
        )
        made_of = str(Digest.of(keys))
        action = Action(
            stage=f"{stage.node.stage.qualname}[]",
            fingerprint=stage.fingerprint.hex,
            parameters={"items[]": made_of, "list[]": output.digest},
        )
        bound = Bound(origins={"items": Origin(items=made_of)})
        progress.asked = Asked(stage, bound, action, action_key(action))
        progress.outputs = {"result": output}
        missed = next((item for item in items if item.cache != "hit"), None)
        progress.cache = "hit" if missed is None else missed.cache
        progress.reason = "unchanged" if missed is None else missed.reason
        if not self._preview and (
            is_lost or not self._is_filed(progress.asked.key, [output.digest, made_of])
        ):
            self._file(progress.asked, output, [tree, keys])

    def _is_filed(self, key: str, contents: Sequence[str]) -> bool:
        digests = {Digest.parse(content) for content in contents}
        return bool(self._store.actions.find([key])) and digests == set(self._store.blobs.sizes(digests))

    def _file(self, asked: Asked, output: Output, contents: list[bytes]) -> None:
        manifest = to_bytes(asked.stage.manifest)
        self._store.blobs.mend([*contents, manifest])
        result = ActionResult(
            action=asked.action,
            outputs={"result": output},
            origins=asked.bound.origins,
            manifest=str(Digest.of(manifest)),
            code_tree=str(self._context.code_tree),
            environment=str(self._context.environment),
            seed=0,
            run_id=self._context.run_id,
            stage_id=asked.stage.id,
            attempt=0,
            started_at=self._clock.now().isoformat(),
            seconds=0.0,
        )
        self._store.actions.publish([(asked.key, seal_record(result))])

    def _entries(self, place: int, name: str, output: Output) -> Iterator[TreeEntry]:
        digest = Digest.parse(output.digest)
        tree = None
        if output.type == "directory":
            tree = Tree.decode(self._store.blobs.read(digest), what=f"the directory {digest}")
        return entries_of(place, name, output.type, ending_of(output), digest, output.size_bytes, tree)

    def _items(self, stage: PlannedStage, value_of: Callable[[Result], object]) -> Sequence[Binding]:
        node = stage.node
        assert node.over is not None
        binding = node.inputs[node.over]
        if isinstance(binding, Result):
            binding = self.part(binding)
        if isinstance(binding, Constant):
            if isinstance(binding.value, Encoded) and type(binding.value.structure) is list:
                return [Constant(Encoded(item)) for item in binding.value.structure]
            return [Constant(item) for item in self._list_of(stage, binding.value)]
        if isinstance(binding, Collection) and binding.kind in ("list", "tuple"):
            return [item for _, item in binding.items]
        if isinstance(binding, Result):
            if binding.node in self._account.items:
                places = range(len(self._account.items[binding.node]))
                return [self.part(Result(binding.node, "result", (place,))) for place in places]
            return [Item(item, binding) for item in self._list_of(stage, value_of(binding))]
        raise self._no_list(stage, "a single file or directory")

    def _list_of(self, stage: PlannedStage, value: Any) -> list[object]:
        if type(value) is list or type(value) is tuple:
            return list(value)
        raise self._no_list(stage, f"a {type(value).__name__}")

    def _no_list(self, stage: PlannedStage, what: str) -> NoList:
        return NoList(
            f"{stage.id} is mapped over {stage.node.over}, which is {what}",
            "Only a list can be mapped over: return one from the stage before it, or give one.",
        )
