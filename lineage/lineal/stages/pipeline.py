"""`@pipeline`: a function that wires stages; tracing it gives the graph of one run."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from datetime import date, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from lineal.artifacts import is_marked
from lineal.artifacts.annotations import union_members
from lineal.stages.annotations import describe
from lineal.stages.binding import bind, check_argument, mismatch
from lineal.stages.conditions import Condition
from lineal.stages.errors import ParameterError, PipelineError, StageDefinitionError
from lineal.stages.names import OUTPUT_NAME, check_name, nearest_hint
from lineal.stages.options import Duration, read_timeout
from lineal.stages.promise import Promise, negated, promised_condition, require_current
from lineal.stages.signature import Port, Signature, read_signature
from lineal.stages.stage import check_function
from lineal.stages.tracing import Tracer, call_user_code, calling_line, current, tracing
from lineal.stages.wiring import Binding, Graph, Result

if TYPE_CHECKING:
    from lineal.api import Run

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline(Generic[P, R]):
    """A declared wiring of stages. Run it with ``.run(...)``; inside another pipeline, call it.

    ``timeout_seconds`` is how long a run of it may take, or None.
    """

    __wrapped__: Callable[P, R]
    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[P, R], timeout_seconds: float | None = None) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.timeout_seconds = timeout_seconds
        self.name = check_name(self.__name__, "pipeline")
        self.module = self.__module__
        self.qualname = self.__qualname__

    @functools.cached_property
    def signature(self) -> Signature:
        """Its parameters and outputs, read from the type hints when first asked for."""
        return read_signature(self.function, f"pipeline {self.name}")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        tracer = current()
        if tracer is None:
            raise PipelineError(
                f"pipeline {self.name} is called like a function",
                f"Use {self.name}.run(...) to run it. Inside another pipeline a call makes it a part of that one.",
            )
        signature, who = self.signature, f"pipeline {self.name}"
        for name, value in signature.bind(who, args, kwargs).items():
            check_argument(who, signature.inputs[name], signature, value)
        with tracer.subpipeline(self.name):
            return call_user_code(self.function, args, kwargs, self.name)  # type: ignore[no-any-return]

    def trace(self, parameters: Mapping[str, object]) -> Graph:
        """The graph of a run with these parameters; runs the pipeline's function, and no stage.

        ParameterError for parameters that do not fit, PipelineError, with the user's line, for what
        goes wrong in the function.
        """
        signature = self.signature
        bound = self._bound(signature, parameters)
        logical_date = _logical_date(self.name, signature, bound)
        args, kwargs = signature.arguments(bound)
        tracer = Tracer(self.name)
        with tracing(tracer):
            returned = call_user_code(self.function, args, kwargs, self.name)
            for line in tracer.forgotten.values():
                raise PipelineError(
                    "a condition is made and not used: its stages would always run",
                    "Write `with when(...):`, and put the stages into the block.",
                ).at(line)
            outputs = _outputs(self.name, returned)
        return Graph(self.name, bound, tracer.nodes, outputs, logical_date, self.timeout_seconds)

    def run(self, **parameters: object) -> Run:
        """Run what is not in the store yet, and return the run."""
        if current() is not None:
            raise PipelineError(
                f"pipeline {self.name} is run inside another pipeline",
                f"Call it, {self.name}(...), to make it a part of that one.",
            )
        from lineal.api import run_pipeline  # stands above: what runs knows what is declared

        return run_pipeline(self, parameters)

    def __repr__(self) -> str:
        return f"<pipeline {self.name} of {self.module}>"

    def __reduce__(self) -> str:
        return self.qualname  # by reference, as functions are

    def _bound(self, signature: Signature, parameters: Mapping[str, object]) -> dict[str, object]:
        """The parameters with defaults applied, in declared order."""
        ports = signature.inputs
        for name in parameters:
            if name not in ports:
                hint = nearest_hint(name, ports, "It takes") or "It takes none."
                raise ParameterError(f"pipeline {self.name} has no parameter {name}", hint)
        bound: dict[str, object] = {}
        for name, port in ports.items():
            kind = describe(port.annotation)
            if name not in parameters:
                if not port.has_default:
                    raise ParameterError(
                        f"pipeline {self.name} needs a value for {name}: {kind}",
                        f"Give {name}=…, a value of {kind}.",
                    )
                bound[name] = port.default
                continue
            value = bound[name] = parameters[name]
            problem = mismatch(port, signature, value)
            if problem is not None:
                raise ParameterError(
                    f"pipeline {self.name} takes {name} as {kind}, not {problem[0]}",
                    problem[1] or f"Give {name}=…, a value of {kind}.",
                )
        return bound


@overload
def pipeline(function: Callable[P, R], /, *, timeout: Duration | None = None) -> Pipeline[P, R]: ...
@overload
def pipeline(*, timeout: Duration | None = None) -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...
def pipeline(function: Any = None, /, *, timeout: Duration | None = None) -> Any:
    """Declare a pipeline: ``@pipeline``, or ``@pipeline(timeout="2h")`` for how long a run of it may take.

    StageDefinitionError for a timeout that is none, or where the function cannot be a pipeline.
    """
    timeout_seconds = None if timeout is None else read_timeout("timeout", timeout)
    if function is None:
        return lambda decorated: _declare(decorated, timeout_seconds)
    return _declare(function, timeout_seconds)


def _declare(function: Any, timeout_seconds: float | None) -> Pipeline[Any, Any]:
    check_function(function, "pipeline")
    return Pipeline(function, timeout_seconds)


class Block:
    """The block of a ``with when(...)``: the stages called in it run only if the condition holds."""

    __slots__ = ("_condition", "_tracer")

    def __init__(self, tracer: Tracer, condition: Condition) -> None:
        self._tracer = tracer
        self._condition = condition

    def __enter__(self) -> None:
        tracer = self._tracer
        require_current(tracer, f"the condition {self._condition}")
        tracer.forgotten.pop(self, None)
        tracer.conditions = (*tracer.conditions, self._condition)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tracer.conditions = self._tracer.conditions[:-1]


def when(condition: object) -> Block:
    """``with when(metrics["auc"] >= 0.65):`` the stages called in the block run only if this holds.

    Nested blocks must all hold. A constant True or False, computed from parameters, will do too.
    """
    return _block("when", condition)


def unless(condition: object) -> Block:
    """``with unless(...)``: the stages called in the block run only if this does not hold."""
    return _block("unless", condition)


def _block(word: str, condition: object) -> Block:
    tracer = current()
    if tracer is None:
        raise PipelineError(
            f"{word}(...) is used outside of a pipeline", "It belongs into a function under @pipeline."
        )
    plain = promised_condition(condition, word).condition
    block = Block(tracer, plain if word == "when" else negated(plain))
    tracer.forgotten[block] = calling_line()
    return block


def logical_date_port(name: str, signature: Signature) -> Port | None:
    """The parameter that takes the date which a run of pipeline ``name`` is for: annotated LogicalDate, else a date called run_date."""
    marked = [port for port in signature.inputs.values() if is_marked(port.annotation, "logical_date")]
    if len(marked) > 1:
        raise StageDefinitionError(
            f"pipeline {name} has two logical dates: {marked[0].name} and {marked[1].name}",
            "A run is for one date: annotate one parameter as LogicalDate, the others as date.",
        )
    port = marked[0] if marked else signature.inputs.get("run_date")
    if port is None or not {date, datetime}.intersection(union_members(port.annotation)):
        return None
    return port


def _logical_date(name: str, signature: Signature, bound: Mapping[str, object]) -> date | None:
    """The date that the run is for."""
    port = logical_date_port(name, signature)
    value = bound[port.name] if port is not None else None
    return value if isinstance(value, date) else None


def _outputs(name: str, returned: object) -> dict[str, Binding]:
    """What the pipeline returned, as results by name."""
    if returned is None:
        return {}
    if isinstance(returned, Promise):
        return {"result": _output(name, "result", returned)}
    named: list[tuple[object, object]]
    if isinstance(returned, tuple):
        named = list(zip(getattr(returned, "_fields", map(str, range(len(returned)))), returned, strict=True))
    elif isinstance(returned, dict):
        named = list(returned.items())
    elif dataclasses.is_dataclass(returned) and not isinstance(returned, type):
        named = [(one.name, getattr(returned, one.name)) for one in dataclasses.fields(returned)]
    else:
        raise _not_returnable(name, "", returned)
    return {str(key): _output(name, key, value) for key, value in named}


def _output(name: str, key: object, value: object) -> Binding:
    if not isinstance(key, str) or not OUTPUT_NAME.match(key):
        raise PipelineError(
            f"pipeline {name} returns something under the key {key!r}",
            "The name of an output is letters, digits, _ and -.",
        )
    if not isinstance(value, Promise):
        raise _not_returnable(name, f" as {key}", value)
    result = bind(value, f"output {key} of pipeline {name}")
    if isinstance(result, Result) and result.path:
        raise PipelineError(
            f"pipeline {name} returns {value!r}, a part of a result",
            "Only what a stage returned is kept under a name: return the whole, or let a stage take the part out.",
        )
    return result


def _not_returnable(name: str, where: str, value: object) -> PipelineError:
    return PipelineError(
        f"pipeline {name} returns a {type(value).__name__}{where}, which no stage made",
        "Return what stages returned: one result, or several in a tuple, dict, NamedTuple or dataclass; or None.",
    )
