"""The ports of a stage or a pipeline: what goes in and what comes out, read from its type hints.

Reading waits for the first use in a pipeline, so that decoration costs nothing and annotations may
name what is defined further down.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, Required, TypeAlias, get_args, get_origin

from msgspec import Struct

from lineal.artifacts import Directory, File, Schema, schema_of
from lineal.artifacts.annotations import bare
from lineal.errors import UsageError
from lineal.stages.annotations import Accepts, accepts, describe, takes_none
from lineal.stages.errors import StageDefinitionError, WiringError
from lineal.stages.names import nearest_hint
from lineal.stages.wiring import fill_dataclass

OutputsKind: TypeAlias = Literal["single", "namedtuple", "dataclass", "typeddict", "tuple"]

_RESOLVE_HINT = (
    "Annotations must resolve at run time: import the name outside `if TYPE_CHECKING:`, "
    "and define it at the top of a module."
)


class Port(Struct, frozen=True):
    """One parameter or one output, and what may pass through it.

    ``annotation`` is Any where the user gave none, ``schema`` the contract in it, or None; ``optional``
    says that None may pass.
    """

    name: str
    annotation: Any
    optional: bool
    schema: type[Schema] | None
    has_default: bool = False
    default: object = None


class Outputs(Struct, frozen=True):
    """What a call returns: one value called ``result``, or several by the fields of ``type``.

    ``type`` is the class of a NamedTuple, dataclass or TypedDict, ``tuple`` for a tuple, whose outputs
    are called "0", "1", …, and None for a single value.
    """

    kind: OutputsKind
    ports: Mapping[str, Port]
    type: type | None = None

    @property
    def listed(self) -> Port:
        """The one output of a stage that is mapped: the list of what its calls return."""
        each = self.type if self.kind not in ("single", "tuple") else tuple
        if self.kind == "single":
            (port,) = self.ports.values()
            each = port.annotation
        return Port("result", list[each], False, None)  # type: ignore[valid-type]

    def assemble(self, values: Sequence[Any]) -> Any:
        """What the stage returned, from its outputs in their order."""
        if self.kind == "single":
            return values[0]
        if self.kind == "tuple":
            return tuple(values)
        if self.kind == "typeddict":
            return dict(zip(self.ports, values, strict=True))
        assert self.type is not None
        if self.kind == "namedtuple":
            return tuple.__new__(self.type, values)
        return fill_dataclass(self.type, zip(self.ports, values, strict=True))


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameters in declared order, and outputs. The first ``positional`` parameters may be given by
    position, the first ``positional_only`` of them in no other way."""

    inputs: Mapping[str, Port]
    outputs: Outputs
    positional: int
    positional_only: int
    checks: Mapping[str, Accepts] = field(repr=False, compare=False)

    def bind(self, who: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        """The arguments by parameter, defaults applied, in declared order. WiringError where they do not fit."""
        inputs = self.inputs
        if len(args) > self.positional:
            raise WiringError(
                f"{who} takes {self.positional or 'none'} by position, and {len(args)} are given",
                self._usage(who),
            )
        bound = dict(zip(inputs, args, strict=False))
        if not kwargs and len(bound) == len(inputs):
            return bound
        only = list(inputs)[: self.positional_only]
        for name, value in kwargs.items():
            if name not in inputs or name in only:
                others = [other for other in inputs if other not in only]
                raise WiringError(f"{who} has no parameter {name}", nearest_hint(name, others, "It takes"))
            if name in bound:
                raise WiringError(f"{who} is given {name} twice", self._usage(who))
            bound[name] = value
        if len(bound) < len(inputs):
            missing = [port for name, port in inputs.items() if name not in bound and not port.has_default]
            if missing:
                named = ", ".join(f"{port.name} ({describe(port.annotation)})" for port in missing)
                raise WiringError(f"{who} is called without {named}", self._usage(who))
        return {name: bound.get(name, port.default) for name, port in inputs.items()}

    def arguments(self, values: Mapping[str, object]) -> tuple[tuple[object, ...], dict[str, object]]:
        """Values by parameter as the (args, kwargs) to call the function with."""
        names = list(self.inputs)
        args = tuple(values[name] for name in names[: self.positional_only])
        return args, {name: values[name] for name in names[self.positional_only :]}

    def _usage(self, who: str) -> str:
        return f"It is {who.removeprefix('stage ').removeprefix('pipeline ')}({self})."

    def __str__(self) -> str:
        texts = []
        for place, port in enumerate(self.inputs.values()):
            if place == self.positional:
                texts.append("*")
            default = f" = {port.default!r}" if port.has_default else ""
            texts.append(
                port.name + ("" if port.annotation is Any else f": {describe(port.annotation)}") + default
            )
        return ", ".join(texts)


def read_signature(function: Callable[..., Any], what: str) -> Signature:
    """The signature of a function. StageDefinitionError, naming ``what``, for a hint that does not resolve."""
    function = inspect.unwrap(function)
    hints = _hints(function, what)
    inputs: dict[str, Port] = {}
    positional = positional_only = 0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise _varying(parameter.name, what)
        positional += parameter.kind is not parameter.KEYWORD_ONLY
        positional_only += parameter.kind is parameter.POSITIONAL_ONLY
        has_default = parameter.default is not parameter.empty
        default = parameter.default if has_default else None
        inputs[parameter.name] = _port(
            what, parameter.name, hints.get(parameter.name, Any), has_default, default
        )
    checks = {name: check for name, port in inputs.items() if (check := _check(port)) is not None}
    return Signature(
        inputs, read_outputs(hints.get("return", Any), what), positional, positional_only, checks
    )


def refuse_varying_arguments(function: Callable[..., Any], what: str) -> None:
    """StageDefinitionError where the function takes ``*args`` or ``**kwargs``, found without reading hints."""
    code = inspect.unwrap(function).__code__
    if code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        raise _varying(code.co_varnames[code.co_argcount + code.co_kwonlyargcount], what)


def _varying(name: str, what: str) -> StageDefinitionError:
    return StageDefinitionError(
        f"{what} takes any number of arguments as {name}",
        "Every input needs a name and a place: declare each parameter, or take one list or dict.",
    )


def _hints(owner: Any, what: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except Exception as problem:  # evaluating an annotation may raise anything
        raise StageDefinitionError(
            f"{what} annotates {_offender(owner)}, which cannot be resolved: {problem}", _RESOLVE_HINT
        ) from problem


def _offender(owner: Any) -> str:
    """The first annotation that does not evaluate, with whose it is."""
    for part in getattr(owner, "__mro__", (owner,)):
        namespace = getattr(part, "__globals__", None) or vars(sys.modules[part.__module__])
        for name, annotation in getattr(part, "__annotations__", {}).items():
            text = getattr(annotation, "__forward_arg__", annotation)  # NamedTuple and TypedDict wrap it
            try:
                eval(text, namespace) if isinstance(text, str) else None
            except Exception:  # noqa: BLE001 - whatever it is, the same evaluation has just raised it
                place = f"{part.__name__}.{name}" if isinstance(part, type) else name
                return f"{'its result' if place == 'return' else place} as {text}"
    return "something"


def _port(what: str, name: str, annotation: Any, has_default: bool = False, default: object = None) -> Port:
    try:
        schema = schema_of(annotation)
    except UsageError as problem:
        raise StageDefinitionError(f"{what}, {name}: {problem}", problem.hint) from problem
    optional = takes_none(annotation) or (has_default and default is None)
    return Port(name, annotation, optional, schema, has_default, default)


def _check(port: Port) -> Accepts | None:
    check = accepts(port.annotation)
    if check is None or not port.optional:
        return check
    return lambda value: value is None or check(value)


def read_outputs(annotation: Any, what: str) -> Outputs:
    """What a call returns that is annotated so. StageDefinitionError, naming ``what``, for what cannot be returned."""
    returned = bare(annotation)
    cls = get_origin(returned) or returned
    if cls is tuple:
        members = get_args(returned)
        if members and members[-1] is not Ellipsis:
            return Outputs(
                "tuple", {str(n): _port(what, str(n), member) for n, member in enumerate(members)}, tuple
            )
    elif isinstance(cls, type):
        kind, names = _fields(cls)
        if names:
            hints = _field_hints(cls, get_args(returned), what)
            return Outputs(kind, {name: _port(what, name, hints[name]) for name in names}, cls)
    return Outputs("single", {"result": _port(what, "result", annotation)})


def _fields(cls: type) -> tuple[OutputsKind, tuple[str, ...]]:
    if typing.is_typeddict(cls):
        return "typeddict", tuple(typing.get_type_hints(cls))
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return "namedtuple", tuple(getattr(cls, "_fields"))  # noqa: B009 - no type checker knows of it
    if dataclasses.is_dataclass(cls) and not issubclass(cls, (File, Directory)):
        return "dataclass", tuple(one.name for one in dataclasses.fields(cls))
    return "single", ()


def _field_hints(cls: Any, arguments: tuple[Any, ...], what: str) -> dict[str, Any]:
    given = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    hints: dict[str, Any] = dict.fromkeys(getattr(cls, "_fields", ()), Any)  # collections.namedtuple has none
    for name, hint in _hints(cls, what).items():
        # __optional_keys__ alone misses NotRequired in annotations that are still text at definition
        if get_origin(hint) is NotRequired or name in getattr(cls, "__optional_keys__", ()):
            raise StageDefinitionError(
                f"{what} returns {cls.__name__}, whose {name} may be absent",
                "An output is always there: annotate it `T | None`, and return None.",
            )
        plain = get_args(hint)[0] if get_origin(hint) is Required else hint
        hints[name] = given.get(plain, plain) if given else plain
    return hints
