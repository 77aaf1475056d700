"""`@stage`: a function whose calls can be cached, and its results traced to what they came from."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Mapping
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, CO_ITERABLE_COROUTINE, unwrap
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, TypeVar, Unpack, cast, overload

from lineal.stages.binding import bind, check_argument, check_items, promises
from lineal.stages.errors import StageDefinitionError, WiringError
from lineal.stages.names import OUTPUT_NAME, check_name
from lineal.stages.options import StageKeywords, StageOptions
from lineal.stages.promise import Promise
from lineal.stages.signature import Signature, read_signature, refuse_varying_arguments
from lineal.stages.tracing import Tracer, current
from lineal.stages.wiring import Node, Result

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")


class Stage(Generic[P, R]):
    """A declared function. Called inside a pipeline it returns promises, anywhere else it is its function.

    ``settings`` are its options as validated; ``module`` and ``qualname`` say where the function is defined.
    """

    __wrapped__: Callable[P, R]
    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[P, R], settings: StageOptions) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.settings = settings
        self.name = settings.name if settings.name is not None else check_name(self.__name__, "stage")
        self.module = self.__module__
        self.qualname = self.__qualname__
        self._signature: Signature | None = None
        self._declared: Stage[P, R] = self

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        tracer = current()
        if tracer is None:
            return self.function(*args, **kwargs)
        return cast(R, _trace_call(tracer, self, args, kwargs))

    def map(
        self: Stage[Concatenate[T, Q], R], items: Iterable[T], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> list[R]:
        """Call it once for each of ``items``, which go to its first parameter; the others are the same for all.

        In a pipeline ``items`` may be promised: a list that is known only when the run has it. Each item is an action of its
        own, so that a new one runs alone and a failed one is tried again alone. What is returned is the list of
        results, in the order of the items; it can be passed on whole, indexed with a constant, and mapped over.
        """
        tracer = current()
        if tracer is None:
            return [self.function(item, *args, **kwargs) for item in items]
        return cast("list[R]", _trace_map(tracer, self, items, args, kwargs))

    def options(self, **options: Unpack[StageKeywords]) -> Stage[P, R]:
        """A copy with other options, for one call or more: ``train.options(name="baseline", retries=0)(table)``."""
        return _configured(self._declared, self.settings.changed(cast("dict[str, object]", options)))

    @property
    def signature(self) -> Signature:
        """Its ports, read from the type hints when first asked for. StageDefinitionError where that fails."""
        declared = self._declared
        if declared._signature is None:
            declared._signature = read_signature(declared.function, f"stage {declared.name}")
        return declared._signature

    def __repr__(self) -> str:
        return f"<stage {self.name} of {self.module}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        if self is self._declared:
            return self.qualname  # by reference, as functions are
        return _configured, (self._declared, self.settings)


@overload
def stage(function: Callable[P, R], /, **options: Unpack[StageKeywords]) -> Stage[P, R]: ...
@overload
def stage(**options: Unpack[StageKeywords]) -> Callable[[Callable[P, R]], Stage[P, R]]: ...
def stage(function: Any = None, /, **options: Any) -> Any:
    """Declare a stage: ``@stage``, ``@stage(retries=3)``, or ``stage(existing_function, timeout="30m")``.

    Options are those of `StageOptions`. StageDefinitionError for an option or a function that cannot be one.
    """
    settings = StageOptions().changed(options)
    if function is None:
        return lambda decorated: _declare(decorated, settings)
    return _declare(function, settings)


def check_function(function: object, what: str) -> None:
    """StageDefinitionError, with what to do instead, unless this is a plain function at rest."""
    if isinstance(function, Stage):
        raise StageDefinitionError(
            f"{function!r} cannot become a {what}", "Use .options(...) to configure a stage differently."
        )
    if isinstance(function, staticmethod | classmethod | property | types.MethodType):
        _refuse(function, what, "is a method", "Move it to the module, and let it take what it needs.")
    if not isinstance(function, types.FunctionType):
        kind = "is a class" if isinstance(function, type) else f"is a {type(function).__name__}"
        _refuse(function, what, kind, "Wrap it: define a function, with annotations, that calls it.")
    if function.__name__ == "<lambda>":
        _refuse(function, what, "is a lambda", "Give it a name and annotations with def.")
    inner = unwrap(function)
    code = inner.__code__
    flags = code.co_flags | function.__code__.co_flags
    if flags & (CO_COROUTINE | CO_ITERABLE_COROUTINE | CO_ASYNC_GENERATOR):
        _refuse(function, what, "is async", "Use a plain def; inside it, asyncio.run(...) awaits.")
    if flags & CO_GENERATOR:
        _refuse(function, what, "is a generator", "Return the whole result, for instance a list.")
    outer = inner.__qualname__.rpartition(".")[0]
    if (outer and not outer.endswith("<locals>")) or (
        code.co_argcount and code.co_varnames[0] in ("self", "cls")
    ):
        _refuse(function, what, "is a method", "Move it to the module, and let it take what it needs.")
    refuse_varying_arguments(function, f"{what} {function.__name__}")


def _configured(declared: Stage[P, R], settings: StageOptions) -> Stage[P, R]:
    copy = Stage(declared.function, settings)
    copy._declared = declared
    return copy


def _declare(function: Any, settings: StageOptions) -> Stage[Any, Any]:
    check_function(function, "stage")
    return Stage(function, settings)


def _refuse(function: object, what: str, because: str, hint: str) -> NoReturn:
    name = getattr(function, "__qualname__", None) or repr(function)
    raise StageDefinitionError(f"{name} cannot be a {what}: it {because}", hint)


def _trace_call(
    tracer: Tracer, called: Stage[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
) -> object:
    """Write down one call, and return its promises."""
    arguments = called.signature.bind(f"stage {called.name}", args, kwargs)
    return promises(called.signature.outputs, tracer, _write_down(tracer, called, arguments, None))


def _trace_map(
    tracer: Tracer,
    called: Stage[..., Any],
    items: Iterable[object],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> object:
    """Write down one call for all items, and return the promise of the list of their results."""
    signature, who = called.signature, f"stage {called.name}"
    if not signature.positional:
        raise WiringError(
            f"{who} has no parameter that takes the items by position",
            "Put one before the `*` of its signature.",
        )
    for name in signature.outputs.ports:
        if not OUTPUT_NAME.match(name):
            raise WiringError(
                f"{who} has an output {name!r}, which cannot be part of a list",
                "The name of an output is letters, digits, _ and -.",
            )
    if not isinstance(items, (Promise, str, bytes, Mapping)) and isinstance(items, Iterable):
        items = list(items)
    arguments = signature.bind(who, (items, *args), kwargs)
    node_id = _write_down(tracer, called, arguments, next(iter(signature.inputs)))
    return Promise(tracer, Result(node_id, "result"), signature.outputs.listed.annotation)


def _write_down(
    tracer: Tracer, called: Stage[..., Any], arguments: Mapping[str, object], over: str | None
) -> str:
    """The id of a new node for a call with these arguments, mapped over the one called ``over``."""
    signature, who = called.signature, f"stage {called.name}"
    inputs = {}
    for name, value in arguments.items():
        port = signature.inputs[name]
        if name == over:
            check_items(who, port, signature, value)
        elif value is not port.default or not port.has_default:  # a default is the declaration's affair
            check_argument(who, port, signature, value)
        inputs[name] = bind(value, f"{name} of {who}")
    node_id = tracer.fresh_id(called.name)
    tracer.nodes[node_id] = Node(node_id, called, called.settings, inputs, tracer.conditions, over)
    return node_id
