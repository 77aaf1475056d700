"""The graph that a pipeline's tracing leaves behind: plain, frozen values.

A graph says which stage is called with what, and under which conditions. It holds no promise, runs
nothing, and reads nothing. What a node takes is a binding, a tree whose leaves are constants,
results of other nodes, and sources (outside data).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from lineal.stages.errors import GraphError
from lineal.stages.names import nearest_hint

if TYPE_CHECKING:
    from lineal.artifacts import Directory, File
    from lineal.stages.conditions import Condition
    from lineal.stages.frozen import FrozenStage
    from lineal.stages.options import StageOptions
    from lineal.stages.signature import Port
    from lineal.stages.stage import Stage


class Constant(Struct, frozen=True):
    """A value that is known when the pipeline is traced."""

    value: object


class Result(Struct, frozen=True):
    """What another node returns: its output ``output``, then the item at ``path`` within it."""

    node: str
    output: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        named = self.node if self.output == "result" else f"{self.node}.{self.output}"
        return named + "".join(f"[{key!r}]" for key in self.path)


class Source(Struct, frozen=True):
    """Data from outside: its content, read when the run is planned, is the input."""

    value: File | Directory


class Item(Struct, frozen=True):
    """One item of the list ``of``, by its value: an item is what it is, whatever stands beside it in the list.

    Only runs have them, once a list is there; a traced graph has none.
    """

    value: object
    of: Result


CollectionKind: TypeAlias = Literal["list", "tuple", "dict", "namedtuple", "dataclass"]


class Collection(Struct, frozen=True):
    """Several bindings passed as one value, at least one of them not a constant.

    ``items`` are (key, binding) in order. The key is None in a list or tuple, the dict's key in a
    dict, the field's name in a NamedTuple or dataclass, whose class is ``type`` (None otherwise).
    """

    kind: CollectionKind
    items: tuple[tuple[object, Binding], ...]
    type: type | None = None

    def build(self, values: Sequence[object]) -> object:
        """The collection that holds ``values`` in the places of its bindings, in their order."""
        if self.kind == "list":
            return list(values)
        if self.kind == "tuple":
            return tuple(values)
        if self.kind == "dict":
            return {key: value for (key, _), value in zip(self.items, values, strict=True)}
        assert self.type is not None
        if self.kind == "namedtuple":
            return tuple.__new__(self.type, values)
        return fill_dataclass(
            self.type, ((str(key), v) for (key, _), v in zip(self.items, values, strict=True))
        )


Binding: TypeAlias = Constant | Result | Source | Item | Collection
Leaf: TypeAlias = Constant | Result | Source | Item


def fill_dataclass(cls: type, values: Iterable[tuple[str, object]]) -> object:
    """An instance with these fields, made as unpickling makes it: neither __init__ nor __post_init__ runs."""
    instance: Any = object.__new__(cls)
    for name, value in values:
        object.__setattr__(instance, name, value)  # frozen ones too
    return instance


def leaves(binding: Binding) -> Iterator[Leaf]:
    """What a binding is made of, in order."""
    if not isinstance(binding, Collection):
        yield binding
        return
    pending: list[Binding] = [binding]
    while pending:
        found = pending.pop()
        if isinstance(found, Collection):
            pending.extend(item for _, item in reversed(found.items))
        else:
            yield found


def resolve(binding: Binding, value_of: Callable[[Result | Source], object]) -> object:
    """The value of a binding, given those of the results and sources in it.

    ``value_of`` answers for a result as a whole binding: its path is its own affair (see `follow`).
    """
    if isinstance(binding, (Constant, Item)):
        return binding.value
    if isinstance(binding, Collection):
        return binding.build([resolve(item, value_of) for _, item in binding.items])
    return value_of(binding)


class Node(Struct, frozen=True):
    """One call of a stage. ``inputs`` has every parameter, defaults included, in declared order.

    It runs when all of its conditions hold. Of a graph that was read back, ``stage`` is no more than what is known
    of it. With ``over`` the stage is mapped: it is called once for each item of the list that this parameter is bound to, and
    the node's only output is the list of what the calls return. Each of these calls is a node whose ``group`` is the mapped
    one; they are there when a run has the list.
    """

    id: str
    stage: Stage[..., Any] | FrozenStage
    options: StageOptions
    inputs: Mapping[str, Binding]
    conditions: tuple[Condition, ...] = ()
    over: str | None = None
    group: str | None = None

    @property
    def outputs(self) -> Mapping[str, Port]:
        """What it returns, by name."""
        outputs = self.stage.signature.outputs
        return outputs.ports if self.over is None else {"result": outputs.listed}

    def references(self) -> Iterator[Result]:
        """The results it depends on: those of its inputs, then those of its conditions."""
        for binding in self.inputs.values():
            if type(binding) is Result:
                yield binding
            elif type(binding) is Collection:
                for leaf in leaves(binding):
                    if isinstance(leaf, Result):
                        yield leaf
            elif type(binding) is Item:
                yield binding.of
        for condition in self.conditions:
            yield from condition.references()


@dataclass(frozen=True, slots=True)
class Graph:
    """Every call of every stage that a pipeline makes with these parameters.

    ``nodes`` are in call order. ``outputs`` is what the pipeline returned, by name; ``logical_date``
    is the date that the run is for, or None; ``timeout_seconds`` is how long a run may take, or None.
    """

    pipeline: str
    parameters: Mapping[str, object]
    nodes: Mapping[str, Node]
    outputs: Mapping[str, Binding]
    logical_date: date | None = None
    timeout_seconds: float | None = None
    _parents: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def parents(self, node_id: str) -> tuple[str, ...]:
        """The nodes whose results this one needs for its inputs or its conditions, each once."""
        found = self._parents.get(node_id)
        if found is None:
            unique = dict.fromkeys(result.node for result in self.nodes[node_id].references())
            found = self._parents[node_id] = tuple(unique)
        return found

    @property
    def order(self) -> tuple[str, ...]:
        """Node ids, every node after its parents: call order, wherever that will do.

        GraphError where the nodes depend on one another in a circle.
        """
        seen: set[str] = set()
        for node_id in self.nodes:
            if not seen.issuperset(self.parents(node_id)):
                return tuple(self._sorted())
            seen.add(node_id)
        return tuple(self.nodes)

    def check(self) -> None:
        """Raise GraphError unless every reference is to a node and an output there is, without a circle."""
        for node_id, node in self.nodes.items():
            for result in node.references():
                self._check_reference(result, f"stage {node_id}")
        for name, binding in self.outputs.items():
            for leaf in leaves(binding):
                if isinstance(leaf, Result):
                    self._check_reference(leaf, f"output {name}")
        _ = self.order

    def _check_reference(self, result: Result, who: str) -> None:
        node = self.nodes.get(result.node)
        if node is None:
            raise GraphError(
                f"{who} of pipeline {self.pipeline} needs {result}, and there is no stage {result.node}",
                nearest_hint(result.node, self.nodes),
            )
        outputs = node.outputs
        if result.output not in outputs:
            raise GraphError(
                f"{who} of pipeline {self.pipeline} needs {result}, and {result.node} has no output {result.output}",
                nearest_hint(result.output, outputs),
            )

    def _sorted(self) -> Iterator[str]:
        """Depth first without recursion, so that a chain may be as long as memory allows."""
        done: set[str] = set()
        path: dict[str, Iterator[str]] = {}  # the nodes being visited, each with the parents still to see
        for root in self.nodes:
            if root in done:
                continue
            path[root] = iter(self.parents(root))
            while path:
                node_id, parents = next(reversed(path.items()))
                parent = next(parents, None)
                if parent is None:
                    del path[node_id]
                    done.add(node_id)
                    yield node_id
                elif parent in path:
                    raise self._circle([*path], parent)
                elif parent not in done:
                    path[parent] = iter(self.parents(parent))

    def _circle(self, path: list[str], start: str) -> GraphError:
        # The path leads from a stage to what it needs; people read from cause to effect.
        circle = [start, *reversed(path[path.index(start) :])]
        return GraphError(
            f"the stages of pipeline {self.pipeline} depend on one another in a circle: {' -> '.join(circle)}",
            "Each arrow leads from a stage to one that needs its result: remove one of them.",
        )
