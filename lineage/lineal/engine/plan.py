"""From a traced graph to what the engine works on: every stage with its identity, before any input is known."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import replace as replace_fields

from lineal.artifacts import Secret
from lineal.artifacts.files import ending
from lineal.artifacts.schema import Schema
from lineal.artifacts.values import UnsupportedParameter, encode_value, find_names
from lineal.engine.machine import Task
from lineal.executors.protocol import Argument, Given, Held, Hidden, Items
from lineal.fingerprint import BlindSpot, Fingerprint, Fingerprinter
from lineal.graph.records import (
    Action,
    CoveredUnit,
    Input,
    Manifest,
    Origin,
    Output,
    SeenBlindSpot,
)
from lineal.stages import Graph, Node, Stage, StageOptions
from lineal.stages.binding import check_argument, without
from lineal.stages.errors import StageDefinitionError
from lineal.stages.frozen import FrozenStage, contracts_of, read_as, structure_of
from lineal.stages.wiring import Binding, Collection, Constant, Item, Result, Source, leaves

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class PlannedStage(Struct, frozen=True, dict=True):
    """One stage of the graph with the parts of its action that do not depend on inputs."""

    node: Node
    module: str
    fingerprint: Fingerprint
    environment: Mapping[str, str]
    schemas: Mapping[str, str]
    task: Task
    twin: PlannedStage | None = None
    """Another one with the same code, of whose manifest this one's is."""

    @property
    def id(self) -> str:
        return self.node.id

    @property
    def name(self) -> str:
        return self.node.stage.name

    @property
    def call(self) -> str:
        """The id of the call in the pipeline's function: of one item of a mapped stage, that of the whole."""
        return self.node.group or self.node.id

    @property
    def options(self) -> StageOptions:
        return self.node.options

    @cached_property
    def manifest(self) -> Manifest:
        if self.twin is not None:
            return self.twin.manifest
        found = self.fingerprint
        return Manifest(
            hex=found.hex,
            units=[CoveredUnit(unit.unit, unit.file, unit.line, unit.hash) for unit in found.covers],
            blind_spots=[
                SeenBlindSpot(spot.kind, spot.detail, spot.file, spot.line)
                for spot in open_spots(found, self.options.env)
            ],
            distributions=dict(found.distributions),
        )

    @property
    def seeded(self) -> tuple[str, ...]:
        """Libraries with global random generators that the stage's code reaches."""
        return tuple(name for name in ("numpy", "torch") if name in self.fingerprint.distributions)


def open_spots(found: Fingerprint, variables: Sequence[str]) -> list[BlindSpot]:
    """What the fingerprint cannot see, without those environment ``variables``: they are declared, and part of the key."""
    return [spot for spot in found.blind_spots if spot.kind != "environment" or spot.detail not in variables]


class Plan(Struct, frozen=True):
    """The stages of a run in an order in which parents come first.

    More come in while a run expands mapped stages. ``code_of`` gives the fingerprint of an object by ``module:qualname``; None where it is not the project's.
    """

    graph: Graph
    stages: dict[str, PlannedStage]
    code_of: Callable[[str], Fingerprint | None]


class Supply(Struct, frozen=True):
    """An upstream output on its way to a port, and the planned stage that declares it.

    ``names`` are the objects that its bytes need to be read, as ``module:qualname``.
    """

    output: Output
    origin: Origin
    producer: PlannedStage
    names: tuple[str, ...] = ()


class Bound(Struct):
    """A stage's arguments as a worker takes them, and what they contribute to the action."""

    arguments: dict[str, Argument] = {}  # a Struct gives each its own
    inputs: dict[str, Input] = {}
    parameters: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    code: dict[str, str] = {}
    environment: dict[str, str] = {}


