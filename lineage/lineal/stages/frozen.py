"""A graph as plain data and back: all that planning and a run of hits need, without the code that declared it.

`freeze` writes a traced graph as a sealed record, `thaw` reads it and imports nothing: values stay in their
type-tagged encoding, classes become their names, contracts their hashes. What executes stages, or decodes values by
the annotation of a stage, needs the code itself; it says so with `CodeNeeded`.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_args

import xxhash
from msgspec import Struct
from msgspec.structs import asdict

from lineal.artifacts import Directory, File, Secret
from lineal.artifacts.annotations import says_nothing, spelled
from lineal.artifacts.schema import Schema, describe
from lineal.artifacts.values import UnsupportedParameter, decode_value, encode_value
from lineal.errors import LinealError
from lineal.fingerprint.declared import entry_of
from lineal.fingerprint.sources import Sources
from lineal.stages.binding import without
from lineal.stages.conditions import AllOf, AnyOf, Comparison, Condition, Not, Truth
from lineal.stages.options import StageOptions
from lineal.stages.signature import Outputs, Port, Signature
from lineal.stages.wiring import Binding, Collection, Constant, Graph, Node, Result, Source
from lineal_store.canonical import encode
from lineal_store.sealed import seal, unseal

if TYPE_CHECKING:
    from lineal.stages.stage import Stage

FORMAT = 3
"""Raised when the same graph is written as other bytes."""

MAX_BYTES = 1 << 26

# The tags of values that can be made again without a class of the project, or a library, being imported.
_ALONE = frozenset({"date", "datetime", "time", "timedelta", "complex", "range", "decimal", "uuid", "path", "pure_path",
                    "file", "directory", "tuple", "set", "frozenset", "dict"})  # fmt: skip


class NotPlain(Exception):
    """The graph holds something that must not, or cannot, be written down; the message says what."""


class CodeNeeded(Exception):
    """The answer cannot be had from a graph that was read back: the project's code has to be imported."""


class Encoded(Struct, frozen=True):
    """A constant in its type-tagged encoding (`lineal.artifacts.values`), which is all that planning needs of it."""

    structure: Any


class Spelled(Struct, frozen=True):
    """An annotation by what `spelled` makes of it (nothing where it says nothing), and the classes in it by name."""

    text: str
    classes: tuple[str, ...]


class FrozenStage(Struct, frozen=True):
    """A stage as far as a graph that was read back knows it.

    The annotations in its ``signature`` are `Spelled` for outputs and missing for inputs; ``contracts`` has the
    hashes of their schemas, by port as `contracts_of` names it.
    """

    name: str
    module: str
    qualname: str
    signature: Signature
    contracts: Mapping[str, str]


# -- what planning asks of a declaration ------------------------------------------------------


def structure_of(value: object, name: str) -> Any:
    """The type-tagged encoding of a constant, called ``name`` in errors. UnsupportedParameter where it has none."""
    return value.structure if isinstance(value, Encoded) else encode_value(value, name=name)


def read_as(annotation: object) -> str:
    """The annotation in words, as a consumer's key holds it; nothing where it leaves the value's class open."""
    if isinstance(annotation, Spelled):
        return annotation.text
    return "" if says_nothing(annotation) else spelled(annotation)


def named_classes(annotation: object) -> Iterator[str]:
    """The classes in an annotation, as ``module:qualname``."""
    if isinstance(annotation, Spelled):
        yield from annotation.classes
        return
    pending = [annotation]
    while pending:
        found = pending.pop()
        arguments = get_args(found)
        if arguments:
            pending += arguments
        elif isinstance(found, type):
            yield f"{found.__module__}:{found.__qualname__}"


def contracts_of(stage: Stage[..., Any] | FrozenStage, known: dict[type[Schema], str]) -> Mapping[str, str]:
    """The hashes of the contracts of a stage's ports: ``name`` of a parameter, ``-> name`` of an output.

    ``known`` has those of schemas that have been worked out before.
    """
    if isinstance(stage, FrozenStage):
        return stage.contracts
    signature = stage.signature
    ports = [*signature.inputs.items()]
    ports += [(f"-> {name}", port) for name, port in signature.outputs.ports.items()]
    found = {}
    for name, port in ports:
        if port.schema is not None:
            if port.schema not in known:
                described = b"lineal schema 1\0" + encode(describe(port.schema))
                known[port.schema] = xxhash.xxh3_128_hexdigest(described)
            found[name] = known[port.schema]
    return found


# -- out --------------------------------------------------------------------------------------


