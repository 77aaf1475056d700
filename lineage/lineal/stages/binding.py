"""From the arguments of a traced call to bindings, and from outputs to promises."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

from lineal.artifacts import Directory, File, Secret
from lineal.artifacts.annotations import bare, class_of, union_members
from lineal.stages.annotations import describe, disjoint
from lineal.stages.errors import WiringError
from lineal.stages.promise import Promise, PromisedCondition
from lineal.stages.signature import Outputs, Port, Signature
from lineal.stages.tracing import Tracer
from lineal.stages.wiring import Binding, Collection, CollectionKind, Constant, Result, Source

# What most arguments are, and what can neither be changed later nor hide a promise.
_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})

MAX_DEPTH = 64  # that of a canonical record, which is what a constant will become


def bind(value: object, who: str) -> Binding:
    """The binding of one argument. ``who`` is the stage and parameter, for errors.

    Lists, tuples and dicts are copied, so that changing them later changes nothing that was wired.
    """
    return _bind(value, who, 0)


def check_argument(who: str, port: Port, signature: Signature, value: object) -> None:
    """Raise WiringError where ``value``, a constant or a promise, is surely of the wrong type for the port."""
    problem = mismatch(port, signature, value)
    if problem is not None:
        raise WiringError(
            f"{who} takes {port.name} as {describe(port.annotation)}, not {problem[0]}", problem[1]
        )


def mismatch(port: Port, signature: Signature, value: object) -> tuple[str, str | None] | None:
    """What ``value`` is and a hint, where it is surely of the wrong type for the port."""
    if type(value) is Promise:
        given = value._annotation
        if given is Any or given is port.annotation or not disjoint(given, port.annotation):
            return None
        return f"{describe(given)}, which {value!r} is", None
    check = signature.checks.get(port.name)
    if check is None or check(value):
        return None
    if value is None:
        return "None", f"If it may be absent, annotate it `{describe(port.annotation)} | None`."
    wrappers = [one for one in union_members(port.annotation) if one in (File, Directory, Secret)]
    if isinstance(value, str) and wrappers:
        return "str", f"Write {describe(wrappers[0])}(...) around it."
    return type(value).__name__, None


def without(port: Port) -> Binding:
    """What a parameter is bound to whose argument was skipped: None where it takes that, else its default."""
    if port.optional:
        return Constant(None)
    default = port.default
    return default if isinstance(default, Binding) else bind(default, f"the default of {port.name}")


def check_items(who: str, port: Port, signature: Signature, items: object) -> None:
    """Raise WiringError unless ``items`` is, or promises, a list of what the port may be given."""
    if not isinstance(items, Promise):
        if not isinstance(items, list):
            raise WiringError(
                f"{who} is mapped over a {type(items).__name__}, which is no list of items",
                "Give a list, or what a stage returns that is annotated as a list.",
            )
        for item in items:
            if isinstance(item, Secret):
                raise WiringError(
                    f"{who} is mapped over secrets, which are no part of what is asked for: all items would be one",
                    "Map over what they are for, and let the stage take the secrets after that.",
                )
            check_argument(who, port, signature, item)
        return
    given = items._annotation
    if disjoint(class_of(given) or given, list):
        raise WiringError(
            f"{who} is mapped over {items!r}, which is {describe(given)}",
            "Only a list can be mapped over: annotate what its stage returns as list[...], and return one.",
        )
    of_each = get_args(bare(given))
    if of_each and disjoint(of_each[0], port.annotation):
        raise WiringError(
            f"{who} takes {port.name} as {describe(port.annotation)}, not {describe(of_each[0])}, which {items!r} holds"
        )


def promises(outputs: Outputs, tracer: Tracer, node_id: str) -> object:
    """What a traced call returns: one promise, or the declared kind of collection, of promises."""
    return outputs.assemble(
        [Promise(tracer, Result(node_id, name), port.annotation) for name, port in outputs.ports.items()]
    )


def _bind(value: Any, who: str, depth: int) -> Binding:
    kind = type(value)
    if kind in _SCALARS:
        return Constant(value)
    if kind is Promise:
        value.check_live()
        return value._result  # type: ignore[no-any-return]
    if isinstance(value, File | Directory):
        return Source(value)
    if depth > MAX_DEPTH:
        raise WiringError(f"{who} is nested more than {MAX_DEPTH} levels deep", "Does it contain itself?")
    if kind is list or kind is tuple:
        if _SCALARS.issuperset(map(type, value)):  # long lists of numbers are common, and need no second look
            return Constant(kind(value))
        return _collected(
            "list" if kind is list else "tuple", [(None, one) for one in value], value, who, depth
        )
    if kind is dict:
        if any(isinstance(key, Promise | PromisedCondition) for key in value):
            raise WiringError(f"{who} has a promise as a key of a dict", "Keys must be constants.")
        return _collected("dict", list(value.items()), value, who, depth)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _collected("namedtuple", list(zip(value._fields, value, strict=True)), value, who, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [
            (one.name, getattr(value, one.name))
            for one in dataclasses.fields(value)
            if hasattr(value, one.name)
        ]
        return _collected("dataclass", fields, value, who, depth)
    _refuse_hidden_promise(value, who)
    return Constant(value)


def _collected(
    kind: CollectionKind, items: list[tuple[Any, object]], value: object, who: str, depth: int
) -> Binding:
    bound = tuple((key, _bind(item, who, depth + 1)) for key, item in items)
    collection = Collection(kind, bound, type(value) if kind in ("namedtuple", "dataclass") else None)
    constants = [item.value for _, item in bound if isinstance(item, Constant)]
    if len(constants) < len(bound):
        return collection
    return Constant(value if kind == "dataclass" else collection.build(constants))


def _refuse_hidden_promise(value: object, who: str) -> None:
    """Find the promises that can be found where they cannot be bound."""
    if isinstance(value, PromisedCondition):
        raise WiringError(f"{who} is {value!r}, which is no value", "A condition is for `with when(...)`.")
    inside: list[object] = []
    if isinstance(value, set | frozenset | list | tuple):
        inside = list(value)
    elif isinstance(value, dict):
        inside = [*value, *value.values()]
    elif not isinstance(value, type):
        inside = list(getattr(value, "__dict__", {}).values())
    if any(type(one) is Promise for one in inside):
        raise WiringError(
            f"{who} is a {type(value).__name__} with a promise inside",
            "Promises may be nested in lists, tuples, dicts, NamedTuples and dataclasses.",
        )