def plan_run(
    graph: Graph,
    fingerprinter: Fingerprinter,
    *,
    module: str,
    only: Sequence[str] | None = None,
    variables: Mapping[str, str] = os.environ,
) -> Plan:
    """Give every stage its fingerprint, contracts and declared environment; reads source code, and nothing else.

    ``module`` is the importable name of the one that declares the pipeline: it is imported first, and may be what runs
    as ``__main__``. ``only`` leaves the other stages out; it must hold the ancestors of each that it names.
    ``variables`` is the environment that the stages will find.
    """
    contracts: dict[type[Schema], str] = {}
    identities: dict[tuple[object, ...], tuple[Fingerprint, Mapping[str, str]]] = {}
    twins: dict[tuple[object, ...], PlannedStage] = {}
    wanted = None if only is None else set(only)
    stages: dict[str, PlannedStage] = {}
    for stage_id in graph.order:
        if wanted is not None and stage_id not in wanted:
            continue
        node = graph.nodes[stage_id]
        options, stage = node.options, node.stage
        if not isinstance(stage, FrozenStage):  # those were looked for when the graph was traced
            check_findable(stage)
        home = module if stage.module == "__main__" else stage.module
        known = (home, stage.qualname, options.reads, options.depends_on)
        if known not in identities:
            found = fingerprinter.stage(
                home, stage.qualname, reads=options.reads, depends_on=options.depends_on, beside=(module,)
            )
            identities[known] = found, contracts_of(stage, contracts)
        fingerprint, schemas = identities[known]
        twin = twins.get((known, options.env))
        environment = _environment(options.env, variables)
        planned = PlannedStage(node, home, fingerprint, environment, schemas, task_of(node), twin)
        twins.setdefault((known, options.env), planned)
        stages[stage_id] = planned
    return Plan(graph, stages, _NamedCode(fingerprinter, module))


def check_findable(stage: Stage[..., Any]) -> None:
    """A stage has to be what its module calls by its name: workers find it so, and its fingerprint is made so."""
    found: Any = sys.modules.get(stage.module)
    for part in stage.qualname.split("."):
        found = getattr(found, part, None)
    if found is stage.function or (isinstance(found, Stage) and found.function is stage.function):
        return
    raise StageDefinitionError(
        f"the stage {stage.name} is not what {stage.module} calls {stage.qualname}",
        "Define stages at the top level of a module, each under a name of its own. To decorate a function further, "
        "put the decorator under @stage.",
    )


def ancestors(graph: Graph, stage_ids: Sequence[str]) -> set[str]:
    """``stage_ids`` and all that they depend on."""
    found: set[str] = set()
    pending = list(stage_ids)
    while pending:
        stage_id = pending.pop()
        if stage_id not in found:
            found.add(stage_id)
            pending.extend(graph.parents(stage_id))
    return found


def bind(
    stage: PlannedStage,
    supply_of: Callable[[Result], Supply | None],
    source_of: Callable[[Source], tuple[Held, Origin]],
    code_of: Callable[[str], Fingerprint | None],
    part_of: Callable[[Result], Binding] = lambda result: result,
) -> Bound:
    """The stage's arguments, now that its inputs are known; ``supply_of`` answers None for what was skipped.

    ``part_of`` says what a result is that lies within the list of a mapped stage; any other is itself.
    """
    bound, called = Bound(), stage.node.stage

    def argument(port: str, binding: Binding) -> Argument:
        match binding:
            case Constant(value):
                if isinstance(value, Secret):
                    return Hidden(value)
                return given(port, value)
            case Collection(kind, items):
                # brackets cannot be part of a parameter's name, so no two entries are confused
                shape = [kind, *(encode_value(key) for key, _ in items)]
                if binding.type is not None:
                    shape.append(class_of(port, binding.type))
                bound.parameters[f"{port}[]"] = shape
                places = (key if key is not None else place for place, (key, _) in enumerate(items))
                parts = tuple(
                    (key, argument(f"{port}[{at!r}]", item))
                    for at, (key, item) in zip(places, items, strict=True)
                )
                return Items(kind, parts, binding.type)
            case Source():
                held, origin = source_of(binding)
                return taken(port, held, origin, held.suffix)
            case Item(value, of):
                if not isinstance(called, FrozenStage):
                    check_argument(
                        f"stage {stage.id}", called.signature.inputs[port], called.signature, value
                    )
                supply = supply_of(of)
                assert supply is not None
                bound.origins[port] = replace_fields(supply.origin, digest=supply.output.digest)
                return given(port, value)
            case Result():
                part = part_of(binding)
                if part is not binding:
                    return argument(port, part)
                supply = supply_of(binding)
                if supply is None:
                    declared = called.signature.inputs.get(port)
                    return given(port, None) if declared is None else argument(port, without(declared))
                for name in supply.names:
                    reached(name)
                held = _held(binding, supply)
                return taken(port, held, supply.origin, _read_as(binding, supply))

    def given(port: str, value: object) -> Given:
        encoded = bound.parameters[port] = structure_of(value, port)
        for kind, name in find_names(encoded):
            if kind != "class":
                raise UnsupportedParameter(
                    port,
                    f"holds the {kind} {name} where its content cannot be taken in",
                    "Pass files and directories as parameters of their own, or in lists, tuples or values of dicts.",
                )
            reached(name)
        return Given(encoded)

    def class_of(port: str, cls: type) -> str:
        if "<locals>" in cls.__qualname__:
            raise UnsupportedParameter(
                port,
                f"is of the local class {cls.__qualname__}, which no worker could find",
                "Move the class to the top level of its module.",
            )
        name = f"{cls.__module__}:{cls.__qualname__}"
        reached(name)
        return name

    def reached(name: str) -> None:
        """Let the code of a class that a value is made of count: its methods are part of what the stage is given."""
        code = code_of(name)
        if code is not None:
            bound.code[name] = code.hex

    def taken(port: str, held: Held, origin: Origin, read_as: str = "") -> Held:
        bound.inputs[port] = Input(digest=held.digest, type=held.type, read_as=read_as, item=list(held.item))
        bound.origins[port] = origin
        return held

    for name, binding in stage.node.inputs.items():
        bound.arguments[name] = argument(name, binding)
    return bound


