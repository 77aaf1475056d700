"""Which stages of a traced graph are executed again, and why which are not: decided by the graph alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from msgspec.structs import replace as replace_fields

from lineal.artifacts import Directory, File, Secret
from lineal.engine.plan import ancestors
from lineal.reproduce.job import HeldSource
from lineal.stages import Graph, Node
from lineal.stages.wiring import Binding, Constant, Result, Source, leaves
from lineal.stages.wiring import Collection as Several

NO_SECRET = "***"
"""What a run records of a secret."""


@dataclass(frozen=True, slots=True)
class Selection:
    """``graph`` holds the stages to execute and nothing else; ``left_out`` says why others are not, by id."""

    graph: Graph
    left_out: Mapping[str, str]
    effects: tuple[str, ...]


def select_stages(
    graph: Graph, wanted: Collection[str], sources: Iterable[HeldSource], *, changed: bool = False
) -> Selection:
    """The stages that ``wanted`` (all of them where it is empty) are made by, with ``sources`` in place of the outside world.

    Effects are left out, and what needs them; where one is wanted, what it was given is. So is what needs a secret, which no record
    has, or data that was not recorded. ``changed`` says that the graph need not be the recorded one.
    """
    there = [name for name in wanted or graph.nodes if name in graph.nodes]
    needed = ancestors(graph, _what_effects_take(graph, there))
    held = _Held(sources, changed=changed)
    left_out = {name: "the pipeline does not call it this time" for name in wanted if name not in graph.nodes}
    effects: list[str] = []
    kept: dict[str, Node] = {}
    for stage_id in graph.order:
        if stage_id not in needed:
            continue
        node = graph.nodes[stage_id]
        before = next((parent for parent in graph.parents(stage_id) if parent not in kept), None)
        if node.options.effect:
            effects.append(stage_id)
            left_out[stage_id] = "effects are never executed"
        elif before is not None:
            left_out[stage_id] = f"it needs {before}, which is not executed: {left_out[before]}"
        else:
            inputs, problem = held.inputs(node)
            if problem is None:
                # Neither the outside world nor its limits are asked.
                options = replace_fields(node.options, version_of=None, limit=None)
                kept[stage_id] = replace_fields(node, inputs=inputs, options=options)
            else:
                left_out[stage_id] = problem
    outputs = {
        name: binding
        for name, binding in graph.outputs.items()
        if all(leaf.node in kept for leaf in leaves(binding) if isinstance(leaf, Result))
    }
    return Selection(replace(graph, nodes=kept, outputs=outputs), left_out, tuple(effects))


def _what_effects_take(graph: Graph, wanted: Iterable[str]) -> list[str]:
    """``wanted``, with the stages that effects among them take from in their place."""
    found: dict[str, None] = {}
    pending = list(wanted)
    while pending:
        stage_id = pending.pop()
        if stage_id not in found:
            found[stage_id] = None
            if graph.nodes[stage_id].options.effect:
                pending.extend(graph.parents(stage_id))
    return list(found)


class _Held:
    """Puts recorded content in the place of sources."""

    def __init__(self, sources: Iterable[HeldSource], *, changed: bool) -> None:
        self._changed = changed
        self._by_port: dict[tuple[str, str], HeldSource] = {}
        self._by_url: dict[str, HeldSource] = {}
        for source in sources:
            self._by_port[source.stage, source.port] = source
            self._by_url[source.url] = source

    def inputs(self, node: Node) -> tuple[Mapping[str, Binding], str | None]:
        """What ``node`` takes; and what is the matter, where it cannot be had."""
        problems: list[str] = []

        def held(stage_id: str, port: str, binding: Binding) -> Binding:
            if isinstance(binding, Several):
                each: list[tuple[object, Binding]] = []
                for place, (key, item) in enumerate(binding.items):
                    at = key if key is not None else place
                    if port == node.over and stage_id == node.id:
                        each.append((key, held(f"{node.id}[{place}]", port, item)))
                    else:
                        each.append((key, held(stage_id, f"{port}[{at!r}]", item)))
                return replace_fields(binding, items=tuple(each))
            if isinstance(binding, Source):
                return Source(self._find(stage_id, port, binding.value, problems.append))
            if isinstance(binding, Constant) and binding.value == Secret(NO_SECRET):
                problems.append(f"it needs the secret {port}, which no record has")
            return binding

        inputs = {port: held(node.id, port, binding) for port, binding in node.inputs.items()}
        return inputs, problems[0] if problems else None

    def _find(
        self, stage_id: str, port: str, value: File | Directory, tell: Callable[[str], None]
    ) -> File | Directory:
        # A hit has the address that the run which executed it took the same content from.
        source = self._by_port.get((stage_id, port))
        if source is None or (self._changed and source.url != value.url):
            source = self._by_url.get(value.url)
        if source is None:
            tell(f"it takes {value.url}, which that run did not")
            return value
        return type(value).held(value.url, source.path)