def freeze(graph: Graph, sources: Sources) -> bytes:
    """``graph`` as a sealed record: equal for equal graphs. NotPlain where it holds what no record may hold.

    ``sources`` say what the items of ``depends_on`` stand for.
    """
    writer = _Writer(sources)
    try:
        return seal(writer.graph(graph), limit=MAX_BYTES)
    except (UnsupportedParameter, TypeError, ValueError) as error:
        raise NotPlain(str(error)) from None
    except LinealError as error:  # it is too large, or a contract cannot be described
        raise NotPlain(str(error)) from None


class _Writer:
    """Writes one graph; stages and options once each, however often they are called."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._stages: list[Any] = []
        self._options: list[Any] = []
        self._places: dict[tuple[object, ...], int] = {}
        self._schemas: dict[type[Schema], str] = {}

    def graph(self, graph: Graph) -> Any:
        for name, value in graph.parameters.items():
            if isinstance(value, Secret):
                raise NotPlain(f"the parameter {name} is a secret")
        nodes = [self._node(node) for node in graph.nodes.values()]
        return {
            "format": FORMAT,
            "pipeline": graph.pipeline,
            "parameters": [
                [name, encode_value(value, name=name)] for name, value in graph.parameters.items()
            ],
            "logical_date": encode_value(graph.logical_date),
            "timeout_seconds": graph.timeout_seconds,
            "stages": self._stages,
            "options": self._options,
            "nodes": nodes,
            "outputs": [[name, _binding(found, name)] for name, found in graph.outputs.items()],
        }

    def _node(self, node: Node) -> list[Any]:
        stage = node.stage
        at = self._place((stage.name, stage.module, stage.qualname, id(stage.signature)))
        if at == len(self._stages):
            self._stages.append(self._stage(stage))
        options = self._place((id(node.options),))
        if options == len(self._options):
            self._options.append(self._option_values(node.options))
        return [
            node.id,
            at,
            options,
            [[name, _binding(found, f"{name} of {node.id}")] for name, found in node.inputs.items()],
            [_condition(condition) for condition in node.conditions],
            node.over,
        ]

    def _place(self, key: tuple[object, ...]) -> int:
        """Where in its table the thing with this key is, or is to be."""
        table = self._options if len(key) == 1 else self._stages
        return self._places.setdefault(key, len(table))

    def _stage(self, stage: Stage[..., Any] | FrozenStage) -> dict[str, Any]:
        signature = stage.signature
        return {
            "name": stage.name,
            "module": stage.module,
            "qualname": stage.qualname,
            "inputs": [
                [port.name, port.optional, _binding(without(port), f"the default of {port.name}")]
                if port.has_default
                else [port.name, port.optional, None]
                for port in signature.inputs.values()
            ],
            "outputs": [
                [name, port.optional, read_as(port.annotation), list(named_classes(port.annotation))]
                for name, port in signature.outputs.ports.items()
            ],
            "returns": [signature.outputs.kind, *_name_of(signature.outputs.type)],
            "contracts": dict(contracts_of(stage, self._schemas)),
        }

    def _option_values(self, options: StageOptions) -> Any:
        values = asdict(options)
        values["depends_on"] = tuple(entry_of(each, self._sources) for each in options.depends_on)
        values["resources"] = dict(options.resources)
        return encode_value(values, name="options")


def _binding(binding: Binding, who: str) -> list[Any]:
    if isinstance(binding, Constant):
        if isinstance(binding.value, Secret):
            raise NotPlain(f"{who} is a secret")
        return ["constant", encode_value(binding.value, name=who)]
    if isinstance(binding, Result):
        return ["result", binding.node, binding.output, list(binding.path)]
    if isinstance(binding, Source):
        kinds = {File: "file", Directory: "directory"}
        kind = kinds.get(type(binding.value))
        if kind is None or binding.value.is_held:
            raise NotPlain(f"{who} is {binding.value!r}, which lies somewhere special")
        return ["source", kind, binding.value.url]
    assert isinstance(binding, Collection)  # items are there in runs alone
    cls = binding.type
    if cls is not None and "<locals>" in cls.__qualname__:
        raise NotPlain(f"{who} is of the local class {cls.__qualname__}")
    return [
        "collection",
        binding.kind,
        [[_plain(key, who), _binding(item, who)] for key, item in binding.items],
        None if cls is None else _name_of(cls),
    ]


def _name_of(cls: type | None) -> list[str]:
    return [] if cls is None else [cls.__module__, cls.__qualname__]


def _condition(condition: Condition) -> list[Any]:
    if isinstance(condition, Comparison):
        return ["compare", condition.op, _operand(condition.left), _operand(condition.right)]
    if isinstance(condition, Truth):
        return ["truth", _operand(condition.value)]
    if isinstance(condition, Not):
        return ["not", _condition(condition.condition)]
    word = "all" if isinstance(condition, AllOf) else "any"
    return [word, [_condition(one) for one in condition.conditions]]


def _operand(binding: Binding) -> list[Any]:
    if isinstance(binding, Constant):
        return ["constant", _plain(binding.value, "a condition")]
    if isinstance(binding, Result):
        return _binding(binding, "a condition")
    raise NotPlain(f"a condition compares {binding!r}")


def _plain(value: object, who: str) -> Any:
    """The encoding of a value that is used as it is, not only passed on: it has to come back the same."""
    structure = encode_value(value, name=who)
    if not _decodes_alone(structure):
        raise NotPlain(f"{who} holds {value!r}, which only the project's code can make")
    return structure


def _decodes_alone(structure: Any) -> bool:
    """Whether the value can be made again without importing anything that has to be looked for."""
    pending = [structure]
    while pending:
        found = pending.pop()
        if isinstance(found, list):
            pending += found
        elif isinstance(found, dict):
            if not found.keys() <= _ALONE:
                return False
            pending += found.values()
    return True


# -- back -------------------------------------------------------------------------------------


def thaw(data: bytes) -> Graph:
    """The graph that `freeze` wrote. ValueError for any other bytes."""
    try:
        return _graph(unseal(data, what="a cached graph", limit=MAX_BYTES))
    except (LinealError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"this is no graph: {error}") from None


def _graph(record: Any) -> Graph:
    if record["format"] != FORMAT:
        raise ValueError(f"its format is {record['format']}")
    stages = [_frozen_stage(each) for each in record["stages"]]
    options = [_options(each) for each in record["options"]]
    nodes = {}
    for node_id, at, options_at, inputs, conditions, over in record["nodes"]:
        nodes[node_id] = Node(
            node_id,
            stages[at],
            options[options_at],
            {name: _bound(found) for name, found in inputs},
            tuple(_decided(each) for each in conditions),
            over,
        )
    return Graph(
        record["pipeline"],
        {name: _parameter(structure) for name, structure in record["parameters"]},
        nodes,
        {name: _bound(found) for name, found in record["outputs"]},
        decode_value(record["logical_date"]),
        record["timeout_seconds"],
    )


def _frozen_stage(record: Any) -> FrozenStage:
    inputs = {
        name: Port(
            name, None, optional, None, default is not None, None if default is None else _bound(default)
        )
        for name, optional, default in record["inputs"]
    }
    outputs = {
        name: Port(name, Spelled(text, tuple(classes)), optional, None)
        for name, optional, text, classes in record["outputs"]
    }
    kind, *cls = record["returns"]
    returned = Outputs(kind, outputs, _stand_in(*cls) if cls else None)
    signature = Signature(inputs, returned, len(inputs), 0, {})
    return FrozenStage(record["name"], record["module"], record["qualname"], signature, record["contracts"])


def _options(structure: Any) -> StageOptions:
    values = decode_value(structure)
    values["depends_on"] = tuple(
        f"{module}:{name}" if name else _module(module) for module, name in values["depends_on"]
    )
    return StageOptions(**values)


@functools.cache
def _module(name: str) -> types.ModuleType:
    """Stands for a module as a whole; one object each, so that options with it stay equal."""
    return types.ModuleType(name)


def _parameter(structure: Any) -> object:
    return decode_value(structure) if _decodes_alone(structure) else Encoded(structure)


def _bound(found: Any) -> Binding:
    match found:
        case ["constant", structure]:
            return Constant(Encoded(structure))
        case ["result", str(node), str(output), list(path)]:
            return Result(node, output, tuple(path))
        case ["source", "file", str(url)]:
            return Source(File(url))
        case ["source", "directory", str(url)]:
            return Source(Directory(url))
        case ["collection", kind, items, cls]:
            pairs = tuple((decode_value(key), _bound(item)) for key, item in items)
            return Collection(kind, pairs, None if cls is None else _stand_in(*cls))
    raise ValueError("it has a binding of an unknown kind")


@functools.cache
def _stand_in(module: str, qualname: str) -> type:
    """A class that is nothing but its name; one object each."""
    return type(qualname.rpartition(".")[2], (), {"__module__": module, "__qualname__": qualname})


def _decided(found: Any) -> Condition:
    match found:
        case ["compare", op, left, right]:
            return Comparison(op, _operand_of(left), _operand_of(right))
        case ["truth", value]:
            return Truth(_operand_of(value))
        case ["not", condition]:
            return Not(_decided(condition))
        case ["all", list(conditions)]:
            return AllOf(tuple(_decided(each) for each in conditions))
        case ["any", list(conditions)]:
            return AnyOf(tuple(_decided(each) for each in conditions))
    raise ValueError("it has a condition of an unknown kind")


def _operand_of(found: Any) -> Binding:
    return Constant(decode_value(found[1])) if found[0] == "constant" else _bound(found)