def action_of(stage: PlannedStage, bound: Bound) -> Action:
    """What is asked for: the identity under which the result is filed."""
    return Action(
        stage=stage.node.stage.qualname,
        fingerprint=stage.fingerprint.hex,
        inputs=bound.inputs,
        parameters=bound.parameters,
        environment={**stage.environment, **bound.environment},
        schemas=dict(stage.schemas),
        code=bound.code,
        version=stage.options.version,
    )


def _held(result: Result, supply: Supply) -> Held:
    output, stage = supply.output, supply.producer.node.stage
    return Held(
        output.digest,
        output.type,
        tuple(result.path),
        None,
        ending_of(output),
        (supply.producer.module, stage.qualname, result.output),
        output.inline,
    )


def ending_of(output: Output) -> str:
    """How the name of a file ends that a stage returned."""
    name = output.description.get("file_name")
    return ending(name) if isinstance(name, str) else ""


def _read_as(result: Result, supply: Supply) -> str:
    """The annotation that JSON is read by, or how a file's name ends; other formats know from their bytes what they hold."""
    ports = supply.producer.node.stage.signature.outputs.ports
    if supply.output.type == "list":
        return ", ".join(f"{name}: {read_as(port.annotation)}" for name, port in ports.items())
    if supply.output.type != "json":
        return ending_of(supply.output)
    return read_as(ports[result.output].annotation)


class _NamedCode:
    """Fingerprints of objects by ``module:qualname``, each made once."""

    def __init__(self, fingerprinter: Fingerprinter, main_module: str) -> None:
        self._fingerprinter, self._main_module = fingerprinter, main_module
        self._known: dict[str, Fingerprint | None] = {}

    def __call__(self, name: str) -> Fingerprint | None:
        if name not in self._known:
            module, _, qualname = name.partition(":")
            module = self._main_module if module == "__main__" else module
            ours = self._fingerprinter.sources.find(module) is not None
            self._known[name] = self._fingerprinter.stage(module, qualname) if ours else None
        return self._known[name]


def task_of(node: Node) -> Task:
    """What the machine has to know of a node."""
    ports = node.stage.signature.inputs
    parents = tuple(dict.fromkeys(result.node for result in node.references()))
    required = {reference.node for condition in node.conditions for reference in condition.references()}
    tolerated, over = set(), None
    for name, binding in node.inputs.items():
        named = {leaf.node for leaf in leaves(binding) if isinstance(leaf, Result)}
        if name == node.over and isinstance(binding, Result) and not binding.path:
            over = binding.node
        elif (ports[name].optional or ports[name].has_default) and isinstance(binding, Result):
            tolerated |= named
        else:
            required |= named
    retries = node.options.retries if not node.options.effect or node.options.idempotent else 0
    return Task(
        node.id,
        parents,
        frozenset(tolerated - required - {over}),
        retries + 1,
        over if over not in required | tolerated else None,
    )


def _environment(declared: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """Python's minor version, and the declared variables (one that is not set is left out)."""
    return {"python": PYTHON, **{f"${name}": variables[name] for name in declared if name in variables}}
